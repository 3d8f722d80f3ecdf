/**
 * What a guest did to its memory map during a round, in order. The guest changes its own slots at once; what concerns the
 * whole host (reference counts, reverse map, classes, swap slots) is done from this log between rounds (`books.ts`).
 */

/** Kinds of entries. Each has a page, and two more words by its kind. */
export const logged = {
  /** The page got a frame of its own: frame. */
  touch: 0,
  /** The page was read before it was written, and maps the zero frame. */
  zero: 1,
  /** Copy-on-write break: the page got a frame of its own in place of a shared one: frame, old frame with {@link byScanner}. */
  break: 2,
  /** The page lost its frame: frame with {@link byScanner}. */
  drop: 3,
  /** The page's contents in swap are not needed any more: swap slot. */
  dropSwapped: 4,
  /** The page got a frame of its own with the contents of a swap slot: frame, swap slot. */
  load: 5,
} as const;

/** Low bit of a frame's address in an entry: it was the zero frame, where a scanner had put it. */
export const byScanner = 1;

const words = 4;
/** Entries that have a place in the guest's block; a round that has more, such as one that inflates the balloon, has the rest beside it. */
const mostShared = 256;

/** Bytes of a log in a guest's block. */
export const logBytes = 4 * (1 + words * mostShared);

/**
 * See the top of this file. The first entries stand in memory, where the guest's thread and the host's both see them; what lies behind is the
 * writer's, who hands it over when the round is over.
 */
export class SpaceLog {
  /** The number of entries in memory, and these. */
  readonly #shared: Uint32Array;
  #rest = new Uint32Array(0);
  #restLength = 0;

  /** @param shared {@link logBytes} of memory */
  constructor(shared: Uint32Array) {
    this.#shared = shared;
  }

  /** Number of entries. */
  get length(): number {
    return this.#shared[0]! + this.#restLength;
  }

  /** Adds an entry. */
  push(kind: number, page: number, first: number, second: number): void {
    const { length } = this;
    if (length < mostShared) {
      this.#shared[0] = length + 1;
      set(this.#shared, 1 + length * words, kind, page, first, second);
      return;
    }
    this.#makeRoom(1);
    set(this.#rest, this.#restLength++ * words, kind, page, first, second);
  }

  #makeRoom(entries: number): void {
    const needed = (this.#restLength + entries) * words;
    if (needed <= this.#rest.length) return;
    const grown = new Uint32Array(Math.max(needed, 2 * this.#rest.length, words * mostShared));
    grown.set(this.#rest.subarray(0, this.#restLength * words));
    this.#rest = grown;
  }

  /** Takes the entries that have no place in memory, to be given to {@link addRest} of the log in the host's thread; undefined when there are none. */
  takeRest(): Uint32Array | undefined {
    if (this.#restLength === 0) return undefined;
    const rest = this.#rest.slice(0, this.#restLength * words);
    this.#restLength = 0;
    return rest;
  }

  /** Adds entries that another thread's log has handed over. */
  addRest(rest: Uint32Array): void {
    this.#makeRoom(rest.length / words);
    this.#rest.set(rest, this.#restLength * words);
    this.#restLength += rest.length / words;
  }

  #word(entry: number, word: number): number {
    return entry < mostShared
      ? this.#shared[1 + entry * words + word]!
      : this.#rest[(entry - mostShared) * words + word]!;
  }

  kind(entry: number): number {
    return this.#word(entry, 0);
  }

  page(entry: number): number {
    return this.#word(entry, 1);
  }

  /** The first word after the page. */
  first(entry: number): number {
    return this.#word(entry, 2);
  }

  /** The second word after the page. */
  second(entry: number): number {
    return this.#word(entry, 3);
  }

  clear(): void {
    this.#shared[0] = 0;
    this.#restLength = 0;
  }
}

function set(
  array: Uint32Array,
  at: number,
  kind: number,
  page: number,
  first: number,
  second: number,
): void {
  array[at] = kind;
  array[at + 1] = page;
  array[at + 2] = first;
  array[at + 3] = second;
}
