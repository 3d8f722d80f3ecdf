import test from 'ava';
import fc from 'fast-check';
import { REGISTER } from './apic/registers.ts';
import { apicMachine, enable } from './apic/testing.ts';
import { IoApic } from './ioapic.ts';
import { load, save } from './testing/state.ts';

const LEVEL = 1 << 15;
const MASKED = 1 << 16;
const REMOTE_IRR = 1 << 14;

function setUp(cpus = 1) {
  const machine = apicMachine(cpus);
  machine.apics.forEach(enable);
  const ioapic = new IoApic(machine.network);
  const get = (index: number): number => {
    ioapic.writeMmio(0, 4, index);
    return ioapic.readMmio(0x10, 4);
  };
  const put = (index: number, value: number): void => {
    ioapic.writeMmio(0, 4, index);
    ioapic.writeMmio(0x10, 4, value);
  };
  const apic = machine.apics[0]!;
  const end = () => apic.writeRegister(REGISTER.eoi, 0);
  return { ...machine, ioapic, get, put, apic, end };
}
const low = (input: number) => 0x10 + 2 * input;

test('after reset every entry is masked; the version tells 24 inputs and an EOI register', (t) => {
  const { get, put } = setUp();
  t.is(get(1), 0x0017_0020);
  for (let input = 0; input < 24; input++) {
    t.is(get(low(input)), MASKED);
    t.is(get(low(input) + 1), 0);
  }
  put(0, 0xffff_ffff);
  t.is(get(0), 0x0f00_0000);
  t.is(get(2), 0x0f00_0000);
  t.is(get(0x40), 0);
});

test('the read-only bits of an entry cannot be written', (t) => {
  const { get, put } = setUp();
  put(low(3), 0xffff_ffff);
  put(low(3) + 1, 0xffff_ffff);
  t.is(get(low(3)), 0x1_afff);
  t.is(get(low(3) + 1), 0xff00_0000);
});

test('an edge sends its message once, to the destination of the entry', (t) => {
  const { ioapic, put, apics } = setUp(3);
  put(low(4) + 1, 2 << 24);
  put(low(4), 0x34);
  ioapic.setLine(4, true);
  ioapic.setLine(4, true);
  t.deepEqual(
    apics.map((apic) => apic.pendingVector()),
    [-1, -1, 0x34],
  );
  apics[2]!.acknowledge();
  ioapic.setLine(4, false);
  t.is(apics[2]!.pendingVector(), -1);
});

test('an edge at a masked input is lost', (t) => {
  const { ioapic, put, apic } = setUp();
  put(low(4), MASKED | 0x34);
  ioapic.setLine(4, true);
  put(low(4), 0x34);
  t.is(apic.pendingVector(), -1);
});

test('a level is sent once, and again after EOI while it is asserted', (t) => {
  const { ioapic, get, put, apic, end } = setUp();
  put(low(16), LEVEL | 0x50);
  ioapic.setLine(16, true);
  t.is(get(low(16)), LEVEL | REMOTE_IRR | 0x50);
  t.is(apic.acknowledge(), 0x50);
  ioapic.setLine(16, false);
  ioapic.setLine(16, true);
  t.is(apic.pendingVector(), -1, 'not before EOI');
  end();
  t.is(apic.acknowledge(), 0x50);
  ioapic.setLine(16, false);
  end();
  t.is(apic.pendingVector(), -1);
  t.is(get(low(16)), LEVEL | 0x50);
});

test('unmasking a level-triggered input that is asserted sends it', (t) => {
  const { ioapic, put, apic } = setUp();
  put(low(16), MASKED | LEVEL | 0x50);
  ioapic.setLine(16, true);
  t.is(apic.pendingVector(), -1);
  put(low(16), LEVEL | 0x50);
  t.is(apic.pendingVector(), 0x50);
});

test('with the EOI broadcast suppressed, the EOI register ends a level', (t) => {
  const { ioapic, get, put, apic, end } = setUp();
  apic.writeRegister(REGISTER.spurious, 0x11ff);
  put(low(16), LEVEL | 0x50);
  ioapic.setLine(16, true);
  apic.acknowledge();
  ioapic.setLine(16, false);
  end();
  t.is(get(low(16)), LEVEL | REMOTE_IRR | 0x50);
  ioapic.writeMmio(0x40, 4, 0x51);
  t.is(get(low(16)), LEVEL | REMOTE_IRR | 0x50);
  ioapic.writeMmio(0x40, 4, 0x50);
  t.is(get(low(16)), LEVEL | 0x50);
});

test('a change to edge and back clears remote IRR', (t) => {
  const { ioapic, get, put } = setUp();
  put(low(16), LEVEL | 0x50);
  ioapic.setLine(16, true);
  put(low(16), MASKED | 0x50);
  put(low(16), MASKED | LEVEL | 0x50);
  t.is(get(low(16)), MASKED | LEVEL | 0x50);
});

test('a level that nobody takes leaves remote IRR clear', (t) => {
  const { ioapic, get, put, apic } = setUp();
  apic.writeRegister(REGISTER.spurious, 0xff);
  put(low(16), LEVEL | 0x50);
  ioapic.setLine(16, true);
  t.is(get(low(16)), LEVEL | 0x50);
});

test('two inputs of one vector end together', (t) => {
  const { ioapic, get, put, apic, end } = setUp();
  for (const input of [16, 17]) {
    put(low(input), LEVEL | 0x50);
    ioapic.setLine(input, true);
  }
  apic.acknowledge();
  ioapic.setLine(16, false);
  ioapic.setLine(17, false);
  end();
  t.is(get(low(16)), LEVEL | 0x50);
  t.is(get(low(17)), LEVEL | 0x50);
});

test('NMI, logical, lowest-priority and broadcast entries reach whom they should', (t) => {
  const { ioapic, put, apics, cpus } = setUp(3);
  put(low(1) + 1, 0xff00_0000);
  put(low(1), 0x400);
  ioapic.setLine(1, true);
  t.deepEqual(
    cpus.map((cpu) => cpu.events),
    [['nmi'], ['nmi'], ['nmi']],
  );
  apics.forEach((apic, id) => {
    apic.writeRegister(REGISTER.logicalDestination, (1 << id) << 24);
  });
  apics[1]!.cr8 = 2;
  put(low(2) + 1, 0x0600_0000);
  put(low(2), 0x940);
  ioapic.setLine(2, true);
  t.deepEqual(
    apics.map((apic) => apic.pendingVector()),
    [-1, -1, 0x40],
  );
});

const step = fc.tuple(
  fc.constantFrom('write', 'write', 'write', 'line', 'line', 'read', 'eoi'),
  fc.nat(0xff),
  fc.integer({ min: 0, max: 0xffff_ffff }),
);

test('any accesses: values fit, and a state loaded in their middle goes on equally', (t) => {
  const run = (
    { ioapic, get, put, apic, end }: ReturnType<typeof setUp>,
    [kind, a, b]: [string, number, number],
  ) => {
    if (kind === 'write') put(a, b);
    else if (kind === 'line') ioapic.setLine(a % 24, (b & 1) === 1);
    else if (kind === 'read') {
      for (const size of [1, 2, 4] as const) ioapic.readMmio(b & 0xfff, size);
      ioapic.writeMmio(b & 0xfff, 2, a);
    } else if (apic.pendingVector() >= 0) {
      apic.acknowledge();
      end();
    }
    return get(a);
  };
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.nat(60), (steps, middle) => {
      const one = setUp();
      const two = setUp();
      steps.forEach((each, index) => {
        if (index === middle) {
          load(two.ioapic, save(one.ioapic));
          load(two.apic, save(one.apic));
        }
        const value = run(one, each);
        if (!(value >= 0 && value <= 0xffff_ffff)) throw new Error(`value ${value}`);
        if (index >= middle && run(two, each) !== value) throw new Error('differs');
      });
      return steps.length <= middle || save(one.ioapic).join() === save(two.ioapic).join();
    }),
    { seed: 5, numRuns: 500 },
  );
  t.pass();
});
