import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { execRequest } from '../guest/control.ts';
import { haveQemu, withQemu } from '../guest/testing/qemu.ts';
import { md5 } from './digest.ts';
import { type DiskEntry, writeErofs } from './erofs.ts';
import { resolveImage } from './resolve.ts';

const bytes = (length: number, seed: number) =>
  Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8) * 7 + seed) & 0xff);

/** Files of lengths around whole blocks, and a directory of more names than a block has room for. */
const entries: DiskEntry[] = [
  ...[0, 1, 4095, 4096, 4097, 100_000].map((length, index) => ({
    path: `sizes/of/many/kinds/${length}`,
    mode: 0o644,
    data: bytes(length, index),
  })),
  ...Array.from({ length: 700 }, (_, index) => ({
    path: `many/${'n'.repeat(1 + (index % 60))}-${index}`,
    mode: 0o755,
    data: bytes(10, index),
  })),
  { path: 'a', mode: 0o755, data: bytes(3, 0) },
];

test('the same files give the same disk, in whatever order they come', (t) => {
  const disk = writeErofs(entries);
  t.is(disk.length % 4096, 0);
  t.is(md5(writeErofs([...entries].reverse())), md5(disk));
});

test('two files of one path are refused', (t) => {
  t.throws(() => writeErofs([entries[0]!, entries[0]!]), { message: /two entries are named 'sizes/ });
});

test('data lie in whole blocks as they are', (t) => {
  const disk = writeErofs(entries);
  const { data } = entries[5]!;
  const at = Buffer.from(disk).indexOf(data);
  t.true(at > 0 && at % 4096 === 0);
});

(haveQemu ? test : test.skip)('Linux reads every file of a disk', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'pagefold-erofs-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const disk = join(folder, 'disk');
  await writeFile(disk, writeErofs(entries));
  const image = { ...(await resolveImage('debian-files')), disk };
  await withQemu(image, { ports: true }, async (guest) => {
    t.deepEqual(await guest.answer(), { kind: 'ready' });
    guest.request(
      execRequest('cd /image && find * -type f | xargs md5sum && stat -c "%a %h %n" a many sizes'),
    );
    t.deepEqual(await guest.answer(), { kind: 'exit', status: 0 });
    const lines = guest.output().trim().split('\n');
    t.deepEqual(lines.splice(-3), ['755 1 a', '755 2 many', '755 3 sizes']);
    t.deepEqual(lines.sort(), entries.map(({ path, data }) => `${md5(data)}  ${path}`).sort());
  });
});
