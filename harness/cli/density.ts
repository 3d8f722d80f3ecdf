/** `pagefold density`: finds how many guests fit on a host, for each policy. */
import type { Argv } from 'yargs';
import { searchDensity } from '../density/density.ts';
import { policies, policiesNamed } from '../density/policies.ts';
import type { RunProgress } from '../run/progress.ts';
import { loadScenario } from '../scenario/load.ts';
import { interruptible } from './interrupt.ts';
import { reportIn } from './report.ts';
import { hostOptions, type RunArguments, runOptions, settingsOf, shownProgress } from './run.ts';
import { progress, table } from './style.ts';
import { parseInteger } from './values.ts';

/** The options of `density`. */
export const densityOptions = {
  policy: {
    type: 'string',
    requiresArg: true,
    describe: `Policy to search with; may be given several times [default: all]: ${policies.map(({ name }) => name).join(', ')}`,
  },
  most: { type: 'string', requiresArg: true, describe: 'Upper limit of the search', default: '64' },
  ...runOptions,
} as const;

/** Adds the command. `status` takes its exit status. */
export function addDensity(to: Argv, status: (status: number) => void): Argv {
  return to.command(
    'density <scenario>',
    'Find how many guests fit',
    (command) =>
      command
        .usage(
          '$0 density SCENARIO\n\nFinds the largest number of guests (of the scenario’s first group) with which every guest comes up, ' +
            'none is stopped, and every bound of the scenario’s slo is met, for each policy. Runs are kept and not run again.',
        )
        .positional('scenario', { type: 'string', demandOption: true, describe: 'Name or file' })
        .options(densityOptions)
        .example('$0 density density --most 6', 'all policies, up to 6 guests')
        .example('$0 density density --policy none --policy ksm+balloon+swap', 'two of them'),
    async ({ scenario, policy, most, ...given }) => {
      status(await density(scenario, { ...given, policy: [policy ?? []].flat(), most }));
    },
  );
}

/** A run of the search in words. */
function titleOf(policy: string, guests: number): string {
  return `${policy}, ${guests} ${guests === 1 ? 'guest' : 'guests'}`;
}

async function density(
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
    await reportIn(folder);
    return interruption.status ?? 0;
  } finally {
    interruption.release();
  }
}
