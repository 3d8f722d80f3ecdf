import test from 'ava';
import fc from 'fast-check';
import { applyRuns, ByteSink, ByteSource, differences } from './bytes.ts';

test('numbers, texts and runs are read as they were written', (t) => {
  const property = fc.property(
    fc.array(fc.maxSafeNat()),
    fc.string(),
    fc.array(fc.tuple(fc.nat(1000), fc.uint8Array({ minLength: 1, maxLength: 40 }))),
    (numbers, text, pieces) => {
      let end = 0;
      const runs = pieces.map(([gap, bytes]) => {
        const at = end + gap;
        end = at + bytes.length;
        return { at, bytes };
      });
      const sink = new ByteSink();
      for (const number of numbers) sink.number(number);
      sink.text(text);
      sink.runs(runs);
      const source = new ByteSource(sink.finish());
      t.deepEqual(
        numbers.map(() => source.number()),
        numbers,
      );
      t.is(source.text(), text);
      t.deepEqual(
        source.runs().map(({ at, bytes }) => ({ at, bytes: Uint8Array.from(bytes) })),
        runs,
      );
      t.true(source.done);
    },
  );
  fc.assert(property, { seed: 1 });
});

test('a sink keeps what it has when it grows', (t) => {
  const sink = new ByteSink();
  for (let i = 0; i < 100_000; i++) sink.number(i);
  const source = new ByteSource(sink.finish());
  for (let i = 0; i < 100_000; i++) if (source.number() !== i) t.fail(`number ${i}`);
  t.true(source.done);
});

test('the differences of two arrays make one from the other', (t) => {
  const pair = fc.integer({ min: 0, max: 60 }).chain((length) => {
    const few = fc.uint8Array({ minLength: length, maxLength: length, max: 1 });
    return fc.tuple(few, few);
  });
  fc.assert(
    fc.property(pair, ([before, after]) => {
      const made = before.slice();
      applyRuns(made, differences(before, after));
      t.deepEqual(made, after);
    }),
    { seed: 1 },
  );
});

test('data that ends too early is refused', (t) => {
  t.throws(() => new ByteSource(Uint8Array.of(0x80)).number(), { instanceOf: RangeError });
  t.throws(() => new ByteSource(Uint8Array.of(3, 1)).bytes(), { instanceOf: RangeError });
  t.throws(() => new ByteSink().number(-1), { instanceOf: RangeError });
});
