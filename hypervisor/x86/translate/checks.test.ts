/** Where regions look whether the budget reaches, on made-up graphs. */
import test from 'ava';
import fc from 'fast-check';
import { findChecks } from './checks.ts';
import { structure } from './graph.ts';
import type { Block } from './region.ts';

/** Blocks with their instructions, of which those of some change the budget, and up to two successors. */
const region = fc.integer({ min: 1, max: 12 }).chain((size) =>
  fc.record({
    counts: fc.array(fc.integer({ min: 0, max: 50 }), { minLength: size, maxLength: size }),
    changes: fc.array(
      fc.nat(5).map((each) => each === 0),
      { minLength: size, maxLength: size },
    ),
    successors: fc.array(fc.uniqueArray(fc.nat(size - 1), { maxLength: 2 }), {
      minLength: size,
      maxLength: size,
    }),
    entries: fc.uniqueArray(fc.nat(size - 1), { maxLength: 2 }),
  }),
);

test('on every path the budget reaches for a block that does not look', (t) => {
  let without = 0;
  fc.assert(
    fc.property(region, ({ counts, changes, successors, entries: more }) => {
      let first = 0;
      const blocks = counts.map((count, number) => {
        const block = { first, count, successors: [...successors[number]!] };
        first += count;
        return block as unknown as Block;
      });
      const irreducible: [number, number][] = [];
      let found = structure(blocks, 0, (from, to) => irreducible.push([from, to]));
      for (; irreducible.length > 0; found = structure(blocks, 0, (from, to) => irreducible.push([from, to])))
        for (const [from, to] of irreducible.splice(0))
          blocks[from]!.successors = blocks[from]!.successors.filter((each) => each !== to);
      const { order, isLoop } = found;
      const sequence = [...blocks.keys()].filter((number) => order[number]! >= 0);
      sequence.sort((a, b) => order[a]! - order[b]!);
      const entries = [...new Set([0, ...more])].filter((entry) => order[entry]! >= 0);
      // The last of a block's instructions changes the budget.
      const templates = blocks.flatMap(({ count }, number) =>
        Array.from({ length: count }, (_, i) => ({ stopsSoon: changes[number]! && i === count - 1 })),
      );
      const checks = findChecks({ blocks, entries }, { order, isLoop }, sequence, templates);

      /** What is left for certain at the start of each block. */
      const left = blocks.map((_, number) => (entries.includes(number) ? 0 : Infinity));
      for (let turn = 0; turn < blocks.length; turn++)
        for (const number of sequence) {
          const { count, successors: next } = blocks[number]!;
          const known = checks[number]! > 0 ? checks[number]! : left[number]!;
          const behind = changes[number]! && count > 0 ? 0 : known - count;
          for (const to of next) left[to] = Math.min(left[to]!, behind);
        }
      for (const number of sequence) {
        const { count } = blocks[number]!;
        if (checks[number]! > 0) {
          t.true(checks[number]! >= count);
          t.true(checks[number]! <= Math.max(128, count));
        } else if (count > 0) {
          t.true(left[number]! >= count);
          t.false(isLoop[number]);
          without++;
        }
      }
    }),
    { numRuns: 2000 },
  );
  t.log(`${without} blocks do not look`);
  t.true(without > 500);
});
