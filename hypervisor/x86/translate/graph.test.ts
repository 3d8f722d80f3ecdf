/** Graphs and their structure, held against the definitions, which are slow and simple. */
import test from 'ava';
import fc from 'fast-check';
import { settleEntries } from './entries.ts';
import { structure } from './graph.ts';
import type { Block, Region } from './region.ts';

/** Which blocks can be reached from `entry` without passing through `without`. */
function reachable(successors: readonly (readonly number[])[], entry: number, without = -1): Set<number> {
  const seen = new Set<number>();
  const work = entry === without ? [] : [entry];
  while (work.length > 0) {
    const at = work.pop()!;
    if (seen.has(at)) continue;
    seen.add(at);
    for (const next of successors[at]!) if (next !== without) work.push(next);
  }
  return seen;
}

/** Up to two successors for each of some blocks. */
const graph = fc
  .integer({ min: 1, max: 12 })
  .chain((count) =>
    fc.array(fc.uniqueArray(fc.nat(count - 1), { maxLength: 2 }), { minLength: count, maxLength: count }),
  );

const nodesOf = (successors: readonly (readonly number[])[]) =>
  successors.map((each) => ({ successors: each }));

test('loops, joins and dominators are what their definitions say', (t) => {
  fc.assert(
    fc.property(graph, (successors) => {
      const wrong: [number, number][] = [];
      const { order, isLoop, isMerge, children } = structure(nodesOf(successors), 0, (from, to) =>
        wrong.push([from, to]),
      );
      const reached = reachable(successors, 0);
      const dominates = (a: number, b: number) => a === b || !reachable(successors, 0, a).has(b);
      const edges = [...reached].flatMap((from) => successors[from]!.map((to) => [from, to] as const));
      for (const block of successors.keys()) t.is(order[block]! >= 0, reached.has(block));
      const back = edges.filter(([from, to]) => order[to]! <= order[from]!);
      t.deepEqual(
        wrong.map(String).sort(),
        back
          .filter(([from, to]) => !dominates(to, from))
          .map(String)
          .sort(),
      );
      for (const block of reached) {
        t.is(
          isLoop[block],
          back.some(([from, to]) => to === block && dominates(block, from)),
        );
        const forward = edges.filter(([from, to]) => to === block && order[from]! < order[to]!);
        t.is(isMerge[block], forward.length > 1);
        // Its dominator is the one that all its other dominators dominate.
        const above = [...reached].filter((each) => each !== block && dominates(each, block));
        const immediate = above.find((each) => above.every((other) => dominates(other, each)));
        const parents = [...children.keys()].filter((each) => children[each]!.includes(block));
        t.deepEqual(parents, immediate === undefined ? [] : [immediate]);
      }
      for (const each of children) {
        for (let i = 1; i < each.length; i++) t.true(order[each[i - 1]!]! > order[each[i]!]!);
      }
    }),
    { numRuns: 300 },
  );
});

function regionOf(successors: readonly (readonly number[])[], entries: readonly number[]): Region {
  const blocks = successors.map(
    (each, start): Block => ({
      start,
      first: start,
      count: 1,
      next: start + 1,
      end: 'falls',
      target: -1,
      part: 0,
      taken: -1,
      follower: -1,
      successors: [...each],
    }),
  );
  return { page: 0, parts: [{ page: 0, distance: 0 }], instructions: [], blocks, entries: [...entries] };
}

const withEntries = graph.chain((successors) =>
  fc.record({
    successors: fc.constant(successors),
    entries: fc.uniqueArray(fc.nat(successors.length - 1), { minLength: 1, maxLength: 5 }),
  }),
);

test('a settled region is reducible, and keeps its first entry and as many edges as it can', (t) => {
  let cut = 0;
  let dropped = 0;
  fc.assert(
    fc.property(withEntries, ({ successors, entries }) => {
      const region = regionOf(successors, entries);
      const found = settleEntries(region);
      t.is(region.entries[0], entries[0]);
      t.true(region.entries.every((each) => entries.includes(each)));
      const settled = region.blocks.map((block) => block.successors);
      for (const [block, each] of settled.entries()) {
        t.true(each.every((to) => successors[block]!.includes(to)));
        cut += successors[block]!.length - each.length;
      }
      dropped += entries.length - region.entries.length;

      // The structure given is that of the settled graph, all of whose loops are entered by their start.
      const several = region.entries.length > 1;
      const all = several ? [...settled, region.entries] : settled;
      const again = structure(nodesOf(all), several ? settled.length : region.entries[0]!, () => t.fail());
      t.deepEqual(found, again);

      // Nothing is given up where the whole graph is well formed as it is.
      const start = successors.length;
      let fine = true;
      structure(nodesOf([...successors, entries]), start, () => {
        fine = false;
      });
      if (!fine) return;
      const inLoops = entries.some((entry) =>
        successors.some((_, head) => head !== entry && isInLoop(successors, entries, head, entry)),
      );
      if (inLoops) return;
      t.deepEqual(region.entries, entries);
      const reached = reachable([...successors, entries], start);
      for (const block of settled.keys())
        if (reached.has(block)) t.deepEqual(settled[block], successors[block]);
    }),
    { numRuns: 1000, seed: 7 },
  );
  t.true(cut > 40 && dropped > 100, `${cut} edges cut, ${dropped} entries dropped`);
});

/** Whether `block` lies in a loop that starts at `head`. */
function isInLoop(
  successors: readonly (readonly number[])[],
  entries: readonly number[],
  head: number,
  block: number,
): boolean {
  const there = entries.some((entry) => reachable(successors, entry).has(head));
  return there && reachable(successors, head).has(block) && reachable(successors, block).has(head);
}
