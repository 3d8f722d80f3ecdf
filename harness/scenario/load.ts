/** From a scenario's file to the runs that it stands for. */
import { readdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { z } from 'zod';
import { nearest } from '../../workloads/images/nearest.ts';
import { UserError } from '../../workloads/images/user-error.ts';
import { formatPath, type Path, parsePath, parseSetting, ScenarioDocument, withValue } from './document.ts';
import { explain } from './explain.ts';
import { checkNames } from './names.ts';
import { resolve, type Scenario } from './resolve.ts';
import { scenarioSchema, sweepSchema } from './schema.ts';

type Json = z.core.util.JSONType;

/** A path of the scenario, and the values that a sweep gives it. */
export interface Axis {
  readonly path: string;
  readonly values: readonly Json[];
}

/** One run that a scenario stands for. */
export interface Cell {
  /** Path to value, as the sweep gives it; empty when there is no sweep. */
  readonly parameters: Readonly<Record<string, Json>>;
  readonly scenario: Scenario;
}

/** A scenario with its sweep. */
export interface LoadedScenario {
  /** Its file, for messages. */
  readonly file: string;
  readonly name: string;
  readonly axes: readonly Axis[];
  /** One when there is no sweep. */
  readonly cells: readonly Cell[];
}

/** What the command line adds to a file. */
export interface LoadOptions {
  /** `PATH=VALUE`, the later over the earlier, all over the file. */
  readonly set: readonly string[];
}

/** Sweeps of more runs than this are taken for a mistake. */
const mostCells = 1000;
const scenariosFolder = new URL('../../workloads/scenarios/', import.meta.url);

/** The names of the scenarios that pagefold brings along, sorted. */
export async function scenarioNames(): Promise<string[]> {
  const names = await readdir(scenariosFolder);
  return names
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => basename(name, '.yaml'))
    .sort();
}

/**
 * Reads a scenario: one of pagefold's own by its name, or a file. Everything that can be known to be wrong before the
 * run is found here.
 * @throws {@link UserError} that names file, line, column and key
 */
export async function loadScenario(nameOrFile: string, options: LoadOptions): Promise<LoadedScenario> {
  const isFile = /[/.]/.test(nameOrFile);
  const file = isFile ? nameOrFile : fileURLToPath(new URL(`${nameOrFile}.yaml`, scenariosFolder));
  const text = await readFile(file, 'utf8').catch(async (error: NodeJS.ErrnoException) => {
    if (isFile) {
      throw new UserError({
        file,
        cause: error.code === 'ENOENT' ? 'there is no such file' : error.message,
        remedy: "name a scenario's file, or one of pagefold's own scenarios",
      });
    }
    const names = await scenarioNames();
    const near = nearest(nameOrFile, names);
    throw new UserError({
      file: nameOrFile,
      cause: 'no scenario has this name',
      remedy: `${near === undefined ? '' : `did you mean ${near}? `}Known scenarios: ${names.join(', ')}; or name a file, such as ./${nameOrFile}.yaml`,
    });
  });
  return parseScenario(isFile ? file : basename(file), text, options);
}

/** As {@link loadScenario}, from the text of a file that messages call `file`. */
export async function parseScenario(
  file: string,
  text: string,
  { set }: LoadOptions,
): Promise<LoadedScenario> {
  const document = new ScenarioDocument(file, text);
  const { sweep: rawSweep, ...raw } = document.value as Record<string, unknown>;
  const settings = set.map((each) => ({ label: `--set ${each}`, ...parseSetting(each) }));
  const over = new Map(settings.map((setting) => [setting.path, setting]));
  // A setting on a path of the sweep takes the place of its axis; a list gives the axis other values.
  const axes = axesOf(document, rawSweep).flatMap((axis): Axis[] => {
    const value = over.get(axis.path)?.value;
    if (value === undefined) return [axis];
    return Array.isArray(value) && value.length > 0 ? [{ path: axis.path, values: value }] : [];
  });
  const swept = new Set(axes.map(({ path }) => path));
  const cells: Cell[] = [];
  for (const choices of grid(axes)) {
    const changes: Change[] = [
      ...choices.map(({ axis, index }) => ({
        path: parsePath(axis.path),
        value: axis.values[index],
        label: over.get(axis.path)?.label ?? document.place(['sweep', axis.path, index], false),
      })),
      ...settings
        .filter(({ path }) => !swept.has(path))
        .map(({ path, value, label }) => ({ path: parsePath(path), value, label })),
    ];
    const scenario = await parseCell(document, raw, changes);
    const parameters = choices.map(({ axis, index }) => [axis.path, axis.values[index]!] as const);
    cells.push({ parameters: Object.fromEntries(parameters), scenario });
  }
  return { file, name: cells[0]!.scenario.name, axes, cells };
}

/** A value that takes the place of the file's. */
interface Change {
  readonly path: Path;
  readonly value: unknown;
  /** Where it comes from, for messages. */
  readonly label: string;
}

function axesOf(document: ScenarioDocument, raw: unknown): Axis[] {
  if (raw === undefined) return [];
  const parsed = sweepSchema.safeParse(raw);
  if (parsed.success) return Object.entries(parsed.data).map(([path, values]) => ({ path, values }));
  const { path, ofKey, cause, remedy } = explain(sweepSchema, raw, parsed.error.issues);
  const whole = ['sweep', ...path];
  throw new UserError({ file: document.place(whole, ofKey), place: formatPath(whole), cause, remedy });
}

/** Every combination of the axes' values, the last axis changing fastest. */
function grid(axes: readonly Axis[]): { axis: Axis; index: number }[][] {
  const count = axes.reduce((product, { values }) => product * values.length, 1);
  if (count > mostCells) {
    throw new UserError({
      file: 'sweep',
      cause: `it has ${count} runs`,
      remedy: `leave values out until it has at most ${mostCells}`,
    });
  }
  let combinations: { axis: Axis; index: number }[][] = [[]];
  for (const axis of axes) {
    combinations = combinations.flatMap((each) => axis.values.map((_, index) => [...each, { axis, index }]));
  }
  return combinations;
}

async function parseCell(
  document: ScenarioDocument,
  raw: unknown,
  changes: readonly Change[],
): Promise<Scenario> {
  let value = raw;
  for (const { path, value: to, label } of changes) {
    try {
      value = withValue(value, path, to);
    } catch (error) {
      throw new UserError({
        file: label,
        place: formatPath(path),
        cause: (error as Error).message,
        remedy: 'set what stands there as a whole, or another key',
      });
    }
  }
  /** Where the value at a path comes from: the last change that reaches it, else the file. */
  const place = (path: Path, ofKey: boolean) => {
    const startsWith = (whole: Path, part: Path) => part.every((key, at) => whole[at] === key);
    const change = changes.findLast((each) => startsWith(path, each.path));
    return change?.label ?? document.place(path, ofKey);
  };
  const fail = (path: Path, ofKey: boolean, cause: string, remedy: string): never => {
    throw new UserError({ file: place(path, ofKey), place: formatPath(path), cause, remedy });
  };
  const parsed = scenarioSchema.safeParse(value);
  if (!parsed.success) {
    const { path, ofKey, cause, remedy } = explain(scenarioSchema, value, parsed.error.issues);
    return fail(path, ofKey, cause, remedy);
  }
  await checkNames(parsed.data, document.file, fail);
  return resolve(parsed.data);
}
