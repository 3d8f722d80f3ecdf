/** Figures read as people write them. */
import test from 'ava';
import { decimal, duration, mebibytes, percent, size, threeDigits } from './units.ts';

test('numbers have commas between thousands, and a real minus', (t) => {
  t.is(decimal(1234567), '1,234,567');
  t.is(decimal(999), '999');
  t.is(decimal(-1234.5, 1), '−1,234.5');
  t.is(decimal(-0.01, 1), '0.0');
});

test('three digits say enough; whole numbers have no point', (t) => {
  t.deepEqual([0, 4, 1234.6, 123.4, 12.34, 1.234, 0.1234].map(threeDigits), [
    '0',
    '4',
    '1,235',
    '123',
    '12.3',
    '1.23',
    '0.123',
  ]);
  t.is(mebibytes(1024), '1,024 MiB');
});

test('times are in the unit that suits them', (t) => {
  t.deepEqual([0, 999, 1000, 3600, 655_360, 5e6, 13_700_000, 1e9, 61.5e9].map(duration), [
    '0 ns',
    '999 ns',
    '1 µs',
    '3.60 µs',
    '655 µs',
    '5 ms',
    '13.7 ms',
    '1 s',
    '61.5 s',
  ]);
});

test('shares of nothing are no share', (t) => {
  t.is(percent(1, 0), '–');
  t.is(percent(1, 3), '33.3 %');
});

test('sizes are in the largest unit that leaves them whole', (t) => {
  t.deepEqual([2 ** 30, 320 * 2 ** 20, 1536 * 2 ** 20, 4096, 100, 0].map(size), [
    '1 GiB',
    '320 MiB',
    '1,536 MiB',
    '4 KiB',
    '100 bytes',
    '0 MiB',
  ]);
});
