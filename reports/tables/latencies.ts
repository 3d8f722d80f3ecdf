/** Percentiles of all distributions of the host and of the applications. */
import { faultCauses } from '../charts/faults.ts';
import { hostScope, type Latency, latenciesOf } from '../latencies.ts';
import type { Run } from '../run.ts';
import { decimal, duration } from '../units.ts';
import type { Table } from './table.ts';

/** Host faults of all guests first, cause by cause, then those of each guest, then applications. */
function order({ scope, kind, cause }: Latency): number {
  if (kind !== 'fault') return 1e6;
  const causes = Object.keys(faultCauses);
  const place = causes.includes(cause) ? causes.indexOf(cause) : causes.length;
  return scope === hostScope ? place : 1000;
}

/** See the top of this file. Undefined when no run has any. */
export function latenciesTable(runs: readonly Run[]): Table | undefined {
  const all = runs.flatMap((run) =>
    latenciesOf(run)
      .toSorted((a, b) => order(a) - order(b))
      .map((latency) => ({ run: run.label, ...latency })),
  );
  if (all.length === 0) return undefined;
  const shown = all.filter(({ scope, kind }) => scope === hostScope || kind === 'application');
  const several = runs.length > 1;
  return {
    id: 'latencies',
    title: 'Latencies',
    note: 'Host faults of all guests together, by cause, and what the applications measured. The file has each guest’s.',
    head: [...(several ? ['run'] : []), 'what', 'where', 'count', 'p50', 'p90', 'p99', 'p99.9', 'longest'],
    figures: [...(several ? [false] : []), false, false, true, true, true, true, true, true],
    body: shown.map(({ run, scope, kind, cause, distribution }) => [
      ...(several ? [run] : []),
      kind === 'fault' ? (faultCauses[cause]?.label ?? cause) : cause,
      scope === hostScope ? 'all guests' : scope,
      decimal(distribution.count),
      duration(distribution.p50_ns),
      duration(distribution.p90_ns),
      duration(distribution.p99_ns),
      duration(distribution.p999_ns),
      duration(distribution.max_ns),
    ]),
    rows: all.map(({ run, scope, kind, cause, distribution }) => ({
      run,
      scope,
      kind,
      cause,
      ...distribution,
    })),
  };
}
