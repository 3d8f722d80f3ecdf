import test from 'ava';
import { formatSize, parseInteger, parseSize } from './values.ts';

for (const [text, bytes] of [
  ['256M', 2 ** 28],
  ['256MiB', 2 ** 28],
  ['256mb', 2 ** 28],
  ['1G', 2 ** 30],
  ['1.5G', 1.5 * 2 ** 30],
  ['64 K', 65536],
] as const) {
  test(`${text} is ${bytes} bytes`, (t) => {
    t.is(parseSize('--memory', text), bytes);
  });
}

for (const text of [
  '',
  '256',
  'M',
  '-1M',
  '1T',
  '0M',
  '1MM',
  '1e3M',
  '0.0001K',
  '99999999999G',
  'Infinity',
  '1,5G',
]) {
  test(`'${text}' is no size`, (t) => {
    t.throws(() => parseSize('--memory', text), {
      name: 'UserError',
      message: `--memory ${text}: not a size in whole bytes. Remedy: give a number and a unit: 256M, 1G, 65536K.`,
    });
  });
}

test('whole numbers are taken within their bounds', (t) => {
  t.is(parseInteger('--cpus', '1', 1, 8), 1);
  t.is(parseInteger('--cpus', '8', 1, 8), 8);
  for (const text of ['0', '9', '-1', '1.5', '0x4', '', 'two', '1e1']) {
    t.throws(() => parseInteger('--cpus', text, 1, 8), {
      name: 'UserError',
      message: `--cpus ${text}: not a whole number from 1 to 8. Remedy: give one.`,
    });
  }
});

test('sizes are shown in the unit that fits', (t) => {
  t.deepEqual([0, 1023, 1024, 2 ** 20, 1.55 * 2 ** 30].map(formatSize), [
    '0 bytes',
    '1023 bytes',
    '1.0 KiB',
    '1.0 MiB',
    '1.6 GiB',
  ]);
});
