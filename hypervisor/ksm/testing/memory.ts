/** A small host memory that guests' pages can be written to by hand, for tests of scanners and for benches. */
import { HostMemory, pageSize } from '../../memory/hostmemory.ts';
import type { DropCause, FrameClass, MergeListener, MergeMemory, MergeSpace } from '../../memory/merge.ts';
import * as slots from '../../memory/slots.ts';

/** Room for slots and the scanner's records. */
const arenaBytes = 64 << 20;

/** Classes as they stand in the frame table. */
const classes: readonly FrameClass[] = ['free', 'private', 'ksm', 'zero'];
const free = 0;
const privateClass = 1;
const ksm = 2;
const zero = 3;

interface Space extends MergeSpace {
  zeroPages: number;
}

/** See the top of this file. */
export class TestMemory implements MergeMemory {
  readonly memory: HostMemory;
  readonly spaces: Space[] = [];
  readonly zeroFrame: number;
  /** Virtual time that events carry. */
  time = 0;
  /** Copy-on-write breaks of ksm frames. */
  cowKsm = 0;
  /** Pages that nobody may merge now, as `space id`:`page`. */
  readonly pinned = new Set<string>();
  readonly #class: Uint8Array;
  readonly #count: Uint32Array;
  readonly #tag: Uint32Array;
  readonly #free: number[] = [];
  readonly #listeners: MergeListener[] = [];
  #nextId = 1;

  /** @param frames number of page frames; one of them is the zero frame */
  constructor(frames: number, arena = arenaBytes) {
    const count = Math.ceil((frames + 1) / 16) * 16;
    this.memory = new HostMemory(count * pageSize, arena);
    this.#class = new Uint8Array(count);
    this.#count = new Uint32Array(count);
    this.#tag = new Uint32Array(count);
    for (let i = frames; i > 0; i--) this.#free.push(this.memory.framesStart + i * pageSize);
    this.zeroFrame = this.memory.framesStart;
    this.#class[0] = zero;
  }

  get freeFrames(): number {
    return this.#free.length;
  }

  #index(frame: number): number {
    return (frame - this.memory.framesStart) / pageSize;
  }

  #slotAt(space: MergeSpace, page: number): number {
    return (space.slots >> 2) + page;
  }

  /** Adds a guest of `pageCount` pages, none of them touched. */
  addSpace(pageCount: number, mergeable = true): MergeSpace {
    const space = {
      id: this.#nextId++,
      pageCount,
      slots: this.memory.allocate(pageCount * 4, 64),
      mergeable,
      zeroPages: 0,
    };
    this.spaces.push(space);
    for (const listener of this.#listeners) listener.spaceAdded?.(space);
    return space;
  }

  /** Takes a guest away with all its pages. */
  removeSpace(space: MergeSpace): void {
    for (let page = 0; page < space.pageCount; page++) this.discard(space, page);
    this.spaces.splice(this.spaces.indexOf(space as Space), 1);
    for (const listener of this.#listeners) listener.spaceRemoved?.(space);
    // What came next in memory must not be mistaken for the guest's.
    this.memory.i32.fill(-1, this.#slotAt(space, 0), this.#slotAt(space, space.pageCount));
  }

  #slot(space: MergeSpace, page: number): number {
    return this.memory.i32[this.#slotAt(space, page)]!;
  }

  /** The frame that a page maps, 0 when it has none. */
  mapped(space: MergeSpace, page: number): number {
    const slot = this.#slot(space, page);
    return (slot & slots.present) === 0 ? 0 : (slot & slots.frameMask) >>> 0;
  }

  #allocate(): number {
    const frame = this.#free.pop() ?? 0;
    if (frame === 0) return 0;
    const index = this.#index(frame);
    this.#class[index] = privateClass;
    this.#count[index] = 1;
    return frame;
  }

  /** Ends a page's mapping of a frame. */
  #drop(space: MergeSpace, page: number, frame: number, cause: DropCause): void {
    const index = this.#index(frame);
    const kind = this.#class[index]!;
    this.#count[index]!--;
    const left = this.#count[index]!;
    if (kind === zero) (space as Space).zeroPages--;
    if (kind !== privateClass) {
      for (const listener of this.#listeners) listener.dropped?.(space, page, frame, cause, left, this.time);
    }
    if (left > 0 || kind === zero) return;
    const tag = this.#tag[index]!;
    this.#class[index] = free;
    this.#tag[index] = 0;
    this.#free.push(frame);
    if (kind === ksm) for (const listener of this.#listeners) listener.released?.(frame, tag);
  }

  /** Writes a page whole, as a guest's store would: first touch or copy-on-write break where needed. */
  write(space: MergeSpace, page: number, content: Uint8Array): void {
    const before = this.mapped(space, page);
    const shared = before !== 0 && this.#class[this.#index(before)] !== privateClass;
    let frame = before;
    if (before === 0 || shared) {
      frame = this.#allocate();
      if (frame === 0) throw new RangeError('the test memory has no frame left');
      if (shared && this.classOf(before) === 'ksm') this.cowKsm++;
      this.memory.i32[this.#slotAt(space, page)] = frame | slots.present | slots.writable;
      if (shared) this.#drop(space, page, before, 'write');
    }
    this.memory.u8.set(content, frame);
  }

  /** A new guest that maps the frames of another, all of which are shared ones. */
  clone(of: MergeSpace): MergeSpace {
    const space = this.addSpace(of.pageCount);
    for (let page = 0; page < of.pageCount; page++) {
      const frame = this.mapped(of, page);
      if (frame === 0) continue;
      this.#count[this.#index(frame)]!++;
      this.memory.i32[this.#slotAt(space, page)] = frame | slots.present;
    }
    return space;
  }

  /** The content of a page; undefined when it has no frame. */
  read(space: MergeSpace, page: number): Uint8Array | undefined {
    const frame = this.mapped(space, page);
    return frame === 0 ? undefined : this.memory.u8.slice(frame, frame + pageSize);
  }

  /** Takes a page's frame away, as a balloon does. */
  discard(space: MergeSpace, page: number, cause: DropCause = 'discard'): void {
    const frame = this.mapped(space, page);
    if (frame === 0) return;
    this.memory.i32[this.#slotAt(space, page)] = 0;
    this.#drop(space, page, frame, cause);
  }

  frameOf(space: MergeSpace, page: number): number {
    return this.pinned.has(`${space.id}:${page}`) ? 0 : this.mapped(space, page);
  }

  classOf(frame: number): FrameClass {
    return classes[this.#class[this.#index(frame)]!]!;
  }

  mapCount(frame: number): number {
    return this.#count[this.#index(frame)]!;
  }

  zeroPages(space: MergeSpace): number {
    return (space as Space).zeroPages;
  }

  share(space: MergeSpace, page: number, tag: number): void {
    const frame = this.mapped(space, page);
    const index = this.#index(frame);
    if (frame === 0 || this.#class[index] !== privateClass)
      throw new Error(`page ${page} has no private frame`);
    this.#class[index] = ksm;
    this.#tag[index] = tag;
    this.memory.i32[this.#slotAt(space, page)] = frame | slots.present;
  }

  tagOf(frame: number): number {
    const index = this.#index(frame);
    return this.#class[index] === ksm ? this.#tag[index]! : 0;
  }

  replace(space: MergeSpace, page: number, frame: number): void {
    const own = this.mapped(space, page);
    const index = this.#index(frame);
    const kind = this.#class[index];
    if (own === 0 || this.#class[this.#index(own)] !== privateClass)
      throw new Error(`page ${page} has no private frame`);
    if (kind !== ksm && kind !== zero) throw new Error('a frame that is not shared replaces a page');
    this.#count[index]!++;
    if (kind === zero) (space as Space).zeroPages++;
    this.memory.i32[this.#slotAt(space, page)] = frame | slots.present;
    this.#drop(space, page, own, 'unshare');
  }

  unshare(space: MergeSpace, page: number): boolean {
    const before = this.mapped(space, page);
    if (this.#class[this.#index(before)] === privateClass) return true;
    const frame = this.#allocate();
    if (frame === 0) return false;
    this.memory.u8.copyWithin(frame, before, before + pageSize);
    this.memory.i32[this.#slotAt(space, page)] = frame | slots.present | slots.writable;
    this.#drop(space, page, before, 'unshare');
    return true;
  }

  listen(listener: MergeListener): void {
    this.#listeners.push(listener);
  }
}
