import test from 'ava';
import fc from 'fast-check';
import { type ContentKey, contentKinds, keyOf, wordOf } from './content.ts';

const kinds = (Object.keys(contentKinds) as ContentKey['kind'][]).filter((kind) => kind !== 'zero');
const part = fc.nat({ max: 2 ** 20 - 1 });
const key = fc.record({ kind: fc.constantFrom(...kinds), owner: part, index: part, version: part });

test('a word tells its key', (t) => {
  fc.assert(
    fc.property(key, (each) => void t.deepEqual(keyOf(wordOf(each)), each)),
    { seed: 1 },
  );
});

test('zero is the page of zeros, and no other key has that word', (t) => {
  t.is(wordOf({ kind: 'zero', owner: 3, index: 4, version: 5 }), 0n);
  t.deepEqual(keyOf(0n), { kind: 'zero', owner: 0, index: 0, version: 0 });
  fc.assert(
    fc.property(key, (each) => wordOf(each) !== 0n),
    { seed: 1 },
  );
});

test('a word has no key, or the key has the word', (t) => {
  const words = Array.from({ length: 1000 }, (_, index) => BigInt(index) * 0x9e37_79b9n);
  const keys = words.map(keyOf);
  words.forEach((word, index) => {
    if (keys[index] !== undefined) t.is(wordOf(keys[index]), word);
  });
  // Of 16 kinds, six exist, and zero has but one word.
  const known = keys.filter((each) => each !== undefined).length;
  t.true(known > 200 && known < 450, `${known} of 1000 words have a key`);
});
