/**
 * One guest's physical memory: which of its pages are RAM, and where each page's contents are.
 *
 * During a round the guest serves most of its faults itself, from the frames that it was granted, and logs what the host must know.
 * Outside of rounds the same is done with the host's free frames, and is entered into the books at once.
 */
import { StateError, type Stateful, type StateReader, type StateWriter } from '../state/state.ts';
import type { FaultCause, FaultCosts, FaultListener } from './faults.ts';
import { frameClass } from './frames.ts';
import { type HostMemory, pageSize } from './hostmemory.ts';
import { byScanner, logged } from './log.ts';
import type { MergeSpace } from './merge.ts';
import type { Links } from './rmap.ts';
import * as slots from './slots.ts';
import { SpaceBlock, type SpaceFailure, type SpacePlace } from './spaceblock.ts';
import { ReadAhead } from './swap/readahead.ts';
import type { SwapReader } from './swap/swap.ts';

/** The host has no frame left for a guest's page. */
export class OutOfFrames extends Error {
  override name = 'OutOfFrames';
  constructor() {
    super('the host has no free page frame; give it more memory or swap, or fewer guests');
  }
}

/**
 * What a guest's memory needs of the host's. In a round that are tables which nobody changes then, so the guest may run on another thread, which
 * has the like of it over the same tables.
 */
export interface SpaceBooks {
  readonly memory: HostMemory;
  /** The frame of zeros that pages share until they are written. */
  readonly zeroFrame: number;
  readonly frames: {
    /** The frame in a place of the stack of free frames. */
    inStack(place: number): number;
    classOf(frame: number): number;
    /** When the contents of a frame of class swapcache are there, in virtual ns. */
    readyAt(frame: number): number;
  };
  readonly swap: Pick<SwapReader, 'slots' | 'read' | 'readUnchecked'> | undefined;
  /** A free frame for a guest outside of rounds, 0 when there is none and none can be made. */
  take(): number;
  /** Takes back a frame that was taken outside of rounds, and not used. */
  giveBack(frame: number): void;
  /** A page has written to a frame: it has nothing to do any more with the swap slot that had its contents. Outside of rounds. */
  written(frame: number): void;
  /** Brings the books up to date with what a guest has done. */
  apply(space: AddressSpace): void;
}

/** {@link AddressSpace.fault}: the vCPU must wait for the host. */
export const mustWait = -1;

/**
 * Frames of a grant that vCPUs leave for devices. A device asks for the frames of a buffer beforehand
 * ({@link AddressSpace.prepare}); what remains are its rings and what a register's write makes it write, a few pages in one event.
 */
export const deviceReserve = 32;

const noCosts: FaultCosts = { firstTouch: 0, cowBreak: 0, swapInCpu: 0 };
const noListener: FaultListener = { fault() {} };

/** See the top of this file. */
export class AddressSpace extends SpaceBlock implements Stateful, MergeSpace, Links {
  /** How much is read ahead for it. */
  readonly readAhead = new ReadAhead();
  /** Why a device could not have a page in this round: the guest ends, and the host hears of it when the round is over. */
  failure: SpaceFailure | undefined;
  /** Hears of the faults that the guest serves itself. */
  listener: FaultListener = noListener;
  /** Called when a device takes of its reserve: nothing further may run in this round before it is full again. */
  onReserveUsed: () => void = () => {};
  readonly #books: SpaceBooks;
  readonly #costs: FaultCosts;
  readonly #entries: Int32Array;
  readonly #codes: Int32Array;
  /** Where a device reads a swapped page when no frame is left. */
  #bounce = 0;

  /** @param place what {@link placeSpace} found: in the host's thread, and in the guest's own when that is another */
  constructor(books: SpaceBooks, place: SpacePlace, costs: FaultCosts = noCosts) {
    const { memory } = books;
    super(memory, place);
    this.#books = books;
    this.#costs = costs;
    const { slots: at, codeMap, pageCount } = place;
    this.#entries = memory.i32.subarray(at / 4, at / 4 + pageCount);
    this.#codes = memory.i32.subarray(codeMap / 4, codeMap / 4 + pageCount);
  }

  /** Gives back what this view of the guest's memory has taken for itself, and keeps what was counted: the guest is gone. */
  override dispose(): void {
    if (this.#bounce !== 0) this.memory.release(this.#bounce, pageSize);
    this.#bounce = 0;
    super.dispose();
  }

  /** Gives all frames and swap slots back. Outside of rounds. */
  empty(): void {
    this.dropCode();
    for (let page = 0; page < this.pageCount; page++) if (this.isRam(page)) this.release(page, 0);
    this.stale = true;
  }

  /** The host takes a mapping away, or clears an accessed bit: no TLB may have it when the guest runs. */
  shootDown(): void {
    this.stale = true;
    this.shotDown = true;
  }

  // Slots.

  /** The slot of a page; a hole when it lies beyond all RAM. */
  slot(page: number): number {
    return page < this.pageCount ? this.#entries[page]! : slots.hole;
  }

  setSlot(page: number, value: number): void {
    this.#entries[page] = value;
  }

  /** True when a page is RAM. */
  isRam(page: number): boolean {
    return (this.slot(page) & slots.hole) === 0;
  }

  /** True when a page has a frame. */
  isPresent(page: number): boolean {
    return (this.slot(page) & slots.present) !== 0;
  }

  /** Host address of a page's frame, 0 when it has none. */
  frameOf(page: number): number {
    const slot = this.slot(page);
    return (slot & slots.present) === 0 ? 0 : frameIn(slot);
  }

  // Decoded code.

  /** Marks a page as decoded (`decoded`: its code page) or, with 0, as no longer so. */
  setCode(page: number, decoded: number): void {
    this.#codes[page] = decoded;
    const slot = this.slot(page);
    this.setSlot(page, decoded === 0 ? slot & ~slots.hasCode : slot | slots.hasCode);
  }

  /** Forgets the decoded form of every page, or where `which` says so of it. */
  dropCode(which: (decoded: number) => boolean = () => true): void {
    for (let page = 0; page < this.pageCount; page++) {
      const decoded = this.codeOf(page);
      if (decoded !== 0 && which(decoded)) this.setCode(page, 0);
    }
  }

  /** The decoded page of a page, 0 when it has none. */
  codeOf(page: number): number {
    return this.#codes[page]!;
  }

  // Frames.

  /** Frames that are left of the grant; outside of rounds there is always one to be asked for. */
  get left(): number {
    return this.inRound ? this.grantEnd - this.grantStart : Number.POSITIVE_INFINITY;
  }

  /** Whether events of devices, and vCPUs, may run: the devices' reserve is there, and no device lacks frames. */
  get ready(): boolean {
    return this.wanted === 0 && this.left >= deviceReserve;
  }

  /** Takes a frame, whose contents are anything. Throws {@link OutOfFrames}. */
  #take(): number {
    if (!this.inRound) {
      const frame = this.#books.take();
      if (frame === 0) throw new OutOfFrames();
      return frame;
    }
    if (this.grantEnd === this.grantStart) throw new OutOfFrames();
    const frame = this.#books.frames.inStack(--this.grantEnd);
    if (!this.ready) this.onReserveUsed();
    return frame;
  }

  /** Gives back the frame that was taken last. */
  #giveBack(frame: number): void {
    if (this.inRound) this.grantEnd++;
    else this.#books.giveBack(frame);
  }

  #log(kind: number, page: number, first: number, second: number): void {
    this.log.push(kind, page, first, second);
    if (!this.inRound) this.#books.apply(this);
  }

  // Faults.

  /**
   * A vCPU needs a page that has no frame, or to write one that is shared, at virtual time `now`. Gives the virtual ns that it
   * takes before the access is made again, or {@link mustWait} when the host must serve it between rounds.
   */
  fault(cpu: number, page: number, write: boolean, now: number): number {
    const slot = this.slot(page);
    if (satisfied(slot, write)) return 0;
    const cause = causeOf(slot);
    const isSwapped = (slot & slots.swapped) !== 0;
    const needsFrame = write || isSwapped;
    if ((needsFrame && this.left <= deviceReserve) || (isSwapped && this.#cached(slot, now) === 0)) {
      this.requests.push({ cpu, page, write, cause, time: now });
      return mustWait;
    }
    const cost = this.resolve(page, write, now);
    this.listener.fault(cause, cost);
    return cost;
  }

  /**
   * Does what a fault at virtual time `now` needs, where nothing stands in the way, and gives what that costs.
   * Throws {@link OutOfFrames}.
   */
  resolve(page: number, write: boolean, now: number): number {
    const slot = this.slot(page);
    if ((slot & slots.swapped) !== 0) {
      this.count(slot, true);
      this.#load(page, this.#cached(slot, now));
      return this.#costs.swapInCpu;
    }
    this.count(slot, false);
    if ((slot & slots.present) !== 0) {
      this.#breakShare(page);
      return this.#costs.cowBreak;
    }
    if (write) this.#fill(page);
    else this.#mapZero(page);
    return this.#costs.firstTouch;
  }

  /** Counts the fault of a page whose slot is as given; `cached`: its contents were in memory still. */
  count(slot: number, cached: boolean): void {
    this.counters.add(causeOf(slot));
    if (cached) this.counters.swapCacheHits++;
    if ((slot & slots.present) !== 0 && frameIn(slot) !== this.#books.zeroFrame) this.counters.cowKsm++;
  }

  /** The frame with a swapped page's contents that may be copied during a round: one that nobody maps. 0 when there is none. */
  #cached(slot: number, now: number): number {
    const { swap, frames } = this.#books;
    const frame = swap!.slots.frameOf(slot >>> slots.swapShift);
    if (frame === 0 || frames.classOf(frame) !== frameClass.swapcache) return 0;
    return frames.readyAt(frame) <= now ? frame : 0;
  }

  /** Gives a page without contents a frame of zeros. */
  #fill(page: number): number {
    const frame = this.#take();
    this.memory.zeroPage(frame);
    this.own(page, frame);
    this.#log(logged.touch, page, frame, 0);
    return frame;
  }

  /** Enters a page's own frame in its slot. */
  own(page: number, frame: number): void {
    const slot = this.slot(page);
    if ((slot & slots.present) === 0) this.present++;
    if ((slot & slots.swapped) !== 0) this.swapped--;
    if ((slot & slots.ballooned) !== 0) this.ballooned--;
    if ((slot & slots.mergedZero) !== 0) this.mergedZero--;
    this.setSlot(page, frame | (slot & slots.hasCode) | slots.present | slots.writable | slots.accessed);
  }

  #mapZero(page: number): void {
    if ((this.slot(page) & slots.ballooned) !== 0) this.ballooned--;
    this.setSlot(page, this.#books.zeroFrame | slots.present | slots.accessed);
    this.present++;
    this.#log(logged.zero, page, 0, 0);
  }

  /** Copy-on-write: gives a page that maps a shared frame its own. No TLB may lead to the old one any more. */
  #breakShare(page: number): number {
    const slot = this.slot(page);
    const old = frameIn(slot);
    const frame = this.#take();
    if (old === this.#books.zeroFrame) this.memory.zeroPage(frame);
    else this.memory.u8.copyWithin(frame, old, old + pageSize);
    this.own(page, frame);
    this.onRemap(old);
    this.#log(logged.break, page, frame, old | ((slot & slots.mergedZero) === 0 ? 0 : byScanner));
    return frame;
  }

  /** Called when a page leaves the frame at a host address in the course of a run: no TLB of the guest may lead there any more. */
  onRemap: (frame: number) => void = () => {};

  /** Gives a swapped page a frame with its contents: those of a frame, or read from the file when that is 0. Throws `SwapLoss`. */
  #load(page: number, cached: number): number {
    const slot = this.slot(page) >>> slots.swapShift;
    const frame = this.#take();
    try {
      if (cached !== 0) this.memory.u8.copyWithin(frame, cached, cached + pageSize);
      else this.#books.swap!.read(slot, frame);
    } catch (error) {
      this.#giveBack(frame);
      throw error;
    }
    this.own(page, frame);
    this.#log(logged.load, page, frame, slot);
    return frame;
  }

  // What devices do, and whoever sets a machine up.

  /**
   * Gives a page of RAM a frame of its own when it has none, for a device or from outside; its contents stay. Gives the frame's host
   * address. Throws {@link OutOfFrames} when there is none, and `SwapLoss`.
   */
  touch(page: number): number {
    const slot = this.slot(page);
    if ((slot & slots.writable) !== 0) {
      this.setSlot(page, slot | slots.accessed | slots.dirty);
      return frameIn(slot);
    }
    const frame =
      (slot & slots.swapped) !== 0
        ? this.#loadForDevice(page)
        : (slot & slots.present) !== 0
          ? this.#breakShare(page)
          : this.#fill(page);
    if ((slot & slots.swapped) === 0) this.#countForDevice(slot, false);
    this.setSlot(page, this.slot(page) | slots.dirty);
    return frame;
  }

  /**
   * Host address where a page's contents can be read until the next call: its frame, zeros when it has no contents, or a copy
   * when it is in swap. Throws `SwapLoss`.
   */
  peek(page: number): number {
    const slot = this.slot(page);
    if ((slot & slots.present) !== 0) {
      this.setSlot(page, slot | slots.accessed);
      return frameIn(slot);
    }
    if ((slot & slots.swapped) === 0) return this.#books.zeroFrame;
    if (this.left > deviceReserve) return this.#loadForDevice(page);
    const bounce = this.#bouncePage();
    this.#books.swap!.read(slot >>> slots.swapShift, bounce);
    return bounce;
  }

  #bouncePage(): number {
    if (this.#bounce === 0) this.#bounce = this.memory.allocate(pageSize, pageSize);
    return this.#bounce;
  }

  #loadForDevice(page: number): number {
    const slot = this.slot(page);
    const cached = this.#cached(slot, Number.POSITIVE_INFINITY);
    this.#countForDevice(slot, cached !== 0);
    return this.#load(page, cached);
  }

  #countForDevice(slot: number, cached: boolean): void {
    this.count(slot, cached);
    this.counters.byDevices++;
  }

  /**
   * Makes sure that a device can write `count` pages from `page` on. False when frames are lacking: they will be granted, and the device
   * tries again in a later event.
   */
  prepare(page: number, count: number): boolean {
    for (let each = page; each < page + count; each++) {
      if ((this.slot(each) & (slots.writable | slots.hole)) !== 0) continue;
      if (this.left <= deviceReserve) {
        this.wanted = page + count - each;
        return false;
      }
      this.touch(each);
    }
    return true;
  }

  /** Takes a page's contents from it. `why` is the slot's new value: {@link slots.ballooned}, {@link slots.reported} or 0. */
  release(page: number, why: number): void {
    const slot = this.slot(page);
    if ((slot & slots.ballooned) !== 0) this.ballooned--;
    if (why === slots.ballooned) this.ballooned++;
    this.setSlot(page, why);
    if ((slot & slots.present) !== 0) {
      this.present--;
      const merged = (slot & slots.mergedZero) !== 0;
      if (merged) this.mergedZero--;
      this.#log(logged.drop, page, frameIn(slot) | (merged ? byScanner : 0), 0);
    } else if ((slot & slots.swapped) !== 0) {
      this.swapped--;
      this.#log(logged.dropSwapped, page, slot >>> slots.swapShift, 0);
    }
  }

  /** From now on {@link isUnwritten} tells which pages were not written since. Between rounds. */
  watchWrites(): void {
    for (let page = 0; page < this.pageCount; page++) {
      const slot = this.slot(page);
      if ((slot & (slots.present | slots.swapped)) === 0) continue;
      if ((slot & slots.dirty) !== 0) this.#books.written(frameIn(slot));
      this.setSlot(page, (slot & ~slots.dirty) | slots.watched);
    }
    this.shootDown();
  }

  /** Whether a page was certainly not written since {@link watchWrites} was called last. */
  isUnwritten(page: number): boolean {
    return (this.slot(page) & (slots.watched | slots.dirty)) === slots.watched;
  }

  /** Whether a page has a frame of zeros. */
  isZero(page: number): boolean {
    const frame = this.frameOf(page);
    if (frame === 0) return false;
    const { u32 } = this.memory;
    for (let at = frame / 4, end = at + pageSize / 4; at < end; at++) if (u32[at] !== 0) return false;
    return true;
  }

  /** A page leaves the balloon: the guest will use it. */
  returned(page: number): void {
    if ((this.slot(page) & slots.ballooned) === 0) return;
    this.ballooned--;
    this.setSlot(page, slots.returned);
  }

  // State. A guest's state is what its pages contain, wherever that is; where it is belongs to the host's.

  saveState(to: StateWriter): void {
    const { u8 } = this.memory;
    to.u32(this.pageCount);
    for (let page = 0; page < this.pageCount; page++) {
      const slot = this.slot(page);
      if ((slot & (slots.present | slots.swapped)) !== 0) {
        to.u32(page);
        const at = this.#contents(slot);
        to.bytes(u8.subarray(at, at + pageSize));
      } else if ((slot & withoutContents) !== 0) {
        to.u32(page);
        to.bytes(Uint8Array.of((slot & withoutContents) >> 7));
      }
    }
    to.u32(this.pageCount);
    to.part('faults', this.counters);
  }

  /** Where the contents of a page with that slot can be read until the next call. */
  #contents(slot: number): number {
    if ((slot & slots.present) !== 0) return frameIn(slot);
    const bounce = this.#bouncePage();
    this.#books.swap!.readUnchecked(slot >>> slots.swapShift, bounce);
    return bounce;
  }

  loadState(from: StateReader): void {
    const pageCount = from.u32();
    if (pageCount !== this.pageCount)
      throw new StateError(`saved memory has ${pageCount} pages, this guest ${this.pageCount}`);
    this.empty();
    for (let page = from.u32(); page !== pageCount; page = from.u32()) {
      if (!this.isRam(page)) throw new StateError(`saved memory has a page ${page} that is no RAM here`);
      const bytes = from.bytes();
      if (bytes.length === pageSize) this.memory.u8.set(bytes, this.touch(page));
      else this.release(page, bytes[0]! << 7);
    }
    from.part('faults', this.counters);
  }
}

/** Flags of pages that have no contents, with a reason. They lie within eight bits from bit 7 on. */
const withoutContents = slots.ballooned | slots.reported | slots.returned;

/** The frame in the slot of a present page. */
function frameIn(slot: number): number {
  return (slot & slots.frameMask) >>> 0;
}

/** Whether a page whose slot is as given can be read, or written. */
export function satisfied(slot: number, write: boolean): boolean {
  return (slot & slots.present) !== 0 && (!write || (slot & slots.writable) !== 0);
}

/** Why a page whose slot is as given would fault. */
function causeOf(slot: number): FaultCause {
  if ((slot & slots.present) !== 0) return 'cow_break';
  if ((slot & slots.swapped) !== 0) return 'swap_in';
  if ((slot & (slots.ballooned | slots.returned)) !== 0) return 'balloon_return';
  return (slot & slots.reported) !== 0 ? 'reporting_return' : 'first_touch';
}
