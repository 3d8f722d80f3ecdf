/** The microguest's program: a file of this repository, checked against its digest. */
import { readFile } from 'node:fs/promises';
import { sha256 } from '../images/digest.ts';

/** The program and where it lies in guest memory. Pages are guest-physical page numbers. */
export interface MicroguestImage {
  /** A bzImage, to be booted without an initial RAM disk. */
  readonly kernel: Uint8Array;
  /** SHA-256 of {@link kernel}. */
  readonly digest: string;
  /** Code and constants: the same in every guest. */
  readonly constant: { readonly first: number; readonly count: number };
  /** Data and stack: each page like no other of any guest, as long as the guests' numbers differ. */
  readonly private: { readonly first: number; readonly count: number };
  /** The first page of the area that the recipe fills. */
  readonly area: number;
}

const file = 'microguest/microguest.bin';
const at = (path: string) => new URL(`../${path}`, import.meta.url);

/** Where the program is loaded, and where in it start.S says what it consists of. */
const loadPage = 0x100;
const setupBytes = 1024;
const nameOffset = 0x10;
const countsOffset = 0x20;

/** Reads the program. Throws an Error when its bytes are not those that the list of digests names. */
export async function readMicroguest(): Promise<MicroguestImage> {
  const [bytes, digests] = await Promise.all([readFile(at(file)), readFile(at('native/SHA256SUMS'), 'utf8')]);
  const digest = sha256(bytes);
  if (!digests.split('\n').includes(`${digest}  ${file}`)) {
    throw new Error(`${file} is not the file that native/SHA256SUMS names; run workloads/native/build.ts`);
  }
  return { kernel: bytes, digest, ...describe(bytes) };
}

/** What a build of the program consists of. */
export function describe(bytes: Uint8Array): Pick<MicroguestImage, 'constant' | 'private' | 'area'> {
  const code = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).subarray(setupBytes);
  if (code.toString('latin1', nameOffset, nameOffset + 10) !== 'microguest') {
    throw new Error('this is not the microguest');
  }
  const number = (index: number) => code.readUInt32LE(countsOffset + 4 * index);
  return {
    constant: { first: loadPage, count: number(0) },
    private: { first: number(1), count: number(2) },
    area: number(3),
  };
}
