/** How long vCPUs wait for the host's memory, by cause. */
import { hostScope, latenciesOf } from '../latencies.ts';
import type { Run } from '../run.ts';
import type { Colour } from '../theme.ts';
import { duration } from '../units.ts';
import { type Chart, dashed, type LegendEntry, limit } from './chart.ts';
import { curve, latencyAxis, pointerPoint, shareAxis } from './percentiles.ts';

/** Causes of host faults: what a reader calls them, and the colour of the technique that they are the price of. */
export const faultCauses: Readonly<Record<string, { label: string; colour: Colour }>> = {
  first_touch: { label: 'First touch of a page', colour: 'private' },
  cow_break: { label: 'Write to a merged page', colour: 'merged' },
  swap_in: { label: 'Page was in swap', colour: 'swapped' },
  balloon_return: { label: 'Page was in the balloon', colour: 'ballooned' },
  reporting_return: { label: 'Page was reported free', colour: 'reported' },
  all: { label: 'All host faults', colour: 'ink' },
};

/** The bound on the 99th percentile of host faults, or of operations, that the scenario gives, in ns. */
export function p99Bound({ data }: Run, kind: 'fault' | 'application'): number | undefined {
  return data.manifest.scenario.slo?.[`${kind}_p99`];
}

/** Tells which times the scenario leaves out. */
export function warmupNote(runs: readonly Run[]): string {
  const warmups = new Set(runs.map(({ data }) => Number(data.manifest.scenario.warmup ?? 0)));
  if (warmups.size > 1) return ' Times of each run’s warm-up, as its scenario has it, are left out.';
  const [warmup] = warmups;
  return warmup ? ` Times of the first ${duration(warmup)}, the warm-up, are left out.` : '';
}

/** See the top of this file. */
export function faultsChart(runs: readonly Run[]): Chart | undefined {
  const tables = runs.map((run) => ({
    run,
    rows: latenciesOf(run)
      .filter(({ scope, kind }) => scope === hostScope && kind === 'fault')
      .flatMap((latency) =>
        curve(latency, { cause: latency.cause, name: faultCauses[latency.cause]?.label ?? latency.cause }),
      ),
  }));
  const all = tables.flatMap(({ rows }) => rows);
  if (all.length === 0) return undefined;
  const bounds = runs.flatMap((run) => p99Bound(run, 'fault') ?? []);
  const x = shareAxis(all, 'host faults');
  const y = latencyAxis(all, 'time of a host fault', bounds);
  const causes = Object.keys(faultCauses).filter((cause) => all.some((row) => row.cause === cause));
  const legend = causes.map((cause): LegendEntry => {
    const { label, colour } = faultCauses[cause]!;
    return { label, colour, mark: cause === 'all' ? 'dashed' : 'line' };
  });
  return {
    id: 'faults',
    title: 'How long guests wait for the host’s memory',
    subtitle: 'Time of a host fault (logarithmic) by the share of faults that took no longer, by cause',
    reading:
      'Follow a curve to 99 on the horizontal axis: its height is the time that 99 in 100 faults of that cause ' +
      'took at most. Each further nine has the same width, so that the rare long waits can be seen. ' +
      (bounds.length > 0 ? 'The thin line is the bound that the scenario sets on the 99th percentile.' : '') +
      warmupNote(runs),
    legend: [
      ...legend,
      ...(bounds.length > 0 ? [{ label: 'Bound on p99', colour: 'ink', mark: 'dotted' } as const] : []),
    ],
    columns: 2,
    panels: tables.map(({ run, rows }) => {
      const bound = p99Bound(run, 'fault');
      return {
        title: runs.length > 1 ? run.label : null,
        rows,
        height: 260,
        spec: (theme) => ({
          layer: [
            {
              mark: { type: 'line', interpolate: 'step-before', strokeWidth: 2 },
              encoding: {
                x,
                y,
                color: {
                  field: 'cause',
                  type: 'nominal',
                  scale: { domain: causes, range: causes.map((cause) => theme[faultCauses[cause]!.colour]) },
                  legend: null,
                },
                strokeDash: {
                  condition: { test: "datum.cause === 'all'", value: dashed },
                  value: [],
                },
              },
            },
            ...(bound === undefined ? [] : limit(theme, y, bound, `bound ${duration(bound)}`)),
            pointerPoint(theme, x, y, { field: 'name', title: 'cause' }),
          ],
        }),
      };
    }),
    table: tables.flatMap(({ run, rows }) =>
      rows.map(({ cause, share_percent, time_ns }) => ({
        run: run.label,
        cause: cause!,
        share_percent: share_percent!,
        time_ns: time_ns!,
      })),
    ),
  };
}
