/**
 * Regions: what is translated together. A region starts at a leader of a code page and takes in the blocks of that page that
 * can be reached from there by direct jumps, as far as they have been executed. Calls, returns, indirect jumps and
 * instructions that cannot be translated lead out of it.
 */
import { pageSize } from '../../memory/hostmemory.ts';
import type { Decoder } from '../decode/decoder.ts';
import type { Form } from '../form.ts';

/** One instruction of a region, as the decoder found it. */
export interface Instruction {
  readonly form: Form;
  /** Distance from the start of the page. */
  readonly offset: number;
  readonly length: number;
  readonly reg: number;
  readonly rm: number;
  readonly index: number;
  readonly segment: number;
  readonly scale: number;
  readonly stack: boolean;
  readonly displacement: number;
  readonly immediateLow: number;
  readonly immediateHigh: number;
  readonly jumpTarget: number | undefined;
}

/** How a block ends. */
export type BlockEnd =
  /** By its last instruction, which never goes on to the next. */
  | 'jump'
  /** Straight on to `next`, or by its last instruction's jump. */
  | 'falls'
  /** `next` is interpreted: it is no translatable instruction, or has not been executed yet. */
  | 'interpreted';

/** A block: instructions that are executed one after the other. */
export interface Block {
  readonly start: number;
  readonly instructions: Instruction[];
  /** Offset behind the last instruction. */
  next: number;
  end: BlockEnd;
  /** Blocks that follow within the region, by number. */
  successors: number[];
}

/** Most instructions in a region. */
const largestRegion = 400;

/** What the region builder asks about the page. */
export interface PageCode {
  /** Memory, and where in it the page's bytes are. */
  readonly bytes: Uint8Array;
  readonly origin: number;
  /** Whether the instruction at an offset has been decoded, which happens when it is about to be executed. */
  decoded(offset: number): boolean;
  /** Whether an instruction can be translated. */
  translatable(form: Form, number: number): boolean;
}

/** Finds the region that starts at `start`; undefined when its first instruction cannot be translated. */
export function findRegion(code: PageCode, decoder: Decoder, start: number): Block[] | undefined {
  const blocks: Block[] = [];
  const byStart = new Map<number, Block>();
  const byInstruction = new Map<number, { block: Block; index: number }>();
  const work = [start];
  let count = 0;

  /** Makes `offset` the start of a block, splitting the one that has it in its middle. */
  const split = (offset: number): void => {
    const found = byInstruction.get(offset);
    if (found === undefined || found.index === 0) return;
    const { block, index } = found;
    const rest: Block = {
      start: offset,
      instructions: block.instructions.splice(index),
      next: block.next,
      end: block.end,
      successors: [],
    };
    block.next = offset;
    block.end = 'falls';
    for (const [i, instruction] of rest.instructions.entries()) {
      byInstruction.set(instruction.offset, { block: rest, index: i });
    }
    blocks.push(rest);
    byStart.set(offset, rest);
  };

  while (work.length > 0) {
    const offset = work.pop()!;
    if (byStart.has(offset)) continue;
    if (byInstruction.has(offset)) {
      split(offset);
      continue;
    }
    const block: Block = {
      start: offset,
      instructions: [],
      next: offset,
      end: 'interpreted',
      successors: [],
    };
    for (;;) {
      const at = block.next;
      if (byInstruction.has(at)) {
        // Runs into code that is known.
        split(at);
        block.end = 'falls';
        break;
      }
      if (at >= pageSize || count >= largestRegion || !code.decoded(at)) break;
      if (decoder.decode(code.bytes, code.origin, code.origin + pageSize, at, 2) !== 'instruction') break;
      if (!code.translatable(decoder.form, decoder.formNumber)) break;
      const instruction = snapshot(decoder, at);
      byInstruction.set(at, { block, index: block.instructions.length });
      block.instructions.push(instruction);
      count++;
      block.next = at + decoder.length;
      const ends = decoder.form.row.options.ends === true;
      const target = decoder.jumpTarget;
      if (target !== undefined || ends) {
        block.end = ends ? 'jump' : 'falls';
        // Calls push and leave; only plain jumps stay inside.
        const stays = target !== undefined && decoder.form.row.name !== 'CALL';
        if (!ends) work.push(block.next);
        if (stays && target >= 0 && target < pageSize && code.decoded(target)) work.push(target);
        break;
      }
    }
    if (block.instructions.length === 0) {
      if (offset === start) return undefined;
      continue;
    }
    blocks.push(block);
    byStart.set(offset, block);
  }

  // The start comes first; the rest in the order of the page.
  const first = byStart.get(start)!;
  const rest = blocks.filter((block) => block !== first).sort((a, b) => a.start - b.start);
  const sorted = [first, ...rest];
  const numbers = new Map(sorted.map((block, i) => [block.start, i]));
  for (const block of sorted) {
    const last = block.instructions.at(-1)!;
    const follow = (offset: number | undefined): void => {
      const number = offset === undefined ? undefined : numbers.get(offset);
      if (number !== undefined) block.successors.push(number);
    };
    if (block.end === 'falls') follow(block.next);
    if (last.jumpTarget !== undefined && last.form.row.name !== 'CALL') follow(last.jumpTarget);
  }
  return sorted;
}

function snapshot(decoder: Decoder, offset: number): Instruction {
  const { form, length, reg, rm, index, segment, scale, stack, displacement } = decoder;
  const { immediateLow, immediateHigh, jumpTarget } = decoder;
  return {
    form,
    offset,
    length,
    reg,
    rm,
    index,
    segment,
    scale,
    stack,
    displacement,
    immediateLow,
    immediateHigh,
    jumpTarget,
  };
}
