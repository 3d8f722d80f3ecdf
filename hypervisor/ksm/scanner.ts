/**
 * What a same-page scanner is to the host that runs it.
 *
 * A scanner works between rounds, through `MergeMemory`: it chooses pages, compares contents and merges. It uses CPU
 * time, which it counts by the cost model, and wants the CPU again at a time that it names. Everything that it decides follows from its
 * own state, virtual time and the contents of memory; chance comes from a generator seeded by the host. `docs/scanners.md` shows how to write one.
 */
import type { Costs } from '../clock/costs.ts';
import type { MergeMemory, MergeSpace } from '../memory/merge.ts';
import type { Stateful } from '../state/state.ts';

/** Why a knob was refused: the errors of Linux's sysfs, by name. */
export type KnobErrorCode = 'EINVAL' | 'ERANGE' | 'EBUSY' | 'ENOENT' | 'ENOMEM';

/** A knob was refused; `code` says why as Linux would, the message also for people. */
export class KnobError extends Error {
  override name = 'KnobError';
  readonly code: KnobErrorCode;

  constructor(code: KnobErrorCode, message: string) {
    super(`${message} (${code})`);
    this.code = code;
  }
}

/** A value that a knob is given; numbers and truth values stand for what one would write to sysfs. */
export type KnobValue = string | number | boolean;

/** The settings of a scanner, by name. */
export interface Knobs {
  readonly names: readonly string[];
  /** The value as sysfs shows it. Throws {@link KnobError} for an unknown name. */
  get(name: string): string;
  /** Sets a knob; the scanner acts on it when it next runs, some at once. Throws {@link KnobError}. */
  set(name: string, value: KnobValue): void;
}

/** CPU time that a scanner used, and when it wants more. */
export interface Turn {
  /** Virtual ns of CPU used; never above the budget. */
  readonly used: number;
  /** Virtual time (ns) at which it wants the CPU again; Infinity: not before a knob is set or a guest is added. */
  readonly next: number;
}

/** How far a scanner is with a page that is not merged. */
export type Standing =
  /** Not looked at, or not often enough to be merged. */
  | 'unseen'
  /** Its content differed from that of the visit before. */
  | 'volatile'
  /** Passed over for a while, as its content found no twin (smart scan). */
  | 'skipped'
  /** Seen and unchanged; it waits for a twin. */
  | 'waiting';

/** See the top of this file. */
export interface Scanner extends Stateful {
  /** Name of the scanner: a kernel profile or the like. */
  readonly name: string;
  readonly knobs: Knobs;
  /** When it wants the CPU, as in {@link Turn}; knobs that were set and guests that were added are seen at once. */
  readonly next: number;
  /** Virtual ns of CPU used in all. */
  readonly cpuTime: number;
  /** Works at virtual time `now` (ns) for at most `budget` ns of CPU. */
  run(now: number, budget: number): Turn;
  /** The host's counters, by Linux's names where Linux has them. */
  counters(): Record<string, number>;
  /** A guest's counters. */
  countersOf(space: MergeSpace): Record<string, number>;
  /** How far it is with a page that has a frame of its own. `hash` is the low half of XXH64, seed 0, of its present content. */
  standing(space: MergeSpace, page: number, hash: number): Standing;
  /** True when a further page may share that merged frame. */
  takesMore(frame: number): boolean;
}

/** What a scanner is made with. */
export interface ScannerOptions {
  readonly memory: MergeMemory;
  readonly costs: Costs;
  /** For scanners that use chance. */
  readonly seed: number;
}

/** Makes a scanner; what a file with a scanner of one's own exports as `createScanner`. */
export type CreateScanner = (options: ScannerOptions) => Scanner;
