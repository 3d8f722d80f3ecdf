/**
 * What the host and a guest's thread both see of the guest's memory: where it is described in the host's memory, and the part of that which is a few
 * numbers and short lists.
 */
import { FaultCounters, faultCounters } from './faults.ts';
import { type HostMemory, pageSize } from './hostmemory.ts';
import { logBytes, SpaceLog } from './log.ts';
import { FaultRequests, requestBytes } from './requests.ts';
import { mostPages } from './rmap.ts';
import * as slots from './slots.ts';

/** A range of guest-physical memory. */
export interface Range {
  /** First byte; a multiple of the page size. */
  readonly start: number;
  /** Bytes; a multiple of the page size. */
  readonly length: number;
}

/** Why a guest cannot go on for want of one of its pages. */
export interface SpaceFailure {
  readonly event: 'swap loss' | 'out of memory';
  readonly reason: string;
}

/** Where in the host's memory a guest's memory is described: what another thread needs to see the same. */
export interface SpacePlace {
  /** The guest's number. */
  readonly id: number;
  readonly mergeable: boolean;
  /** Number of pages that the slots cover. */
  readonly pageCount: number;
  /** Host addresses: of the slots, of the decoded page of each page, of the links of the reverse map, and of all else (`spaceBlock`). */
  readonly slots: number;
  readonly codeMap: number;
  readonly next: number;
  readonly previous: number;
  readonly block: number;
}

/** The fields of a guest's block: 32-bit words, by their place. */
const fields = {
  present: 0,
  swapped: 1,
  ballooned: 2,
  mergedZero: 3,
  wanted: 4,
  stale: 5,
  inRound: 6,
  grantStart: 7,
  grantEnd: 8,
  grantTop: 9,
  shotDown: 10,
};
/** What lies in a block: fields, a time, counters, requests, log. Each begins at a multiple of 8. */
const starvedAt = 48;
const countersAt = 64;
const requestsAt = countersAt + 8 * faultCounters;
const logAt = requestsAt + requestBytes;
const blockBytes = logAt + logBytes;

/** Finds room for a guest's memory map, all of whose pages are holes but those of `ram`. */
export function placeSpace(
  memory: HostMemory,
  id: number,
  ram: readonly Range[],
  mergeable: boolean,
): SpacePlace {
  const pageCount = Math.max(...ram.map((range) => (range.start + range.length) / pageSize));
  if (pageCount > mostPages) {
    throw new RangeError(
      `a guest whose memory ends at ${pageCount} pages: at most ${mostPages} are possible (4 GiB, the hole for devices ` +
        'included); give it 3 GiB or less',
    );
  }
  const words = () => memory.allocate(pageCount * 4, 64);
  const place: SpacePlace = {
    id,
    mergeable,
    pageCount,
    slots: words(),
    codeMap: words(),
    next: words(),
    previous: words(),
    block: memory.allocate(blockBytes, 64),
  };
  const entries = memory.i32.subarray(place.slots / 4, place.slots / 4 + pageCount);
  entries.fill(slots.hole);
  memory.f64[(place.block + starvedAt) / 8] = Number.POSITIVE_INFINITY;
  for (const { start, length } of ram) entries.fill(0, start / pageSize, (start + length) / pageSize);
  return place;
}

/** Gives back what {@link placeSpace} took. */
export function releasePlace(memory: HostMemory, { pageCount, block, ...place }: SpacePlace): void {
  for (const at of [place.slots, place.codeMap, place.next, place.previous])
    memory.release(at, pageCount * 4);
  memory.release(block, blockBytes);
}

/** See the top of this file. */
export class SpaceBlock {
  readonly memory: HostMemory;
  readonly id: number;
  readonly mergeable: boolean;
  /** Where all of it is. */
  readonly place: SpacePlace;
  /** Host address of the slots (`slots.ts`), and of the decoded page of each page (0: none). */
  readonly slots: number;
  readonly codeMap: number;
  /** Number of pages that the slots cover. */
  readonly pageCount: number;
  readonly next: Uint32Array;
  readonly previous: Uint32Array;
  /** What the guest did since the books were brought up to date. */
  readonly log: SpaceLog;
  /** Faults that the host must serve. */
  readonly requests: FaultRequests;
  counters: FaultCounters;
  #fields: Int32Array;
  #starvedSince: Float64Array;

  constructor(memory: HostMemory, place: SpacePlace) {
    this.memory = memory;
    this.place = place;
    this.id = place.id;
    this.mergeable = place.mergeable;
    this.slots = place.slots;
    this.codeMap = place.codeMap;
    this.pageCount = place.pageCount;
    const { pageCount, block } = place;
    this.next = memory.u32.subarray(place.next / 4, place.next / 4 + pageCount);
    this.previous = memory.u32.subarray(place.previous / 4, place.previous / 4 + pageCount);
    this.#fields = memory.i32.subarray(block / 4, (block + countersAt) / 4);
    const numbers = (start: number, end: number) =>
      memory.f64.subarray((block + start) / 8, (block + end) / 8);
    this.#starvedSince = numbers(starvedAt, starvedAt + 8);
    this.counters = new FaultCounters(numbers(countersAt, requestsAt));
    this.requests = new FaultRequests(numbers(requestsAt, logAt));
    this.log = new SpaceLog(memory.u32.subarray((block + logAt) / 4, (block + blockBytes) / 4));
  }

  /** Keeps what was counted, as the block is given up: the guest is gone. */
  dispose(): void {
    this.#fields = this.#fields.slice();
    this.#starvedSince = this.#starvedSince.slice();
    this.counters = this.counters.copy();
  }

  /** Pages that have a frame. */
  get present(): number {
    return this.#fields[fields.present]!;
  }

  set present(value: number) {
    this.#fields[fields.present] = value;
  }

  /** Pages whose contents are in swap. */
  get swapped(): number {
    return this.#fields[fields.swapped]!;
  }

  set swapped(value: number) {
    this.#fields[fields.swapped] = value;
  }

  /** Pages in the balloon. */
  get ballooned(): number {
    return this.#fields[fields.ballooned]!;
  }

  set ballooned(value: number) {
    this.#fields[fields.ballooned] = value;
  }

  /** Pages that map the zero frame because a scanner put it there. */
  get mergedZero(): number {
    return this.#fields[fields.mergedZero]!;
  }

  set mergedZero(value: number) {
    this.#fields[fields.mergedZero] = value;
  }

  /** Frames that a device lacked: so many more are to be granted. */
  get wanted(): number {
    return this.#fields[fields.wanted]!;
  }

  set wanted(value: number) {
    this.#fields[fields.wanted] = value;
  }

  /** The host took a mapping away or cleared an accessed bit: vCPUs that run are interrupted for it. */
  get shotDown(): boolean {
    return this.#fields[fields.shotDown] !== 0;
  }

  set shotDown(value: boolean) {
    this.#fields[fields.shotDown] = value ? 1 : 0;
  }

  /** The guest's TLBs must be emptied before it runs. */
  get stale(): boolean {
    return this.#fields[fields.stale] !== 0;
  }

  set stale(value: boolean) {
    this.#fields[fields.stale] = value ? 1 : 0;
  }

  /** Whether a round is on in which the guest has a grant. */
  get inRound(): boolean {
    return this.#fields[fields.inRound] !== 0;
  }

  set inRound(value: boolean) {
    this.#fields[fields.inRound] = value ? 1 : 0;
  }

  /** Since when it cannot run for want of frames, in virtual ns; Infinity while it can. */
  get starvedSince(): number {
    return this.#starvedSince[0]!;
  }

  set starvedSince(value: number) {
    this.#starvedSince[0] = value;
  }

  get grantStart(): number {
    return this.#fields[fields.grantStart]!;
  }

  set grantStart(value: number) {
    this.#fields[fields.grantStart] = value;
  }

  get grantEnd(): number {
    return this.#fields[fields.grantEnd]!;
  }

  set grantEnd(value: number) {
    this.#fields[fields.grantEnd] = value;
  }

  get grantTop(): number {
    return this.#fields[fields.grantTop]!;
  }

  set grantTop(value: number) {
    this.#fields[fields.grantTop] = value;
  }
}
