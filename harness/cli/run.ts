/** `pagefold run`: runs a scenario, or each run of its sweep, and prints where the results are. */
import type { Argv } from 'yargs';
import { makeHost } from '../run/hypervisorhost.ts';
import { planRuns } from '../run/plan.ts';
import { RunProgress } from '../run/progress.ts';
import { type RunOptions, runScenario } from '../run/runner.ts';
import { runSweep } from '../run/sweep.ts';
import { show } from '../scenario/explain.ts';
import { type LoadedScenario, loadScenario } from '../scenario/load.ts';
import { type Interruption, interruptible } from './interrupt.ts';
import { reportIn } from './report.ts';
import { progress } from './style.ts';
import { parseInteger } from './values.ts';

/** The options that `run` and `density` have in common. */
export const runOptions = {
  set: {
    type: 'string',
    requiresArg: true,
    describe: 'PATH=VALUE: sets a key of the scenario; may be given several times',
  },
  seed: {
    type: 'string',
    requiresArg: true,
    describe: "Where the guests' randomness starts from: --set seed=N",
  },
  out: { type: 'string', requiresArg: true, describe: 'Folder for the run folders', default: 'runs' },
  workers: {
    type: 'string',
    requiresArg: true,
    describe: 'Threads that run guests: the same results',
    default: '1',
  },
  check: {
    type: 'boolean',
    describe: "Proves the books of the host's memory at each sample: the same results, later",
    default: false,
  },
} as const;

/** The options of `run`. */
export const ownRunOptions = {
  ...runOptions,
  resume: {
    type: 'boolean',
    describe: 'Takes the finished runs of a sweep as they are',
    default: false,
  },
} as const;

/** Adds the command. `status` takes its exit status. */
export function addRun(to: Argv, status: (status: number) => void): Argv {
  return to.command(
    'run [scenario]',
    'Run a scenario',
    (command) =>
      command
        .usage(
          '$0 run [SCENARIO]\n\nRuns a scenario in virtual time: one of pagefold’s own by its name, or a YAML file. ' +
            'The results are a folder of tables, charts and a summary; the same scenario gives the same.',
        )
        .positional('scenario', { type: 'string', default: 'quickstart', describe: 'Name or file' })
        .options(ownRunOptions)
        .example('$0 run', 'the scenario quickstart')
        .example('$0 run ksm-sweep --set duration=30s', 'every run of a sweep, each shorter')
        .example("$0 run ksm-sweep --set 'guests.0.count=[1, 2]'", 'with other values on one axis')
        .example('$0 run ksm-sweep --resume', 'goes on with a sweep that was interrupted')
        .example('$0 run ./mine.yaml --set host.ksm=off --seed 7', 'your own, changed'),
    async ({ scenario, resume, ...given }) => {
      status(await run(scenario, { ...given, resume }));
    },
  );
}

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

async function run(nameOrFile: string, given: RunArguments & { resume: boolean }): Promise<number> {
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
  await reportIn(folder);
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
  await reportIn(folder);
  if (whole < plans.length) progress('Go on with the same command and --resume.');
  return interruption.status ?? 0;
}

/** Progress on standard error. */
export function shownProgress(title: string): RunProgress {
  return new RunProgress(title, process.stderr, () => performance.now());
}
