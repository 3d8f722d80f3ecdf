/** The words of `pagefold run`. */
import type { Argv } from 'yargs';

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
      const { run } = await import('../run.ts');
      status(await run(scenario, { ...given, resume }));
    },
  );
}
