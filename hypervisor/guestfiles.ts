/** What a guest is booted with and what comes of a guest, whatever thread it runs on: the kernel in its memory, the hash of its state. */
import { createHash } from 'node:crypto';
import type { AddressSpace } from './memory/addressspace.ts';
import type { GuestRam } from './platform/guestram.ts';
import type { BootFiles, EntryState } from './platform/loader/load.ts';
import type { MemoryMap } from './platform/memorymap.ts';
import { loadPc } from './platform/pc.ts';
import { StateWriter } from './state/state.ts';

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

/** SHA-256 of a guest's whole state, in hexadecimal. */
export function hashGuest(guest: {
  readonly space: AddressSpace;
  saveMachine(to: StateWriter): void;
}): string {
  const writer = new StateWriter();
  guest.saveMachine(writer);
  writer.part('memory', guest.space);
  return createHash('sha256').update(writer.finish()).digest('hex');
}
