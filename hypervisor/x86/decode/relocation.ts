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

export function hasBit(bits: Uint8Array, at: number): boolean {
  return (bits[at >> 3]! & (1 << (at & 7))) !== 0;
}

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

  /**
   * True when the pages at `a` and `b` are the same but for one slide.
   * @param slide what it must be; undefined when any will do
   */
  compare(bytes: Uint8Array, a: number, b: number, slide: number | undefined): boolean {
    this.moved.forward.fill(0);
    this.moved.backward.fill(0);
    const found = slide ?? this.#findSlide(bytes, a, b);
    if (found === undefined) return false;
    this.slide = found;
    return this.#follow(bytes, a, b, found);
  }

  /** The slide by the first words that differ whole within the page. */
  #findSlide(bytes: Uint8Array, a: number, b: number): number | undefined {
    let at = 0;
    while (at < pageSize && bytes[a + at] === bytes[b + at]) at++;
    if (at === pageSize) return 0;
    // A word across the page's start tells nothing by itself.
    if (at < 3) {
      at = 3;
      while (at < pageSize && bytes[a + at] === bytes[b + at]) at++;
    }
    for (const inWord of [2, 3]) {
      const start = at - inWord;
      if (start < 0 || start + 4 > pageSize) continue;
      const [first, second] = [word(bytes, a + start), word(bytes, b + start)];
      const difference = (second - first) | 0;
      if (difference % alignment !== 0 || Math.abs(difference) >= limit) continue;
      if (mayBeAddress(first) && mayBeAddress(second)) return difference;
      if (mayLeadToStart(first) && mayLeadToStart(second)) return -difference;
    }
    return undefined;
  }

  #follow(bytes: Uint8Array, a: number, b: number, slide: number): boolean {
    // The lowest byte of a word that differs is always the same one.
    const inWord = ((slide >> 16) & 0xff) !== 0 ? 2 : 3;
    for (let at = 0; at < pageSize; at++) {
      if (bytes[a + at] === bytes[b + at]) continue;
      const last = at - inWord + 3;
      if (last < 3 || last >= pageSize) {
        if (!this.#edge(bytes, a, b, at, slide)) return false;
        at = Math.max(at, Math.min(last, 1));
        continue;
      }
      const difference = (word(bytes, b + last - 3) - word(bytes, a + last - 3)) | 0;
      if (difference === slide && mayBeAddress(word(bytes, a + last - 3))) setBit(this.moved.forward, last);
      else if (difference === -slide && mayLeadToStart(word(bytes, a + last - 3)))
        setBit(this.moved.backward, last);
      else return false;
      at = last;
    }
    return true;
  }

  /** A word across the page's start or end, of which only some bytes are seen. */
  #edge(bytes: Uint8Array, a: number, b: number, at: number, slide: number): boolean {
    if (at === pageSize - 1) {
      // The word's third byte; the fourth is in the next page.
      const difference = (bytes[b + at]! - bytes[a + at]!) & 0xff;
      const expected = (slide >> 16) & 0xff;
      return difference === expected || difference === (-slide >> 16 & 0xff);
    }
    for (const [bits, moves] of [
      [this.moved.forward, slide],
      [this.moved.backward, -slide],
    ] as const) {
      // The last byte is at `at` or, when the third is seen, behind it.
      for (const last of [0, 1, 2]) {
        if (last < at) continue;
        const seen = (base: number) => {
          let value = 0;
          for (let i = Math.max(0, last - 1); i <= last; i++) value |= bytes[base + i]! << (8 * (i - last + 3));
          return value;
        };
        const mask = last === 0 ? 0xff00_0000 : 0xffff_0000;
        const exact = ((seen(b) - seen(a) - moves) & mask) === 0;
        // The third byte is in the page before: its carry is not known.
        const carried = last === 0 && ((seen(b) - seen(a) - moves - 0x0100_0000) & mask) === 0;
        const isRest = bytes.subarray(a + last + 1, a + 3).every((byte, i) => byte === bytes[b + last + 1 + i]);
        if ((exact || carried) && (isRest || last === 2)) {
          setBit(bits, last);
          return true;
        }
      }
    }
    return false;
  }
}
