/** Which constants of an instruction move with the kernel that it is of, and what they are without its slide; see `relocation.ts`. */
import { type HostMemory, pageSize } from '../../memory/hostmemory.ts';
import * as codepage from '../codepage.ts';
import type { Slide } from '../form.ts';
import * as layout from '../layout.ts';
import type { Decoder } from './decoder.ts';
import { mayBeAddress, mayLeadToStart } from './relocation.ts';

/** See the top of this file. */
export class Slides {
  readonly #memory: HostMemory;

  constructor(memory: HostMemory) {
    this.#memory = memory;
  }

  /**
   * By how many times the slide the 32-bit constant `word` moves whose last byte is at `end` of a page, which may be in the next one. All of
   * its bytes that move are in the page of its last one, but for one: see {@link #correction}.
   */
  #slideOf(word: number, end: number, guess: Slide, page: number, next: number): Slide {
    const { u8, i32 } = this.#memory;
    const home = end < pageSize ? page : next;
    const at = end % pageSize;
    const how = u8[home + codepage.sharingOffset]!;
    if ((how & codepage.sharing.slides) === 0) return 0;
    if ((how & codepage.sharing.known) === 0) {
      // A kernel's address is one wherever the kernel is.
      const unslid = word - guess * i32[(home + codepage.slideOffset) >> 2]!;
      return unslid === (unslid | 0) ? guess : 0;
    }
    if (this.#moved(home, codepage.forwardOffset, at)) return 1;
    return this.#moved(home, codepage.backwardOffset, at) ? -1 : 0;
  }

  #moved(page: number, bitmap: number, at: number): boolean {
    return (this.#memory.u8[page + bitmap + (at >> 3)]! & (1 << (at & 7))) !== 0;
  }

  /** How many of an instruction's bytes are the last of a word that is known to move. */
  #movedWords(offset: number, length: number, page: number, next: number): number {
    let count = 0;
    for (let end = offset; end < offset + length; end++) {
      const home = end < pageSize ? page : next;
      if ((this.#memory.u8[home + codepage.sharingOffset]! & codepage.sharing.known) === 0) continue;
      const at = end % pageSize;
      if (this.#moved(home, codepage.forwardOffset, at) || this.#moved(home, codepage.backwardOffset, at))
        count++;
    }
    return count;
  }

  /** What is added to a constant (`word` as it stands there, `slide` how it moves) so that it is without any slide. */
  #correction(word: number, end: number, slide: Slide, page: number, next: number, present: number): number {
    if (slide === 0) return 0;
    const { i32 } = this.#memory;
    const own = i32[((end < pageSize ? page : next) + codepage.slideOffset) >> 2]!;
    // Not a product, which would be −0 at times: what is added to it would be kept as a floating-point number from then on.
    const moved = slide > 0 ? own : 0 - own;
    if (end !== pageSize) return 0 - moved;
    // The lower three bytes are in the page before, which serves only guests that have its last byte in common (`relocation.ts`):
    // they are as the present guest has them.
    const lower = (word - slide * present) & 0xff_ffff;
    const whole = (word & ~0xff_ffff) | ((lower + moved) & 0xff_ffff);
    return whole - moved - word;
  }

  /**
   * Finds which constants of the decoded instruction slide, and takes the slide out of them. False when that cannot be.
   * @param present the slide of the guest that executes it, of an instruction that goes on in the next page
   */
  takeOut(decoder: Decoder, offset: number, page: number, next: number, present: number): boolean {
    const { u8 } = this.#memory;
    const how = u8[page + codepage.sharingOffset]! | u8[next + codepage.sharingOffset]!;
    if ((how & codepage.sharing.slides) === 0) return true;
    let displacement: Slide = 0;
    let immediate: Slide = 0;
    const displacementEnd = offset + decoder.displacementEnd;
    const immediateEnd = offset + decoder.immediateEnd;
    const raw = decoder.displacement - (decoder.ripRelative ? offset + decoder.length : 0);
    if (decoder.displacementEnd >= 0) {
      const isPerCpu = decoder.ripRelative && decoder.segment !== layout.zero && mayLeadToStart(raw);
      const guess = isPerCpu ? -1 : !decoder.ripRelative && mayBeAddress(raw) ? 1 : 0;
      displacement = this.#slideOf(raw, displacementEnd, guess, page, next);
    }
    if (decoder.immediateEnd >= 0) {
      const guess = mayBeAddress(decoder.immediateLow) && decoder.immediateHigh === -1 ? 1 : 0;
      immediate = this.#slideOf(decoder.immediateLow, immediateEnd, guess, page, next);
    }
    if ((how & codepage.sharing.known) !== 0) {
      const moving = this.#movedWords(offset, decoder.length, page, next);
      if (moving > Number(displacement !== 0) + Number(immediate !== 0)) return false;
    }
    if (displacement === 0 && immediate === 0) return true;
    decoder.displacement += this.#correction(raw, displacementEnd, displacement, page, next, present);
    if (decoder.displacement !== (decoder.displacement | 0)) return false;
    if (immediate !== 0) {
      const { immediateLow } = decoder;
      const correction = this.#correction(immediateLow, immediateEnd, immediate, page, next, present);
      const moved = (immediateLow >>> 0) + correction;
      decoder.immediateLow = moved | 0;
      decoder.immediateHigh = (decoder.immediateHigh + Math.floor(moved / 2 ** 32)) | 0;
    }
    decoder.slide({ displacement, immediate });
    return true;
  }
}
