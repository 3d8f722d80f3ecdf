/**
 * Adds up the times that are measured in a run: those that vCPUs waited for the host, which the host counts from the
 * start, and those that workloads measure, which they report piece by piece.
 */
import { type Bucket, distributionOf } from '../../reports/format/distribution.ts';
import type { LatencyRecord } from '../../reports/format/write.ts';
import type { LatencyLine } from '../../workloads/report.ts';
import type { FaultTimes } from './host.ts';

/** Times in ranges, to which more can be added. */
class Times {
  readonly #counts = new Map<number, number>();
  #max = 0;

  add(buckets: readonly Bucket[], max: number): void {
    for (const { upper, count } of buckets) this.#counts.set(upper, (this.#counts.get(upper) ?? 0) + count);
    this.#max = Math.max(this.#max, max);
  }

  record(scope: string, kind: LatencyRecord['kind'], cause: string): LatencyRecord[] {
    const buckets = [...this.#counts]
      .filter(([, count]) => count > 0)
      .sort(([a], [b]) => a - b)
      .map(([upper, count]) => ({ upper, count }));
    if (buckets.length === 0) return [];
    return [{ scope, kind, cause, distribution: distributionOf(buckets, this.#max), buckets }];
  }
}

/** Times by cause, in the order in which causes are first seen. */
class TimesByCause {
  readonly #causes = new Map<string, Times>();

  add(cause: string, buckets: readonly Bucket[], max: number): void {
    const times = this.#causes.get(cause) ?? new Times();
    times.add(buckets, max);
    this.#causes.set(cause, times);
  }

  records(scope: string, kind: LatencyRecord['kind']): LatencyRecord[] {
    return [...this.#causes].flatMap(([cause, times]) => times.record(scope, kind, cause));
  }
}

/** See the top of this file. */
export class Latencies {
  readonly #names: readonly string[];
  readonly #applications: TimesByCause[];
  #before: readonly FaultTimes[] = [];

  /** `names` are those of the guests. */
  constructor(names: readonly string[]) {
    this.#names = names;
    this.#applications = names.map(() => new TimesByCause());
  }

  /** Forgets all times so far, those that the host had counted (`faults`) too. */
  startCounting(faults: readonly FaultTimes[]): void {
    this.#before = faults;
    this.#applications.forEach((_, guest) => {
      this.#applications[guest] = new TimesByCause();
    });
  }

  /** Takes a workload's line of event `latency`, which counts what no other line does. */
  addLine(guest: number, { name, buckets, max_ns }: LatencyLine): void {
    const counted = buckets.map(([upper, count]) => ({ upper, count }));
    this.#applications[guest]!.add(name, counted, max_ns);
  }

  /** All that was counted, for the host (all guests together) and for each guest. `faults` is what the host has counted by now. */
  records(faults: readonly FaultTimes[]): LatencyRecord[] {
    const since = faults.map((each) => this.#since(each));
    const scopes = ['host', ...this.#names];
    return scopes.flatMap((scope, index) => {
      const byCause = new TimesByCause();
      const all = new Times();
      for (const { guest, cause, buckets, max } of since) {
        if (scope !== 'host' && guest !== index - 1) continue;
        byCause.add(cause, buckets, max);
        all.add(buckets, max);
      }
      // Operations of different workloads are no one thing: the host has none.
      const application =
        scope === 'host' ? [] : this.#applications[index - 1]!.records(scope, 'application');
      return [...all.record(scope, 'fault', 'all'), ...byCause.records(scope, 'fault'), ...application];
    });
  }

  /** The times of one kind without those before counting began. */
  #since(times: FaultTimes): FaultTimes {
    const before = this.#before.find(({ guest, cause }) => guest === times.guest && cause === times.cause);
    if (before === undefined) return times;
    const counted = new Map(before.buckets.map(({ upper, count }) => [upper, count]));
    const buckets = times.buckets
      .map(({ upper, count }) => ({ upper, count: count - (counted.get(upper) ?? 0) }))
      .filter(({ count }) => count > 0);
    // A longest time that was there before may belong to what is left out; then the ranges tell.
    const max = times.max > before.max ? times.max : Math.min(times.max, buckets.at(-1)?.upper ?? 0);
    return { ...times, buckets, max };
  }
}
