/** What is known of the lazy flags throughout a region, and which template each instruction gets by it. */

import { variableOp } from './exitcode.ts';
import { type FlagState, meet, opOf, unknownFlags } from './flagstate.ts';
import type { Groups } from './groups.ts';
import type { Block, Region, RegionInstruction } from './region.ts';
import type { Template } from './template.ts';
import type { Templates } from './templates.ts';

/** The templates of a region's instructions, and the flags around them. */
export interface Flow {
  readonly groups: Groups;
  /** By instruction. */
  readonly templates: readonly Template[];
  /** What is known of the flags before each instruction. */
  readonly before: readonly FlagState[];
  /** By block: before which of its instructions `ccOp` must be put into its variable, as paths meet behind it; -1: none. */
  readonly settleAt: readonly number[];
  /** What is known of the flags at the start of each block. */
  readonly atStart: readonly FlagState[];
}

/** What is known of the flags at the end of a block in which they are set; undefined for the others. */
function setAtEnd(
  { first, count }: Block,
  instructions: readonly RegionInstruction[],
): FlagState | undefined {
  for (let i = first + count - 1; i >= first; i--) {
    const { general } = instructions[i]!.variants;
    if (general.writesFlags !== 'never') return general.flagsAfter;
  }
  return undefined;
}

/** @param sequence the blocks that can be reached, in reverse postorder; those that are entered from outside are `entries` */
export function findFlow(
  region: Region,
  sequence: readonly number[],
  groups: Groups,
  templates: Templates,
): Flow {
  const { blocks, instructions } = region;
  const atStart: (FlagState | undefined)[] = new Array(blocks.length).fill(undefined);
  for (const entry of region.entries) atStart[entry] = unknownFlags;
  const set = blocks.map((block) => setAtEnd(block, instructions));
  for (let changed = true; changed; ) {
    changed = false;
    for (const number of sequence) {
      const start = atStart[number];
      if (start === undefined) continue;
      const end = set[number] ?? start;
      for (const next of blocks[number]!.successors) {
        const old = atStart[next];
        const now = old === undefined ? end : meet(old, end);
        if (now !== old) {
          atStart[next] = now;
          changed = true;
        }
      }
    }
  }
  const chosen: Template[] = new Array(instructions.length);
  const before: FlagState[] = new Array(instructions.length);
  const settleAt: number[] = new Array(blocks.length).fill(-1);
  for (const number of sequence) {
    const block = blocks[number]!;
    const last = block.first + block.count - 1;
    let state = atStart[number] ?? unknownFlags;
    for (let i = block.first; i <= last; i++) {
      const { general } = instructions[i]!.variants;
      before[i] = state;
      if (general.writesFlags !== 'never') state = general.flagsAfter;
    }
    if (opOf(state) !== variableOp && block.successors.some((next) => opOf(atStart[next]!) === variableOp)) {
      // Jumps and returns set no flags: what is known behind them is known before.
      const { jumps, ends } = block.count === 0 ? { jumps: false, ends: false } : instructions[last]!.of;
      settleAt[number] = jumps || ends ? last : last + 1;
    }
    // Backwards: flags that are set anew before anybody can see them.
    let live = true;
    for (let i = last; i >= block.first; i--) {
      const instruction = instructions[i]!;
      const { general } = instruction.variants;
      const template = templates.variant(
        instruction.of,
        instruction.shape,
        instruction.variants,
        before[i]!,
        live,
        groups.grouped[i]?.role ?? 'alone',
      );
      chosen[i] = template;
      const anew = general.writesFlags === 'always' && !general.keepsFlags;
      live = template.exits || general.readsFlags || (live && !anew);
    }
  }
  const known = atStart.map((state) => state ?? unknownFlags);
  return { groups, templates: chosen, before, settleAt, atStart: known };
}
