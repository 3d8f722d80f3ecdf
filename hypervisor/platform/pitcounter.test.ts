import test from 'ava';
import fc from 'fast-check';
import { PitCounter } from './pitcounter.ts';
import { load, save } from './testing/state.ts';

/** A counter in `mode`, read and written as two bytes, loaded with `count` at pulse 0 (so counting from pulse 1). */
function counter(mode: number, count: number, { gate = true, bcd = 0 } = {}): PitCounter {
  const one = new PitCounter(gate);
  one.control(0x30 | (mode << 1) | bcd, 0);
  write(one, count, 0);
  return one;
}
function write(one: PitCounter, count: number, now: number): void {
  one.writeByte(count & 0xff, now);
  one.writeByte(count >> 8, now);
}
function read(one: PitCounter, now: number): number {
  return one.readByte(now) | (one.readByte(now) << 8);
}
/** OUT at the pulses `from` … `to` as the data sheet draws it: high is '-', low '_'. */
function wave(one: PitCounter, from: number, to: number): string {
  return Array.from({ length: to - from + 1 }, (_, i) => (one.output(from + i) ? '-' : '_')).join('');
}
const counts = (one: PitCounter, from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => read(one, from + i));

test('mode 0: OUT rises N + 1 pulses after the count is written and stays', (t) => {
  const one = counter(0, 4);
  t.is(wave(one, 0, 8), '_____----');
  t.deepEqual(counts(one, 1, 7), [4, 3, 2, 1, 0, 0xffff, 0xfffe]);
});

test('mode 0: the first byte of a new count stops the counting, the gate holds it', (t) => {
  const one = counter(0, 4);
  one.writeByte(9, 3);
  t.is(wave(one, 3, 20), '__________________');
  one.writeByte(0, 20);
  t.is(wave(one, 20, 31), '__________--');
  const held = counter(0, 4);
  held.setGate(false, 3);
  t.deepEqual(counts(held, 3, 5), [2, 2, 2]);
  held.setGate(true, 10);
  t.is(wave(held, 10, 13), '__--');
});

test('mode 0: a count written while the gate is low is loaded and held', (t) => {
  const one = counter(0, 3, { gate: false });
  t.is(read(one, 50), 3);
  one.setGate(true, 100);
  t.is(wave(one, 100, 104), '___--');
});

test('mode 1: OUT is low for N pulses after each trigger; a new count waits for the next one', (t) => {
  const one = counter(1, 3, { gate: false });
  t.is(wave(one, 0, 3), '----');
  one.setGate(true, 10);
  t.is(wave(one, 10, 16), '-___---');
  one.setGate(false, 20);
  one.setGate(true, 21);
  write(one, 2, 22);
  one.setGate(false, 23);
  t.is(wave(one, 21, 26), '-___--');
  one.setGate(true, 30);
  t.is(wave(one, 30, 34), '-__--');
});

test('mode 2: OUT is low for the last pulse of each N', (t) => {
  const one = counter(2, 3);
  t.is(wave(one, 0, 9), '---_--_--_');
  t.deepEqual(counts(one, 1, 6), [3, 2, 1, 3, 2, 1]);
});

test('mode 2: a new count is taken up when the cycle ends, and a trigger reloads at once', (t) => {
  const one = counter(2, 4);
  write(one, 2, 2);
  t.is(wave(one, 1, 9), '---_-_-_-');
  const gated = counter(2, 4);
  gated.setGate(false, 4);
  t.true(gated.output(4), 'OUT goes high with the gate');
  gated.setGate(true, 10);
  t.is(wave(gated, 10, 18), '----_---_');
});

test('mode 3: a square wave, for odd counts high one pulse longer', (t) => {
  t.is(wave(counter(3, 4), 1, 8), '--__--__');
  t.is(wave(counter(3, 5), 1, 10), '---__---__');
  t.deepEqual(counts(counter(3, 4), 1, 5), [4, 2, 4, 2, 4]);
  t.deepEqual(counts(counter(3, 5), 1, 6), [4, 2, 0, 4, 2, 4]);
});

test('mode 3: a new count is taken up at the end of the half cycle', (t) => {
  const high = counter(3, 6);
  write(high, 4, 2);
  t.is(wave(high, 1, 11), '---__--__--');
  const low = counter(3, 6);
  write(low, 4, 5);
  t.is(wave(low, 1, 12), '---___--__--');
});

test('mode 4: OUT is low for one pulse when the count ends; a new count starts anew', (t) => {
  const one = counter(4, 3);
  t.is(wave(one, 0, 7), '----_---');
  write(one, 2, 10);
  t.is(wave(one, 10, 15), '---_--');
  t.is(read(one, 14), 0xffff);
});

test('mode 5: the strobe comes N + 1 pulses after a trigger', (t) => {
  const one = counter(5, 3, { gate: false });
  t.is(wave(one, 0, 6), '-------');
  one.setGate(true, 10);
  t.is(wave(one, 10, 16), '----_--');
});

test('a trigger before any count starts nothing', (t) => {
  for (const mode of [1, 5]) {
    const one = new PitCounter(false);
    one.control(0x30 | (mode << 1), 0);
    one.setGate(true, 5);
    t.is(wave(one, 5, 9), '-----');
  }
});

test('a count of 0 is the greatest: 65536, or 10000 in BCD', (t) => {
  t.is(counter(2, 0).nextChange(1), 65_536);
  t.is(counter(2, 0, { bcd: 1 }).nextChange(1), 10_000);
  t.is(read(counter(2, 0), 2), 0xffff);
  t.is(read(counter(2, 0, { bcd: 1 }), 2), 0x9999);
});

test('modes 6 and 7 are 2 and 3, and BCD counts in decimal', (t) => {
  t.is(wave(counter(6, 3), 1, 6), '--_--_');
  t.is(wave(counter(7, 4), 1, 4), '--__');
  t.deepEqual(counts(counter(0, 0x0100, { bcd: 1 }), 1, 3), [0x0100, 0x0099, 0x0098]);
});

test('a latched count stays until it is read; a second latch does nothing', (t) => {
  const one = counter(2, 1000);
  one.latchCount(101);
  one.latchCount(201);
  t.is(read(one, 300), 900);
  t.is(read(one, 301), 700);
});

test('one-byte access reads and writes its byte, the other is 0', (t) => {
  const low = new PitCounter(true);
  low.control(0x10, 0);
  low.writeByte(5, 0);
  t.is(wave(low, 0, 7), '______--');
  t.is(low.readByte(1), 5);
  t.is(low.readByte(2), 4);
  const high = new PitCounter(true);
  high.control(0x20, 0);
  high.writeByte(1, 0);
  t.is(high.readByte(1), 1);
  t.is(high.nextChange(1), 257);
});

test('the latched status tells OUT, null count, access, mode and BCD, and is read before the count', (t) => {
  const one = new PitCounter(true);
  one.control(0x35, 0);
  one.latchStatus(0);
  t.is(one.readByte(0), 0x80 | 0x40 | 0x30 | 0x04 | 0x01);
  write(one, 0x0100, 0);
  one.latchStatus(1);
  one.latchCount(1);
  t.is(one.readByte(2), 0x80 | 0x30 | 0x05);
  t.is(read(one, 2), 0x0100);
  write(one, 0x0050, 10);
  one.latchStatus(10);
  t.is(one.readByte(10) & 0x40, 0x40);
  one.latchStatus(101);
  t.is(one.readByte(101) & 0x40, 0);
});

const action = fc.record({
  after: fc.nat(30),
  kind: fc.constantFrom('control', 'count', 'byte', 'gate', 'latch', 'status'),
  value: fc.nat(255),
});

test('OUT changes only at the announced pulses, reads are bytes, and a loaded state goes on equally', (t) => {
  const apply = (one: PitCounter, { kind, value }: { kind: string; value: number }, now: number): void => {
    if (kind === 'control') one.control(value & 0x3f, now);
    else if (kind === 'count') write(one, value % 12, now);
    else if (kind === 'byte') one.writeByte(value % 4, now);
    else if (kind === 'gate') one.setGate(value % 2 === 1, now);
    else if (kind === 'latch') one.latchCount(now);
    else one.latchStatus(now);
  };
  fc.assert(
    fc.property(fc.array(action, { maxLength: 30 }), fc.nat(30), (actions, middle) => {
      let one = new PitCounter(true);
      let now = 0;
      for (const [index, each] of actions.entries()) {
        apply(one, each, now);
        if (index === middle) {
          const two = new PitCounter(false);
          load(two, save(one));
          if (save(two).join() !== save(one).join()) throw new Error('state differs');
          one = two;
        }
        let level = one.output(now);
        let change = one.nextChange(now);
        for (let i = 0; i < each.after; i++) {
          now++;
          if (change > now && one.output(now) !== level)
            throw new Error(`OUT changed at ${now}, not ${change}`);
          if (change <= now) {
            level = one.output(now);
            const next = one.nextChange(now);
            if (!(next > now)) throw new Error(`next change at ${next}, now ${now}`);
            change = next;
          }
        }
        const byte = one.readByte(now);
        if (!(Number.isInteger(byte) && byte >= 0 && byte <= 255)) throw new Error(`read ${byte}`);
      }
      return true;
    }),
    { seed: 7, numRuns: 2000 },
  );
  t.pass();
});
