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
  thin,
  timeAxis,
  valueAxis,
} from './chart.ts';

/** See the top of this file. */
export function swapChart(runs: readonly Run[]): Chart | undefined {
  const using = runs.filter(({ samples }) => samples.any('swap_slots_used') || samples.any('pswpout'));
  if (using.length === 0) return undefined;
  const tables = using.map((run) => ({ run, rows: rowsOf(run, 400) }));
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
            { field: 'time_s', title: 'time (s)', format: ',.2f' },
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
          pointerRule(theme, x, [
            { field: 'time_s', title: 'time (s)', format: ',.2f' },
            { field: 'slots_mib', title: 'in use (MiB)', format: ',.1f' },
          ]),
        ],
      }),
    },
  ]);
  return {
    id: 'swap',
    title: 'What goes to swap, and what comes back',
    subtitle: 'Pages written to and read from swap (MiB/s), and slots in use (MiB), over virtual time',
    reading:
      'Left: what is written to swap goes up from the middle, what is read back goes down. Pages that are read back ' +
      'soon after they were written show that the guests need more memory than they are left with. Right: what is in swap.',
    legend: [],
    columns: 2,
    panels,
    table: using.flatMap((run) =>
      rowsOf(run, Number.POSITIVE_INFINITY).map((row) => ({ run: run.label, ...row })),
    ),
  };
}

function limitOf({ data }: Run): string {
  const { swap } = data.manifest.scenario.host;
  return typeof swap === 'object' ? ` (of ${size(swap.size)})` : '';
}

/** Rates between samples; of at most `most` samples, so that a rate is the mean over what is left out. */
function rowsOf({ samples }: Run, most: number): Row[] {
  const times = samples.column('time_ns');
  const indices = thin(
    Array.from(times, (_, at) => at),
    most,
  );
  return indices.map((at, order) => {
    const before = order === 0 ? undefined : indices[order - 1]!;
    const rate = (name: string) => {
      const pages = samples.column(name)[at]! - (before === undefined ? 0 : samples.column(name)[before]!);
      const seconds = toSeconds(times[at]! - (before === undefined ? 0 : times[before]!));
      return seconds > 0 ? orZero(pagesToMiB(pages) / seconds) : 0;
    };
    return {
      time_s: toSeconds(times[at]!),
      out_mib_s: rate('pswpout'),
      in_mib_s: rate('pswpin'),
      in_below_mib_s: -rate('pswpin'),
      slots_mib: pagesToMiB(orZero(samples.column('swap_slots_used')[at])),
    };
  });
}
