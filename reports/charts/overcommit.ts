/** What overcommitment costs: the 99th percentile of host faults against the overcommit ratio. */
import type { Distribution } from '../format/result.ts';
import { allFaults, hostScope, latenciesOf } from '../latencies.ts';
import type { Run, Study, StudyCell } from '../run.ts';
import { type Setting, settingsOf } from '../settings.ts';
import type { Theme } from '../theme.ts';
import { duration } from '../units.ts';
import {
  type Chart,
  dashed,
  type LegendEntry,
  limit,
  type PointShape,
  pointShapes,
  type Row,
  type Spec,
  tooltip,
} from './chart.ts';
import { p99Bound } from './faults.ts';
import { latencyAxis } from './percentiles.ts';

/** Most that the guests of a run were promised at a time, by the memory of the host. */
export function overcommitRatio({ samples, data }: Run): number {
  return samples.most('believed_bytes') / data.manifest.scenario.host.memory;
}

/** A time that overcommitment costs. */
interface Cost {
  readonly kind: 'fault' | 'application';
  readonly title: string;
  /** What is timed. */
  readonly what: string;
  readonly of: (run: Run) => Distribution | undefined;
}

const costs: readonly Cost[] = [
  { kind: 'fault', title: 'Host faults', what: 'host faults', of: (run) => allFaults(latenciesOf(run)) },
  {
    kind: 'application',
    title: 'The applications’ operations, in the worst guest',
    what: 'operations',
    of: worstOperation,
  },
];

/** The operation of a guest that has the longest 99th percentile. */
function worstOperation(run: Run): Distribution | undefined {
  return latenciesOf(run)
    .filter(({ scope, kind }) => kind === 'application' && scope !== hostScope)
    .map(({ distribution }) => distribution)
    .reduce<Distribution | undefined>((a, b) => (a === undefined || b.p99_ns > a.p99_ns ? b : a), undefined);
}

/** See the top of this file. */
export function overcommitChart(study: Study): Chart | undefined {
  const { settings } = settingsOf(study);
  const shapes = shapesOf(settings);
  const measured = costs
    .map((cost) => ({
      cost,
      tables: settings.map((setting) => ({ setting, rows: rowsOf(setting, cost) })),
      bound: study.cells.map(({ run }) => p99Bound(run, cost.kind)).find((each) => each !== undefined),
    }))
    .filter(({ tables }) => tables.some(({ rows }) => rows.length > 0));
  if (measured.length === 0) return undefined;
  const all = measured.flatMap(({ tables }) => tables.flatMap(({ rows }) => rows));
  const drawn = settings.filter((setting) => all.some((row) => row.setting === setting.label));
  const bounded = measured.some(({ bound }) => bound !== undefined);
  const x: Spec = {
    field: 'ratio',
    type: 'quantitative',
    title: 'overcommit ratio (promised ÷ host’s memory)',
    scale: { domain: [0, 1.05 * Math.max(1, ...all.map((row) => Number(row.ratio)))], nice: false },
  };
  return {
    id: 'overcommit',
    title: 'What overcommitment costs in waiting for memory',
    subtitle: `99th percentile of ${measured.map(({ cost }) => cost.what).join(' and of ')} (logarithmic) against the overcommit ratio`,
    reading:
      'Each point is a run. To the right, the guests are promised more of the same memory; up, they wait longer for it. A ' +
      'technique is worth its price as long as its line stays low. Colours stand for techniques (grey: none; as ' +
      'text: several); hollow points are runs without swap. A run in which nothing had to wait has no point.' +
      (bounded ? ' The dotted line is the bound that the scenario sets.' : ''),
    legend: [
      ...drawn.map(
        (setting): LegendEntry => ({
          label: setting.label === '' ? 'Runs' : setting.label,
          colour: setting.colour,
          mark: shapes[settings.indexOf(setting)]!,
          hollow: !setting.swap,
        }),
      ),
      ...(bounded ? [{ label: 'Bound on p99', colour: 'ink', mark: 'dotted' } as const] : []),
    ],
    columns: measured.length,
    panels: measured.map(({ cost, tables, bound }) => {
      const rows = tables.flatMap((each) => each.rows);
      const y = latencyAxis(rows, `p99 of ${cost.what}`, bound === undefined ? [] : [bound]);
      return {
        title: measured.length > 1 ? cost.title : null,
        rows,
        height: 280,
        spec: (theme) => ({
          layer: [
            ...(bound === undefined ? [] : limit(theme, y, bound, `bound ${duration(bound)}`)),
            ...tables.flatMap(({ setting }, order) =>
              // Where points lie on each other, the earlier show around the later.
              lineOf(setting, shapes[order]!, 80 + 90 * (tables.length - 1 - order), theme, x, y),
            ),
          ],
        }),
      };
    }),
    table: all.map(({ time_ns, p50, p99, ...row }) => ({ ...row, p99_ns: time_ns! })),
  };
}

/** A setting's line with its points, of so many square pixels. */
function lineOf(setting: Setting, shape: PointShape, size: number, theme: Theme, x: Spec, y: Spec): Spec[] {
  const color = theme[setting.colour];
  const transform = [{ filter: `datum.setting === ${JSON.stringify(setting.label)}` }];
  return [
    {
      transform,
      mark: { type: 'line', color, strokeWidth: 1.6, strokeDash: setting.swap ? [] : dashed },
      encoding: { x, y },
    },
    {
      transform,
      mark: {
        type: 'point',
        shape,
        stroke: color,
        fill: setting.swap ? color : theme.background,
        strokeWidth: 1.8,
        size,
        opacity: 1,
      },
      encoding: {
        x,
        y,
        tooltip: tooltip([
          { field: 'setting', title: 'setting' },
          { field: 'guests', title: 'guests' },
          { field: 'ratio', title: 'overcommit ratio', format: '.2f' },
          { field: 'what', title: 'time of' },
          { field: 'p50', title: 'p50' },
          { field: 'p99', title: 'p99' },
          { field: 'count', title: 'how many', format: ',' },
        ]),
      },
    },
  ];
}

/** A shape for each setting. Those that differ by swap alone have the same, once hollow and once filled. */
function shapesOf(settings: readonly Setting[]): PointShape[] {
  const keys = settings.map(({ colour, swap }, order) => {
    const earlier = settings.slice(0, order).filter((each) => each.colour === colour && each.swap === swap);
    return `${colour} ${earlier.length}`;
  });
  const order = [...new Set(keys)];
  return keys.map((key) => pointShapes[order.indexOf(key) % pointShapes.length]!);
}

function rowsOf(setting: Setting, cost: Cost): Row[] {
  const rows = setting.cells.map((cell) => rowOf(cell, setting, cost)).filter((row) => row !== undefined);
  return rows.sort((a, b) => Number(a.ratio) - Number(b.ratio));
}

function rowOf({ run, folder }: StudyCell, setting: Setting, { what, of }: Cost): Row | undefined {
  const times = of(run);
  const ratio = overcommitRatio(run);
  if (times === undefined || !Number.isFinite(ratio)) return undefined;
  return {
    setting: setting.label,
    folder,
    guests: run.data.manifest.guests.length,
    ratio,
    what,
    p50_ns: times.p50_ns,
    time_ns: Math.max(1, times.p99_ns),
    p50: duration(times.p50_ns),
    p99: duration(times.p99_ns),
    count: times.count,
  };
}
