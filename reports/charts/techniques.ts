/** Runs compared by what each technique saved at their end. */
import type { Run } from '../run.ts';
import { backing, backingRows } from './believed.ts';
import {
  type Chart,
  colourScale,
  partLines,
  present,
  type Row,
  type Spec,
  stackLegend,
  tooltip,
} from './chart.ts';

/** See the top of this file. There is nothing to compare in a single run. */
export function techniquesChart(runs: readonly Run[]): Chart | undefined {
  const rows = runs.flatMap((run): Row[] => {
    const last = backingRows(run).at(-1);
    return last === undefined ? [] : [{ run: run.label, ...last }];
  });
  if (rows.length < 2) return undefined;
  const parts = present(backing, rows);
  const fields = parts.map(({ field }) => field);
  const x: Spec = { field: 'size', type: 'quantitative', title: 'memory of all guests (MiB)', stack: 'zero' };
  // Names stand above their bars, as they may be long.
  const y: Spec = { field: 'run', type: 'nominal', sort: null, axis: null };
  return {
    id: 'techniques',
    title: 'What each technique saved, run by run',
    subtitle: 'Memory that guests were promised at the end of each run (MiB), by what backs it',
    reading:
      'Each bar is a run; its length is what the guests were promised. Only the first part takes up memory of the host; ' +
      'the tick is how much the host has. What lies to the right is saved, by the technique that its colour stands for.',
    legend: [{ label: 'Memory of the host', colour: 'ink', mark: 'line' }, ...stackLegend(parts).reverse()],
    columns: 1,
    panels: [
      {
        title: null,
        rows,
        height: 46 * rows.length,
        spec: (theme) => ({
          layer: [
            {
              transform: [
                { fold: fields, as: ['part', 'size'] },
                { calculate: `indexof(${JSON.stringify(fields)}, datum.part)`, as: 'level' },
              ],
              mark: { type: 'bar', height: 20, yOffset: 6, stroke: theme.background, strokeWidth: 0.6 },
              encoding: {
                x,
                y,
                color: colourScale(theme, 'part', parts),
                order: { field: 'level', type: 'quantitative' },
                tooltip: tooltip([
                  { field: 'run', title: 'run' },
                  { field: 'believed_mib', title: 'promised (MiB)', format: ',.1f' },
                  ...partLines(parts).reverse(),
                ]),
              },
            },
            {
              mark: { type: 'text', align: 'left', dy: -12, x: 0, color: theme.ink },
              encoding: { y, text: { field: 'run', type: 'nominal' } },
            },
            {
              mark: { type: 'tick', color: theme.ink, thickness: 2, height: 20, yOffset: 6, opacity: 1 },
              encoding: { x: { field: 'host_mib', type: 'quantitative' }, y },
            },
          ],
        }),
      },
    ],
    table: rows,
  };
}
