/** Folders for tests, removed when their file's tests are done. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestFn } from 'ava';

/** A new folder that is removed after the tests of the file. */
export function temporaryFolder(test: TestFn): string {
  const folder = mkdtempSync(join(tmpdir(), 'pagefold-report-'));
  test.after.always(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
