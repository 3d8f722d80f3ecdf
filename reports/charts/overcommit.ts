/** What overcommitment costs: the 99th percentile of host faults against the overcommit ratio. */
import { allFaults, latenciesOf } from '../latencies.ts';
import type { Run, Study, StudyCell } from '../run.ts';
import { type Setting, settingsOf } from '../settings.ts';
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

/** See the top of this file. */
export function overcommitChart(study: Study): Chart | undefined {
  const { settings } = settingsOf(study);
  const tables = settings
    .map((setting) => ({ setting, rows: rowsOf(setting) }))
    .filter(({ rows }) => rows.length > 0);
  const rows = tables.flatMap((each) => each.rows);
  if (rows.length === 0) return undefined;
  const bound = study.cells.map(({ run }) => p99Bound(run, 'fault')).find((each) => each !== undefined);
  const shapes = shapesOf(tables.map(({ setting }) => setting));
  const x: Spec = {
    field: 'ratio',
    type: 'quantitative',
    title: 'overcommit ratio (promised to guests ÷ memory of the host)',
    scale: { domain: [0, 1.05 * Math.max(1, ...rows.map((row) => Number(row.ratio)))], nice: false },
  };
  const y = latencyAxis(rows, 'p99 of host faults', bound === undefined ? [] : [bound]);
  return {
    id: 'overcommit',
    title: 'What overcommitment costs in waiting for memory',
    subtitle: '99th percentile of host faults (logarithmic) against the overcommit ratio',
    reading:
      'Each point is a run. To the right, the guests are promised more of the same memory; up, they wait longer for it. A ' +
      'technique is worth its price as long as its line stays low. Colours stand for techniques (grey: none; as ' +
      'text: several); hollow points are runs without swap.' +
      (bound === undefined ? '' : ' The thin line is the bound that the scenario sets.'),
    legend: [
      ...tables.map(
        ({ setting }, order): LegendEntry => ({
          label: setting.label === '' ? 'Runs' : setting.label,
          colour: setting.colour,
          mark: shapes[order]!,
          hollow: !setting.swap,
        }),
      ),
      ...(bound === undefined ? [] : [{ label: 'Bound on p99', colour: 'ink', mark: 'dotted' } as const]),
    ],
    columns: 1,
    panels: [
      {
        title: null,
        rows,
        height: 280,
        spec: (theme) => ({
          layer: [
            ...(bound === undefined ? [] : limit(theme, y, bound, `bound ${duration(bound)}`)),
            ...tables.flatMap(({ setting }, order) => {
              const color = theme[setting.colour];
              const own = { filter: `datum.setting === ${JSON.stringify(setting.label)}` };
              return [
                {
                  transform: [own],
                  mark: { type: 'line', color, strokeWidth: 1.6, strokeDash: setting.swap ? [] : dashed },
                  encoding: { x, y },
                },
                {
                  transform: [own],
                  mark: {
                    type: 'point',
                    shape: shapes[order]!,
                    stroke: color,
                    fill: setting.swap ? color : theme.background,
                    strokeWidth: 1.8,
                    size: 80,
                    opacity: 1,
                  },
                  encoding: {
                    x,
                    y,
                    tooltip: tooltip([
                      { field: 'setting', title: 'setting' },
                      { field: 'guests', title: 'guests' },
                      { field: 'ratio', title: 'overcommit ratio', format: '.2f' },
                      { field: 'p50', title: 'p50 of host faults' },
                      { field: 'p99', title: 'p99 of host faults' },
                      { field: 'faults', title: 'host faults', format: ',' },
                    ]),
                  },
                },
              ];
            }),
          ],
        }),
      },
    ],
    table: rows.map(({ time_ns, p50, p99, ...row }) => ({ ...row, p99_ns: time_ns! })),
  };
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

function rowsOf(setting: Setting): Row[] {
  const rows = setting.cells.map((cell) => rowOf(cell, setting)).filter((row) => row !== undefined);
  return rows.sort((a, b) => Number(a.ratio) - Number(b.ratio));
}

function rowOf({ run, folder }: StudyCell, setting: Setting): Row | undefined {
  const faults = allFaults(latenciesOf(run));
  const ratio = overcommitRatio(run);
  if (faults === undefined || !Number.isFinite(ratio)) return undefined;
  return {
    setting: setting.label,
    folder,
    guests: run.data.manifest.guests.length,
    ratio,
    p50_ns: faults.p50_ns,
    time_ns: Math.max(1, faults.p99_ns),
    p50: duration(faults.p50_ns),
    p99: duration(faults.p99_ns),
    faults: faults.count,
  };
}
