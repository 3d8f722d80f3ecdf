/** Columns of samples, in order of time. */
import type { Table } from './format/csv.ts';

/** Rows of a table. A column that the table has not is one of figures that nobody knows. */
export class Series {
  readonly length: number;
  readonly #table: Table;
  readonly #rows: readonly number[] | undefined;
  readonly #taken = new Map<string, Float64Array>();

  /** All rows of a table, or those of the numbers in `rows`. */
  constructor(table: Table, rows?: readonly number[]) {
    this.#table = table;
    this.#rows = rows;
    this.length = rows?.length ?? table.rows;
  }

  /** The values of a column, NaN where they are not known. */
  column(name: string): Float64Array {
    let values = this.#taken.get(name);
    if (values === undefined) {
      values = this.#take(name);
      this.#taken.set(name, values);
    }
    return values;
  }

  #take(name: string): Float64Array {
    if (!this.#table.has(name)) return new Float64Array(this.length).fill(Number.NaN);
    const all = this.#table.numbers(name);
    return this.#rows === undefined ? all : Float64Array.from(this.#rows, (row) => all[row]!);
  }

  /** The text in a row of a column of names; empty when the table has no such column. */
  name(column: string, at: number): string {
    return this.#table.has(column)
      ? (this.#table.names(column)[this.#rows === undefined ? at : this.#rows[at]!] ?? '')
      : '';
  }

  /** The value in the last row; NaN when there is none, or nobody knows it. */
  last(name: string): number {
    return this.column(name).at(-1) ?? Number.NaN;
  }

  /** The largest value of a column; NaN when there is none. */
  most(name: string): number {
    return this.column(name).reduce(
      (most, value) => (value > most || Number.isNaN(most) ? value : most),
      Number.NaN,
    );
  }

  /** Whether any value of a column is known and above 0. */
  any(name: string): boolean {
    return this.column(name).some((value) => value > 0);
  }
}

/** A number as a cell of a row: null when it is not known. */
export function known(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/** A number, or 0 where it is not known: a part that is not in use has no size. */
export function orZero(value: number | undefined): number {
  return value === undefined || !Number.isFinite(value) ? 0 : value;
}
