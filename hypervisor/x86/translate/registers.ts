/**
 * Where a region loads general registers from the state, and where it stores them. Most are stored in front of the next place at which
 * control may leave the region or go over to another block, so that the many ways out of it need not keep them, which would take V8's optimizer
 * long and lengthen the code. In loops that would be a store each time: what they write is stored at the region's ends alone.
 */
import { insideLoops } from './entries.ts';
import type { Structure } from './graph.ts';
import type { Region, RegionInstruction } from './region.ts';
import type { Template } from './template.ts';

/** General registers as masks, a bit each. */
export interface Registers {
  /** Those that the region's code has in locals at all. */
  readonly used: number;
  /** Those that are stored at the region's ends alone: what is written in loops, and by instructions that have written it when they leave. */
  readonly late: number;
  /** Those that are loaded before all blocks. */
  readonly loaded: number;
}

/** The general registers that an instruction writes. */
export function writtenBy(template: Template, { reg, rm }: RegionInstruction): number {
  let written = template.gprWritten;
  if (template.writesReg) written |= 1 << reg;
  if (template.writesRm) written |= 1 << rm;
  return written;
}

/** The general registers whose values an instruction takes. */
function readBy(template: Template, { reg, rm, index }: RegionInstruction): number {
  let read = template.gprRead;
  if (template.readsReg) read |= 1 << reg;
  if (template.readsRm) read |= 1 << rm;
  if (template.readsIndex) read |= 1 << index;
  return read;
}

/**
 * Finds what a region does with the general registers.
 * @param sequence the blocks that can be reached, in reverse postorder
 * @param templates by instruction
 */
export function findRegisters(
  { blocks, entries, instructions }: Pick<Region, 'blocks' | 'entries' | 'instructions'>,
  structure: Structure,
  sequence: readonly number[],
  templates: readonly Template[],
): Registers {
  const { isLoop } = structure;
  // Of several entries the structure knows that they are reached from one more node.
  const inside = insideLoops(entries.length > 1 ? [...blocks, { successors: entries }] : blocks, structure);
  let read = 0;
  let written = 0;
  let late = 0;
  for (const number of sequence) {
    const { first, count } = blocks[number]!;
    const isRepeated = inside[number]! || isLoop[number]!;
    for (let i = first; i < first + count; i++) {
      const template = templates[i]!;
      const instruction = instructions[i]!;
      read |= readBy(template, instruction);
      const writes = writtenBy(template, instruction);
      written |= writes;
      if (isRepeated || template.exitsLate) late |= writes;
    }
  }
  return { used: read | written, loaded: read | late, late };
}
