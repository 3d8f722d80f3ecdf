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

/** See the top of this file. */
export class SpaceLog {
  #words = new Uint32Array(words * 256);
  #length = 0;

  /** Number of entries. */
  get length(): number {
    return this.#length;
  }

  /** Adds an entry. */
  push(kind: number, page: number, first: number, second: number): void {
    const at = this.#length++ * words;
    if (at === this.#words.length) {
      const grown = new Uint32Array(2 * this.#words.length);
      grown.set(this.#words);
      this.#words = grown;
    }
    this.#words[at] = kind;
    this.#words[at + 1] = page;
    this.#words[at + 2] = first;
    this.#words[at + 3] = second;
  }

  kind(entry: number): number {
    return this.#words[entry * words]!;
  }

  page(entry: number): number {
    return this.#words[entry * words + 1]!;
  }

  /** The first word after the page. */
  first(entry: number): number {
    return this.#words[entry * words + 2]!;
  }

  /** The second word after the page. */
  second(entry: number): number {
    return this.#words[entry * words + 3]!;
  }

  clear(): void {
    this.#length = 0;
  }
}
