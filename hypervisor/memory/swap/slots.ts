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

/** See the top of this file. */
export class SwapSlots {
  readonly size: number;
  readonly #flags: Uint8Array;
  /** Pages that are swapped to the slot. */
  readonly #mapped: Uint32Array;
  /** Host address of the frame with the slot's contents, 0 for none. */
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
    const words = () => memory.allocate(4 * size) / 4;
    const array = (at: number) => memory.u32.subarray(at, at + size);
    this.#mapped = array(words());
    this.#frame = array(words());
    this.#heads = words();
    const checksums = memory.allocate(8 * size) / 8;
    this.#checksum = memory.u64.subarray(checksums, checksums + size);
    const flags = memory.allocate(size);
    this.#flags = memory.u8.subarray(flags, flags + size);
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
