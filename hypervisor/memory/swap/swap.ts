/**
 * Swap: pages on their way to the file and back. The input and output is real and done at once; when it would be done is told in
 * virtual time by the device's model. What comes back is held against the checksum of what went out.
 *
 * A compressed cache would stand here, in front of the file: {@link Swap.write} and {@link Swap.read} are all that others see of it.
 */
import { type HostMemory, pageSize } from '../hostmemory.ts';
import type { PageHash } from '../pagehash.ts';
import type { SwapDevice } from './device.ts';
import type { SwapFile } from './file.ts';
import { SwapSlots } from './slots.ts';

/** A page did not come back from swap: the file could not be read, or does not have what was written. */
export class SwapLoss extends Error {
  override name = 'SwapLoss';
}

/** Where another thread of the host finds the swap. */
export interface SharedSwap {
  readonly name: string;
  readonly descriptor: number;
  /** Number of slots, and host address of their tables. */
  readonly size: number;
  readonly tables: number;
}

/** What reading needs to know of the slots. */
export interface SlotContents {
  /** Host address of the frame that has a slot's contents, 0 for none. */
  frameOf(slot: number): number;
  /** Checksum of what was written to a slot. */
  checksum(slot: number): bigint;
}

/** Reads slots; every thread of the host has one. */
export class SwapReader {
  readonly slots: SlotContents;
  readonly #memory: HostMemory;
  readonly #file: Pick<SwapFile, 'name' | 'read'>;
  readonly #hash: PageHash;

  constructor(
    memory: HostMemory,
    slots: SlotContents,
    file: Pick<SwapFile, 'name' | 'read'>,
    hash: PageHash,
  ) {
    this.#memory = memory;
    this.slots = slots;
    this.#file = file;
    this.#hash = hash;
  }

  /** Reads a slot into a frame, and holds it against its checksum. Throws {@link SwapLoss}. Its time is the device's business. */
  read(slot: number, frame: number): void {
    this.readUnchecked(slot, frame);
    if (BigInt.asUintN(64, this.#hash(frame)) !== this.slots.checksum(slot)) {
      throw new SwapLoss(
        `swap slot ${slot} of ${this.#file.name} does not have what was written there (wrong checksum); ` +
          'check the disk that the file is on, and that nothing else writes to it',
      );
    }
  }

  /** Reads a slot as it is, for saved state. Throws {@link SwapLoss} when it cannot be read. */
  readUnchecked(slot: number, frame: number): void {
    try {
      this.#file.read(slot * pageSize, this.#memory.u8.subarray(frame, frame + pageSize));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new SwapLoss(
        `swap slot ${slot} of ${this.#file.name} cannot be read: ${reason}; check the disk that the file is on`,
        { cause: error },
      );
    }
  }
}

/** See the top of this file. */
export class Swap extends SwapReader {
  override readonly slots: SwapSlots;
  readonly device: SwapDevice;
  readonly #memory: HostMemory;
  readonly #file: SwapFile;
  readonly #hash: PageHash;

  constructor(memory: HostMemory, size: number, file: SwapFile, device: SwapDevice, hash: PageHash) {
    const slots = new SwapSlots(memory, size);
    super(memory, slots, file, hash);
    this.#memory = memory;
    this.#file = file;
    this.#hash = hash;
    this.slots = slots;
    this.device = device;
  }

  /** Name of the file. */
  get name(): string {
    return this.#file.name;
  }

  /** The file, for another thread that is to read it; undefined when only this one can. */
  get shared(): SharedSwap | undefined {
    const { name, descriptor } = this.#file;
    if (descriptor === undefined) return undefined;
    return { name, descriptor, size: this.slots.size, tables: this.slots.tables };
  }

  /**
   * Writes frames to as many slots, at virtual time `now`, and gives the time at which all are written. Throws what the file throws;
   * then none counts as written.
   */
  write(slots: readonly number[], frames: readonly number[], now: number): number {
    let done = now;
    for (let first = 0, end: number; first < slots.length; first = end) {
      end = run(slots, first);
      const parts = frames
        .slice(first, end)
        .map((frame) => this.#memory.u8.subarray(frame, frame + pageSize));
      this.#file.write(slots[first]! * pageSize, parts);
    }
    for (let first = 0, end: number; first < slots.length; first = end) {
      end = run(slots, first);
      done = Math.max(done, this.device.submit('write', (end - first) * pageSize, now));
    }
    slots.forEach((slot, i) => {
      this.slots.written(slot, BigInt.asUintN(64, this.#hash(frames[i]!)));
    });
    return done;
  }

  /** Puts a page of saved state into a slot, which is in use, outside of virtual time. */
  restore(slot: number, checksum: bigint, contents: Uint8Array): void {
    this.#file.write(slot * pageSize, [contents]);
    this.slots.written(slot, checksum);
  }

  /** Gives the file up. */
  close(): void {
    this.#file.close();
  }
}

/** End of the run of slots in a row that begins at place `first`. */
function run(slots: readonly number[], first: number): number {
  let end = first + 1;
  while (end < slots.length && slots[end] === slots[end - 1]! + 1) end++;
  return end;
}
