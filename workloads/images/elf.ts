/** What a program of a package needs to run: read from its file, a 64-bit little-endian ELF file (System V ABI). */

const loadSegment = 1;
const dynamicSegment = 2;
const interpreterSegment = 3;
const neededTag = 1;
const stringsTag = 5;

/** What a program or shared library needs. */
export interface Needs {
  /** Path of the program interpreter, absolute; libraries have none. */
  readonly interpreter?: string;
  /** Names of shared libraries, such as `libc.so.6`. */
  readonly libraries: readonly string[];
}

/** Reads what the file needs. Throws an Error when it is no 64-bit ELF file. */
export function readNeeds(file: Uint8Array): Needs {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (bytes.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') throw new Error('this is no 64-bit ELF file');
  const segments = readSegments(bytes);
  const content = ({ offset, size }: Segment) => bytes.subarray(offset, offset + size);
  const text = (at: number) => bytes.toString('latin1', at, bytes.indexOf(0, at));
  const interpreter = segments.find(({ type }) => type === interpreterSegment);
  const dynamic = segments.find(({ type }) => type === dynamicSegment);
  const entries = dynamic === undefined ? [] : readDynamic(content(dynamic));
  const strings = entries.find(({ tag }) => tag === stringsTag)?.value ?? 0;
  const holder = segments.find(
    ({ type, address, size }) => type === loadSegment && strings >= address && strings < address + size,
  );
  const stringsAt = holder === undefined ? 0 : strings - holder.address + holder.offset;
  const libraries = entries
    .filter(({ tag }) => tag === neededTag)
    .map(({ value }) => text(stringsAt + value));
  return interpreter === undefined ? { libraries } : { interpreter: text(interpreter.offset), libraries };
}

interface Segment {
  type: number;
  offset: number;
  address: number;
  size: number;
}

/** The program headers. */
function readSegments(bytes: Buffer): Segment[] {
  const headersAt = Number(bytes.readBigUInt64LE(0x20)); // e_phoff
  const size = bytes.readUInt16LE(0x36); // e_phentsize
  const count = bytes.readUInt16LE(0x38); // e_phnum
  return Array.from({ length: count }, (_, index) => {
    const at = headersAt + index * size;
    const number = (offset: number) => Number(bytes.readBigUInt64LE(at + offset));
    return { type: bytes.readUInt32LE(at), offset: number(8), address: number(0x10), size: number(0x20) };
  });
}

function readDynamic(table: Buffer): { tag: number; value: number }[] {
  return Array.from({ length: Math.floor(table.length / 16) }, (_, index) => ({
    tag: Number(table.readBigUInt64LE(16 * index)),
    value: Number(table.readBigUInt64LE(16 * index + 8)),
  }));
}
