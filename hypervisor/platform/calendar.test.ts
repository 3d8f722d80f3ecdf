import test from 'ava';
import fc from 'fast-check';
import { calendarBytes, calendarSeconds } from './calendar.ts';

const BCD_24 = { binary: false, hours24: true };

test('a calendar is written in BCD or binary, in 24 or 12 hours', (t) => {
  const seconds = Date.UTC(2026, 10, 28, 23, 59, 58) / 1000; // a Saturday
  const hex = (binary: boolean, hours24: boolean) =>
    Buffer.from(calendarBytes(seconds, { binary, hours24 })).toString('hex');
  t.is(hex(false, true), '5859230728112620');
  t.is(hex(true, true), '3a3b17071c0b1a14');
  t.is(hex(false, false), '5859910728112620');
  t.is(hex(true, false), '3a3b8b071c0b1a14');
});

test('midnight and noon are 12 in a clock of 12 hours', (t) => {
  const format = { binary: false, hours24: false };
  t.is(calendarBytes(0, format)[2], 0x12);
  t.is(calendarBytes(12 * 3600, format)[2], 0x92);
});

test('every second is read back in every format', (t) => {
  fc.assert(
    fc.property(fc.nat(2 ** 31), fc.boolean(), fc.boolean(), (seconds, binary, hours24) => {
      const format = { binary, hours24 };
      return calendarSeconds(calendarBytes(seconds, format), format) === seconds;
    }),
    { seed: 9, numRuns: 1000 },
  );
  t.pass();
});

test('any bytes make a finite time', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 8, maxLength: 8 }),
      fc.boolean(),
      fc.boolean(),
      (bytes, binary, hours24) => Number.isInteger(calendarSeconds(bytes, { binary, hours24 })),
    ),
    { seed: 10, numRuns: 1000 },
  );
  t.is(calendarSeconds(Uint8Array.of(0x60, 0x59, 0x23, 1, 0x31, 0x12, 0x69, 0x19), BCD_24), 0);
});
