/**
 * The CPU against recorded silicon: every vector of every family, interpreted; those of 64-bit code, which alone is translated,
 * once more as translated code.
 */
import test from 'ava';
import { usualTranslation } from './translate/options.ts';
import { checkVector, codeLinear } from './vectors/compare.ts';
import { emulatedMachine } from './vectors/emulated.ts';
import type { Vector } from './vectors/format.ts';
import { type LayoutName, locate } from './vectors/layout.ts';
import { loadVectors, recordedFamilies } from './vectors/load.ts';

/** All code is translated when it has been executed once. */
const machine = emulatedMachine({ ...usualTranslation, hotAfter: 1, cold: 1, mostBytes: 1 << 30 });

/** Vectors whose code is translated together. */
const batchSize = 256;

/** How many of a hundred vectors begin with an instruction that is translated; of families that are not named at least 94. */
const translatedShare: Record<string, number> = {
  'far-long': 0,
  'state-long': 0,
  'undefined-long': 3,
  'privileged-long': 35,
  'segment-long': 50,
  'length-long': 50,
  'x87-control-long': 55,
  'trap-long': 85,
};

for (const family of recordedFamilies()) {
  test(`${family}: as on the recorded processor`, (t) => {
    const { header, vectors } = loadVectors(family);
    const interpreted: string[] = [];
    const translated: string[] = [];
    let made = 0;
    const { engine } = machine;
    for (let first = 0; first < vectors.length; first += batchSize) {
      const batch = vectors.slice(first, first + batchSize);
      // Nothing is translated before its first run.
      if (header.layout === 'long') engine.resetCode();
      for (const vector of batch) check(vector, header.layout, interpreted);
      if (header.layout !== 'long') continue;
      engine.translator.workAll();
      for (const vector of batch) {
        check(vector, header.layout, translated);
        const code = locate(header.layout, codeLinear(vector.before));
        const translation = machine.translation(code.physical);
        if (translation.made) made++;
        if (translation.made && !translation.entered)
          t.fail(`'${vector.text}' was not executed as translated`);
      }
    }
    t.is(interpreted.length, 0, describe('interpreted', interpreted, vectors.length));
    if (header.layout !== 'long') return;
    t.is(translated.length, 0, describe('translated', translated, vectors.length));
    const share = Math.floor((100 * made) / vectors.length);
    t.true(share >= (translatedShare[family] ?? 94), `${share} of 100 are translated`);
  });
}

function check(vector: Vector, layout: LayoutName, failures: string[]): void {
  const failure = checkVector(vector, layout, machine);
  if (failure !== undefined) failures.push(failure);
}

function describe(how: string, found: readonly string[], of: number): string {
  return `${found.length} of ${of} differ when ${how}, first:\n${found.slice(0, 3).join('\n')}`;
}
