/** `pagefold report`: makes the page, figures and tables of runs. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Argv } from 'yargs';
import { reportFolder } from '../../reports/format/names.ts';
import { renderReport } from '../../reports/index.ts';
import { styled } from './style.ts';

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
      await report(run, out ?? (run.length === 1 ? join(run[0]!, reportFolder) : reportFolder));
    },
  );
}

/** Makes the report of run folders, prints its summary and where its page is. */
export async function report(folders: readonly string[], out: string): Promise<void> {
  const { html, summary } = await renderReport(folders, out);
  process.stdout.write(`${await readFile(summary, 'utf8')}\n${styled('bold', html)}\n`);
}

/** Makes the report of one folder, in that folder. */
export async function reportIn(folder: string): Promise<void> {
  await report([folder], join(folder, reportFolder));
}
