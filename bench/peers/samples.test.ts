import test from 'ava';
import { Samples, spread } from './samples.ts';

test('the median lies in the middle, and the spread is from the least to the largest', (t) => {
  t.deepEqual(spread([30, 1, 2]), { median: 2, min: 1, max: 30 });
  t.deepEqual(spread([10, 1, 2, 4]), { median: 3, min: 1, max: 10 });
  t.is(spread([]), undefined);
});

test('ratios are of values in the same round, and only where there are both', (t) => {
  const samples = new Samples();
  for (const [round, value] of [10, 40].entries()) {
    samples.add({ measure: 'sh', peer: 'own', round, value });
  }
  samples.add({ measure: 'sh', peer: 'other', round: 0, failure: 'no prompt' });
  samples.add({ measure: 'sh', peer: 'other', round: 1, value: 20 });
  samples.add({ measure: 'awk', peer: 'other', round: 0, value: 1 });
  t.deepEqual([...samples.ratios('sh', 'own', 'other')], [[1, 2]]);
  t.is(samples.failure('sh', 'other'), 'no prompt');
});

test('a mean of ratios is geometric, of rounds in which there are all', (t) => {
  const samples = new Samples();
  for (const [round, sh, awk] of [
    [0, 2, 8],
    [1, 5, undefined],
  ] as const) {
    samples.add({ measure: 'sh', peer: 'own', round, value: sh });
    samples.add({ measure: 'sh', peer: 'other', round, value: 1 });
    samples.add({ measure: 'awk', peer: 'other', round, value: 1 });
    if (awk !== undefined) samples.add({ measure: 'awk', peer: 'own', round, value: awk });
  }
  const [mean, ...more] = samples.meanRatios(['sh', 'awk'], 'own', 'other');
  t.true(Math.abs(mean! - 4) < 1e-9);
  t.deepEqual(more, []);
});
