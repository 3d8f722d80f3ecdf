import test from 'ava';
import fc from 'fast-check';
import type { AccessExit, AccessSize } from './bus.ts';
import { loadPc, Pc, type PcCpu } from './pc.ts';
import { SparseMemory } from './testing/sparsememory.ts';
import { load, save } from './testing/state.ts';
import { TestTime } from './testing/time.ts';

const MIB = 2 ** 20;
const IOAPIC = 0xfec0_0000;
const APIC = 0xfee0_0000;
const EPOCH = Date.UTC(2026, 0, 1) / 1000;

function setUp(count = 2) {
  const time = new TestTime();
  const memory = new SparseMemory(32 * MIB);
  const events: string[] = [];
  const pending = Array.from({ length: count }, () => false);
  const current = { cpu: 0 };
  const cpus = pending.map(
    (_, id): PcCpu => ({
      setInterruptPending: (value) => {
        pending[id] = value;
      },
      nmi: () => events.push(`nmi ${id}`),
      init: () => events.push(`init ${id}`),
      startup: (vector) => events.push(`startup ${id} ${vector}`),
      timeOfTsc: (tsc) => Number(tsc),
      tsc: () => BigInt(time.now()),
    }),
  );
  const exits: AccessExit[] = [];
  const pc = new Pc(
    { memory: 32 * MIB, epoch: EPOCH },
    {
      clock: time,
      timers: time.timers,
      memory,
      cpus,
      currentCpu: () => current.cpu,
      exit: (exit) => exits.push(exit),
      serialOutput: (byte) => events.push(`serial ${byte}`),
      powerOff: () => events.push('power off'),
      reset: (kind) => events.push(`reset ${kind}`),
      debugExit: (value) => events.push(`exit ${value}`),
    },
  );
  const out = (port: number, ...bytes: number[]) => {
    for (const byte of bytes) pc.ports.write(port, 1, byte);
  };
  const poke = (address: number, value: number) => pc.mmio.write(address, 4, value);
  const redirect = (input: number, low: number) => {
    poke(IOAPIC, 0x10 + 2 * input);
    poke(IOAPIC + 0x10, low);
  };
  return { time, memory, events, exits, pending, current, pc, out, poke, redirect };
}

/** A kernel of one page that wants to be loaded at 16 MiB. */
function kernel(): Uint8Array {
  const file = new Uint8Array(2 * 512 + 4096);
  const view = new DataView(file.buffer);
  view.setUint8(0x1f1, 1);
  view.setUint32(0x1f4, 256, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint8(0x201, 0x6a);
  view.setUint32(0x202, 0x5372_6448, true);
  view.setUint16(0x206, 0x020f, true);
  view.setUint8(0x211, 1);
  view.setUint32(0x22c, 0x7fff_ffff, true);
  view.setUint16(0x236, 1, true);
  view.setUint32(0x238, 255, true);
  view.setBigUint64(0x258, BigInt(16 * MIB), true);
  return file;
}

const NOTHING = new Uint8Array(0);
const boot = ({ pc, memory, pending }: ReturnType<typeof setUp>) => {
  const files = { kernel: kernel(), initrd: NOTHING, commandLine: '', rngSeed: NOTHING };
  pc.start();
  return loadPc(files, pc.memoryMap, pending.length, memory);
};

test('booting writes the ACPI tables where the zero page says, and enters the kernel', (t) => {
  const machine = setUp();
  const { memory } = machine;
  const entry = boot(machine);
  t.is(entry.rip, 16 * MIB + 0x200);
  const rsdp = memory.readU64(entry.rsi + 0x70);
  t.is(Buffer.from(memory.bytes(rsdp, 8)).toString(), 'RSD PTR ');
});

test('after booting, the 8259As reach the first CPU alone, masked but for their cascade', (t) => {
  const machine = setUp();
  const { pc, pending, out } = machine;
  boot(machine);
  t.is(pc.ports.read(0x21, 1), 0xfb);
  t.is(pc.ports.read(0xa1, 1), 0xff);
  t.is(pc.ports.read(0x4d1, 1), 0x0e);
  out(0x21, 0xef);
  out(0x3fc, 0x0b);
  out(0x3f9, 0x02);
  t.deepEqual(pending, [true, false]);
  t.is(pc.apics[0]!.acknowledge(), 0x0c);
});

test('the timer reaches I/O APIC input 2, the serial port 4, the clock 8', (t) => {
  const { pc, time, out, poke, redirect, pending } = setUp();
  poke(APIC + 0xf0, 0x1ff);
  redirect(2, 0x32);
  redirect(4, 0x34);
  redirect(8, 0x38);
  out(0x43, 0x30);
  out(0x40, 100, 0);
  time.advanceTo(1e6);
  out(0x3fc, 0x0b);
  out(0x3f9, 0x02);
  out(0x70, 0x0b);
  out(0x71, 0x12);
  time.advanceTo(1e9);
  t.true(pending[0]);
  const taken = Array.from({ length: 3 }, () => {
    const vector = pc.apics[0]!.acknowledge();
    poke(APIC + 0xb0, 0);
    return vector;
  });
  t.deepEqual(taken, [0x38, 0x34, 0x32]);
});

test('a PCI interrupt reaches its I/O APIC input, and IRQ 10 or 11 of the 8259As', (t) => {
  const machine = setUp();
  const { pc, out, poke, redirect } = machine;
  boot(machine);
  poke(APIC + 0xf0, 0x1ff);
  redirect(17, 0x8051);
  const one = pc.gsi(17);
  const two = pc.gsi(19);
  one(true);
  two(true);
  out(0xa0, 0x0a);
  t.is(pc.ports.read(0xa0, 1), 0x08);
  one(false);
  t.is(pc.ports.read(0xa0, 1), 0x08);
  two(false);
  t.is(pc.ports.read(0xa0, 1), 0x00);
  t.is(pc.apics[0]!.acknowledge(), 0x51);
});

test('each CPU sees its own local APIC at the same place', (t) => {
  const { pc, current } = setUp();
  t.is(pc.mmio.read(APIC + 0x20, 4), 0);
  current.cpu = 1;
  t.is(pc.mmio.read(APIC + 0x20, 4), 0x0100_0000);
});

test('messages, NMI button and MSRs reach their CPUs', (t) => {
  const { pc, events, out, poke, current, memory } = setUp();
  poke(APIC + 0xf0, 0x1ff);
  pc.message(APIC, 0x41);
  t.is(pc.apics[0]!.pendingVector(), 0x41);
  current.cpu = 1;
  poke(APIC + 0xf0, 0x1ff);
  poke(APIC + 0x360, 0x400);
  pc.nmi(true);
  pc.nmi(false);
  out(0x70, 0x80);
  pc.nmi(true);
  t.deepEqual(events, ['nmi 1']);
  t.is(pc.readMsr(1, 0x1b), 0xfee0_0800n);
  t.false(pc.writeMsr(0, 0x830, 0n));
  t.true(pc.writeMsr(1, 0x4b56_4d01, 0x1_0001n));
  t.is(memory.readU32(0x1_0018), 0x8000_0000);
  pc.tscChanged(1);
  t.is(memory.readU32(0x1_0000), 4);
});

test('the ports that end a machine are heard', (t) => {
  const { pc, events, out } = setUp();
  out(0x92, 1);
  pc.ports.write(0xf4, 4, 0xdead_beef);
  pc.ports.write(0x604, 2, 0x3400);
  out(0x3f8, 0x41);
  t.deepEqual(events, ['reset soft', 'exit 3735928559', 'power off', 'serial 1']);
});

test('interrupt controllers and the timer are served in the kernel, other devices in user space, once an access', (t) => {
  const { exits, pc } = setUp();
  const after = (access: () => void) => {
    exits.length = 0;
    access();
    return exits.join(' ');
  };
  const port = (number: number, size: AccessSize = 1) => [
    after(() => pc.ports.read(number, size)),
    after(() => pc.ports.write(number, size, 0)),
  ];
  for (const kernel of [0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x40, 0x43, 0x61])
    t.deepEqual(port(kernel), ['kernel', 'kernel'], kernel.toString(16));
  for (const user of [0x70, 0x71, 0x3f8, 0x608, 0x92, 0x123])
    t.deepEqual(port(user), ['user', 'user'], user.toString(16));
  t.deepEqual(port(0x23, 4), ['user', 'user'], 'split at the end of a device');
  t.deepEqual(port(0x21, 4), ['kernel', 'kernel']);
  const register = (address: number) => [
    after(() => pc.mmio.read(address, 4)),
    after(() => pc.mmio.write(address, 4, 0)),
  ];
  t.deepEqual(register(IOAPIC), ['kernel', 'kernel']);
  t.deepEqual(register(0xfee0_0030), ['kernel', 'kernel']);
  t.deepEqual(register(0xd000_0000), ['user', 'user']);
  t.deepEqual(register(0xfee0_0ffe), ['kernel', 'kernel'], 'split at the end of a device');
});

test('ports without a device read as all ones', (t) => {
  const { pc } = setUp();
  for (const port of [0x60, 0x64, 0x80, 0x2f8]) t.is(pc.ports.read(port, 1), 0xff);
});

test('a number of CPUs that no machine has is refused', (t) => {
  t.throws(() => setUp(0), { instanceOf: RangeError, message: /1 to 64 CPUs/ });
  t.throws(() => setUp(65), { instanceOf: RangeError });
  t.notThrows(() => setUp(64));
});

test('a reset brings back the state at power-on, but the calendar goes on', (t) => {
  const { pc, time, out, poke, redirect, pending } = setUp();
  const fresh = save(setUp().pc);
  const clean = save(pc);
  t.deepEqual(clean, fresh);
  poke(APIC + 0xf0, 0x1ff);
  redirect(2, 0x32);
  out(0x43, 0x34);
  out(0x40, 0, 1);
  out(0x3f9, 0x0f);
  out(0x70, 0x0b);
  out(0x71, 0x12);
  time.advanceTo(5e9);
  t.true(pending[0]);
  pc.reset();
  t.false(pending[0]);
  t.is(time.timers.next, 6e9, 'only the clock ticks');
  out(0x70, 0);
  t.is(pc.ports.read(0x71, 1), 5);
  out(0x70, 0x0b);
  t.is(pc.ports.read(0x71, 1), 0x02);
  t.is(pc.ports.read(0x3f9, 1), 0);
});

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const port = fc.oneof(
  fc.constantFrom(
    0x20,
    0x21,
    0x40,
    0x43,
    0x61,
    0x70,
    0x71,
    0x92,
    0xa0,
    0xa1,
    0xb2,
    0xf4,
    0x3f8,
    0x3f9,
    0x3fc,
    0x4d0,
  ),
  fc.integer({ min: 0x600, max: 0x60c }),
  fc.nat(0xffff),
);
const address = fc.oneof(
  fc.tuple(fc.constantFrom(0, 0x10, 0x40), fc.nat(4)).map(([a, b]) => IOAPIC + a + b),
  fc.nat(0x40).map((register) => APIC + register * 16),
  fc.nat(0xfff).map((offset) => APIC + offset),
);
const step = fc.record({
  kind: fc.constantFrom('in', 'out', 'out', 'load', 'store', 'store', 'acknowledge', 'wire'),
  port,
  address,
  size: fc.constantFrom<AccessSize>(1, 2, 4),
  value: fc.oneof(u32, fc.nat(255)),
  after: fc.nat(3_000_000),
});

test('any guest: values fit, nothing throws, and a machine saved in the middle goes on equally', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), fc.nat(80), (steps, middle) => {
      const one = setUp();
      const two = setUp();
      const lines = [one, two].map(({ pc }) => Array.from({ length: 24 }, (_, number) => pc.gsi(number)));
      const run = (index: number, each: (typeof steps)[number]): number => {
        const { pc, time, current } = [one, two][index]!;
        if (each.value & 4) time.leapTo(time.now() + each.after);
        else time.passTo(time.now() + each.after);
        current.cpu = each.value & 1;
        switch (each.kind) {
          case 'in':
            return pc.ports.read(each.port, each.size);
          case 'out':
            pc.ports.write(each.port, each.size, each.value);
            return 0;
          case 'load':
            return pc.mmio.read(each.address, each.size);
          case 'store':
            pc.mmio.write(each.address, each.size, each.value);
            return 0;
          case 'wire':
            lines[index]![each.value % 24]!((each.address & 1) === 1);
            return 0;
          default:
            return pc.apics[current.cpu]!.acknowledge();
        }
      };
      steps.forEach((each, index) => {
        if (index === middle) {
          two.time.leapTo(one.time.now());
          const parts = [
            () => load(two.pc, save(one.pc)),
            () => load(two.time.timers, save(one.time.timers)),
          ];
          for (const part of each.value & 2 ? parts : parts.reverse()) part();
        }
        const value = run(0, each);
        if (!(value >= 0 && value < 2 ** (8 * (each.kind === 'acknowledge' ? 1 : each.size)))) {
          throw new Error(`${each.kind} gave ${value}`);
        }
        if (index < middle) return;
        if (run(1, each) !== value || one.pending.join() !== two.pending.join()) throw new Error('differs');
      });
      if (steps.length <= middle) return true;
      return (
        Buffer.compare(save(one.pc), save(two.pc)) === 0 &&
        Buffer.compare(save(one.time.timers), save(two.time.timers)) === 0
      );
    }),
    { seed: 15, numRuns: 500 },
  );
  t.pass();
});
