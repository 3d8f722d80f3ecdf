/** The words of `pagefold check`. */
import type { Argv } from 'yargs';
import { runOptions } from './run.ts';

/** The options of `check`. */
export const checkOptions = {
  update: { type: 'boolean', describe: 'Records the figures anew', default: false },
  junit: { type: 'string', requiresArg: true, describe: 'File to write the verdicts to, as JUnit XML' },
  out: runOptions.out,
  workers: runOptions.workers,
} as const;

/** Adds the command. `status` takes its exit status. */
export function addCheck(to: Argv, status: (status: number) => void): Argv {
  return to.command(
    'check [baseline..]',
    'Hold runs against recorded figures',
    (command) =>
      command
        .usage(
          '$0 check [BASELINE...]\n\nRuns the scenarios of baselines (all of workloads/baselines/ unless some are named) and ' +
            'compares every figure with the recorded one.\n' +
            'Exit status: 0 when none moved, 1 when one did, 2 when a baseline could not be run.',
        )
        .positional('baseline', { type: 'string', array: true, describe: 'Names or files of baselines' })
        .options(checkOptions)
        .example('$0 check', 'all baselines')
        .example('$0 check micro-merge --junit check.xml', 'one, with a file for a CI system')
        .example('$0 check --update quickstart', 'records a scenario’s figures'),
    async ({ baseline, ...given }) => {
      const { check } = await import('../check.ts');
      status(await check(baseline ?? [], given));
    },
  );
}
