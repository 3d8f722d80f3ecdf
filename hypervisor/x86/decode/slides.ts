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
   * By how many times the slide the 32-bit constant moves whose last byte is at `end` of a page, which may be in the next one;
   * undefined when its parts are of kernels at different places.
   */
  #slideOf(end: number, guess: Slide, page: number, next: number): Slide | undefined {
    const { u8, i32 } = this.#memory;
    const home = end < pageSize ? page : next;
    const at = end % pageSize;
    const how = u8[home + codepage.sharingOffset]!;
    let slide: Slide = 0;
    if ((how & codepage.sharing.slides) !== 0) {
      if ((how & codepage.sharing.known) === 0) slide = guess;
      else if (this.#moved(home, codepage.forwardOffset, at)) slide = 1;
      else if (this.#moved(home, codepage.backwardOffset, at)) slide = -1;
    }
    const isSplit = end >= pageSize && end - 3 < pageSize;
    if (slide === 0 || !isSplit) return slide;
    const same =
      (u8[page + codepage.sharingOffset]! & codepage.sharing.slides) !== 0 &&
      i32[(page + codepage.slideOffset) >> 2] === i32[(next + codepage.slideOffset) >> 2];
    return same ? slide : undefined;
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

  /** Finds which constants of the decoded instruction slide, and takes the slide out of them. False when that cannot be. */
  takeOut(decoder: Decoder, offset: number, page: number, next: number): boolean {
    const { u8, i32 } = this.#memory;
    const slides = codepage.sharing.slides;
    if (((u8[page + codepage.sharingOffset]! | u8[next + codepage.sharingOffset]!) & slides) === 0)
      return true;
    let displacement: Slide | undefined = 0;
    let immediate: Slide | undefined = 0;
    const ends = [offset + decoder.displacementEnd, offset + decoder.immediateEnd] as const;
    if (decoder.displacementEnd >= 0) {
      const raw = decoder.displacement - (decoder.ripRelative ? offset + decoder.length : 0);
      const isPerCpu = decoder.ripRelative && decoder.segment !== layout.zero && mayLeadToStart(raw);
      const guess = isPerCpu ? -1 : !decoder.ripRelative && mayBeAddress(raw) ? 1 : 0;
      displacement = this.#slideOf(ends[0], guess, page, next);
    }
    if (decoder.immediateEnd >= 0) {
      const guess = mayBeAddress(decoder.immediateLow) && decoder.immediateHigh === -1 ? 1 : 0;
      immediate = this.#slideOf(ends[1], guess, page, next);
    }
    if (displacement === undefined || immediate === undefined) return false;
    const moving = this.#movedWords(offset, decoder.length, page, next);
    if (moving > Number(displacement !== 0) + Number(immediate !== 0)) return false;
    if (displacement === 0 && immediate === 0) return true;
    const own = (end: number) => i32[((end < pageSize ? page : next) + codepage.slideOffset) >> 2]!;
    if (displacement !== 0) decoder.displacement = (decoder.displacement - displacement * own(ends[0])) | 0;
    if (immediate !== 0) {
      const whole = (BigInt(decoder.immediateHigh) << 32n) | BigInt(decoder.immediateLow >>> 0);
      const moved = whole - BigInt(immediate * own(ends[1]));
      decoder.immediateLow = Number(BigInt.asIntN(32, moved));
      decoder.immediateHigh = Number(BigInt.asIntN(32, moved >> 32n));
    }
    decoder.slide({ displacement, immediate });
    return true;
  }
}
