/**
 * Serves, between rounds, the faults that guests could not serve themselves: pages in swap, and pages for which a grant had no
 * frame. Each vCPU gets the virtual time at which it goes on.
 */
import type { StateReader, StateWriter } from '../state/state.ts';
import { type AddressSpace, satisfied } from './addressspace.ts';
import type { Books } from './books.ts';
import { type FaultCause, faultCauses } from './faults.ts';
import { lists } from './framelists.ts';
import { frameClass } from './frames.ts';
import { pageSize } from './hostmemory.ts';
import type { Reclaimer } from './reclaim.ts';
import type { FaultRequest } from './requests.ts';
import { pageKey } from './rmap.ts';
import * as slots from './slots.ts';
import { SwapLoss } from './swap/swap.ts';
import type { Watermarks } from './watermarks.ts';

/** What the server needs of the host around it. */
export interface FaultHost {
  /** CPU time to bring a page back from swap, in ns. */
  readonly swapInCpu: number;
  /** Most pages that are read together, as a power of two (Linux's `vm.page-cluster`); 0 reads one. */
  readonly pageCluster: number;
  readonly watermarks: Watermarks;
  /** A vCPU goes on at virtual time `time`; it had waited since `since`, by a fault of that cause. */
  resume(space: AddressSpace, cpu: number, time: number, since: number, cause: FaultCause): void;
  /** A page of a guest is lost: the guest must end. */
  lost(space: AddressSpace, reason: string): void;
  /** No frame can be had for a guest: another (or this one) must end, and its memory is given back. */
  outOfMemory(space: AddressSpace): void;
}

/** A request that is not served yet. */
interface Pending extends FaultRequest {
  readonly space: AddressSpace;
  /** CPU time in ns that the vCPU has spent to take back frames itself. */
  cpuTime: number;
  /** When what it waits for is there, in virtual ns; −Infinity when that is a frame. */
  ready: number;
}

/** Frames that whoever finds none takes back for itself at once. */
const directReclaim = 32;

/** See the top of this file. */
export class FaultServer {
  readonly counters = {
    /** Pages read for a fault, and read ahead with them. */
    pagesRead: 0,
    pagesReadAhead: 0,
    /** Times a vCPU took frames back itself, and the CPU time that it spent. */
    directReclaims: 0,
    directReclaimTime: 0,
  };
  readonly #books: Books;
  readonly #reclaimer: Reclaimer;
  readonly #host: FaultHost;
  #pending: Pending[] = [];
  /** Of the round that is over. */
  readonly #fresh: Pending[] = [];

  constructor(books: Books, reclaimer: Reclaimer, host: FaultHost) {
    this.#books = books;
    this.#reclaimer = reclaimer;
    this.#host = host;
  }

  /** When something is due next, in virtual ns; Infinity when nobody waits. */
  get next(): number {
    return this.#pending.reduce((next, { ready }) => Math.min(next, ready), Number.POSITIVE_INFINITY);
  }

  /** Whether a vCPU waits for the contents of a swap slot. */
  awaits(slot: number): boolean {
    return this.#pending.some(({ space, page }) => {
      const entry = space.slot(page);
      return (entry & slots.swapped) !== 0 && entry >>> slots.swapShift === slot;
    });
  }

  /** Forgets what a guest waits for. */
  forget(space: AddressSpace): void {
    space.requests.take();
    for (const { page, ready } of this.#pending.filter((each) => each.space === space)) {
      if (ready !== Number.NEGATIVE_INFINITY) this.#abandon(space.slot(page));
    }
    this.#pending = this.#pending.filter((each) => each.space !== space);
  }

  /** A frame that a page was read into, and that nobody waits for any more, may be taken back. */
  #abandon(slot: number): void {
    if ((slot & slots.swapped) === 0) return;
    const { frames, lists: frameLists, swap } = this.#books;
    const frame = swap!.slots.frameOf(slot >>> slots.swapShift);
    if (frame === 0 || frames.classOf(frame) !== frameClass.swapcache) return;
    frameLists.put(frames.index(frame), lists.inactive);
  }

  /**
   * Serves what it can at virtual time `now`, the end of a round; `horizon` is the end of the next. Older faults come first, then those of
   * lower guest numbers.
   */
  serve(now: number, horizon: number): void {
    this.#takeUp();
    for (const request of [...this.#pending]) {
      while (this.#pending.includes(request)) {
        const outcome = this.#attempt(request, now, horizon);
        if (outcome === 'done') this.#pending = this.#pending.filter((each) => each !== request);
        if (outcome !== 'no frame') break;
        // A frame that is being written will be there later.
        if (this.#reclaimer.writing > 0 || this.#reading) break;
        this.#host.outOfMemory(request.space);
      }
    }
  }

  /** Whether a page is on its way from the device; behind it, its request needs nothing more. */
  get #reading(): boolean {
    return this.#pending.some(({ ready }) => ready !== Number.NEGATIVE_INFINITY);
  }

  /** Takes what the vCPUs of a guest asked for in the round that is over. To be called in the order of guest numbers. */
  gather(space: AddressSpace): void {
    for (const request of space.requests.take()) {
      this.#fresh.push({ ...request, space, cpuTime: 0, ready: Number.NEGATIVE_INFINITY });
    }
  }

  #takeUp(): void {
    if (this.#fresh.length === 0) return;
    // The sort is stable: guests' numbers and vCPUs in their order.
    this.#pending.push(...this.#fresh.sort((a, b) => a.time - b.time));
    this.#fresh.length = 0;
  }

  /** Behind `done` nothing of the request is left to do; its guest may have ended, and all its requests be forgotten. */
  #attempt(request: Pending, now: number, horizon: number): 'done' | 'waits' | 'no frame' {
    const { space, page, write } = request;
    const slot = space.slot(page);
    if (satisfied(slot, write)) return this.#resume(request, now, 0);
    if ((slot & slots.swapped) !== 0) return this.#swapIn(request, slot >>> slots.swapShift, now, horizon);
    if (!this.#haveFrame(request, now)) return 'no frame';
    // Taking frames back may have changed the slot.
    if (space.slot(page) !== slot) return this.#attempt(request, now, horizon);
    return this.#resume(request, now, space.resolve(page, write, now));
  }

  /** Makes sure that there is a free frame, on the vCPU's own time when they are few and more can be had. */
  #haveFrame(request: Pending, now: number): boolean {
    const { frames, swap } = this.#books;
    const room = swap !== undefined && swap.slots.free > 0;
    if (frames.free === 0 || (room && frames.free < this.#host.watermarks.min)) {
      const { cpu } = this.#reclaimer.reclaim(directReclaim, Number.POSITIVE_INFINITY, now, 'direct');
      request.cpuTime += cpu;
      this.counters.directReclaims++;
      this.counters.directReclaimTime += cpu;
    }
    return frames.free > 0;
  }

  /** The vCPU goes on behind what it had to do itself: `cost` ns, and taking frames back. */
  #resume(request: Pending, now: number, cost: number): 'done' {
    const { space, cpu, cause, time, cpuTime, ready } = request;
    const at = Math.max(now, Math.max(time, ready) + cost + cpuTime);
    this.#host.resume(space, cpu, at, time, cause);
    return 'done';
  }

  #swapIn(request: Pending, swapSlot: number, now: number, horizon: number): 'done' | 'waits' | 'no frame' {
    const books = this.#books;
    const { frames } = books;
    const swapSlots = books.swap!.slots;
    const { space, page } = request;
    const key = pageKey(space.id, page);
    const cached = swapSlots.frameOf(swapSlot);
    if (cached !== 0 && frames.classOf(cached) === frameClass.swapcache) {
      request.ready = frames.readyAt(cached);
      if (request.ready >= horizon) return 'waits';
      space.count(space.slot(page), request.ready <= request.time);
      space.own(page, cached);
      books.takeCached(cached, swapSlot, key);
      return this.#resume(request, now, this.#host.swapInCpu);
    }
    request.ready = Number.NEGATIVE_INFINITY;
    if (!this.#haveFrame(request, now)) return 'no frame';
    // Taking frames back may have changed what is cached.
    if (swapSlots.frameOf(swapSlot) !== cached) return this.#swapIn(request, swapSlot, now, horizon);
    if (cached !== 0 && books.isClean(cached)) {
      const frame = frames.pop();
      books.copy(cached, frame);
      space.count(space.slot(page), true);
      space.own(page, frame);
      books.loaded(frame, swapSlot, key);
      return this.#resume(request, now, this.#host.swapInCpu);
    }
    // Its page has written to the frame, so it has the slot's contents no more.
    if (cached !== 0) books.parted(cached);
    if (!this.#read(request, swapSlot)) return 'done';
    return request.ready < horizon ? this.#swapIn(request, swapSlot, now, horizon) : 'waits';
  }

  /** Reads a slot, and those around it, into the swap cache; false when that failed and the guest has ended. */
  #read(request: Pending, swapSlot: number): boolean {
    const books = this.#books;
    const { frames } = books;
    const swap = books.swap!;
    const { space, time } = request;
    const frame = frames.pop();
    try {
      swap.read(swapSlot, frame);
    } catch (error) {
      if (!(error instanceof SwapLoss)) throw error;
      frames.pushUnused(frame);
      this.#host.lost(space, `${error.message}: its page ${request.page} is lost`);
      return false;
    }
    this.#cache(frame, swapSlot);
    const ahead = this.#readAhead(space, swapSlot);
    space.readAhead.was(ahead.length);
    const first = Math.min(swapSlot, ...ahead);
    const last = Math.max(swapSlot, ...ahead);
    const done = swap.device.submit('read', (last - first + 1) * pageSize, time);
    frames.setReadyAt(frame, done);
    for (const each of ahead) {
      const cached = swap.slots.frameOf(each);
      frames.setReadyAt(cached, done);
      books.lists.put(frames.index(cached), lists.inactive);
    }
    this.counters.pagesRead++;
    this.counters.pagesReadAhead += ahead.length;
    request.ready = done;
    return true;
  }

  #cache(frame: number, swapSlot: number): void {
    this.#books.frames.setClass(frame, frameClass.swapcache);
    this.#books.paired(frame, swapSlot);
  }

  /** Reads the neighbours of a slot that a guest needs, in a row with it and in its cluster, as far as they are of use; gives their numbers. */
  #readAhead({ readAhead, counters }: AddressSpace, swapSlot: number): number[] {
    const size = readAhead.next(swapSlot, counters.swapCacheHits, 1 << this.#host.pageCluster);
    const start = swapSlot - (swapSlot % size);
    const read: number[] = [];
    for (let slot = swapSlot - 1; slot >= start && this.#readNeighbour(slot); slot--) read.push(slot);
    for (let slot = swapSlot + 1; slot < start + size && this.#readNeighbour(slot); slot++) read.push(slot);
    return read;
  }

  #readNeighbour(slot: number): boolean {
    const { frames, swap } = this.#books;
    const swapSlots = swap!.slots;
    // Nobody's frames are taken back for pages that nobody has asked for.
    if (frames.free <= this.#host.watermarks.low) return false;
    if (slot >= swapSlots.size || swapSlots.mapped(slot) === 0 || swapSlots.frameOf(slot) !== 0) return false;
    const frame = frames.pop();
    try {
      swap!.read(slot, frame);
    } catch (error) {
      if (!(error instanceof SwapLoss)) throw error;
      // Whoever needs it will hear of it.
      frames.pushUnused(frame);
      return false;
    }
    this.#cache(frame, slot);
    return true;
  }

  saveState(to: StateWriter): void {
    to.list(this.#pending, ({ space, cpu, page, write, cause, time, cpuTime, ready }) => {
      to.u32(space.id);
      to.u32(cpu);
      to.u32(page);
      to.bool(write);
      to.u8(faultCauses.indexOf(cause));
      to.number(time);
      to.number(cpuTime);
      to.number(ready);
    });
    for (const value of Object.values(this.counters)) to.number(value);
  }

  loadState(from: StateReader): void {
    this.#pending = from.list(() => ({
      space: this.#books.numbered(from.u32())!,
      cpu: from.u32(),
      page: from.u32(),
      write: from.bool(),
      cause: faultCauses[from.u8()] as FaultCause,
      time: from.number(),
      cpuTime: from.number(),
      ready: from.number(),
    }));
    for (const name of Object.keys(this.counters) as (keyof typeof this.counters)[]) {
      this.counters[name] = from.number();
    }
  }
}
