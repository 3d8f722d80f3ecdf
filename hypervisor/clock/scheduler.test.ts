import test from 'ava';
import fc from 'fast-check';
import { load, save } from '../platform/testing/state.ts';
import { DEFAULT_WEIGHT, GRANULARITY, Scheduler, SLEEPER_CREDIT } from './scheduler.ts';

const ROUND = 100_000;
const SECOND = 1_000_000_000;

/** What an entity of a test does in the round that starts at a time: executes for so long; 0 is to sleep. */
type Behaviour = (time: number) => number;

const always: Behaviour = () => ROUND;

/** Lets entities compete. Those that do not execute in a round they could have executed in wait. */
class Competition {
  readonly scheduler: Scheduler;
  readonly entities: number[] = [];
  readonly behaviours: Behaviour[] = [];
  /** For each, the time for which it wanted a CPU and had none: in all, and the longest at a stretch. */
  readonly waited: number[] = [];
  readonly longestWait: number[] = [];
  readonly #waitsSince: number[] = [];
  /** The largest number of entities that executed in one round. */
  mostAtOnce = 0;
  time = 0;

  constructor(cpus: number) {
    this.scheduler = new Scheduler(cpus, ROUND);
  }

  add(behaviour: Behaviour, weight = DEFAULT_WEIGHT): number {
    this.entities.push(this.scheduler.add(weight));
    this.behaviours.push(behaviour);
    this.waited.push(0);
    this.longestWait.push(0);
    this.#waitsSince.push(0);
    return this.entities.length - 1;
  }

  /** What an entity has executed in all. */
  had(index: number): number {
    return this.scheduler.executed(this.entities[index]!);
  }

  run(duration: number): void {
    for (const end = this.time + duration; this.time < end; this.time += ROUND) this.#round();
  }

  #round(): void {
    const { scheduler, entities } = this;
    const wanted = this.behaviours.map((behaviour) => behaviour(this.time));
    entities.forEach((entity, i) => {
      if (wanted[i]! > 0) scheduler.wantsCpu(entity);
      else scheduler.sleeps(entity, Number.POSITIVE_INFINITY);
    });
    scheduler.decide();
    let executing = 0;
    entities.forEach((entity, i) => {
      if (scheduler.hasCpu(entity)) {
        if (wanted[i]! > 0) executing++;
        scheduler.ran(entity, wanted[i]!);
        this.#waitsSince[i] = 0;
      } else if (wanted[i]! > 0) {
        this.waited[i]! += ROUND;
        this.#waitsSince[i]! += ROUND;
        this.longestWait[i] = Math.max(this.longestWait[i]!, this.#waitsSince[i]!);
      }
    });
    this.mostAtOnce = Math.max(this.mostAtOnce, executing);
  }
}

test('two entities on one CPU take turns of 3 ms', (t) => {
  const c = new Competition(1);
  c.add(always);
  c.add(always);
  c.run(SECOND);
  t.true(Math.abs(c.had(0) - c.had(1)) <= 2 * GRANULARITY);
  t.is(c.had(0) + c.had(1), SECOND);
  t.true(Math.max(...c.longestWait) <= 2 * GRANULARITY + 2 * ROUND, `${c.longestWait}`);
  t.true(Math.max(...c.longestWait) >= 2 * GRANULARITY - ROUND, `${c.longestWait}`);
});

test('equal entities have equal shares at every moment, within a slice', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 24 }), (cpus, more) => {
      const c = new Competition(cpus);
      const count = cpus + more;
      for (let i = 0; i < count; i++) c.add(always);
      for (let step = 0; step < 20; step++) {
        c.run(7_300_000);
        const all = c.entities.map((_, i) => c.had(i));
        t.true(Math.max(...all) - Math.min(...all) <= 2 * GRANULARITY + 2 * ROUND);
        t.is(
          all.reduce((sum, each) => sum + each, 0),
          c.time * cpus,
        );
      }
    }),
    { seed: 1, numRuns: 40 },
  );
});

/** The shares of CPUs by weight, nobody more than one. */
function idealShares(weights: readonly number[], cpus: number): number[] {
  let capped = new Set<number>();
  for (;;) {
    const rest = weights.reduce((sum, weight, i) => (capped.has(i) ? sum : sum + weight), 0);
    const shares = weights.map((weight, i) => (capped.has(i) ? 1 : ((cpus - capped.size) * weight) / rest));
    const next = new Set(shares.flatMap((share, i) => (share >= 1 ? [i] : [])));
    if (next.size === capped.size) return shares;
    capped = next;
  }
}

test('shares are those of the weights, and nobody starves', (t) => {
  const weight = fc.constantFrom(20, 50, 100, 200, 300, 1000, 5000);
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.array(weight, { minLength: 2, maxLength: 12, size: 'max' }),
      (cpus, weights) => {
        fc.pre(weights.length > cpus);
        const c = new Competition(cpus);
        for (const each of weights) c.add(always, each);
        const duration = 4 * SECOND;
        c.run(duration);
        idealShares(weights, cpus).forEach((share, i) => {
          const error = Math.abs(c.had(i) / duration - share);
          t.true(
            error < 0.01,
            `weight ${weights[i]} of ${weights} on ${cpus}: ${c.had(i) / duration}, not ${share}`,
          );
        });
      },
    ),
    { seed: 2, numRuns: 40 },
  );
});

test('nobody starves, whatever the others do: sleep, wake, come late', (t) => {
  const behaviour = fc.oneof(
    fc.constant({ period: 1, busy: 1, from: 0 }),
    fc.record({
      period: fc.integer({ min: 1, max: 60 }),
      busy: fc.integer({ min: 1, max: 60 }),
      from: fc.constantFrom(0, 0, 0.3, 0.9),
    }),
  );
  const entity = fc.record({ behaviour, weight: fc.constantFrom(50, 100, 100, 200) });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.array(entity, { minLength: 2, maxLength: 10, size: 'max' }),
      (cpus, entities) => {
        const c = new Competition(cpus);
        // The one that is watched always wants to execute.
        c.add(always);
        for (const { behaviour, weight } of entities) {
          const { period, busy, from } = behaviour;
          const start = from * SECOND;
          c.add((time) => (time >= start && (time / ROUND) % period < busy ? ROUND : 0), weight);
        }
        c.run(SECOND);
        const sum = DEFAULT_WEIGHT + entities.reduce((all, { weight }) => all + weight, 0);
        const least = Math.min(1, (cpus * DEFAULT_WEIGHT) / sum);
        // Sleepers have their credit once each time they wake from a long sleep.
        t.true(c.had(0) >= least * SECOND - 2 * SLEEPER_CREDIT * entities.length, `${c.had(0)} of ${least}`);
        t.true(c.longestWait[0]! <= (2 * SLEEPER_CREDIT + 4 * ROUND) * (entities.length + 1) * 2);
      },
    ),
    { seed: 3, numRuns: 60 },
  );
});

test('when there are no more entities than CPUs, nobody waits', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 10_000 }), fc.nat(ROUND), fc.integer({ min: 1, max: 9 })), {
        minLength: 1,
        maxLength: 8,
      }),
      fc.nat(3),
      (entities, more) => {
        const c = new Competition(entities.length + more);
        for (const [weight, busy, period] of entities)
          c.add((time) => ((time / ROUND) % period === 0 ? busy : 0), weight);
        c.run(10_000_000);
        t.true(c.waited.every((each) => each === 0));
        for (const entity of c.entities)
          t.true(c.scheduler.hasCpu(entity), 'sleepers may execute when they wake');
      },
    ),
    { seed: 4, numRuns: 50 },
  );
});

test('an entity that slept has a CPU at the next decision', (t) => {
  for (const sleep of [60_000_000, SECOND]) {
    const c = new Competition(2);
    for (let i = 0; i < 9; i++) c.add(always);
    let awake = false;
    const sleeper = c.add(() => (awake ? ROUND : 0));
    c.run(sleep);
    awake = true;
    c.run(ROUND);
    t.is(c.had(sleeper), ROUND);
    // And then it has its share, not more than that and its credit.
    c.run(SECOND);
    t.true(Math.abs(c.had(sleeper) - 0.2 * SECOND) < 2 * SLEEPER_CREDIT, `${c.had(sleeper)}`);
  }
});

test('one that sleeps for an instant gains nothing by it', (t) => {
  const c = new Competition(1);
  c.add(always);
  const cunning = c.add((time) => ((time / ROUND) % 10 === 9 ? 0 : ROUND));
  c.run(2 * SECOND);
  t.true(c.had(cunning) <= SECOND + 2 * SLEEPER_CREDIT, `${c.had(cunning)}`);
});

test('who comes after a heavy one has run long does not starve the others', (t) => {
  const c = new Competition(2);
  c.add(always, 10_000);
  c.add(always);
  c.add(always);
  c.run(SECOND);
  t.true(c.had(0) >= SECOND - 2 * GRANULARITY, `${c.had(0)}: all of a CPU, which is what it can use`);
  c.add(always);
  c.run(0.3 * SECOND);
  for (const i of [1, 2, 3]) t.true(c.longestWait[i]! <= 10_000_000, `${c.longestWait}`);
  t.true(Math.abs(c.had(3) - 0.1 * SECOND) <= 2 * GRANULARITY + ROUND, `${c.had(3)}`);
});

test('weights that nobody competed by count for nothing later', (t) => {
  const c = new Competition(2);
  c.add(always, 10_000);
  const light = c.add(always, 1);
  c.run(10 * SECOND);
  c.add(always);
  const before = c.had(light);
  c.run(3 * SECOND);
  // Its share is 1 of 101 parts of one CPU.
  const share = c.had(light) - before;
  t.true(share > 0.005 * 3 * SECOND && share < 0.02 * 3 * SECOND, `${share}`);
});

test('time that is left unused while others wait is given out', (t) => {
  const c = new Competition(2);
  for (let i = 0; i < 8; i++) c.add(() => ROUND / 4);
  c.run(SECOND);
  const sum = c.entities.reduce((all, _, i) => all + c.had(i), 0);
  // All that can be had when at most twice as many as there are CPUs execute in a round.
  t.true(sum > 0.8 * SECOND, `${sum}`);
  t.true(c.mostAtOnce <= 4);
});

test('time that was left unused in an earlier crowd is not given out in the next', (t) => {
  const scheduler = new Scheduler(1, ROUND);
  const [first, second] = [scheduler.add(), scheduler.add()];
  const both = () => [first, second].filter((entity) => scheduler.hasCpu(entity));
  const round = (crowd: boolean, duration: number) => {
    scheduler.wantsCpu(first);
    if (crowd) scheduler.wantsCpu(second);
    else scheduler.rests(second);
    scheduler.decide();
    const executing = both();
    for (const entity of executing) scheduler.ran(entity, duration);
    return executing.length;
  };
  t.deepEqual([round(true, 1), round(true, ROUND - 1), round(true, 0)], [1, 1, 2]);
  const alone = () => round(false, 1);
  t.deepEqual([alone(), round(true, 1), alone(), round(true, ROUND - 1), round(true, 0)], [1, 1, 1, 1, 1]);
});

test('what a crowd of short turns leaves unused is for a thread that has used more than all of them', (t) => {
  const scheduler = new Scheduler(1, ROUND);
  const crowd = [scheduler.add(), scheduler.add(), scheduler.add()];
  const thread = scheduler.add();
  const spare: number[] = [];
  for (let round = 0; round < 100; round++) {
    for (const entity of [...crowd, thread]) scheduler.wantsCpu(entity);
    scheduler.decide();
    for (const entity of crowd) if (scheduler.hasCpu(entity)) scheduler.ran(entity, 1000);
    if (scheduler.hasCpu(thread)) scheduler.ran(thread, ROUND);
    spare.push(scheduler.spare);
    scheduler.ranSpare(thread, scheduler.spare);
    t.is(scheduler.spare, 0);
  }
  // In most rounds two of the crowd have turns, of which one can be made up for.
  t.true(spare.filter((time) => time > 0.9 * ROUND).length > 90);
  t.true(scheduler.executed(thread) > 90 * ROUND);
});

test('no more is executed than the CPUs have', (t) => {
  const busy = fc.array(fc.integer({ min: 1, max: ROUND }), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      busy,
      fc.array(fc.nat(ROUND), { minLength: 7, maxLength: 7 }),
      (cpus, all, pattern) => {
        const c = new Competition(cpus);
        all.forEach((each, i) => {
          c.add((time) => Math.min(each, pattern[(time / ROUND + i) % 7]!));
        });
        for (let i = 0; i < 50; i++) {
          c.run(10 * ROUND);
          const sum = c.entities.reduce((whole, _, at) => whole + c.had(at), 0);
          t.true(sum <= c.time * cpus);
        }
      },
    ),
    { seed: 5, numRuns: 60 },
  );
});

test('left-over CPUs go to the sleepers that expect to wake first', (t) => {
  const scheduler = new Scheduler(3, ROUND);
  const [busy, late, never, soon, off] = [1, 2, 3, 4, 5].map(() => scheduler.add());
  scheduler.wantsCpu(busy!);
  scheduler.sleeps(late!, 900);
  scheduler.sleeps(never!, Number.POSITIVE_INFINITY);
  scheduler.sleeps(soon!, 10);
  scheduler.rests(off!);
  scheduler.decide();
  t.deepEqual(
    [busy, late, never, soon, off].map((each) => scheduler.hasCpu(each!)),
    [true, true, false, true, false],
  );
});

test('entities come and go, and numbers are given again', (t) => {
  const scheduler = new Scheduler(1, ROUND);
  const entities = Array.from({ length: 40 }, () => scheduler.add());
  t.deepEqual(
    entities,
    entities.map((_, i) => i),
  );
  scheduler.wantsCpu(7);
  scheduler.decide();
  scheduler.ran(7, 500);
  t.is(scheduler.executed(7), 500);
  scheduler.remove(7);
  t.false(scheduler.hasCpu(7));
  t.is(scheduler.add(5), 7);
  t.is(scheduler.executed(7), 0);
  scheduler.decide();
  t.false(scheduler.hasCpu(7), 'it has not said that it wants to');
});

test('bad weights and numbers of CPUs are refused', (t) => {
  const scheduler = new Scheduler(1, ROUND);
  for (const weight of [0, -1, 1.5, 10_001, Number.NaN])
    t.throws(() => scheduler.add(weight), { message: /weight is a whole number from 1 to 10000/ });
  for (const cpus of [0, 1.5, Number.NaN])
    t.throws(() => new Scheduler(cpus, ROUND), { message: /1 CPU or more/ });
});

test('a saved state goes on as the original does', (t) => {
  const make = () => {
    const c = new Competition(3);
    for (let i = 0; i < 20; i++)
      c.add((time) => ((time / ROUND + i) % (i + 2) < i ? ROUND - 4000 * i : 0), 50 + 10 * i);
    return c;
  };
  const first = make();
  first.run(20_700_000);
  const state = save(first.scheduler);
  const second = make();
  second.time = first.time;
  load(second.scheduler, state);
  t.deepEqual(save(second.scheduler), state);
  first.run(20_000_000);
  second.run(20_000_000);
  t.deepEqual(save(second.scheduler), save(first.scheduler));
  t.throws(() => load(new Scheduler(2, ROUND), state), { message: /a host with 3 CPUs, not 2/ });
});
