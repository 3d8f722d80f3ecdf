/**
 * The store of decoded code, shared by all guests of a process: one code page for each distinct content of a page (and
 * code size), made when it is first executed; see `codepage.ts`.
 */
import type { HostMemory } from '../../memory/hostmemory.ts';
import { pageSize } from '../../memory/hostmemory.ts';
import type { PageHash } from '../../memory/pagehash.ts';
import * as codepage from '../codepage.ts';
import * as exceptions from '../exceptions.ts';
import type { Slide } from '../form.ts';
import type { Handlers } from '../interpret/handlers.ts';
import * as layout from '../layout.ts';
import { type DecodeOutcome, Decoder, maximumLength } from './decoder.ts';
import type { OpcodeMap } from './opcodemap.ts';
import { hasBit, mayBeAddress, mayLeadToStart, RelocationFinder } from './relocation.ts';
import * as special from './special.ts';

/** Most records that decoding one stretch of code takes: one a byte of the page, the leader, and one behind. */
const mostRecords = pageSize + 2;
/** Records are reserved in blocks of this many. */
const recordBlock = 2 * mostRecords;

/** Where a guest's kernel is, as far as its code has told. */
export interface Kernel {
  /** What its addresses are above those of the first guest's kernel, in bytes; undefined until it is known. */
  slide: number | undefined;
}

/** Counters of the store. */
export interface CodeCacheCounters {
  /** Code pages made. */
  pages: number;
  /** Times a guest's page was found to be known already. */
  shared: number;
  /** Of these, times it was known from a kernel at another address. */
  slid: number;
  /** Instructions decoded. */
  instructions: number;
  /** Times a guest's page was written to, and lost its decoded form. */
  detached: number;
  /** Times the store was full and was emptied. */
  resets: number;
}

/** See the top of this file. */
export class CodeCache {
  readonly #memory: HostMemory;
  readonly #handlers: Handlers;
  /** Stands where jumps arrive. */
  readonly #leader: special.Special;
  readonly #decoder: Decoder;
  readonly #hash: PageHash;
  /** By code mode, then by hash: the pages with that hash. */
  readonly #pages = new Map<number, Map<bigint, number[]>>();
  /** Code pages are taken from the start of the store upwards. */
  readonly #start: number;
  readonly #end: number;
  #nextPage: number;
  /** Records are taken from the present block upwards; blocks from the end of the store downwards. */
  #blockStart: number;
  #blockEnd: number;
  #nextRecord: number;
  readonly #joined = new Uint8Array(maximumLength * 2);
  /** Pages of kernels' text by their place in 2 MiB. */
  readonly #text = new Map<number, number[]>();
  readonly #relocations = new RelocationFinder();
  /** Crossing instructions by the page that they reach into: their alternatives depend on what moves there. */
  readonly #crossings = new Map<number, number[]>();
  /** Whether a guest has been taken for the one that slides are measured from. */
  #hasFirst = false;
  /** Cleared when a page turned out to differ otherwise than by its slide. */
  #shareText = true;
  readonly counters: CodeCacheCounters = {
    pages: 0,
    shared: 0,
    slid: 0,
    instructions: 0,
    detached: 0,
    resets: 0,
  };

  /**
   * @param leader what stands where jumps arrive
   * @param bytes size of the store
   */
  constructor(
    memory: HostMemory,
    handlers: Handlers,
    map: OpcodeMap,
    leader: special.Special,
    hash: PageHash,
    bytes: number,
  ) {
    this.#start = memory.allocate(bytes, codepage.recordSize);
    this.#end = this.#start + bytes;
    this.#nextPage = this.#start;
    this.#blockStart = this.#end;
    this.#blockEnd = this.#end;
    this.#nextRecord = this.#end;
    this.#memory = memory;
    this.#handlers = handlers;
    this.#leader = leader;
    this.#decoder = new Decoder(map);
    this.#hash = hash;
  }

  /**
   * The code page for the content of the frame at host address `frame`, to be executed in the given mode: code
   * size (0 … 2), and above it the number of bytes when the code segment ends in this page (`codepage.ts`). 0 when the store
   * is full.
   * @param place number of the page in its 2 MiB when it is executed in a kernel's text mapping, else −1
   */
  pageFor(frame: number, codeMode: number, place: number, kernel: Kernel): number {
    const key = this.#hash(frame);
    let pages = this.#pages.get(codeMode);
    if (pages === undefined) {
      pages = new Map();
      this.#pages.set(codeMode, pages);
    }
    let candidates = pages.get(key);
    if (candidates === undefined) {
      candidates = [];
      pages.set(key, candidates);
    }
    if (place >= 0 && !this.#hasFirst) {
      this.#hasFirst = true;
      kernel.slide = 0;
    }
    // Equal hashes are not yet equal pages.
    const known = candidates.find(
      (page) => this.#sameContent(page + codepage.contentOffset, frame) && this.#fits(page, frame, kernel),
    );
    if (known !== undefined) {
      this.counters.shared++;
      return known;
    }
    const sibling = place >= 0 && this.#shareText ? this.#sibling(frame, place, kernel) : undefined;
    if (sibling !== undefined) {
      this.counters.shared++;
      this.counters.slid++;
      return sibling;
    }
    const page = this.#makePage(frame, codeMode);
    if (page === 0) return 0;
    candidates.push(page);
    if (place >= 0 && this.#shareText && kernel.slide !== undefined) this.#addText(page, place, kernel.slide);
    return page;
  }

  #makePage(frame: number, codeMode: number): number {
    const { u8, i32 } = this.#memory;
    const page = this.#nextPage;
    if (page + codepage.codePageSize > this.#blockStart) return 0;
    this.#nextPage += codepage.codePageSize;
    u8.fill(0, page + codepage.entriesOffset, page + codepage.contentOffset);
    u8.fill(0, page + codepage.codeModeOffset, page + codepage.codePageSize);
    u8.copyWithin(page + codepage.contentOffset, frame, frame + pageSize);
    i32[(page + codepage.codeModeOffset) >> 2] = codeMode;
    this.counters.pages++;
    return page;
  }

  #addText(page: number, place: number, slide: number): void {
    const { u8, i32 } = this.#memory;
    i32[(page + codepage.slideOffset) >> 2] = slide;
    u8[page + codepage.sharingOffset] = codepage.sharing.slides;
    const pages = this.#text.get(place);
    if (pages === undefined) this.#text.set(place, [page]);
    else pages.push(page);
  }

  /** Whether a page of the same content serves a guest: nothing in it may move, when their kernels are at different places. */
  #fits(page: number, frame: number, kernel: Kernel): boolean {
    const { u8, i32 } = this.#memory;
    if ((u8[page + codepage.sharingOffset]! & codepage.sharing.slides) === 0) return true;
    if (kernel.slide === i32[(page + codepage.slideOffset) >> 2]) return true;
    return this.#relocations.compare(u8, page + codepage.contentOffset, frame, 0) && this.#learn(page);
  }

  /** The page of another guest's kernel that differs from the frame's content by the slide alone. */
  #sibling(frame: number, place: number, kernel: Kernel): number | undefined {
    const { u8, i32 } = this.#memory;
    return this.#text.get(place)?.find((page) => {
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
    const same = [forward, backward].every((bits, i) => {
      const start = page + (i === 0 ? codepage.forwardOffset : codepage.backwardOffset);
      return bits.every((byte, k) => byte === u8[start + k]);
    });
    if (known) return same;
    if (!this.#explains(page)) return false;
    u8.set(forward, page + codepage.forwardOffset);
    u8.set(backward, page + codepage.backwardOffset);
    u8[at]! |= codepage.sharing.known;
    this.#correct(page);
    return true;
  }

  /** Decodes anew what had been decoded on a guess of what moves that was wrong. Translations of the page are dropped then. */
  #correct(page: number): void {
    const { u8, i32 } = this.#memory;
    const origin = page + codepage.contentOffset;
    const entries = page >> 2;
    let wrong = false;
    for (let offset = 0; offset < pageSize; offset++) {
      const entry = i32[entries + offset]!;
      if (entry === 0) continue;
      const record = entry > 0 ? i32[(entry + codepage.link) >> 2]! : -entry;
      if (this.#handlers.formOf(i32[record >> 2]!) === undefined) {
        // What reaches into the next page is decoded anew when it is executed.
        if (this.#isCrossing(record)) i32[(record + codepage.link) >> 2] = 0;
        continue;
      }
      const link = i32[(record + codepage.link) >> 2]!;
      const handler = i32[record >> 2]!;
      this.#decoder.decode(u8, origin, origin + pageSize, offset, 2);
      this.#write(record, offset, page, page);
      i32[(record + codepage.link) >> 2] = link;
      if (i32[record >> 2] !== handler) wrong = true;
    }
    for (const crossing of this.#crossings.get(page) ?? []) i32[(crossing + codepage.link) >> 2] = 0;
    this.#handlers.make();
    if (!wrong) return;
    for (let offset = 0; offset < pageSize; offset++) {
      const entry = i32[entries + offset]!;
      if (entry <= 0) continue;
      this.#special(entry, offset, this.#leader);
      i32[(entry + codepage.heat) >> 2] = 0;
    }
  }

  /** Whether all that moves in a page, by the comparison just made, is constants of its instructions, as far as they are decoded. */
  #explains(page: number): boolean {
    const { u8, i32 } = this.#memory;
    const { forward, backward } = this.#relocations.moved;
    const origin = page + codepage.contentOffset;
    for (let offset = 0; offset < pageSize; offset++) {
      const entry = i32[(page >> 2) + offset]!;
      if (entry === 0) continue;
      const record = entry > 0 ? i32[(entry + codepage.link) >> 2]! : -entry;
      const length = u8[record + codepage.length]!;
      let decoded = false;
      for (let at = offset; at < offset + length; at++) {
        if (!hasBit(forward, at) && !hasBit(backward, at)) continue;
        if (!decoded) this.#decoder.decode(u8, origin, origin + pageSize, offset, 2);
        decoded = true;
        const place = at - offset;
        if (place !== this.#decoder.displacementEnd && place !== this.#decoder.immediateEnd) return false;
      }
    }
    return true;
  }

  #isCrossing(record: number): boolean {
    return (
      this.#memory.i32[record >> 2] === this.#handlers.special(special.crossing.name, special.crossing.build)
    );
  }

  #sameContent(a: number, b: number): boolean {
    const { u64 } = this.#memory;
    for (let i = 0; i < pageSize / 8; i++) if (u64[a / 8 + i] !== u64[b / 8 + i]) return false;
    return true;
  }

  /** Decodes from `offset` of a code page on, where control arrived by a jump, and gives the leader there; 0 when the store is full. */
  decode(page: number, offset: number): number {
    const { i32 } = this.#memory;
    const entry = (page >> 2) + offset;
    const known = -i32[entry]!;
    const leader = this.#reserve(known > 0 ? 1 : mostRecords);
    if (leader === 0) return 0;
    this.#special(leader, offset, this.#leader);
    i32[entry] = leader;
    i32[(leader + codepage.link) >> 2] = known > 0 ? known : leader + codepage.recordSize;
    this.#nextRecord = leader + codepage.recordSize;
    if (known <= 0 && !this.#decodeRun(page, offset, leader + codepage.recordSize)) return 0;
    this.#handlers.make();
    return leader;
  }

  /** Decodes instructions from `offset` on into records from `first` on, up to one after which control does not go straight on. False when that cannot be: see {@link #write}. */
  #decodeRun(page: number, offset: number, first: number): boolean {
    const { u8, i32 } = this.#memory;
    const codeMode = i32[(page + codepage.codeModeOffset) >> 2]!;
    const end = codeMode >> codepage.codeEndShift || pageSize;
    const origin = page + codepage.contentOffset;
    const entries = page >> 2;
    let record = first;
    let at = offset;
    for (;;) {
      if (at >= end) {
        this.#special(record, at, end === pageSize ? special.continueAt : special.raise(exceptions.GP));
        break;
      }
      const known = i32[entries + at]!;
      if (known !== 0 && at !== offset) {
        this.#special(record, at, special.goTo);
        i32[(record + codepage.link) >> 2] = Math.abs(known);
        break;
      }
      if (at !== offset) i32[entries + at] = -record;
      const outcome = this.#decoder.decode(u8, origin, origin + end, at, codeMode & codepage.codeSizeMask);
      if (outcome !== 'instruction') {
        this.#failure(record, at, outcome === 'incomplete' && end < pageSize ? 'too long' : outcome);
        break;
      }
      if (!this.#write(record, at, page, page)) return false;
      if (this.#decoder.row.row.options.ends === true) break;
      record += codepage.recordSize;
      at += this.#decoder.length;
    }
    this.#nextRecord = record + codepage.recordSize;
    return true;
  }

  /** Decodes the instruction at a `crossing` record, whose bytes go on in `next`; gives its record. */
  decodeCrossing(crossing: number, page: number, next: number): number {
    const { u8, u16, i32 } = this.#memory;
    const offset = u16[(crossing + codepage.offset) >> 1]!;
    const inPage = pageSize - offset;
    const bytes = this.#joined;
    bytes.fill(0);
    bytes.set(u8.subarray(page + codepage.contentOffset + offset, page + codepage.contentOffset + pageSize));
    bytes.set(
      u8.subarray(next + codepage.contentOffset, next + codepage.contentOffset + maximumLength),
      inPage,
    );
    const head = this.#reserve(3);
    if (head === 0) return 0;
    const record = head + codepage.recordSize;
    const outcome = this.#decoder.decode(
      bytes,
      0,
      bytes.length,
      0,
      i32[(page + codepage.codeModeOffset) >> 2]! & codepage.codeSizeMask,
    );
    if (outcome === 'instruction') {
      const decoder = this.#decoder;
      // The decoder saw the instruction at 0; what is relative to the page moves with it.
      if (decoder.jumpTarget !== undefined) decoder.jumpTarget += offset;
      if (decoder.ripRelative) decoder.displacement += offset;
      if (!this.#write(record, offset, page, next)) return 0;
      this.#special(record + codepage.recordSize, offset + decoder.length, special.continueAt);
    } else this.#failure(record, offset, outcome);
    this.#nextRecord = head + 3 * codepage.recordSize;
    this.#handlers.make();
    i32[(head + codepage.alternativePage) >> 2] = next;
    i32[(head + codepage.link) >> 2] = i32[(crossing + codepage.link) >> 2]!;
    i32[(crossing + codepage.link) >> 2] = head;
    const crossings = this.#crossings.get(next);
    if (crossings === undefined) this.#crossings.set(next, [crossing]);
    else if (!crossings.includes(crossing)) crossings.push(crossing);
    return record;
  }

  /** The start of room for `count` records in a row; 0 when the store is full. */
  #reserve(count: number): number {
    if (this.#nextRecord + count * codepage.recordSize > this.#blockEnd) {
      const block = this.#blockStart - recordBlock * codepage.recordSize;
      if (block < this.#nextPage) return 0;
      this.#blockStart = block;
      this.#blockEnd = block + recordBlock * codepage.recordSize;
      this.#memory.u8.fill(0, this.#blockStart, this.#blockEnd);
      this.#nextRecord = block;
    }
    return this.#nextRecord;
  }

  /** Empties the store. No vCPU may be running, and every guest must forget its code pages. */
  reset(): void {
    this.#pages.clear();
    this.#text.clear();
    this.#crossings.clear();
    this.#nextPage = this.#start;
    this.#blockStart = this.#end;
    this.#blockEnd = this.#end;
    this.#nextRecord = this.#end;
    this.counters.resets++;
  }

  #special(record: number, offset: number, what: special.Special): void {
    const { i32, u16 } = this.#memory;
    i32[record >> 2] = this.#handlers.special(what.name, what.build);
    u16[(record + codepage.offset) >> 1] = offset;
  }

  #failure(record: number, offset: number, outcome: DecodeOutcome): void {
    const what =
      outcome === 'incomplete'
        ? special.crossing
        : outcome === 'undefined'
          ? special.raise(exceptions.UD)
          : special.raise(exceptions.GP);
    this.#special(record, offset, what);
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
  #takeOutSlides(offset: number, page: number, next: number): boolean {
    const { u8, i32 } = this.#memory;
    const decoder = this.#decoder;
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

  /**
   * Writes the decoded instruction, whose bytes are in `page` and go on in `next`. False when pages of kernels at different
   * places differ in more than constants: then the store must be emptied, and they are not shared any more.
   */
  #write(record: number, offset: number, page: number, next: number): boolean {
    const { i32, u16, u8 } = this.#memory;
    const decoder = this.#decoder;
    if (!this.#takeOutSlides(offset, page, next)) {
      this.#shareText = false;
      return false;
    }
    i32[record >> 2] = this.#handlers.of(decoder.form, decoder.formNumber);
    u16[(record + codepage.reg) >> 1] = decoder.reg;
    u16[(record + codepage.rm) >> 1] = decoder.rm;
    u16[(record + codepage.index) >> 1] = decoder.index;
    u16[(record + codepage.segment) >> 1] = decoder.segment;
    i32[(record + codepage.displacement) >> 2] = decoder.displacement;
    const target = decoder.jumpTarget;
    i32[(record + codepage.immediate) >> 2] = target ?? decoder.immediateLow;
    i32[(record + codepage.immediate + 4) >> 2] =
      target === undefined ? decoder.immediateHigh : target < 0 ? -1 : 0;
    u16[(record + codepage.offset) >> 1] = offset;
    u8[record + codepage.length] = decoder.length;
    u8[record + codepage.addressFlags] = decoder.scale | (decoder.stack ? codepage.stackFlag : 0);
    // With a 16-bit operand size the target's offset in the segment is cut, so it may be elsewhere.
    const leaves = target !== undefined && (target < 0 || target >= pageSize || decoder.form.size === 2);
    i32[(record + codepage.link) >> 2] = leaves ? -1 : 0;
    this.counters.instructions++;
    return true;
  }
}
