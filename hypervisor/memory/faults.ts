/** Host faults of a guest: why a page had no frame that the guest could use, and what it costs. */
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';

/** Why the host had to give a page a frame. */
export type FaultCause = 'first_touch' | 'cow_break' | 'swap_in' | 'balloon_return' | 'reporting_return';

/** All causes. */
export const faultCauses: readonly FaultCause[] = [
  'first_touch',
  'cow_break',
  'swap_in',
  'balloon_return',
  'reporting_return',
];

/** Hears of each fault that a vCPU waited for. */
export interface FaultListener {
  /** It took `latency` virtual ns from the access until the vCPU went on. Called inside the guest's run, or between rounds. */
  fault(cause: FaultCause, latency: number): void;
}

/** What faults cost, in ns of virtual time: constants of the cost model. */
export interface FaultCosts {
  /** A page without a frame gets one. */
  readonly firstTouch: number;
  /** A write to a shared page. */
  readonly cowBreak: number;
  /** CPU time to bring a page back from swap; a device's latency comes on top. */
  readonly swapInCpu: number;
}

/** Numbers that stand in memory: those of {@link FaultCounters}. */
export const faultCounters = faultCauses.length + 3;

/**
 * Counters of a guest's faults. Those of devices, whose latency nobody waits for, are among them. They are kept in an array of
 * {@link faultCounters} numbers, which the guest's thread and the host's both see.
 */
export class FaultCounters implements Stateful {
  readonly #values: Float64Array;

  constructor(values: Float64Array) {
    this.#values = values;
  }

  /** The same counts in an array of their own. */
  copy(): FaultCounters {
    return new FaultCounters(this.#values.slice());
  }

  /** Faults by their cause. */
  get counts(): Readonly<Record<FaultCause, number>> {
    const [first_touch, cow_break, swap_in, balloon_return, reporting_return] = this.#values;
    return {
      first_touch: first_touch!,
      cow_break: cow_break!,
      swap_in: swap_in!,
      balloon_return: balloon_return!,
      reporting_return: reporting_return!,
    };
  }

  /** Counts a fault. */
  add(cause: FaultCause): void {
    this.#values[faultCauses.indexOf(cause)]!++;
  }

  /** Copy-on-write breaks of ksm frames, Linux's `cow_ksm`; all others are of the zero frame. */
  get cowKsm(): number {
    return this.#values[faultCauses.length]!;
  }

  set cowKsm(value: number) {
    this.#values[faultCauses.length] = value;
  }

  /** Swap-ins whose contents were found in memory: read ahead, or still being written. */
  get swapCacheHits(): number {
    return this.#values[faultCauses.length + 1]!;
  }

  set swapCacheHits(value: number) {
    this.#values[faultCauses.length + 1] = value;
  }

  /** Faults by devices. */
  get byDevices(): number {
    return this.#values[faultCauses.length + 2]!;
  }

  set byDevices(value: number) {
    this.#values[faultCauses.length + 2] = value;
  }

  saveState(to: StateWriter): void {
    for (const value of this.#values) to.number(value);
  }

  loadState(from: StateReader): void {
    for (let i = 0; i < this.#values.length; i++) this.#values[i] = from.number();
  }
}
