/**
 * Sees whether a guest does what is asked of its balloon. A guest need not: it may have no driver, its driver may find no pages,
 * take them back under memory pressure, or not care.
 */
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';

/** Closer than this, in pages of 4 KiB, the balloon counts as what was asked for: Linux's driver moves 256 pages at once. */
const CLOSE = 256;

/** What changed at a look. */
export type WatchChange = 'stalled' | 'follows' | undefined;

/** See the top of this file. */
export class BalloonWatch implements Stateful {
  readonly #patience: number;
  /** When it last came nearer or was there, in virtual ns. */
  #since: number;
  #target = 0;
  #actual = 0;
  /** The least distance from the target, in pages, since this was set. */
  #nearest = 0;
  #follows = true;

  /**
   * @param now virtual time in ns
   * @param patience virtual ns for which a balloon may come no nearer to its target
   */
  constructor(now: number, patience: number) {
    this.#since = now;
    this.#patience = patience;
  }

  /** False when it did not come nearer to its target for longer than may be; true again once it does. */
  get follows(): boolean {
    return this.#follows;
  }

  /** When it last came nearer to its target or was there, in virtual ns. */
  get since(): number {
    return this.#since;
  }

  /** Looks at virtual time `now`: `actual` pages are in the balloon where `target` are asked for. */
  look(now: number, target: number, actual: number): WatchChange {
    // Another target is no excuse for one who has not moved.
    if (target !== this.#target) this.#nearest = Math.abs(target - this.#actual);
    this.#target = target;
    this.#actual = actual;
    const distance = Math.abs(target - actual);
    const comes = distance <= CLOSE || distance < this.#nearest;
    if (comes) {
      this.#since = now;
      this.#nearest = distance;
    }
    const follows = comes || (this.#follows && now - this.#since < this.#patience);
    if (follows === this.#follows) return undefined;
    this.#follows = follows;
    return follows ? 'follows' : 'stalled';
  }

  saveState(to: StateWriter): void {
    to.number(this.#since);
    to.number(this.#target);
    to.number(this.#actual);
    to.number(this.#nearest);
    to.bool(this.#follows);
  }

  loadState(from: StateReader): void {
    this.#since = from.number();
    this.#target = from.number();
    this.#actual = from.number();
    this.#nearest = from.number();
    this.#follows = from.bool();
  }
}
