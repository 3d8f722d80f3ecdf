import test from 'ava';
import fc from 'fast-check';
import { ACPI_DISABLE, ACPI_ENABLE, PM_PORTS, PowerManagement } from './pm.ts';
import { load, save } from './testing/state.ts';
import { TestTime } from './testing/time.ts';

const STATUS = PM_PORTS.event;
const ENABLE = PM_PORTS.event + 2;
const CONTROL = PM_PORTS.control;
const POWER_BUTTON = 1 << 8;
/** Nanoseconds until the timer's highest bit changes for the first time, rounded up. */
const HALF = Math.ceil((2 ** 31 * 1e9) / 3_579_545);

function setUp() {
  const time = new TestTime();
  const machine = { sci: false, powerOffs: 0 };
  const pm = new PowerManagement(time, time.timers, {
    sci: (asserted) => {
      machine.sci = asserted;
    },
    powerOff: () => {
      machine.powerOffs++;
    },
  });
  const get = (port: number, size: number): number => {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + pm.readByte(port + i);
    return value;
  };
  const put = (port: number, size: number, value: number): void => {
    for (let i = 0; i < size; i++) pm.writeByte(port + i, (value >>> (8 * i)) & 0xff);
  };
  return { time, pm, machine, get, put };
}

test('the timer counts 3.579545 MHz in 32 bits and wraps', (t) => {
  const { time, get } = setUp();
  t.is(get(PM_PORTS.timer, 4), 0);
  time.advanceTo(1e9);
  t.is(get(PM_PORTS.timer, 4), 3_579_545);
  time.advanceTo(2 * HALF + 1000);
  const cycles = (BigInt(2 * HALF + 1000) * 3_579_545n) / 1_000_000_000n;
  t.is(get(PM_PORTS.timer, 4), Number(cycles - 2n ** 32n));
});

test('ACPI mode is entered and left by the SMI command port', (t) => {
  const { get, put } = setUp();
  t.is(get(CONTROL, 2) & 1, 0);
  put(PM_PORTS.smiCommand, 1, ACPI_ENABLE);
  t.is(get(CONTROL, 2) & 1, 1);
  put(PM_PORTS.smiCommand, 1, 0x55);
  t.is(get(CONTROL, 2) & 1, 1);
  put(PM_PORTS.smiCommand, 1, ACPI_DISABLE);
  t.is(get(CONTROL, 2) & 1, 0);
});

test('the power button interrupts where it is enabled and ACPI mode is on, until its status is cleared', (t) => {
  const { pm, machine, get, put } = setUp();
  put(ENABLE, 2, POWER_BUTTON);
  pm.pressPowerButton();
  t.false(machine.sci, 'not in legacy mode');
  put(PM_PORTS.smiCommand, 1, ACPI_ENABLE);
  t.true(machine.sci);
  t.is(get(STATUS, 2), POWER_BUTTON);
  put(STATUS, 2, 0xfeff);
  t.true(machine.sci, 'writing 0 clears nothing');
  put(STATUS, 2, POWER_BUTTON);
  t.false(machine.sci);
  t.is(get(STATUS, 2), 0);
});

test('only the events that exist can be enabled', (t) => {
  const { get, put } = setUp();
  put(ENABLE, 2, 0xffff);
  t.is(get(ENABLE, 2), 0x0521);
});

test('each change of the highest bit of the timer is an event', (t) => {
  const { time, machine, get, put } = setUp();
  put(PM_PORTS.smiCommand, 1, ACPI_ENABLE);
  put(ENABLE, 2, 1);
  time.advanceTo(HALF - 1);
  t.false(machine.sci);
  time.advanceTo(HALF);
  t.true(machine.sci);
  t.is(time.timers.next, Number.POSITIVE_INFINITY);
  put(STATUS, 2, 1);
  t.false(machine.sci);
  time.advanceTo(2 * HALF);
  t.is(get(STATUS, 2), 1);
});

test('the event of the timer is noticed without its interrupt', (t) => {
  const { time, get } = setUp();
  time.leapTo(HALF);
  t.is(get(STATUS, 2), 1);
});

test('soft-off is entered by SLP_EN with the type of \\_S5, and by no other', (t) => {
  const { machine, get, put } = setUp();
  put(CONTROL, 2, 5 << 10);
  t.is(machine.powerOffs, 0);
  t.is(get(CONTROL, 2), 5 << 10);
  put(CONTROL, 2, (1 << 13) | (3 << 10));
  t.is(machine.powerOffs, 0);
  put(CONTROL, 2, (1 << 13) | (5 << 10));
  t.is(machine.powerOffs, 1);
  t.is(get(CONTROL, 2), 5 << 10, 'SLP_EN reads as 0');
});

const step = fc.record({
  port: fc.oneof(
    fc.integer({ min: PM_PORTS.event, max: PM_PORTS.event + 11 }),
    fc.constant(PM_PORTS.smiCommand),
  ),
  write: fc.boolean(),
  value: fc.oneof(fc.nat(255), fc.constantFrom(ACPI_ENABLE, ACPI_DISABLE)),
  after: fc.nat(HALF),
  button: fc.boolean(),
});

test('any accesses give bytes, and a state loaded in their middle goes on equally', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.nat(40), (steps, middle) => {
      const one = setUp();
      const two = setUp();
      const run = (
        { time, pm, machine }: typeof one,
        { port, write, value, after, button }: (typeof steps)[number],
      ) => {
        time.leapTo(time.now() + after);
        if (button) pm.pressPowerButton();
        if (write) pm.writeByte(port, value);
        return pm.readByte(port) * 2 + (machine.sci ? 1 : 0);
      };
      steps.forEach((each, index) => {
        if (index === middle) {
          two.time.leapTo(one.time.now());
          load(two.pm, save(one.pm));
          load(two.time.timers, save(one.time.timers));
          two.machine.sci = one.machine.sci;
        }
        const value = run(one, each);
        if (!(value >= 0 && value <= 511)) throw new Error(`read ${value}`);
        if (index >= middle && run(two, each) !== value) throw new Error('differs');
      });
      return steps.length <= middle || save(one.pm).join() === save(two.pm).join();
    }),
    { seed: 12, numRuns: 300 },
  );
  t.pass();
});
