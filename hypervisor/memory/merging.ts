/** {@link MergeMemory} over the host's books. */
import type { AddressSpace } from './addressspace.ts';
import type { Books } from './books.ts';
import { frameClass } from './frames.ts';
import type { HostMemory } from './hostmemory.ts';
import type { FrameClass, MergeListener, MergeMemory, MergeSpace } from './merge.ts';
import { pageKey } from './rmap.ts';
import * as slots from './slots.ts';

/** See the top of this file. */
export class Merging implements MergeMemory {
  readonly memory: HostMemory;
  readonly zeroFrame: number;
  readonly #books: Books;

  constructor(books: Books) {
    this.memory = books.memory;
    this.zeroFrame = books.zeroFrame;
    this.#books = books;
  }

  get spaces(): readonly MergeSpace[] {
    return this.#books.spaces;
  }

  #space({ id }: MergeSpace): AddressSpace {
    return this.#books.numbered(id)!;
  }

  frameOf(space: MergeSpace, page: number): number {
    return space.mergeable ? this.#space(space).frameOf(page) : 0;
  }

  classOf(frame: number): FrameClass {
    return this.#books.frames.classNameOf(frame);
  }

  mapCount(frame: number): number {
    return this.#books.frames.mapped(frame);
  }

  zeroPages(space: MergeSpace): number {
    return this.#space(space).mergedZero;
  }

  share(space: MergeSpace, page: number, tag: number): void {
    const { frames } = this.#books;
    const guest = this.#space(space);
    const frame = guest.frameOf(page);
    this.#expect(frame, frameClass.private, space, page);
    // What was written since is not what its slot has.
    if (!this.#books.isClean(frame)) this.#books.parted(frame);
    frames.setClass(frame, frameClass.ksm);
    frames.setTag(frame, tag);
    guest.setSlot(page, guest.slot(page) & ~slots.writable);
    guest.shootDown();
  }

  tagOf(frame: number): number {
    const { frames } = this.#books;
    return frames.classOf(frame) === frameClass.ksm ? frames.tagOf(frame) : 0;
  }

  replace(space: MergeSpace, page: number, frame: number): void {
    const books = this.#books;
    const guest = this.#space(space);
    const old = guest.frameOf(page);
    this.#expect(old, frameClass.private, space, page);
    const key = pageKey(space.id, page);
    books.leave(old, key, 'discard', false);
    books.join(frame, key);
    const isZero = frame === this.zeroFrame;
    if (isZero) guest.mergedZero++;
    // What it was used since stays known: those who look for idle pages do not see that it moved.
    const kept = guest.slot(page) & (slots.accessed | slots.hasCode);
    guest.setSlot(page, frame | kept | slots.present | (isZero ? slots.mergedZero : 0));
    guest.shootDown();
  }

  unshare(space: MergeSpace, page: number): boolean {
    const books = this.#books;
    const guest = this.#space(space);
    const slot = guest.slot(page);
    const shared = guest.frameOf(page);
    if (shared === 0 || (slot & slots.writable) !== 0) return true;
    const frame = books.take();
    if (frame === 0) return false;
    // Making room may have put the page into swap.
    if (guest.frameOf(page) !== shared) {
      books.frames.pushUnused(frame);
      return true;
    }
    books.copy(shared, frame);
    const key = pageKey(space.id, page);
    const merged = (slot & slots.mergedZero) !== 0;
    if (merged) guest.mergedZero--;
    books.leave(shared, key, 'unshare', merged);
    books.adopt(frame, key);
    const kept = slot & (slots.accessed | slots.hasCode);
    guest.setSlot(page, frame | kept | slots.present | slots.writable);
    guest.shootDown();
    return true;
  }

  listen(listener: MergeListener): void {
    this.#books.listen(listener);
  }

  #expect(frame: number, wanted: number, { id }: MergeSpace, page: number): void {
    if (frame !== 0 && this.#books.frames.classOf(frame) === wanted) return;
    throw new Error(`page ${page} of guest ${id} has no private frame; scanners ask classOf first`);
  }
}
