/** A file for results that the user names. */
import { accessSync, constants, realpathSync, type Stats, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { writeWhole } from '../../workloads/images/store.ts';
import { UserError } from '../../workloads/images/user-error.ts';

/** What a path leads to; undefined when there is nothing. */
function look(file: string): Stats | undefined {
  return statSync(file, { throwIfNoEntry: false });
}

/** Fails early, before a guest has run for nothing. Throws {@link UserError}. */
export function mustBeWritable(file: string): void {
  const refuse = (cause: string) => {
    throw new UserError({ file, cause, remedy: 'name a file in a folder that can be written' });
  };
  try {
    const there = look(file);
    if (there?.isDirectory() === true) refuse('it is a folder');
    const special = there !== undefined && !there.isFile();
    accessSync(
      special ? file : dirname(there === undefined ? resolve(file) : realpathSync(file)),
      constants.W_OK,
    );
  } catch (error) {
    if (error instanceof UserError) throw error;
    refuse((error as Error).message);
  }
}

/**
 * Writes a file that appears when it is whole. What is no plain file, as a device or a pipe, is written to instead: a file in its place
 * would take it away from everybody. A link stays, and what it leads to is replaced.
 */
export async function writeOutput(file: string, text: string): Promise<void> {
  const there = look(file);
  if (there === undefined) await writeWhole(file, text);
  else if (there.isFile()) await writeWhole(realpathSync(file), text);
  else await writeFile(file, text);
}
