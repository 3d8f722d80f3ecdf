/**
 * What the host's thread and a guest's thread tell each other of the guest at the beginning and the end of its rounds. It stands in the host's
 * memory; neither thread touches it while the other works on it (`control.ts`).
 */
import { type FaultCause, faultCauses } from '../memory/faults.ts';
import type { HostMemory } from '../memory/hostmemory.ts';

/** Numbers for the guest, and for each of its vCPUs behind them. */
const ofGuest = { nextEvent: 0, time: 1 };
const guestNumbers = 2;
const ofCpu = { hasCpu: 0, idle: 1, blockedUntil: 2, executed: 3, cause: 4, since: 5, resumed: 6 };
const cpuNumbers = 7;

/** Bytes of the block of a guest with so many vCPUs. */
export function guestBlockBytes(cpus: number): number {
  return 8 * (guestNumbers + cpuNumbers * cpus);
}

/** A fault of a vCPU that the host has served, of which the guest does not know yet. */
export interface ServedFault {
  readonly cause: FaultCause;
  /** When the vCPU stopped and goes on, in virtual ns. */
  readonly since: number;
  readonly resumed: number;
}

/** A vCPU's part of the block. */
export class CpuBlock {
  readonly #values: Float64Array;

  constructor(values: Float64Array) {
    this.#values = values;
  }

  get hasCpu(): boolean {
    return this.#values[ofCpu.hasCpu] !== 0;
  }

  set hasCpu(value: boolean) {
    this.#values[ofCpu.hasCpu] = value ? 1 : 0;
  }

  get idle(): boolean {
    return this.#values[ofCpu.idle] !== 0;
  }

  set idle(value: boolean) {
    this.#values[ofCpu.idle] = value ? 1 : 0;
  }

  get blockedUntil(): number {
    return this.#values[ofCpu.blockedUntil]!;
  }

  set blockedUntil(value: number) {
    this.#values[ofCpu.blockedUntil] = value;
  }

  get executed(): number {
    return this.#values[ofCpu.executed]!;
  }

  set executed(value: number) {
    this.#values[ofCpu.executed] = value;
  }

  /** The vCPU's fault was served: it waits for one at a time. */
  served({ cause, since, resumed }: ServedFault): void {
    this.#values[ofCpu.cause] = 1 + faultCauses.indexOf(cause);
    this.#values[ofCpu.since] = since;
    this.#values[ofCpu.resumed] = resumed;
  }

  /** Takes the fault that was served since this was last asked; undefined when none was. */
  takeServed(): ServedFault | undefined {
    const cause = this.#values[ofCpu.cause]!;
    if (cause === 0) return undefined;
    this.#values[ofCpu.cause] = 0;
    return {
      cause: faultCauses[cause - 1]!,
      since: this.#values[ofCpu.since]!,
      resumed: this.#values[ofCpu.resumed]!,
    };
  }
}

/** See the top of this file. */
export class GuestBlock {
  readonly cpus: readonly CpuBlock[];
  readonly #values: Float64Array;

  /** @param at host address, a multiple of 8 */
  constructor(memory: HostMemory, at: number, cpus: number) {
    const numbers = (start: number, count: number) =>
      memory.f64.subarray(at / 8 + start, at / 8 + start + count);
    this.#values = numbers(0, guestNumbers);
    this.cpus = Array.from(
      { length: cpus },
      (_, index) => new CpuBlock(numbers(guestNumbers + cpuNumbers * index, cpuNumbers)),
    );
  }

  /** As `Guest.nextEvent`. */
  get nextEvent(): number {
    return this.#values[ofGuest.nextEvent]!;
  }

  set nextEvent(value: number) {
    this.#values[ofGuest.nextEvent] = value;
  }

  /** As `Guest.time`. */
  get time(): number {
    return this.#values[ofGuest.time]!;
  }

  set time(value: number) {
    this.#values[ofGuest.time] = value;
  }
}
