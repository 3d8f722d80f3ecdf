/**
 * The oracle: what ideal merging would save at this instant, beside what is saved, and why the rest is not.
 *
 * Ideal merging keeps one frame for each content. Contents are told apart by their XXH64; that two of a million different pages have
 * equal hashes has a probability below 1 in 10^7, and changes a figure by one.
 */
import { type HostMemory, pageSize } from '../memory/hostmemory.ts';
import type { MergeMemory, MergeSpace } from '../memory/merge.ts';
import * as slots from '../memory/slots.ts';
import { ContentClasses } from './classes.ts';
import { type Content, contentOf } from './content.ts';
import type { Scanner } from './scanner.ts';

/** Why a frame that ideal merging would save is not saved. */
export type MissReason =
  /** The page may not be merged. */
  | 'ineligible'
  /** The page has changed since the scanner looked at it. */
  | 'volatile'
  /** The scanner passes the page over for a while (smart scan). */
  | 'skipped'
  /** The scanner has not looked at the page, or not often enough yet. */
  | 'unscanned'
  /** Merged frames of that content take no further page (`max_page_sharing`), so there are several, or the page waits for another. */
  | 'capped';

/** What the oracle says; counts of pages or frames. */
export interface OracleReport {
  /** Pages of all guests that have a frame. */
  readonly present: number;
  /** Pages of zeros among them. */
  readonly zero: number;
  /** Frames that they have. */
  readonly frames: number;
  /** Frames that merging saves: pages less frames. */
  readonly saved: number;
  /** Frames that ideal merging would save. */
  readonly ideal: number;
  /** The same when pages of zeros are left out. */
  readonly idealWithoutZero: number;
  /** Of `ideal`, what could be saved if only pages of the same guest were merged. */
  readonly idealWithin: number;
  /** The rest of it, which only merging across guests saves. */
  readonly idealAcross: number;
  /** `ideal` less `saved`, by reason. */
  readonly missed: Readonly<Record<MissReason, number>>;
}

/** Who wants to know which pages have a frame of their own though another frame has the same content. */
export interface DuplicateObserver {
  /** A sample begins. */
  beginSample(): void;
  /** In this sample the page is a duplicate. */
  duplicate(space: MergeSpace, page: number): void;
}

/** What is counted of the frames of a content that has several; the private ones by how far the scanner is with them. */
const columns = ['ineligible', 'volatile', 'skipped', 'unseen', 'waiting', 'merged', 'open'] as const;
type Column = (typeof columns)[number];
const columnOf = Object.fromEntries(columns.map((name, i) => [name, i])) as Record<Column, number>;
/** When a content has no merged frame, one of its private frames stays: of those that are nearest to being merged. */
const keepers: readonly Column[] = ['waiting', 'unseen', 'skipped', 'volatile', 'ineligible'];

/** See the top of this file. */
export class Oracle {
  readonly #memory: MergeMemory;
  readonly #host: HostMemory;
  readonly #content: Content;
  readonly #classes = new ContentClasses();
  /** Where `Content.hash` puts its result, as an index of words. */
  readonly #result: number;
  /** For each frame: its class + 1 in this sample, 0 when it was not met yet. */
  readonly #classOfFrame: Uint32Array;
  /** For each frame the halves of its hash; they hold for later samples while it is a merged one, whose content does not change. */
  readonly #known: Uint8Array;
  readonly #low: Uint32Array;
  readonly #high: Uint32Array;
  /** For each class with several frames its row of `#rows` + 1, else 0. */
  #rowOfClass = new Uint32Array(0);
  /** Counts, by {@link columns}. */
  #rows = new Uint32Array(0);

  constructor(memory: MergeMemory) {
    this.#memory = memory;
    this.#host = memory.memory;
    this.#content = contentOf(this.#host);
    this.#result = this.#host.allocate(8, 8) >> 2;
    const { frameCount } = this.#host;
    this.#classOfFrame = new Uint32Array(frameCount);
    this.#known = new Uint8Array(frameCount);
    this.#low = new Uint32Array(frameCount);
    this.#high = new Uint32Array(frameCount);
    memory.listen({
      released: (frame) => {
        this.#known[this.#index(frame)] = 0;
      },
    });
  }

  #index(frame: number): number {
    return (frame - this.#host.framesStart) / pageSize;
  }

  /** Looks at all pages of all guests. */
  sample(scanner: Scanner, observer?: DuplicateObserver): OracleReport {
    const { present, frames, within } = this.#classify();
    observer?.beginSample();
    const ideal = present - this.#classes.size;
    const zero = this.#zeroPages();
    return {
      present,
      zero,
      frames,
      saved: present - frames,
      ideal,
      idealWithoutZero: ideal - Math.max(0, zero - 1),
      idealWithin: within,
      idealAcross: ideal - within,
      missed: this.#explain(scanner, observer),
    };
  }

  /** Calls `visit` for each page that has a frame, with its frame, the number of that, and whether the page may write to it. */
  #eachPage(
    visit: (space: MergeSpace, page: number, frame: number, index: number, own: boolean) => void,
  ): void {
    const { i32, framesStart } = this.#host;
    for (const space of this.#memory.spaces) {
      const first = space.slots >> 2;
      const { pageCount } = space;
      for (let page = 0; page < pageCount; page++) {
        const slot = i32[first + page]!;
        if ((slot & slots.present) === 0) continue;
        const frame = (slot & slots.frameMask) >>> 0;
        visit(space, page, frame, (frame - framesStart) / pageSize, (slot & slots.writable) !== 0);
      }
    }
  }

  /** Puts every page into the class of its content. */
  #classify(): { present: number; frames: number; within: number } {
    const classes = this.#classes;
    const classOfFrame = this.#classOfFrame;
    classes.clear();
    classOfFrame.fill(0);
    let present = 0;
    let frames = 0;
    let within = 0;
    this.#eachPage((space, _page, frame, index, own) => {
      let which = classOfFrame[index]! - 1;
      if (which < 0) {
        which = this.#classOf(frame, index, own);
        classOfFrame[index] = which + 1;
        classes.frames[which]!++;
        frames++;
      }
      present++;
      classes.pages[which]!++;
      if (classes.lastGuest[which] === space.id) within++;
      classes.lastGuest[which] = space.id;
    });
    return { present, frames, within };
  }

  #classOf(frame: number, index: number, own: boolean): number {
    if (this.#known[index] === 0) {
      this.#content.hash(frame, this.#result << 2);
      this.#low[index] = this.#host.u32[this.#result]!;
      this.#high[index] = this.#host.u32[this.#result + 1]!;
      if (!own && this.#memory.tagOf(frame) !== 0) this.#known[index] = 1;
    }
    return this.#classes.of(this.#low[index]!, this.#high[index]!);
  }

  /** Number of pages of zeros. */
  #zeroPages(): number {
    this.#content.hash(this.#memory.zeroFrame, this.#result << 2);
    const { u32 } = this.#host;
    const which = this.#classes.find(u32[this.#result]!, u32[this.#result + 1]!);
    return which < 0 ? 0 : this.#classes.pages[which]!;
  }

  /** Says for each frame too many why it is there. */
  #explain(scanner: Scanner, observer: DuplicateObserver | undefined): Record<MissReason, number> {
    const rowCount = this.#makeRows();
    const memory = this.#memory;
    const rows = this.#rows;
    const classOfFrame = this.#classOfFrame;
    this.#eachPage((space, page, frame, index, own) => {
      const which = classOfFrame[index]! - 1;
      const row = which < 0 ? 0 : this.#rowOfClass[which]!;
      if (row === 0) return;
      const count = (column: Column) => {
        rows[(row - 1) * columns.length + columnOf[column]]!++;
      };
      if (!own && (frame === memory.zeroFrame || memory.tagOf(frame) !== 0)) {
        // Its other pages are not looked at again.
        classOfFrame[index] = 0;
        count('merged');
        if (frame === memory.zeroFrame || scanner.takesMore(frame)) count('open');
        return;
      }
      observer?.duplicate(space, page);
      if (!space.mergeable || memory.frameOf(space, page) === 0) count('ineligible');
      else count(scanner.standing(space, page, this.#low[index]!));
    });
    return this.#judge(rowCount);
  }

  /** Gives each class with several frames a row of zeros; gives their number. */
  #makeRows(): number {
    const { size, frames } = this.#classes;
    if (this.#rowOfClass.length < size) this.#rowOfClass = new Uint32Array(size * 2);
    let count = 0;
    for (let which = 0; which < size; which++) this.#rowOfClass[which] = frames[which]! > 1 ? ++count : 0;
    const words = count * columns.length;
    if (this.#rows.length < words) this.#rows = new Uint32Array(words * 2);
    else this.#rows.fill(0, 0, words);
    return count;
  }

  /** Adds the rows up to reasons. */
  #judge(rowCount: number): Record<MissReason, number> {
    const missed = { ineligible: 0, volatile: 0, skipped: 0, unscanned: 0, capped: 0 };
    for (let row = 0; row < rowCount; row++) {
      const at = row * columns.length;
      const rows = this.#rows;
      const get = (column: Column) => rows[at + columnOf[column]]!;
      const merged = get('merged');
      if (merged > 0) missed.capped += merged - 1;
      else rows[at + columnOf[keepers.find((column) => get(column) > 0)!]]!--;
      missed.ineligible += get('ineligible');
      missed.volatile += get('volatile');
      missed.skipped += get('skipped');
      missed.unscanned += get('unseen');
      // A page waits for a twin though there is a merged frame of its content: that takes no more, or was made after the visit.
      if (merged > 0 && get('open') === 0) missed.capped += get('waiting');
      else missed.unscanned += get('waiting');
    }
    return missed;
  }
}
