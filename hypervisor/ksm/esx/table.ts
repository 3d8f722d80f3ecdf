/**
 * The hash table of a scanner as ESX has it: for each content that it knows, where it was seen. Entries are of two kinds: a *shared*
 * frame, which is write-protected, and a *hint*: a page that had that content when it was scanned, and may have been written to since.
 *
 * Entries are rows of typed arrays, numbered from 1, chained by hash.
 */
import { StateError, type StateReader, type StateWriter } from '../../state/state.ts';

const firstRows = 1024;

/** See the top of this file. */
export class ContentTable {
  #capacity = firstRows;
  /** Low and high half of each entry's hash. */
  low = new Uint32Array(firstRows);
  high = new Uint32Array(firstRows);
  /** The frame of a shared entry; 0 for a hint. */
  frame = new Uint32Array(firstRows);
  /** Guest and page of a hint; the guest is 0 in a row that is not in use. */
  guest = new Uint32Array(firstRows);
  page = new Uint32Array(firstRows);
  /** Next entry in the same bucket, or the next row that is not in use. */
  #next = new Uint32Array(firstRows);
  #buckets = new Uint32Array(firstRows);
  /** Rows that were in use and are not. */
  #free = 0;
  /** Rows up to here have been in use. */
  #used = 0;
  /** Number of entries. */
  size = 0;

  #bucket(low: number): number {
    return low & (this.#buckets.length - 1);
  }

  /** The entry of a hash, 0 when there is none. */
  find(low: number, high: number): number {
    let entry = this.#buckets[this.#bucket(low)]!;
    while (entry !== 0 && (this.low[entry] !== low || this.high[entry] !== high)) entry = this.#next[entry]!;
    return entry;
  }

  #grow(): void {
    this.#capacity *= 2;
    const grown = (rows: Uint32Array) => {
      const larger = new Uint32Array(this.#capacity);
      larger.set(rows);
      return larger;
    };
    this.low = grown(this.low);
    this.high = grown(this.high);
    this.frame = grown(this.frame);
    this.guest = grown(this.guest);
    this.page = grown(this.page);
    this.#next = new Uint32Array(this.#capacity);
    this.#buckets = new Uint32Array(this.#capacity);
    // Rows are only added when none is free, so each has an entry.
    for (let entry = 1; entry <= this.#used; entry++) this.#link(entry);
  }

  #link(entry: number): void {
    const bucket = this.#bucket(this.low[entry]!);
    this.#next[entry] = this.#buckets[bucket]!;
    this.#buckets[bucket] = entry;
  }

  /** Adds a hint for a hash that has no entry; gives its number. */
  add(low: number, high: number, guest: number, page: number): number {
    let entry = this.#free;
    if (entry !== 0) this.#free = this.#next[entry]!;
    else {
      if (this.#used + 1 === this.#capacity) this.#grow();
      entry = ++this.#used;
    }
    this.low[entry] = low;
    this.high[entry] = high;
    this.frame[entry] = 0;
    this.guest[entry] = guest;
    this.page[entry] = page;
    this.#link(entry);
    this.size++;
    return entry;
  }

  /** Removes an entry. */
  remove(entry: number): void {
    const bucket = this.#bucket(this.low[entry]!);
    let at = this.#buckets[bucket]!;
    if (at === entry) this.#buckets[bucket] = this.#next[entry]!;
    else {
      while (this.#next[at] !== entry) at = this.#next[at]!;
      this.#next[at] = this.#next[entry]!;
    }
    this.guest[entry] = 0;
    this.frame[entry] = 0;
    this.#next[entry] = this.#free;
    this.#free = entry;
    this.size--;
  }

  /** The numbers of all entries, ascending. */
  *entries(): Generator<number> {
    for (let entry = 1; entry <= this.#used; entry++) if (this.guest[entry] !== 0) yield entry;
  }

  /** Writes all entries, and the rows not in use in the order in which they will be used. The frames of shared entries are not written. */
  saveState(to: StateWriter): void {
    to.u32(this.#used);
    for (let entry = 1; entry <= this.#used; entry++) {
      to.u32(this.guest[entry]!);
      if (this.guest[entry] === 0) continue;
      to.u32(this.low[entry]!);
      to.u32(this.high[entry]!);
      to.u32(this.page[entry]!);
    }
    const free: number[] = [];
    for (let entry = this.#free; entry !== 0; entry = this.#next[entry]!) free.push(entry);
    to.list(free, (entry) => to.u32(entry));
  }

  /** Takes entries up; the frames of shared ones are to be set again. */
  loadState(from: StateReader): void {
    const used = from.u32();
    this.#used = 0;
    this.#buckets.fill(0);
    while (used + 1 > this.#capacity) this.#grow();
    this.#used = used;
    this.size = 0;
    this.frame.fill(0);
    for (let entry = 1; entry <= used; entry++) {
      this.guest[entry] = from.u32();
      if (this.guest[entry] === 0) continue;
      this.low[entry] = from.u32();
      this.high[entry] = from.u32();
      this.page[entry] = from.u32();
      this.#link(entry);
      this.size++;
    }
    const free = from.list(() => from.u32());
    if (free.some((entry) => entry < 1 || entry > used)) throw new StateError('a free row is out of range');
    free.forEach((entry, i) => {
      this.#next[entry] = free[i + 1] ?? 0;
    });
    this.#free = free[0] ?? 0;
  }
}
