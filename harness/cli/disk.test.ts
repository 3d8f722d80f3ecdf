import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { diskOf } from './disk.ts';

const folder = mkdtempSync(join(tmpdir(), 'pagefold-disk-'));
test.after.always(() => rmSync(folder, { recursive: true }));

function fileOf(name: string, bytes: number): string {
  const file = join(folder, name);
  writeFileSync(file, new Uint8Array(bytes));
  return file;
}

test('an image of whole sectors is a disk', (t) => {
  const path = fileOf('disk', 4096);
  t.deepEqual(diskOf(path), { path, readOnly: false });
});

for (const [title, file, cause] of [
  ['is missing', join(folder, 'none'), /ENOENT/],
  ['is empty', fileOf('empty', 0), /its size, 0 bytes, is not a number of 512-byte sectors/],
  ['ends inside a sector', fileOf('odd', 1000), /its size, 1000 bytes, is not a number of 512-byte sectors/],
  ['is a device', '/dev/null', /not a plain file/],
] as const) {
  test(`a disk image that ${title} is refused`, (t) => {
    const error = t.throws(() => diskOf(file), { name: 'UserError', message: cause });
    t.true(error.message.startsWith(`${file}: `));
    t.regex(error.message, /Remedy: /);
  });
}
