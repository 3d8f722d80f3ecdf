/**
 * The host's page frames: what each is used for, by how many pages, and which are free.
 *
 * A frame is of exactly one class at any time. Frames are named by their host address. Free frames are a stack; before a round each guest is
 * granted a section of it, from whose end it takes frames by itself, and what is left of the sections is put together again after the
 * round.
 */
import { type HostMemory, pageSize } from './hostmemory.ts';
import type { FrameClass } from './merge.ts';

/** Classes as they stand in the table. */
export const frameClass = { free: 0, private: 1, zero: 2, ksm: 3, swapcache: 4 } as const;
const names: readonly FrameClass[] = ['free', 'private', 'zero', 'ksm', 'swapcache'];

/** The tables of the frames, by a frame's index. They are in the host's memory, for every thread to see. */
export interface FrameTables {
  readonly classes: Uint8Array;
  /** Pages that map it. */
  readonly mapped: Uint32Array;
  /** A scanner's tag of a ksm frame. */
  readonly tags: Int32Array;
  /** The swap slot that has the frame's contents, + 1; 0 for none. */
  readonly slots: Uint32Array;
  /** Virtual time in ns before which the contents are still on their way from the swap device. */
  readonly ready: Float64Array;
  /** Heads of the lists of pages (`rmap.ts`): index of the first among the memory's 32-bit words. */
  readonly heads: number;
  /** The stack of free frames. */
  readonly free: Uint32Array;
}

/** Bytes of {@link frameTables}. */
export function frameTableBytes(count: number): number {
  return 8 * count + 5 * 4 * count + count;
}

/** The tables of a memory's frames that lie at an address, a multiple of 8. */
export function frameTables(memory: HostMemory, at: number): FrameTables {
  const { frameCount: count, u32, i32, u8, f64 } = memory;
  const words = (index: number) => at / 4 + (2 + index) * count;
  const array = (index: number) => u32.subarray(words(index), words(index + 1));
  return {
    ready: f64.subarray(at / 8, at / 8 + count),
    mapped: array(0),
    tags: i32.subarray(words(1), words(2)),
    slots: array(2),
    heads: words(3),
    free: array(4),
    classes: u8.subarray(4 * words(5), 4 * words(5) + count),
  };
}

/** Who takes frames from a section of the stack of free frames. */
export interface Granted {
  /** The section: places `grantStart` … `grantEnd` − 1. The guest lowers the end, which was `grantTop` at first. */
  grantStart: number;
  grantEnd: number;
  grantTop: number;
}

/** See the top of this file. */
export class FrameTable {
  readonly memory: HostMemory;
  /** Host address of the first frame, and number of frames. */
  readonly start: number;
  readonly count: number;
  /** Host address of the tables. */
  readonly tables: number;
  readonly #class: Uint8Array;
  readonly #mapped: Uint32Array;
  readonly #tag: Int32Array;
  readonly #slot: Uint32Array;
  readonly #ready: Float64Array;
  readonly #heads: number;
  readonly #frames = new Array<number>(names.length).fill(0);
  readonly #free: Uint32Array;
  #freeCount: number;
  #grants: Granted[] = [];
  #granted = 0;

  constructor(memory: HostMemory) {
    this.memory = memory;
    this.start = memory.framesStart;
    const count = memory.frameCount;
    this.count = count;
    this.tables = memory.allocate(frameTableBytes(count));
    const tables = frameTables(memory, this.tables);
    this.#mapped = tables.mapped;
    this.#tag = tables.tags;
    this.#slot = tables.slots;
    this.#heads = tables.heads;
    this.#free = tables.free;
    this.#ready = tables.ready;
    this.#class = tables.classes;
    // The lowest frames are handed out first, so that the operating system provides no more memory than is used.
    for (let i = 0; i < count; i++) this.#free[i] = this.start + (count - 1 - i) * pageSize;
    this.#freeCount = count;
    this.#frames[frameClass.free] = count;
  }

  /** Index of the frame at a host address. */
  index(frame: number): number {
    return (frame - this.start) / pageSize;
  }

  /** Host address of a frame by its index. */
  address(index: number): number {
    return this.start + index * pageSize;
  }

  /** Class of a frame, one of {@link frameClass}. */
  classOf(frame: number): number {
    return this.#class[this.index(frame)]!;
  }

  /** Name of a frame's class. */
  classNameOf(frame: number): FrameClass {
    return names[this.classOf(frame)]!;
  }

  setClass(frame: number, value: number): void {
    const index = this.index(frame);
    this.#frames[this.#class[index]!]!--;
    this.#frames[value]!++;
    this.#class[index] = value;
  }

  /** Number of frames of a class. */
  inClass(value: number): number {
    return this.#frames[value]!;
  }

  /** Number of pages that map a frame. */
  mapped(frame: number): number {
    return this.#mapped[this.index(frame)]!;
  }

  setMapped(frame: number, pages: number): void {
    this.#mapped[this.index(frame)] = pages;
  }

  tagOf(frame: number): number {
    return this.#tag[this.index(frame)]!;
  }

  setTag(frame: number, tag: number): void {
    this.#tag[this.index(frame)] = tag;
  }

  /** The swap slot that has a frame's contents, −1 for none. */
  slotOf(frame: number): number {
    return this.#slot[this.index(frame)]! - 1;
  }

  setSlot(frame: number, slot: number): void {
    this.#slot[this.index(frame)] = slot + 1;
  }

  /** When the contents of a frame of class swapcache are there, in virtual ns. */
  readyAt(frame: number): number {
    return this.#ready[this.index(frame)]!;
  }

  setReadyAt(frame: number, time: number): void {
    this.#ready[this.index(frame)] = time;
  }

  /** Head of the list of pages that map a frame. */
  head(frame: number): number {
    return this.#heads + this.index(frame);
  }

  /** Number of free frames; between rounds, and at the start of a round those that were not granted. */
  get free(): number {
    return this.#freeCount - this.#granted;
  }

  /** Grants lie at the end of the stack, so that nothing can be put there or taken from there while they are out. */
  #betweenRounds(): void {
    if (this.#granted > 0) throw new Error('frames are taken or given back in the middle of a round');
  }

  /** Takes a free frame, 0 when there is none. Its class changes when it is put to use. Between rounds. */
  pop(): number {
    this.#betweenRounds();
    return this.#freeCount === 0 ? 0 : this.#free[--this.#freeCount]!;
  }

  /** Makes a frame free. Between rounds. */
  push(frame: number): void {
    this.#betweenRounds();
    this.setClass(frame, frameClass.free);
    this.#free[this.#freeCount++] = frame;
  }

  /** Takes back a frame that was popped, or taken from a grant, and not used. Between rounds. */
  pushUnused(frame: number): void {
    this.#free[this.#freeCount++] = frame;
  }

  /** Grants a guest `frames` of those that are free, for the coming round. */
  grant(to: Granted, frames: number): void {
    to.grantTop = this.#freeCount - this.#granted;
    to.grantEnd = to.grantTop;
    to.grantStart = to.grantEnd - frames;
    this.#granted += frames;
    this.#grants.push(to);
  }

  /** The frame in a place of the stack. */
  inStack(place: number): number {
    return this.#free[place]!;
  }

  /** After a round: what is left of the grants is free again. */
  collect(): void {
    let end = this.#freeCount - this.#granted;
    // The last grant lies deepest.
    for (let i = this.#grants.length - 1; i >= 0; i--) {
      const grant = this.#grants[i]!;
      this.#free.copyWithin(end, grant.grantStart, grant.grantEnd);
      end += grant.grantEnd - grant.grantStart;
      grant.grantStart = 0;
      grant.grantEnd = 0;
      grant.grantTop = 0;
    }
    this.#freeCount = end;
    this.#granted = 0;
    this.#grants = [];
  }
}
