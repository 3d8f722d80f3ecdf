/** The words of `pagefold density`. */
import type { Argv } from 'yargs';
import { policies } from '../../density/policies.ts';
import { runOptions } from './run.ts';

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
      const { density } = await import('../density.ts');
      status(await density(scenario, { ...given, policy: [policy ?? []].flat(), most }));
    },
  );
}
