import test from 'ava';
import fc from 'fast-check';
import * as hdr from 'hdr-histogram-js';
import { load, save } from '../platform/testing/state.ts';
import { Histogram } from './histogram.ts';

const shares = [0, 1, 5000, 9000, 9900, 9990, 9999, 10_000];

/** Durations as they occur: of every size, and of one size. */
const durations = fc.array(
  fc.oneof(
    fc.nat(300),
    fc.nat(100_000),
    fc.integer({ min: 0, max: 44 }).map((bits) => 2 ** bits),
    fc.integer({ min: 0, max: 44 }).map((bits) => 2 ** bits - 1),
    fc.integer({ min: 0, max: 2 ** 44 }),
  ),
  { minLength: 1, maxLength: 400, size: 'max' },
);

function of(values: readonly number[]): Histogram {
  const histogram = new Histogram();
  for (const value of values) histogram.record(value);
  return histogram;
}

test('quantiles are those of HdrHistogram at two significant digits', (t) => {
  fc.assert(
    fc.property(durations, (values) => {
      const ours = of(values);
      const theirs = hdr.build({
        lowestDiscernibleValue: 1,
        highestTrackableValue: 2 ** 45,
        numberOfSignificantValueDigits: 2,
        bitBucketSize: 64,
        useWebAssembly: false,
      });
      for (const value of values) theirs.recordValue(value);
      t.is(ours.count, theirs.totalCount);
      for (const share of shares.slice(1)) {
        // They name the end of the bucket, also beyond the largest value.
        const expected = Math.min(theirs.getValueAtPercentile(share / 100), ours.max);
        t.is(ours.quantile(share), expected, `${share} of ${values.length}`);
      }
    }),
    { seed: 21, numRuns: 150 },
  );
});

test('quantiles lie less than 1/128 above the exact ones, and the ends are exact', (t) => {
  fc.assert(
    fc.property(durations, (values) => {
      const histogram = of(values);
      const sorted = [...values].sort((a, b) => a - b);
      t.is(histogram.min, sorted[0]!);
      t.is(histogram.max, sorted.at(-1)!);
      t.is(histogram.quantile(10_000), sorted.at(-1)!);
      t.is(
        histogram.sum,
        values.reduce((sum, value) => sum + value, 0),
      );
      for (const share of shares) {
        const exact = sorted[Math.max(1, Math.ceil((values.length * share) / 10_000)) - 1]!;
        const found = histogram.quantile(share);
        t.true(found >= exact && found <= exact + exact / 128, `${found} for ${exact}`);
      }
    }),
    { seed: 22, numRuns: 150 },
  );
});

test('the largest numbers have their bucket', (t) => {
  const histogram = of([2 ** 53 - 1, 0]);
  t.is(histogram.quantile(10_000), 2 ** 53 - 1);
  t.is(histogram.quantile(1), 0);
  t.is(histogram.mean, (2 ** 53 - 1) / 2);
});

test('an empty histogram has zeros', (t) => {
  const histogram = new Histogram();
  t.deepEqual(
    [histogram.count, histogram.sum, histogram.min, histogram.max, histogram.mean, histogram.quantile(9900)],
    [0, 0, 0, 0, 0, 0],
  );
});

test('added histograms are as if all had been counted in one', (t) => {
  fc.assert(
    fc.property(durations, durations, (first, second) => {
      const sum = of(first);
      sum.add(of(second));
      t.deepEqual(save(sum), save(of([...first, ...second])));
    }),
    { seed: 23, numRuns: 50 },
  );
  const nothing = new Histogram();
  nothing.add(new Histogram());
  t.is(nothing.min, 0);
});

test('buckets tell all that was counted, in order', (t) => {
  const found: [number, number][] = [];
  of([5, 1000, 1001, 1007, 1008, 5]).buckets((largest, count) => found.push([largest, count]));
  t.deepEqual(found, [
    [5, 2],
    [1003, 2],
    [1007, 1],
    [1011, 1],
  ]);
});

test('a saved histogram is taken up again, whatever was there before', (t) => {
  const first = of([1, 2, 3, 1e6, 1e12]);
  const second = of([7, 7, 1e9]);
  load(second, save(first));
  t.deepEqual(save(second), save(first));
  first.record(55);
  second.record(55);
  t.deepEqual(save(second), save(first));
});
