/** What a run gave, and how it differs from what was recorded. */
import type { Table } from '../../reports/format/csv.ts';
import { type RunFolder, sha256 } from '../../reports/format/read.ts';
import type { Result } from '../../reports/format/result.ts';
import type { Baseline, Recorded } from './baseline.ts';

/** Digits kept of a sample's digest: enough to tell two runs apart. */
const digestDigits = 8;

/** A figure that is not what it was. */
export interface Moved {
  /** Its path in result.json. */
  readonly figure: string;
  readonly was: number | string;
  /** Undefined when the run has no such figure. */
  readonly is: number | string | undefined;
  /** Whether the baseline's tolerance allows it. */
  readonly tolerated: boolean;
}

/** How a run differs from its baseline. */
export interface Comparison {
  /** The figures that moved, those that regressed first. */
  readonly moved: readonly Moved[];
  /** Figures that the baseline does not have. */
  readonly added: readonly string[];
  /** The first sample that differs: its number from 1 and virtual time; undefined when none does. */
  readonly since: { readonly sample: number; readonly time: number } | undefined;
}

/** The numeric figures of a summary, by path. */
export function figuresOf(result: Result): Record<string, number> {
  const figures: Record<string, number> = {};
  const collect = (value: unknown, path: readonly string[]) => {
    if (typeof value === 'number') figures[path.join('.')] = value;
    else if (typeof value === 'object' && value !== null) {
      for (const [key, inner] of Object.entries(value)) collect(inner, [...path, key]);
    }
  };
  const { formatVersion: _, ...rest } = result;
  collect(rest, []);
  return figures;
}

/** An image's name without the digest that pins it. */
export function bareName(image: string): string {
  return image.replace(/@.*/, '');
}

/** What is recorded of a run. */
export function recordOf(run: RunFolder): Recorded {
  const { samples, guests } = run.tables;
  const columns = {
    samples: samples.columns.map(({ name }) => name),
    guests: guests.columns.map(({ name }) => name),
  };
  const result = run.result!;
  return {
    pagefold: run.manifest.pagefold.version,
    images: Object.fromEntries(run.manifest.images.map(({ name, digest }) => [bareName(name), digest])),
    figures: figuresOf(result),
    states: Object.fromEntries(Object.entries(result.guests).map(([name, { state }]) => [name, state])),
    columns,
    samples: sampleDigests(run, columns),
  };
}

/** A digest of each sample, over these columns of its rows; a column that a table has not counts as empty. */
function sampleDigests({ tables }: RunFolder, columns: Recorded['columns']): string[] {
  const times = tables.samples.numbers('time_ns');
  const guestTimes = tables.guests.numbers('time_ns');
  let guestRow = 0;
  return Array.from(times, (time, row) => {
    const texts = [rowText(tables.samples, columns.samples, row)];
    while (guestRow < tables.guests.rows && guestTimes[guestRow]! <= time) {
      texts.push(rowText(tables.guests, columns.guests, guestRow++));
    }
    return sha256(texts.join('\n')).slice(0, digestDigits);
  });
}

function rowText(table: Table, columns: readonly string[], row: number): string {
  const cells = columns.map((name) => {
    const column = table.columns.find((each) => each.name === name);
    if (column === undefined) return '';
    return column.unit === 'name' ? table.names(name)[row] : table.numbers(name)[row];
  });
  return cells.join(',');
}

/** Compares a run with what was recorded. */
export function compare({ tolerance }: Baseline, recorded: Recorded, run: RunFolder): Comparison {
  const figures = figuresOf(run.result!);
  const moved: Moved[] = [];
  for (const [figure, was] of Object.entries(recorded.figures)) {
    const is = figures[figure];
    if (is === was) continue;
    const allowed = Object.entries(tolerance).find(([pattern]) => matches(pattern, figure))?.[1];
    const tolerated = is !== undefined && allowed !== undefined && Math.abs(is - was) <= reach(allowed, was);
    moved.push({ figure, was, is, tolerated });
  }
  for (const [guest, was] of Object.entries(recorded.states)) {
    const is = run.result!.guests[guest]?.state;
    if (is !== was) moved.push({ figure: `guests.${guest}.state`, was, is, tolerated: false });
  }
  const digests = sampleDigests(run, recorded.columns);
  const count = Math.max(digests.length, recorded.samples.length);
  const at = Array.from({ length: count }, (_, i) => i).find((i) => digests[i] !== recorded.samples[i]);
  const times = run.tables.samples.numbers('time_ns');
  return {
    moved: moved.sort((a, b) => Number(a.tolerated) - Number(b.tolerated)),
    added: Object.keys(figures).filter((figure) => !(figure in recorded.figures)),
    since: at === undefined ? undefined : { sample: at + 1, time: times[at] ?? times.at(-1) ?? 0 },
  };
}

/** Whether a path fits a pattern, in which `*` stands for any one part. */
function matches(pattern: string, figure: string): boolean {
  const wanted = pattern.split('.');
  const parts = figure.split('.');
  return wanted.length === parts.length && wanted.every((part, at) => part === '*' || part === parts[at]);
}

function reach(allowed: string | number, of: number): number {
  return typeof allowed === 'number' ? allowed : (Math.abs(of) * Number(allowed.slice(0, -1))) / 100;
}
