/**
 * Writes initramfs archives in cpio's "newc" format, as the kernel's "initramfs buffer format" document
 * describes it. The same entries give the same bytes: sorted by path, owned by root, modified at time 0,
 * inodes counted from 1.
 */

/** One file of the archive. `path` is relative to the root, without a leading or trailing slash. */
export type CpioEntry =
  | { path: string; kind: 'directory'; mode: number }
  | { path: string; kind: 'file'; mode: number; data: Uint8Array }
  | { path: string; kind: 'symlink'; target: string }
  | { path: string; kind: 'character device'; mode: number; major: number; minor: number };

/** The file type bits of a mode (POSIX sys/stat.h, with Linux's values). */
const typeBits = {
  directory: 0o040000,
  file: 0o100000,
  symlink: 0o120000,
  'character device': 0o020000,
};

const encoder = new TextEncoder();

/** The archive that holds `entries` and the directories above them. Throws when two entries have one path. */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const byPath = new Map<string, CpioEntry>();
  for (const entry of entries) {
    if (!/^[^/]+(\/[^/]+)*$/.test(entry.path)) throw new Error(`cpio: bad path '${entry.path}'`);
    if (byPath.has(entry.path)) throw new Error(`cpio: two entries are named '${entry.path}'`);
    byPath.set(entry.path, entry);
  }
  for (const entry of entries) {
    for (let end = entry.path.lastIndexOf('/'); end > 0; end = entry.path.lastIndexOf('/', end - 1)) {
      const path = entry.path.slice(0, end);
      if (!byPath.has(path)) byPath.set(path, { path, kind: 'directory', mode: 0o755 });
    }
  }
  // A directory's path is a prefix of those inside it, so sorting puts it before them.
  const sorted = [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  const parts = sorted.flatMap((entry, index) => member(entry, index + 1));
  parts.push(...padded(header({ name: 'TRAILER!!!', links: 1 })));
  return Buffer.concat(parts);
}

function member(entry: CpioEntry, inode: number): Uint8Array[] {
  const name = entry.path;
  const type = typeBits[entry.kind];
  switch (entry.kind) {
    case 'directory':
      return padded(header({ name, inode, mode: type | entry.mode, links: 2 }));
    case 'character device': {
      const { major, minor } = entry;
      return padded(header({ name, inode, mode: type | entry.mode, links: 1, major, minor }));
    }
    case 'file':
    case 'symlink': {
      const data = entry.kind === 'file' ? entry.data : encoder.encode(entry.target);
      const mode = type | (entry.kind === 'file' ? entry.mode : 0o777);
      return [...padded(header({ name, inode, mode, links: 1, size: data.length })), ...padded(data)];
    }
  }
}

interface Header {
  name: string;
  links: number;
  inode?: number;
  mode?: number;
  size?: number;
  major?: number;
  minor?: number;
}

function header({ name, links, inode = 0, mode = 0, size = 0, major = 0, minor = 0 }: Header): Uint8Array {
  const nameBytes = encoder.encode(`${name}\0`);
  const [user, group, mtime, deviceMajor, deviceMinor, checksum] = [0, 0, 0, 0, 0, 0];
  const fields = [
    ...[inode, mode, user, group, links, mtime, size, deviceMajor, deviceMinor],
    ...[major, minor, nameBytes.length, checksum],
  ];
  const hex = fields.map((field) => field.toString(16).toUpperCase().padStart(8, '0'));
  return Buffer.concat([encoder.encode(`070701${hex.join('')}`), nameBytes]);
}

/** `bytes` and what fills them up to a multiple of 4. */
function padded(bytes: Uint8Array): Uint8Array[] {
  return [bytes, new Uint8Array(-bytes.length & 3)];
}
