/**
 * The host's memory management: the front door to everything in this folder that concerns more than one guest.
 *
 * A round: {@link HostPages.beginRound} grants frames, the guests run, {@link HostPages.endRound} brings the books up to date,
 * {@link HostPages.serve} serves the vCPUs that wait.
 */
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import { type AddressSpace, deviceReserve } from './addressspace.ts';
import { Books } from './books.ts';
import { loadBooks, saveBooks } from './bookstate.ts';
import { BooksError, checkBooks } from './check.ts';
import type { FaultCause, FaultCosts } from './faults.ts';
import { type FaultHost, FaultServer } from './faultserver.ts';
import { lists } from './framelists.ts';
import { frameClass } from './frames.ts';
import type { HostMemory } from './hostmemory.ts';
import { Kswapd } from './kswapd.ts';
import type { FrameClass } from './merge.ts';
import { Merging } from './merging.ts';
import { type ReclaimCosts, Reclaimer } from './reclaim.ts';
import type { Range, SpaceFailure } from './spaceblock.ts';
import type { Swap } from './swap/swap.ts';
import { type Watermarks, watermarks } from './watermarks.ts';

/** Which guest ends when the host has no memory left: the one with most of it in frames and swap, or the one that asks. */
export type OomPolicy = 'largest' | 'requester';

/** What cannot go on as before, and why. */
export type MemoryEvent =
  | { readonly event: 'swap write failed'; readonly reason: string }
  | { readonly event: 'swap loss' | 'out of memory'; readonly guest: number; readonly reason: string };

/** What the host's memory management is made of. */
export interface HostPagesOptions {
  readonly costs: FaultCosts & ReclaimCosts;
  readonly swap?: Swap | undefined;
  readonly oom?: OomPolicy | undefined;
  /** Most pages that are read from swap together, as a power of two: Linux's `vm.page-cluster`, 3 when not given. */
  readonly pageCluster?: number | undefined;
}

/** What it tells the host. */
export interface HostPagesListener {
  /** A vCPU goes on at virtual time `time`; it had waited since `since`, by a fault of that cause. */
  resume(space: AddressSpace, cpu: number, time: number, since: number, cause: FaultCause): void;
  /** A guest must end, for this reason; its memory is given back. */
  stop(space: AddressSpace, reason: string): void;
  /** Something has happened at virtual time `now`. */
  event(event: MemoryEvent, now: number): void;
}

/** A guest that runs in the coming round. */
export interface RunningGuest {
  readonly space: AddressSpace;
  /** Number of its vCPUs. */
  readonly cpus: number;
}

/** Frames that a vCPU is granted for a round: as many as it can touch for the first time in 100 µs, and a few. */
const framesPerCpu = 32;

/** See the top of this file. */
export class HostPages implements Stateful {
  readonly books: Books;
  readonly merging: Merging;
  readonly reclaimer: Reclaimer;
  readonly kswapd: Kswapd;
  readonly server: FaultServer;
  readonly watermarks: Watermarks;
  readonly #oom: OomPolicy;
  readonly #costs: FaultCosts;
  readonly #listener: HostPagesListener;
  #running: AddressSpace[] = [];
  #turn = 0;
  /** Guests that were stopped for want of memory: Linux's `oom_kill`. */
  oomKills = 0;

  constructor(memory: HostMemory, options: HostPagesOptions, listener: HostPagesListener) {
    const { costs, swap, oom = 'largest', pageCluster = 3 } = options;
    const books = new Books(memory, swap);
    this.books = books;
    this.merging = new Merging(books);
    this.watermarks = watermarks(books.frames.count);
    this.reclaimer = new Reclaimer(books, costs, (reason) =>
      listener.event({ event: 'swap write failed', reason }, books.now),
    );
    this.kswapd = new Kswapd(books, this.reclaimer, this.watermarks);
    const host: FaultHost = {
      swapInCpu: costs.swapInCpu,
      pageCluster,
      watermarks: this.watermarks,
      resume: (space, cpu, time, since, cause) => listener.resume(space, cpu, time, since, cause),
      lost: (space, reason) => this.#stop(space, 'swap loss', reason),
      outOfMemory: (space) => this.#outOfMemory(space),
    };
    this.server = new FaultServer(books, this.reclaimer, host);
    this.#oom = oom;
    this.#costs = costs;
    this.#listener = listener;
    books.makeRoom = () => this.#makeRoom();
  }

  /** Adds a guest's memory. */
  add(ram: readonly Range[], mergeable: boolean): AddressSpace {
    return this.books.add(ram, mergeable, this.#costs);
  }

  /** Takes a guest's memory out; the guest does not run any more. Between rounds. */
  remove(space: AddressSpace): void {
    this.release(space);
    this.books.remove(space);
  }

  /** Number of frames by class. */
  get classes(): Record<FrameClass, number> {
    const { frames } = this.books;
    return {
      free: frames.inClass(frameClass.free),
      granted: 0,
      private: frames.inClass(frameClass.private),
      zero: frames.inClass(frameClass.zero),
      ksm: frames.inClass(frameClass.ksm),
      swapcache: frames.inClass(frameClass.swapcache),
    };
  }

  /** When something is due that is no guest's, in virtual ns; Infinity when nothing is. */
  get next(): number {
    return this.server.next;
  }

  // Rounds.

  /**
   * Grants frames to the guests that run in the round that begins at virtual time `now`. Afterwards `inRound` of each says whether it may; one
   * for which even the devices' reserve is lacking may not.
   */
  beginRound(guests: readonly RunningGuest[], now: number): void {
    this.books.now = now;
    this.reclaimer.complete(now);
    const { frames } = this.books;
    let left = guests.length;
    // When there is not enough for all, each is the first in turn.
    const first = this.#turn++ % Math.max(1, left);
    for (const { space, cpus } of [...guests.slice(first), ...guests.slice(0, first)]) {
      const fair = Math.floor(frames.free / left--);
      const wants = deviceReserve + framesPerCpu * cpus + space.wanted;
      const granted = Math.max(deviceReserve + 1, Math.min(wants, fair));
      space.inRound = (fair > deviceReserve || this.#spare(space, now)) && granted <= frames.free;
      if (!space.inRound) {
        space.starvedSince = Math.min(space.starvedSince, now);
        continue;
      }
      frames.grant(space, granted);
      space.wanted = 0;
      this.#running.push(space);
    }
  }

  /** Takes frames back for a guest that could not run otherwise. False when there are none for now. */
  #spare(space: AddressSpace, now: number): boolean {
    const { frames } = this.books;
    const lacking = () => deviceReserve + 1 - frames.free;
    if (lacking() <= 0) return true;
    // Grants lie at the end of the stack of free frames, so none can come free before the round is over.
    if (this.#running.length > 0) return false;
    const { freed, queued } = this.reclaimer.reclaim(lacking(), Number.POSITIVE_INFINITY, now, 'direct');
    if (freed + queued === 0 && this.reclaimer.writing === 0 && this.server.next === Number.POSITIVE_INFINITY)
      this.#outOfMemory(space);
    return lacking() <= 0;
  }

  /** The round that ends at virtual time `now` is over: brings the books up to date. */
  endRound(now: number): void {
    this.books.now = now;
    this.books.frames.collect();
    this.#running.sort((a, b) => a.id - b.id);
    for (const space of this.#running) {
      space.inRound = false;
      this.books.apply(space);
      if (space.requests.length > 0) this.server.gather(space);
    }
    for (const space of this.#running) if (space.failure !== undefined) this.#failed(space, space.failure);
    this.#running = [];
  }

  /** A guest has ended in the course of a round since a device of its could not have a page. */
  #failed(space: AddressSpace, { event, reason }: SpaceFailure): void {
    space.failure = undefined;
    if (event === 'out of memory') this.oomKills++;
    this.#stop(space, event, reason);
  }

  /** Serves the vCPUs that wait; the next round ends at virtual time `horizon`. */
  serve(now: number, horizon: number): void {
    this.reclaimer.complete(now);
    this.server.serve(now, horizon);
  }

  /** Makes a frame free for who sets up a guest, outside of virtual time. */
  #makeRoom(): boolean {
    this.reclaimer.reclaim(1, Number.POSITIVE_INFINITY, this.books.now, 'direct');
    this.reclaimer.complete(Number.POSITIVE_INFINITY);
    return this.books.frames.free > 0;
  }

  // Ends.

  #outOfMemory(space: AddressSpace): void {
    const size = (each: AddressSpace) => each.present + each.swapped;
    const victim =
      this.#oom === 'requester'
        ? space
        : this.books.spaces.reduce((most, each) => (size(each) > size(most) ? each : most));
    const swap = this.books.swap?.slots;
    const reason =
      `the host is out of memory: no frame of ${this.books.frames.count} can be taken back, ` +
      (swap === undefined ? 'and it has no swap' : `${swap.used} of ${swap.size} pages of swap are used`) +
      `; this guest has ${victim.present} pages in frames and ${victim.swapped} in swap (policy: ${this.#oom}). ` +
      'Give the host more memory or swap, or fewer guests';
    this.oomKills++;
    this.#stop(victim, 'out of memory', reason);
  }

  #stop(space: AddressSpace, event: 'swap loss' | 'out of memory', reason: string): void {
    this.#listener.event({ event, guest: space.id, reason }, this.books.now);
    this.#listener.stop(space, reason);
    this.release(space);
  }

  /** Takes back all that a guest has, which does not run any more. */
  release(space: AddressSpace): void {
    this.server.forget(space);
    space.empty();
  }

  saveState(to: StateWriter): void {
    to.u32(this.#turn);
    to.u32(this.oomKills);
    saveBooks(this.books, to);
    this.reclaimer.saveState(to);
    this.server.saveState(to);
    this.kswapd.saveState(to);
    for (const { counters, readAhead, shotDown, starvedSince } of this.books.spaces) {
      to.bool(shotDown);
      to.number(starvedSince);
      to.part('faults', counters);
      to.part('read-ahead', readAhead);
    }
  }

  /** Takes up the state of a host with the same guests. */
  loadState(from: StateReader): void {
    this.#turn = from.u32();
    this.oomKills = from.u32();
    loadBooks(this.books, from);
    this.reclaimer.loadState(from);
    this.server.loadState(from);
    this.kswapd.loadState(from);
    for (const space of this.books.spaces) {
      space.shotDown = from.bool();
      space.starvedSince = from.number();
      from.part('faults', space.counters);
      from.part('read-ahead', space.readAhead);
    }
  }

  /** Proves the books; throws an error that names what is wrong. Between rounds. */
  check(): void {
    checkBooks(this.books);
    const { frames, lists: frameLists } = this.books;
    for (let index = 0; index < frames.count; index++) {
      const frame = frames.address(index);
      if (frames.classOf(frame) !== frameClass.swapcache || frameLists.of(index) !== lists.none) continue;
      const slot = frames.slotOf(frame);
      if (this.reclaimer.isWriting(slot) || this.server.awaits(slot)) continue;
      throw new BooksError(`frame ${index} (swapcache) is on no list, and nobody writes it or waits for it`);
    }
  }
}
