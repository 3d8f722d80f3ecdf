/** Ranges of table entries that are free: given out from the lowest that fits, and taken back. */

/** Entries in a row. */
export interface EntryRange {
  readonly first: number;
  readonly count: number;
}

/** See the top of this file. */
export class FreeRanges {
  /** Ascending; no two of them meet. */
  #free: EntryRange[] = [];

  /** The first of `count` entries in a row, which are free no longer; 0 when there are not so many. */
  take(count: number): number {
    const at = this.#free.findIndex((range) => range.count >= count);
    if (at < 0) return 0;
    const { first, count: had } = this.#free[at]!;
    if (had === count) this.#free.splice(at, 1);
    else this.#free[at] = { first: first + count, count: had - count };
    return first;
  }

  /** Makes entries free that were not. */
  give({ first, count }: EntryRange): void {
    if (count === 0) return;
    let at = this.#free.findIndex((range) => range.first > first);
    if (at < 0) at = this.#free.length;
    let start = first;
    let end = first + count;
    let replaced = 0;
    const before = this.#free[at - 1];
    if (before !== undefined && before.first + before.count === start) {
      start = before.first;
      at--;
      replaced++;
    }
    const after = this.#free[at + replaced];
    if (after !== undefined && after.first === end) {
      end += after.count;
      replaced++;
    }
    this.#free.splice(at, replaced, { first: start, count: end - start });
  }
}
