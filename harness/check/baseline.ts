/** Baselines: the figures of a run that later runs are held against. One JSON file each, in `workloads/baselines/`. */
import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { nearest } from '../../workloads/images/nearest.ts';
import { UserError } from '../../workloads/images/user-error.ts';

/** How far a figure may be from the baseline: so many per cent of it, or so much. */
const tolerance = z.union([z.string().regex(/^\d+(\.\d+)?%$/, 'not like 0.5%'), z.number().nonnegative()]);

/** What a person writes of a baseline. */
const head = {
  $schema: z.string().optional(),
  scenario: z.string().describe('Name of a scenario of pagefold’s own, or a file relative to this one'),
  set: z.array(z.string()).default([]).describe('Settings over the scenario, as of --set'),
  tolerance: z
    .record(z.string(), tolerance)
    .default({})
    .describe('Figures that need not be exact: their path, * for any part of it, to 0.5% or a number'),
};

/** Schema of a baseline. Without figures, it waits for `pagefold check --update`. */
export const baselineSchema = z.strictObject({
  ...head,
  recorded: z
    .strictObject({
      pagefold: z.string().describe('Version that recorded it'),
      images: z.record(z.string(), z.string()).describe('Digests of the guest images'),
      figures: z.record(z.string(), z.number()).describe('Figures of result.json by their path'),
      states: z.record(z.string(), z.string()).describe('How each guest ended'),
      columns: z
        .strictObject({ samples: z.array(z.string()), guests: z.array(z.string()) })
        .describe('Columns that the samples’ digests are of'),
      samples: z.array(z.string()).describe('First digits of the digest of each sample'),
    })
    .optional()
    .describe('What the run gave; written by pagefold check --update'),
});

/** See {@link baselineSchema}. */
export type Baseline = z.output<typeof baselineSchema>;
/** What a run gave. */
export type Recorded = NonNullable<Baseline['recorded']>;

/** A baseline and its file. */
export interface BaselineFile {
  readonly name: string;
  readonly file: string;
  readonly baseline: Baseline;
}

const folder = fileURLToPath(new URL('../../workloads/baselines/', import.meta.url));

/** The names of the baselines that pagefold brings along, sorted. */
export async function baselineNames(): Promise<string[]> {
  const names = await readdir(folder);
  return names
    .filter((name) => name.endsWith('.json'))
    .map((name) => basename(name, '.json'))
    .sort();
}

/**
 * Reads a baseline: one of pagefold's own by its name, or a file. With `orScenario`, a name that is none is a new baseline
 * of the scenario of that name.
 * @throws {@link UserError} when there is none, or it is wrong
 */
export async function readBaseline(nameOrFile: string, orScenario: readonly string[]): Promise<BaselineFile> {
  const isFile = /[/.]/.test(nameOrFile);
  const file = isFile ? nameOrFile : join(folder, `${nameOrFile}.json`);
  const name = basename(file, '.json');
  const text = await readFile(file, 'utf8').catch(async (error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' && orScenario.includes(nameOrFile)) {
      return JSON.stringify({ scenario: nameOrFile });
    }
    const names = await baselineNames();
    const near = nearest(nameOrFile, names);
    throw new UserError({
      file: nameOrFile,
      cause: isFile ? `the file cannot be read (${error.code})` : 'no baseline has this name',
      remedy: `${near === undefined ? '' : `did you mean ${near}? `}Known baselines: ${names.join(', ')}; a new one is recorded by 'pagefold check --update SCENARIO'`,
    });
  });
  const wrong = (place: string | undefined, cause: string) =>
    new UserError({
      file,
      ...(place === undefined ? {} : { place }),
      cause,
      remedy: "mend it, or record it anew with 'pagefold check --update'",
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw wrong(undefined, `this is not JSON (${(error as Error).message})`);
  }
  const parsed = baselineSchema.safeParse(value);
  if (parsed.success) return { name, file, baseline: parsed.data };
  const { path, message } = parsed.error.issues[0]!;
  throw wrong(path.join('.') || undefined, message);
}

/** The scenario of a baseline as `loadScenario` takes it. */
export function scenarioOf({ file, baseline: { scenario } }: BaselineFile): string {
  return /[/.]/.test(scenario) ? join(dirname(file), scenario) : scenario;
}

/** The text of a baseline's file. */
export function baselineText(baseline: Baseline): string {
  return `${JSON.stringify(baseline, null, 2)}\n`;
}
