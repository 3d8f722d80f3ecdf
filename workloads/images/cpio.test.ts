import test from 'ava';
import { type CpioEntry, writeCpio } from './cpio.ts';

const data = (text: string) => new TextEncoder().encode(text);

interface Member {
  name: string;
  inode: number;
  mode: number;
  links: number;
  major: number;
  minor: number;
  data: string;
}

/** Reads an archive by the letter of the "initramfs buffer format" document. */
function readCpio(archive: Uint8Array): Member[] {
  const bytes = Buffer.from(archive);
  const members: Member[] = [];
  let at = 0;
  const align = () => {
    at = (at + 3) & ~3;
  };
  for (;;) {
    const magic = bytes.toString('latin1', at, at + 6);
    if (magic !== '070701') throw new Error(`no header at ${at}`);
    const field = (index: number) => {
      const text = bytes.toString('latin1', at + 6 + 8 * index, at + 14 + 8 * index);
      if (!/^[0-9A-F]{8}$/.test(text)) throw new Error(`field ${index} at ${at} is '${text}'`);
      return Number.parseInt(text, 16);
    };
    const [inode, mode, uid, gid, links, mtime, size] = [0, 1, 2, 3, 4, 5, 6].map(field);
    const [major, minor, nameSize] = [9, 10, 11].map(field);
    if (uid !== 0 || gid !== 0 || mtime !== 0) throw new Error('an owner or a time is not 0');
    const name = bytes.toString('utf8', at + 110, at + 110 + nameSize! - 1);
    at += 110 + nameSize!;
    align();
    const text = bytes.toString('utf8', at, at + size!);
    at += size!;
    align();
    if (name === 'TRAILER!!!') return members;
    members.push({
      name,
      inode: inode!,
      mode: mode!,
      links: links!,
      major: major!,
      minor: minor!,
      data: text,
    });
  }
}

const entries: CpioEntry[] = [
  { path: 'bin/sh', kind: 'symlink', target: 'busybox' },
  { path: 'bin/busybox', kind: 'file', mode: 0o755, data: data('12345') },
  { path: 'dev/console', kind: 'character device', mode: 0o600, major: 5, minor: 1 },
  { path: 'tmp', kind: 'directory', mode: 0o1777 },
];

test('files, links, devices and directories are written as the kernel reads them', (t) => {
  t.deepEqual(readCpio(writeCpio(entries)), [
    { name: 'bin', inode: 1, mode: 0o40755, links: 2, major: 0, minor: 0, data: '' },
    { name: 'bin/busybox', inode: 2, mode: 0o100755, links: 1, major: 0, minor: 0, data: '12345' },
    { name: 'bin/sh', inode: 3, mode: 0o120777, links: 1, major: 0, minor: 0, data: 'busybox' },
    { name: 'dev', inode: 4, mode: 0o40755, links: 2, major: 0, minor: 0, data: '' },
    { name: 'dev/console', inode: 5, mode: 0o20600, links: 1, major: 5, minor: 1, data: '' },
    { name: 'tmp', inode: 6, mode: 0o41777, links: 2, major: 0, minor: 0, data: '' },
  ]);
});

test('the order in which entries are given does not matter', (t) => {
  t.deepEqual(writeCpio(entries), writeCpio([...entries].reverse()));
});

test('directories above a file are added once', (t) => {
  const names = readCpio(
    writeCpio([
      { path: 'a/b/c', kind: 'file', mode: 0o644, data: data('') },
      { path: 'a/b/d', kind: 'file', mode: 0o644, data: data('') },
    ]),
  ).map(({ name }) => name);
  t.deepEqual(names, ['a', 'a/b', 'a/b/c', 'a/b/d']);
});

test('two entries of one path are refused', (t) => {
  t.throws(() => writeCpio([...entries, entries[0]!]), { message: /two entries are named 'bin\/sh'/ });
});

for (const path of ['/bin', 'bin/', 'a//b', '']) {
  test(`the path '${path}' is refused`, (t) => {
    t.throws(() => writeCpio([{ path, kind: 'directory', mode: 0o755 }]), { message: /bad path/ });
  });
}
