/**
 * The store of decoded code, shared by all guests of a process: one code page for each distinct content of a page (and
 * code size), made when it is first executed; see `codepage.ts`.
 */
import type { HostMemory } from '../../memory/hostmemory.ts';
import { pageSize } from '../../memory/hostmemory.ts';
import type { PageHash } from '../../memory/pagehash.ts';
import * as codepage from '../codepage.ts';
import * as exceptions from '../exceptions.ts';
import type { Handlers } from '../interpret/handlers.ts';
import { type DecodeOutcome, Decoder, maximumLength } from './decoder.ts';
import { follow, type Kernel, KernelText } from './kerneltext.ts';
import type { OpcodeMap } from './opcodemap.ts';
import { hasBit, type Moved } from './relocation.ts';
import { Slides } from './slides.ts';
import * as special from './special.ts';

/** Most records that decoding one stretch of code takes: one a byte of the page, and one behind. */
const mostRecords = pageSize + 1;
/** Records are reserved in blocks of this many. */
const recordBlock = 2 * mostRecords;
/**
 * Leaders have blocks of their own: translated code touches the leaders of what it goes to and no other record, so where they
 * stand close together the processor's caches hold them.
 */
const leaderBlock = pageSize / codepage.recordSize;

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
  /** What lies between was never used: it is zeroed as it came, and the operating system has provided nothing for it yet. */
  #unusedStart: number;
  #unusedEnd: number;
  /** Leaders are taken from the present block of theirs upwards. */
  #nextLeader: number;
  #leaderEnd: number;
  readonly #leaderBlocks: number[] = [];
  readonly #joined = new Uint8Array(maximumLength * 2);
  readonly #text: KernelText;
  readonly #slides: Slides;
  /** Crossings and their pages, by the page that they reach into: their alternatives depend on what moves there. */
  readonly #crossings = new Map<number, { readonly record: number; readonly page: number }[]>();
  /** Whether a guest has been taken for the one that slides are measured from. */
  #hasFirst = false;
  /** Cleared when a page turned out to differ otherwise than by its slide. */
  #shareText = true;
  /** Told of a page whose instructions had to be decoded anew, as they have other constants than was taken for granted. */
  onCorrected: (page: number) => void = () => {};
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
    this.#unusedStart = this.#start;
    this.#unusedEnd = this.#end;
    this.#nextLeader = this.#end;
    this.#leaderEnd = this.#end;
    this.#memory = memory;
    this.#handlers = handlers;
    this.#leader = leader;
    this.#decoder = new Decoder(map);
    this.#hash = hash;
    this.#slides = new Slides(memory);
    this.#text = new KernelText(memory, {
      explains: (page, moved) => this.#explains(page, moved),
      correct: (page) => this.#correct(page),
    });
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
      (page) =>
        this.#sameContent(page + codepage.contentOffset, frame) && this.#text.fits(page, frame, kernel),
    );
    if (known !== undefined) {
      this.counters.shared++;
      return known;
    }
    const sibling = place >= 0 && this.#shareText ? this.#text.sibling(frame, place, kernel) : undefined;
    if (sibling !== undefined) {
      this.counters.shared++;
      this.counters.slid++;
      return sibling;
    }
    const page = this.#makePage(frame, codeMode);
    if (page === 0) return 0;
    candidates.push(page);
    if (place >= 0 && this.#shareText && kernel.slide !== undefined)
      this.#text.add(page, place, kernel.slide);
    return page;
  }

  #makePage(frame: number, codeMode: number): number {
    const { u8, i32 } = this.#memory;
    const page = this.#nextPage;
    if (page + codepage.codePageSize > this.#blockStart) return 0;
    this.#nextPage += codepage.codePageSize;
    this.#zero(page, this.#nextPage);
    u8.copyWithin(page + codepage.contentOffset, frame, frame + pageSize);
    i32[(page + codepage.codeModeOffset) >> 2] = codeMode;
    this.counters.pages++;
    return page;
  }

  /** Zeroes what had been in use, from one address up to another. */
  #zero(from: number, to: number): void {
    const { u8 } = this.#memory;
    u8.fill(0, from, Math.min(to, this.#unusedStart));
    u8.fill(0, Math.max(from, this.#unusedEnd), to);
    // Pages come from below, records from above.
    if (from <= this.#unusedStart) this.#unusedStart = Math.max(this.#unusedStart, to);
    if (to >= this.#unusedEnd) this.#unusedEnd = Math.min(this.#unusedEnd, from);
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
        if (this.#isCrossing(record) && this.#reconsider(record, page)) wrong = true;
        continue;
      }
      const link = i32[(record + codepage.link) >> 2]!;
      const handler = i32[record >> 2]!;
      this.#decoder.decode(u8, origin, origin + pageSize, offset, 2);
      this.#write(record, offset, page);
      i32[(record + codepage.link) >> 2] = link;
      if (i32[record >> 2] !== handler) wrong = true;
    }
    for (const crossing of this.#crossings.get(page) ?? [])
      if (this.#reconsider(crossing.record, crossing.page)) wrong = true;
    this.#handlers.make();
    if (!wrong) return;
    for (let offset = 0; offset < pageSize; offset++) {
      const entry = i32[entries + offset]!;
      if (entry <= 0) continue;
      this.#special(entry, offset, this.#leader);
      i32[(entry + codepage.heat) >> 2] = 0;
    }
    this.onCorrected(page);
  }

  /** Whether all that moves in a page is constants of its instructions, as far as they are decoded. */
  #explains(page: number, { forward, backward }: Moved): boolean {
    const { u8, i32 } = this.#memory;
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

  /**
   * Looks whether what reaches into the next page has other constants, by what is known now, than were taken for granted: then it is decoded
   * anew when it is executed. What has the same form has the same constants.
   */
  #reconsider(crossing: number, page: number): boolean {
    const { i32, u16 } = this.#memory;
    const offset = u16[(crossing + codepage.offset) >> 1]!;
    const decoder = this.#decoder;
    let wrong = false;
    for (let head = i32[(crossing + codepage.link) >> 2]!; head !== 0; ) {
      const next = i32[(head + codepage.alternativePage) >> 2]!;
      const handler = i32[(head + codepage.recordSize) >> 2]!;
      if (this.#handlers.formOf(handler) !== undefined) {
        this.#decodeJoined(offset, page, next);
        wrong ||= !this.#slides.takeOut(decoder, offset, page, next, 0);
        wrong ||= this.#handlers.of(decoder.form, decoder.formNumber) !== handler;
      }
      head = i32[(head + codepage.link) >> 2]!;
    }
    if (wrong) i32[(crossing + codepage.link) >> 2] = 0;
    return wrong;
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
    const first = known > 0 ? known : this.#reserve(mostRecords);
    const leader = this.#takeLeader();
    if (first === 0 || leader === 0) return 0;
    this.#special(leader, offset, this.#leader);
    i32[entry] = leader;
    i32[(leader + codepage.leaderOf) >> 2] = 4 * entry;
    i32[(leader + codepage.link) >> 2] = first;
    if (known <= 0 && !this.#decodeRun(page, offset, first)) return 0;
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
      if (!this.#write(record, at, page)) return false;
      if (this.#decoder.row.ends) break;
      record += codepage.recordSize;
      at += this.#decoder.length;
    }
    this.#nextRecord = record + codepage.recordSize;
    return true;
  }

  /**
   * Decodes the instruction at a `crossing` record, whose bytes go on in `next`; gives its record.
   * @param slide of the guest that executes it
   */
  decodeCrossing(crossing: number, page: number, next: number, slide: number): number {
    const { u16, i32 } = this.#memory;
    const offset = u16[(crossing + codepage.offset) >> 1]!;
    const head = this.#reserve(3);
    if (head === 0) return 0;
    const record = head + codepage.recordSize;
    const outcome = this.#decodeJoined(offset, page, next);
    if (outcome === 'instruction') {
      if (!this.#write(record, offset, page, next, slide)) return 0;
      this.#special(record + codepage.recordSize, offset + this.#decoder.length, special.continueAt);
    } else this.#failure(record, offset, outcome);
    this.#nextRecord = head + 3 * codepage.recordSize;
    this.#handlers.make();
    i32[(head + codepage.alternativePage) >> 2] = next;
    i32[(head + codepage.link) >> 2] = i32[(crossing + codepage.link) >> 2]!;
    i32[(crossing + codepage.link) >> 2] = head;
    const crossings = this.#crossings.get(next);
    if (crossings === undefined) this.#crossings.set(next, [{ record: crossing, page }]);
    else if (!crossings.some((known) => known.record === crossing))
      crossings.push({ record: crossing, page });
    return record;
  }

  /** Decodes an instruction whose bytes go on in the next page. */
  #decodeJoined(offset: number, page: number, next: number): DecodeOutcome {
    const { u8, i32 } = this.#memory;
    const decoder = this.#decoder;
    const bytes = this.#joined;
    bytes.fill(0);
    bytes.set(u8.subarray(page + codepage.contentOffset + offset, page + codepage.contentOffset + pageSize));
    bytes.set(
      u8.subarray(next + codepage.contentOffset, next + codepage.contentOffset + maximumLength),
      pageSize - offset,
    );
    const codeSize = i32[(page + codepage.codeModeOffset) >> 2]! & codepage.codeSizeMask;
    const outcome = decoder.decode(bytes, 0, bytes.length, 0, codeSize);
    if (outcome === 'instruction') {
      // The decoder saw the instruction at 0; what is relative to the page moves with it.
      if (decoder.jumpTarget !== undefined) decoder.jumpTarget += offset;
      if (decoder.ripRelative) decoder.displacement += offset;
    }
    return outcome;
  }

  /** The start of room for `count` records in a row; 0 when the store is full. */
  #reserve(count: number): number {
    if (this.#nextRecord + count * codepage.recordSize > this.#blockEnd) {
      const block = this.#takeBlock(recordBlock);
      if (block === 0) return 0;
      this.#blockEnd = block + recordBlock * codepage.recordSize;
      this.#nextRecord = block;
    }
    return this.#nextRecord;
  }

  /** Number of code pages that it holds, whether they are executed or not. */
  get pageCount(): number {
    return (this.#nextPage - this.#start) / codepage.codePageSize;
  }

  /** Number of code pages that would fill it. */
  get mostPages(): number {
    return Math.floor((this.#end - this.#start) / codepage.codePageSize);
  }

  /** Room for a leader; 0 when the store is full. */
  #takeLeader(): number {
    if (this.#nextLeader === this.#leaderEnd) {
      const block = this.#takeBlock(leaderBlock);
      if (block === 0) return 0;
      this.#leaderBlocks.push(block);
      this.#nextLeader = block;
      this.#leaderEnd = block + leaderBlock * codepage.recordSize;
    }
    const leader = this.#nextLeader;
    this.#nextLeader += codepage.recordSize;
    return leader;
  }

  /** Calls `visit` with every leader. */
  forLeaders(visit: (leader: number) => void): void {
    for (const block of this.#leaderBlocks) {
      const end = block + leaderBlock * codepage.recordSize;
      // Only the block that leaders are taken from is not full.
      const last = end === this.#leaderEnd ? this.#nextLeader : end;
      for (let leader = block; leader < last; leader += codepage.recordSize) visit(leader);
    }
  }

  /** A block for so many records from the store's end, filled with zeros; 0 when there is no room. */
  #takeBlock(records: number): number {
    const block = this.#blockStart - records * codepage.recordSize;
    if (block < this.#nextPage) return 0;
    this.#zero(block, this.#blockStart);
    this.#blockStart = block;
    return block;
  }

  /** Whether a code page is in this store. */
  contains(page: number): boolean {
    return page >= this.#start && page < this.#end;
  }

  /** Another store is emptied: what had been decoded of instructions that reach into its pages is decoded anew when it is executed. */
  forgetPagesOf(other: CodeCache): void {
    const { i32 } = this.#memory;
    for (const [next, crossings] of this.#crossings) {
      if (!other.contains(next)) continue;
      for (const { record } of crossings) i32[(record + codepage.link) >> 2] = 0;
      this.#crossings.delete(next);
    }
  }

  /**
   * Empties the store but for the code pages in `keep`; tells where these are now, and nothing of them is decoded. No vCPU may be running, and
   * whoever refers to code pages must follow.
   */
  reset(keep: ReadonlySet<number>): ReadonlyMap<number, number> {
    const { u8 } = this.#memory;
    const moved = new Map<number, number>();
    let next = this.#start;
    for (const page of [...keep].sort((a, b) => a - b)) {
      // It serves guests that it does not fit.
      if (!this.#shareText && (u8[page + codepage.sharingOffset]! & codepage.sharing.slides) !== 0) continue;
      u8.copyWithin(
        next + codepage.contentOffset,
        page + codepage.contentOffset,
        page + codepage.codePageSize,
      );
      u8.fill(0, next + codepage.entriesOffset, next + codepage.contentOffset);
      moved.set(page, next);
      next += codepage.codePageSize;
    }
    for (const pages of this.#pages.values()) follow(pages, moved);
    this.#text.follow(moved);
    this.#crossings.clear();
    this.#nextPage = next;
    this.#blockStart = this.#end;
    this.#blockEnd = this.#end;
    this.#nextRecord = this.#end;
    this.#nextLeader = this.#end;
    this.#leaderEnd = this.#end;
    this.#leaderBlocks.length = 0;
    this.counters.resets++;
    return moved;
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
   * Writes the decoded instruction, whose bytes are in `page` and may go on in `next`, of a guest with that slide. False when pages of kernels at different
   * places differ in more than constants: then the store must be emptied, and they are not shared any more.
   */
  #write(record: number, offset: number, page: number, next = page, slide = 0): boolean {
    const { i32, u16, u8 } = this.#memory;
    const decoder = this.#decoder;
    if (!this.#slides.takeOut(decoder, offset, page, next, slide)) {
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
