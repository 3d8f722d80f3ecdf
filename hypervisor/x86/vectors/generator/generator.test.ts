import test from 'ava';
import { loadVectors, recordedFamilies } from '../load.ts';
import { parseEncoding } from './encoding.ts';
import { vectorFiles } from './files.ts';

test('a row of the tables is read as its notation says', (t) => {
  t.like(parseEncoding('cmpxchg16b 0f c7 /1 y w1 m16a mem lock long @comparePair'), {
    id: 'cmpxchg16b 0f c7 /1',
    opcode: [0x0f, 0xc7],
    modrm: 1,
    size: 'y',
    rexW: true,
    memoryBytes: 16,
    aligned: true,
    form: 'mem',
    lock: true,
    only: 'long',
    preparations: ['comparePair'],
  });
  t.like(parseEncoding('crc32 pf2 0f 38 f1 /r v'), {
    id: 'crc32 f2 0f 38 f1 /r',
    mandatoryPrefix: 0xf2,
    modrm: 'r',
  });
  t.like(parseEncoding('mov b8+r iv v'), { plusRegister: true, immediates: ['iv'] });
});

test('an unknown token is refused with its row', (t) => {
  t.throws(() => parseEncoding('add 00 /r quickly'), {
    message: /'add 00 \/r quickly': unknown token 'quickly'/,
  });
});

test('the recorded files are those that the generator makes', (t) => {
  t.deepEqual(recordedFamilies(), vectorFiles.map(({ name }) => name).sort());
});

test('every 61st recorded vector has the code and the state that the generator gives its seed', (t) => {
  for (const { name, firstSeed, make } of vectorFiles) {
    const { vectors } = loadVectors(name);
    for (let i = 0; i < vectors.length; i += 61) {
      const vector = vectors[i]!;
      const made = make(vector.seed - firstSeed);
      const what = `${name}, seed ${vector.seed}: record it anew with generate.ts`;
      t.deepEqual(vector.before, made.draft.image, what);
      t.deepEqual(Uint8Array.from(vector.code), made.code.slice(0, vector.code.length), what);
    }
  }
});

test('seeds are not shared between files', (t) => {
  const ranges = vectorFiles
    .map(({ firstSeed, count }) => [firstSeed, firstSeed + count] as const)
    .sort(([a], [b]) => a - b);
  for (const [i, [first]] of ranges.entries()) if (i > 0) t.true(first >= ranges[i - 1]![1]);
});
