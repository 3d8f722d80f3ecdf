/** What `pagefold check` does: runs the scenarios of baselines and says which figures moved. */
import { writeFile } from 'node:fs/promises';
import { UserError } from '../../workloads/images/user-error.ts';
import { baselineNames } from '../check/baseline.ts';
import { checkBaseline } from '../check/check.ts';
import { exitStatus, junit, type Verdict, verdictText } from '../check/verdict.ts';
import type { RunProgress } from '../run/progress.ts';
import { interruptible } from './interrupt.ts';
import { hostOptions, shownProgress } from './run.ts';
import { progress } from './style.ts';

/** Options as they are given. */
export interface CheckArguments {
  update: boolean;
  junit?: string | undefined;
  out: string;
  workers: string;
}

/** Runs the command. Gives the exit status. */
export async function check(named: readonly string[], given: CheckArguments): Promise<number> {
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
