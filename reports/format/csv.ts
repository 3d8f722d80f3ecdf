/** Tables as CSV (RFC 4180): the first line names the columns; an empty cell is a figure that nobody knows. */
import type { Column } from './columns.ts';
import { RunFolderError } from './error.ts';

/** One cell: a number, or text in a column of names; undefined when it is not known. */
export type Cell = number | string | undefined;

/** A line of cells, with its line feed. */
export function csvLine(cells: readonly Cell[]): string {
  return `${cells.map(written).join(',')}\n`;
}

function written(cell: Cell): string {
  if (cell === undefined) return '';
  const text = String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The cells of a line that has no line feed in it; undefined when its quotes do not match. */
function cellsOf(line: string): string[] | undefined {
  if (!line.includes('"')) return line.split(',');
  const cells: string[] = [];
  const cell = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
  for (;;) {
    const match = cell.exec(line);
    if (match === null) return undefined;
    cells.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '');
    if (match[3] === '') return cells;
  }
}

/** A table of a run folder, by columns. */
export class Table {
  /** The columns that it has, from left to right. */
  readonly columns: readonly Column[];
  /** Number of rows. */
  readonly rows: number;
  readonly #numbers = new Map<string, Float64Array>();
  readonly #names = new Map<string, readonly string[]>();

  constructor(columns: readonly Column[], rows: readonly (readonly string[])[]) {
    this.columns = columns;
    this.rows = rows.length;
    columns.forEach(({ name, unit }, at) => {
      const cells = rows.map((row) => row[at]!);
      if (unit === 'name') this.#names.set(name, cells);
      else
        this.#numbers.set(
          name,
          Float64Array.from(cells, (cell) => (cell === '' ? Number.NaN : Number(cell))),
        );
    });
  }

  /** Whether the table has a column of that name. */
  has(column: string): boolean {
    return this.#numbers.has(column) || this.#names.has(column);
  }

  /** The values of a numeric column, NaN where they are not known; throws when there is none of that name. */
  numbers(column: string): Float64Array {
    const values = this.#numbers.get(column);
    if (values === undefined) throw new Error(`the table has no numeric column ${column}`);
    return values;
  }

  /** The values of a column of names; throws when there is none. */
  names(column: string): readonly string[] {
    const values = this.#names.get(column);
    if (values === undefined) throw new Error(`the table has no column of names ${column}`);
    return values;
  }
}

/**
 * Reads a table. `known` are the columns that it may have; when `unfinished`, a last line without a line feed is that
 * of a writer that was killed, and is left out. Throws {@link RunFolderError} that names the line.
 */
export function parseTable(file: string, text: string, known: readonly Column[], unfinished: boolean): Table {
  const damaged = (line: number, cause: string) =>
    new RunFolderError(file, `line ${line}`, cause, 'run the scenario again');
  const lines = text.split('\n');
  const last = lines.pop();
  if (last !== '' && !unfinished) throw damaged(lines.length + 1, 'the last line is cut off');
  const head = lines[0]?.split(',') ?? [];
  if (lines.length === 0 && !unfinished) throw damaged(1, 'there is no line that names the columns');
  const columns = head.map((name) => {
    const column = known.find((each) => each.name === name);
    if (column === undefined) throw damaged(1, `columns.json does not describe the column ${name}`);
    return column;
  });
  const rows = lines.slice(1).map((line, at) => {
    const cells = cellsOf(line);
    if (cells?.length !== columns.length) {
      throw damaged(at + 2, `${cells?.length ?? 'unreadable'} cells instead of ${columns.length}`);
    }
    cells.forEach((cell, i) => {
      const { unit, name } = columns[i]!;
      if (unit !== 'name' && !/^(-?\d+)?$/.test(cell)) {
        throw damaged(at + 2, `${name} is ${JSON.stringify(cell)}, which is no whole number`);
      }
    });
    return cells;
  });
  return new Table(columns, rows);
}
