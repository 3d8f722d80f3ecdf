/** The guests' memory over time: what stands behind each page that they believe they have. */
import { lastSecond, type Run } from '../run.ts';
import { orZero } from '../series.ts';
import { bytesToMiB, pagesToMiB, toSeconds } from '../units.ts';
import {
  type Chart,
  dashed,
  largest,
  level,
  type Part,
  present,
  type Row,
  stackLegend,
  timeAxis,
  valueAxis,
} from './chart.ts';
import { stackPanels, tableOf } from './stacks.ts';

/** What may stand behind a page that a guest believes it has. */
export const backing: readonly Part[] = [
  { field: 'framed_mib', label: 'Has a host frame', colour: 'private' },
  { field: 'merged_mib', label: 'Saved by merging', colour: 'merged' },
  { field: 'zero_mib', label: 'Saved by the zero page', colour: 'zero' },
  { field: 'ballooned_mib', label: 'In the balloon', colour: 'ballooned' },
  { field: 'swapped_mib', label: 'In swap', colour: 'swapped' },
  { field: 'reported_mib', label: 'Reported free', colour: 'reported' },
  { field: 'untouched_mib', label: 'Untouched', colour: 'idle' },
];

/** See the top of this file. */
export function believedChart(runs: readonly Run[]): Chart | undefined {
  const tables = runs.map((run) => ({ run, rows: backingRows(run) }));
  if (tables.every(({ rows }) => rows.length === 0)) return undefined;
  const all = tables.flatMap(({ rows }) => rows);
  const top = largest(all.map((row) => Math.max(Number(row.believed_mib), Number(row.host_mib))));
  const parts = present(backing, all);
  const x = timeAxis(lastSecond(runs));
  const y = (field: string) => valueAxis(field, 'memory of all guests (MiB)', top);
  return {
    id: 'believed',
    title: 'What stands behind the guests’ memory',
    subtitle:
      'Memory that guests were promised (MiB) by what backs it; the dashed line is the memory of the host',
    reading:
      'The areas add up to what the guests were promised. Only the lowest takes up memory of the host; every other ' +
      'is saved, by the technique that its colour stands for. The lowest area must stay below the dashed line.',
    legend: [{ label: 'Memory of the host', colour: 'ink', mark: 'dashed' }, ...stackLegend(parts)],
    columns: 2,
    panels: stackPanels(tables, { x, y, parts, over: (theme) => level(theme, y('host_mib'), dashed) }),
    table: tableOf(tables),
  };
}

/** What backs the guests' memory at each sample. Pages that are nowhere else were never touched. */
export function backingRows({ samples, data }: Run): Row[] {
  const host = bytesToMiB(data.manifest.scenario.host.memory);
  return Array.from(samples.column('time_ns'), (time, at) => {
    const mib = (name: string) => pagesToMiB(orZero(samples.column(name)[at]));
    const believed = bytesToMiB(orZero(samples.column('believed_bytes')[at]));
    const sizes = {
      framed_mib: Math.max(0, mib('mapped_pages') - mib('saved_merged') - mib('saved_zero')),
      merged_mib: mib('saved_merged'),
      zero_mib: mib('saved_zero'),
      ballooned_mib: mib('saved_ballooned'),
      swapped_mib: mib('saved_swapped'),
      reported_mib: mib('saved_reported'),
    };
    const sum = Object.values(sizes).reduce((total, size) => total + size, 0);
    return {
      time_s: toSeconds(time),
      host_mib: host,
      believed_mib: believed,
      ...sizes,
      untouched_mib: Math.max(0, believed - sum),
    };
  });
}
