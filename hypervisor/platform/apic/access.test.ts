import test from 'ava';
import fc from 'fast-check';
import type { AccessSize } from '../bus.ts';
import { load, save } from '../testing/state.ts';
import { readMmio, readMsr, writeMmio, writeMsr } from './access.ts';
import { DELIVERY, ESR, REGISTER } from './registers.ts';
import { apicMachine, enable } from './testing.ts';

const APIC_BASE = 0x1b;
const XAPIC = 0xfee0_0800n;
const X2APIC = 0xfee0_0c00n;
const BSP = 0x100n;

const msr = (register: number): number => 0x800 + register;
function x2apics(count: number) {
  const machine = apicMachine(count);
  for (const apic of machine.apics) {
    writeMsr(apic, APIC_BASE, X2APIC);
    writeMsr(apic, msr(REGISTER.spurious), 0x1ffn);
  }
  return machine;
}

test('the page gives aligned registers, parts of them, and nothing between', (t) => {
  const apic = enable(apicMachine(2).apics[1]!);
  t.is(readMmio(apic, 0x20, 4), 0x0100_0000);
  t.is(readMmio(apic, 0x23, 1), 1);
  t.is(readMmio(apic, 0x32, 2), 0x0105);
  t.is(readMmio(apic, 0x24, 4), 0);
  writeMmio(apic, 0x80, 4, 0x55);
  writeMmio(apic, 0x80, 1, 0x66);
  writeMmio(apic, 0x84, 4, 0x77);
  t.is(readMmio(apic, 0x80, 4), 0x55);
});

test('an access to a register that does not exist is an error', (t) => {
  const apic = enable(apicMachine(1).apics[0]!);
  for (const access of [() => readMmio(apic, 0x3f0, 4), () => writeMmio(apic, 0x40, 4, 0)]) {
    access();
    apic.writeRegister(REGISTER.errorStatus, 0);
    t.is(apic.readRegister(REGISTER.errorStatus), ESR.illegalRegister);
    apic.writeRegister(REGISTER.errorStatus, 0);
  }
  readMmio(apic, 0xb0, 4);
  writeMmio(apic, 0x30, 4, 0);
  apic.writeRegister(REGISTER.errorStatus, 0);
  t.is(apic.readRegister(REGISTER.errorStatus), 0);
});

test('IA32_APIC_BASE names the bootstrap processor and refuses another base or reserved bits', (t) => {
  const [first, second] = apicMachine(2).apics;
  t.is(readMsr(first!, APIC_BASE), XAPIC | BSP);
  t.is(readMsr(second!, APIC_BASE), XAPIC);
  t.true(writeMsr(second!, APIC_BASE, XAPIC | BSP));
  t.is(readMsr(second!, APIC_BASE), XAPIC);
  for (const value of [0xfed0_0800n, XAPIC | 1n, XAPIC | (1n << 50n), 0xfee0_0400n]) {
    t.false(writeMsr(first!, APIC_BASE, value));
  }
});

test('the modes change only as the manual has it', (t) => {
  const apic = apicMachine(1).apics[0]!;
  const write = (value: bigint) => writeMsr(apic, APIC_BASE, value);
  t.true(write(X2APIC));
  t.false(write(XAPIC));
  t.true(write(0xfee0_0000n));
  t.is(apic.mode, 'disabled');
  t.false(write(X2APIC));
  t.true(write(XAPIC));
  t.is(apic.mode, 'xapic');
});

test('disabled, it forgets its state, its page is empty, it hears nothing, and its pins are INTR and NMI', (t) => {
  const { apics, cpus } = apicMachine(1);
  const apic = enable(apics[0]!);
  writeMsr(apic, APIC_BASE, 0xfee0_0000n);
  t.is(readMmio(apic, 0x30, 4), 0xffff_ffff);
  t.is(readMmio(apic, 0x30, 2), 0xffff);
  t.false(apic.accept(DELIVERY.init, 0, false));
  apic.setLint0(true);
  t.is(apic.pendingVector(), 0x30);
  apic.setLint1(true);
  t.deepEqual(cpus[0]!.events, ['pending', 'nmi']);
  writeMsr(apic, APIC_BASE, XAPIC);
  t.is(readMmio(apic, 0xf0, 4), 0xff);
});

test('in x2APIC mode the registers are MSRs and the page is empty', (t) => {
  const apic = x2apics(18).apics[17]!;
  t.is(readMsr(apic, msr(REGISTER.id)), 17n);
  t.is(readMsr(apic, msr(REGISTER.logicalDestination)), 0x1_0002n);
  t.is(readMsr(apic, msr(REGISTER.version)), 0x0105_0014n);
  t.is(readMmio(apic, 0x20, 4), 0xffff_ffff);
});

test('in xAPIC mode the MSRs fault', (t) => {
  const apic = apicMachine(1).apics[0]!;
  t.is(readMsr(apic, msr(REGISTER.id)), undefined);
  t.false(writeMsr(apic, msr(REGISTER.taskPriority), 0n));
});

test('x2APIC faults on reserved bits, missing registers, and the wrong direction', (t) => {
  const apic = x2apics(1).apics[0]!;
  for (const [register, value] of [
    [REGISTER.eoi, 1n],
    [REGISTER.errorStatus, 1n],
    [REGISTER.taskPriority, 0x100n],
    [REGISTER.spurious, 0x2000n],
    [REGISTER.lvtTimer, 0x8_0000n],
    [REGISTER.initialCount, 1n << 32n],
    [REGISTER.selfIpi, 0x100n],
    [REGISTER.icrLow, 0x1000n],
    [REGISTER.id, 0n],
    [REGISTER.version, 0n],
    [REGISTER.logicalDestination, 0n],
    [REGISTER.destinationFormat, 0n],
    [REGISTER.icrHigh, 0n],
    [REGISTER.currentCount, 0n],
    [REGISTER.processorPriority, 0n],
    [0x00, 0n],
    [0xff, 0n],
  ] as const) {
    t.false(writeMsr(apic, msr(register), value), `write of 0x${register.toString(16)}`);
  }
  for (const register of [
    REGISTER.eoi,
    REGISTER.selfIpi,
    REGISTER.icrHigh,
    REGISTER.destinationFormat,
    0x00,
    0x09,
    0xff,
  ]) {
    t.is(readMsr(apic, msr(register)), undefined, `read of 0x${register.toString(16)}`);
  }
  for (const register of [REGISTER.eoi, REGISTER.errorStatus]) t.true(writeMsr(apic, msr(register), 0n));
});

test('the 64-bit ICR sends to physical, broadcast and cluster destinations', (t) => {
  const { apics } = x2apics(40);
  const [first] = apics;
  const send = (destination: bigint, low: bigint): number[] => {
    t.true(writeMsr(first!, msr(REGISTER.icrLow), (destination << 32n) | low));
    return apics
      .filter((apic) => apic.pendingVector() === Number(low & 0xffn) && apic.acknowledge() >= 0)
      .map((apic) => apic.id);
  };
  t.deepEqual(send(33n, 0x40n), [33]);
  t.is(readMsr(first!, msr(REGISTER.icrLow)), (33n << 32n) | 0x40n);
  t.deepEqual(send(0x2_0081n, 0x850n), [32, 39]);
  t.deepEqual(
    send(0x1_ffffn, 0x860n),
    Array.from({ length: 16 }, (_, i) => 16 + i),
  );
  t.is(send(0xffff_ffffn, 0x70n).length, 40);
  t.is(send(0xffff_ffffn, 0x880n).length, 40);
});

test('SELF IPI is an edge-triggered interrupt to oneself', (t) => {
  const apic = x2apics(1).apics[0]!;
  t.true(writeMsr(apic, msr(REGISTER.selfIpi), 0x77n));
  t.is(apic.acknowledge(), 0x77);
  t.is(readMsr(apic, msr(REGISTER.triggerMode) + 3), 0n);
});

test('IA32_TSC_DEADLINE is there in every mode', (t) => {
  const apic = enable(apicMachine(1).apics[0]!);
  apic.writeRegister(REGISTER.lvtTimer, (2 << 17) | 0x40);
  t.true(writeMsr(apic, 0x6e0, 5000n));
  t.is(readMsr(apic, 0x6e0), 5000n);
});

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const step = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constant('mmio' as const), fc.nat(0xfff), u32) },
  { weight: 4, arbitrary: fc.tuple(fc.constant('register' as const), fc.nat(0x3f), u32) },
  { weight: 4, arbitrary: fc.tuple(fc.constant('msr' as const), fc.nat(0x3f), u32) },
  fc.tuple(fc.constant('base' as const), fc.nat(3), u32),
  fc.tuple(fc.constant('pins' as const), fc.nat(3), u32),
  fc.tuple(fc.constant('message' as const), fc.nat(0xffff), u32),
  fc.tuple(fc.constant('acknowledge' as const), fc.nat(1), u32),
  fc.tuple(fc.constant('time' as const), fc.nat(100_000), u32),
);
const SIZES: readonly AccessSize[] = [1, 2, 4];

type Machine = ReturnType<typeof apicMachine>;

function run(
  { apics, network, time }: Machine,
  [kind, a, b]: [string, number, number],
): number | bigint | boolean {
  const apic = apics[b & 1]!;
  switch (kind) {
    case 'mmio':
      writeMmio(apic, a, SIZES[b % 3]!, b);
      return readMmio(apic, a, SIZES[b % 3]!);
    case 'register':
      return apic.writeRegister(a, b);
    case 'msr':
      writeMsr(apic, 0x800 + a, BigInt(b) & ((1n << BigInt(b & 31)) - 1n));
      return readMsr(apic, 0x800 + a) ?? -1;
    case 'base':
      return writeMsr(apic, APIC_BASE, 0xfee0_0000n | (BigInt(a) << 10n));
    case 'pins':
      apic.setLint0((a & 1) === 1);
      apic.setLint1((a & 2) === 2);
      return 0;
    case 'message':
      network.message(0xfee0_0000 + (b & 0xf_ffff), a);
      return 0;
    case 'acknowledge':
      apic.cr8 = a;
      return apic.pendingVector() >= 0 ? apic.acknowledge() : -1;
    default:
      time.leapTo(time.now() + a);
      return time.timers.next;
  }
}

test('any accesses: pending tells the truth, values fit, and a state loaded in their middle goes on equally', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.nat(60), (steps, middle) => {
      const one = apicMachine(2);
      const two = apicMachine(2);
      steps.forEach((each, index) => {
        if (index === middle) {
          two.time.leapTo(one.time.now());
          one.apics.forEach((apic, id) => {
            load(two.apics[id]!, save(apic));
          });
          load(two.time.timers, save(one.time.timers));
        }
        const value = run(one, each);
        if (typeof value === 'number' && Number.isNaN(value)) throw new Error('NaN');
        if (index >= middle && run(two, each) !== value) throw new Error('differs');
        for (const [id, apic] of one.apics.entries()) {
          if (one.cpus[id]!.pending !== apic.pendingVector() >= 0) throw new Error('pending is wrong');
          if (index >= middle && two.cpus[id]!.pending !== one.cpus[id]!.pending)
            throw new Error('pending differs');
        }
      });
      if (steps.length <= middle) return true;
      const state = (machine: Machine) =>
        [...machine.apics, machine.time.timers].map((part) => save(part).join());
      return state(one).join('|') === state(two).join('|');
    }),
    { seed: 4, numRuns: 1000 },
  );
  t.pass();
});
