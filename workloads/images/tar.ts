/**
 * The little of tar that image archives need: plain files, in POSIX.1-1988 "ustar" format. The same files
 * give the same bytes: owned by 0, modified at time 0, in the order given.
 */

/** One plain file of an archive. */
export interface TarFile {
  name: string;
  data: Uint8Array;
}

const block = 512;

/** The archive that holds `files` in this order. Names take at most 100 bytes of ASCII. */
export function writeTar(files: readonly TarFile[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const { name, data } of files) {
    parts.push(header(name, data.length), data, new Uint8Array(-data.length & (block - 1)));
  }
  parts.push(new Uint8Array(2 * block));
  return Buffer.concat(parts);
}

function header(name: string, size: number): Uint8Array {
  if (!/^[!-~]{1,100}$/.test(name)) throw new Error(`tar: bad name '${name}'`);
  const bytes = Buffer.alloc(block);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, '0');
  bytes.write(name, 0);
  bytes.write(octal(0o644, 7), 100); // mode
  bytes.write(octal(0, 7), 108); // owner
  bytes.write(octal(0, 7), 116); // group
  bytes.write(octal(size, 11), 124);
  bytes.write(octal(0, 11), 136); // time of modification
  bytes.write('0', 156); // a plain file
  bytes.write('ustar\x0000', 257); // magic and version
  bytes.write(`${octal(checksum(bytes), 6)}\0 `, 148);
  return bytes;
}

/** The sum of a header's bytes, those of the checksum itself taken as spaces. */
function checksum(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte, at) => sum + (at >= 148 && at < 156 ? 0x20 : byte), 0);
}

/** The plain files of an archive. Throws an Error that says what is wrong with it. */
export function readTar(archive: Uint8Array): TarFile[] {
  const files: TarFile[] = [];
  for (let at = 0; ; ) {
    const head = Buffer.from(archive.subarray(at, at + block));
    if (head.length < block) throw new Error(`the archive ends at byte ${archive.length}, inside a header`);
    if (head.every((byte) => byte === 0)) return files;
    const field = (start: number, length: number) =>
      head.toString('latin1', start, start + length).replace(/\0.*$/s, '');
    if (Number.parseInt(field(148, 8), 8) !== checksum(head)) {
      throw new Error(`byte ${at} is not the start of a tar header`);
    }
    const name = field(0, 100);
    const size = Number.parseInt(field(124, 12), 8);
    const type = field(156, 1);
    if (type !== '' && type !== '0') throw new Error(`'${name}' is not a plain file`);
    at += block;
    if (!(size <= archive.length - at)) throw new Error(`the archive ends inside '${name}'`);
    files.push({ name, data: archive.subarray(at, at + size) });
    at += Math.ceil(size / block) * block;
  }
}
