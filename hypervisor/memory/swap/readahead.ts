/**
 * How many pages are read from swap together when a guest needs one. A guest that goes through its memory in the order in which it was written to
 * swap finds its neighbours read already; one that jumps about does not, and what is read for nothing takes frames and
 * bandwidth. So each guest has a window that follows what it used of the pages in memory since its last read.
 */
import type { Stateful, StateReader, StateWriter } from '../../state/state.ts';

/** See the top of this file. It belongs to one guest. */
export class ReadAhead implements Stateful {
  /** Pages read together, the one that is needed among them: a power of two; 0 before the first read. */
  #window = 0;
  /** The slot that was needed last, and how many others were read with it. */
  #last = 0;
  #ahead = 0;
  /** What the guest had found in memory by then. */
  #hits = 0;

  /**
   * The guest needs a slot that must be read. Gives how many are to be read, at most `most` (a power of two). It is twice as many as last time when
   * at least half of what was read ahead then was used, and half as many otherwise; one alone becomes two when the next one is needed.
   * @param hits swapped pages that the guest has found in memory so far
   */
  next(slot: number, hits: number, most: number): number {
    const used = hits - this.#hits;
    const isNext = Math.abs(slot - this.#last) === 1;
    if (this.#window === 0) this.#window = most;
    else if (this.#window === 1) this.#window = used > 0 || isNext ? 2 : 1;
    else if (this.#ahead > 0) this.#window = 2 * used >= this.#ahead ? 2 * this.#window : this.#window / 2;
    this.#window = Math.min(this.#window, most);
    this.#last = slot;
    this.#hits = hits;
    return this.#window;
  }

  /** So many pages were read with the one that was needed: fewer where neighbours are of no use, or frames are short. */
  was(ahead: number): void {
    this.#ahead = ahead;
  }

  saveState(to: StateWriter): void {
    to.u8(this.#window);
    to.u32(this.#last);
    to.u8(this.#ahead);
    to.number(this.#hits);
  }

  loadState(from: StateReader): void {
    this.#window = from.u8();
    this.#last = from.u32();
    this.#ahead = from.u8();
    this.#hits = from.number();
  }
}
