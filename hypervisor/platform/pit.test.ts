import test from 'ava';
import fc from 'fast-check';
import { PIT_HZ, Pit } from './pit.ts';
import { load, save } from './testing/state.ts';
import { TestTime } from './testing/time.ts';

function setUp() {
  const time = new TestTime();
  const rises: number[] = [];
  let level = false;
  const pit = new Pit(time, time.timers, (asserted) => {
    if (asserted && !level) rises.push(time.now());
    level = asserted;
  });
  return { time, pit, rises };
}

const pulses = (count: number): number => Math.ceil((count * 1e9) / PIT_HZ);

test('counter 0 as a rate generator raises IRQ 0 once a period', (t) => {
  const { time, pit, rises } = setUp();
  pit.writeByte(0x43, 0x34);
  pit.writeByte(0x40, 0xa9); // 4777: 4 ms
  pit.writeByte(0x40, 0x12);
  rises.length = 0;
  time.advanceTo(1e9);
  t.is(rises.length, 249);
  t.deepEqual(rises.slice(0, 2), [pulses(4778), pulses(2 * 4777 + 1)]);
});

test('counter 0 counting once raises IRQ 0 when it ends', (t) => {
  const { time, pit, rises } = setUp();
  pit.writeByte(0x43, 0x38);
  rises.length = 0;
  pit.writeByte(0x40, 0x10);
  pit.writeByte(0x40, 0x00);
  time.advanceTo(1e9);
  t.deepEqual(rises, [pulses(18)]);
  t.is(time.timers.next, Number.POSITIVE_INFINITY);
});

test('port 0x61 gates counter 2 and shows its output', (t) => {
  const { time, pit } = setUp();
  pit.writeByte(0x61, 0xff);
  t.is(pit.readByte(0x61) & 0xcf, 0x0f);
  pit.writeByte(0x61, 0);
  pit.writeByte(0x43, 0xb0);
  pit.writeByte(0x42, 100);
  pit.writeByte(0x42, 0);
  time.advanceTo(1e9);
  t.is(pit.readByte(0x61) & 0x20, 0);
  pit.writeByte(0x61, 1);
  time.advanceTo(1e9 + pulses(101));
  t.is(pit.readByte(0x61) & 0x21, 0x21);
});

test('the refresh bit of port 0x61 toggles with time', (t) => {
  const { time, pit } = setUp();
  const seen = new Set<number>();
  for (let i = 0; i < 10; i++) {
    time.advanceTo(i * 10_000);
    seen.add(pit.readByte(0x61) & 0x10);
  }
  t.deepEqual([...seen].sort(), [0, 0x10]);
});

test('the read-back command latches several counters at one moment', (t) => {
  const { time, pit } = setUp();
  for (const [word, port] of [
    [0x34, 0x40],
    [0x74, 0x41],
  ] as const) {
    pit.writeByte(0x43, word);
    pit.writeByte(port, 0);
    pit.writeByte(port, 0x80);
  }
  time.advanceTo(1e6);
  pit.writeByte(0x43, 0xc6);
  time.advanceTo(5e6);
  for (const port of [0x40, 0x41]) {
    t.is(pit.readByte(port), 0xb4);
    const count = pit.readByte(port) | (pit.readByte(port) << 8);
    t.is(count, 0x8000 - 1192);
  }
  t.is(pit.readByte(0x43), 0xff);
});

test('edges that are due but not noticed come before a reprogramming', (t) => {
  const { time, pit, rises } = setUp();
  pit.writeByte(0x43, 0x34);
  pit.writeByte(0x40, 0);
  pit.writeByte(0x40, 0x10);
  rises.length = 0;
  time.passTo(pulses(4 * 0x1000 + 2));
  pit.writeByte(0x43, 0x30);
  t.is(rises.length, 4);
});

const step = fc.record({
  write: fc.boolean(),
  port: fc.constantFrom(0x40, 0x41, 0x42, 0x43, 0x61),
  value: fc.nat(255),
  after: fc.nat(200_000),
});

test('any accesses give bytes, and a state loaded in their middle goes on equally', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.nat(40), (steps, middle) => {
      const one = setUp();
      const two = setUp();
      const run = (
        { pit, time }: typeof one,
        { write, port, value, after }: (typeof steps)[number],
      ): number => {
        time.leapTo(time.now() + after);
        if (!write) return pit.readByte(port);
        pit.writeByte(port, value);
        return 0;
      };
      steps.forEach((each, index) => {
        if (index === middle) {
          two.time.leapTo(one.time.now());
          load(two.pit, save(one.pit));
          load(two.time.timers, save(one.time.timers));
          two.rises.length = 0;
          one.rises.length = 0;
        }
        const value = run(one, each);
        if (!(value >= 0 && value <= 255)) throw new Error(`read ${value}`);
        if (index >= middle && run(two, each) !== value) throw new Error('differs');
      });
      return steps.length <= middle || save(one.pit).join() === save(two.pit).join();
    }),
    { seed: 8, numRuns: 300 },
  );
  t.pass();
});
