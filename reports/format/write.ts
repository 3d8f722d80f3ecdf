/**
 * Writes a run's folder. It grows under a name that ends in `.partial`, so that what was sampled can be read whenever
 * the run is killed, and gets its own name when it is whole. A run that is interrupted keeps the partial name.
 */
import {
  appendFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Column } from './columns.ts';
import { type Cell, csvLine } from './csv.ts';
import type { Bucket } from './distribution.ts';
import { RunFolderError } from './error.ts';
import type { RunEvent, WorkloadLine } from './lines.ts';
import { type Manifest, manifestSchema } from './manifest.ts';
import { consolesFolder, files, partialEnding, type TableName } from './names.ts';
import { readRun, sha256 } from './read.ts';
import { type Distribution, type Result, resultSchema } from './result.ts';

/** Times of one kind and cause, of a guest or of the host. */
export interface LatencyRecord {
  /** Name of a guest, or `host`. */
  readonly scope: string;
  readonly kind: 'fault' | 'application';
  readonly cause: string;
  readonly distribution: Distribution;
  /** The ranges that it was counted in; none when only the percentiles are known. */
  readonly buckets: readonly Bucket[];
}

/** What a run ends with. */
export interface RunEnd {
  /** Why it is not whole; undefined when it is. */
  readonly reason?: string;
  /** Wall time, ISO 8601. */
  readonly finished: string;
  /** The most memory that the process had, in bytes. */
  readonly peakMemory: number;
  readonly latencies: readonly LatencyRecord[];
  readonly result: Result;
}

/** The file by which a second process sees that the folder is being written. */
const ownerFile = 'writer.pid';

/** Writes a file under a temporary name and renames it when whole. */
export function writeWhole(file: string, text: string): void {
  const temporary = `${file}.${process.pid}.part`;
  writeFileSync(temporary, text);
  renameSync(temporary, file);
}

/** See the top of this file. */
export class RunFolderWriter {
  /** The folder while the run goes on. */
  readonly path: string;
  readonly #finalPath: string;
  readonly #columns: readonly Column[];
  #manifest: Manifest;

  private constructor(finalPath: string, manifest: Manifest, columns: readonly Column[]) {
    this.#finalPath = finalPath;
    this.path = `${finalPath}${partialEnding}`;
    this.#manifest = manifest;
    this.#columns = columns;
  }

  /**
   * Begins the folder `folder` of a run with those columns. A former run of that name that can be read is replaced when
   * this one is whole, and what is left of an interrupted one at once.
   * @throws {@link RunFolderError} when what is there cannot be read, or another process is writing it
   */
  static async begin(
    folder: string,
    manifest: Omit<Manifest, 'complete' | 'reason' | 'finished' | 'peakMemory' | 'files'>,
    columns: readonly Column[],
  ): Promise<RunFolderWriter> {
    if (exists(folder)) await mustBeReadable(folder);
    const partial = `${folder}${partialEnding}`;
    if (exists(partial)) {
      await mustBeReadable(partial);
      if (ownerLives(partial)) {
        const cause = 'another pagefold is writing this run';
        throw new RunFolderError(partial, undefined, cause, 'wait for it, or give another --out');
      }
      rmSync(partial, { recursive: true });
    }
    const whole = {
      ...manifest,
      complete: false,
      reason: 'the run was killed',
      finished: null,
      peakMemory: null,
      files: {},
    };
    const writer = new RunFolderWriter(folder, manifestSchema.parse(whole), columns);
    writer.#start();
    return writer;
  }

  #start(): void {
    makeFolder(join(this.path, consolesFolder));
    writeFileSync(join(this.path, ownerFile), `${process.pid}\n`);
    this.#json(files.manifest, this.#manifest);
    this.#json(files.columns, this.#columns);
    for (const table of ['samples', 'guests', 'latency', 'histogram'] as const) {
      writeFileSync(join(this.path, files[table]), csvLine(this.#of(table).map(({ name }) => name)));
    }
    for (const name of [files.events, files.workload]) writeFileSync(join(this.path, name), '');
    for (const { name } of this.#manifest.guests) writeFileSync(this.#console(name), '');
  }

  #of(table: TableName): Column[] {
    return this.#columns.filter((column) => column.table === table);
  }

  #json(name: string, value: unknown): void {
    writeWhole(join(this.path, name), `${JSON.stringify(value, null, 2)}\n`);
  }

  #console(guest: string): string {
    return join(this.path, consolesFolder, `${guest}.log`);
  }

  /** Adds rows to a table. A column that a row says nothing of stays empty; one that the table has not is a defect. */
  rows(table: TableName, rows: readonly Readonly<Record<string, Cell>>[]): void {
    if (rows.length === 0) return;
    const columns = this.#of(table);
    const names = new Set(columns.map(({ name }) => name));
    const text = rows.map((row) => {
      const stray = Object.keys(row).find((name) => !names.has(name));
      if (stray !== undefined) throw new Error(`the table ${table} has no column ${stray}`);
      return csvLine(columns.map(({ name }) => row[name]));
    });
    appendFileSync(join(this.path, files[table]), text.join(''));
  }

  /** Adds an event. */
  event(event: RunEvent): void {
    appendFileSync(join(this.path, files.events), `${JSON.stringify(event)}\n`);
  }

  /** Adds what a workload said. */
  workloadLine(line: WorkloadLine): void {
    appendFileSync(join(this.path, files.workload), `${JSON.stringify(line)}\n`);
  }

  /** Adds what a guest wrote to its console. */
  console(guest: string, bytes: Uint8Array): void {
    appendFileSync(this.#console(guest), bytes);
  }

  /** Sums the run up. Gives the path of the folder: its own name when the run is whole, the partial one otherwise. */
  finish({ reason, finished, peakMemory, latencies, result }: RunEnd): string {
    for (const { scope, kind, cause, distribution, buckets } of latencies) {
      this.rows('latency', [{ scope, kind, cause, ...distribution }]);
      this.rows(
        'histogram',
        buckets.map(({ upper, count }) => ({ scope, kind, cause, upper_ns: upper, count })),
      );
    }
    this.#json(files.result, resultSchema.parse(result));
    const complete = reason === undefined;
    const consoles = this.#manifest.guests.map(({ name }) => join(consolesFolder, `${name}.log`));
    const names = [...Object.values(files).filter((name) => name !== files.manifest), ...consoles];
    const digests = names.map((name) => [name, sha256(readFileSync(join(this.path, name)))] as const);
    this.#manifest = {
      ...this.#manifest,
      complete,
      reason: reason ?? null,
      finished,
      peakMemory,
      files: complete ? Object.fromEntries(digests) : {},
    };
    this.#json(files.manifest, this.#manifest);
    rmSync(join(this.path, ownerFile), { force: true });
    if (!complete) return this.path;
    replace(this.#finalPath, this.path);
    return this.#finalPath;
  }
}

/** Puts the folder `by` in the place of `folder`, which may be there. */
function replace(folder: string, by: string): void {
  const former = `${folder}.${process.pid}.former`;
  const there = exists(folder);
  if (there) renameSync(folder, former);
  renameSync(by, folder);
  if (there) rmSync(former, { recursive: true });
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** What would be overwritten must be a run that this pagefold understands. */
/**
 * Makes a folder, and those that it is in.
 * @throws {@link RunFolderError} when it cannot be made
 */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const cause = `the folder cannot be made (${code ?? message})`;
    throw new RunFolderError(path, undefined, cause, 'give an --out where folders can be made');
  }
}

async function mustBeReadable(folder: string): Promise<void> {
  try {
    await readRun(folder);
  } catch (error) {
    if (!(error instanceof RunFolderError)) throw error;
    const cause = `what is there is not overwritten, since it cannot be read (${error.what})`;
    throw new RunFolderError(folder, undefined, cause, 'move it away, or give another --out');
  }
}

function ownerLives(folder: string): boolean {
  const text = exists(join(folder, ownerFile)) ? readFileSync(join(folder, ownerFile), 'utf8') : '';
  const owner = Number.parseInt(text, 10);
  if (!(owner > 0) || owner === process.pid) return false;
  try {
    return process.kill(owner, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
