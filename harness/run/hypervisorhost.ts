/** The hypervisor as the runner sees it. Every column that it lists is measured; none stands for what is not there. */
import { balloonFeatures } from '../../hypervisor/balloon/settings.ts';
import { costs } from '../../hypervisor/clock/costs.ts';
import type { GuestEnd } from '../../hypervisor/guest.ts';
import { Host, type HostOptions } from '../../hypervisor/host.ts';
import type { Ksmd } from '../../hypervisor/ksm/ksmd.ts';
import { KnobError } from '../../hypervisor/ksm/scanner.ts';
import type { Histogram } from '../../hypervisor/measures/histogram.ts';
import { FAULT_CAUSES } from '../../hypervisor/measures/measures.ts';
import type { MemoryEvent } from '../../hypervisor/memory/hostpages.ts';
import { DiskFile, type SwapFile } from '../../hypervisor/memory/swap/file.ts';
import type { HostedGuest } from '../../hypervisor/threads/hostedguest.ts';
import { usualTranslation } from '../../hypervisor/x86/translate/options.ts';
import type { RunEvent } from '../../reports/format/lines.ts';
import { workloadPort } from '../../workloads/catalog.ts';
import { epoch } from '../epoch.ts';
import { Balloons, balloonOptions } from './balloons.ts';
import type { FaultTimes, GuestEnding, GuestSetup, HostSetup, MergeTimes, RunHost, Times } from './host.ts';
import { Sampler } from './sampler.ts';
import { scannerOf } from './scanner.ts';
import { withUnnamedFile } from './swapfile.ts';

/** Number of the port of the workload: 0 is the virtio console's console. */
const portNumber = 1;

/** What tests change about how a run is carried out; of itself none of it changes a figure. */
export interface Means {
  /** How hot code is translated. */
  readonly translate?: HostOptions['translate'];
  /** Opens the swap file. */
  readonly openSwap?: (file: string) => SwapFile;
}

/** Makes a host of the hypervisor for a run. */
export async function makeHost(setup: HostSetup, means: Means = {}): Promise<RunHost> {
  const { translate = usualTranslation, openSwap = (file: string) => new DiskFile(file) } = means;
  const { ksm, swap, memory, cpus, cost } = setup.scenario.host;
  const events: RunEvent[] = [];
  const names = new Map<number, string>();
  const options = {
    memory,
    vcpus: setup.guests.reduce((sum, { plan }) => sum + plan.group.cpus, 0),
    cpus,
    // A thread without a guest would have nothing to do.
    workers: Math.min(setup.workers, setup.guests.length),
    translate,
    costs: costs(cost),
    ...balloonOptions(setup.scenario.host.balloon, names, (event) => events.push(event)),
    onGuestEnd: (guest: HostedGuest) => host.release(guest),
    onMemoryEvent: (event: MemoryEvent, now: number) => events.push(eventOf(event, now, names)),
  };
  const host: Host =
    swap === 'none'
      ? new Host(options)
      : withUnnamedFile((file) => new Host({ ...options, swap: { ...swap, file: openSwap(file) } }));
  if (ksm === 'off') return new HypervisorHost(setup, host, undefined, events, names);
  const create = await scannerOf(ksm, setup.scannerFile);
  const { seed } = setup.scenario;
  const ksmd = host.addScanner((merging) => create({ memory: merging, costs: host.costs, seed }));
  return new HypervisorHost(setup, host, ksmd, events, names);
}

class HypervisorHost implements RunHost {
  readonly columns: RunHost['columns'];
  readonly #setup: HostSetup;
  readonly #host: Host;
  readonly #ksmd: Ksmd | undefined;
  readonly #events: RunEvent[];
  readonly #guests: readonly HostedGuest[];
  readonly #serial: readonly number[][];
  readonly #removed = new Set<number>();
  readonly #balloons: Balloons;
  readonly #sampler: Sampler;

  constructor(
    setup: HostSetup,
    host: Host,
    ksmd: Ksmd | undefined,
    events: RunEvent[],
    names: Map<number, string>,
  ) {
    this.#setup = setup;
    this.#host = host;
    this.#ksmd = ksmd;
    this.#events = events;
    this.#serial = setup.guests.map(() => []);
    this.#guests = setup.guests.map((each, number) => this.#addGuest(each, number));
    for (const [number, { space }] of this.#guests.entries()) {
      names.set(space.id, setup.guests[number]!.plan.name);
    }
    this.#balloons = new Balloons(setup.scenario.host.balloon, host);
    this.#sampler = new Sampler(host, this.#guests, setup.scenario.host.cpus, ksmd);
    this.columns = this.#sampler.columns;
  }

  #addGuest({ plan, seed, disk }: GuestSetup, number: number): HostedGuest {
    const { listener, scenario } = this.#setup;
    return this.#host.addGuest({
      memory: plan.group.memory,
      cpus: plan.group.cpus,
      seed,
      epoch,
      serialOutput: (byte) => this.#serial[number]!.push(byte),
      ports: [
        { onOutput: () => {} },
        {
          name: workloadPort,
          onOutput: (bytes, time) => listener.workload(number, bytes, time),
        },
      ],
      disks: disk === undefined ? [] : [{ path: disk, readOnly: true }],
      balloonFeatures: balloonFeatures({
        deflateOnOom: true,
        pagePoison: false,
        freePageReporting: scenario.host.balloon.free_page_reporting,
        freePageHinting: scenario.host.balloon.free_page_hinting !== undefined,
      }),
    });
  }

  get time(): number {
    return this.#host.time;
  }

  get costs(): Readonly<Record<string, number>> {
    return this.#host.costs;
  }

  run(until: number): void {
    while (this.time < until) {
      this.#host.run(Math.min(until, this.#balloons.next));
      this.#balloons.run(this.time);
    }
    for (const [number, bytes] of this.#serial.entries()) {
      if (bytes.length === 0) continue;
      this.#setup.listener.console(number, Uint8Array.from(bytes));
      bytes.length = 0;
    }
  }

  start(number: number): void {
    const { kernel, initrd, commandLine, plan } = this.#setup.guests[number]!;
    const guest = this.#guests[number]!;
    guest.boot({ kernel, initrd, commandLine });
    guest.console.setOpen(portNumber, true);
    this.#balloons.add(guest, plan.group.memory, this.time);
  }

  remove(number: number): void {
    if (this.#removed.has(number)) return;
    this.#removed.add(number);
    this.#sampler.removing(number);
    this.#balloons.remove(this.#guests[number]!);
    this.#host.removeGuest(this.#guests[number]!);
  }

  ending(number: number): GuestEnding | undefined {
    if (this.#removed.has(number)) return { reason: 'removed', failed: false };
    const guest = this.#guests[number]!;
    if (guest.end !== undefined) this.#balloons.remove(guest);
    return endingOf(guest.end);
  }

  tellWorkload(number: number, bytes: Uint8Array): void {
    this.#guests[number]!.console.input(portNumber, bytes);
  }

  setBalloon(number: number, bytes: number): void {
    this.#balloons.set(this.#guests[number]!, this.#setup.guests[number]!.plan.group.memory, bytes);
  }

  startMerging(): void {
    this.#ksmd!.start();
    const { knobs } = this.#ksmd!.scanner;
    if (knobs.names.includes('run')) knobs.set('run', 1);
  }

  setKnob(name: string, value: number | string): string | undefined {
    try {
      this.#ksmd!.scanner.knobs.set(name, value);
      return undefined;
    } catch (error) {
      if (error instanceof KnobError) return error.message;
      throw error;
    }
  }

  sample(): ReturnType<RunHost['sample']> {
    return this.#sampler.sample();
  }

  check(): void {
    this.#host.pages.check();
  }

  stateHash(): string {
    return this.#host.stateHash();
  }

  faultTimes(): FaultTimes[] {
    return this.#guests.flatMap(({ measures }, guest) =>
      FAULT_CAUSES.map((cause) => {
        return { guest, cause, ...timesOf(measures.faults[cause]) };
      }),
    );
  }

  merging(): MergeTimes | undefined {
    if (this.#ksmd === undefined) return undefined;
    const { lifetimes, waits, saved, unsampled } = this.#ksmd.measures;
    return {
      lifetimes: timesOf(lifetimes),
      waits: timesOf(waits),
      unsampled,
      savedByteSeconds: saved.until(this.time),
      savedPeakBytes: saved.peak,
    };
  }

  takeEvents(): RunEvent[] {
    return this.#events.splice(0);
  }

  close(): void {
    this.#host.close();
  }
}

function timesOf(histogram: Histogram): Times {
  const buckets: { upper: number; count: number }[] = [];
  histogram.buckets((upper, count) => buckets.push({ upper, count }));
  return { buckets, max: histogram.max };
}

function eventOf(event: MemoryEvent, now: number, names: ReadonlyMap<number, string>): RunEvent {
  const { reason } = event;
  if (event.event === 'swap write failed') return { time_ns: now, event: 'swap_error', reason };
  const guest = names.get(event.guest)!;
  return event.event === 'out of memory'
    ? { time_ns: now, event: 'oom', guest, victim: guest, reason }
    : { time_ns: now, event: 'swap_error', guest, reason };
}

function endingOf(end: GuestEnd | undefined): GuestEnding | undefined {
  switch (end?.kind) {
    case undefined:
      return undefined;
    case 'power off':
      return { reason: 'power off', failed: false };
    case 'reset':
      return { reason: 'reset', failed: true };
    case 'debug exit':
      return { reason: `debug exit with ${end.value}`, failed: end.value !== 0 };
    case 'error':
      return { reason: end.reason, failed: true };
  }
}
