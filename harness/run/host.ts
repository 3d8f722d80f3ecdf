/**
 * What the runner needs of a host. `hypervisorhost.ts` is the one implementation: it puts the hypervisor behind this.
 *
 * Guests are named by their number, from 0 in the order of `guestPlans`. All times are virtual ns since the host was
 * switched on. Nothing here may depend on the wall clock.
 */
import type { Column } from '../../reports/format/columns.ts';
import type { Cell } from '../../reports/format/csv.ts';
import type { Bucket } from '../../reports/format/distribution.ts';
import type { RunEvent } from '../../reports/format/lines.ts';
import type { GuestPlan, Scenario } from '../scenario/resolve.ts';

/** A guest's files and what it is told. */
export interface GuestSetup {
  readonly plan: GuestPlan;
  /** A kernel as `Guest.boot` takes it. */
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  /** Path of the image's read-only disk, which guests of the image share; undefined when it has none. */
  readonly disk: string | undefined;
  readonly commandLine: string;
  /** Where the guest's randomness comes from. */
  readonly seed: number;
}

/**
 * Takes what guests send, during {@link RunHost.run}: that of one time in the order of the guests' numbers. The bytes are
 * valid during the call only.
 */
export interface GuestListener {
  /** To the serial console. */
  console(guest: number, bytes: Uint8Array): void;
  /** To the virtio console port of the workload, at virtual time `time`. */
  workload(guest: number, bytes: Uint8Array, time: number): void;
}

/** What a host is made of. */
export interface HostSetup {
  readonly scenario: Scenario;
  /** The file of a scanner of the user's own, when the scenario names one. */
  readonly scannerFile: string | undefined;
  readonly guests: readonly GuestSetup[];
  readonly listener: GuestListener;
  /** Threads that guests are run on. No figure depends on it. */
  readonly workers: number;
}

/** A distribution of times, in ns. */
export interface Times {
  /** In ascending order; a range always ends at the same time in a run, so that counts can be subtracted. */
  readonly buckets: readonly Bucket[];
  /** The longest so far. */
  readonly max: number;
}

/** Times that vCPUs waited for the host's memory, counted from the start of the run. */
export interface FaultTimes extends Times {
  readonly guest: number;
  /** One of `faultCauses` (`reports/format/columns.ts`). */
  readonly cause: string;
}

/** What was measured of merging from the start of the run, whatever scanner merged. */
export interface MergeTimes {
  /** How long merges that have ended had lasted. */
  readonly lifetimes: Times;
  /** From the sample in which a page was first found to be a duplicate to its merge. */
  readonly waits: Times;
  /** Merges of pages that were no duplicates in the sample before. */
  readonly unsampled: number;
  readonly savedByteSeconds: number;
  readonly savedPeakBytes: number;
}

/** Figures at one time, by column name; one that the host does not know at that time is left out. */
export interface HostSample {
  /** For `samples.csv`. */
  readonly host: Readonly<Record<string, Cell>>;
  /** For `guests.csv`, a row a guest in the order of their numbers. */
  readonly guests: readonly Readonly<Record<string, Cell>>[];
}

/** How a guest has ended. */
export interface GuestEnding {
  /** `power off`, `reset`, `removed`, `out of memory`, … */
  readonly reason: string;
  /** Whether a guest may end so by its own will. */
  readonly failed: boolean;
}

/** See the top of this file. */
export interface RunHost {
  readonly time: number;
  /**
   * Columns of `samples` and `guests` that {@link sample} fills. The runner itself fills `time_ns`, `guests_up`,
   * `guests_ended`, `believed_bytes`, `guest` and `state`.
   */
  readonly columns: readonly Column[];
  /** Constants of the cost model, in ns. */
  readonly costs: Readonly<Record<string, number>>;
  /** Runs all guests, and what is between them, up to virtual time `until`. */
  run(until: number): void;
  /** Switches a guest on, at the present time. */
  start(guest: number): void;
  /** Takes a guest's power away, and its memory. */
  remove(guest: number): void;
  /** How a guest has ended; undefined while it has not. */
  ending(guest: number): GuestEnding | undefined;
  /** Sends bytes to a guest's workload port. */
  tellWorkload(guest: number, bytes: Uint8Array): void;
  /** Sets the size of a guest's balloon; a policy may ask for another. */
  setBalloon(guest: number, bytes: number): void;
  /** Switches merging on, of a scenario that has a scanner. */
  startMerging(): void;
  /** Sets a knob of the scanner. Gives why it was refused, if it was. */
  setKnob(name: string, value: number | string): string | undefined;
  sample(): HostSample;
  /** Proves the books of the host's memory. Throws an error that names what is wrong. */
  check(): void;
  /** SHA-256 of the state of all that takes part, in hexadecimal. */
  stateHash(): string;
  faultTimes(): readonly FaultTimes[];
  /** Undefined when there is no scanner. */
  merging(): MergeTimes | undefined;
  /** What happened since it was asked last, in the order of time. */
  takeEvents(): readonly RunEvent[];
  /** Gives back what lies outside the process, such as a swap file. */
  close(): void;
}

/** Makes a host. Throws `UserError` for what it cannot be. */
export type MakeHost = (setup: HostSetup) => Promise<RunHost>;
