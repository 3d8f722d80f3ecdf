/**
 * What a balloon policy is: at its own interval in virtual time it looks at the host and its guests and asks for sizes.
 *
 * Sizes are what is left to a guest, in bytes, as QEMU's `balloon` command has them, not what is in its balloon. A policy sees figures, each with its age
 * where it has one, and no devices; so it can be tested by itself, and a new one needs no more than new figures in what it sees.
 */
import type { Stateful } from '../state/state.ts';
import type { BalloonStats } from '../virtio/balloon/stats.ts';

/** A guest as a policy sees it. */
export interface PolicyGuest {
  /** Stands for the guest as long as it exists. */
  readonly id: number;
  /** The least that may be left to it, and the most: its memory, or less. */
  readonly minimum: number;
  readonly maximum: number;
  /** The size that its owner has set. */
  readonly configured: number;
  /** What is left to it now. */
  readonly size: number;
  /** What was asked for last. */
  readonly target: number;
  /** What it last said of its memory, and in ns how long ago; undefined when it has said nothing since its driver started. */
  readonly stats: BalloonStats['values'] | undefined;
  readonly statsAge: number;
  /** False when it did not approach what was asked for; see `watch.ts`. */
  readonly follows: boolean;
}

/** The host as a policy sees it. */
export interface PolicyView {
  /** Virtual time in ns. */
  readonly now: number;
  /** Memory for guests' pages, in bytes. */
  readonly memory: number;
  /** What is free of it. */
  readonly free: number;
  /** In the order of their ids. */
  readonly guests: readonly PolicyGuest[];
}

/** Asks that `size` bytes be left to a guest; more or less than its bounds allow is asked for as the bound. */
export type Ask = (guest: PolicyGuest, size: number) => void;

/** See the top of this file. */
export interface BalloonPolicy extends Stateful {
  readonly name: string;
  /** Virtual ns between looks at the host, and between decisions. Where both fall together, the look comes first. */
  readonly sampleInterval: number;
  readonly decisionInterval: number;
  /** Takes note of how things are, for policies that decide by averages. */
  sample(view: PolicyView): void;
  /** Asks for what should change. */
  decide(view: PolicyView, ask: Ask): void;
}
