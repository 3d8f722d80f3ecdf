/** Runs the cells of a sweep one after the other, and keeps account in `sweep.json`. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { RunFolderError } from '../../reports/format/error.ts';
import { formatVersion, sweepFile } from '../../reports/format/names.ts';
import { kindOf, readRun, readSweep, sha256 } from '../../reports/format/read.ts';
import type { Result } from '../../reports/format/result.ts';
import type { Sweep } from '../../reports/format/sweep.ts';
import { makeFolder, writeWhole } from '../../reports/format/write.ts';
import type { Axis } from '../scenario/load.ts';
import { folderName, type RunPlan } from './plan.ts';
import { type RunOptions, type RunOutcome, runScenario } from './runner.ts';

/** How the cells are run. */
export interface SweepOptions extends Omit<RunOptions, 'progress'> {
  /** Whether cells that are there and whole are taken as they are. */
  readonly resume: boolean;
  /** Told when a cell begins; gives what is told of its progress. */
  readonly cellBegins: (index: number) => RunOptions['progress'];
  /** Told what a cell gave, and whether it was there already. */
  readonly cellEnds: (index: number, result: Result, taken: boolean) => void;
}

/** A folder of several runs, with its account. */
export class SweepFolder {
  readonly path: string;
  #account: Sweep;

  private constructor(path: string, account: Sweep) {
    this.path = path;
    this.#account = account;
  }

  /**
   * Begins the folder, or goes on with it.
   * @throws {@link RunFolderError} when something else is there
   */
  static async open(out: string, account: Omit<Sweep, 'formatVersion' | 'complete'>): Promise<SweepFolder> {
    const path = join(out, folderName(account.name, account.digest));
    if (existsSync(path)) await mustBeSweep(path);
    const folder = new SweepFolder(path, { formatVersion, ...account, complete: false });
    makeFolder(path);
    folder.#write();
    return folder;
  }

  /** Writes the account with these changes. */
  update(changes: Partial<Pick<Sweep, 'axes' | 'cells' | 'density' | 'complete'>>): void {
    this.#account = { ...this.#account, ...changes };
    this.#write();
  }

  #write(): void {
    writeWhole(join(this.path, sweepFile), `${JSON.stringify(this.#account, null, 2)}\n`);
  }
}

async function mustBeSweep(path: string): Promise<void> {
  try {
    await readSweep(path);
  } catch (error) {
    if (!(error instanceof RunFolderError)) throw error;
    const cause = `what is there is not overwritten, since it cannot be read (${error.what})`;
    throw new RunFolderError(path, undefined, cause, 'move it away, or give another --out');
  }
}

/** The result of a run that is in the folder and whole; undefined when it is not. */
export async function finishedRun(folder: string, plan: RunPlan): Promise<RunOutcome | undefined> {
  const path = join(folder, plan.folderName);
  if ((await kindOf(path)) !== 'run') return undefined;
  const { manifest, result } = await readRun(path);
  const whole = manifest.complete && manifest.digest === plan.digest;
  return whole ? { folder: path, result: result! } : undefined;
}

/** Runs a sweep's cells. Gives the folder, and the results of the cells as far as they were run. */
export async function runSweep(
  name: string,
  axes: readonly Axis[],
  plans: readonly RunPlan[],
  options: SweepOptions,
): Promise<{ folder: string; results: Result[] }> {
  const cells: Sweep['cells'] = plans.map(({ parameters }) => ({
    parameters: { ...parameters },
    folder: null,
    complete: false,
  }));
  const folder = await SweepFolder.open(options.out, {
    kind: 'sweep',
    name,
    digest: sha256(JSON.stringify(plans.map(({ digest }) => digest))),
    axes: axes.map(({ path, values }) => ({ path, values: [...values] })),
    cells,
  });
  const results: Result[] = [];
  for (const [index, plan] of plans.entries()) {
    if (options.signal.aborted) break;
    const finished = options.resume ? await finishedRun(folder.path, plan) : undefined;
    const outcome =
      finished ??
      (await runScenario(plan, {
        ...options,
        out: folder.path,
        progress: options.cellBegins(index),
      }));
    const { complete } = outcome.result;
    cells[index] = {
      parameters: { ...plan.parameters },
      folder: outcome.folder.slice(folder.path.length + 1),
      complete,
    };
    folder.update({ cells, complete: cells.every((cell) => cell.complete) });
    results.push(outcome.result);
    options.cellEnds(index, outcome.result, finished !== undefined);
  }
  return { folder: folder.path, results };
}
