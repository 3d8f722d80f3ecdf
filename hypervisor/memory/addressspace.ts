/** One guest's physical memory: which of its pages are RAM, and which host frame each has. */
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import type { FramePool } from './frames.ts';
import { type HostMemory, pageSize } from './hostmemory.ts';
import * as slots from './slots.ts';

/** A range of guest-physical memory. */
export interface Range {
  /** First byte; a multiple of the page size. */
  readonly start: number;
  /** Bytes; a multiple of the page size. */
  readonly length: number;
}

/** The host has no frame left for a guest's page. */
export class OutOfFrames extends Error {
  override name = 'OutOfFrames';
}

/** See the top of this file. Pages get a frame when they are first touched. */
export class AddressSpace implements Stateful {
  readonly memory: HostMemory;
  readonly #frames: FramePool;
  /** Host address of the slots (`slots.ts`), and of the decoded page of each page (0: none). */
  readonly slots: number;
  readonly codeMap: number;
  /** Number of pages that the slots cover. */
  readonly pageCount: number;
  /** Number of pages that have a frame. */
  present = 0;

  constructor(memory: HostMemory, frames: FramePool, ram: readonly Range[]) {
    this.memory = memory;
    this.#frames = frames;
    this.pageCount = Math.max(...ram.map((range) => (range.start + range.length) / pageSize));
    this.slots = memory.allocate(this.pageCount * 4, 64);
    this.codeMap = memory.allocate(this.pageCount * 4, 64);
    const { i32 } = memory;
    const first = this.slots >> 2;
    i32.fill(slots.hole, first, first + this.pageCount);
    for (const { start, length } of ram) {
      i32.fill(0, first + start / pageSize, first + (start + length) / pageSize);
    }
  }

  /** The slot of a page; a hole when it lies beyond all RAM. */
  slot(page: number): number {
    return page < this.pageCount ? this.memory.i32[(this.slots >> 2) + page]! : slots.hole;
  }

  #setSlot(page: number, value: number): void {
    this.memory.i32[(this.slots >> 2) + page] = value;
  }

  /** True when a page is RAM. */
  isRam(page: number): boolean {
    return (this.slot(page) & slots.hole) === 0;
  }

  /**
   * Gives a page of RAM a frame when it has none, and returns the frame's host address.
   * Throws {@link OutOfFrames} when the host has none.
   */
  touch(page: number): number {
    const slot = this.slot(page);
    if ((slot & slots.present) !== 0) return (slot & slots.frameMask) >>> 0;
    const frame = this.#frames.allocate();
    if (frame === 0) throw new OutOfFrames('the host has no free page frame');
    this.#setSlot(page, frame | slots.present | slots.writable);
    this.present++;
    return frame;
  }

  /** True when a page has a frame. */
  isPresent(page: number): boolean {
    return (this.slot(page) & slots.present) !== 0;
  }

  /** Gives a page's frame back to the host; no TLB may lead to it any more. */
  discard(page: number): void {
    const slot = this.slot(page);
    this.#frames.release((slot & slots.frameMask) >>> 0);
    this.#setSlot(page, 0);
    this.present--;
  }

  /** Marks a page as decoded (`decoded`: its code page) or, with 0, as no longer so. */
  setCode(page: number, decoded: number): void {
    const { i32 } = this.memory;
    i32[(this.codeMap >> 2) + page] = decoded;
    const slot = this.slot(page);
    this.#setSlot(page, decoded === 0 ? slot & ~slots.hasCode : slot | slots.hasCode);
  }

  /** Forgets the decoded form of every page. */
  dropCode(): void {
    for (let page = 0; page < this.pageCount; page++) if (this.codeOf(page) !== 0) this.setCode(page, 0);
  }

  /** The decoded page of a page, 0 when it has none. */
  codeOf(page: number): number {
    return this.memory.i32[(this.codeMap >> 2) + page]!;
  }

  saveState(to: StateWriter): void {
    const { u8 } = this.memory;
    to.u32(this.pageCount);
    to.u32(this.present);
    for (let page = 0; page < this.pageCount; page++) {
      const slot = this.slot(page);
      if ((slot & slots.present) === 0) continue;
      const frame = (slot & slots.frameMask) >>> 0;
      to.u32(page);
      to.bytes(u8.subarray(frame, frame + pageSize));
    }
  }

  loadState(from: StateReader): void {
    const pageCount = from.u32();
    if (pageCount !== this.pageCount)
      throw new Error(`saved memory has ${pageCount} pages, this guest ${this.pageCount}`);
    for (let page = 0; page < this.pageCount; page++) {
      const slot = this.slot(page);
      if ((slot & slots.present) === 0) continue;
      this.#frames.release((slot & slots.frameMask) >>> 0);
      this.#setSlot(page, 0);
    }
    this.present = 0;
    for (let count = from.u32(); count > 0; count--) {
      const page = from.u32();
      if (!this.isRam(page)) throw new Error(`saved memory has a page ${page} that is no RAM here`);
      const frame = this.touch(page);
      this.memory.u8.set(from.bytes(), frame);
    }
  }
}
