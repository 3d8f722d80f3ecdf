import test from 'ava';
import fc from 'fast-check';
import { load, save } from '../platform/testing/state.ts';
import {
  F_DEFLATE_ON_OOM,
  F_FREE_PAGE_HINT,
  F_MUST_TELL_HOST,
  F_PAGE_POISON,
  F_PAGE_REPORTING,
  F_STATS_VQ,
} from '../virtio/balloon/features.ts';
import { MomPolicy } from './mom.ts';
import type { BalloonPolicy, PolicyView } from './policy.ts';
import { balloonFeatures } from './settings.ts';
import { StaticPolicy } from './static.ts';
import { MIB, SECOND, ToyHost, type ToyOptions } from './testing/toy.ts';

const idle: ToyOptions = { memory: 256 * MIB, used: () => 50 * MIB };

/** A policy that keeps what it saw, and asks for what it is told. */
class Recorder implements BalloonPolicy {
  readonly name = 'recorder';
  readonly sampleInterval = 3 * SECOND;
  readonly decisionInterval: number;
  readonly samples: PolicyView[] = [];
  readonly decisions: PolicyView[] = [];
  readonly sizes: (id: number) => number | undefined;

  constructor(sizes: (id: number) => number | undefined = () => undefined, seconds = 7) {
    this.sizes = sizes;
    this.decisionInterval = seconds * SECOND;
  }

  sample(view: PolicyView): void {
    this.samples.push(view);
  }

  decide(view: PolicyView, ask: Parameters<BalloonPolicy['decide']>[1]): void {
    this.decisions.push(view);
    for (const guest of view.guests) {
      const size = this.sizes(guest.id);
      if (size !== undefined) ask(guest, size);
    }
  }

  saveState(): void {}

  loadState(): void {}
}

test('a policy looks and decides at its own intervals', (t) => {
  const policy = new Recorder();
  new ToyHost(1024 * MIB, policy, [idle]).run(22 * SECOND);
  t.deepEqual(
    policy.samples.map(({ now }) => now / SECOND),
    [3, 6, 9, 12, 15, 18, 21],
  );
  t.deepEqual(
    policy.decisions.map(({ now }) => now / SECOND),
    [7, 14, 21],
  );
});

test('intervals that passed while nobody looked are made up for once', (t) => {
  const policy = new Recorder();
  const { controller } = new ToyHost(1024 * MIB, policy, [idle]);
  t.is(controller.next, SECOND);
  controller.run(20.5 * SECOND);
  t.is(controller.next, 21 * SECOND);
  controller.run(21 * SECOND);
  t.deepEqual(
    [policy.samples, policy.decisions].map((views) => views.map(({ now }) => now / SECOND)),
    [
      [20.5, 21],
      [20.5, 21],
    ],
  );
  t.is(new ToyHost(1024 * MIB, policy, []).controller.next, Number.POSITIVE_INFINITY);
});

test('a policy sees sizes, statistics and their age', (t) => {
  const policy = new Recorder((id) => (id === 1 ? 100 * MIB : undefined));
  const toy = new ToyHost(1024 * MIB, policy, [
    { ...idle, bounds: { size: 200 * MIB, minimum: 64 * MIB } },
    { ...idle, answers: false },
  ]);
  toy.run(20 * SECOND);
  const { memory, free, guests } = policy.samples.at(-1)!;
  t.is(memory, 1024 * MIB);
  t.is(free, (1024 - 100 - 256) * MIB);
  t.deepEqual(guests[0], {
    id: 1,
    minimum: 64 * MIB,
    maximum: 256 * MIB,
    configured: 200 * MIB,
    size: 100 * MIB,
    target: 100 * MIB,
    stats: { free_memory: 50 * MIB, total_memory: 100 * MIB },
    statsAge: 0,
    follows: true,
  });
  t.is(guests[1]!.stats, undefined);
  t.is(guests[1]!.statsAge, Number.POSITIVE_INFINITY);
  t.is(guests[1]!.configured, 256 * MIB);
});

test('whatever a policy asks for, targets stay within the bounds', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.double({ noNaN: true }), fc.integer({ min: 0, max: 300 * MIB })), {
        minLength: 1,
        maxLength: 4,
      }),
      fc.integer({ min: 0, max: 300 * MIB }),
      (sizes, minimum) => {
        const toy = new ToyHost(
          1024 * MIB,
          new Recorder((id) => sizes[id - 1]),
          sizes.map(() => ({ ...idle, bounds: { minimum } })),
        );
        toy.run(8 * SECOND);
        for (const { target } of toy.guests) {
          t.true(Number.isInteger(target) && target >= 0);
          t.true(256 * MIB - target * 4096 >= Math.min(minimum, 256 * MIB));
        }
      },
    ),
    { seed: 41, numRuns: 100 },
  );
});

test('MOM keeps within the bounds, whatever guests say and do', (t) => {
  const wild = fc.record({
    used: fc.nat(400),
    speed: fc.constantFrom(0, 1, 64),
    period: fc.integer({ min: 1, max: 60 }),
    minimum: fc.nat(300),
  });
  fc.assert(
    fc.property(
      fc.array(wild, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 64, max: 2048 }),
      (guests, memory) => {
        const toy = new ToyHost(
          memory * MIB,
          new MomPolicy(),
          guests.map(({ used, speed, period, minimum }) => ({
            memory: 256 * MIB,
            used: (now) => (Math.floor(now / SECOND / period) % 2 === 0 ? used * MIB : 20 * MIB),
            speed: speed * MIB,
            bounds: { minimum: minimum * MIB },
          })),
        );
        for (let i = 0; i < 30; i++) {
          toy.run(10 * SECOND);
          toy.guests.forEach(({ target }, at) => {
            t.true(Number.isInteger(target) && target >= 0);
            t.true(256 - (target * 4096) / MIB >= Math.min(256, guests[at]!.minimum));
          });
        }
      },
    ),
    { seed: 42, numRuns: 40 },
  );
});

test('a policy that asks for no number is named', (t) => {
  const toy = new ToyHost(1024 * MIB, new Recorder(() => Number.NaN), [idle]);
  t.throws(() => toy.run(8 * SECOND), { message: 'policy recorder asks guest 1 for no number of bytes' });
});

test('the static policy gives each guest the size that was set', (t) => {
  const toy = new ToyHost(1024 * MIB, new StaticPolicy(), [
    { ...idle, bounds: { size: 100 * MIB } },
    idle,
    { ...idle, bounds: { size: 1 } },
  ]);
  toy.run(5 * SECOND);
  t.deepEqual(
    toy.guests.map(({ size }) => size / MIB),
    // The last has its minimum, an eighth, but uses 50 MiB.
    [100, 256, 50],
  );
  t.is(toy.guests[2]!.target * 4096, (256 - 32) * MIB);
});

test('a guest that comes no nearer to its target is named once, and again when it follows', (t) => {
  let limit = 200;
  const toy = new ToyHost(1024 * MIB, new StaticPolicy(), [
    { memory: 256 * MIB, used: () => limit * MIB, bounds: { size: 100 * MIB } },
    { ...idle, bounds: { size: 100 * MIB } },
  ]);
  toy.run(20 * SECOND);
  t.is(toy.events.length, 1);
  const { now, since, ...event } = toy.events[0]!;
  t.deepEqual(event, {
    event: 'balloon stalled',
    guest: 1,
    target: 100 * MIB,
    size: 200 * MIB,
    driven: true,
  });
  t.is(now - since, 5 * SECOND);
  t.false(toy.controller.follows(1));
  t.true(toy.controller.follows(2));
  limit = 150;
  toy.run(3 * SECOND);
  t.deepEqual(
    toy.events.map(({ event: name }) => name),
    ['balloon stalled', 'balloon follows'],
  );
  toy.run(10 * SECOND);
  t.is(toy.events.length, 3, 'and stalls anew');
  limit = 60;
  toy.run(10 * SECOND);
  t.is(toy.events.length, 4);
  t.is(toy.guests[0]!.size, 100 * MIB);
});

test('a slow guest follows; one that takes back what it gave, or is asked for ever more, does not', (t) => {
  const bounds = { size: 50 * MIB };
  const slow = new ToyHost(1024 * MIB, new StaticPolicy(), [{ ...idle, speed: 2 * MIB, bounds }]);
  slow.run(60 * SECOND);
  t.deepEqual(slow.events, []);
  const torn = new ToyHost(1024 * MIB, new StaticPolicy(), [
    { memory: 256 * MIB, used: (now) => (Math.floor(now / SECOND) % 2 === 0 ? 180 : 200) * MIB, bounds },
  ]);
  torn.run(30 * SECOND);
  t.deepEqual(
    torn.events.map(({ event }) => event),
    ['balloon stalled'],
  );
  let size = 250 * MIB;
  const more = new Recorder(() => {
    size -= MIB;
    return size;
  }, 2);
  const deaf = new ToyHost(1024 * MIB, more, [{ ...idle, speed: 0 }]);
  deaf.run(40 * SECOND);
  t.is(deaf.events.length, 1);
  t.is(deaf.events[0]!.now - deaf.events[0]!.since, 5 * SECOND);
});

test('guests come and go', (t) => {
  const policy = new Recorder();
  const toy = new ToyHost(1024 * MIB, policy, [idle, idle, idle]);
  toy.controller.remove(2);
  toy.controller.remove(77);
  toy.run(3 * SECOND);
  t.deepEqual(
    policy.samples[0]!.guests.map(({ id }) => id),
    [1, 3],
  );
  t.throws(() => toy.controller.follows(2), { message: /guest 2 is under no balloon policy/ });
  toy.controller.add(toy.guests[1]!, toy.time);
  toy.run(3 * SECOND);
  t.deepEqual(
    policy.samples[1]!.guests.map(({ id }) => id),
    [1, 2, 3],
  );
});

test('a saved controller goes on', (t) => {
  const make = () =>
    new ToyHost(
      700 * MIB,
      new MomPolicy(),
      [30, 100, 150].map((used) => ({ memory: 256 * MIB, used: () => used * MIB })),
    );
  const first = make();
  first.run(83.7 * SECOND);
  const second = make();
  load(second.controller, save(first.controller));
  second.time = first.time;
  for (const [i, { target, actual, stats }] of first.guests.entries())
    Object.assign(second.guests[i]!, { target, actual, stats });
  first.run(100 * SECOND);
  second.run(100 * SECOND);
  t.deepEqual(save(second.controller), save(first.controller));
  t.deepEqual(
    second.guests.map(({ target }) => target),
    first.guests.map(({ target }) => target),
  );
  const fewer = new ToyHost(700 * MIB, new MomPolicy(), [idle]);
  fewer.controller.remove(1);
  t.throws(() => load(fewer.controller, save(first.controller)), {
    message: /has guest 1 under a balloon policy/,
  });
});

test("an owner's new size is what the static policy asks for", (t) => {
  const toy = new ToyHost(1024 * MIB, new StaticPolicy(), [idle]);
  toy.run(2 * SECOND);
  toy.controller.configure(1, 128 * MIB);
  toy.run(3 * SECOND);
  t.is(toy.guests[0]!.size, 128 * MIB);
  toy.controller.configure(1, 256 * MIB);
  toy.run(3 * SECOND);
  t.is(toy.guests[0]!.actual, 0);
});

test('settings choose what the device offers', (t) => {
  const none = { deflateOnOom: false, pagePoison: false, freePageReporting: false, freePageHinting: false };
  t.deepEqual(balloonFeatures(none), [F_MUST_TELL_HOST, F_STATS_VQ]);
  for (const [name, feature] of [
    ['deflateOnOom', F_DEFLATE_ON_OOM],
    ['pagePoison', F_PAGE_POISON],
    ['freePageReporting', F_PAGE_REPORTING],
    ['freePageHinting', F_FREE_PAGE_HINT],
  ] as const)
    t.deepEqual(balloonFeatures({ ...none, [name]: true }), [F_MUST_TELL_HOST, F_STATS_VQ, feature]);
});
