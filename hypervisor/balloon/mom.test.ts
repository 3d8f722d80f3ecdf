import test from 'ava';
import fc from 'fast-check';
import { load, save } from '../platform/testing/state.ts';
import { MOM, MomPolicy } from './mom.ts';
import type { PolicyGuest, PolicyView } from './policy.ts';
import { MIB, SECOND, ToyHost } from './testing/toy.ts';

/** A guest of 400 MiB of which `free` MiB are free. */
function guest(free: number | undefined, change: Partial<PolicyGuest> = {}): PolicyGuest {
  const size = change.size ?? 400 * MIB;
  return {
    id: 1,
    minimum: 50 * MIB,
    maximum: 400 * MIB,
    configured: 400 * MIB,
    size,
    target: size,
    stats: free === undefined ? undefined : { free_memory: free * MIB },
    statsAge: free === undefined ? Number.POSITIVE_INFINITY : 0,
    follows: true,
    ...change,
  };
}

/** A host of 1000 MiB of which `free` are free. */
const view = (free: number, ...guests: readonly PolicyGuest[]): PolicyView => ({
  now: 0,
  memory: 1000 * MIB,
  free: free * MIB,
  guests,
});

/** What MOM asks for in MiB, by guest, after the views were seen one after the other. */
function asked(...views: readonly PolicyView[]): Record<number, number> {
  const policy = new MomPolicy();
  for (const each of views) policy.sample(each);
  const sizes: Record<number, number> = {};
  policy.decide(views.at(-1)!, ({ id }, size) => {
    sizes[id] = Math.round((size / MIB) * 1000) / 1000;
  });
  return sizes;
}

test('under pressure, a guest shrinks by a twentieth at most', (t) => {
  // 0.1 free: it may keep 0.2 · 0.1 / 0.2 = 0.1 of 400 beside the 200 that it uses, 240; but not less than 380.
  t.deepEqual(asked(view(100, guest(200))), { 1: 380 });
});

test('under pressure, a guest keeps what it uses and a share of free memory that goes down with the host', (t) => {
  // 345 used and 0.1 · 400.
  t.deepEqual(asked(view(100, guest(55))), { 1: 385 });
  // 345 used and 0.2 · 0.15 / 0.2 = 0.15 of 400 make 405: it does not shrink.
  t.deepEqual(asked(view(150, guest(55))), {});
  // 345 used and 0.06 · 400 make 369, below 380.
  t.deepEqual(asked(view(60, guest(55))), { 1: 380 });
});

test('a change of no more than 0.25 % of the size is not worth it', (t) => {
  // 359 used and 40 make 399: a change of 1, which is 0.25 %.
  t.deepEqual(asked(view(100, guest(41))), {});
  t.deepEqual(asked(view(100, guest(42))), { 1: 398 });
});

test('when pressure is critical, a guest is left less than it uses', (t) => {
  // 0.04 free: 390 used − 0.01 · 400.
  t.deepEqual(asked(view(40, guest(10))), { 1: 386 });
  // At 0.05 it keeps just what it uses.
  t.deepEqual(asked(view(50, guest(10))), { 1: 390 });
  // At 0 it loses another 0.05 of its size, but not more than a twentieth at once.
  t.deepEqual(asked(view(0, guest(0))), { 1: 380 });
});

test('no guest shrinks below its minimum', (t) => {
  t.deepEqual(asked(view(100, guest(200, { minimum: 390 * MIB }))), { 1: 390 });
  t.deepEqual(asked(view(100, guest(200, { minimum: 400 * MIB }))), {});
  t.deepEqual(asked(view(0, guest(200, { minimum: 410 * MIB, size: 405 * MIB }))), {});
});

test('without pressure, a guest grows by a twentieth, or to what it needs', (t) => {
  // 200 used and 0.2 · 400 make 280, less than 300 · 1.05.
  t.deepEqual(asked(view(500, guest(100, { size: 300 * MIB }))), { 1: 315 });
  // 290 used and 80.
  t.deepEqual(asked(view(500, guest(10, { size: 300 * MIB }))), { 1: 370 });
  // 330 used and 80 are more than it may have.
  t.deepEqual(asked(view(500, guest(10, { size: 340 * MIB }))), { 1: 400 });
  t.deepEqual(asked(view(500, guest(10))), {});
  // A change of 0.5 where 0.25 % are 0.99875.
  t.deepEqual(asked(view(500, guest(300, { size: 399.5 * MIB }))), {});
});

test('a fifth free is no pressure', (t) => {
  t.deepEqual(asked(view(200, guest(100, { size: 300 * MIB }))), { 1: 315 });
  t.deepEqual(asked(view(199, guest(250, { size: 300 * MIB }))), { 1: 285 });
});

test('decisions are by averages of the last ten samples', (t) => {
  // Free on average (8 · 100 + 2 · 600) / 10 = 200: no pressure; without the two, it would be.
  const size = 300 * MIB;
  const before = Array.from({ length: 8 }, () => view(100, guest(100, { size })));
  const after = Array.from({ length: 2 }, () => view(600, guest(100, { size })));
  t.deepEqual(asked(...before, ...after), { 1: 315 });
  // The first of eleven counts no more: 190 on average.
  const less = [
    view(1000, guest(250, { size })),
    ...before,
    view(600, guest(250, { size })),
    view(500, guest(250, { size })),
  ];
  t.deepEqual(asked(...less), { 1: 285 });
  // Used on average 300 − (50 + 100) / 2 = 225.
  const two = [view(500, guest(50, { size })), view(500, guest(100, { size, maximum: 500 * MIB }))];
  t.deepEqual(asked(...two), { 1: 325 });
});

test('a guest without statistics is left alone, and one that came late has its own averages', (t) => {
  const late = guest(200, { id: 2 });
  t.deepEqual(asked(view(100, guest(undefined))), {});
  t.deepEqual(asked(view(100, guest(200)), view(100, guest(200), late)), { 1: 380, 2: 380 });
  const policy = new MomPolicy();
  policy.decide(view(0, late), () => t.fail('nothing was seen yet'));
  policy.sample(view(0, late));
  policy.sample(view(0));
  policy.decide(view(0, late), () => t.fail('it was gone in between'));
});

test('a saved policy decides as the original', (t) => {
  const first = new MomPolicy();
  for (let i = 0; i < 13; i++) first.sample(view(100 + i, guest(40 + i), guest(100 - i, { id: 5 })));
  const second = new MomPolicy();
  load(second, save(first));
  t.deepEqual(save(second), save(first));
  const decisions = [first, second].map((policy) => {
    const sizes: number[] = [];
    policy.decide(view(1, guest(1), guest(1, { id: 5 })), (_, size) => sizes.push(size));
    return sizes;
  });
  t.is(decisions[0]!.length, 2);
  t.deepEqual(decisions[1], decisions[0]);
});

test('toy guests converge: free memory of the host comes to swing about the threshold, and nobody lacks what it uses', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 40, max: 140 }), { minLength: 2, maxLength: 8 }),
      fc.integer({ min: 60, max: 110 }),
      (uses, percent) => {
        const memory = 256 * MIB;
        const used = uses.reduce((sum, each) => sum + each, 0) * MIB;
        // The host has from little more than what is used up to little more than what guests believe to have.
        const host = Math.ceil(Math.max(1.15 * used, (uses.length * memory * percent) / 100));
        const guests = uses.map((each) => ({ memory, used: () => each * MIB }));
        const toy = new ToyHost(host, new MomPolicy(), guests);
        toy.run(600 * SECOND);
        // Averages are of 50 s and growth is not bounded, so that decisions come late and go far: MOM swings, at times down to
        // critical pressure.
        let sum = 0;
        for (let i = 0; i < 90; i++) {
          toy.run(10 * SECOND);
          const free = toy.free / toy.memory;
          sum += free;
          t.true(free < 1.8 * MOM.pressureThreshold, `${free} free`);
          for (const [at, { size, bounds }] of toy.guests.entries())
            t.true(size >= uses[at]! * MIB && size >= bounds.minimum && size <= memory);
        }
        const mean = sum / 90;
        t.true(mean > 0.6 * MOM.pressureThreshold && mean < 1.2 * MOM.pressureThreshold, `${mean} free`);
      },
    ),
    { seed: 31, numRuns: 25 },
  );
});
