/** What `pagefold density` does: finds how many guests fit on a host, for each policy. */
import { searchDensity } from '../density/density.ts';
import { policiesNamed } from '../density/policies.ts';
import type { RunProgress } from '../run/progress.ts';
import { loadScenario } from '../scenario/load.ts';
import { interruptible } from './interrupt.ts';
import { hostOptions, type RunArguments, reportOn, settingsOf, shownProgress } from './run.ts';
import { progress, table } from './style.ts';
import { parseInteger } from './values.ts';

/** A run of the search in words. */
function titleOf(policy: string, guests: number): string {
  return `${policy}, ${guests} ${guests === 1 ? 'guest' : 'guests'}`;
}

/** Runs the command. Gives the exit status. */
export async function density(
  nameOrFile: string,
  given: RunArguments & { policy: string[]; most: string },
): Promise<number> {
  const options = {
    ...hostOptions(given),
    policies: policiesNamed(given.policy),
    most: parseInteger('--most', given.most, 1, 1000),
  };
  const loaded = await loadScenario(nameOrFile, { set: settingsOf(given) });
  const interruption = interruptible();
  let shown: RunProgress | undefined;
  try {
    const { folder, found } = await searchDensity(loaded, {
      ...options,
      signal: interruption.signal,
      building: progress,
      runBegins: ({ name }, guests) => {
        shown = shownProgress(titleOf(name, guests));
        return (state) => shown!.update(state);
      },
      runEnds: ({ name }, guests, missed, taken) => {
        shown?.done();
        const verdict = missed.length === 0 ? 'they fit' : `they do not fit: ${missed.join(', ')}`;
        progress(`${titleOf(name, guests)}: ${verdict}${taken ? ' (run before)' : ''}`);
      },
    }).finally(() => shown?.done());
    const rows = found.map(({ policy, guests, exact, host_memory }) => [
      policy,
      `${guests}${exact ? '' : ' or more'}`,
      (guests / (host_memory / 2 ** 30)).toFixed(1),
    ]);
    process.stdout.write(table([['POLICY', 'GUESTS', 'PER GIB'], ...rows], process.stdout.columns));
    if (interruption.status !== undefined) progress('Interrupted; the same command goes on.');
    await reportOn(folder);
    return interruption.status ?? 0;
  } finally {
    interruption.release();
  }
}
