import test from 'ava';
import fc from 'fast-check';
import { StateReader, StateWriter } from '../../state/state.ts';
import type { AccessSize } from '../bus.ts';
import { PciFunction } from './function.ts';
import { MSIX_BAR_SIZE, Msix } from './msix.ts';
import { TestPc } from './testing/pc.ts';

const SLOT = 5;
const PBA = 0x800;

function machine(vectors: number): { pc: TestPc; msix: Msix; base: number; control: number } {
  const pc = new TestPc();
  const msix = new Msix(vectors, pc.deliver);
  const pciFunction = new PciFunction({
    name: 'a',
    identity: {
      vendor: 0x1af4,
      device: 0x1041,
      revision: 1,
      classCode: 0x020000,
      subsystemVendor: 0,
      subsystem: 0,
    },
    bars: [{ kind: 'memory', size: MSIX_BAR_SIZE, registers: msix }],
    onBusMaster: () => msix.sendPending(),
  });
  msix.install(pciFunction, 0, () => {});
  pc.bus.plug(SLOT, pciFunction);
  pc.writeConfig(SLOT, 0x04, 2, 6);
  const [at] = pc.capabilities(SLOT, 0x11);
  return { pc, msix, base: pc.bar(SLOT, 0), control: at! + 2 };
}

function setVector(pc: TestPc, base: number, vector: number, data: number, masked = false): void {
  pc.mmio.write(base + 16 * vector, 4, 0xfee00000);
  pc.mmio.write(base + 16 * vector + 8, 4, data);
  pc.mmio.write(base + 16 * vector + 12, 4, masked ? 1 : 0);
}

test('the capability tells size, table and pending bits; only mask and enable are writable', (t) => {
  const { pc, msix, control } = machine(9);
  pc.writeConfig(SLOT, control, 2, 0xffff);
  t.is(pc.readConfig(SLOT, control, 2), 0xc008);
  t.is(pc.readConfig(SLOT, control + 2, 4), 0);
  t.is(pc.readConfig(SLOT, control + 6, 4), PBA);
  t.true(msix.enabled);
});

test('at power-on every vector is masked', (t) => {
  const { pc, base } = machine(3);
  for (let vector = 0; vector < 3; vector++) t.is(pc.mmio.read(base + 16 * vector + 12, 4), 1);
});

test('a request sends the vector its message', (t) => {
  const { pc, msix, base, control } = machine(3);
  pc.writeConfig(SLOT, control, 2, 0x8000);
  setVector(pc, base, 1, 0x41);
  msix.request(1);
  t.deepEqual(pc.messages, [{ address: 0xfee00000, data: 0x41 }]);
  t.is(pc.mmio.read(base + PBA, 4), 0);
});

test('a masked vector stays pending until it is unmasked, and is then sent once', (t) => {
  const { pc, msix, base, control } = machine(70);
  pc.writeConfig(SLOT, control, 2, 0x8000);
  setVector(pc, base, 65, 0x99, true);
  msix.request(65);
  msix.request(65);
  t.deepEqual(pc.messages, []);
  t.is(pc.mmio.read(base + PBA + 8, 4), 2);
  pc.mmio.write(base + 16 * 65 + 12, 4, 0);
  t.deepEqual(pc.messages, [{ address: 0xfee00000, data: 0x99 }]);
  t.is(pc.mmio.read(base + PBA + 8, 4), 0);
});

test('the function mask and a cleared bus master bit hold messages back too', (t) => {
  const { pc, msix, base, control } = machine(2);
  setVector(pc, base, 0, 0x30);
  pc.writeConfig(SLOT, control, 2, 0xc000);
  msix.request(0);
  t.is(pc.messages.length, 0);
  pc.writeConfig(SLOT, control, 2, 0x8000);
  t.is(pc.messages.length, 1);
  pc.writeConfig(SLOT, 0x04, 2, 2);
  msix.request(0);
  t.is(pc.messages.length, 1);
  pc.writeConfig(SLOT, 0x04, 2, 6);
  t.is(pc.messages.length, 2);
});

test('the pending bits are read-only, and reserved bits of a vector control stay zero', (t) => {
  const { pc, base } = machine(2);
  pc.mmio.write(base + PBA, 4, 0xffffffff);
  t.is(pc.mmio.read(base + PBA, 4), 0);
  pc.mmio.write(base + 12, 4, 0xffffffff);
  t.is(pc.mmio.read(base + 12, 4), 1);
});

test('registers beside table and pending bits read as zero', (t) => {
  const { pc, base } = machine(2);
  t.is(pc.mmio.read(base + 32, 4), 0);
  t.is(pc.mmio.read(base + PBA + 8, 4), 0);
});

test('the last byte of table and pending bits is there, and what follows is not', (t) => {
  const { pc, msix, base, control } = machine(2);
  pc.writeConfig(SLOT, control, 2, 0xc000);
  msix.request(1);
  t.is(pc.mmio.read(base + PBA, 1), 2);
  t.is(pc.mmio.read(base + PBA + 4, 4), 0);
  pc.mmio.write(base + 28, 4, 0);
  t.is(pc.mmio.read(base + 28, 4), 0);
  pc.mmio.write(base + 32, 4, 0xffffffff);
  t.is(pc.mmio.read(base + 32, 4), 0);
});

test('a reset masks every vector and drops what is pending', (t) => {
  const { pc, msix, base, control } = machine(2);
  pc.writeConfig(SLOT, control, 2, 0xc000);
  setVector(pc, base, 1, 0x41);
  msix.request(1);
  msix.reset();
  t.deepEqual([pc.mmio.read(base + 24, 4), pc.mmio.read(base + 28, 4)], [0, 1]);
  t.is(pc.mmio.read(base + PBA, 4), 0);
});

test('a table has 1 to 128 vectors', (t) => {
  for (const vectors of [0, 129])
    t.throws(() => new Msix(vectors, () => {}), { message: `MSI-X with ${vectors} vectors` });
  for (const vectors of [1, 128]) t.is(machine(vectors).msix.vectors, vectors);
});

test('no access breaks the table, and saved state continues equally', (t) => {
  const step = fc.record({
    kind: fc.constantFrom('register', 'control', 'command', 'request'),
    offset: fc.oneof(fc.nat({ max: 0x40 }), fc.nat({ max: MSIX_BAR_SIZE - 1 })),
    size: fc.constantFrom<AccessSize>(1, 2, 4),
    value: fc.oneof(fc.integer({ min: 0, max: 0xffffffff }), fc.constantFrom(0, 1, 0x8000, 0xc000, 6)),
  });
  type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
  const apply = ({ pc, msix, base, control }: ReturnType<typeof machine>, steps: Step[]): void => {
    for (const { kind, offset, size, value } of steps) {
      if (kind === 'register') pc.mmio.write(base + offset, size, value);
      else if (kind === 'control') pc.writeConfig(SLOT, control, 2, value);
      else if (kind === 'command') pc.writeConfig(SLOT, 4, 2, value & ~3);
      else if (msix.enabled) msix.request(value % msix.vectors);
    }
  };
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 40, size: 'max' }),
      fc.array(step, { maxLength: 40, size: 'max' }),
      (before, after) => {
        const first = machine(4);
        apply(first, before);
        const saved = new StateWriter();
        saved.part('bus', first.pc.bus);
        saved.part('msix', first.msix);
        const second = machine(4);
        const from = new StateReader(saved.finish());
        from.part('bus', second.pc.bus);
        from.part('msix', second.msix);
        first.pc.messages.length = 0;
        apply(first, after);
        apply(second, after);
        t.deepEqual(second.pc.messages, first.pc.messages);
      },
    ),
    { seed: 21, numRuns: 200 },
  );
});
