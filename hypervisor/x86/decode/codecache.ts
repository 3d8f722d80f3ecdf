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
import type { OpcodeMap } from './opcodemap.ts';
import * as special from './special.ts';

/** Most records that decoding one stretch of code takes: one a byte of the page, the leader, and one behind. */
const mostRecords = pageSize + 2;
/** Records are reserved in blocks of this many. */
const recordBlock = 2 * mostRecords;

/** Counters of the store. */
export interface CodeCacheCounters {
  /** Code pages made. */
  pages: number;
  /** Times a guest's page was found to be known already. */
  shared: number;
  /** Instructions decoded. */
  instructions: number;
  /** Times the store was full and was emptied. */
  resets: number;
}

/** See the top of this file. */
export class CodeCache {
  readonly #memory: HostMemory;
  readonly #handlers: Handlers;
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
  readonly counters: CodeCacheCounters = { pages: 0, shared: 0, instructions: 0, resets: 0 };

  /** @param bytes size of the store */
  constructor(memory: HostMemory, handlers: Handlers, map: OpcodeMap, hash: PageHash, bytes: number) {
    this.#start = memory.allocate(bytes, codepage.recordSize);
    this.#end = this.#start + bytes;
    this.#nextPage = this.#start;
    this.#blockStart = this.#end;
    this.#blockEnd = this.#end;
    this.#nextRecord = this.#end;
    this.#memory = memory;
    this.#handlers = handlers;
    this.#decoder = new Decoder(map);
    this.#hash = hash;
  }

  /**
   * The code page for the content of the frame at host address `frame`, to be executed in the given mode: code
   * size (0 … 2), and above it the number of bytes when the code segment ends in this page (`codepage.ts`). 0 when the store
   * is full.
   */
  pageFor(frame: number, codeMode: number): number {
    const { u8 } = this.#memory;
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
    // Equal hashes are not yet equal pages.
    const known = candidates.find((page) => this.#sameContent(page + codepage.contentOffset, frame));
    if (known !== undefined) {
      this.counters.shared++;
      return known;
    }
    const page = this.#nextPage;
    if (page + codepage.codePageSize > this.#blockStart) return 0;
    this.#nextPage += codepage.codePageSize;
    u8.fill(0, page + codepage.entriesOffset, page + codepage.contentOffset);
    u8.copyWithin(page + codepage.contentOffset, frame, frame + pageSize);
    this.#memory.i32[(page + codepage.codeModeOffset) >> 2] = codeMode;
    candidates.push(page);
    this.counters.pages++;
    return page;
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
    this.#special(leader, offset, special.leader);
    i32[entry] = leader;
    i32[(leader + codepage.link) >> 2] = known > 0 ? known : leader + codepage.recordSize;
    this.#nextRecord = leader + codepage.recordSize;
    if (known <= 0) this.#decodeRun(page, offset, leader + codepage.recordSize);
    this.#handlers.make();
    return leader;
  }

  /** Decodes instructions from `offset` on into records from `first` on, up to one after which control does not go straight on. */
  #decodeRun(page: number, offset: number, first: number): void {
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
      this.#write(record, at);
      if (this.#decoder.row.row.options.ends === true) break;
      record += codepage.recordSize;
      at += this.#decoder.length;
    }
    this.#nextRecord = record + codepage.recordSize;
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
      this.#write(record, offset);
      this.#special(record + codepage.recordSize, offset + decoder.length, special.continueAt);
    } else this.#failure(record, offset, outcome);
    this.#nextRecord = head + 3 * codepage.recordSize;
    this.#handlers.make();
    i32[(head + codepage.alternativePage) >> 2] = next;
    i32[(head + codepage.link) >> 2] = i32[(crossing + codepage.link) >> 2]!;
    i32[(crossing + codepage.link) >> 2] = head;
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

  #write(record: number, offset: number): void {
    const { i32, u16, u8 } = this.#memory;
    const decoder = this.#decoder;
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
  }
}
