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

/** Counters of a guest's faults. Those of devices, whose latency nobody waits for, are among them. */
export class FaultCounters implements Stateful {
  readonly counts: Record<FaultCause, number> = {
    first_touch: 0,
    cow_break: 0,
    swap_in: 0,
    balloon_return: 0,
    reporting_return: 0,
  };
  /** Copy-on-write breaks of ksm frames, Linux's `cow_ksm`; all others are of the zero frame. */
  cowKsm = 0;
  /** Swap-ins whose contents were found in memory: read ahead, or still being written. */
  swapCacheHits = 0;
  /** Faults by devices. */
  byDevices = 0;

  saveState(to: StateWriter): void {
    for (const cause of faultCauses) to.number(this.counts[cause]);
    to.number(this.cowKsm);
    to.number(this.swapCacheHits);
    to.number(this.byDevices);
  }

  loadState(from: StateReader): void {
    for (const cause of faultCauses) this.counts[cause] = from.number();
    this.cowKsm = from.number();
    this.swapCacheHits = from.number();
    this.byDevices = from.number();
  }
}
