/** Each guest's memory over time, with its balloon hanging from the top. */
import { type GuestSeries, lastSecond, type Run } from '../run.ts';
import { known, orZero } from '../series.ts';
import type { Theme } from '../theme.ts';
import { bytesToMiB, decimal, pagesToMiB, toSeconds } from '../units.ts';
import {
  type Chart,
  dotted,
  inkLine,
  type LegendEntry,
  largest,
  type Part,
  present,
  type Row,
  stackLegend,
  type TooltipLine,
  thin,
  timeAxis,
  valueAxis,
} from './chart.ts';
import { stackPanel } from './stacks.ts';

const allParts: readonly Part[] = [
  { field: 'private_mib', label: 'Own frame', colour: 'private' },
  { field: 'merged_mib', label: 'Merged', colour: 'merged' },
  { field: 'zero_mib', label: 'Zero page', colour: 'zero' },
  { field: 'swapped_mib', label: 'In swap', colour: 'swapped' },
  { field: 'reported_mib', label: 'Reported free', colour: 'reported' },
  { field: 'untouched_mib', label: 'Untouched', colour: 'idle' },
  { field: 'ballooned_mib', label: 'In the balloon', colour: 'ballooned' },
];

/** The lines on the balloon's lower edge. */
const edges: readonly LegendEntry[] = [
  { label: 'Balloon: actual size', colour: 'ink', mark: 'line' },
  { label: 'Balloon: target', colour: 'ink', mark: 'dotted' },
];

const lines: readonly TooltipLine[] = [
  { field: 'state', title: 'state' },
  { field: 'balloon_target_mib', title: 'balloon target (MiB)', format: ',.1f' },
  { field: 'balloon_actual_mib', title: 'balloon actual (MiB)', format: ',.1f' },
  { field: 'guest_available_mib', title: 'available, says the guest (MiB)', format: ',.1f' },
];

/** Most panels of a chart; the table has all guests. */
const mostPanels = 12;

/** See the top of this file. */
export function guestsChart(runs: readonly Run[]): Chart | undefined {
  const names = [...new Set(runs.flatMap(({ guests }) => guests.map(({ name }) => name)))];
  const tables = runs.map((run) => ({
    run,
    guests: new Map(run.guests.map((guest) => [guest.name, rowsOf(guest)])),
  }));
  const all = tables.flatMap(({ guests }) => [...guests.values()].flat());
  if (all.length === 0) return undefined;
  const drawn = thin(names, Math.max(1, Math.floor(mostPanels / runs.length)));
  const top = largest(all.map((row) => Number(row.memory_mib)));
  const parts = present(allParts, all);
  const ballooning = all.some(
    (row) => Number(row.balloon_actual_mib) > 0 || Number(row.balloon_target_mib) > 0,
  );
  const x = timeAxis(lastSecond(runs));
  const y = (field: string) => valueAxis(field, 'memory (MiB)', top, { axis: { tickCount: 3 } });
  return {
    id: 'guests',
    title: `What stands behind each guest’s memory${ballooning ? ', and its balloon' : ''}`,
    subtitle:
      'Memory of a guest (MiB) over virtual time' +
      (drawn.length < names.length
        ? `: ${drawn.length} of ${decimal(names.length)} guests, all in the table`
        : ''),
    reading:
      'Each panel is one guest; its areas add up to the memory that it was promised.' +
      (ballooning
        ? ' The balloon hangs from the top: the solid line is its size as the guest’s driver says it, the dotted line the ' +
          'size that the host asks for. Where the two lines part, the guest does not follow, or not yet.'
        : ''),
    legend: [...(ballooning ? edges : []), ...stackLegend(parts)],
    columns: runs.length > 1 ? runs.length : drawn.length === 4 ? 2 : Math.min(3, Math.max(1, drawn.length)),
    panels: drawn.flatMap((name) =>
      tables.map(({ run, guests }) =>
        stackPanel(
          runs.length > 1 ? `${name} · ${run.label}` : name,
          thin(guests.get(name) ?? [], 200),
          130,
          { x, y, parts, over: ballooning ? edgesOf : undefined, lines },
        ),
      ),
    ),
    table: tables.flatMap(({ run, guests }) =>
      [...guests].flatMap(([guest, rows]) => rows.map((row) => ({ run: run.label, guest, ...row }))),
    ),
  };

  function edgesOf(theme: Theme, points: boolean) {
    const mark = { interpolate: 'step-after', points } as const;
    return [
      ...inkLine(theme, { x, y: y('balloon_actual_edge_mib') }, [], mark),
      ...inkLine(theme, { x, y: y('balloon_target_edge_mib') }, dotted, mark),
    ];
  }
}

function rowsOf({ series, memoryBytes }: GuestSeries): Row[] {
  const memory = bytesToMiB(memoryBytes);
  return Array.from(series.column('time_ns'), (time, at) => {
    const mib = (name: string) => pagesToMiB(orZero(series.column(name)[at]));
    const target = series.column('balloon_target_pages')[at]!;
    const actual = series.column('balloon_actual_pages')[at]!;
    return {
      time_s: toSeconds(time),
      state: series.name('state', at),
      memory_mib: memory,
      private_mib: Math.max(0, mib('resident_pages') - mib('shared_pages') - mib('zero_pages')),
      merged_mib: mib('shared_pages'),
      zero_mib: mib('zero_pages'),
      swapped_mib: mib('swapped_pages'),
      reported_mib: mib('reported_pages'),
      untouched_mib: mib('untouched_pages'),
      ballooned_mib: mib('ballooned_pages'),
      balloon_target_mib: known(pagesToMiB(target)),
      balloon_actual_mib: known(pagesToMiB(actual)),
      balloon_target_edge_mib: known(memory - pagesToMiB(target)),
      balloon_actual_edge_mib: known(memory - pagesToMiB(actual)),
      guest_available_mib: known(bytesToMiB(series.column('guest_available_bytes')[at]!)),
    };
  });
}
