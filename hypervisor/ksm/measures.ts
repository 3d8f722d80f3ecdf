/**
 * What is measured of merging, whatever scanner merges: it stands between the scanner and the memory, and sees each merge and each end of one.
 *
 * - *Saved*: pages that map a merged frame less the merged frames, and pages that a scanner mapped to the zero frame; as bytes over time. This
 *   is the truth of the moment, which a scanner's counters may lag behind.
 * - *Lifetime of a merge*: from the instant at which a page came to map a merged frame or the zero frame until it no longer did, for
 *   whatever reason. A merge is stamped with the time at which the scanner's turn began, its end with the time of the event. What still
 *   lasts is not counted.
 * - *Time from duplicate to merge*: from the first of the samples without a gap in which the oracle found the page to be a duplicate (it had a
 *   frame of its own, and another frame had the same content) to its merge. So it is too short by up to the time between
 *   two samples; a page that was no duplicate at the last sample before its merge is counted as unsampled.
 */
import { Histogram } from '../measures/histogram.ts';
import { Integral } from '../measures/integral.ts';
import { type HostMemory, pageSize } from '../memory/hostmemory.ts';
import type { FrameClass, MergeListener, MergeMemory, MergeSpace } from '../memory/merge.ts';
import { StateError, type Stateful, type StateReader, type StateWriter } from '../state/state.ts';
import type { DuplicateObserver } from './oracle.ts';

/** Stands for a page that is not merged. */
const never = -1;

/** What is known of a guest's pages. */
interface Pages {
  /** When each page was merged, in ns; {@link never} when it is not. */
  readonly mergedAt: Float64Array;
  /** Number of the last sample in which it was a duplicate, and the time of the first of those without a gap before it. */
  readonly lastSample: Uint32Array;
  readonly since: Float64Array;
}

/** See the top of this file. A scanner is given this as its memory. */
export class MergeMeasures implements MergeMemory, DuplicateObserver, Stateful {
  /** Lifetimes of merges that have ended, in ns. */
  readonly lifetimes = new Histogram();
  /** Times from duplicate to merge, in ns. */
  readonly waits = new Histogram();
  /** Bytes saved over time. */
  readonly saved = new Integral();
  /** Merges of pages that were no duplicates at the last sample. */
  unsampled = 0;
  readonly #memory: MergeMemory;
  readonly #pages = new Map<number, Pages>();
  #now = 0;
  /** Number of samples. */
  #samples = 0;
  #savedPages = 0;

  constructor(memory: MergeMemory) {
    this.#memory = memory;
    for (const space of memory.spaces) this.#add(space);
    memory.listen({
      spaceAdded: (space) => this.#add(space),
      spaceRemoved: (space) => this.#pages.delete(space.id),
      dropped: (space, page, frame, _cause, left, time) => this.#dropped(space, page, frame, left, time),
    });
  }

  #add({ id, pageCount }: MergeSpace): void {
    this.#pages.set(id, {
      mergedAt: new Float64Array(pageCount).fill(never),
      lastSample: new Uint32Array(pageCount),
      since: new Float64Array(pageCount),
    });
  }

  /** It is virtual time `now` (ns), for the scanner's turn or the oracle's sample that follows. */
  advance(now: number): void {
    this.#now = now;
  }

  /** Pages saved now. */
  get savedPages(): number {
    return this.#savedPages;
  }

  #save(time: number, difference: number): void {
    this.#savedPages += difference;
    this.saved.set(time, this.#savedPages * pageSize);
  }

  #merged(space: MergeSpace, page: number): void {
    const { mergedAt, lastSample, since } = this.#pages.get(space.id)!;
    mergedAt[page] = this.#now;
    if (this.#samples > 0 && lastSample[page] === this.#samples) this.waits.record(this.#now - since[page]!);
    else this.unsampled++;
  }

  #dropped(space: MergeSpace, page: number, frame: number, left: number, time: number): void {
    const { mergedAt } = this.#pages.get(space.id)!;
    const since = mergedAt[page]!;
    // Pages can map the zero frame without a scanner's doing.
    if (since === never) return;
    mergedAt[page] = never;
    this.lifetimes.record(Math.max(0, time - since));
    if (left > 0 || frame === this.zeroFrame) this.#save(Math.max(time, this.#now), -1);
  }

  beginSample(): void {
    this.#samples++;
  }

  duplicate(space: MergeSpace, page: number): void {
    const { lastSample, since } = this.#pages.get(space.id)!;
    if (this.#samples === 1 || lastSample[page] !== this.#samples - 1) since[page] = this.#now;
    lastSample[page] = this.#samples;
  }

  get memory(): HostMemory {
    return this.#memory.memory;
  }

  get spaces(): readonly MergeSpace[] {
    return this.#memory.spaces;
  }

  get zeroFrame(): number {
    return this.#memory.zeroFrame;
  }

  frameOf(space: MergeSpace, page: number): number {
    return this.#memory.frameOf(space, page);
  }

  classOf(frame: number): FrameClass {
    return this.#memory.classOf(frame);
  }

  mapCount(frame: number): number {
    return this.#memory.mapCount(frame);
  }

  zeroPages(space: MergeSpace): number {
    return this.#memory.zeroPages(space);
  }

  share(space: MergeSpace, page: number, tag: number): void {
    this.#memory.share(space, page, tag);
    this.#merged(space, page);
  }

  tagOf(frame: number): number {
    return this.#memory.tagOf(frame);
  }

  replace(space: MergeSpace, page: number, frame: number): void {
    this.#memory.replace(space, page, frame);
    this.#merged(space, page);
    this.#save(this.#now, 1);
  }

  unshare(space: MergeSpace, page: number): boolean {
    return this.#memory.unshare(space, page);
  }

  listen(listener: MergeListener): void {
    this.#memory.listen(listener);
  }

  saveState(to: StateWriter): void {
    to.part('lifetimes', this.lifetimes);
    to.part('waits', this.waits);
    to.part('saved', this.saved);
    for (const value of [this.unsampled, this.#now, this.#samples, this.#savedPages]) to.number(value);
    to.list([...this.#pages], ([id, { mergedAt, lastSample, since }]) => {
      to.u32(id);
      to.u32(mergedAt.length);
      for (let page = 0; page < mergedAt.length; page++) {
        // What was a duplicate before the last sample, and is none now, is of no further use.
        const isDuplicate = this.#samples > 0 && lastSample[page] === this.#samples;
        const isMerged = mergedAt[page] !== never;
        to.u8(Number(isMerged) + 2 * Number(isDuplicate));
        if (isMerged) to.number(mergedAt[page]!);
        if (isDuplicate) to.number(since[page]!);
      }
    });
  }

  loadState(from: StateReader): void {
    from.part('lifetimes', this.lifetimes);
    from.part('waits', this.waits);
    from.part('saved', this.saved);
    this.unsampled = from.number();
    this.#now = from.number();
    this.#samples = from.number();
    this.#savedPages = from.number();
    this.#pages.clear();
    from.list(() => {
      const id = from.u32();
      const pageCount = from.u32();
      if (this.spaces.find((space) => space.id === id)?.pageCount !== pageCount) {
        throw new StateError(
          `merging was measured of guest ${id} with ${pageCount} pages, which this host lacks`,
        );
      }
      const pages: Pages = {
        mergedAt: new Float64Array(pageCount).fill(never),
        lastSample: new Uint32Array(pageCount),
        since: new Float64Array(pageCount),
      };
      for (let page = 0; page < pageCount; page++) {
        const flags = from.u8();
        if ((flags & 1) !== 0) pages.mergedAt[page] = from.number();
        if ((flags & 2) === 0) continue;
        pages.since[page] = from.number();
        pages.lastSample[page] = this.#samples;
      }
      this.#pages.set(id, pages);
    });
  }
}
