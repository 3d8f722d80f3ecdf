/** Lays the blocks of a region out as structured control flow and emits their instructions. */
import { pageSize } from '../../memory/hostmemory.ts';
import type { FunctionBuilder, Label } from '../../wasm/function.ts';
import type { Core } from '../core/core.ts';
import { emitInstruction } from '../execute.ts';
import { type Structure, structure } from './graph.ts';
import type { Block, PageCode } from './region.ts';
import { RegionSemantics } from './semantics.ts';

/** Takes out edges that enter a loop in its middle until none is left; control leaves the region there. */
function reducible(blocks: readonly Block[]): Structure {
  for (;;) {
    const wrong: [number, number][] = [];
    const found = structure(blocks, (from, to) => wrong.push([from, to]));
    if (wrong.length === 0) return found;
    for (const [from, to] of wrong) {
      const block = blocks[from]!;
      block.successors = block.successors.filter((each) => each !== to);
    }
  }
}

/** Emits the function of a region, which has the type of handlers. */
export function emitRegion(fn: FunctionBuilder, core: Core, blocks: readonly Block[], code: PageCode): void {
  const { order, isLoop, isMerge, children } = reducible(blocks);
  const numbers = new Map(blocks.map((block, number) => [block.start, number]));
  const labels: (Label | undefined)[] = blocks.map(() => undefined);
  let current = 0;
  let c!: RegionSemantics;

  const branch = (offset: number): boolean => {
    const target = numbers.get(offset);
    if (target === undefined || !blocks[current]!.successors.includes(target)) return false;
    if (order[target]! <= order[current]! || isMerge[target]!) {
      c.settleKnowledge();
      labels[target]!.br();
      return true;
    }
    const [from, knowledge] = [current, c.saveKnowledge()];
    tree(target);
    current = from;
    c.restoreKnowledge(knowledge);
    return true;
  };

  const emitBlock = (number: number): void => {
    current = number;
    const { start, instructions, next, end } = blocks[number]!;
    c.chargeBlock(start, instructions.length);
    instructions.forEach((instruction, i) => {
      c.begin(instruction, instructions.length - i);
      emitInstruction(c);
      if (i < instructions.length - 1 || end !== 'jump') c.end();
    });
    if (end === 'falls') c.goTo(next);
    else if (end === 'interpreted') {
      if (next < pageSize && code.decoded(next)) c.interpretAt(next);
      else c.leaveToOffset(next);
    }
  };

  /** A block and all that it dominates: those that several paths lead to come behind it, the others where they are branched to. */
  const tree = (number: number): void => {
    const merges = children[number]!.filter((child) => isMerge[child]!);
    const within = (at: number): void => {
      const merge = merges[at];
      if (merge === undefined) {
        emitBlock(number);
        return;
      }
      fn.block((label) => {
        labels[merge] = label;
        within(at + 1);
      });
      c.forgetKnowledge();
      tree(merge);
    };
    if (!isLoop[number]!) {
      within(0);
      return;
    }
    c.settleKnowledge();
    fn.loop((label) => {
      labels[number] = label;
      c.forgetKnowledge();
      within(0);
    });
  };

  fn.block((exit) => {
    c = new RegionSemantics(fn, core, blocks[0]!.instructions[0]!.form, exit, branch);
    tree(0);
  });
  c.epilogue();
  c.prologue();
}
