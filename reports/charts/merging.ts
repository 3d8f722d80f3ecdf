/** Merging over time: what is saved, what could be, and why the rest is not. */
import { lastSecond, type Run } from '../run.ts';
import { known, orZero } from '../series.ts';
import { pagesToMiB, toSeconds } from '../units.ts';
import {
  type Chart,
  dashed,
  dotted,
  inkLine,
  type LegendEntry,
  largest,
  type Part,
  present,
  type Row,
  stackLegend,
  type TooltipLine,
  timeAxis,
  valueAxis,
} from './chart.ts';
import { stackPanels, tableOf } from './stacks.ts';

const allParts: readonly Part[] = [
  { field: 'merged_mib', label: 'Saved by merging', colour: 'merged' },
  { field: 'zero_mib', label: 'Saved by the zero page', colour: 'zero' },
  { field: 'unscanned_mib', label: 'Not saved: not scanned yet', colour: 'unsaved1' },
  { field: 'volatile_mib', label: 'Not saved: changes too fast', colour: 'unsaved2' },
  { field: 'capped_mib', label: 'Not saved: sharing limit reached', colour: 'unsaved3' },
  { field: 'ineligible_mib', label: 'Not saved: may not be merged', colour: 'unsaved4' },
];

/** The lines of the oracle. */
const bounds: readonly LegendEntry[] = [
  { label: 'Bound: all equal pages merged', colour: 'ink', mark: 'dashed' },
  { label: 'Bound without pages of zeros', colour: 'ink', mark: 'dotted' },
];

const boundLines: readonly TooltipLine[] = [
  { field: 'ideal_mib', title: 'bound (MiB)', format: ',.1f' },
  { field: 'ideal_nonzero_mib', title: 'bound without zeros (MiB)', format: ',.1f' },
];

/** See the top of this file. */
export function mergingChart(runs: readonly Run[]): Chart | undefined {
  const tables = runs.map((run) => ({ run, rows: rowsOf(run) }));
  const all = tables.flatMap(({ rows }) => rows);
  if (!all.some((row) => row.ideal_mib !== null || Number(row.merged_mib) > 0)) return undefined;
  const stackOf = (row: Row) => allParts.reduce((sum, { field }) => sum + Number(row[field]), 0);
  const top = largest(all.map((row) => Math.max(stackOf(row), Number(row.ideal_mib))));
  const bounded = all.some((row) => row.ideal_mib !== null);
  const parts = present(allParts, all);
  const x = timeAxis(lastSecond(runs));
  const y = (field: string) => valueAxis(field, 'memory saved (MiB)', top);
  return {
    id: 'merging',
    title: `How much merging saves${bounded ? ', and how much it could' : ''}`,
    subtitle: `Memory saved (MiB) over virtual time${bounded ? ', below what merging of all equal pages at once would save' : ''}`,
    reading: bounded
      ? 'The dashed line is the bound: an oracle that sees all pages at every sample says what merging of all equal ones ' +
        'would save. The coloured areas are what the scanner has saved of it; the grey ones tell why the rest is not ' +
        'saved. The dotted line is the part of the bound that is not pages of zeros.'
      : 'The areas are the memory that merging saves: guest pages that map a shared frame, less those frames. The run has no ' +
        'oracle that says how much could be saved.',
    legend: [...(bounded ? bounds : []), ...stackLegend(parts)],
    columns: 2,
    panels: stackPanels(tables, {
      x,
      y,
      parts,
      over: (theme, points) =>
        bounded
          ? [
              ...inkLine(theme, { x, y: y('ideal_nonzero_mib') }, dotted, { points }),
              ...inkLine(theme, { x, y: y('ideal_mib') }, dashed, { points }),
            ]
          : [],
      lines: bounded ? boundLines : [],
    }),
    table: tableOf(tables),
  };
}

function rowsOf({ samples }: Run): Row[] {
  return Array.from(samples.column('time_ns'), (time, at) => {
    const mib = (name: string) => pagesToMiB(orZero(samples.column(name)[at]));
    const bound = (name: string) => known(pagesToMiB(samples.column(name)[at]!));
    return {
      time_s: toSeconds(time),
      merged_mib: mib('saved_merged'),
      zero_mib: mib('saved_zero'),
      // Smart scan scans a page later: to a reader of the chart that is the same.
      unscanned_mib: mib('unsaved_unscanned') + mib('unsaved_skipped'),
      volatile_mib: mib('unsaved_volatile'),
      capped_mib: mib('unsaved_capped'),
      ineligible_mib: mib('unsaved_ineligible'),
      ideal_mib: bound('ideal_saved'),
      ideal_nonzero_mib: bound('ideal_saved_nonzero'),
      ideal_within_mib: bound('ideal_within'),
      ideal_across_mib: bound('ideal_across'),
      pages_shared: known(samples.column('pages_shared')[at]!),
      pages_sharing: known(samples.column('pages_sharing')[at]!),
      full_scans: known(samples.column('full_scans')[at]!),
    };
  });
}
