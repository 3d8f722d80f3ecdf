/** Reads one file out of an initramfs (cpio "newc", as the kernel's "initramfs buffer format" document describes it). */

const headerLength = 110;
/** Places of fields in the header, each of 8 hexadecimal digits. */
const fileSizeAt = 54;
const nameSizeAt = 94;

const align = (offset: number) => Math.ceil(offset / 4) * 4;

/** The bytes of the file at `path`. Throws when the archive has none. */
export function fileInCpio(archive: Uint8Array, path: string): Uint8Array {
  const text = (from: number, length: number) =>
    Buffer.from(archive.subarray(from, from + length)).toString('latin1');
  const field = (at: number) => Number.parseInt(text(at, 8), 16);
  for (let at = 0; text(at, 6) === '070701'; ) {
    const nameSize = field(at + nameSizeAt);
    const size = field(at + fileSizeAt);
    const data = align(at + headerLength + nameSize);
    const name = text(at + headerLength, nameSize - 1);
    if (name === path) return archive.subarray(data, data + size);
    if (name === 'TRAILER!!!') break;
    at = align(data + size);
  }
  throw new Error(`the initramfs has no file ${path}`);
}
