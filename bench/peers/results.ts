/** `bench/RESULTS.md`: each command that measures has a section in it, and writes that anew. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeWhole } from '../../workloads/images/store.ts';
import { projectFolder } from './environment.ts';

/** Where results are written. */
export const benchFolder = join(projectFolder, 'bench');

const head =
  '# Measurements\n\nEach section is written by the command that it names; the next run of the command replaces it.\n';

/** `document` with the section of that name replaced, or added at its end. */
export function withSection(document: string, name: string, section: string): string {
  const [begin, end] = [`<!-- begin ${name} -->`, `<!-- end ${name} -->`];
  const whole = `${begin}\n${section.trim()}\n${end}`;
  const from = document.indexOf(begin);
  const to = document.indexOf(end, from);
  if (from < 0 || to < 0) return `${document.trimEnd()}\n\n${whole}\n`;
  return `${document.slice(0, from)}${whole}${document.slice(to + end.length)}`;
}

/** Writes a section of the results, and files that belong to it into `results/` beside it. */
export async function writeResults(
  name: string,
  section: string,
  files: Readonly<Record<string, Uint8Array | string>>,
): Promise<void> {
  const folder = join(benchFolder, 'results');
  await mkdir(folder, { recursive: true });
  for (const [file, data] of Object.entries(files)) await writeWhole(join(folder, file), data);
  const document = join(benchFolder, 'RESULTS.md');
  const present = await readFile(document, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    return head;
  });
  await writeWhole(document, withSection(present, name, section));
}
