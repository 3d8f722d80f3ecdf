/** What `pagefold report` does: makes the page, figures and tables of runs. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { reportFolder } from '../../reports/format/names.ts';
import { renderReport } from '../../reports/index.ts';
import { styled } from './style.ts';

/** Makes the report of run folders, prints its summary and where its page is. */
export async function report(folders: readonly string[], out: string): Promise<void> {
  const { html, summary } = await renderReport(folders, out);
  process.stdout.write(`${await readFile(summary, 'utf8')}\n${styled('bold', html)}\n`);
}

/** Makes the report of one folder, in that folder. */
export async function reportIn(folder: string): Promise<void> {
  await report([folder], join(folder, reportFolder));
}
