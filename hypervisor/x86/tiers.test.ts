/** Random code comes to the same state in both tiers, after every number of instructions. */
import test, { type ExecutionContext } from 'ava';
import { usualTranslation } from './translate/options.ts';
import { vectorState } from './vectors/compare.ts';
import { type EmulatedMachine, emulatedMachine } from './vectors/emulated.ts';
import { sequenceFamilies } from './vectors/generator/families/index.ts';
import { makeSequence } from './vectors/generator/sequence.ts';
import { layouts, physicalLayout } from './vectors/layout.ts';
import type { VectorState } from './vectors/machine.ts';
import { seededRandom } from './vectors/random.ts';
import { tangle } from './vectors/tangle.ts';

const limit = 3000;
/** Runs to other numbers of instructions, for each program. */
const stops = 6;
/** Programs that are translated together. */
const batch = 50;

const atOnce = { ...usualTranslation, hotAfter: 1, cold: 1, mostBytes: 1 << 30, busyAfter: 1 << 30 };
const interpreting = emulatedMachine();
const translating: readonly [string, EmulatedMachine][] = [
  ['large regions', emulatedMachine(atOnce)],
  ['regions with what they call', emulatedMachine({ ...atOnce, busyAfter: 2 })],
  ['regions of one instruction', emulatedMachine({ ...atOnce, largestRegion: 1 })],
  ['regions of five instructions', emulatedMachine({ ...atOnce, largestRegion: 5 })],
];

/** All that a run leaves: registers, the exception, memory. */
function outcome(machine: EmulatedMachine, state: VectorState, budget: number) {
  const { cpu, exception } = machine.run(state, budget);
  const memory = physicalLayout('long').regions.map(({ region, physical }) =>
    Buffer.from(machine.memory(physical, region.pages * 4096)).toString('latin1'),
  );
  return { cpu, exception, elapsed: machine.vcpu.elapsed, retired: machine.vcpu.retired, memory };
}

function compare(t: ExecutionContext, programs: readonly VectorState[]): void {
  const random = seededRandom(4);
  for (let first = 0; first < programs.length; first += batch) {
    const some = programs.slice(first, first + batch);
    const budgets = some.map(() => [
      limit,
      ...Array.from({ length: stops }, () => 1 + random.below(random.pick([20, 100, limit]))),
    ]);
    const expected = some.map((state, i) =>
      budgets[i]!.map((budget) => outcome(interpreting, state, budget)),
    );
    interpreting.engine.resetCode();
    for (const [name, machine] of translating) {
      // Once more for regions that take the place of others.
      for (let pass = 0; pass < 2; pass++) {
        for (const state of some) machine.run(state, limit);
        machine.engine.translator.workAll();
      }
      some.forEach((state, i) => {
        budgets[i]!.forEach((budget, k) => {
          t.deepEqual(
            outcome(machine, state, budget),
            expected[i]![k]!,
            `program ${first + i} after ${budget} instructions, ${name}`,
          );
        });
      });
      machine.engine.resetCode();
    }
  }
  for (const [name, { vcpu, engine }] of translating) {
    const { regions, inlined } = engine.translator.counters;
    t.log(
      `${name}: ${regions} regions, ${inlined} calls inlined, ${vcpu.translatedInstructions} instructions executed in them`,
    );
  }
}

test.serial('tangles', (t) => {
  compare(
    t,
    Array.from({ length: 400 }, (_, seed) => tangle(seed)),
  );
});

test.serial('tangles across two pages', (t) => {
  compare(
    t,
    Array.from({ length: 400 }, (_, seed) => tangle(seed, 'two pages')),
  );
});

test.serial('tangles through which the end of a page goes', (t) => {
  compare(
    t,
    Array.from({ length: 400 }, (_, seed) => tangle(seed, 'page end')),
  );
});

test.serial('tangles that work on frames of the stack', (t) => {
  compare(
    t,
    Array.from({ length: 400 }, (_, seed) => tangle(seed, 'frames')),
  );
});

test.serial('tangles that move pointers about', (t) => {
  compare(
    t,
    Array.from({ length: 400 }, (_, seed) => tangle(seed, 'pointers')),
  );
});

for (const family of sequenceFamilies) {
  test.serial(`${family.name}, not as recorded`, (t) => {
    const isInside = (linear: number) =>
      layouts.long.some(({ linear: start, pages }) => linear >= start && linear < start + pages * 4096);
    const programs = Array.from({ length: 100 }, (_, i) => {
      const { draft, code } = makeSequence(family, 'long', 77_000 + i, i);
      const before = draft.image;
      return vectorState({ before, code, patches: draft.patches(isInside) }, 'long');
    });
    compare(t, programs);
  });
}
