/** Tables of a report: text to be read, and the same figures to be computed with. */
import type { Row } from '../charts/chart.ts';

/** A table. */
export interface Table {
  /** Name of its file, and its anchor in the page. */
  readonly id: string;
  readonly title: string;
  /** What it says, in a sentence; may be empty. */
  readonly note: string;
  readonly head: readonly string[];
  /** Columns that hold figures, which stand flush right. */
  readonly figures: readonly boolean[];
  readonly body: readonly (readonly string[])[];
  /** What the CSV file has. */
  readonly rows: readonly Row[];
}
