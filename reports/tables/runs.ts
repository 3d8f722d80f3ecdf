/** What runs came to, side by side, and how far they differ from the first. */
import { type Figure, figures, figureText } from '../figures.ts';
import type { Run } from '../run.ts';
import { decimal } from '../units.ts';
import type { Table } from './table.ts';

/** See the top of this file. */
export function runsTable(runs: readonly Run[]): Table {
  const [first, ...others] = runs.map((run) => ({
    label: run.label,
    values: Object.values<Figure>(figures).map((figure) => figure.of(run)),
  }));
  const all: readonly Figure[] = Object.values(figures);
  const rows = all
    .map((figure, at) => ({ figure, at }))
    .filter(({ at }) => [first!, ...others].some(({ values }) => values[at] !== undefined));
  return {
    id: 'figures',
    title: runs.length > 1 ? 'The runs in figures' : 'The run in figures',
    note: runs.length > 1 ? `Differences are from the first, ${first!.label}.` : '',
    head: ['', first!.label, ...others.flatMap(({ label }) => [label, 'difference'])],
    figures: [false, true, ...others.flatMap(() => [true, true])],
    body: rows.map(({ figure, at }) => [
      figure.label,
      figureText(figure, first!.values[at]),
      ...others.flatMap(({ values }) => [
        figureText(figure, values[at]),
        differenceText(figure, first!.values[at], values[at]),
      ]),
    ]),
    rows: rows.flatMap(({ figure, at }) =>
      [first!, ...others].map(({ label, values }) => ({
        figure: figure.id,
        unit: figure.unit,
        run: label,
        value: values[at] ?? null,
        difference:
          values[at] === undefined || first!.values[at] === undefined ? null : values[at] - first!.values[at],
      })),
    ),
  };
}

/** How far a figure moved: by how much, and in percent of what it was. */
export function differenceText(
  figure: Pick<Figure, 'unit'>,
  from: number | undefined,
  to: number | undefined,
): string {
  if (from === undefined || to === undefined) return '–';
  const change = to - from;
  if (change === 0) return '=';
  const size = figureText(figure, Math.abs(change));
  if (size === figureText(figure, 0) || Number.parseFloat(size) === 0) return '≈';
  const share =
    from === 0 || figure.unit === '%'
      ? ''
      : ` (${sign(change / from)}${decimal(Math.abs((100 * change) / from), 1)} %)`;
  return `${sign(change)}${figure.unit === '%' ? size.replace(' %', ' points') : size}${share}`;
}

function sign(value: number): string {
  return value < 0 ? '−' : '+';
}
