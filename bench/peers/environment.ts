/** Where and of what a measurement was made. */
import { cpus, loadavg, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { run } from '../../workloads/images/command.ts';

/** The project's folder. */
export const projectFolder = fileURLToPath(new URL('../..', import.meta.url));

/** A commit of this project. */
export interface Commit {
  /** The beginning of its hash, and whether files differ from it. */
  readonly name: string;
  /** Its day, as YYYY-MM-DD. */
  readonly date: string;
}

/** The commit that is checked out. */
export async function presentCommit(): Promise<Commit> {
  const git = async (...args: string[]) => (await run('git', args, projectFolder)).stdout.trim();
  const [hash, date, changes] = await Promise.all([
    git('rev-parse', '--short=10', 'HEAD'),
    git('log', '-1', '--format=%cs'),
    // Results of benches are no part of what is measured.
    git('status', '--porcelain', '--', '.', ':!bench/RESULTS.md', ':!bench/results'),
  ]);
  return { name: changes === '' ? hash : `${hash} with changes`, date };
}

/** The machine in a few words, with what else ran on it in the last minute. */
export function describeMachine(): string {
  const all = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  const load = loadavg()[0]!.toFixed(1);
  return `${all.length} × ${all[0]?.model.trim()}, ${memory} GiB, Linux ${release()}, load at the start ${load}`;
}
