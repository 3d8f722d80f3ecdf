/** `pagefold check`: runs the scenarios of baselines and says which figures moved. */
import { writeFile } from 'node:fs/promises';
import type { Argv } from 'yargs';
import { UserError } from '../../workloads/images/user-error.ts';
import { baselineNames } from '../check/baseline.ts';
import { checkBaseline } from '../check/check.ts';
import { exitStatus, junit, type Verdict, verdictText } from '../check/verdict.ts';
import type { RunProgress } from '../run/progress.ts';
import { interruptible } from './interrupt.ts';
import { hostOptions, runOptions, shownProgress } from './run.ts';
import { progress } from './style.ts';

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
      status(await check(baseline ?? [], given));
    },
  );
}

interface CheckArguments {
  update: boolean;
  junit?: string | undefined;
  out: string;
  workers: string;
}

async function check(named: readonly string[], given: CheckArguments): Promise<number> {
  const names = named.length > 0 ? named : await baselineNames();
  const options = hostOptions(given);
  const interruption = interruptible();
  const verdicts: Verdict[] = [];
  let shown: RunProgress | undefined;
  try {
    for (const name of names) {
      if (interruption.status !== undefined) break;
      const verdict = await checkBaseline(name, {
        ...options,
        update: given.update,
        named: named.length > 0,
        signal: interruption.signal,
        building: progress,
        now: () => performance.now(),
        runBegins: (title) => {
          shown = shownProgress(title);
          return (state) => shown!.update(state);
        },
      }).finally(() => shown?.done());
      verdicts.push(verdict);
      process.stdout.write(verdictText(verdict));
    }
  } finally {
    interruption.release();
  }
  if (given.junit !== undefined) {
    const file = given.junit;
    await writeFile(file, junit(verdicts)).catch((error: Error) => {
      throw new UserError({ file, cause: error.message, remedy: 'give --junit a file that can be written' });
    });
  }
  return interruption.status ?? exitStatus(verdicts);
}
