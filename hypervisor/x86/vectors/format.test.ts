import test from 'ava';
import { readVectors, type Vector, VectorFileError, writeVectors } from './format.ts';
import { baseImage, imageOffset } from './image.ts';

const header = {
  family: 'example-long',
  layout: 'long',
  processor: 'Example',
  signature: 'a0671',
  seed: 1,
} as const;

function example(seed: number, changed: Partial<Vector>): Vector {
  const before = baseImage(seed, 'doubles');
  before[imageOffset.rip] = 0x12;
  const after = before.slice();
  after[imageOffset.rip] = 0x15;
  return {
    seed,
    flavour: 'doubles',
    encoding: 'add 00 /r',
    text: 'add al,bl',
    code: Uint8Array.of(0, 0xd8),
    before,
    patches: [],
    after,
    changes: [],
    exception: undefined,
    rule: { manual: '' },
    ignoredMemory: [],
    ...changed,
  };
}

const examples = [
  example(7, {}),
  example(8, {
    patches: [{ at: 0x3c5a_1001_0000, bytes: Uint8Array.of(1, 2) }],
    changes: [{ at: 0x3c5a_1001_0010, bytes: Uint8Array.of(3) }],
    exception: { vector: 14, errorCode: 7, cr2: 0x3c5a_1002_0000 },
    rule: { manual: 'SDM', flags: 0x10, lastPlace: [0] },
    ignoredMemory: [{ at: 0x3c5a_1001_0011, bytes: Uint8Array.of(0xff) }],
  }),
  example(100, { exception: { vector: 6, errorCode: 0, cr2: 0 }, encoding: 'ud2 0f 0b' }),
];

// The reader gives views into the file's bytes; plain arrays compare equal to what was written.
const plain = (vectors: readonly Vector[]) =>
  JSON.parse(JSON.stringify(vectors, (_, value) => (value instanceof Uint8Array ? [...value] : value)));

test('a file gives back the vectors that were written', (t) => {
  const file = readVectors(writeVectors(header, examples));
  t.deepEqual(plain(file.vectors), plain(examples));
  t.like(file.header, { ...header, count: 3 });
  t.deepEqual(file.header.encodings, ['add 00 /r', 'ud2 0f 0b']);
});

test('equal vectors give equal bytes', (t) => {
  t.deepEqual(writeVectors(header, examples), writeVectors(header, examples));
});

test('a file of another kind, of another version or cut short is refused', (t) => {
  const bytes = writeVectors(header, examples);
  t.throws(() => readVectors(new TextEncoder().encode('{"vectors": []}')), { instanceOf: VectorFileError });
  const newer = bytes.slice();
  newer[8] = 99;
  t.throws(() => readVectors(newer), { instanceOf: VectorFileError, message: /version 99.*generate\.ts/ });
  t.throws(() => readVectors(bytes.subarray(0, bytes.length - 1)), { instanceOf: RangeError });
  t.throws(() => readVectors(Uint8Array.of(...bytes, 0)), {
    instanceOf: VectorFileError,
    message: /goes on/,
  });
});
