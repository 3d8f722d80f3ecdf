import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { openDisk } from './disk.ts';

const folder = mkdtempSync(join(tmpdir(), 'pagefold-disk-'));
test.after.always(() => rmSync(folder, { recursive: true }));

function fileOf(name: string, bytes: number): string {
  const file = join(folder, name);
  writeFileSync(file, new Uint8Array(bytes));
  return file;
}

test('what is written to a disk is in its file and is read back', (t) => {
  const file = fileOf('disk', 4096);
  const disk = openDisk(file);
  t.is(disk.bytes, 4096);
  t.false(disk.readOnly);
  disk.write(512, new Uint8Array(512).fill(7));
  disk.flush();
  const read = new Uint8Array(1024);
  disk.read(512, read);
  t.deepEqual([read[0], read[511], read[512]], [7, 7, 0]);
  disk.close();
  t.deepEqual([readFileSync(file)[511], readFileSync(file)[512]], [0, 7]);
});

for (const [title, file, cause] of [
  ['is missing', join(folder, 'none'), /ENOENT/],
  ['is empty', fileOf('empty', 0), /its size, 0 bytes, is not a number of 512-byte sectors/],
  ['ends inside a sector', fileOf('odd', 1000), /its size, 1000 bytes, is not a number of 512-byte sectors/],
  ['is a device', '/dev/null', /not a plain file/],
] as const) {
  test(`a disk image that ${title} is refused`, (t) => {
    const error = t.throws(() => openDisk(file), { name: 'UserError', message: cause });
    t.true(error.message.startsWith(`${file}: `));
    t.regex(error.message, /Remedy: /);
  });
}
