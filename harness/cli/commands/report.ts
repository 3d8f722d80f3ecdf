/** The words of `pagefold report`. */
import { join } from 'node:path';
import type { Argv } from 'yargs';
import { reportFolder } from '../../../reports/format/names.ts';

/** The options of `report`. */
export const reportOptions = {
  out: {
    type: 'string',
    requiresArg: true,
    describe: "Folder for the report [default: 'report' in the run's folder; for several runs, here]",
  },
} as const;

/** Adds the command. */
export function addReport(to: Argv): Argv {
  return to.command(
    'report <run..>',
    'Chart runs, or compare them',
    (command) =>
      command
        .usage(
          '$0 report RUN...\n\nMakes a page with charts and tables (and each chart as SVG, PNG, Vega-Lite and CSV) of the folder of a ' +
            'run, a sweep or a density search. Several runs are compared.',
        )
        .positional('run', { type: 'string', array: true, demandOption: true, describe: 'Folders' })
        .options(reportOptions)
        .example('$0 report runs/quickstart-1a2b3c4d', 'one run')
        .example('$0 report runs/a-1a2b3c4d runs/b-5e6f7a8b --out a-b', 'two, side by side'),
    async ({ run, out }) => {
      const { report } = await import('../report.ts');
      await report(run, out ?? (run.length === 1 ? join(run[0]!, reportFolder) : reportFolder));
    },
  );
}
