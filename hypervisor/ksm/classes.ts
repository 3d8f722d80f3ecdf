/** Contents by their hash, each with a few counts: a hash table of typed arrays that is filled anew for each sample. */

const firstClasses = 1 << 12;
/** The table is at most half full. */
const spread = 2;

/** See the top of this file. Classes are numbered from 0 in the order in which they came. */
export class ContentClasses {
  #capacity = 0;
  /** Number of classes. */
  size = 0;
  /** Halves of each class's hash. */
  low = new Uint32Array(0);
  high = new Uint32Array(0);
  /** Frames and pages with that content, and the last guest in which it was found. */
  frames = new Uint32Array(0);
  pages = new Uint32Array(0);
  lastGuest = new Uint32Array(0);
  /** Class + 1 by hash; 0 for nothing. */
  #table = new Uint32Array(0);

  constructor() {
    this.#grow(firstClasses);
  }

  #grow(capacity: number): void {
    this.#capacity = capacity;
    const grown = (from: Uint32Array) => {
      const to = new Uint32Array(capacity);
      to.set(from);
      return to;
    };
    this.low = grown(this.low);
    this.high = grown(this.high);
    this.frames = grown(this.frames);
    this.pages = grown(this.pages);
    this.lastGuest = grown(this.lastGuest);
    this.#table = new Uint32Array(capacity * spread);
    for (let known = 0; known < this.size; known++) {
      this.#table[this.#search(this.low[known]!, this.high[known]!)] = known + 1;
    }
  }

  /** Forgets all classes. */
  clear(): void {
    this.#table.fill(0);
    this.size = 0;
  }

  /** The place of the table where a hash is, or would be. */
  #search(low: number, high: number): number {
    const mask = this.#table.length - 1;
    let at = low & mask;
    for (let known = this.#table[at]!; known !== 0; known = this.#table[at]!) {
      if (this.low[known - 1] === low && this.high[known - 1] === high) break;
      at = (at + 1) & mask;
    }
    return at;
  }

  /** The class of a hash, -1 when there is none. */
  find(low: number, high: number): number {
    return this.#table[this.#search(low, high)]! - 1;
  }

  /** The class of a hash, made when there is none. */
  of(low: number, high: number): number {
    const at = this.#search(low, high);
    if (this.#table[at] !== 0) return this.#table[at]! - 1;
    if (this.size === this.#capacity) {
      this.#grow(this.#capacity * 2);
      return this.of(low, high);
    }
    const made = this.size++;
    this.low[made] = low;
    this.high[made] = high;
    this.frames[made] = 0;
    this.pages[made] = 0;
    this.lastGuest[made] = 0;
    this.#table[at] = made + 1;
    return made;
  }
}
