import test from 'ava';
import fc from 'fast-check';
import { Rtc } from './rtc.ts';
import { load, save } from './testing/state.ts';
import { TestTime } from './testing/time.ts';

const SECOND = 1e9;
const EPOCH = Date.UTC(2026, 10, 28, 23, 59, 50) / 1000;
const [SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM] = [0, 1, 2, 3, 4, 5];
const [DAY, MONTH, YEAR, A, B, C, D, CENTURY] = [7, 8, 9, 10, 11, 12, 13, 0x32];

function setUp() {
  const time = new TestTime();
  const irq = { asserted: false, rises: [] as number[] };
  const rtc = new Rtc(EPOCH, time, time.timers, (asserted) => {
    if (asserted && !irq.asserted) irq.rises.push(time.now());
    irq.asserted = asserted;
  });
  const get = (register: number): number => {
    rtc.writeByte(0x70, register);
    return rtc.readByte(0x71);
  };
  const put = (register: number, value: number): void => {
    rtc.writeByte(0x70, register);
    rtc.writeByte(0x71, value);
  };
  const calendar = () =>
    [CENTURY, YEAR, MONTH, DAY, HOURS, MINUTES, SECONDS]
      .map((register) => get(register).toString(16))
      .join(' ');
  return { time, rtc, irq, get, put, calendar };
}

test('it shows the epoch plus virtual time, in BCD and 24 hours after power-on', (t) => {
  const { time, calendar, get } = setUp();
  t.is(calendar(), '20 26 11 28 23 59 50');
  time.advanceTo(10 * SECOND);
  t.is(calendar(), '20 26 11 29 0 0 0');
  t.is(get(A), 0x26);
  t.is(get(B), 0x02);
  t.is(get(D), 0x80);
});

test('register B chooses binary and 12 hours', (t) => {
  const { get, put } = setUp();
  put(B, 0x06);
  t.is(get(MINUTES), 59);
  put(B, 0x00);
  t.is(get(HOURS), 0x91);
});

test('a time set under SET stands still, and goes on in step with the divider when SET is cleared', (t) => {
  const { time, calendar, put } = setUp();
  time.advanceTo(1.25 * SECOND);
  put(B, 0x82);
  for (const [register, value] of [
    [CENTURY, 0x19],
    [YEAR, 0x99],
    [MONTH, 0x12],
    [DAY, 0x31],
    [SECONDS, 0x59],
  ] as const) {
    put(register, value);
  }
  time.advanceTo(5.5 * SECOND);
  t.is(calendar(), '19 99 12 31 23 59 59');
  put(B, 0x02);
  t.is(calendar(), '19 99 12 31 23 59 59');
  time.advanceTo(6 * SECOND);
  t.is(calendar(), '20 0 1 1 0 0 0');
});

test('the first update comes half a second after the divider is started', (t) => {
  const { time, get, put } = setUp();
  put(A, 0x70);
  time.advanceTo(10.25 * SECOND);
  t.is(get(SECONDS), 0x50);
  put(A, 0x26);
  time.advanceTo(10.75 * SECOND - 1);
  t.is(get(SECONDS), 0x50);
  time.advanceTo(10.75 * SECOND);
  t.is(get(SECONDS), 0x51);
});

test('UIP announces the update 2228 µs before its end, and never under SET', (t) => {
  const { time, get, put } = setUp();
  time.advanceTo(SECOND - 2_228_001);
  t.is(get(A), 0x26);
  time.advanceTo(SECOND - 2_228_000);
  t.is(get(A), 0xa6);
  time.advanceTo(SECOND);
  t.is(get(A), 0x26);
  put(B, 0x82);
  time.advanceTo(2 * SECOND - 1);
  t.is(get(A), 0x26);
});

test('the update-ended interrupt comes every second, and reading register C ends it', (t) => {
  const { time, irq, get, put } = setUp();
  put(B, 0x12);
  for (let second = 1; second <= 3; second++) {
    time.advanceTo((second + 0.5) * SECOND);
    t.is(get(C) & 0xb0, 0x90);
    t.false(irq.asserted);
  }
  t.deepEqual(irq.rises, [SECOND, 2 * SECOND, 3 * SECOND]);
  put(B, 0x92);
  t.is(get(B), 0x82, 'SET clears UIE');
});

test('the alarm compares seconds, minutes and hours, each of which may be any', (t) => {
  const { time, irq, get, put } = setUp();
  put(SECONDS_ALARM, 0x55);
  put(MINUTES_ALARM, 0xff);
  put(HOURS_ALARM, 0xc0);
  put(B, 0x22);
  time.advanceTo(4.9 * SECOND);
  t.deepEqual(irq.rises, []);
  time.advanceTo(6 * SECOND);
  t.deepEqual(irq.rises, [5 * SECOND]);
  t.is(get(C), 0xf0);
  put(HOURS_ALARM, 0x12);
  time.advanceTo(120 * SECOND);
  t.is(irq.rises.length, 1);
});

test('the periodic interrupt has the rates of the data sheet', (t) => {
  for (const [rate, hertz] of [
    [1, 256],
    [2, 128],
    [3, 8192],
    [6, 1024],
    [15, 2],
  ] as const) {
    const { time, rtc, irq, get, put } = setUp();
    put(A, 0x20 | rate);
    put(B, 0x42);
    irq.rises.length = 0;
    rtc.writeByte(0x70, C);
    const end = SECOND;
    while (time.timers.next <= end) {
      time.advanceTo(time.timers.next);
      if (irq.asserted) get(C);
    }
    t.is(irq.rises.length, hertz);
  }
});

test('the periodic flag stands without its interrupt, and rate 0 has none', (t) => {
  const { time, irq, get, put } = setUp();
  time.advanceTo(SECOND / 100);
  t.is(get(C), 0x40);
  t.is(get(C), 0);
  put(A, 0x20);
  time.advanceTo(SECOND / 2);
  t.is(get(C), 0);
  t.deepEqual(irq.rises, []);
});

test('no alarm is set for a periodic flag that nobody has read', (t) => {
  const { time, put } = setUp();
  put(B, 0x42);
  time.advanceTo(SECOND / 2);
  t.is(time.timers.next, SECOND);
});

test('the memory keeps bytes; C and D are for reading only; port 0x70 bit 7 masks NMI', (t) => {
  const { rtc, get, put } = setUp();
  put(0x0f, 0x0a);
  put(0x7f, 0x55);
  t.is(get(0x0f), 0x0a);
  t.is(get(0x7f), 0x55);
  put(D, 0);
  t.is(get(D), 0x80);
  t.is(rtc.readByte(0x70), 0xff);
  rtc.writeByte(0x70, 0x8f);
  t.true(rtc.nmiMasked);
  t.is(rtc.readByte(0x71), 0x0a);
});

test('a reset of the machine disables the interrupts and leaves time and memory', (t) => {
  const { time, rtc, irq, get, put, calendar } = setUp();
  put(B, 0x72);
  put(0x0f, 0x0a);
  time.advanceTo(SECOND);
  t.true(irq.asserted);
  rtc.reset();
  t.false(irq.asserted);
  t.is(get(B), 0x02);
  t.is(get(0x0f), 0x0a);
  t.is(calendar(), '20 26 11 28 23 59 51');
});

test('a state saved when an interrupt is due but not yet noticed brings it where it is loaded', (t) => {
  const one = setUp();
  one.put(B, 0x42);
  one.time.passTo(SECOND / 1000);
  const two = setUp();
  two.time.passTo(SECOND / 1000);
  load(two.rtc, save(one.rtc));
  two.time.leapTo(SECOND / 1000);
  t.true(two.irq.asserted);
});

const step = fc.record({
  write: fc.boolean(),
  register: fc.oneof(fc.nat(0x0f), fc.nat(0x7f)),
  value: fc.nat(255),
  after: fc.nat(3 * SECOND),
});

test('any accesses give bytes, and a state loaded in their middle goes on equally', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.nat(60), (steps, middle) => {
      const one = setUp();
      const two = setUp();
      const run = (
        { time, get, put, irq }: typeof one,
        { write, register, value, after }: (typeof steps)[number],
      ) => {
        time.leapTo(time.now() + after);
        if (write) put(register, value);
        return get(register) * 2 + (irq.asserted ? 1 : 0);
      };
      steps.forEach((each, index) => {
        if (index === middle) {
          two.time.leapTo(one.time.now());
          load(two.rtc, save(one.rtc));
          load(two.time.timers, save(one.time.timers));
          two.irq.asserted = one.irq.asserted;
        }
        const value = run(one, each);
        if (!(value >= 0 && value <= 511)) throw new Error(`read ${value}`);
        if (index >= middle && run(two, each) !== value) throw new Error('differs');
      });
      return steps.length <= middle || save(one.rtc).join() === save(two.rtc).join();
    }),
    { seed: 11, numRuns: 500 },
  );
  t.pass();
});
