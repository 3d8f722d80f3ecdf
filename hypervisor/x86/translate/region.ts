/**
 * Regions: what is translated together. A region starts at a leader of a code page and takes in the blocks that are reached
 * from there by direct jumps, as far as they are executed often: those of its page, of pages that it jumps to, and
 * functions that it calls, when they are small: these are copied to each place that calls them, so that it is known where
 * they return to. Indirect jumps, other returns and instructions that cannot be translated lead out of it. Where other calls
 * return to is part of it as well, as a further entry.
 */
import { pageSize } from '../../memory/hostmemory.ts';
import * as codepage from '../codepage.ts';
import { type Collected, Collector, isStart, type Meanings, type PageAt, type Part } from './collect.ts';
import type { TranslatorCounters } from './counters.ts';
import { longestBlock } from './exitcode.ts';
import type { TranslationOptions } from './options.ts';
import type { JumpTo } from './semantics.ts';
import {
  type FormTemplates,
  type RecordViews,
  registerOf,
  type Templates,
  type Variants,
} from './templates.ts';

/** How a block ends. */
export type BlockEnd =
  /** Its last instruction never goes on to the next: a jump, a call, a return. */
  | 'leaves'
  /** By a direct jump to `taken`, which needs no code of its own. */
  | 'jumps'
  /** By a call, a return or a jump to another page, whose code goes on at `taken`. */
  | 'calls'
  /** Straight on to `next`, or by its last instruction's jump to `taken`. */
  | 'falls'
  /** `next` is executed by the interpreter: it is no translatable instruction. */
  | 'interpreted'
  /**
   * It has no instructions: goes on at `taken`, which starts with an instruction that reaches into the next page, if that page is
   * the one that was expected; otherwise it is for the interpreter.
   */
  | 'crosses'
  /** It has no instructions: control goes over to another page, at `start` as seen from this one, if it is the page that was expected. */
  | 'over'
  /** The same behind a return, if it leads to `start` of the page that the call was in. */
  | 'back';

/** A block: instructions that are executed one after the other. */
export interface Block {
  /** In which part of the region it is: index of {@link Region.parts}. */
  readonly part: number;
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
  /** The blocks where its jump leads and that at `next`; -1 when they are not in the region. */
  taken: number;
  follower: number;
  /** Numbers of the blocks that follow within the region: of these, those that have not been given up. */
  successors: number[];
}

/** An instruction of a region. */
export interface RegionInstruction {
  readonly record: number;
  readonly offset: number;
  readonly length: number;
  readonly of: FormTemplates;
  /** Numbers of the general registers that it names, if it does. */
  readonly reg: number;
  readonly rm: number;
  readonly index: number;
  shape: number;
  variants: Variants;
}

/** What a region has of one page. */
export interface RegionPart {
  /** The code page. */
  readonly page: number;
  /** How many bytes further on than the region's own page it is. */
  readonly distance: number;
}

/** See the top of this file. */
export interface Region {
  /** The page that it starts in, which is that of its first part. */
  readonly page: number;
  readonly parts: readonly RegionPart[];
  readonly instructions: readonly RegionInstruction[];
  /** By part, and in the order of its page. */
  readonly blocks: readonly Block[];
  /** Numbers of the blocks at which control may enter: the first is the one that was hot. */
  entries: number[];
}

/** Finds regions in decoded pages. */
export class RegionFinder {
  readonly #views: RecordViews;
  readonly #templates: Templates;
  readonly #meanings: Meanings;
  readonly #counters: TranslatorCounters;
  readonly #collector: Collector;

  constructor(views: RecordViews, templates: Templates, meanings: Meanings, counters: TranslatorCounters) {
    this.#views = views;
    this.#templates = templates;
    this.#meanings = meanings;
    this.#counters = counters;
    this.#collector = new Collector(views, templates, meanings, counters);
  }

  /** The leader at an offset of a page; 0 when there is none. */
  leader(page: number, offset: number): number {
    return this.#collector.leader(page, offset);
  }

  /**
   * The region that starts at offset `start`, where there is a leader; undefined when its first instruction cannot be translated.
   * @param large whether it is to take the place of smaller ones, which it copies
   * @param pageAt the code page so many bytes further on
   */
  find(
    page: number,
    start: number,
    large: boolean,
    pageAt: PageAt,
    options: TranslationOptions,
  ): Region | undefined {
    const collected = this.#collector.collect(page, start, large, pageAt, options);
    if (collected === undefined) return undefined;
    const { parts } = collected;
    const instructions: RegionInstruction[] = [];
    const blocks: Block[] = [];
    parts.forEach((part, number) => {
      this.#blocks(collected, part, number, instructions, blocks);
    });
    this.#connect(collected, instructions, blocks);
    const { numbers } = parts[0]!;
    const entries = [numbers[start]!];
    for (const [number, block] of blocks.entries()) {
      if (block.part !== 0 || block.start === start || numbers[block.start] !== number) continue;
      const leader = this.leader(page, block.start);
      if (leader === 0) continue;
      const size = this.#meanings.sizeOf(leader);
      if (size === 'none' || (large && size === 'small')) entries.push(number);
    }
    const region = {
      page,
      parts: parts.map((part) => ({ page: part.page, distance: part.distance })),
      instructions,
      blocks,
      entries,
    };
    this.#collector.release();
    return region;
  }

  /** Makes the blocks of a part. */
  #blocks(
    { contexts }: Collected,
    part: Part,
    number: number,
    instructions: RegionInstruction[],
    blocks: Block[],
  ): void {
    const { u8, i32 } = this.#views;
    const { page, marks, numbers, found, edges, crossings } = part;
    const context = contexts[part.context]!;
    const returns = context.caller !== undefined && this.#starts(context.caller, context.returnTo);
    found.sort((a, b) => a - b);
    // Ascending, so that a start that is made on the way is met later. Instructions may overlap.
    for (const start of found) {
      if ((marks[start]! & isStart) === 0) continue;
      const first = instructions.length;
      numbers[start] = blocks.length;
      if (crossings.has(start)) {
        const taken = blocks.length + 1;
        const none = { count: 0, next: start, target: -1, follower: -1 };
        blocks.push({ part: number, start, first, end: 'crosses', taken, successors: [taken], ...none });
      }
      let end: BlockEnd = 'interpreted';
      let target = -1;
      let next = start;
      for (;;) {
        const at = next;
        const record = crossings.get(at) ?? this.#collector.recordAt(page, at);
        const of = this.#collector.formAt(record)!;
        next = at + u8[record + codepage.length]!;
        let jump: JumpTo = 'none';
        const edge = of.jumps ? edges.get(at) : undefined;
        if (edge !== undefined && this.#starts(edge.part, edge.offset))
          jump = edge.part.distance === part.distance ? 'inside' : 'across';
        else if (of.jumps) {
          jump = 'elsewhere';
          if (this.#collector.inPage(record)) {
            jump = 'within';
            const to = i32[(record + codepage.immediate) >> 2]!;
            if (this.#starts(part, to)) {
              target = to;
              jump = 'inside';
            }
          }
        } else if (of.isReturn && returns) jump = 'inside';
        const shape = this.#templates.shape(of, this.#views, record, jump);
        const variants = this.#templates.find(of, shape)!;
        const reg = registerOf(this.#views, record, codepage.reg);
        const rm = registerOf(this.#views, record, codepage.rm);
        const index = registerOf(this.#views, record, codepage.index);
        instructions.push({ record, offset: at, length: next - at, of, reg, rm, index, shape, variants });
        if (of.ends) {
          if (jump !== 'inside' && jump !== 'across') end = 'leaves';
          else end = of.isCall || of.isReturn || edge !== undefined ? 'calls' : 'jumps';
          break;
        }
        if (of.jumps) {
          end = 'falls';
          break;
        }
        if (!this.#inside(part, next)) {
          end = this.#collector.isInterpreted(page, next) ? 'interpreted' : 'falls';
          break;
        }
        if ((marks[next]! & isStart) !== 0 || instructions.length - first >= longestBlock) {
          marks[next]! |= isStart;
          end = 'falls';
          break;
        }
      }
      const count = instructions.length - first;
      const known = { part: number, start, first, count, next, end, target };
      blocks.push({ ...known, taken: -1, follower: -1, successors: [] });
    }
  }

  /** Finds which blocks follow each, and adds those without instructions. */
  #connect(
    { parts, contexts }: Collected,
    instructions: readonly RegionInstruction[],
    blocks: Block[],
  ): void {
    const numberOf = (part: Part, offset: number) =>
      this.#starts(part, offset) ? part.numbers[offset]! : -1;
    /** A block without instructions, behind the last instruction of another. */
    const add = (
      { part, first, count }: Block,
      end: 'over' | 'back',
      start: number,
      taken: number,
    ): number => {
      const none = { count: 0, next: start, target: -1, follower: -1 };
      blocks.push({ part, start, first: first + count, end, taken, successors: [taken], ...none });
      return blocks.length - 1;
    };
    const backs = parts.map(() => -1);
    for (const block of [...blocks]) {
      if (block.end === 'crosses') continue;
      const part = parts[block.part]!;
      const last = instructions[block.first + block.count - 1]!;
      const edge = part.edges.get(last.offset);
      if (block.end === 'falls') {
        const behind = block.next < pageSize ? undefined : part.edges.get(block.next);
        const to = behind === undefined ? -1 : numberOf(behind.part, behind.offset);
        if (to >= 0) block.follower = add(block, 'over', block.next, to);
        else block.follower = numberOf(part, block.next);
      }
      if (block.target >= 0) block.taken = numberOf(part, block.target);
      else if (edge !== undefined) {
        const to = numberOf(edge.part, edge.offset);
        const inPage = edge.part.distance === part.distance;
        const target = this.#views.i32[(last.record + codepage.immediate) >> 2]!;
        block.taken = inPage || to < 0 ? to : add(block, 'over', target, to);
      } else if (block.end === 'calls') {
        const { caller, returnTo } = contexts[part.context]!;
        if (backs[block.part]! < 0)
          backs[block.part] = add(block, 'back', returnTo, numberOf(caller!, returnTo));
        block.taken = backs[block.part]!;
      }
      for (const each of [block.follower, block.taken]) if (each >= 0) block.successors.push(each);
    }
  }

  #inside({ marks }: Part, offset: number): boolean {
    return offset >= 0 && offset < pageSize && marks[offset]! !== 0;
  }

  /** Whether a block starts there. */
  #starts({ marks }: Part, offset: number): boolean {
    return offset >= 0 && offset < pageSize && (marks[offset]! & isStart) !== 0;
  }

  /** Lets jumps leave the region whose edges have been taken out of its graph. */
  settleJumps({ blocks, instructions }: Region): void {
    for (const { first, count, taken, successors } of blocks) {
      if (taken < 0 || count === 0 || successors.includes(taken)) continue;
      const jump = instructions[first + count - 1]!;
      const to = !jump.of.jumps ? 'none' : this.#collector.inPage(jump.record) ? 'within' : 'elsewhere';
      jump.shape = this.#templates.shape(jump.of, this.#views, jump.record, to);
      jump.variants = this.#templates.find(jump.of, jump.shape)!;
      this.#counters.ends.irreducible++;
    }
  }
}
