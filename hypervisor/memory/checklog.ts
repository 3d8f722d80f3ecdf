/**
 * Proves the logs of a round before they are applied: what the books say, changed as a guest's log says, is what its slots say; and the frames
 * in its log are those that it took from its grant.
 */
import type { AddressSpace } from './addressspace.ts';
import type { Books } from './books.ts';
import { collect, type Expect } from './check.ts';
import { frameClass } from './frames.ts';
import { byScanner, logged } from './log.ts';
import { pageKey } from './rmap.ts';
import * as slots from './slots.ts';

/** Where a page's contents are: a frame's address, or minus the number of a swap slot and 1, or 0 for nowhere. */
type Place = number;
const inSlot = (slot: number): Place => -1 - slot;

/** Checks the logs of all guests, at the end of a round. Throws `BooksError`. */
export function checkLogs(books: Books): void {
  collect((expect) => {
    const places = placesInBooks(books);
    for (const space of books.spaces) {
      const taken = replay(books, space, places, expect);
      checkGrant(books, space, taken, expect);
      for (let page = 0; page < space.pageCount; page++) {
        const place = places.get(pageKey(space.id, page)) ?? 0;
        const now = placeOf(space.slot(page));
        expect(place === now, () => `page ${page} of guest ${space.id}: ${place} by the log, it is ${now}`);
      }
    }
  });
}

function placesInBooks(books: Books): Map<number, Place> {
  const places = new Map<number, Place>();
  const { frames, reverse, swap } = books;
  const visit = (head: number, place: Place) => {
    for (let key = reverse.first(head); key !== 0; key = reverse.next(key)) places.set(key, place);
  };
  for (let index = 0; index < frames.count; index++) {
    const frame = frames.address(index);
    visit(frames.head(frame), frame);
  }
  for (let slot = 0; slot < (swap?.slots.size ?? 0); slot++) visit(swap!.slots.head(slot), inSlot(slot));
  return places;
}

function placeOf(slot: number): Place {
  if ((slot & slots.present) !== 0) return (slot & slots.frameMask) >>> 0;
  return (slot & slots.swapped) === 0 ? 0 : inSlot(slot >>> slots.swapShift);
}

/** Follows a guest's log, and gives the frames that it put to use. */
function replay(books: Books, space: AddressSpace, places: Map<number, Place>, expect: Expect): number[] {
  const { log } = space;
  const taken: number[] = [];
  for (let entry = 0; entry < log.length; entry++) {
    const page = log.page(entry);
    const key = pageKey(space.id, page);
    const [first, second] = [log.first(entry), log.second(entry)];
    const from = (wanted: Place) =>
      expect(
        (places.get(key) ?? 0) === wanted,
        () =>
          `entry ${entry} of guest ${space.id}'s log takes page ${page} from ${wanted}, it is ${places.get(key)}`,
      );
    const own = (frame: number) => {
      taken.push(frame);
      places.set(key, frame);
    };
    switch (log.kind(entry)) {
      case logged.touch:
        from(0);
        own(first);
        break;
      case logged.zero:
        from(0);
        places.set(key, books.zeroFrame);
        break;
      case logged.break:
        from((second & ~byScanner) >>> 0);
        own(first);
        break;
      case logged.drop:
        from((first & ~byScanner) >>> 0);
        places.delete(key);
        break;
      case logged.dropSwapped:
        from(inSlot(first));
        places.delete(key);
        break;
      case logged.load:
        from(inSlot(second));
        own(first);
        break;
    }
  }
  return taken;
}

/** The frames that a guest put to use are those that are missing from its grant, each once, and they are free in the books. */
function checkGrant(books: Books, space: AddressSpace, taken: readonly number[], expect: Expect): void {
  const { frames } = books;
  const missing: number[] = [];
  for (let place = space.grantTop - 1; place >= space.grantEnd; place--) missing.push(frames.inStack(place));
  expect(
    missing.length === taken.length && missing.every((frame, i) => frame === taken[i]),
    () =>
      `guest ${space.id} took ${missing.length} frames of its grant and logged ${taken.length}, or others`,
  );
  for (const frame of taken) {
    expect(
      frames.classOf(frame) === frameClass.free,
      () => `frame ${frames.index(frame)} was granted, not free`,
    );
  }
}
