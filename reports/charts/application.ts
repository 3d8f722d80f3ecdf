/** Latencies that the workloads measured by their guests' own clocks. */
import { hostScope, latenciesOf } from '../latencies.ts';
import type { Run } from '../run.ts';
import { duration } from '../units.ts';
import { type Chart, limit, type Panel, type Row, thin } from './chart.ts';
import { p99Bound, warmupNote } from './faults.ts';
import { curve, latencyAxis, pointerPoint, shareAxis } from './percentiles.ts';

/** Most panels; the table has all operations. */
const mostPanels = 8;

/** See the top of this file. */
export function applicationChart(runs: readonly Run[]): Chart | undefined {
  const measured = runs.map((run) => ({
    run,
    rows: latenciesOf(run)
      .filter(({ kind }) => kind === 'application')
      .flatMap((latency) =>
        curve(latency, {
          operation: latency.cause,
          guest: latency.scope === hostScope ? 'all guests' : latency.scope,
        }),
      ),
  }));
  const tables = measured.filter(({ rows }) => rows.length > 0);
  const all = tables.flatMap(({ rows }) => rows);
  if (all.length === 0) return undefined;
  const operations = [...new Set(all.map((row) => String(row.operation)))];
  const drawn = thin(operations, Math.max(1, Math.floor(mostPanels / tables.length)));
  const x = shareAxis(all, 'operations');
  const bounds = runs.flatMap((run) => p99Bound(run, 'application') ?? []);
  const y = latencyAxis(all, 'time of an operation', bounds);
  const panelOf = (
    operation: string,
    run: Run,
    own: readonly Row[],
    bound = p99Bound(run, 'application'),
  ): Panel => ({
    title: runs.length > 1 ? `${operation} · ${run.label}` : operation,
    rows: own.filter((row) => row.operation === operation),
    height: 180,
    spec: (theme) => ({
      layer: [
        {
          transform: [{ filter: "datum.guest !== 'all guests'" }],
          mark: { type: 'line', interpolate: 'step-before', color: theme.private, strokeWidth: 1.2 },
          encoding: { x, y, detail: { field: 'guest', type: 'nominal' } },
        },
        {
          transform: [{ filter: "datum.guest === 'all guests'" }],
          mark: {
            type: 'line',
            interpolate: 'step-before',
            color: theme.ink,
            strokeWidth: 2,
            strokeDash: [6, 4],
          },
          encoding: { x, y },
        },
        ...(bound === undefined ? [] : limit(theme, y, bound, `bound ${duration(bound)}`)),
        pointerPoint(theme, x, y, { field: 'guest', title: 'guest' }),
      ],
    }),
  });
  return {
    id: 'application',
    title: 'How long the applications’ own operations take',
    subtitle:
      'Time by the guest’s clock (logarithmic) by the share of operations that took no longer' +
      (drawn.length < operations.length ? `: ${drawn.length} of ${operations.length} operations` : ''),
    reading:
      'Each panel is an operation that a workload measured, each line a guest. What the host takes from a guest while it ' +
      'waits is in these times. Compare the tails, at 99 and beyond: that is where stalls for memory show.' +
      warmupNote(runs),
    legend: [
      { label: 'One guest', colour: 'private', mark: 'line' },
      ...(all.some((row) => row.guest === 'all guests')
        ? [{ label: 'All guests together', colour: 'ink', mark: 'dashed' } as const]
        : []),
      ...(bounds.length > 0 ? [{ label: 'Bound on p99', colour: 'ink', mark: 'dotted' } as const] : []),
    ],
    columns: tables.length > 1 ? tables.length : 2,
    panels: drawn.flatMap((operation) => tables.map(({ run, rows }) => panelOf(operation, run, rows))),
    table: tables.flatMap(({ run, rows }) =>
      rows.map(({ operation, guest, share_percent, time_ns }) => ({
        run: run.label,
        operation: operation!,
        guest: guest!,
        share_percent: share_percent!,
        time_ns: time_ns!,
      })),
    ),
  };
}
