/** Swap over time: traffic and slots in use. */
import { lastSecond, type Run } from '../run.ts';
import { orZero } from '../series.ts';
import { pagesToMiB, size, toSeconds } from '../units.ts';
import {
  type Chart,
  largest,
  type Panel,
  pointerRule,
  type Row,
  timeAxis,
  timeLine,
  valueAxis,
} from './chart.ts';
import { rise, spansOf } from './spans.ts';
import { tableOf } from './stacks.ts';

/** See the top of this file. */
export function swapChart(runs: readonly Run[]): Chart | undefined {
  const using = runs.filter(({ samples }) => samples.any('swap_slots_used') || samples.any('pswpout'));
  if (using.length === 0) return undefined;
  const tables = using.map((run) => ({ run, rows: rowsOf(run) }));
  const all = tables.flatMap(({ rows }) => rows);
  const traffic = Math.max(
    1e-3,
    largest(all.flatMap((row) => [Number(row.out_mib_s), Number(row.in_mib_s)])),
  );
  const slots = largest(all.map((row) => Number(row.slots_mib)));
  const x = timeAxis(lastSecond(runs));
  const trafficAxis = (field: string) => ({
    field,
    type: 'quantitative',
    title: 'read ↓  written ↑  (MiB/s)',
    scale: { domain: [-traffic, traffic], nice: true },
    axis: { labelExpr: "format(abs(datum.value), ',~g')" },
  });
  const area = (color: string, field: string, y: unknown, opacity: number, single: boolean) => ({
    mark: single
      ? { type: 'bar', size: 24, color, opacity }
      : { type: 'area', color, opacity, interpolate: field === 'slots_mib' ? 'linear' : 'step-before' },
    encoding: { x, y },
  });
  const of = (run: Run) => (runs.length > 1 ? ` · ${run.label}` : '');
  const panels = tables.flatMap(({ run, rows }): Panel[] => [
    {
      title: `Traffic${of(run)}`,
      rows,
      height: 200,
      spec: (theme) => ({
        layer: [
          area(theme.swapped, 'out_mib_s', trafficAxis('out_mib_s'), 1, rows.length === 1),
          area(theme.swapped, 'in_below_mib_s', trafficAxis('in_below_mib_s'), 0.6, rows.length === 1),
          { mark: { type: 'rule', color: theme.muted }, encoding: { y: { datum: 0, type: 'quantitative' } } },
          pointerRule(theme, x, [
            timeLine,
            { field: 'out_mib_s', title: 'written (MiB/s)', format: ',.2f' },
            { field: 'in_mib_s', title: 'read (MiB/s)', format: ',.2f' },
          ]),
        ],
      }),
    },
    {
      title: `Slots in use${of(run)}${limitOf(run)}`,
      rows,
      height: 200,
      spec: (theme) => ({
        layer: [
          area(
            theme.swapped,
            'slots_mib',
            valueAxis('slots_mib', 'swap in use (MiB)', slots),
            1,
            rows.length === 1,
          ),
          pointerRule(theme, x, [timeLine, { field: 'slots_mib', title: 'in use (MiB)', format: ',.1f' }]),
        ],
      }),
    },
  ]);
  return {
    id: 'swap',
    title: 'What goes to swap, and what comes back',
    subtitle: 'Pages written to and read from swap (MiB/s), and slots in use (MiB), over virtual time',
    reading:
      '“Traffic”: what is written to swap goes up from the middle, what is read back goes down. Pages that are read back ' +
      'soon after they were written show that the guests need more memory than they are left with. “Slots in use”: what is in swap.',
    legend: [],
    columns: 2,
    panels,
    table: tableOf(using.map((run) => ({ run, rows: rowsOf(run, Number.POSITIVE_INFINITY) }))),
  };
}

function limitOf({ data }: Run): string {
  const { swap } = data.manifest.scenario.host;
  return typeof swap === 'object' ? ` (of ${size(swap.size)})` : '';
}

/** Rates over at most `most` spans. */
function rowsOf({ samples }: Run, most?: number): Row[] {
  const times = samples.column('time_ns');
  return spansOf(times, most).map((span) => {
    const rate = (name: string) => pagesToMiB(rise(samples.column(name), span)) * 1e9;
    return {
      time_s: toSeconds(times[span.at]!),
      out_mib_s: rate('pswpout'),
      in_mib_s: rate('pswpin'),
      in_below_mib_s: -rate('pswpin'),
      slots_mib: pagesToMiB(orZero(samples.column('swap_slots_used')[span.at])),
    };
  });
}
