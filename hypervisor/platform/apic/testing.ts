/** A machine of local APICs for tests: records what they ask of their CPUs. */
import { TestTime } from '../testing/time.ts';
import { LocalApic } from './localapic.ts';
import { InterruptNetwork } from './network.ts';
import { REGISTER } from './registers.ts';

/** One recorded CPU. */
export interface RecordedCpu {
  pending: boolean;
  /** What happened in order: 'pending', 'idle', 'nmi', 'init', 'startup 0x10'. */
  readonly events: string[];
}

/** `count` local APICs; the time-stamp counter is virtual time plus `tscOffset`. */
export function apicMachine(count: number) {
  const time = new TestTime();
  const network = new InterruptNetwork();
  const tsc = { offset: 0 };
  /** The 8259As: the vectors they offer, and whether they were acknowledged. */
  const external = {
    nextVector: 0x30,
    acknowledged: 0,
    acknowledge(): number {
      this.acknowledged++;
      return this.nextVector;
    },
  };
  const cpus: RecordedCpu[] = [];
  const apics: LocalApic[] = [];
  for (let id = 0; id < count; id++) {
    const cpu: RecordedCpu = { pending: false, events: [] };
    cpus.push(cpu);
    apics.push(
      new LocalApic({
        id,
        cpu: {
          setInterruptPending: (pending) => {
            cpu.pending = pending;
            cpu.events.push(pending ? 'pending' : 'idle');
          },
          nmi: () => cpu.events.push('nmi'),
          init: () => cpu.events.push('init'),
          startup: (vector) => cpu.events.push(`startup 0x${vector.toString(16)}`),
        },
        time: { timeOfTsc: (stamp) => Number(stamp) - tsc.offset },
        clock: time,
        timers: time.timers,
        network,
        external,
      }),
    );
  }
  return { time, network, tsc, external, cpus, apics };
}

/** Enables `apic` by software, with spurious vector 0xFF. */
export function enable(apic: LocalApic): LocalApic {
  apic.writeRegister(REGISTER.spurious, 0x1ff);
  return apic;
}
