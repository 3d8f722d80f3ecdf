/**
 * Proves the books: every frame is of exactly one class and where that belongs, reference counts are what the guests' slots say, the reverse map
 * leads back to those slots, and swap slots are in use by exactly those who refer to them.
 */
import type { AddressSpace } from './addressspace.ts';
import type { Books } from './books.ts';
import { lists } from './framelists.ts';
import { frameClass } from './frames.ts';
import { pageKey } from './rmap.ts';
import * as slots from './slots.ts';

/** The books are wrong: a fault of the host's own, with all that is wrong in its message. */
export class BooksError extends Error {
  override name = 'BooksError';
}

/** What the guests' slots say of the frames and swap slots. */
interface Found {
  /** Pages by the frame's address, and by the swap slot, as keys. */
  readonly byFrame: Map<number, Set<number>>;
  readonly bySlot: Map<number, Set<number>>;
}

/** So many faults are named. */
const most = 20;

/** Runs checks and throws {@link BooksError} with what they found. */
export function collect(checks: (expect: Expect) => void): void {
  const wrong: string[] = [];
  checks((condition, what) => {
    if (!condition && wrong.length < most) wrong.push(what());
  });
  if (wrong.length > 0) throw new BooksError(`the books of the host's memory are wrong: ${wrong.join('; ')}`);
}

/** Checks the books, between rounds, when all logs are applied. Throws {@link BooksError}. */
export function checkBooks(books: Books): void {
  collect((expect) => {
    const found = survey(books, expect);
    checkFrames(books, found, expect);
    checkFree(books, expect);
    checkSwap(books, found, expect);
  });
}

/** Notes what is wrong when a condition does not hold. */
export type Expect = (condition: boolean, what: () => string) => void;

function add(map: Map<number, Set<number>>, at: number, key: number): void {
  const set = map.get(at);
  if (set === undefined) map.set(at, new Set([key]));
  else set.add(key);
}

/** Reads all slots of all guests, and checks each guest's own counters. */
function survey(books: Books, expect: Expect): Found {
  const found: Found = { byFrame: new Map(), bySlot: new Map() };
  for (const space of books.spaces) {
    expect(space.log.length === 0, () => `guest ${space.id} has a log that was not applied`);
    expect(space.grantEnd === space.grantStart, () => `guest ${space.id} has frames of a grant`);
    const counted = { present: 0, swapped: 0, ballooned: 0, mergedZero: 0 };
    for (let page = 0; page < space.pageCount; page++) {
      const slot = space.slot(page);
      if ((slot & slots.hole) !== 0) continue;
      checkSlot(books, space, page, slot, expect);
      if ((slot & slots.present) !== 0) {
        counted.present++;
        add(found.byFrame, (slot & slots.frameMask) >>> 0, pageKey(space.id, page));
      } else if ((slot & slots.swapped) !== 0) {
        counted.swapped++;
        add(found.bySlot, slot >>> slots.swapShift, pageKey(space.id, page));
      }
      if ((slot & slots.ballooned) !== 0) counted.ballooned++;
      if ((slot & slots.mergedZero) !== 0) counted.mergedZero++;
    }
    for (const name of ['present', 'swapped', 'ballooned', 'mergedZero'] as const) {
      expect(
        counted[name] === space[name],
        () => `guest ${space.id} counts ${space[name]} pages ${name}, ${counted[name]} are`,
      );
    }
  }
  return found;
}

/** One state a page, and no permission to write what is shared. */
function checkSlot(books: Books, space: AddressSpace, page: number, slot: number, expect: Expect): void {
  const states = [slots.present, slots.swapped, slots.ballooned, slots.reported, slots.returned];
  const count = states.filter((state) => (slot & state) !== 0).length;
  const name = () => `page ${page} of guest ${space.id} (slot 0x${(slot >>> 0).toString(16)})`;
  expect(count <= 1, () => `${name()} is in ${count} states`);
  expect(((slot & slots.hasCode) !== 0) === (space.codeOf(page) !== 0), () => `${name()}: mark of code`);
  if ((slot & slots.present) === 0) {
    const flags = slots.accessed | slots.dirty | slots.writable | slots.mergedZero;
    expect((slot & flags) === 0, () => `${name()} is not present and has flags of a page that is`);
    if ((slot & slots.swapped) === 0) {
      expect(slot >>> slots.swapShift === 0, () => `${name()} has an address without a state`);
    }
    return;
  }
  const frame = (slot & slots.frameMask) >>> 0;
  const index = books.frames.index(frame);
  expect(Number.isInteger(index) && index >= 0 && index < books.frames.count, () => `${name()} has no frame`);
  const isOwn = books.frames.classOf(frame) === frameClass.private;
  expect(((slot & slots.writable) !== 0) === isOwn, () => `${name()}: permission to write`);
  if ((slot & slots.mergedZero) !== 0)
    expect(frame === books.zeroFrame, () => `${name()} is no page of zeros`);
}

/** Compares a list of the reverse map with the pages that should be in it. */
function checkList(
  books: Books,
  head: number,
  wanted: Set<number> | undefined,
  name: () => string,
  expect: Expect,
) {
  const size = wanted?.size ?? 0;
  let previous = 0;
  let count = 0;
  for (let key = books.reverse.first(head); key !== 0 && count <= size; key = books.reverse.next(key)) {
    expect(wanted?.has(key) === true, () => `${name()} lists page 0x${key.toString(16)}, which is elsewhere`);
    if (wanted?.has(key) !== true) return;
    expect(
      books.reverse.previous(key) === previous,
      () => `${name()}: link back from page 0x${key.toString(16)}`,
    );
    previous = key;
    count++;
  }
  expect(count === size, () => `${name()} lists ${count} pages, ${size} refer to it`);
}

function checkFrames(books: Books, { byFrame }: Found, expect: Expect): void {
  const { frames, lists: frameLists } = books;
  const { free, private: own, zero, ksm, swapcache } = frameClass;
  const counts = new Map<number, number>([free, own, zero, ksm, swapcache].map((each) => [each, 0]));
  for (let index = 0; index < frames.count; index++) {
    const frame = frames.address(index);
    const kind = frames.classOf(frame);
    const pages = byFrame.get(frame);
    const name = () => `frame ${index} (${frames.classNameOf(frame)})`;
    counts.set(kind, counts.get(kind)! + 1);
    expect(
      frames.mapped(frame) === (pages?.size ?? 0),
      () => `${name()} counts ${frames.mapped(frame)} pages, ${pages?.size ?? 0} map it`,
    );
    checkList(books, frames.head(frame), pages, name, expect);
    const mapped = pages?.size ?? 0;
    if (kind === free || kind === swapcache) expect(mapped === 0, () => `${name()} is mapped`);
    if (kind === own) expect(mapped === 1, () => `${name()} is mapped by ${mapped} pages`);
    if (kind === ksm) expect(mapped >= 1, () => `${name()} is mapped by no page`);
    expect((kind === ksm) === (frames.tagOf(frame) !== 0), () => `${name()} has tag ${frames.tagOf(frame)}`);
    expect((kind === zero) === (frame === books.zeroFrame), () => `${name()} is the frame of zeros or not`);
    const onList = frameLists.of(index) !== lists.none;
    if (kind === free || kind === zero) expect(!onList, () => `${name()} is on a list`);
    if (kind === own || kind === ksm) expect(onList, () => `${name()} is on no list`);
    const slot = frames.slotOf(frame);
    if (kind === free || kind === zero) expect(slot < 0, () => `${name()} has swap slot ${slot}`);
    if (kind === swapcache) expect(slot >= 0, () => `${name()} has no swap slot`);
    if (slot >= 0) {
      expect(books.swap!.slots.frameOf(slot) === frame, () => `${name()}: its swap slot has another frame`);
    }
  }
  for (const [kind, count] of counts) {
    expect(
      frames.inClass(kind) === count,
      () => `class ${kind} counts ${frames.inClass(kind)}, not ${count}`,
    );
  }
  for (const [list, name] of [
    [lists.active, 'active'],
    [lists.inactive, 'inactive'],
  ] as const) {
    let length = 0;
    for (let index = frameLists.last(list); index >= 0; index = frameLists.before(index)) {
      length++;
      if (length > frames.count) break;
    }
    expect(length === frameLists.length(list), () => `the ${name} list has ${length} frames`);
  }
}

/** The stack of free frames has each free frame once. */
function checkFree(books: Books, expect: Expect): void {
  const { frames } = books;
  const seen = new Set<number>();
  for (let place = 0; place < frames.free; place++) {
    const frame = frames.inStack(place);
    expect(!seen.has(frame), () => `frame ${frames.index(frame)} is twice among the free`);
    expect(
      frames.classOf(frame) === frameClass.free,
      () => `frame ${frames.index(frame)} is among the free and is not`,
    );
    seen.add(frame);
  }
  expect(
    seen.size === frames.inClass(frameClass.free),
    () => `${seen.size} frames can be had, ${frames.inClass(frameClass.free)} are free`,
  );
}

function checkSwap(books: Books, { bySlot }: Found, expect: Expect): void {
  const { swap, frames } = books;
  if (swap === undefined) {
    expect(bySlot.size === 0, () => 'pages are in swap, which there is not');
    return;
  }
  let used = 0;
  for (let slot = 0; slot < swap.slots.size; slot++) {
    const pages = bySlot.get(slot);
    const frame = swap.slots.frameOf(slot);
    const name = () => `swap slot ${slot}`;
    if (swap.slots.isUsed(slot)) used++;
    expect(swap.slots.mapped(slot) === (pages?.size ?? 0), () => `${name()}: number of its pages`);
    checkList(books, swap.slots.head(slot), pages, name, expect);
    const needed = pages !== undefined || frame !== 0;
    expect(
      swap.slots.isUsed(slot) === needed,
      () => `${name()} is ${needed ? 'needed and free' : 'used by nobody'}`,
    );
    if (frame !== 0) expect(frames.slotOf(frame) === slot, () => `${name()}: its frame has another slot`);
  }
  expect(used === swap.slots.used, () => `${swap.slots.used} swap slots are counted, ${used} are used`);
}
