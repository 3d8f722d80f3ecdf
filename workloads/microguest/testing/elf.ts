/** The microguest as an ELF file with a PVH entry (Xen, "x86/HVM direct boot ABI"), which QEMU boots. */
import type { MicroguestImage } from '../image.ts';

const setupBytes = 1024;
const loadAddress = 0x10_0000;
const headerBytes = 64;
const programHeaderBytes = 56;
const segment = { load: 1, note: 4 } as const;
/** The start of the note that names the entry: the sizes of name and value, the type 18, and the name. */
const note = Buffer.from([4, 0, 0, 0, 4, 0, 0, 0, 18, 0, 0, 0, ...Buffer.from('Xen\0')]);
const noteBytes = note.length + 4;

/** Wraps the program's constant pages. */
export function microguestElf(image: MicroguestImage): Uint8Array {
  const code = Buffer.from(image.kernel).subarray(setupBytes);
  const noteAt = code.indexOf(note);
  if (noteAt < 0) throw new Error('the microguest has no PVH note');
  const memoryBytes = (image.private.first + image.private.count) * 4096 - loadAddress;
  const codeAt = 4096;
  const head = Buffer.alloc(codeAt);
  head.write('\x7fELF\x02\x01\x01', 'latin1');
  head.writeUInt16LE(2, 16); // an executable
  head.writeUInt16LE(62, 18); // for x86-64
  head.writeUInt32LE(1, 20);
  head.writeBigUInt64LE(BigInt(loadAddress), 24); // entry
  head.writeBigUInt64LE(BigInt(headerBytes), 32); // program headers
  head.writeUInt16LE(headerBytes, 52);
  head.writeUInt16LE(programHeaderBytes, 54);
  head.writeUInt16LE(2, 56);
  [
    { type: segment.load, at: 0, bytes: code.length, memory: memoryBytes },
    { type: segment.note, at: noteAt, bytes: noteBytes, memory: noteBytes },
  ].forEach(({ type, at, bytes, memory }, index) => {
    const header = headerBytes + index * programHeaderBytes;
    head.writeUInt32LE(type, header);
    head.writeUInt32LE(7, header + 4);
    head.writeBigUInt64LE(BigInt(codeAt + at), header + 8);
    head.writeBigUInt64LE(BigInt(loadAddress + at), header + 16);
    head.writeBigUInt64LE(BigInt(loadAddress + at), header + 24);
    head.writeBigUInt64LE(BigInt(bytes), header + 32);
    head.writeBigUInt64LE(BigInt(memory), header + 40);
    head.writeBigUInt64LE(type === segment.note ? 4n : 4096n, header + 48);
  });
  return Buffer.concat([head, code]);
}
