/**
 * Code pages of kernels' text, which serve guests whose kernels are at different addresses: a page is found by its place in
 * 2 MiB, which no slide changes, and compared word by word; see `relocation.ts`.
 */
import type { HostMemory } from '../../memory/hostmemory.ts';
import * as codepage from '../codepage.ts';
import { type Moved, RelocationFinder } from './relocation.ts';

/** Where a guest's kernel is, as far as its code has told. */
export interface Kernel {
  /** What its addresses are above those of the first guest's kernel, in bytes; undefined until it is known. */
  slide: number | undefined;
}

/** What has been decoded of a page, when it becomes known what moves in it. */
export interface DecodedText {
  /** Whether all that moves is constants of instructions, as far as they are decoded. */
  explains(page: number, moved: Moved): boolean;
  /** Decodes anew what had been decoded on a wrong guess of what moves. */
  correct(page: number): void;
}

/** Names the code pages in the values of a map by where they are now, and takes those out that are not in `moved`. */
export function follow<Key>(pages: Map<Key, number[]>, moved: ReadonlyMap<number, number>): void {
  for (const [key, each] of pages) {
    const now = each.map((page) => moved.get(page)).filter((page) => page !== undefined);
    if (now.length === 0) pages.delete(key);
    else pages.set(key, now);
  }
}

/** See the top of this file. */
export class KernelText {
  readonly #memory: HostMemory;
  readonly #decoded: DecodedText;
  /** By place. */
  readonly #pages = new Map<number, number[]>();
  readonly #relocations = new RelocationFinder();

  constructor(memory: HostMemory, decoded: DecodedText) {
    this.#memory = memory;
    this.#decoded = decoded;
  }

  /** Takes a new code page in, of a kernel with that slide. */
  add(page: number, place: number, slide: number): void {
    const { u8, i32 } = this.#memory;
    i32[(page + codepage.slideOffset) >> 2] = slide;
    u8[page + codepage.sharingOffset] = codepage.sharing.slides;
    const pages = this.#pages.get(place);
    if (pages === undefined) this.#pages.set(place, [page]);
    else pages.push(page);
  }

  /** Whether a page of the same content serves a guest: nothing in it may move, when their kernels are at different places. */
  fits(page: number, frame: number, kernel: Kernel): boolean {
    const { u8, i32 } = this.#memory;
    if ((u8[page + codepage.sharingOffset]! & codepage.sharing.slides) === 0) return true;
    if (kernel.slide === i32[(page + codepage.slideOffset) >> 2]) return true;
    return this.#relocations.compare(u8, page + codepage.contentOffset, frame, 0) && this.#learn(page);
  }

  /** The page of another guest's kernel that differs from the frame's content by the slide alone. */
  sibling(frame: number, place: number, kernel: Kernel): number | undefined {
    const { u8, i32 } = this.#memory;
    return this.#pages.get(place)?.find((page) => {
      const own = i32[(page + codepage.slideOffset) >> 2]!;
      const wanted = kernel.slide === undefined ? undefined : kernel.slide - own;
      if (wanted === 0) return false;
      const content = page + codepage.contentOffset;
      if (!this.#relocations.compare(u8, content, frame, wanted) || !this.#learn(page)) return false;
      // A page without any address tells no slide.
      if (this.#relocations.slide !== 0) kernel.slide = own + this.#relocations.slide;
      return true;
    });
  }

  /**
   * Which of a page's words move is known now, from the comparison just made. False when that is not what was known before.
   */
  #learn(page: number): boolean {
    const { u8 } = this.#memory;
    const { forward, backward } = this.#relocations.moved;
    const at = page + codepage.sharingOffset;
    const known = (u8[at]! & codepage.sharing.known) !== 0;
    if (known) {
      for (let i = 0; i < forward.length; i++) {
        if (forward[i] !== u8[page + codepage.forwardOffset + i]) return false;
        if (backward[i] !== u8[page + codepage.backwardOffset + i]) return false;
      }
      return true;
    }
    if (!this.#decoded.explains(page, this.#relocations.moved)) return false;
    u8.set(forward, page + codepage.forwardOffset);
    u8.set(backward, page + codepage.backwardOffset);
    u8[at]! |= codepage.sharing.known;
    this.#decoded.correct(page);
    return true;
  }

  /** Code pages are elsewhere now; all but those in `moved` are no more. */
  follow(moved: ReadonlyMap<number, number>): void {
    follow(this.#pages, moved);
  }
}
