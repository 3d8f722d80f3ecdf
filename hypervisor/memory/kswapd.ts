/** The host's thread that takes frames back before they run out. */
import type { StateReader, StateWriter } from '../state/state.ts';
import type { Books } from './books.ts';
import type { Reclaimer } from './reclaim.ts';
import type { Watermarks } from './watermarks.ts';

/** How long it rests, in virtual ns, when it has looked at everything twice and could take nothing back. */
const pause = 100_000_000;

/** See the top of this file. It wakes when few frames are free, and sleeps when enough are, or will be once they are written. */
export class Kswapd {
  readonly name = 'kswapd';
  /** Times that it was woken. */
  wakes = 0;
  readonly #books: Books;
  readonly #reclaimer: Reclaimer;
  readonly #watermarks: Watermarks;
  #awake = false;
  #restsUntil = 0;
  /** Frames that it has looked at since one of them could be taken back. */
  #inVain = 0;

  constructor(books: Books, reclaimer: Reclaimer, marks: Watermarks) {
    this.#books = books;
    this.#reclaimer = reclaimer;
    this.#watermarks = marks;
  }

  /** Frames short of what it aims at. */
  get #lacking(): number {
    return this.#watermarks.high - this.#books.frames.free - this.#reclaimer.writing;
  }

  /** When it wants CPU time, in virtual ns: Infinity while it sleeps. */
  get next(): number {
    const { frames, swap } = this.#books;
    if (!this.#awake && frames.free >= this.#watermarks.low) return Number.POSITIVE_INFINITY;
    // What is being written is on its way to be free.
    if (swap === undefined || this.#lacking <= 0) return Number.POSITIVE_INFINITY;
    return this.#restsUntil;
  }

  /** Works for `budget` ns of CPU time at most, at virtual time `now`; gives what it used. */
  run(now: number, budget: number): number {
    if (!this.#awake) this.wakes++;
    this.#awake = true;
    const { cpu, scanned, freed, queued } = this.#reclaimer.reclaim(this.#lacking, budget, now, 'kswapd');
    this.#inVain = freed + queued > 0 ? 0 : this.#inVain + scanned;
    if (this.#lacking <= 0) this.#awake = false;
    else if (this.#inVain > 2 * this.#books.frames.count || cpu === 0) {
      this.#awake = false;
      this.#inVain = 0;
      this.#restsUntil = now + pause;
    }
    return cpu;
  }

  saveState(to: StateWriter): void {
    to.number(this.wakes);
    to.bool(this.#awake);
    to.number(this.#restsUntil);
    to.number(this.#inVain);
  }

  loadState(from: StateReader): void {
    this.wakes = from.number();
    this.#awake = from.bool();
    this.#restsUntil = from.number();
    this.#inVain = from.number();
  }
}
