/** What `pagefold run` does: runs a scenario, or each run of its sweep, and prints where the results are. */
import { makeHost } from '../run/hypervisorhost.ts';
import { planRuns } from '../run/plan.ts';
import { RunProgress } from '../run/progress.ts';
import { type RunOptions, runScenario } from '../run/runner.ts';
import { runSweep } from '../run/sweep.ts';
import { show } from '../scenario/explain.ts';
import { type LoadedScenario, loadScenario } from '../scenario/load.ts';
import { type Interruption, interruptible } from './interrupt.ts';
import { progress } from './style.ts';
import { parseInteger } from './values.ts';

/** Options as they are given. */
export interface RunArguments {
  set?: string | string[] | undefined;
  seed?: string | undefined;
  out: string;
  workers: string;
  check?: boolean | undefined;
}

/** The settings that the options make, `--seed` among them. */
export function settingsOf({ set, seed }: Pick<RunArguments, 'set' | 'seed'>): string[] {
  const seeds = seed === undefined ? [] : [`seed=${parseInteger('--seed', seed, 0, 2 ** 32 - 1)}`];
  return [...[set ?? []].flat(), ...seeds];
}

/** How runs are carried out, from the options. */
export function hostOptions({
  out,
  workers,
  check = false,
}: RunArguments): Omit<RunOptions, 'signal' | 'progress'> {
  return { makeHost, out, workers: parseInteger('--workers', workers, 1, 64), check };
}

/** Runs the command. Gives the exit status. */
export async function run(nameOrFile: string, given: RunArguments & { resume: boolean }): Promise<number> {
  const options = hostOptions(given);
  const loaded = await loadScenario(nameOrFile, { set: settingsOf(given) });
  const interruption = interruptible();
  try {
    return await (loaded.axes.length === 0 ? runOne : runAll)(loaded, options, interruption, given.resume);
  } finally {
    interruption.release();
  }
}

type HostOptions = ReturnType<typeof hostOptions>;

async function runOne(
  loaded: LoadedScenario,
  options: HostOptions,
  interruption: Interruption,
): Promise<number> {
  const [plan] = await planRuns(loaded, progress);
  const shown = shownProgress(loaded.name);
  const { folder, result } = await runScenario(plan!, {
    ...options,
    signal: interruption.signal,
    progress: (state) => shown.update(state),
  }).finally(() => shown.done());
  if (!result.complete) progress(`The run was ${result.reason}; what there is of it is in its folder.`);
  await reportOn(folder);
  return interruption.status ?? 0;
}

async function runAll(
  loaded: LoadedScenario,
  options: HostOptions,
  interruption: Interruption,
  resume: boolean,
): Promise<number> {
  const plans = await planRuns(loaded, progress);
  let shown: RunProgress | undefined;
  const title = (index: number) => `run ${index + 1} of ${plans.length}`;
  const values = (index: number) =>
    Object.entries(plans[index]!.parameters)
      .map(([path, value]) => `${path}=${show(value)}`)
      .join(' ');
  const { folder, results } = await runSweep(loaded.name, loaded.axes, plans, {
    ...options,
    resume,
    signal: interruption.signal,
    cellBegins: (index) => {
      progress(`${title(index)}: ${values(index)}`);
      shown = shownProgress(title(index));
      return (state) => shown!.update(state);
    },
    cellEnds: (index, result, taken) => {
      shown?.done();
      if (taken) progress(`${title(index)}: ${values(index)}: finished before`);
      else if (!result.complete) progress(`${title(index)}: ${result.reason}`);
    },
  }).finally(() => shown?.done());
  const whole = results.filter(({ complete }) => complete).length;
  progress(`${whole} of ${plans.length} runs are finished.`);
  await reportOn(folder);
  if (whole < plans.length) progress('Go on with the same command and --resume.');
  return interruption.status ?? 0;
}

/** Progress on standard error. */
export function shownProgress(title: string): RunProgress {
  return new RunProgress(title, process.stderr, () => performance.now());
}

/** Makes the report of a folder. What draws charts is loaded when there is something to draw: it takes longer than to begin a run. */
export async function reportOn(folder: string): Promise<void> {
  const { reportIn } = await import('./report.ts');
  await reportIn(folder);
}
