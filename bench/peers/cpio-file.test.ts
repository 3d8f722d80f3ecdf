import test from 'ava';
import { writeCpio } from '../../workloads/images/cpio.ts';
import { fileInCpio } from './cpio-file.ts';

test('a file is found in an initramfs by its path', (t) => {
  const file = (path: string, text: string) =>
    ({ path, kind: 'file', mode: 0o644, data: Buffer.from(text) }) as const;
  const archive = writeCpio([file('bin/busybox', 'seven b'), file('bin/box', 'odd'), file('etc/x', '')]);
  t.is(Buffer.from(fileInCpio(archive, 'bin/busybox')).toString(), 'seven b');
  t.is(Buffer.from(fileInCpio(archive, 'bin/box')).toString(), 'odd');
  t.throws(() => fileInCpio(archive, 'bin/sh'), { message: 'the initramfs has no file bin/sh' });
});
