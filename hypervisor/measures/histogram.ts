/**
 * A histogram of durations with a bounded relative error, after HdrHistogram (Gil Tene): buckets are linear within a power of two, so that
 * two significant digits hold from a nanosecond to months, in a fixed array of counts.
 *
 * It is written here, since its counts are state of the machine: they are saved, hashed and taken up again like everything else.
 */
import { StateError, type Stateful, type StateReader, type StateWriter } from '../state/state.ts';

/** Values below this have a bucket each; from here on, a power of two has half as many. HdrHistogram's two significant digits. */
const LINEAR = 256;
const HALF = LINEAR / 2;
const HALF_BITS = 7;
/** Values up to 2^53 − 1. */
const VALUE_BITS = 53;
const BUCKETS = (VALUE_BITS - HALF_BITS) * HALF + HALF;

/** Index of the bucket that a value lies in. */
function bucketOf(value: number): number {
  if (value < LINEAR) return value;
  const bits = value < 2 ** 32 ? 32 - Math.clz32(value) : 64 - Math.clz32(value / 2 ** 32);
  const shift = bits - HALF_BITS - 1;
  return shift * HALF + Math.floor(value / 2 ** shift);
}

/** The largest value in a bucket. */
function largestIn(bucket: number): number {
  if (bucket < LINEAR) return bucket;
  const shift = Math.floor(bucket / HALF) - 1;
  return (bucket - shift * HALF + 1) * 2 ** shift - 1;
}

/** See the top of this file. */
export class Histogram implements Stateful {
  readonly #counts = new Uint32Array(BUCKETS);
  #count = 0;
  #sum = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = 0;

  /** Counts a duration: whole, from 0 to 2^53 − 1. */
  record(value: number): void {
    this.#counts[bucketOf(value)]!++;
    this.#count++;
    this.#sum += value;
    if (value < this.#min) this.#min = value;
    if (value > this.#max) this.#max = value;
  }

  /** Counts all that another histogram has counted. */
  add(other: Histogram): void {
    for (let i = 0; i < BUCKETS; i++) this.#counts[i]! += other.#counts[i]!;
    this.#count += other.#count;
    this.#sum += other.#sum;
    this.#min = Math.min(this.#min, other.#min);
    this.#max = Math.max(this.#max, other.#max);
  }

  /** How many durations were counted. */
  get count(): number {
    return this.#count;
  }

  /** Their sum. */
  get sum(): number {
    return this.#sum;
  }

  /** The shortest, exactly; 0 when there is none. */
  get min(): number {
    return this.#count === 0 ? 0 : this.#min;
  }

  /** The longest, exactly; 0 when there is none. */
  get max(): number {
    return this.#max;
  }

  /** The mean; 0 when there is none. */
  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }

  /**
   * A duration that `share` (0 … 10,000 parts of 10,000: 9990 is p99.9) of those counted do not exceed, no more than 1/128 above the
   * least such; 0 when there is none.
   */
  quantile(share: number): number {
    if (this.#count === 0) return 0;
    let left = Math.max(1, Math.ceil((this.#count * share) / 10_000));
    let bucket = 0;
    for (;;) {
      left -= this.#counts[bucket]!;
      if (left <= 0) return Math.min(largestIn(bucket), this.#max);
      bucket++;
    }
  }

  /** Calls `visit` for each bucket in which something was counted: its largest value and its count, in ascending order. */
  buckets(visit: (largest: number, count: number) => void): void {
    for (let i = 0; i < BUCKETS; i++) if (this.#counts[i] !== 0) visit(largestIn(i), this.#counts[i]!);
  }

  saveState(to: StateWriter): void {
    to.number(this.#count);
    to.number(this.#sum);
    to.number(this.#min);
    to.number(this.#max);
    let used = 0;
    for (const count of this.#counts) if (count !== 0) used++;
    to.u32(used);
    for (let i = 0; i < BUCKETS; i++) {
      if (this.#counts[i] === 0) continue;
      to.u16(i);
      to.u32(this.#counts[i]!);
    }
  }

  loadState(from: StateReader): void {
    this.#count = from.number();
    this.#sum = from.number();
    this.#min = from.number();
    this.#max = from.number();
    this.#counts.fill(0);
    for (let left = from.u32(); left > 0; left--) {
      const bucket = from.u16();
      if (bucket >= BUCKETS) throw new StateError(`a histogram has no bucket ${bucket}`);
      this.#counts[bucket] = from.u32();
    }
  }
}
