/** What is known of the flags throughout a region, on made-up instructions. */
import test from 'ava';
import { ccOpOf } from '../flags.ts';
import { variableOp } from './exitcode.ts';
import { type FlagState, hasOther, knownFlags, meet, opOf, unknownFlags } from './flagstate.ts';
import { findFlow } from './flow.ts';
import type { Block, Region, RegionInstruction } from './region.ts';
import type { Template } from './template.ts';
import type { Templates } from './templates.ts';

const [add, sub, logic] = (['add', 'sub', 'logic'] as const).map((kind) => ccOpOf(kind, 4)) as [
  number,
  number,
  number,
];

type Kind = Pick<Template, 'exits' | 'exitsBehind' | 'readsFlags' | 'writesFlags' | 'flagsAfter'>;
const nothing: Kind = {
  exits: false,
  exitsBehind: false,
  readsFlags: false,
  writesFlags: 'never',
  flagsAfter: unknownFlags,
};
const kinds = {
  plain: nothing,
  add: { ...nothing, writesFlags: 'always', flagsAfter: knownFlags(add, false) },
  sub: { ...nothing, writesFlags: 'always', flagsAfter: knownFlags(sub, true) },
  /** A shift by CL. */
  maybe: { ...nothing, writesFlags: 'maybe' },
  load: { ...nothing, exits: true },
  condition: { ...nothing, readsFlags: true },
} as const satisfies Record<string, Kind>;
type Name = keyof typeof kinds;

/** A region of blocks of instructions; `jumps` says which blocks end by a jump. */
function region(
  blocks: readonly (readonly Name[])[],
  edges: readonly (readonly number[])[],
  { entries = [0], jumps = [] }: { entries?: number[]; jumps?: number[] } = {},
): Region {
  const instructions: RegionInstruction[] = [];
  const made = blocks.map((names, number): Block => {
    const first = instructions.length;
    names.forEach((name, i) => {
      const general = { ...kinds[name], name } as unknown as Template;
      instructions.push({
        variants: { general, others: new Map() },
        of: { jumps: jumps.includes(number) && i === names.length - 1 },
      } as unknown as RegionInstruction);
    });
    return {
      start: number,
      first,
      count: names.length,
      next: number + 1,
      end: 'falls',
      target: -1,
      part: 0,
      taken: -1,
      follower: -1,
      successors: [...edges[number]!],
    };
  });
  return { page: 0, parts: [{ page: 0, distance: 0 }], instructions, blocks: made, entries };
}

const noGroups = { grouped: [], most: 0 };

/** What each instruction was asked for: the flags before it, and whether those behind it are seen. */
function flow(it: Region) {
  const asked: { before: FlagState; live: boolean }[] = [];
  const templates = {
    variant: (
      _of: unknown,
      _shape: unknown,
      { general }: { general: Template },
      before: FlagState,
      live: boolean,
    ) => {
      asked[it.instructions.findIndex((each) => each.variants.general === general)] = { before, live };
      return general;
    },
  } as unknown as Templates;
  const order = it.blocks.map((_, number) => number);
  return { ...findFlow(it, order, noGroups, templates), asked };
}

test('flags that are set anew before anybody can see them are dead', (t) => {
  const { asked } = flow(region([['add', 'plain', 'sub', 'add', 'load', 'sub', 'condition', 'add']], [[]]));
  t.deepEqual(
    asked.map(({ live }) => live),
    // Those in front of the load are seen by the interpreter, when it takes over there; the last ones by what comes behind.
    [false, false, false, true, false, true, false, true],
  );
});

test('flags that may be set do not hide those before', (t) => {
  const { asked } = flow(region([['add', 'maybe', 'sub']], [[]]));
  t.deepEqual(
    asked.map(({ live }) => live),
    [false, false, true],
  );
  const seen = flow(region([['add', 'maybe', 'condition', 'sub']], [[]]));
  t.deepEqual(
    seen.asked.map(({ live }) => live),
    [true, true, false, true],
  );
});

test('nothing is known where control enters, and what is known goes on into blocks with one way in', (t) => {
  const { before, atStart } = flow(
    region([['plain', 'sub'], ['condition', 'plain'], ['condition']], [[1], [2], []]),
  );
  t.deepEqual(before, [
    unknownFlags,
    unknownFlags,
    knownFlags(sub, true),
    knownFlags(sub, true),
    knownFlags(sub, true),
  ]);
  t.deepEqual(atStart, [unknownFlags, knownFlags(sub, true), knownFlags(sub, true)]);
});

test('where paths meet, the operation is put into its variable on those that know it', (t) => {
  //   0 → 1 → 3, 0 → 2 → 3
  const { atStart, settleAt } = flow(
    region([['sub'], ['add'], ['plain'], ['condition']], [[1, 2], [3], [3], []], { jumps: [2] }),
  );
  t.is(atStart[3], unknownFlags);
  // Behind the addition; in front of the jump, behind which there is nothing.
  t.deepEqual(settleAt, [-1, 2, 2, -1]);
});

test('where paths agree, it stays known', (t) => {
  const { atStart, settleAt } = flow(
    region([['plain'], ['add'], ['add'], ['condition']], [[1, 2], [3], [3], []]),
  );
  t.is(atStart[3], knownFlags(add, false));
  t.deepEqual(settleAt, [-1, -1, -1, -1]);
});

test('a loop that sets other flags makes them unknown at its start', (t) => {
  const { atStart, settleAt } = flow(region([['sub'], ['condition', 'add'], ['plain']], [[1], [1, 2], []]));
  t.is(atStart[1], unknownFlags);
  t.is(atStart[2], knownFlags(add, false));
  t.deepEqual(settleAt, [1, 3, -1]);
});

test('an entry knows nothing, though the block before it does', (t) => {
  const { atStart, settleAt } = flow(region([['sub'], ['condition']], [[1], []], { entries: [0, 1] }));
  t.is(atStart[1], unknownFlags);
  t.deepEqual(settleAt, [1, -1]);
});

test('what is known of two paths is what both know', (t) => {
  t.is(meet(knownFlags(sub, true), knownFlags(sub, true)), knownFlags(sub, true));
  t.is(meet(knownFlags(sub, true), knownFlags(sub, false)), knownFlags(sub, false));
  t.is(meet(knownFlags(sub, true), knownFlags(logic, false)), unknownFlags);
  t.is(meet(unknownFlags, knownFlags(logic, false)), unknownFlags);
  t.is(opOf(knownFlags(sub, true)), sub);
  t.is(opOf(unknownFlags), variableOp);
  t.true(hasOther(knownFlags(sub, true)));
  t.false(hasOther(unknownFlags));
});
