/** The file that a run's swap is in. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Calls `open` with the path of a file that is not there yet, in the folder for temporary files (`TMPDIR`). Its name is
 * gone when this returns: what was opened has its bytes until it is closed, or the process is killed.
 */
export function withUnnamedFile<Result>(open: (file: string) => Result): Result {
  const folder = mkdtempSync(join(tmpdir(), 'pagefold-swap-'));
  try {
    return open(join(folder, 'swap'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
