/**
 * The state of the books, with all contents. Nothing in it depends on which frames are used: frames are written in the order of their
 * lists, those on none in the order of their swap slots.
 */
import { StateError, type StateReader, type StateWriter } from '../state/state.ts';
import type { Books } from './books.ts';
import { type List, lists } from './framelists.ts';
import { pageSize } from './hostmemory.ts';
import { pageKey, pageOf } from './rmap.ts';
import * as slots from './slots.ts';
import type { Swap } from './swap/swap.ts';

/** What decoded code adds is left out. */
const savedFlags = ~slots.frameMask & ~slots.hasCode;

/** Writes the books. */
export function saveBooks(books: Books, to: StateWriter): void {
  to.number(books.now);
  to.list(books.spaces, (space) => {
    to.u32(space.id);
    for (let page = 0; page < space.pageCount; page++) {
      const flags = space.slot(page) & savedFlags;
      if (flags === 0 || (flags & slots.hole) !== 0) continue;
      to.u32(page);
      to.u16(flags);
    }
    to.u32(space.pageCount);
  });
  for (const list of [lists.active, lists.inactive]) {
    const { lists: frameLists, frames } = books;
    to.u32(frameLists.length(list));
    for (let index = frameLists.last(list); index >= 0; index = frameLists.before(index)) {
      saveFrame(books, frames.address(index), to);
    }
  }
  to.bool(books.swap !== undefined);
  if (books.swap !== undefined) saveSwap(books, books.swap, to);
}

/** Takes up books that {@link saveBooks} wrote, of a host with the same guests and the same swap. */
export function loadBooks(books: Books, from: StateReader): void {
  for (const space of books.spaces) space.empty();
  books.now = from.number();
  let index = 0;
  from.list(() => {
    const space = books.spaces[index++];
    const id = from.u32();
    if (space?.id !== id)
      throw new StateError(`the state has a guest ${id} where this host has ${space?.id}`);
    for (let page = from.u32(); page !== space.pageCount; page = from.u32()) {
      const flags = from.u16();
      // A page of zeros, unless a frame comes for it.
      space.setSlot(page, flags | ((flags & slots.present) === 0 ? 0 : books.zeroFrame));
      if ((flags & slots.present) !== 0) space.present++;
      if ((flags & slots.swapped) !== 0) space.swapped++;
      if ((flags & slots.ballooned) !== 0) space.ballooned++;
      if ((flags & slots.mergedZero) !== 0) space.mergedZero++;
    }
  });
  for (const list of [lists.active, lists.inactive]) {
    for (let count = from.u32(); count > 0; count--) loadFrame(books, list, from);
  }
  if (from.bool() !== (books.swap !== undefined))
    throw new StateError('the state and the host differ in swap');
  if (books.swap !== undefined) loadSwap(books, books.swap, from);
  mapZeros(books);
}

function saveFrame(books: Books, frame: number, to: StateWriter): void {
  const { frames, memory } = books;
  to.u8(frames.classOf(frame));
  to.u32(frames.tagOf(frame));
  to.u32(frames.slotOf(frame) + 1);
  to.number(frames.readyAt(frame));
  saveKeys(books, frames.head(frame), to);
  to.bytes(memory.u8.subarray(frame, frame + pageSize));
}

function loadFrame(books: Books, list: List, from: StateReader): void {
  const { frames, memory } = books;
  const frame = frames.pop();
  if (frame === 0) throw new StateError(`the state needs more frames than the ${frames.count} of this host`);
  frames.setClass(frame, from.u8());
  frames.setTag(frame, from.u32());
  frames.setSlot(frame, from.u32() - 1);
  frames.setReadyAt(frame, from.number());
  const keys = from.list(() => from.u32());
  for (const key of keys) {
    const space = books.spaceOf(key);
    const page = pageOf(key);
    space.setSlot(page, (space.slot(page) & savedFlags) | frame);
    books.join(frame, key);
  }
  memory.u8.set(from.bytes(), frame);
  books.lists.put(frames.index(frame), list);
}

/** Writes the pages of a list from its end, so that the list is the same when they are inserted in this order. */
function saveKeys({ reverse }: Books, head: number, to: StateWriter): void {
  const keys: number[] = [];
  for (let key = reverse.first(head); key !== 0; key = reverse.next(key)) keys.push(key);
  to.list(keys.reverse(), (key) => to.u32(key));
}

function saveSwap(books: Books, swap: Swap, to: StateWriter): void {
  const { frames, lists: frameLists, memory } = books;
  const used: number[] = [];
  for (let slot = 0; slot < swap.slots.size; slot++) if (swap.slots.isUsed(slot)) used.push(slot);
  to.u32(swap.slots.size);
  to.u32(swap.slots.cursor.at);
  to.bool(swap.slots.cursor.diskFull);
  to.part('device', swap.device);
  const buffer = memory.allocate(pageSize, pageSize);
  to.list(used, (slot) => {
    to.u32(slot);
    swap.readUnchecked(slot, buffer);
    to.u64(swap.slots.checksum(slot));
    to.bytes(memory.u8.subarray(buffer, buffer + pageSize));
    saveKeys(books, swap.slots.head(slot), to);
    const frame = swap.slots.frameOf(slot);
    const busy = frame !== 0 && frameLists.of(frames.index(frame)) === lists.none;
    to.bool(busy);
    if (busy) saveFrame(books, frame, to);
  });
  memory.release(buffer, pageSize);
}

function loadSwap(books: Books, swap: Swap, from: StateReader): void {
  const size = from.u32();
  if (size !== swap.slots.size) {
    throw new StateError(`the state has a swap of ${size} pages, this host one of ${swap.slots.size}`);
  }
  const cursor = { at: from.u32(), diskFull: from.bool() };
  from.part('device', swap.device);
  swap.slots.restore(cursor);
  from.list(() => {
    const slot = from.u32();
    swap.slots.take(slot);
    swap.restore(slot, from.u64(), from.bytes());
    for (const key of from.list(() => from.u32())) {
      const space = books.spaceOf(key);
      const page = pageOf(key);
      space.setSlot(page, (space.slot(page) & savedFlags) | (slot << slots.swapShift));
      books.joinSlot(slot, key);
    }
    if (from.bool()) loadFrame(books, lists.none, from);
  });
  for (let index = 0; index < books.frames.count; index++) {
    const frame = books.frames.address(index);
    const slot = books.frames.slotOf(frame);
    if (slot >= 0) swap.slots.setFrame(slot, frame);
  }
}

/** Present pages for which no frame came map the frame of zeros. */
function mapZeros(books: Books): void {
  for (const space of books.spaces) {
    for (let page = 0; page < space.pageCount; page++) {
      if (space.frameOf(page) === books.zeroFrame) books.join(books.zeroFrame, pageKey(space.id, page));
    }
  }
}
