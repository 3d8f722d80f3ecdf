/**
 * The slots of the swap file: which are used, by which pages, what their contents' checksum is, and which frame holds the same contents.
 *
 * A slot is used as long as a page is swapped to it, or a frame that has not been written since holds its contents (so that the frame
 * can be given up without writing it again).
 */
import type { HostMemory } from '../hostmemory.ts';
import { mostSwapSlots } from '../slots.ts';

/** Flags of a slot. */
const used = 1;
/** The slot was written once, so the file has room for it on its disk. */
const backed = 2;

/** The tables of the slots, by number. They are in the host's memory, for every thread to see. */
export interface SwapTables {
  readonly flags: Uint8Array;
  /** Pages that are swapped to the slot. */
  readonly mapped: Uint32Array;
  /** Host address of the frame with the slot's contents, 0 for none. */
  readonly frames: Uint32Array;
  /** Heads of the lists of pages (`rmap.ts`): index of the first among the memory's 32-bit words. */
  readonly heads: number;
  readonly checksums: BigUint64Array;
}

/** The tables of `size` slots that lie at an address, a multiple of 8. */
export function swapTables(memory: HostMemory, size: number, at: number): SwapTables {
  const { u32, u64, u8 } = memory;
  const words = (index: number) => at / 4 + (2 + index) * size;
  return {
    checksums: u64.subarray(at / 8, at / 8 + size),
    mapped: u32.subarray(words(0), words(1)),
    frames: u32.subarray(words(1), words(2)),
    heads: words(2),
    flags: u8.subarray(4 * words(3), 4 * words(3) + size),
  };
}

/** Bytes of the tables of a slot. */
const slotBytes = 8 + 3 * 4 + 1;

/** See the top of this file. */
export class SwapSlots {
  readonly size: number;
  /** Host address of the tables. */
  readonly tables: number;
  readonly #flags: Uint8Array;
  readonly #mapped: Uint32Array;
  readonly #frame: Uint32Array;
  readonly #checksum: BigUint64Array;
  readonly #heads: number;
  /** Where the search for a free slot goes on. */
  #cursor = 0;
  #used = 0;
  /** Slots that are backed and not used. */
  #backedFree = 0;
  #onlyBacked = false;

  /** @param size number of slots */
  constructor(memory: HostMemory, size: number) {
    if (!Number.isInteger(size) || size < 1 || size > mostSwapSlots) {
      throw new RangeError(`swap of ${size} pages: give 1 to ${mostSwapSlots} pages (4 GiB)`);
    }
    this.size = size;
    this.tables = memory.allocate(slotBytes * size);
    const tables = swapTables(memory, size, this.tables);
    this.#mapped = tables.mapped;
    this.#frame = tables.frames;
    this.#heads = tables.heads;
    this.#checksum = tables.checksums;
    this.#flags = tables.flags;
  }

  /** Number of slots in use. */
  get used(): number {
    return this.#used;
  }

  /** Number of slots that can still be given out. */
  get free(): number {
    return this.#onlyBacked ? this.#backedFree : this.size - this.#used;
  }

  isUsed(slot: number): boolean {
    return (this.#flags[slot]! & used) !== 0;
  }

  /** The disk of the file is full: only slots that have room there already are given out from now on. */
  diskFull(): void {
    this.#onlyBacked = true;
  }

  /** A free slot, behind the one given out before if possible; −1 when there is none. */
  allocate(): number {
    if (this.free === 0) return -1;
    const [mask, wanted] = this.#onlyBacked ? [used | backed, backed] : [used, 0];
    let slot = this.#cursor;
    while ((this.#flags[slot]! & mask) !== wanted) slot = slot + 1 === this.size ? 0 : slot + 1;
    this.take(slot);
    this.#cursor = slot + 1 === this.size ? 0 : slot + 1;
    return slot;
  }

  /** Puts a slot that is free to use. */
  take(slot: number): void {
    this.#used++;
    if ((this.#flags[slot]! & backed) !== 0) this.#backedFree--;
    this.#flags[slot]! |= used;
  }

  /** Makes a slot free that no page and no frame refers to. */
  release(slot: number): void {
    this.#used--;
    this.#flags[slot]! &= ~used;
    if ((this.#flags[slot]! & backed) !== 0) this.#backedFree++;
  }

  /** The slot, which is used, was written. */
  written(slot: number, checksum: bigint): void {
    this.#flags[slot]! |= backed;
    this.#checksum[slot] = checksum;
  }

  /** Checksum of what was written to a slot. */
  checksum(slot: number): bigint {
    return this.#checksum[slot]!;
  }

  /** Number of pages swapped to a slot. */
  mapped(slot: number): number {
    return this.#mapped[slot]!;
  }

  setMapped(slot: number, pages: number): void {
    this.#mapped[slot] = pages;
  }

  /** Host address of the frame that has a slot's contents, 0 for none. */
  frameOf(slot: number): number {
    return this.#frame[slot]!;
  }

  setFrame(slot: number, frame: number): void {
    this.#frame[slot] = frame;
  }

  /** Head of the list of pages swapped to a slot (`rmap.ts`). */
  head(slot: number): number {
    return this.#heads + slot;
  }

  /** Where the search for a free slot goes on, and whether the disk is full: what saved state needs beside the slots in use. */
  get cursor(): { readonly at: number; readonly diskFull: boolean } {
    return { at: this.#cursor, diskFull: this.#onlyBacked };
  }

  /** Takes up such a state; no slot is in use then. */
  restore(cursor: { readonly at: number; readonly diskFull: boolean }): void {
    this.#flags.fill(0);
    this.#mapped.fill(0);
    this.#frame.fill(0);
    this.#used = 0;
    this.#backedFree = 0;
    this.#cursor = cursor.at;
    this.#onlyBacked = cursor.diskFull;
  }
}
