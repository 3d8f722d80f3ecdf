/**
 * Where a region looks whether its budget reaches. Every block charges its instructions, but not every block looks: one that does
 * looks whether there is enough up to the next ones that do, on whichever path. Where there is not, the interpreter goes on.
 */
import type { Structure } from './graph.ts';
import type { Region } from './region.ts';
import type { Template } from './template.ts';

/**
 * Instructions on a path behind which a block looks again. The interpreter executes up to so many before the end of a budget, which
 * would be translated otherwise.
 */
const farthest = 128;

/**
 * Finds which blocks look.
 * @param sequence the blocks that can be reached, in reverse postorder
 * @param templates by instruction
 * @returns by block: the instructions that the budget must reach for at its start, its own among them; 0 when it does not look
 */
export function findChecks(
  { blocks, entries }: Pick<Region, 'blocks' | 'entries'>,
  { order, isLoop }: Pick<Structure, 'order' | 'isLoop'>,
  sequence: readonly number[],
  templates: readonly Pick<Template, 'stopsSoon'>[],
): readonly number[] {
  const looks = blocks.map((_, number) => isLoop[number]!);
  for (const entry of entries) looks[entry] = true;
  /** By block: its instructions and those behind it up to blocks that look, on the longest path. */
  const ahead: number[] = new Array(blocks.length).fill(0);
  for (let place = sequence.length - 1; place >= 0; place--) {
    const number = sequence[place]!;
    const { first, count, successors } = blocks[number]!;
    // What is left is anything behind an instruction that changes the budget.
    let unknown = false;
    for (let i = first; i < first + count; i++) unknown ||= templates[i]!.stopsSoon;
    let most = 0;
    for (const next of successors) {
      // What leads back leads to the start of a loop.
      if (order[next]! <= order[number]! || looks[next]!) continue;
      if (unknown || count + ahead[next]! > farthest) looks[next] = true;
      else most = Math.max(most, ahead[next]!);
    }
    ahead[number] = count + most;
  }
  return ahead.map((reach, number) => (looks[number]! ? reach : 0));
}
