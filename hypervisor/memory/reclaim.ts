/**
 * Taking frames back: pages that were not used for a while go to swap.
 *
 * Two lists. What comes to be used stands at the front of the active list. As long as the inactive list is the shorter one, the end of the active
 * list moves to its front, and its accessed bits are cleared. At the end of the inactive list a frame that was used since returns to the
 * active list, and another is taken from its pages.
 *
 * A frame on its way to the swap device stays in the swap cache until it is written; a fault finds it there.
 */
import type { StateReader, StateWriter } from '../state/state.ts';
import type { Books } from './books.ts';
import { lists } from './framelists.ts';
import { frameClass } from './frames.ts';

/** What reclaim costs, in ns of CPU time: constants of the cost model. */
export interface ReclaimCosts {
  /** A frame of the lists is looked at. */
  readonly reclaimPage: number;
  /** A page goes to swap. */
  readonly swapOutCpu: number;
}

/** What a run of reclaim has done. */
export interface Reclaimed {
  /** Frames that were looked at. */
  scanned: number;
  /** Frames that are free now, and frames that will be when they are written. */
  freed: number;
  queued: number;
  /** CPU time in ns. */
  cpu: number;
}

/** Who takes frames back: the thread for that, or whoever needs one now. */
export type ReclaimerKind = 'kswapd' | 'direct';

/** Frames that are written together. */
const cluster = 32;

/** A slot whose frame is free when it is written. */
interface Write {
  readonly slot: number;
  /** Virtual ns. */
  readonly done: number;
}

/** See the top of this file. */
export class Reclaimer {
  readonly counters = {
    /** Frames looked at and frames taken back, by who did: Linux's `pgscan_kswapd`, `pgsteal_kswapd`, ... */
    scannedByKswapd: 0,
    stolenByKswapd: 0,
    scannedDirectly: 0,
    stolenDirectly: 0,
    /** Of those looked at, the ones that had been used. */
    activated: 0,
    /** Frames taken from their pages: written to swap, and those whose contents were there already. */
    written: 0,
    clean: 0,
    /** Frames of the swap cache given up. */
    dropped: 0,
    /** Writes that failed. */
    failedWrites: 0,
  };
  readonly #books: Books;
  readonly #costs: ReclaimCosts;
  readonly #onWriteError: (reason: string) => void;
  /** In the order in which they were submitted. */
  #writes: Write[] = [];

  /** @param onWriteError told why the swap file cannot be written */
  constructor(books: Books, costs: ReclaimCosts, onWriteError: (reason: string) => void) {
    this.#books = books;
    this.#costs = costs;
    this.#onWriteError = onWriteError;
  }

  /** Frames that are on their way to swap. */
  get writing(): number {
    return this.#writes.length;
  }

  /** Whether the contents of a slot are on their way to the device. */
  isWriting(slot: number): boolean {
    return this.#writes.some((each) => each.slot === slot);
  }

  /** Frees the frames that are written by virtual time `now`. */
  complete(now: number): void {
    const { frames, lists: frameLists, swap } = this.#books;
    let count = 0;
    for (const { slot, done } of this.#writes) {
      if (done > now) break;
      count++;
      const frame = swap!.slots.frameOf(slot);
      // Meanwhile a page may have taken the frame, or the slot may have become useless.
      if (frame === 0 || frames.classOf(frame) !== frameClass.swapcache) continue;
      if (frameLists.of(frames.index(frame)) === lists.none) this.#books.free(frame);
    }
    if (count > 0) this.#writes = this.#writes.slice(count);
  }

  /**
   * Takes back frames at virtual time `now`, until `wanted` are free or on their way, `budget` ns of CPU time are used up, or
   * every frame has been looked at twice. A frame on its way counts as taken back.
   */
  reclaim(wanted: number, budget: number, now: number, by: ReclaimerKind): Reclaimed {
    const { counters } = this;
    const result = this.#reclaim(wanted, budget, now);
    const stolen = result.freed + result.queued;
    if (by === 'kswapd') {
      counters.scannedByKswapd += result.scanned;
      counters.stolenByKswapd += stolen;
    } else {
      counters.scannedDirectly += result.scanned;
      counters.stolenDirectly += stolen;
    }
    return result;
  }

  #reclaim(wanted: number, budget: number, now: number): Reclaimed {
    const { frames, lists: frameLists } = this.#books;
    const result: Reclaimed = { scanned: 0, freed: 0, queued: 0, cpu: 0 };
    const victims: number[] = [];
    let looks = 2 * (frameLists.length(lists.active) + frameLists.length(lists.inactive));
    while (result.freed + result.queued + victims.length < wanted && result.cpu < budget && looks > 0) {
      looks -= this.#deactivate(result);
      const index = frameLists.last(lists.inactive);
      if (index < 0) break;
      looks--;
      this.#look(result);
      const frame = frames.address(index);
      if (frames.classOf(frame) === frameClass.swapcache) {
        if (frames.readyAt(frame) > now) frameLists.put(index, lists.inactive);
        else {
          this.#books.free(frame);
          this.counters.dropped++;
          result.freed++;
        }
      } else if (this.#books.testAndClearAccessed(frame)) {
        this.counters.activated++;
        frameLists.put(index, lists.active);
      } else {
        frameLists.take(index);
        victims.push(frame);
        if (victims.length === cluster) this.#evict(victims, now, result);
      }
    }
    if (victims.length > 0) this.#evict(victims, now, result);
    return result;
  }

  #look(result: Reclaimed): void {
    result.scanned++;
    result.cpu += this.#costs.reclaimPage;
  }

  /** Moves frames from the active to the inactive list while that is the shorter one, some at a time. Gives how many were looked at. */
  #deactivate(result: Reclaimed): number {
    const { frames, lists: frameLists } = this.#books;
    let count = 0;
    while (count < cluster && frameLists.length(lists.inactive) < frameLists.length(lists.active)) {
      const index = frameLists.last(lists.active);
      this.#look(result);
      this.#books.testAndClearAccessed(frames.address(index));
      frameLists.put(index, lists.inactive);
      count++;
    }
    return count;
  }

  /** Takes frames, which are on no list, from their pages. Those that cannot go to swap become active again. */
  #evict(victims: number[], now: number, result: Reclaimed): void {
    const books = this.#books;
    const { frames, swap } = books;
    const toWrite: number[] = [];
    const slots: number[] = [];
    let hasSlots = swap !== undefined;
    for (const frame of victims) {
      if (books.isClean(frame)) {
        books.unmap(frame, frames.slotOf(frame));
        books.free(frame);
        this.counters.clean++;
        result.freed++;
        result.cpu += this.#costs.swapOutCpu;
        continue;
      }
      books.parted(frame);
      hasSlots &&= swap!.slots.free > 0 || books.partAny();
      if (!hasSlots) {
        this.#keep(frame);
        continue;
      }
      toWrite.push(frame);
      slots.push(swap!.slots.allocate());
    }
    victims.length = 0;
    if (toWrite.length === 0) return;
    let done: number;
    try {
      done = swap!.write(slots, toWrite, now);
    } catch (error) {
      for (const slot of slots) swap!.slots.release(slot);
      for (const frame of toWrite) this.#keep(frame);
      this.#writeFailed(error);
      return;
    }
    toWrite.forEach((frame, i) => {
      const slot = slots[i]!;
      books.unmap(frame, slot);
      books.paired(frame, slot);
      this.#writes.push({ slot, done });
    });
    this.counters.written += toWrite.length;
    result.queued += toWrite.length;
    result.cpu += toWrite.length * this.#costs.swapOutCpu;
  }

  #keep(frame: number): void {
    this.#books.lists.put(this.#books.frames.index(frame), lists.active);
  }

  /** From now on only such slots are used as have their room on the disk already; when there are none, swap is exhausted. */
  #writeFailed(error: unknown): void {
    const { swap } = this.#books;
    this.counters.failedWrites++;
    swap!.slots.diskFull();
    const reason = error instanceof Error ? error.message : String(error);
    this.#onWriteError(
      `swap file ${swap!.name} cannot be written: ${reason}; it stays at its present size: make room on its disk`,
    );
  }

  saveState(to: StateWriter): void {
    to.list(this.#writes, ({ slot, done }) => {
      to.u32(slot);
      to.number(done);
    });
    for (const value of Object.values(this.counters)) to.number(value);
  }

  /** To be called when the books have their state. */
  loadState(from: StateReader): void {
    this.#writes = from.list(() => ({ slot: from.u32(), done: from.number() }));
    for (const name of Object.keys(this.counters) as (keyof typeof this.counters)[]) {
      this.counters[name] = from.number();
    }
  }
}
