/** Distributions of times in a run's tables. */
import { type Bucket, distributionOf } from './format/distribution.ts';
import type { Distribution } from './format/result.ts';
import type { Run } from './run.ts';

/** Times of one kind and cause, of one guest or of the host. */
export interface Latency {
  /** A guest's name, or `host` for all guests together. */
  readonly scope: string;
  readonly kind: string;
  readonly cause: string;
  readonly distribution: Distribution;
  /** The ranges that they were counted in, ascending; none when only percentiles are known. */
  readonly buckets: readonly Bucket[];
}

/** What all guests together are called in the tables. */
export const hostScope = 'host';

/** The distributions of a run that have anything in them; none when the run was killed before it wrote them. */
export function latenciesOf({ data }: Run): Latency[] {
  const { latency, histogram } = data.tables;
  if (!latency.has('scope')) return [];
  const buckets = new Map<string, Bucket[]>();
  if (histogram.has('scope')) {
    const key = keyOf(histogram);
    const upper = histogram.numbers('upper_ns');
    const count = histogram.numbers('count');
    for (let row = 0; row < histogram.rows; row++) {
      const list = buckets.get(key(row)) ?? [];
      list.push({ upper: upper[row]!, count: count[row]! });
      buckets.set(key(row), list);
    }
  }
  const key = keyOf(latency);
  const figures = (name: string, row: number) => latency.numbers(name)[row]!;
  return Array.from({ length: latency.rows }, (_, row) => ({
    scope: latency.names('scope')[row]!,
    kind: latency.names('kind')[row]!,
    cause: latency.names('cause')[row]!,
    distribution: {
      count: figures('count', row),
      p50_ns: figures('p50_ns', row),
      p90_ns: figures('p90_ns', row),
      p99_ns: figures('p99_ns', row),
      p999_ns: figures('p999_ns', row),
      max_ns: figures('max_ns', row),
    },
    buckets: (buckets.get(key(row)) ?? []).sort((a, b) => a.upper - b.upper),
  })).filter(({ distribution }) => distribution.count > 0);
}

function keyOf(table: Run['data']['tables']['latency']): (row: number) => string {
  const [scope, kind, cause] = ['scope', 'kind', 'cause'].map((name) => table.names(name));
  return (row) => JSON.stringify([scope![row], kind![row], cause![row]]);
}

/** All host faults of a run: the `all` of its table, or else its causes added up. */
export function allFaults(latencies: readonly Latency[]): Distribution | undefined {
  const faults = latencies.filter(({ scope, kind }) => scope === hostScope && kind === 'fault');
  const all = faults.find(({ cause }) => cause === 'all');
  if (all !== undefined || faults.length === 0) return all?.distribution;
  return addedUp(faults);
}

/** What the applications of a run measured, operation by operation, all guests added up. */
export function allOperations(latencies: readonly Latency[]): { name: string; distribution: Distribution }[] {
  const own = latencies.filter(({ scope, kind }) => kind === 'application' && scope !== hostScope);
  const names = [...new Set(own.map(({ cause }) => cause))];
  return names.map((name) => ({ name, distribution: addedUp(own.filter(({ cause }) => cause === name)) }));
}

function addedUp(latencies: readonly Latency[]): Distribution {
  const counts = new Map<number, number>();
  for (const { upper, count } of latencies.flatMap(({ buckets }) => buckets)) {
    counts.set(upper, (counts.get(upper) ?? 0) + count);
  }
  const buckets = [...counts].sort(([a], [b]) => a - b).map(([upper, count]) => ({ upper, count }));
  return distributionOf(buckets, Math.max(...latencies.map(({ distribution }) => distribution.max_ns)));
}
