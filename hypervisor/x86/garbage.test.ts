/** Programs that are random bytes: whatever they do, it is the guest's affair. */
import test from 'ava';
import { usualTranslation } from './translate/options.ts';
import { vectorState } from './vectors/compare.ts';
import { emulatedMachine } from './vectors/emulated.ts';
import { loadVectors } from './vectors/load.ts';
import { seededRandom } from './vectors/random.ts';

const programs = 400;
const programBytes = 400;
const limit = 5000;

for (const family of ['move-long', 'move-compat32', 'move-compat16']) {
  test(`${family}: random code ends in an exception or runs out of time, interpreted as translated`, (t) => {
    const { header, vectors } = loadVectors(family);
    const machine = emulatedMachine({ ...usualTranslation, hotAfter: 1, cold: 1 });
    const random = seededRandom(2);
    let exceptions = 0;
    for (let i = 0; i < programs; i++) {
      const code = Uint8Array.from({ length: programBytes }, () => random.below(256));
      const state = vectorState({ ...vectors[i % vectors.length]!, code }, header.layout);
      const first = machine.run(state, limit);
      machine.engine.translator.workAll();
      const again = machine.run(state, limit);
      t.deepEqual(again, first);
      if (first.exception !== undefined) exceptions++;
    }
    t.true(exceptions > programs / 2, `${exceptions} of ${programs} raised an exception`);
  });
}
