/** Translated code against recorded silicon: every vector of 64-bit code, which alone is translated. */
import test from 'ava';
import { checkVector, codeLinear, vectorState } from './vectors/compare.ts';
import { emulatedMachine } from './vectors/emulated.ts';
import { locate } from './vectors/layout.ts';
import { loadVectors, recordedFamilies } from './vectors/load.ts';

const limit = 100_000;
/** Vectors whose code is translated together. */
const batch = 256;

const machine = emulatedMachine({ hotAfter: 1, cold: 1, largestRegion: 600, mostBytes: 1 << 30 });

for (const family of recordedFamilies().filter((name) => name.endsWith('-long'))) {
  test(`${family}: translated, as on the recorded processor`, (t) => {
    const { header, vectors } = loadVectors(family);
    const failures: string[] = [];
    let made = 0;
    let entered = 0;
    for (let first = 0; first < vectors.length; first += batch) {
      const some = vectors.slice(first, first + batch);
      machine.engine.resetCode();
      // The first run decodes.
      for (const vector of some) machine.run(vectorState(vector, header.layout), limit);
      machine.engine.translator.workAll();
      for (const vector of some) {
        const failure = checkVector(vector, header.layout, machine);
        if (failure !== undefined) failures.push(failure);
        const translation = machine.translation(locate(header.layout, codeLinear(vector.before)).physical);
        if (translation.made) made++;
        if (translation.entered) entered++;
      }
    }
    t.log(`${made} of ${vectors.length} translated, ${entered} entered`);
    t.is(failures.length, 0, `${failures.length} differ, first:\n${failures.slice(0, 3).join('\n')}`);
  });
}
