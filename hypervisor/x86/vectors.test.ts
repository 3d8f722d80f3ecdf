/** The CPU against recorded silicon: every vector of every family. */
import test from 'ava';
import { checkVector } from './vectors/compare.ts';
import { emulatedMachine } from './vectors/emulated.ts';
import { loadVectors, recordedFamilies } from './vectors/load.ts';

const machine = emulatedMachine();

for (const family of recordedFamilies()) {
  test(`${family}: as on the recorded processor`, (t) => {
    const { header, vectors } = loadVectors(family);
    const failures = vectors
      .map((vector) => checkVector(vector, header.layout, machine))
      .filter((each) => each !== undefined);
    t.is(
      failures.length,
      0,
      `${failures.length} of ${vectors.length} differ, first:\n${failures.slice(0, 3).join('\n')}`,
    );
  });
}
