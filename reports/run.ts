/** Runs as charts see them: what their folders hold, with names that tell them apart. */
import { basename, join } from 'node:path';
import { type RunFolder, readRun, readSweep } from './format/read.ts';
import type { Sweep } from './format/sweep.ts';
import { Series } from './series.ts';
import { guestsText } from './units.ts';

/** A guest of a run. */
export interface GuestSeries {
  readonly name: string;
  readonly memoryBytes: number;
  readonly series: Series;
}

/** A run. */
export interface Run {
  /** Short, and different for each run of a report. */
  readonly label: string;
  readonly data: RunFolder;
  readonly samples: Series;
  readonly guests: readonly GuestSeries[];
}

/** A sweep or a density search with the runs of its cells, as far as they were run. */
export interface Study {
  readonly label: string;
  readonly sweep: Sweep;
  readonly cells: readonly StudyCell[];
}

/** A cell that was run. */
export interface StudyCell {
  readonly folder: string;
  readonly parameters: Sweep['cells'][number]['parameters'];
  readonly run: Run;
}

/** Reads runs. */
export async function loadRuns(folders: readonly string[]): Promise<Run[]> {
  const data: RunFolder[] = [];
  for (const folder of folders) data.push(await readRun(folder));
  const labels = labelsOf(data);
  return data.map((each, at) => runOf(each, labels[at]!));
}

/** Reads a sweep or a density search. */
export async function loadStudy(folder: string): Promise<Study> {
  const sweep = await readSweep(folder);
  const cells: StudyCell[] = [];
  for (const { parameters, folder: name } of sweep.cells) {
    if (name === null) continue;
    const data = await readRun(join(folder, name));
    const policy = policyOf({ parameters });
    const label =
      policy === undefined
        ? parametersText(parameters) || name
        : `${policy}, ${guestsText(data.manifest.guests.length)}`;
    cells.push({ folder: name, parameters, run: runOf(data, label) });
  }
  return { label: sweep.name, sweep, cells };
}

function runOf(data: RunFolder, label: string): Run {
  const { tables, manifest } = data;
  const rowsOf = new Map<string, number[]>(manifest.guests.map(({ name }) => [name, []]));
  const names = tables.guests.has('guest') ? tables.guests.names('guest') : [];
  names.forEach((name, row) => {
    const rows = rowsOf.get(name);
    if (rows === undefined) rowsOf.set(name, [row]);
    else rows.push(row);
  });
  const memory = new Map(manifest.guests.map((guest) => [guest.name, guest.memory]));
  return {
    label,
    data,
    samples: new Series(tables.samples),
    guests: [...rowsOf].map(([name, rows]) => ({
      name,
      memoryBytes: memory.get(name) ?? 0,
      series: new Series(tables.guests, rows),
    })),
  };
}

/** The policy that a density search tried in a cell; a scenario has no key of that name. */
export function policyOf({ parameters }: Pick<StudyCell, 'parameters'>): string | undefined {
  return typeof parameters.policy === 'string' ? parameters.policy : undefined;
}

/** What the parameters of a cell are, as a person would write them: `count 4, ksm off`. */
export function parametersText(parameters: Readonly<Record<string, unknown>>): string {
  return Object.entries(parameters)
    .map(([path, value]) => `${shortPath(path)} ${settingText(value)}`)
    .join(', ');
}

/** The end of a scenario's path that says most: `guests.0.count` → `guests`, `host.ksm` → `ksm`. */
export function shortPath(path: string): string {
  const parts = path.split('.').filter((part) => !/^\d+$/.test(part));
  const last = parts.at(-1) ?? path;
  return last === 'count' ? (parts.at(-2) ?? last) : last;
}

/** Keys whose values speak for themselves. */
const naming = ['profile', 'policy', 'name', 'scanner', 'device'];

/** A value of a parameter as text: `off`, `1000`, `linux-6.12`. */
export function settingText(value: unknown): string {
  if (value === null || typeof value !== 'object') return String(value);
  const entries = Object.entries(value);
  if (entries.length === 0) return Array.isArray(value) ? '[]' : '{}';
  return entries
    .map(([key, part]) => (naming.includes(key) ? settingText(part) : `${key} ${settingText(part)}`))
    .join(' ');
}

/** Names for runs: by what their scenarios differ in, else by the names of scenarios, else by those of folders. */
export function labelsOf(runs: readonly RunFolder[]): string[] {
  const names = runs.map(({ manifest }) => manifest.scenario.name);
  if (runs.length === 1 || new Set(names).size === names.length) return names;
  const leaves = runs.map(({ manifest }) => {
    const { name, ...scenario } = manifest.scenario;
    return new Map(leavesOf(scenario, ''));
  });
  const paths = [...new Set(leaves.flatMap((each) => [...each.keys()]))];
  const differing = paths.filter((path) => new Set(leaves.map((each) => each.get(path))).size > 1);
  if (differing.length > 0 && differing.length <= 3) {
    const labels = leaves.map((each) =>
      differing.map((path) => `${leafName(path)} ${each.get(path) ?? '–'}`).join(', '),
    );
    if (new Set(labels).size === labels.length) return labels;
  }
  const folders = runs.map(({ path }) => basename(path));
  return new Set(folders).size === folders.length ? folders : runs.map(({ path }) => path);
}

/** The part of a path that says most: `host.ksm.pages_to_scan` → `pages_to_scan`, `host.balloon.policy` → `balloon`. */
function leafName(path: string): string {
  const parts = path.split('.').filter((part) => !/^\d+$/.test(part));
  const last = parts.at(-1)!;
  return naming.includes(last) || last === 'count' ? (parts.at(-2) ?? last) : last;
}

/** The leaves of a JSON value with their paths. */
function leavesOf(value: unknown, path: string): [string, string][] {
  if (value === null || typeof value !== 'object') return [[path, String(value)]];
  return Object.entries(value).flatMap(([key, part]) => leavesOf(part, path === '' ? key : `${path}.${key}`));
}

/** The last second that any of the runs sampled, so that their axes agree. */
export function lastSecond(runs: readonly Run[]): number {
  return Math.max(
    0,
    ...runs.map(({ samples }) => (samples.length === 0 ? 0 : samples.last('time_ns') / 1e9)),
  );
}
