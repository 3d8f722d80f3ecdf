/**
 * Writes read-only disks in EROFS, the format of Linux's "Enhanced Read-Only File System", as the kernel's
 * "EROFS core on-disk format" document describes it: compact inodes, data uncompressed in whole blocks of 4 KiB. So a block
 * of the disk and the page of a guest's page cache that has it are the same bytes. The same files give the same disk.
 */

/** A file of a disk. `path` is relative to its root. */
export interface DiskEntry {
  readonly path: string;
  readonly mode: number;
  readonly data: Uint8Array;
}

const block = 4096;
const blockBits = 12;
/** The superblock, and behind it the inodes, counted in their size. */
const superblockAt = 1024;
const inodeSize = 32;
const firstInode = (superblockAt + 128) / inodeSize;
const magic = 0xe0f5_e1e2;
const directoryEntrySize = 12;
const types = { file: 1, directory: 2 } as const;
const modes = { file: 0o100000, directory: 0o040000 } as const;

interface Node {
  readonly kind: 'file' | 'directory';
  readonly mode: number;
  readonly inode: number;
  /** Of a directory: what is in it, and the directory above. */
  readonly children: Map<string, Node>;
  readonly parent: Node | undefined;
  data: Uint8Array;
}

/** The disk that holds these files and the directories above them. Throws when two files have one path. */
export function writeErofs(entries: readonly DiskEntry[]): Uint8Array {
  const nodes = makeTree(entries);
  for (const node of nodes) if (node.kind === 'directory') node.data = directoryData(node);
  const inodesEnd = (firstInode + nodes.length) * inodeSize;
  let next = Math.ceil(inodesEnd / block);
  const placed = nodes.map((node) => {
    const at = next;
    next += Math.ceil(node.data.length / block);
    return { node, at };
  });
  const disk = Buffer.alloc(next * block);
  writeSuperblock(disk, nodes.length, next);
  for (const { node, at } of placed) {
    writeInode(disk, node, at);
    disk.set(node.data, at * block);
  }
  return disk;
}

/** All nodes, the root first. */
function makeTree(entries: readonly DiskEntry[]): Node[] {
  const nodes: Node[] = [];
  const add = (kind: Node['kind'], mode: number, parent: Node | undefined): Node => {
    const node: Node = {
      kind,
      mode,
      inode: firstInode + nodes.length,
      children: new Map(),
      parent,
      data: new Uint8Array(0),
    };
    nodes.push(node);
    return node;
  };
  const root = add('directory', 0o755, undefined);
  for (const { path, mode, data } of [...entries].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    const names = path.split('/');
    const name = names.pop()!;
    let folder = root;
    for (const each of names) {
      const known = folder.children.get(each);
      const below = known ?? add('directory', 0o755, folder);
      folder.children.set(each, below);
      folder = below;
    }
    if (folder.children.has(name)) throw new Error(`erofs: two entries are named '${path}'`);
    const node = add('file', mode, folder);
    node.data = data;
    folder.children.set(name, node);
  }
  return nodes;
}

/**
 * A directory's content: its entries sorted by name, as many in each block as fit; in a block first all entries, then
 * all names. The first entry's name offset tells their number.
 */
function directoryData(node: Node): Uint8Array {
  const named: [Buffer, Node][] = [
    [Buffer.from('.'), node],
    [Buffer.from('..'), node.parent ?? node],
    ...[...node.children].map(([name, child]): [Buffer, Node] => [Buffer.from(name), child]),
  ];
  named.sort(([a], [b]) => Buffer.compare(a, b));
  const blocks: Buffer[] = [];
  for (let first = 0, end: number; first < named.length; first = end) {
    let used = 0;
    for (end = first; end < named.length; end++) {
      used += directoryEntrySize + named[end]![0].length;
      if (used > block) break;
    }
    blocks.push(directoryBlock(named.slice(first, end)));
  }
  // Only the last block may be shorter than a block: a zero byte, or its end, ends its last name.
  return Buffer.concat(blocks.map((each, index) => (index < blocks.length - 1 ? padded(each) : each)));
}

function directoryBlock(named: readonly [Buffer, Node][]): Buffer {
  const heads = Buffer.alloc(named.length * directoryEntrySize);
  let nameAt = heads.length;
  named.forEach(([name, { inode, kind }], index) => {
    const at = index * directoryEntrySize;
    heads.writeBigUInt64LE(BigInt(inode), at);
    heads.writeUInt16LE(nameAt, at + 8);
    heads.writeUInt8(types[kind], at + 10);
    nameAt += name.length;
  });
  return Buffer.concat([heads, ...named.map(([name]) => name)]);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes], block);
}

function writeSuperblock(disk: Buffer, inodes: number, blocks: number): void {
  disk.writeUInt32LE(magic, superblockAt);
  disk.writeUInt8(blockBits, superblockAt + 12);
  disk.writeUInt16LE(firstInode, superblockAt + 14); // the root
  disk.writeBigUInt64LE(BigInt(inodes), superblockAt + 16);
  disk.writeUInt32LE(blocks, superblockAt + 36);
  disk.write('pagefold', superblockAt + 64); // the volume's name
}

/** A compact inode (version 0) of layout "flat plain" (0), owned by root. */
function writeInode(disk: Buffer, { kind, mode, inode, data, children }: Node, firstBlock: number): void {
  const at = inode * inodeSize;
  const folders = [...children.values()].filter((child) => child.kind === 'directory').length;
  disk.writeUInt16LE(modes[kind] | mode, at + 4);
  disk.writeUInt16LE(kind === 'directory' ? 2 + folders : 1, at + 6); // links
  disk.writeUInt32LE(data.length, at + 8);
  disk.writeUInt32LE(firstBlock, at + 16);
  disk.writeUInt32LE(inode, at + 20); // what stat shows as its number
}
