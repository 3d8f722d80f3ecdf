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

/** See the top of this file. */
export class Swap {
  readonly slots: SwapSlots;
  readonly device: SwapDevice;
  readonly #memory: HostMemory;
  readonly #file: SwapFile;
  readonly #hash: PageHash;

  constructor(memory: HostMemory, size: number, file: SwapFile, device: SwapDevice, hash: PageHash) {
    this.#memory = memory;
    this.#file = file;
    this.#hash = hash;
    this.slots = new SwapSlots(memory, size);
    this.device = device;
  }

  /** Name of the file. */
  get name(): string {
    return this.#file.name;
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

  /** Reads a slot into a frame, and holds it against its checksum. Throws {@link SwapLoss}. Its time is the device's business. */
  read(slot: number, frame: number): void {
    this.readUnchecked(slot, frame);
    if (BigInt.asUintN(64, this.#hash(frame)) !== this.slots.checksum(slot)) {
      throw new SwapLoss(
        `swap slot ${slot} of ${this.name} does not have what was written there (wrong checksum); ` +
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
        `swap slot ${slot} of ${this.name} cannot be read: ${reason}; check the disk that the file is on`,
        { cause: error },
      );
    }
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
