/**
 * The host's books of its memory: which frame is used for what, by which pages, and which pages are in swap. Guests change their own
 * slots; the books follow from their logs between rounds. Merging, reclaim and swapping change both, here, between rounds.
 */
import { AddressSpace, type SpaceBooks } from './addressspace.ts';
import type { FaultCosts } from './faults.ts';
import { FrameLists, lists } from './framelists.ts';
import { FrameTable, frameClass } from './frames.ts';
import { type HostMemory, pageSize } from './hostmemory.ts';
import { byScanner, logged } from './log.ts';
import type { DropCause, MergeListener } from './merge.ts';
import { guestOf, mostGuests, pageKey, pageOf, ReverseMap } from './rmap.ts';
import * as slots from './slots.ts';
import { placeSpace, type Range, releasePlace } from './spaceblock.ts';
import type { Swap } from './swap/swap.ts';

/** See the top of this file. */
export class Books implements SpaceBooks {
  readonly memory: HostMemory;
  readonly frames: FrameTable;
  readonly lists: FrameLists;
  readonly reverse: ReverseMap;
  readonly swap: Swap | undefined;
  /** The frame of zeros that pages share until they are written. */
  readonly zeroFrame: number;
  /** Guests' memories in the order in which they were added. */
  readonly spaces: AddressSpace[] = [];
  readonly #byNumber: (AddressSpace | undefined)[] = [];
  readonly #listeners: MergeListener[] = [];
  #nextNumber = 1;
  /** Virtual time in ns of what is being done. */
  now = 0;
  /** Makes at least one frame free, outside of rounds; false when it cannot. */
  makeRoom: () => boolean = () => false;

  constructor(memory: HostMemory, swap?: Swap) {
    this.memory = memory;
    this.swap = swap;
    this.frames = new FrameTable(memory);
    this.lists = new FrameLists(memory, this.frames.count);
    this.reverse = new ReverseMap(memory);
    this.zeroFrame = this.frames.pop();
    this.frames.setClass(this.zeroFrame, frameClass.zero);
  }

  // Guests.

  /** The number that the next guest gets. */
  get nextNumber(): number {
    if (this.#nextNumber > mostGuests) {
      throw new RangeError(`a host has at most ${mostGuests} guests in its life; start another host`);
    }
    return this.#nextNumber;
  }

  /** Makes a guest's memory; it has the next number. Faults cost nothing when `costs` are not given. */
  add(ram: readonly Range[], mergeable = true, costs?: FaultCosts): AddressSpace {
    const space = new AddressSpace(this, placeSpace(this.memory, this.nextNumber, ram, mergeable), costs);
    this.#nextNumber = space.id + 1;
    this.reverse.add(space.id, space);
    this.#byNumber[space.id] = space;
    this.spaces.push(space);
    for (const listener of this.#listeners) listener.spaceAdded?.(space);
    return space;
  }

  /** Forgets a guest's memory, which is empty by now, and takes its room back. */
  remove(space: AddressSpace): void {
    for (const listener of this.#listeners) listener.spaceRemoved?.(space);
    this.spaces.splice(this.spaces.indexOf(space), 1);
    this.#byNumber[space.id] = undefined;
    this.reverse.remove(space.id);
    space.dispose();
    releasePlace(this.memory, space.place);
  }

  /** The guest of a page's key. */
  spaceOf(key: number): AddressSpace {
    return this.#byNumber[guestOf(key)]!;
  }

  /** The guest with a number. */
  numbered(id: number): AddressSpace | undefined {
    return this.#byNumber[id];
  }

  /** Tells `listener` of what happens to shared pages. */
  listen(listener: MergeListener): void {
    this.#listeners.push(listener);
  }

  // Rounds.

  /** A free frame for a guest outside of rounds, 0 when there is none and none can be made. */
  take(): number {
    if (this.frames.free === 0 && !this.makeRoom()) return 0;
    return this.frames.pop();
  }

  /** Takes back a frame that was taken, and not used. */
  giveBack(frame: number): void {
    this.frames.pushUnused(frame);
  }

  /** Brings the books up to date with what a guest has done. */
  apply(space: AddressSpace): void {
    const { log } = space;
    for (let entry = 0; entry < log.length; entry++) {
      const page = log.page(entry);
      const key = pageKey(space.id, page);
      const first = log.first(entry);
      const second = log.second(entry);
      switch (log.kind(entry)) {
        case logged.touch:
          this.adopt(first, key);
          break;
        case logged.zero:
          this.join(this.zeroFrame, key);
          break;
        case logged.break:
          this.leave((second & ~byScanner) >>> 0, key, 'write', (second & byScanner) !== 0);
          this.adopt(first, key);
          break;
        case logged.drop:
          this.leave((first & ~byScanner) >>> 0, key, 'discard', (first & byScanner) !== 0);
          break;
        case logged.dropSwapped:
          this.leaveSlot(first, key);
          break;
        case logged.load:
          this.loaded(first, second, key);
          break;
      }
    }
    log.clear();
  }

  // What pages do.

  /** A page becomes the only one that maps a frame which was free. */
  adopt(frame: number, key: number): void {
    this.frames.setClass(frame, frameClass.private);
    this.join(frame, key);
    this.lists.put(this.frames.index(frame), lists.active);
  }

  /** A page maps a frame from now on. */
  join(frame: number, key: number): void {
    this.reverse.insert(this.frames.head(frame), key);
    this.frames.setMapped(frame, this.frames.mapped(frame) + 1);
  }

  /** A page maps a frame no longer; when it was the last, the frame is free. `merged`: a scanner had put the page there. */
  leave(frame: number, key: number, cause: DropCause, merged: boolean): void {
    const { frames } = this;
    this.reverse.take(frames.head(frame), key);
    const left = frames.mapped(frame) - 1;
    frames.setMapped(frame, left);
    const isKsm = frames.classOf(frame) === frameClass.ksm;
    if (isKsm || merged) {
      const space = this.spaceOf(key);
      for (const listener of this.#listeners) {
        listener.dropped?.(space, pageOf(key), frame, cause, left, this.now);
      }
    }
    if (left === 0 && frame !== this.zeroFrame) this.free(frame);
  }

  /** Makes a frame free that no page maps. */
  free(frame: number): void {
    const { frames } = this;
    this.lists.take(frames.index(frame));
    this.parted(frame);
    this.endMerge(frame);
    frames.push(frame);
  }

  /** A frame is no ksm frame any more. */
  endMerge(frame: number): void {
    const { frames } = this;
    if (frames.classOf(frame) !== frameClass.ksm) return;
    const tag = frames.tagOf(frame);
    frames.setTag(frame, 0);
    for (const listener of this.#listeners) listener.released?.(frame, tag);
  }

  /** A page of a frame that was merged came back from swap with a copy of its own. */
  swappedInCopy(key: number): void {
    for (const listener of this.#listeners) {
      listener.swappedInCopy?.(this.spaceOf(key), pageOf(key), this.now);
    }
  }

  // Frames and the swap slots with the same contents.

  /** A frame has the contents of a slot from now on, as long as it is not written. */
  paired(frame: number, slot: number): void {
    this.frames.setSlot(frame, slot);
    this.swap!.slots.setFrame(slot, frame);
  }

  /** A frame has nothing to do any more with the slot that had its contents. */
  parted(frame: number): void {
    const slot = this.frames.slotOf(frame);
    if (slot < 0) return;
    const swapSlots = this.swap!.slots;
    this.frames.setSlot(frame, -1);
    swapSlots.setFrame(slot, 0);
    if (swapSlots.mapped(slot) === 0) swapSlots.release(slot);
  }

  /** The page of a frame has written to it, and will not be marked for that any more. */
  written(frame: number): void {
    if (this.frames.classOf(frame) === frameClass.private) this.parted(frame);
  }

  /** A page's contents are in a slot from now on. */
  joinSlot(slot: number, key: number): void {
    const swapSlots = this.swap!.slots;
    this.reverse.insert(swapSlots.head(slot), key);
    swapSlots.setMapped(slot, swapSlots.mapped(slot) + 1);
  }

  /** A page does not need a slot any more; nor is it needed when no page does, unless the page's own frame has its contents. */
  leaveSlot(slot: number, key: number): void {
    const swapSlots = this.swap!.slots;
    this.reverse.take(swapSlots.head(slot), key);
    const left = swapSlots.mapped(slot) - 1;
    swapSlots.setMapped(slot, left);
    if (left > 0) return;
    const frame = swapSlots.frameOf(slot);
    if (frame === 0) swapSlots.release(slot);
    else if (this.frames.mapped(frame) === 0) this.free(frame);
  }

  /** A swapped page got a frame of its own, which was free, with its contents. */
  loaded(frame: number, slot: number, key: number): void {
    const swapSlots = this.swap!.slots;
    this.reverse.take(swapSlots.head(slot), key);
    const left = swapSlots.mapped(slot) - 1;
    swapSlots.setMapped(slot, left);
    this.adopt(frame, key);
    if (left > 0) {
      this.swappedInCopy(key);
      return;
    }
    const cached = swapSlots.frameOf(slot);
    if (cached !== 0) {
      // Another page's own frame: the slot stays that page's.
      if (this.frames.mapped(cached) > 0) {
        this.swappedInCopy(key);
        return;
      }
      this.frames.setSlot(cached, -1);
      this.free(cached);
    }
    this.settleSlot(frame, slot);
  }

  /** A swapped page takes the frame itself that has its slot's contents, and that nobody maps. */
  takeCached(frame: number, slot: number, key: number): void {
    const swapSlots = this.swap!.slots;
    this.reverse.take(swapSlots.head(slot), key);
    const left = swapSlots.mapped(slot) - 1;
    swapSlots.setMapped(slot, left);
    this.adopt(frame, key);
    if (left === 0) this.settleSlot(frame, slot);
  }

  /** Takes a frame from all its pages; from now on they are swapped to a slot that has its contents. The frame is of the swap cache then. */
  unmap(frame: number, slot: number): void {
    const { frames, reverse } = this;
    const head = frames.head(frame);
    for (let key = reverse.first(head); key !== 0; key = reverse.first(head)) {
      const space = this.spaceOf(key);
      const page = pageOf(key);
      const kept = space.slot(page) & slots.hasCode;
      space.setSlot(page, (slot << slots.swapShift) | slots.swapped | kept);
      space.present--;
      space.swapped++;
      reverse.take(head, key);
      frames.setMapped(frame, frames.mapped(frame) - 1);
      this.joinSlot(slot, key);
      if (frames.classOf(frame) !== frameClass.ksm) continue;
      for (const listener of this.#listeners) {
        listener.dropped?.(space, page, frame, 'swap', frames.mapped(frame), this.now);
      }
    }
    this.endMerge(frame);
    frames.setClass(frame, frameClass.swapcache);
    frames.setReadyAt(frame, 0);
  }

  /** No page is swapped to a slot any more, but a frame has its contents: keeps the slot for it while there are plenty. */
  settleSlot(frame: number, slot: number): void {
    const swapSlots = this.swap!.slots;
    this.frames.setSlot(frame, -1);
    swapSlots.setFrame(slot, 0);
    if (2 * swapSlots.free >= swapSlots.size) this.paired(frame, slot);
    else swapSlots.release(slot);
  }

  // What the host looks at.

  /** Whether any page of a frame was used since this was last asked. Those pages' guests must forget their TLBs. */
  testAndClearAccessed(frame: number): boolean {
    let used = false;
    for (let key = this.reverse.first(this.frames.head(frame)); key !== 0; key = this.reverse.next(key)) {
      const space = this.spaceOf(key);
      const page = pageOf(key);
      const slot = space.slot(page);
      if ((slot & slots.accessed) === 0) continue;
      used = true;
      space.setSlot(page, slot & ~slots.accessed);
      space.shootDown();
    }
    return used;
  }

  /** Whether a frame still has the contents of its slot: it was not written since. */
  isClean(frame: number): boolean {
    if (this.frames.slotOf(frame) < 0) return false;
    if (this.frames.classOf(frame) !== frameClass.private) return true;
    const key = this.reverse.first(this.frames.head(frame));
    return (this.spaceOf(key).slot(pageOf(key)) & slots.dirty) === 0;
  }

  /** Gives up the slots of frames that pages map, until one slot is free; false when there is none. */
  partAny(): boolean {
    const { frames } = this;
    const swapSlots = this.swap!.slots;
    for (let index = 0; index < frames.count && swapSlots.free === 0; index++) {
      const frame = frames.address(index);
      if (frames.slotOf(frame) >= 0 && frames.mapped(frame) > 0) this.parted(frame);
    }
    return swapSlots.free > 0;
  }

  /** Copies a frame. */
  copy(from: number, to: number): void {
    this.memory.u8.copyWithin(to, from, from + pageSize);
  }
}
