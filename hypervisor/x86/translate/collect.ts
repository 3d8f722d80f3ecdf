/** Which instructions belong to a region: the first half of what `region.ts` does. */
import { pageSize } from '../../memory/hostmemory.ts';
import * as codepage from '../codepage.ts';
import type { RegionEnd, TranslatorCounters } from './counters.ts';
import type { Copying, TranslationOptions } from './options.ts';
import type { FormTemplates, RecordViews, Templates } from './templates.ts';

/** The code page that is so many bytes further on than the region's own; 0 when it is not known. */
export type PageAt = (distance: number) => number;

/** What a leader leads to: no region, a first one, or a large one that took the place of that, and copies what other regions have. */
export type RegionSize = 'none' | 'small' | 'large';

/** What decoded code stands for. */
export interface Meanings {
  /** The form that a handler executes; undefined for what is no instruction. */
  formOf(handler: number): FormTemplates | undefined;
  /** Whether a handler is that of instructions that reach into the next page. */
  isCrossing(handler: number): boolean;
  /** The region that a leader leads to. */
  sizeOf(leader: number): RegionSize;
}

/** Where a jump to another page or a call leads. */
export interface Edge {
  readonly part: Part;
  readonly offset: number;
}

/** What is collected of one page in one context. */
export interface Part {
  readonly page: number;
  readonly distance: number;
  /** Index of {@link Collected.contexts}. */
  readonly context: number;
  /** By offset of the page: {@link seen} and {@link isStart}. */
  readonly marks: Uint8Array;
  /** Numbers of the blocks that start at offsets of the page. */
  readonly numbers: Int32Array;
  /** Offsets of its instructions. */
  readonly found: number[];
  /** By offset of the instruction: jumps and calls that lead to a part. By offset behind the page's end: where control goes on there. */
  readonly edges: Map<number, Edge>;
  /** By offset: the records of instructions that reach into the next page, as it is here. */
  readonly crossings: Map<number, number>;
  /** Offsets from which it is to be collected. */
  readonly work: number[];
}

/** Code that has one place that it returns to: a call. The first is the region itself, which returns anywhere. */
export interface Context {
  /** The part that calls, and the offset behind the call. */
  readonly caller: Part | undefined;
  readonly returnTo: number;
  readonly depth: number;
  /** Calls that have not been looked at. */
  readonly calls: Call[];
  readonly jumps: Call[];
  /** Whether it has an instruction that returns. */
  returns: boolean;
  /** Whether it has more instructions than it may have. */
  full: boolean;
}

/** A call, or a jump to another page, which going on behind the page's end is as well. */
interface Call {
  readonly part: Part;
  readonly at: number;
  readonly next: number;
  /** Distance of its target from the start of the part's page. */
  readonly target: number;
}

/** What belongs to a region. */
export interface Collected {
  readonly parts: readonly Part[];
  readonly contexts: readonly Context[];
}

/** An instruction belongs to the part. */
export const seen = 1;
/** A block starts there. */
export const isStart = 2;

/** See the top of this file. */
export class Collector {
  readonly #views: RecordViews;
  readonly #templates: Templates;
  readonly #meanings: Meanings;
  readonly #counters: TranslatorCounters;
  /** Arrays of parts, to be used again. */
  readonly #spare: Pick<Part, 'marks' | 'numbers'>[] = [];
  #parts: Part[] = [];
  #contexts: Context[] = [];
  /** Instructions so far, and how many there may be. */
  #total = 0;
  #room = 0;
  /** Instructions that other regions have as well. */
  #copied = 0;
  #large = false;
  #copying!: Copying;
  #pageAt!: PageAt;
  #options!: TranslationOptions;

  constructor(views: RecordViews, templates: Templates, meanings: Meanings, counters: TranslatorCounters) {
    this.#views = views;
    this.#templates = templates;
    this.#meanings = meanings;
    this.#counters = counters;
  }

  /** The leader at an offset of a page; 0 when there is none. */
  leader(page: number, offset: number): number {
    return Math.max(this.#views.i32[(page + codepage.entriesOffset + 4 * offset) >> 2]!, 0);
  }

  /** The record of the instruction at an offset of a page; 0 when it has not been decoded. */
  recordAt(page: number, offset: number): number {
    const { i32 } = this.#views;
    const entry = i32[(page + codepage.entriesOffset + 4 * offset) >> 2]!;
    return entry > 0 ? i32[(entry + codepage.link) >> 2]! : -entry;
  }

  /** The form of the instruction at a record; undefined when it is none. */
  formAt(record: number): FormTemplates | undefined {
    return this.#meanings.formOf(this.#views.i32[(record + codepage.handler) >> 2]!);
  }

  /** Whether a direct jump's target is in its page. */
  inPage(record: number): boolean {
    return this.#views.i32[(record + codepage.link) >> 2] !== -1;
  }

  /** The record of the instruction at a crossing, where the next page is `next`; 0 when it has not been decoded. */
  #alternative(crossing: number, next: number): number {
    const { i32 } = this.#views;
    for (let head = crossing; next !== 0; ) {
      head = i32[(head + codepage.link) >> 2]!;
      if (head === 0) break;
      if (i32[(head + codepage.alternativePage) >> 2] === next) return head + codepage.recordSize;
    }
    return 0;
  }

  /** Whether there is an instruction that has been decoded and is not part of a region. */
  isInterpreted(page: number, offset: number): boolean {
    const record = offset < pageSize ? this.recordAt(page, offset) : 0;
    if (record === 0) return false;
    const of = this.formAt(record);
    return of === undefined || !this.#canBeTranslated(of, record);
  }

  #canBeTranslated(of: FormTemplates, record: number): boolean {
    const shape = this.#templates.shape(of, this.#views, record, of.jumps ? 'elsewhere' : 'none');
    return this.#templates.find(of, shape) !== undefined;
  }

  /**
   * Collects the region that starts at offset `start` of a page; undefined when its first instruction cannot be translated.
   * What it gives is good until {@link release}.
   */
  collect(
    page: number,
    start: number,
    large: boolean,
    pageAt: PageAt,
    options: TranslationOptions,
  ): Collected | undefined {
    this.#parts = [];
    this.#contexts = [];
    this.#total = 0;
    this.#copied = 0;
    this.#large = large;
    this.#pageAt = pageAt;
    this.#options = options;
    this.#copying = large ? options.largeCopies : options.firstCopies;
    this.#room = options.largestRegion;
    const context = this.#addContext(undefined, -1, 0);
    const part = this.#addPart(page, 0, 0);
    part.work.push(start);
    this.#exhaust(context, start);
    if (this.#total === 0) {
      this.release();
      return undefined;
    }
    return { parts: this.#parts, contexts: this.#contexts };
  }

  /** Ends the use of what has been collected. */
  release(): void {
    this.#dropParts(0);
  }

  #addContext(caller: Part | undefined, returnTo: number, depth: number): Context {
    const context = { caller, returnTo, depth, calls: [], jumps: [], returns: false, full: false };
    this.#contexts.push(context);
    return context;
  }

  #addPart(page: number, distance: number, context: number): Part {
    const { marks, numbers } = this.#spare.pop() ?? {
      marks: new Uint8Array(pageSize + 1),
      numbers: new Int32Array(pageSize + 1),
    };
    const none = { found: [], edges: new Map(), crossings: new Map(), work: [] };
    const part: Part = { page, distance, context, marks, numbers, ...none };
    this.#parts.push(part);
    return part;
  }

  /** The part that a context has of a page. */
  #partAt(page: number, distance: number, context: number): Part {
    return (
      this.#parts.find((each) => each.context === context && each.distance === distance) ??
      this.#addPart(page, distance, context)
    );
  }

  #dropParts(count: number): void {
    for (const { marks, numbers, found } of this.#parts.splice(count)) {
      for (const offset of found) marks[offset] = 0;
      this.#spare.push({ marks, numbers });
    }
  }

  /** The leader where code is executed often, or 0. */
  #hotLeader(page: number, offset: number): number {
    const leader = this.leader(page, offset);
    return leader !== 0 && this.#views.i32[(leader + codepage.heat) >> 2]! >= this.#options.cold ? leader : 0;
  }

  /** Collects all that belongs to a context, with the calls that it makes. */
  #exhaust(context: Context, start: number): void {
    const number = this.#contexts.indexOf(context);
    const { ends } = this.#counters;
    /** Translated code, which is copied when all else has been collected: the nearest first. */
    const later: { part: Part; offset: number }[] = [];
    const collect = (part: Part, offset: number, copies: boolean): void => {
      const end = this.#collectFrom(context, part, offset, copies || number > 0, start);
      if (end === 'translated') later.push({ part, offset: this.#stoppedAt });
      else if (end !== undefined) ends[end]++;
    };
    for (let copies = false; !context.full; ) {
      const part = this.#partToDo(number);
      if (part !== undefined) {
        collect(part, part.work.pop()!, copies);
        continue;
      }
      const jump = context.jumps.shift();
      if (jump !== undefined) {
        this.#follow(jump, number);
        continue;
      }
      const call = context.calls.shift();
      if (call !== undefined) {
        this.#call(call, context);
        continue;
      }
      const next = later.shift();
      if (next === undefined) return;
      if (!this.#large || this.#copied >= this.#copying.most) ends.translated++;
      else {
        copies = true;
        collect(next.part, next.offset, true);
      }
    }
  }

  #stoppedAt = 0;

  /** The last part of a context that is to be collected further. */
  #partToDo(context: number): Part | undefined {
    for (let number = this.#parts.length - 1; number >= 0; number--) {
      const part = this.#parts[number]!;
      if (part.context === context && part.work.length > 0) return part;
    }
    return undefined;
  }

  /** Straight-line code: which instructions belong to it. Gives why it ended other than by a jump. */
  #collectFrom(
    context: Context,
    part: Part,
    from: number,
    copies: boolean,
    start: number,
  ): RegionEnd | undefined {
    const { i32, u8 } = this.#views;
    const { page, marks, found, work } = part;
    let copying = false;
    let at = from;
    while (at < pageSize) {
      if (marks[at] !== 0) {
        marks[at]! |= isStart;
        return undefined;
      }
      if (this.#total >= this.#room) {
        context.full = true;
        return 'full';
      }
      const leader = this.leader(page, at);
      // What is translated already is translated again only as far as there is room: control goes over to it.
      if (leader !== 0 && at !== start && this.#meanings.sizeOf(leader) !== 'none') {
        if (!copies || this.#copied >= this.#copying.most) {
          this.#stoppedAt = at;
          return 'translated';
        }
        copying = true;
      }
      let record = this.recordAt(page, at);
      if (record === 0) return 'cold';
      let of = this.formAt(record);
      const isCrossing =
        of === undefined && this.#meanings.isCrossing(i32[(record + codepage.handler) >> 2]!);
      const next = isCrossing ? this.#pageAt(part.distance + pageSize) : 0;
      if (isCrossing) {
        record = this.#alternative(record, next);
        if (record === 0) return 'cold';
        of = this.formAt(record);
      }
      if (of === undefined) return 'notAnInstruction';
      if (!this.#canBeTranslated(of, record)) {
        const { untranslatable } = this.#counters;
        untranslatable[of.name] = (untranslatable[of.name] ?? 0) + 1;
        return 'untranslatable';
      }
      if (isCrossing) {
        part.crossings.set(at, record);
        this.#partAt(next, part.distance + pageSize, part.context);
      }
      marks[at] = at === from || isCrossing ? seen | isStart : seen;
      found.push(at);
      this.#total++;
      if (copying) this.#copied++;
      const behind = at + u8[record + codepage.length]!;
      if (of.jumps) {
        const target = i32[(record + codepage.immediate) >> 2]!;
        if (of.isCall) context.calls.push({ part, at, next: behind, target });
        else if (!this.inPage(record)) context.jumps.push({ part, at, next: behind, target });
        else if (this.#hotLeader(page, target) !== 0) work.push(target);
        else this.#counters.ends.cold++;
      } else if (of.isCall && of.ends && context.depth === 0) this.#returnPlace(part, behind);
      if (of.isReturn) context.returns = true;
      if (of.ends) return undefined;
      if (of.jumps) {
        work.push(behind);
        return undefined;
      }
      at = behind;
    }
    context.jumps.push({ part, at, next: at, target: at });
    return undefined;
  }

  /** Where a call returns to that is not followed. */
  #returnPlace(part: Part, next: number): void {
    if (next < pageSize && this.#hotLeader(part.page, next) !== 0) part.work.unshift(next);
  }

  /** The page that a jump or call leads to, and where in it; undefined when it is not known to be executed often. */
  #target({ part, target }: Call): { page: number; distance: number; offset: number } | undefined {
    const offset = target & (pageSize - 1);
    const distance = part.distance + target - offset;
    const page = distance === part.distance ? part.page : this.#pageAt(distance);
    return page !== 0 && this.#hotLeader(page, offset) !== 0 ? { page, distance, offset } : undefined;
  }

  /** Lets a jump to another page lead to a part of the same context. */
  #follow(jump: Call, context: number): void {
    const to = this.#target(jump);
    if (to === undefined) {
      this.#counters.ends.cold++;
      return;
    }
    const { page, distance, offset } = to;
    const part = this.#partAt(page, distance, context);
    part.work.push(offset);
    jump.part.edges.set(jump.at, { part, offset });
  }

  /** Copies what a call calls, or has it leave the region. */
  #call(call: Call, context: Context): void {
    const { part, at, next, target } = call;
    const callee = this.#copy(call, context);
    if (callee !== undefined) {
      part.edges.set(at, callee);
      part.work.push(next);
      this.#counters.inlined++;
      return;
    }
    if (context.depth > 0) return;
    if (target >= 0 && target < pageSize && this.#hotLeader(part.page, target) !== 0) part.work.push(target);
    this.#returnPlace(part, next);
  }

  #copy(call: Call, { depth }: Context): Edge | undefined {
    const { part, next } = call;
    const { deepestCall, largestCalled } = this.#copying;
    if (depth >= deepestCall || next >= pageSize || this.recordAt(part.page, next) === 0) return undefined;
    const to = this.#target(call);
    if (to === undefined) return undefined;
    const { page, distance, offset } = to;
    const parts = this.#parts.length;
    const contexts = this.#contexts.length;
    const total = this.#total;
    const copied = this.#copied;
    const room = this.#room;
    this.#room = Math.min(room, total + largestCalled);
    const context = this.#addContext(part, next, depth + 1);
    const callee = this.#addPart(page, distance, contexts);
    callee.work.push(offset);
    this.#exhaust(context, -1);
    this.#room = room;
    if (context.returns && !context.full) return { part: callee, offset };
    this.#dropParts(parts);
    this.#contexts.splice(contexts);
    this.#total = total;
    this.#copied = copied;
    return undefined;
  }
}
