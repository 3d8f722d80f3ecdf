/** The runs of a sweep or a density search, a row each. */
import { type Figure, figures, figureText } from '../figures.ts';
import { type Study, settingText, shortPath } from '../run.ts';
import type { Table } from './table.ts';

const shown: readonly Figure[] = [
  figures.guests,
  figures.believed,
  figures.ratio,
  figures.peak,
  figures.merged,
  figures.zero,
  figures.achieved,
  figures.ballooned,
  figures.swapped,
  figures.p50,
  figures.p99,
  figures.ksmd,
];

/** See the top of this file. */
export function cellsTable({ sweep, cells }: Study): Table {
  const paths = [...new Set(sweep.cells.flatMap(({ parameters }) => Object.keys(parameters)))];
  const runs = new Map(cells.map(({ folder, run }) => [folder, run]));
  const all = sweep.cells.map(({ parameters, folder, complete }) => {
    const run = folder === null ? undefined : runs.get(folder);
    const state = run === undefined ? 'not run' : complete ? 'whole' : 'partial';
    return {
      parameters,
      folder,
      state,
      values: shown.map((figure) => (run === undefined ? undefined : figure.of(run))),
    };
  });
  const missing = all.filter(({ state }) => state !== 'whole').length;
  return {
    id: 'cells',
    title: 'The runs',
    note: missing === 0 ? '' : `${missing} of ${all.length} runs are missing or partial.`,
    head: [...paths.map(shortPath), 'run', ...shown.map(({ label }) => label)],
    figures: [...paths.map(() => false), false, ...shown.map(() => true)],
    body: all.map(({ parameters, state, values }) => [
      ...paths.map((path) => (path in parameters ? settingText(parameters[path]) : '–')),
      state,
      ...shown.map((figure, at) => figureText(figure, values[at])),
    ]),
    rows: all.map(({ parameters, folder, state, values }) => ({
      ...Object.fromEntries(
        paths.map((path) => [path, path in parameters ? settingText(parameters[path]) : null]),
      ),
      folder,
      run: state,
      ...Object.fromEntries(shown.map(({ id }, at) => [id, values[at] ?? null])),
    })),
  };
}
