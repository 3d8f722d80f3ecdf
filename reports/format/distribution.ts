/** Percentiles of times that are counted in ranges. */
import type { Distribution } from './result.ts';

/** A range of times that ends at `upper` (ns, which belongs to it), and how many fell into it. */
export interface Bucket {
  readonly upper: number;
  readonly count: number;
}

/**
 * Percentiles of buckets in ascending order: the upper end of the range in which that rank lies, and never above the
 * longest time, `max`, which is known exactly.
 */
export function distributionOf(buckets: readonly Bucket[], max: number): Distribution {
  const count = buckets.reduce((sum, bucket) => sum + bucket.count, 0);
  // In thousandths, so that 99.9 % of a thousand is rank 999 and not a rounding error above it.
  const percentile = (thousandths: number) => {
    const rank = Math.ceil((count * thousandths) / 1000);
    let seen = 0;
    for (const bucket of buckets) {
      seen += bucket.count;
      if (seen >= rank) return Math.min(bucket.upper, max);
    }
    return max;
  };
  return {
    count,
    p50_ns: percentile(500),
    p90_ns: percentile(900),
    p99_ns: percentile(990),
    p999_ns: percentile(999),
    max_ns: max,
  };
}
