/** The host's memory over time: which frames are in use for what. */
import type { Run } from '../run.ts';
import { lastSecond } from '../run.ts';
import { known, orZero } from '../series.ts';
import { bytesToMiB, mebibytes, pagesToMiB, toSeconds } from '../units.ts';
import {
  type Chart,
  largest,
  type Part,
  present,
  type Row,
  stackLegend,
  timeAxis,
  valueAxis,
} from './chart.ts';
import { stackPanels, tableOf } from './stacks.ts';

const allParts: readonly Part[] = [
  { field: 'private_mib', label: 'Private to one guest', colour: 'private' },
  { field: 'merged_mib', label: 'Shared by several guest pages', colour: 'merged' },
  { field: 'swapcache_mib', label: 'Swap cache', colour: 'swapped' },
  { field: 'free_mib', label: 'Free', colour: 'idle' },
];

/** See the top of this file. */
export function memoryChart(runs: readonly Run[]): Chart | undefined {
  const tables = runs.map((run) => ({ run, rows: rowsOf(run) }));
  if (tables.every(({ rows }) => rows.length === 0)) return undefined;
  const all = tables.flatMap(({ rows }) => rows);
  const top = largest(all.map((row) => Number(row.host_mib)));
  const promised = largest(all.map((row) => Number(row.believed_mib)));
  const parts = present(allParts, all);
  const x = timeAxis(lastSecond(runs));
  const y = (field: string) => valueAxis(field, 'memory (MiB)', top);
  return {
    id: 'memory',
    title: 'What the host’s memory is used for',
    subtitle: `Host frames by class (MiB) over virtual time; up to ${mebibytes(promised)} were promised to guests`,
    reading:
      'The areas add up to the memory of the host, which is less than what the guests were promised when it is ' +
      'overcommitted. When the free area is used up, the host must take memory back, by its balloon or by swap.' +
      (parts.some(({ field }) => field === 'swapcache_mib')
        ? ' A frame of the swap cache holds a copy of a page that is in swap too, and is the first to be given up.'
        : ''),
    legend: stackLegend(parts),
    columns: 2,
    panels: stackPanels(tables, {
      x,
      y,
      parts,
      lines: [{ field: 'believed_mib', title: 'promised (MiB)', format: ',.1f' }],
    }),
    table: tableOf(tables),
  };
}

function rowsOf({ samples, data }: Run): Row[] {
  const host = bytesToMiB(data.manifest.scenario.host.memory);
  return Array.from(samples.column('time_ns'), (time, at) => {
    const mib = (name: string) => pagesToMiB(orZero(samples.column(name)[at]));
    return {
      time_s: toSeconds(time),
      host_mib: host,
      believed_mib: known(bytesToMiB(samples.column('believed_bytes')[at]!)),
      private_mib: mib('frames_private'),
      merged_mib: mib('frames_ksm') + mib('frames_zero'),
      swapcache_mib: mib('frames_swapcache'),
      free_mib: mib('frames_free'),
    };
  });
}
