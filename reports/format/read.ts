/** Reads run folders, and says what is wrong with those that cannot be read. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type Column, columnSchema } from './columns.ts';
import { parseTable, type Table } from './csv.ts';
import { RunFolderError } from './error.ts';
import { eventSchema, type RunEvent, type WorkloadLine, workloadLineSchema } from './lines.ts';
import { type Manifest, manifestSchema } from './manifest.ts';
import { consolesFolder, files, formatVersion, sweepFile, type TableName } from './names.ts';
import { type Result, resultSchema } from './result.ts';
import { type Sweep, sweepSchema } from './sweep.ts';

/** A run, as its folder tells it. */
export interface RunFolder {
  readonly path: string;
  readonly manifest: Manifest;
  /** The columns that its tables have. */
  readonly columns: readonly Column[];
  readonly tables: Readonly<Record<TableName, Table>>;
  readonly events: readonly RunEvent[];
  readonly workload: readonly WorkloadLine[];
  /** Undefined when the run was killed before it could sum up. */
  readonly result: Result | undefined;
}

const again = 'run the scenario again';

/** Whether `folder` is that of a run, of several runs, or neither. */
export async function kindOf(folder: string): Promise<'run' | 'sweep' | undefined> {
  const isFile = async (name: string) =>
    (await stat(join(folder, name)).catch(() => undefined))?.isFile() === true;
  if (await isFile(sweepFile)) return 'sweep';
  return (await isFile(files.manifest)) ? 'run' : undefined;
}

/** Reads the manifest alone. */
export async function readManifest(folder: string): Promise<Manifest> {
  if ((await kindOf(folder)) !== 'run') {
    throw new RunFolderError(
      folder,
      undefined,
      `this is no folder of a run: it has no ${files.manifest}`,
      "name a folder that 'pagefold run' made",
    );
  }
  return readJson(folder, files.manifest, manifestSchema);
}

/**
 * Reads a run's folder. That of a whole run must have every byte that was written; one that was killed is read as far
 * as it goes.
 * @throws {@link RunFolderError} that names what is damaged
 */
export async function readRun(folder: string): Promise<RunFolder> {
  const manifest = await readManifest(folder);
  if (manifest.complete) await verify(folder, manifest);
  const columns = await readJson(folder, files.columns, z.array(columnSchema));
  const unfinished = !manifest.complete;
  const table = async (name: TableName) => {
    const known = columns.filter((column) => column.table === name);
    const text = await readText(folder, files[name], unfinished);
    return parseTable(join(folder, files[name]), text, known, unfinished);
  };
  const hasResult = manifest.complete || (await exists(join(folder, files.result)));
  return {
    path: folder,
    manifest,
    columns,
    tables: {
      samples: await table('samples'),
      guests: await table('guests'),
      latency: await table('latency'),
      histogram: await table('histogram'),
    },
    events: await readLines(folder, files.events, eventSchema, unfinished),
    workload: await readLines(folder, files.workload, workloadLineSchema, unfinished),
    result: hasResult ? await readJson(folder, files.result, resultSchema) : undefined,
  };
}

/** The console of a guest of a run. */
export async function readConsole(folder: string, guest: string): Promise<string> {
  return readText(folder, join(consolesFolder, `${guest}.log`), false);
}

/** Reads what several runs have in common. */
export async function readSweep(folder: string): Promise<Sweep> {
  if ((await kindOf(folder)) !== 'sweep') {
    throw new RunFolderError(
      folder,
      undefined,
      `this is no folder of a sweep: it has no ${sweepFile}`,
      "name a folder that 'pagefold run' or 'pagefold density' made",
    );
  }
  return readJson(folder, sweepFile, sweepSchema);
}

/** Holds every file of a whole run against the digest in its manifest. */
async function verify(folder: string, { files: digests }: Manifest): Promise<void> {
  for (const [name, digest] of Object.entries(digests)) {
    const bytes = await readFile(join(folder, name)).catch((error: NodeJS.ErrnoException) => {
      throw new RunFolderError(
        join(folder, name),
        undefined,
        `the file cannot be read (${error.code})`,
        again,
      );
    });
    if (sha256(bytes) !== digest) {
      throw new RunFolderError(
        join(folder, name),
        undefined,
        'the file is not the one that the run wrote: its digest differs from that in the manifest',
        again,
      );
    }
  }
}

/** SHA-256 in hexadecimal. */
export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/** The text of a file; an unfinished run may not have begun it. */
async function readText(folder: string, name: string, unfinished: boolean): Promise<string> {
  return readFile(join(folder, name), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (unfinished && error.code === 'ENOENT') return '';
    throw new RunFolderError(join(folder, name), undefined, `the file cannot be read (${error.code})`, again);
  });
}

async function readJson<Schema extends z.ZodType>(
  folder: string,
  name: string,
  schema: Schema,
): Promise<z.output<Schema>> {
  const file = join(folder, name);
  const text = await readText(folder, name, false);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new RunFolderError(file, undefined, `this is not JSON (${(error as Error).message})`, again);
  }
  // The version first: all else may have changed with it.
  const version = (value as { formatVersion?: unknown } | null)?.formatVersion;
  if (typeof version === 'number' && version !== formatVersion) {
    throw new RunFolderError(
      file,
      'formatVersion',
      `the folder has format ${version}, this pagefold reads format ${formatVersion}`,
      version > formatVersion ? 'use the pagefold that wrote it, or a newer one' : again,
    );
  }
  return parsed(file, undefined, schema, value);
}

async function readLines<Schema extends z.ZodType>(
  folder: string,
  name: string,
  schema: Schema,
  unfinished: boolean,
): Promise<z.output<Schema>[]> {
  const file = join(folder, name);
  const lines = (await readText(folder, name, unfinished)).split('\n');
  const last = lines.pop();
  if (last !== '' && !unfinished) {
    throw new RunFolderError(file, `line ${lines.length + 1}`, 'the last line is cut off', again);
  }
  return lines.map((line, at) => {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw new RunFolderError(file, `line ${at + 1}`, 'this is not JSON', again);
    }
    return parsed(file, `line ${at + 1}`, schema, value);
  });
}

function parsed<Schema extends z.ZodType>(
  file: string,
  line: string | undefined,
  schema: Schema,
  value: unknown,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  const place = [line, path.join('.') || undefined].filter((part) => part !== undefined).join(', ');
  throw new RunFolderError(file, place || undefined, message, again);
}
