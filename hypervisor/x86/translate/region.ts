/**
 * Regions: what is translated together. A region starts at a leader of a code page and takes in the blocks of that page that
 * are reached from there by direct jumps and calls, as far as they are executed often. Indirect jumps, returns and instructions that
 * cannot be translated lead out of it. Where calls return to is part of it as well, as a further entry.
 */
import { pageSize } from '../../memory/hostmemory.ts';
import * as codepage from '../codepage.ts';
import type { RegionEnd, TranslatorCounters } from './counters.ts';
import { longestBlock } from './exitcode.ts';
import type { TranslationOptions } from './options.ts';
import type { JumpTo } from './semantics.ts';
import type { FormTemplates, RecordViews, Templates, Variants } from './templates.ts';

/** How a block ends. */
export type BlockEnd =
  /** Its last instruction never goes on to the next: a jump, a call, a return. */
  | 'leaves'
  /** By a direct jump to `target`, which needs no code of its own. */
  | 'jumps'
  /** By a call of `target`. */
  | 'calls'
  /** Straight on to `next`, or by its last instruction's jump to `target`. */
  | 'falls'
  /** `next` is executed by the interpreter: it is no translatable instruction. */
  | 'interpreted';

/** A block: instructions that are executed one after the other. */
export interface Block {
  /** Distance of its first instruction from the start of the page. */
  readonly start: number;
  /** Its instructions: range of {@link Region.instructions}. */
  readonly first: number;
  readonly count: number;
  /** Offset behind the last instruction. */
  readonly next: number;
  readonly end: BlockEnd;
  /** Where its direct jump leads, in the page; -1 when there is none or it leads elsewhere. */
  readonly target: number;
  /** Numbers of the blocks that follow within the region. */
  successors: number[];
}

/** An instruction of a region. */
export interface RegionInstruction {
  readonly record: number;
  readonly offset: number;
  readonly length: number;
  readonly of: FormTemplates;
  shape: number;
  variants: Variants;
}

/** See the top of this file. */
export interface Region {
  readonly page: number;
  readonly instructions: readonly RegionInstruction[];
  /** In the order of the page. */
  readonly blocks: readonly Block[];
  /** Numbers of the blocks at which control may enter: the first is the one that was hot. */
  entries: number[];
}

/** What is found out about an offset of the page while a region is collected. */
const seen = 1;
const isStart = 2;

/** Finds regions in decoded pages. */
export class RegionFinder {
  readonly #views: RecordViews;
  readonly #templates: Templates;
  /** The form of a record's handler; undefined for what is no instruction. */
  readonly #formOf: (handler: number) => FormTemplates | undefined;
  /** Table entry of the handler of leaders that are not translated. */
  readonly #leaderHandler: () => number;
  readonly #counters: TranslatorCounters;
  readonly #marks = new Uint8Array(pageSize + 1);
  readonly #numbers = new Int32Array(pageSize + 1);

  /**
   * @param formOf the form that a handler executes
   * @param leaderHandler the handler of leaders whose code is not translated
   */
  constructor(
    views: RecordViews,
    templates: Templates,
    formOf: (handler: number) => FormTemplates | undefined,
    leaderHandler: () => number,
    counters: TranslatorCounters,
  ) {
    this.#views = views;
    this.#templates = templates;
    this.#formOf = formOf;
    this.#leaderHandler = leaderHandler;
    this.#counters = counters;
  }

  /** The leader at an offset of a page; 0 when there is none. */
  leader(page: number, offset: number): number {
    return Math.max(this.#views.i32[(page + codepage.entriesOffset + 4 * offset) >> 2]!, 0);
  }

  /** Whether what stands at a leader is a region. */
  isTranslated(leader: number): boolean {
    return this.#views.i32[(leader + codepage.handler) >> 2] !== this.#leaderHandler();
  }

  #recordAt(page: number, offset: number): number {
    const { i32 } = this.#views;
    const entry = i32[(page + codepage.entriesOffset + 4 * offset) >> 2]!;
    return entry > 0 ? i32[(entry + codepage.link) >> 2]! : -entry;
  }

  /**
   * The region that starts at offset `start`, where there is a leader; undefined when its first instruction cannot be translated.
   */
  find(page: number, start: number, { cold, largestRegion }: TranslationOptions): Region | undefined {
    const { i32, u8 } = this.#views;
    const marks = this.#marks;
    const found: number[] = [];
    const work = [start];
    const returns: number[] = [];
    const hot = (offset: number): boolean => {
      const leader = this.leader(page, offset);
      if (leader === 0 || i32[(leader + codepage.heat) >> 2]! < cold) return false;
      return offset === start || !this.isTranslated(leader);
    };

    const { ends, untranslatable } = this.#counters;
    /** First pass: which instructions belong to it, and which of them start a block. Gives why straight-line code ended. */
    const collectFrom = (blockStart: number): RegionEnd | undefined => {
      for (let at = blockStart; at < pageSize; ) {
        if (marks[at] !== 0) {
          marks[at]! |= isStart;
          return undefined;
        }
        if (found.length === largestRegion) return 'full';
        const leader = this.leader(page, at);
        // What is translated already is not translated again: control goes over to it.
        if (leader !== 0 && at !== start && this.isTranslated(leader)) return 'translated';
        const record = this.#recordAt(page, at);
        if (record === 0) return 'cold';
        const of = this.#formOf(i32[(record + codepage.handler) >> 2]!);
        if (of === undefined) return 'notAnInstruction';
        const jump = of.jumps ? 'elsewhere' : 'none';
        if (this.#templates.find(of, this.#templates.shape(of, this.#views, record, jump)) === undefined) {
          untranslatable[of.name] = (untranslatable[of.name] ?? 0) + 1;
          return 'untranslatable';
        }
        marks[at] = at === blockStart ? seen | isStart : seen;
        found.push(at);
        const next = at + u8[record + codepage.length]!;
        if (of.jumps) {
          const target = i32[(record + codepage.immediate) >> 2]!;
          if (this.#inPage(record)) {
            if (hot(target)) work.push(target);
            else ends.cold++;
          }
        }
        if (of.jumps || of.ends) {
          if (!of.ends) work.push(next);
          else if (of.isCall && next < pageSize && hot(next)) returns.push(next);
          return undefined;
        }
        at = next;
      }
      return undefined;
    };
    const collect = (): void => {
      while (work.length > 0) {
        const end = collectFrom(work.pop()!);
        if (end !== undefined) ends[end]++;
      }
    };
    collect();
    if (found.length === 0) return undefined;
    while (returns.length > 0 && found.length < largestRegion) {
      work.push(returns.shift()!);
      collect();
    }

    found.sort((a, b) => a - b);
    const instructions: RegionInstruction[] = [];
    const blocks: Block[] = [];
    const numbers = this.#numbers;
    const inside = (offset: number) => offset >= 0 && offset < pageSize && marks[offset]! !== 0;
    // Ascending, so that a start that is made on the way is met later. Instructions may overlap.
    for (const blockStart of found) {
      if ((marks[blockStart]! & isStart) === 0) continue;
      const first = instructions.length;
      let end: BlockEnd = 'interpreted';
      let target = -1;
      let next = blockStart;
      for (;;) {
        const at = next;
        const record = this.#recordAt(page, at);
        const of = this.#formOf(i32[(record + codepage.handler) >> 2]!)!;
        next = at + u8[record + codepage.length]!;
        let jump: JumpTo = 'none';
        if (of.jumps) {
          const to = i32[(record + codepage.immediate) >> 2]!;
          jump = 'elsewhere';
          if (this.#inPage(record)) {
            jump = 'within';
            if (inside(to) && (marks[to]! & isStart) !== 0) {
              target = to;
              jump = 'inside';
            }
          }
        }
        const shape = this.#templates.shape(of, this.#views, record, jump);
        const variants = this.#templates.find(of, shape)!;
        instructions.push({ record, offset: at, length: next - at, of, shape, variants });
        if (of.ends) {
          end = target < 0 ? 'leaves' : of.isCall ? 'calls' : 'jumps';
          break;
        }
        if (of.jumps) {
          end = 'falls';
          break;
        }
        if (!inside(next)) {
          end = this.#isInterpreted(page, next) ? 'interpreted' : 'falls';
          break;
        }
        if ((marks[next]! & isStart) !== 0 || instructions.length - first >= longestBlock) {
          marks[next]! |= isStart;
          end = 'falls';
          break;
        }
      }
      numbers[blockStart] = blocks.length;
      blocks.push({
        start: blockStart,
        first,
        count: instructions.length - first,
        next,
        end,
        target,
        successors: [],
      });
    }
    const numberAt = (offset: number) =>
      inside(offset) && (marks[offset]! & isStart) !== 0 ? numbers[offset]! : -1;
    for (const block of blocks) {
      const follow = (offset: number): void => {
        const number = numberAt(offset);
        if (number >= 0) block.successors.push(number);
      };
      if (block.end === 'falls') follow(block.next);
      if (block.target >= 0) follow(block.target);
    }
    const entries = [numbers[start]!];
    for (const [number, block] of blocks.entries()) {
      if (block.start !== start && this.leader(page, block.start) !== 0) entries.push(number);
    }
    for (const offset of found) marks[offset] = 0;
    return { page, instructions, blocks, entries };
  }

  /** Lets jumps leave the region whose edges have been taken out of its graph. */
  settleJumps({ blocks, instructions }: Region): void {
    const starts = new Map(blocks.map((block, number) => [block.start, number]));
    for (const { first, count, target, successors } of blocks) {
      if (target < 0 || successors.includes(starts.get(target)!)) continue;
      const jump = instructions[first + count - 1]!;
      jump.shape = this.#templates.shape(jump.of, this.#views, jump.record, 'within');
      jump.variants = this.#templates.find(jump.of, jump.shape)!;
      this.#counters.ends.irreducible++;
    }
  }

  /** Whether there is an instruction that has been decoded and cannot be translated. */
  #isInterpreted(page: number, offset: number): boolean {
    const record = offset < pageSize ? this.#recordAt(page, offset) : 0;
    if (record === 0) return false;
    const of = this.#formOf(this.#views.i32[(record + codepage.handler) >> 2]!);
    if (of === undefined) return true;
    const shape = this.#templates.shape(of, this.#views, record, of.jumps ? 'elsewhere' : 'none');
    return this.#templates.find(of, shape) === undefined;
  }

  /** Whether a direct jump's target is in its page. */
  #inPage(record: number): boolean {
    return this.#views.i32[(record + codepage.link) >> 2] !== -1;
  }
}
