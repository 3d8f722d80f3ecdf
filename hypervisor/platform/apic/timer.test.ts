import test from 'ava';
import { LVT, REGISTER } from './registers.ts';
import { apicMachine, enable } from './testing.ts';

const { lvtTimer, initialCount, currentCount, divide, eoi } = REGISTER;
const PERIODIC = 1 << 17;
const DEADLINE = 2 << 17;
const DIVIDE_BY_1 = 0b1011;

function setUp() {
  const machine = apicMachine(1);
  const apic = enable(machine.apics[0]!);
  const take = (): number => {
    const vector = apic.pendingVector();
    if (vector >= 0) {
      apic.acknowledge();
      apic.writeRegister(eoi, 0);
    }
    return vector;
  };
  return { ...machine, apic, take };
}

test('the divide configuration divides 1 GHz', (t) => {
  for (const [code, divisor] of [
    [0b0000, 2],
    [0b0001, 4],
    [0b0010, 8],
    [0b0011, 16],
    [0b1000, 32],
    [0b1001, 64],
    [0b1010, 128],
    [0b1011, 1],
  ] as const) {
    const { apic, time } = setUp();
    apic.writeRegister(divide, code | 0b0100);
    t.is(apic.readRegister(divide), code);
    apic.writeRegister(initialCount, 1000);
    time.advanceTo(10 * divisor);
    t.is(apic.readRegister(currentCount), 990);
    time.advanceTo(11 * divisor - 1);
    t.is(apic.readRegister(currentCount), 990);
  }
});

test('one-shot counts to 0, interrupts once and stays there', (t) => {
  const { apic, time, take } = setUp();
  apic.writeRegister(lvtTimer, 0x40);
  apic.writeRegister(divide, DIVIDE_BY_1);
  apic.writeRegister(initialCount, 1000);
  time.advanceTo(999);
  t.is(take(), -1);
  t.is(apic.readRegister(currentCount), 1);
  time.advanceTo(1000);
  t.is(take(), 0x40);
  time.advanceTo(5000);
  t.is(take(), -1);
  t.is(apic.readRegister(currentCount), 0);
  t.is(apic.readRegister(initialCount), 1000);
});

test('periodic interrupts at every multiple of its period, and merges what is not taken', (t) => {
  const { apic, time, take } = setUp();
  apic.writeRegister(lvtTimer, PERIODIC | 0x40);
  apic.writeRegister(divide, 0);
  apic.writeRegister(initialCount, 500);
  const taken: number[] = [];
  for (let now = 0; now <= 5000; now += 100) {
    time.advanceTo(now);
    if (take() === 0x40) taken.push(now);
  }
  t.deepEqual(taken, [1000, 2000, 3000, 4000, 5000]);
  time.advanceTo(8500);
  t.is(apic.readRegister(currentCount), 250);
  t.is(take(), 0x40);
  t.is(take(), -1);
  time.advanceTo(8999);
  t.is(take(), -1);
  time.advanceTo(9000);
  t.is(take(), 0x40);
});

test('a period of one nanosecond sets no alarm while its interrupt waits', (t) => {
  const { apic, time } = setUp();
  apic.writeRegister(lvtTimer, PERIODIC | 0x40);
  apic.writeRegister(divide, DIVIDE_BY_1);
  apic.writeRegister(initialCount, 1);
  time.advanceTo(1);
  t.is(time.timers.next, Number.POSITIVE_INFINITY);
  time.leapTo(1e9);
  t.is(apic.acknowledge(), 0x40);
  t.is(time.timers.next, 1e9 + 1);
});

test('a period of one nanosecond with an illegal vector sets no alarm while its error is not read', (t) => {
  const { apic, time } = setUp();
  apic.writeRegister(lvtTimer, PERIODIC | 0x04);
  apic.writeRegister(initialCount, 1);
  time.advanceTo(10);
  t.is(time.timers.next, Number.POSITIVE_INFINITY);
  apic.writeRegister(REGISTER.errorStatus, 0);
  t.is(apic.readRegister(REGISTER.errorStatus), 0x40);
  t.true(time.timers.next > 10 && time.timers.next < 20);
});

test('an expiry while masked has no interrupt and the count goes on', (t) => {
  const { apic, time, take } = setUp();
  apic.writeRegister(lvtTimer, LVT.masked | PERIODIC | 0x40);
  apic.writeRegister(divide, DIVIDE_BY_1);
  apic.writeRegister(initialCount, 1000);
  t.is(time.timers.next, Number.POSITIVE_INFINITY);
  time.advanceTo(1500);
  apic.writeRegister(lvtTimer, PERIODIC | 0x40);
  t.is(take(), -1);
  t.is(apic.readRegister(currentCount), 500);
  time.advanceTo(2000);
  t.is(take(), 0x40);
});

test('a due expiry comes before what a later access changes', (t) => {
  const { apic, time, take } = setUp();
  apic.writeRegister(lvtTimer, 0x40);
  apic.writeRegister(divide, DIVIDE_BY_1);
  apic.writeRegister(initialCount, 1000);
  time.passTo(1200);
  apic.writeRegister(lvtTimer, LVT.masked | 0x41);
  t.is(take(), 0x40);
});

test('an initial count of 0 stops it, another starts anew', (t) => {
  const { apic, time, take } = setUp();
  apic.writeRegister(lvtTimer, 0x40);
  apic.writeRegister(divide, DIVIDE_BY_1);
  apic.writeRegister(initialCount, 1000);
  time.advanceTo(500);
  apic.writeRegister(initialCount, 0);
  t.is(apic.readRegister(currentCount), 0);
  time.advanceTo(5000);
  t.is(take(), -1);
  apic.writeRegister(initialCount, 100);
  time.advanceTo(5100);
  t.is(take(), 0x40);
});

test('a change of the divider keeps the count', (t) => {
  const { apic, time } = setUp();
  apic.writeRegister(divide, DIVIDE_BY_1);
  apic.writeRegister(initialCount, 1000);
  time.advanceTo(400);
  apic.writeRegister(divide, 0);
  t.is(apic.readRegister(currentCount), 600);
  time.advanceTo(600);
  t.is(apic.readRegister(currentCount), 500);
});

test('TSC-deadline interrupts when the counter reaches the deadline, and then is disarmed', (t) => {
  const { apic, time, tsc, take } = setUp();
  tsc.offset = 10_000;
  apic.writeRegister(lvtTimer, DEADLINE | 0x40);
  apic.tscDeadline = 12_000n;
  t.is(apic.tscDeadline, 12_000n);
  t.is(apic.readRegister(currentCount), 0);
  time.advanceTo(1999);
  t.is(take(), -1);
  time.advanceTo(2000);
  t.is(take(), 0x40);
  t.is(apic.tscDeadline, 0n);
});

test('a deadline that has passed interrupts at once, and 0 disarms', (t) => {
  const { apic, time, take } = setUp();
  time.advanceTo(5000);
  apic.writeRegister(lvtTimer, DEADLINE | 0x40);
  apic.tscDeadline = 1n;
  time.advanceTo(5000);
  t.is(take(), 0x40);
  apic.tscDeadline = 6000n;
  apic.tscDeadline = 0n;
  time.advanceTo(7000);
  t.is(take(), -1);
  apic.tscDeadline = 2n ** 64n - 1n;
  time.advanceTo(1e12);
  t.is(take(), -1);
});

test('writing the time-stamp counter moves the deadline', (t) => {
  const { apic, time, tsc, take } = setUp();
  apic.writeRegister(lvtTimer, DEADLINE | 0x40);
  apic.tscDeadline = 1000n;
  tsc.offset = 400;
  apic.tscChanged();
  time.advanceTo(600);
  t.is(take(), 0x40);
});

test('the deadline belongs to its mode alone, and changing the mode disarms', (t) => {
  const { apic, time, take } = setUp();
  apic.tscDeadline = 1000n;
  t.is(apic.tscDeadline, 0n);
  apic.writeRegister(divide, DIVIDE_BY_1);
  apic.writeRegister(initialCount, 1000);
  apic.writeRegister(lvtTimer, DEADLINE | 0x40);
  t.is(apic.readRegister(currentCount), 0);
  apic.writeRegister(initialCount, 100);
  apic.tscDeadline = 500n;
  apic.writeRegister(lvtTimer, 0x40);
  t.is(apic.tscDeadline, 0n);
  time.advanceTo(2000);
  t.is(take(), -1);
});

test('disabling the APIC by software masks the timer', (t) => {
  const { apic, time, take } = setUp();
  apic.writeRegister(lvtTimer, 0x40);
  apic.writeRegister(initialCount, 10);
  apic.writeRegister(REGISTER.spurious, 0xff);
  time.advanceTo(1000);
  t.is(take(), -1);
});
