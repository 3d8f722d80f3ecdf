/**
 * What is measured of a guest, and of the host as the sum of its guests: how long faults held a vCPU up, by their cause;
 * how long vCPUs waited for memory and for a CPU; how much memory was in which place, over time.
 *
 * Everything is in virtual time and depends on the run alone. A guest writes its own measures while it runs by itself; those of the host
 * are added up when somebody asks.
 */
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import { Histogram } from './histogram.ts';
import { Integral } from './integral.ts';

/**
 * Why a vCPU had to wait for its host to give it a page:
 * - `first_touch`: the page had no frame yet;
 * - `cow_break`: it wrote to a page whose frame is shared;
 * - `swap_in`: the page was in swap;
 * - `balloon_return`: the page came back from the balloon;
 * - `reporting_return`: the page had been reported free.
 */
export const FAULT_CAUSES = [
  'first_touch',
  'cow_break',
  'swap_in',
  'balloon_return',
  'reporting_return',
] as const;

/** A cause of a fault; see {@link FAULT_CAUSES}. */
export type FaultCause = (typeof FAULT_CAUSES)[number];

/**
 * Places of a guest's memory that are followed over time, in bytes: `resident` is what it maps, shared frames whole; `saved` is
 * what merging saves of it; `balloon` and `swap` are what is there.
 */
export const MEMORY_PLACES = ['resident', 'saved', 'balloon', 'swap'] as const;

/** A place of memory; see {@link MEMORY_PLACES}. */
export type MemoryPlace = (typeof MEMORY_PLACES)[number];

/** The figures of a distribution, in ns. */
export interface Summary {
  readonly count: number;
  readonly sum: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** The figures of a histogram. */
export function summary(histogram: Histogram): Summary {
  return {
    count: histogram.count,
    sum: histogram.sum,
    p50: histogram.quantile(5000),
    p90: histogram.quantile(9000),
    p99: histogram.quantile(9900),
    p999: histogram.quantile(9990),
    max: histogram.max,
  };
}

function byName<Name extends string, Part>(names: readonly Name[], make: () => Part): Record<Name, Part> {
  return Object.fromEntries(names.map((name) => [name, make()])) as Record<Name, Part>;
}

/** See the top of this file. */
export class Measures implements Stateful {
  /** How long each fault held its vCPU up, from the access to the instant at which it goes on. */
  readonly faults: Readonly<Record<FaultCause, Histogram>> = byName(FAULT_CAUSES, () => new Histogram());
  /** How long vCPUs waited for a physical CPU, each time. */
  readonly waits = new Histogram();
  readonly memory: Readonly<Record<MemoryPlace, Integral>> = byName(MEMORY_PLACES, () => new Integral());
  #stalled = 0;
  #stolen = 0;

  /** A fault held its vCPU up for `latency` ns. */
  fault(cause: FaultCause, latency: number): void {
    this.faults[cause].record(latency);
  }

  /**
   * A vCPU waited `duration` ns for memory that the host could not give at once. What it can give is a fault too, but its cost is
   * work that is done for the guest on its CPU, with as much memory as one likes. So Linux's PSI has it: a stall is time lost for
   * want of memory, to swap-in, to reclaim or to the lack of a frame.
   */
  stall(duration: number): void {
    this.#stalled += duration;
  }

  /** A vCPU had something to execute and no physical CPU for `duration` ns. */
  steal(duration: number): void {
    this.#stolen += duration;
    this.waits.record(duration);
  }

  /** Time for which vCPUs waited for memory, in ns, summed over them. */
  get stalled(): number {
    return this.#stalled;
  }

  /** Time for which vCPUs waited for a physical CPU, in ns, summed over them. */
  get stolen(): number {
    return this.#stolen;
  }

  /** Adds what was counted elsewhere; memory over time is left out, since what the host holds is no sum over guests. */
  add(other: Measures): void {
    for (const cause of FAULT_CAUSES) this.faults[cause].add(other.faults[cause]);
    this.waits.add(other.waits);
    this.#stalled += other.#stalled;
    this.#stolen += other.#stolen;
  }

  saveState(to: StateWriter): void {
    for (const cause of FAULT_CAUSES) to.part(cause, this.faults[cause]);
    to.part('waits', this.waits);
    for (const place of MEMORY_PLACES) to.part(place, this.memory[place]);
    to.number(this.#stalled);
    to.number(this.#stolen);
  }

  loadState(from: StateReader): void {
    for (const cause of FAULT_CAUSES) from.part(cause, this.faults[cause]);
    from.part('waits', this.waits);
    for (const place of MEMORY_PLACES) from.part(place, this.memory[place]);
    this.#stalled = from.number();
    this.#stolen = from.number();
  }
}
