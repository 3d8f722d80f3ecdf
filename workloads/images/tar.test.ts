import { spawnSync } from 'node:child_process';
import test from 'ava';
import fc from 'fast-check';
import { readTar, type TarFile, writeTar } from './tar.ts';

const files: TarFile[] = [
  { name: 'manifest.json', data: new TextEncoder().encode('{}\n') },
  { name: 'empty', data: new Uint8Array() },
  { name: 'block', data: new Uint8Array(512).fill(7) },
];

test('what was written is read', (t) => {
  const read = readTar(writeTar(files)).map(({ name, data }) => ({ name, data: new Uint8Array(data) }));
  t.deepEqual(read, files);
});

test("the machine's own tar reads it", (t) => {
  const listed = spawnSync('tar', ['-tvf', '-', '--numeric-owner', '--utc'], { input: writeTar(files) });
  t.is(listed.stderr.toString(), '');
  t.regex(listed.stdout.toString(), /^-rw-r--r-- 0\/0 +3 1970-01-01 00:00 manifest\.json$/m);
  t.regex(listed.stdout.toString(), /^-rw-r--r-- 0\/0 +512 1970-01-01 00:00 block$/m);
});

test('an archive that is cut anywhere is refused', (t) => {
  const archive = writeTar(files);
  for (let length = 0; length <= archive.length - 1024; length += 100) {
    t.throws(() => readTar(archive.subarray(0, length)), { message: /ends/ }, `${length} bytes`);
  }
});

test('one wrong byte in a header is found', (t) => {
  const archive = writeTar(files);
  archive[3]! ^= 1;
  t.throws(() => readTar(archive), { message: 'byte 0 is not the start of a tar header' });
});

test('any bytes are either read or refused', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2048 }), (bytes) => {
      try {
        readTar(bytes);
      } catch (error) {
        return error instanceof Error && error.constructor === Error;
      }
      return true;
    }),
    { seed: 1 },
  );
  t.pass();
});
