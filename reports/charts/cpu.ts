/** The host's CPUs over time: who uses them, and who waits. */
import { lastSecond, type Run } from '../run.ts';
import { orZero } from '../series.ts';
import { toSeconds } from '../units.ts';
import {
  type Chart,
  dotted,
  largest,
  type Panel,
  type Part,
  pointerRule,
  pointsOf,
  present,
  type Row,
  stackedAreas,
  timeAxis,
  timeLine,
  valueAxis,
} from './chart.ts';
import { rise, spansOf } from './spans.ts';
import { tableOf } from './stacks.ts';

const allParts: readonly Part[] = [
  { field: 'guests_cpus', label: 'Guests', colour: 'private' },
  { field: 'ksmd_cpus', label: 'ksmd', colour: 'merged' },
  { field: 'kswapd_cpus', label: 'kswapd', colour: 'swapped' },
  { field: 'idle_cpus', label: 'Idle', colour: 'idle' },
];

/** Colours of the host's own threads. */
const colours = { ksmd: 'merged', kswapd: 'swapped' } as const;
/** What they are the price of. */
const prices = { ksmd: 'merging', kswapd: 'background reclaim' } as const;

/** See the top of this file. */
export function cpuChart(runs: readonly Run[]): Chart | undefined {
  const tables = runs.map((run) => ({ run, rows: rowsOf(run) }));
  const all = tables.flatMap(({ rows }) => rows);
  if (all.length === 0) return undefined;
  const parts = present(allParts, all);
  const daemons = (['ksmd', 'kswapd'] as const).filter((name) =>
    all.some((row) => row[`${name}_percent`] !== null),
  );
  const alone = `${daemons.join(' and ')} alone`;
  const x = timeAxis(lastSecond(runs));
  const cpus = runs.map(({ data }) => data.manifest.scenario.host.cpus);
  const top = largest(cpus);
  const waiting = largest(all.flatMap((row) => [Number(row.steal_cpus), Number(row.stall_cpus)]));
  const busiest = largest(all.flatMap((row) => [Number(row.ksmd_percent), Number(row.kswapd_percent)]));
  const y = (field: string) => valueAxis(field, 'CPUs', top);
  const vcpus = (field: string) => valueAxis(field, 'vCPUs', Math.max(waiting, 0.01));
  const percent = (field: string) => valueAxis(field, '% of one CPU', Math.max(busiest, 1));
  const of = (run: Run) => (runs.length > 1 ? ` · ${run.label}` : '');
  const line = (color: string, axis: unknown, single: boolean, strokeDash: readonly number[] = []) => ({
    mark: { type: 'line', color, strokeDash, point: single ? pointsOf(color) : false },
    encoding: { x, y: axis },
  });
  const daemonsPanel = (run: Run, rows: readonly Row[]): Panel => ({
    title: `${alone}${of(run)}`,
    rows,
    height: 200,
    spec: (theme) => ({
      layer: [
        ...daemons.map((name) => line(theme[colours[name]], percent(`${name}_percent`), rows.length === 1)),
        pointerRule(theme, x, [
          timeLine,
          ...daemons.map((name) => ({
            field: `${name}_percent`,
            title: `${name} (% of one CPU)`,
            format: '.2f',
          })),
        ]),
      ],
    }),
  });
  const panels = tables.flatMap(({ run, rows }): Panel[] => [
    {
      title: `All CPUs${of(run)}`,
      rows,
      height: 200,
      spec: (theme) => ({
        layer: [
          stackedAreas(theme, x, parts, y, rows.length === 1),
          pointerRule(theme, x, [
            timeLine,
            ...parts.map(({ field, label }) => ({ field, title: `${label} (CPUs)`, format: '.3f' })),
          ]),
        ],
      }),
    },
    {
      title: `Waiting${of(run)}`,
      rows,
      height: 200,
      spec: (theme) => ({
        layer: [
          line(theme.steal, vcpus('steal_cpus'), rows.length === 1),
          line(theme.ink, vcpus('stall_cpus'), rows.length === 1, dotted),
          pointerRule(theme, x, [
            timeLine,
            { field: 'steal_cpus', title: 'vCPUs waiting for a CPU', format: '.3f' },
            { field: 'stall_cpus', title: 'vCPUs waiting for memory', format: '.3f' },
          ]),
        ],
      }),
    },
    ...(daemons.length === 0 ? [] : [daemonsPanel(run, rows)]),
  ]);
  return {
    id: 'cpu',
    title: 'Who uses the host’s CPUs, and who waits for them',
    subtitle: `Physical CPUs in use, and vCPUs that wait, over virtual time${daemons.length > 0 ? `; what ${daemons.join(' and ')} take of one CPU` : ''}`,
    reading:
      '“All CPUs”: the areas add up to the host’s CPUs. “Waiting”: how many vCPUs could run but do not, for want of a CPU ' +
      '(steal) or since they wait for a page of memory (stall).' +
      (daemons.length > 0
        ? ` “${alone}”: the price of ${daemons.map((name) => prices[name]).join(' and ')}, on a scale on which it can be seen.`
        : ''),
    legend: [
      { label: 'vCPUs waiting for a CPU (steal)', colour: 'steal', mark: 'line' },
      { label: 'vCPUs waiting for memory (stall)', colour: 'ink', mark: 'dotted' },
      ...[...parts].reverse().map(({ label, colour }) => ({ label, colour, mark: 'area' as const })),
    ],
    columns: daemons.length > 0 ? 3 : 2,
    panels,
    table: tableOf(runs.map((run) => ({ run, rows: rowsOf(run, Number.POSITIVE_INFINITY) }))),
  };
}

/** Means over at most `most` spans. */
function rowsOf({ samples, guests }: Run, most?: number): Row[] {
  const times = samples.column('time_ns');
  const steal = sumOverGuests(times, guests, 'steal_ns');
  const stall = sumOverGuests(times, guests, 'stall_ns');
  return spansOf(times, most).map((span) => {
    const mean = (counter: Float64Array) => Math.max(0, rise(counter, span));
    const cpus = (name: string) => mean(samples.column(`cpu_${name}_ns`));
    const percentOf = (name: string) =>
      Number.isFinite(samples.column(`cpu_${name}_ns`)[span.at]) ? 100 * cpus(name) : null;
    return {
      time_s: toSeconds(times[span.at]!),
      guests_cpus: cpus('guests'),
      ksmd_cpus: cpus('ksmd'),
      kswapd_cpus: cpus('kswapd'),
      idle_cpus: cpus('idle'),
      steal_cpus: mean(steal),
      stall_cpus: mean(stall),
      ksmd_percent: percentOf('ksmd'),
      kswapd_percent: percentOf('kswapd'),
    };
  });
}

/** A counter summed over all guests at each sample of the host; a guest that has no row there keeps its last value. */
function sumOverGuests(times: Float64Array, guests: Run['guests'], name: string): Float64Array {
  const sum = new Float64Array(times.length);
  for (const { series } of guests) {
    const own = series.column('time_ns');
    const values = series.column(name);
    let row = -1;
    times.forEach((time, at) => {
      while (row + 1 < own.length && own[row + 1]! <= time) row++;
      if (row >= 0) sum[at] = sum[at]! + orZero(values[row]);
    });
  }
  return sum;
}
