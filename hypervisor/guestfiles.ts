/** What a guest is booted with, whatever thread it runs on. */
import { createHash } from 'node:crypto';
import type { GuestRam } from './platform/guestram.ts';
import type { BootFiles, EntryState } from './platform/loader/load.ts';
import type { MemoryMap } from './platform/memorymap.ts';
import { loadPc } from './platform/pc.ts';

/** What a guest is booted with. */
export type GuestFiles = Omit<BootFiles, 'rngSeed'>;

/** 32 bytes of a guest's randomness for one use. */
export function secret(seed: number, use: string): Uint8Array {
  return createHash('sha256').update(`${use} ${seed}`).digest();
}

/** Puts a kernel into a guest's memory, and gives the state in which the first CPU enters it. Throws `BootError` when the files do not fit. */
export function loadGuest(
  ram: GuestRam,
  files: GuestFiles,
  map: MemoryMap,
  cpus: number,
  seed: number,
): EntryState {
  return loadPc({ ...files, rngSeed: secret(seed, 'kernel') }, map, cpus, ram);
}
