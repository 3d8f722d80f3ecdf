/** Rows as CSV. */
import type { Row } from '../charts/chart.ts';
import { csvLine } from '../format/csv.ts';

/** Rows that have the same names, with a first line of these; what is not known is empty. */
export function rowsToCsv(rows: readonly Row[]): string {
  const names = Object.keys(rows[0] ?? {});
  const lines = rows.map((row) => csvLine(names.map((name) => cellOf(row[name]))));
  return csvLine(names) + lines.join('');
}

function cellOf(value: Row[string] | undefined): string | number | undefined {
  if (value === null || value === undefined) return undefined;
  if (typeof value === 'number') return Number(value.toPrecision(12));
  return String(value);
}
