/**
 * Pages of a kernel that was loaded at different addresses.
 *
 * A kernel with KASLR adds its slide, a multiple of 2 MiB, to each 32-bit address in its code; references to per-CPU variables
 * relative to the instruction pointer, whose target does not move, get it subtracted. So the same page of two guests with
 * different slides differs in the upper two bytes of such words and in nothing else. A page of decoded code can serve both when
 * it is known which constants move.
 */
import { pageSize } from '../../memory/hostmemory.ts';

/** Slides are multiples of this (Linux: CONFIG_PHYSICAL_ALIGN, at least 2 MiB). */
const alignment = 0x20_0000;
/** No slide is as large as this: the kernel's text mapping has 1 GiB. */
const limit = 0x4000_0000;

/** True when a 32-bit constant may be an address in the kernel's text mapping, which starts at −2 GiB. */
export function mayBeAddress(value: number): boolean {
  return value >= -0x8000_0000 && value < -0x8000_0000 + limit + 0x0400_0000;
}

/** True when a displacement relative to the instruction pointer may lead from there to the first megabytes of the address space. */
export function mayLeadToStart(value: number): boolean {
  return value >= limit - 0x0400_0000 && value <= 0x7fff_ffff;
}

/** One bit a byte of a page. */
export const bitmapSize = pageSize / 8;

/** Words of a page that moved, each named by the place of its last byte: by the slide, and against it. */
export interface Moved {
  readonly forward: Uint8Array;
  readonly backward: Uint8Array;
}

/** Whether a bit of a bitmap is set. */
export function hasBit(bits: Uint8Array, at: number): boolean {
  return (bits[at >> 3]! & (1 << (at & 7))) !== 0;
}

/** Sets a bit of a bitmap. */
export function setBit(bits: Uint8Array, at: number): void {
  bits[at >> 3]! |= 1 << (at & 7);
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** Compares two copies of a page of a kernel. */
export class RelocationFinder {
  /** What moved, as the last {@link compare} found it. */
  readonly moved: Moved = { forward: new Uint8Array(bitmapSize), backward: new Uint8Array(bitmapSize) };
  /** The slide of the second against the first, as the last successful {@link compare} found it; 0 when the pages are equal. */
  slide = 0;
  /** The memory of the comparison that is on, in bytes and in words. */
  #bytes!: Uint8Array;
  #words!: Int32Array;

  /**
   * True when the pages at `a` and `b` are the same but for one slide.
   * @param bytes the whole of its buffer
   * @param slide what it must be; undefined when any will do
   */
  compare(bytes: Uint8Array, a: number, b: number, slide: number | undefined): boolean {
    this.#bytes = bytes;
    this.#words = new Int32Array(bytes.buffer);
    this.moved.forward.fill(0);
    this.moved.backward.fill(0);
    const found = slide ?? this.#findSlide(bytes, a, b);
    if (found === undefined) return false;
    this.slide = found;
    return this.#follow(bytes, a, b, found);
  }

  /** The first place from `at` on where the pages differ; the page's end when they do not. */
  #differ(a: number, b: number, at: number): number {
    const bytes = this.#bytes;
    const words = this.#words;
    for (let place = at; place < pageSize; place++) {
      if ((place & 3) === 0 && words[(a + place) >>> 2] === words[(b + place) >>> 2]) place += 3;
      else if (bytes[a + place] !== bytes[b + place]) return place;
    }
    return pageSize;
  }

  /** The slide by the first word that differs and is an address, or leads to the start. */
  #findSlide(bytes: Uint8Array, a: number, b: number): number | undefined {
    let differs = false;
    for (let at = this.#differ(a, b, 0); at < pageSize; at = this.#differ(a, b, at + 1)) {
      differs = true;
      for (const inWord of [2, 3]) {
        const start = at - inWord;
        // A word across the page's edge tells nothing by itself.
        if (start < 0 || start + 4 > pageSize) continue;
        const [first, second] = [word(bytes, a + start), word(bytes, b + start)];
        const difference = (second - first) | 0;
        if (difference % alignment !== 0 || Math.abs(difference) >= limit) continue;
        if (mayBeAddress(first) && mayBeAddress(second)) return difference;
        if (mayLeadToStart(first) && mayLeadToStart(second)) return -difference;
      }
      // The rest of this word.
      at++;
    }
    return differs ? undefined : 0;
  }

  #follow(bytes: Uint8Array, a: number, b: number, slide: number): boolean {
    // The lowest byte of a word that differs is always the same one.
    const inWord = ((slide >> 16) & 0xff) !== 0 ? 2 : 3;
    for (let at = this.#differ(a, b, 0); at < pageSize; at = this.#differ(a, b, at + 1)) {
      let last = at - inWord + 3;
      // All that moves of a word is in the page where the word ends, or pages are not shared that far: see `Slides`.
      if (last >= pageSize) return false;
      if (last < 3) {
        if (!this.#edge(bytes, a, b, at, last, slide)) {
          // Of a word that starts three bytes before the page, only the last byte is in it.
          last = 0;
          if (at !== 0 || !this.#edge(bytes, a, b, at, last, slide)) return false;
        }
      } else {
        const difference = (word(bytes, b + last - 3) - word(bytes, a + last - 3)) | 0;
        if (difference === slide) setBit(this.moved.forward, last);
        else if (difference === -slide) setBit(this.moved.backward, last);
        else return false;
      }
      at = last;
    }
    return true;
  }

  /**
   * A word across the page's start, of which only some bytes are seen: the first that differs at `at`, its last one
   * at `last`.
   */
  #edge(bytes: Uint8Array, a: number, b: number, at: number, last: number, slide: number): boolean {
    let [first, second] = [0, 0];
    for (let i = at; i <= last; i++) {
      const shift = 8 * (i - last + 3);
      first |= bytes[a + i]! << shift;
      second |= bytes[b + i]! << shift;
    }
    const seen = at === last ? 0xff00_0000 : 0xffff_0000;
    for (const [bits, moves] of [
      [this.moved.forward, slide],
      [this.moved.backward, -slide],
    ] as const) {
      const rest = (second - first - (moves & seen)) & seen;
      // Where the third byte is in the page before, its carry is not known.
      if (rest === 0 || (at === last && rest === 0x0100_0000)) {
        setBit(bits, last);
        return true;
      }
    }
    return false;
  }
}
