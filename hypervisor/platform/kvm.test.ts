import test from 'ava';
import fc from 'fast-check';
import { CLOCK_SCALE, KVM_MSR, KvmMsrs, kvmCpuid } from './kvm.ts';
import { SparseMemory } from './testing/sparsememory.ts';
import { load, save } from './testing/state.ts';

const MIB = 2 ** 20;
const EPOCH = 1_795_910_400.25;

function setUp() {
  const memory = new SparseMemory(16 * MIB);
  const clock = { time: 0, tsc: 0n };
  return { memory, clock, msrs: new KvmMsrs({ memory, epoch: EPOCH, now: () => clock }) };
}

test('the leaves name KVM, its features and the frequencies in kHz', (t) => {
  const first = kvmCpuid(0x4000_0000)!;
  const view = new DataView(new ArrayBuffer(12));
  [first.ebx, first.ecx, first.edx].forEach((value, index) => {
    view.setUint32(index * 4, value, true);
  });
  t.is(Buffer.from(view.buffer).toString(), 'KVMKVMKVM\0\0\0');
  t.is(first.eax, 0x4000_0010);
  t.is(kvmCpuid(0x4000_0001)!.eax, 0x0100_002a);
  t.deepEqual(kvmCpuid(0x4000_0010), { eax: 1_000_000, ebx: 1_000_000, ecx: 0, edx: 0 });
  t.deepEqual(kvmCpuid(0x4000_0005), { eax: 0, ebx: 0, ecx: 0, edx: 0 });
  t.is(kvmCpuid(0x4000_0011), undefined);
  t.is(kvmCpuid(0x3fff_ffff), undefined);
});

test('the scale makes a count a nanosecond, for any count', (t) => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 62n }), (count) => {
      return ((count << BigInt(CLOCK_SCALE.shift)) * BigInt(CLOCK_SCALE.multiplier)) >> 32n === count;
    }),
    { seed: 13 },
  );
  t.pass();
});

test('the system time structure relates counter and time, with an even version and the stable flag', (t) => {
  const { memory, clock, msrs } = setUp();
  Object.assign(clock, { time: 5000, tsc: 7000n });
  t.true(msrs.writeMsr(KVM_MSR.systemTime, 0x1_0001n));
  t.is(msrs.readMsr(KVM_MSR.systemTime), 0x1_0001n);
  t.is(memory.readU32(0x1_0000), 2);
  t.is(memory.readU64(0x1_0008), 7000);
  t.is(memory.readU64(0x1_0010), 5000);
  t.is(memory.readU32(0x1_0018), 0x8000_0000);
  t.deepEqual([...memory.bytes(0x1_001c, 4)], [1, 1, 0, 0]);
});

test('a write of the counter gives the structure a new version; a disabled one is left alone', (t) => {
  const { memory, clock, msrs } = setUp();
  msrs.writeMsr(KVM_MSR.systemTime, 0x1_0001n);
  clock.tsc = 99n;
  msrs.tscChanged();
  t.is(memory.readU32(0x1_0000), 4);
  t.is(memory.readU64(0x1_0008), 99);
  msrs.writeMsr(KVM_MSR.systemTime, 0n);
  msrs.tscChanged();
  t.is(memory.readU32(0x1_0000), 4);
});

test('the wall clock is the epoch at virtual time 0', (t) => {
  const { memory, clock, msrs } = setUp();
  clock.time = 3e9;
  t.true(msrs.writeMsr(KVM_MSR.wallClock, 0x2000n));
  t.is(memory.readU32(0x2000), 2);
  t.is(memory.readU32(0x2004), 1_795_910_400);
  t.is(memory.readU32(0x2008), 250_000_000);
});

test('stolen time adds up while it is enabled', (t) => {
  const { memory, msrs } = setUp();
  msrs.scheduledIn(500);
  t.true(msrs.writeMsr(KVM_MSR.stealTime, 0x3041n));
  t.is(memory.readU64(0x3040), 0);
  msrs.scheduledIn(1500);
  msrs.scheduledIn(1);
  t.is(memory.readU64(0x3040), 1501);
  t.is(memory.readU32(0x3048), 6);
});

test('a CPU that does not run is marked so until it runs again', (t) => {
  const { memory, msrs } = setUp();
  msrs.scheduledOut();
  t.true(msrs.writeMsr(KVM_MSR.stealTime, 0x3041n));
  const mark = () => memory.bytes(0x3050, 4);
  t.deepEqual([...mark()], [0, 0, 0, 0]);
  msrs.scheduledOut();
  t.deepEqual([...mark()], [1, 0, 0, 0]);
  t.is(memory.readU32(0x3048), 2, 'the mark needs no new version');
  msrs.scheduledIn(700);
  t.deepEqual([...mark()], [0, 0, 0, 0]);
  t.is(memory.readU64(0x3040), 700);
  msrs.writeMsr(KVM_MSR.stealTime, 0n);
  msrs.scheduledOut();
  t.deepEqual([...mark()], [0, 0, 0, 0]);
});

test('addresses that are not RAM, reserved bits and other MSRs fault and change nothing', (t) => {
  const { msrs } = setUp();
  for (const [index, value] of [
    [KVM_MSR.wallClock, BigInt(16 * MIB) - 11n],
    [KVM_MSR.systemTime, BigInt(16 * MIB) - 15n],
    [KVM_MSR.systemTime, 2n ** 64n - 1n],
    [KVM_MSR.stealTime, 0x3043n],
    [KVM_MSR.stealTime, BigInt(16 * MIB) + 1n],
    [0x4b56_4d02, 0n],
    [0x4b56_4d04, 0n],
    [0x11, 0n],
  ] as const) {
    t.false(msrs.writeMsr(index, value));
    t.is(msrs.readMsr(index) ?? 0n, 0n);
  }
  t.is(msrs.readMsr(0x4b56_4d02), undefined);
});

test('any writes: no crash, and a loaded state goes on equally', (t) => {
  const step = fc.tuple(
    fc.integer({ min: 0x4b56_4d00, max: 0x4b56_4d05 }),
    fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.bigInt({ min: 0n, max: BigInt(17 * MIB) })),
    fc.nat(10_000),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), fc.nat(20), (steps, middle) => {
      const one = setUp();
      const two = setUp();
      steps.forEach(([index, value, stolen], count) => {
        if (count === middle) load(two.msrs, save(one.msrs));
        for (const { msrs, clock } of count < middle ? [one] : [one, two]) {
          clock.tsc += 3n;
          msrs.writeMsr(index, value);
          msrs.scheduledIn(stolen);
        }
      });
      return steps.length <= middle || save(one.msrs).join() === save(two.msrs).join();
    }),
    { seed: 14, numRuns: 500 },
  );
  t.pass();
});
