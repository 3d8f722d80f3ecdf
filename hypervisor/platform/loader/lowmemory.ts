/**
 * What the loader leaves in low memory for the kernel's first instructions, and where: flat segments, page
 * tables that map the first 4 GiB to themselves, and seeded entropy. The kernel soon replaces all of it.
 */
import { CONVENTIONAL_END } from '../memorymap.ts';

/** Guest-physical addresses below 640 KiB, clear of the BIOS data area in the first page. */
export const LOW = {
  gdt: 0x1000,
  zeroPage: 0x2000,
  setupData: 0x3000,
  /** The stack grows down from here. */
  stackTop: 0x9000,
  pageTables: 0x9000,
  commandLine: 0x2_0000,
  commandLineEnd: CONVENTIONAL_END - 0x1000,
} as const;

/** Selectors that the boot protocol fixes. */
export const BOOT_CS = 0x10;
export const BOOT_DS = 0x18;

/** Descriptors of 4 GiB from 0: code for execute/read (64-bit or 32-bit) and data for read/write, all accessed. */
const CODE_64 = 0x00af_9b00_0000_ffffn;
const CODE_32 = 0x00cf_9b00_0000_ffffn;
const DATA = 0x00cf_9300_0000_ffffn;

function quadwords(values: readonly bigint[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 8);
  const view = new DataView(bytes.buffer);
  values.forEach((value, index) => {
    view.setBigUint64(index * 8, value, true);
  });
  return bytes;
}

/** The global descriptor table: two empty entries, then {@link BOOT_CS} and {@link BOOT_DS}. */
export function bootGdt(mode: 'long' | 'protected'): Uint8Array {
  return quadwords([0n, 0n, mode === 'long' ? CODE_64 : CODE_32, DATA]);
}

const PRESENT_WRITABLE = 0x3n;
const PAGE_SIZE_2M = 1n << 7n;

/** Page tables at `base` that map 0 … 4 GiB to itself in pages of 2 MiB: PML4, PDPT and four page directories. */
export function identityPageTables(base: number): Uint8Array {
  const entries = new Array<bigint>(6 * 512).fill(0n);
  const table = (number: number): bigint => BigInt(base + number * 4096) | PRESENT_WRITABLE;
  entries[0] = table(1);
  for (let gigabyte = 0; gigabyte < 4; gigabyte++) entries[512 + gigabyte] = table(2 + gigabyte);
  for (let page = 0; page < 2048; page++) {
    entries[1024 + page] = (BigInt(page) << 21n) | PAGE_SIZE_2M | PRESENT_WRITABLE;
  }
  return quadwords(entries);
}

const SETUP_RNG_SEED = 9;

/** A `struct setup_data` of type SETUP_RNG_SEED, the last of its list. Kernels that do not know it ignore it. */
export function rngSeedData(seed: Uint8Array): Uint8Array {
  const data = new Uint8Array(16 + seed.length);
  const view = new DataView(data.buffer);
  view.setUint32(8, SETUP_RNG_SEED, true);
  view.setUint32(12, seed.length, true);
  data.set(seed, 16);
  return data;
}
