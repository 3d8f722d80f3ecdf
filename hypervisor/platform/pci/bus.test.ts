import test from 'ava';
import fc from 'fast-check';
import { StateReader, StateWriter } from '../../state/state.ts';
import type { AccessSize } from '../bus.ts';
import { interruptRoute, PCI_IO_WINDOW, PCI_MEMORY_WINDOW } from './bus.ts';
import { type BaseAddressRegister, PciFunction } from './function.ts';
import { writeLittleEndian } from './registers.ts';
import { TestPc } from './testing/pc.ts';

const IDENTITY = {
  vendor: 0x1af4,
  device: 0x1045,
  revision: 1,
  classCode: 0x00ff00,
  subsystemVendor: 0x1af4,
  subsystem: 0x45,
};

/** A BAR whose every register reads as `value` and that records writes. */
function bar(kind: 'memory' | 'io', size: number, value: number, writes: number[] = []): BaseAddressRegister {
  return {
    kind,
    size,
    registers: {
      readRegister: (offset, width) => (width === 4 ? value + offset : (value + offset) & 0xff),
      writeRegister: (offset, _width, written) => writes.push(offset, written),
    },
  };
}

function device(name: string, bars: BaseAddressRegister[], interruptPin = 1): PciFunction {
  return new PciFunction({ name, identity: IDENTITY, bars, interruptPin });
}

test('the host bridge is found in slot 0 by configuration mechanism 1', (t) => {
  const pc = new TestPc();
  pc.ports.write(0xcf8, 4, 0x80000000);
  t.is(pc.ports.read(0xcf8, 4), 0x80000000);
  t.is(pc.ports.read(0xcfc, 4), 0x12378086);
  t.is(pc.ports.read(0xcfe, 2), 0x1237);
  t.is(pc.readConfig(0, 0x0a, 2), 0x0600);
});

test('an empty slot, another function, another bus and a cleared enable bit read as all ones', (t) => {
  const pc = new TestPc();
  t.is(pc.readConfig(7, 0, 4), 0xffffffff);
  for (const address of [0x80000100, 0x80010000, 0x00000000]) {
    pc.ports.write(0xcf8, 4, address);
    t.is(pc.ports.read(0xcfc, 4), 0xffffffff);
    t.is(pc.ports.read(0xcfc, 2), 0xffff);
    t.is(pc.ports.read(0xcfc, 1), 0xff);
  }
});

test('a write to what is not there changes nothing', (t) => {
  const pc = new TestPc();
  pc.bus.plug(1, device('a', []));
  for (const address of [0x80000938, 0x80010838, 0x00000838]) {
    pc.ports.write(0xcf8, 4, address + 4);
    pc.ports.write(0xcfc, 1, 0x55);
  }
  t.is(pc.readConfig(1, 0x3c, 1), 0xff);
});

test('bytes and words written at CF8h do not reach CONFIG_ADDRESS', (t) => {
  const pc = new TestPc();
  pc.ports.write(0xcf8, 4, 0x80000810);
  pc.ports.write(0xcfb, 1, 0x01);
  pc.ports.write(0xcf8, 2, 0xffff);
  pc.ports.write(0xcf9, 2, 0x0606);
  t.is(pc.ports.read(0xcf9, 2), 0xffff);
  t.is(pc.ports.read(0xcf8, 1), 0xff);
  t.deepEqual(pc.resets, []);
  t.is(pc.ports.read(0xcf8, 4), 0x80000810);
});

test('a rise of bit 2 at CF9h asks for a reset, bit 1 says which', (t) => {
  const pc = new TestPc();
  pc.ports.write(0xcf9, 1, 0x02);
  t.deepEqual(pc.resets, []);
  pc.ports.write(0xcf9, 1, 0x06);
  pc.ports.write(0xcf9, 1, 0x06);
  t.deepEqual(pc.resets, ['hard']);
  t.is(pc.ports.read(0xcf9, 1), 0x06);
  pc.ports.write(0xcf9, 1, 0x00);
  pc.ports.write(0xcf9, 1, 0x04);
  t.deepEqual(pc.resets, ['hard', 'soft']);
});

test('identity, class and interrupt pin are read-only', (t) => {
  const pc = new TestPc();
  pc.bus.plug(3, device('a', [bar('memory', 0x1000, 0)], 2));
  for (const offset of [0x00, 0x08, 0x2c, 0x34]) {
    const before = pc.readConfig(3, offset, 4);
    pc.writeConfig(3, offset, 4, 0xffffffff);
    t.is(pc.readConfig(3, offset, 4), before);
  }
  t.is(pc.readConfig(3, 0x00, 4), 0x10451af4);
  t.is(pc.readConfig(3, 0x08, 4), 0x00ff0001);
  t.is(pc.readConfig(3, 0x2c, 4), 0x00451af4);
  t.is(pc.readConfig(3, 0x3d, 1), 2);
});

test('BARs are sized by writing all ones and are where power-on put them', (t) => {
  const pc = new TestPc();
  pc.bus.plug(1, device('a', [bar('memory', 0x100, 0x11), bar('memory', 0x4000, 0x22), bar('io', 64, 0x33)]));
  const places = [0, 1, 2].map((i) => pc.readConfig(1, 0x10 + 4 * i, 4));
  t.deepEqual(places, [PCI_MEMORY_WINDOW.start, PCI_MEMORY_WINDOW.start + 0x4000, PCI_IO_WINDOW.start + 1]);
  const sizes = [0, 1, 2, 3].map((i) => {
    pc.writeConfig(1, 0x10 + 4 * i, 4, 0xffffffff);
    return pc.readConfig(1, 0x10 + 4 * i, 4);
  });
  t.deepEqual(sizes, [0xffffff00, 0xffffc000, 0xffffffc1, 0]);
  t.is(pc.mmio.read(PCI_MEMORY_WINDOW.start, 4), 0xffffffff, 'a BAR being sized answers nowhere');
  places.forEach((place, i) => {
    pc.writeConfig(1, 0x10 + 4 * i, 4, place);
  });
  t.is(pc.mmio.read(PCI_MEMORY_WINDOW.start + 4, 4), 0x15);
  t.is(pc.mmio.read(PCI_MEMORY_WINDOW.start + 0x4008, 4), 0x2a);
  t.is(pc.ports.read(PCI_IO_WINDOW.start + 1, 1), 0x34);
});

test('a moved BAR answers at its new place only, writes carry the offset', (t) => {
  const pc = new TestPc();
  const writes: number[] = [];
  pc.bus.plug(1, device('a', [bar('memory', 0x1000, 0x40, writes), bar('io', 16, 0x50, writes)]));
  pc.writeConfig(1, 0x10, 4, 0xd0000000);
  pc.writeConfig(1, 0x14, 4, 0xc800);
  t.is(pc.mmio.read(PCI_MEMORY_WINDOW.start, 4), 0xffffffff);
  t.is(pc.ports.read(PCI_IO_WINDOW.start, 4), 0xffffffff);
  pc.mmio.write(0xd0000008, 4, 7);
  pc.ports.write(0xc803, 1, 9);
  t.deepEqual(writes, [8, 7, 3, 9]);
});

test('the command register enables decoding of each space', (t) => {
  const pc = new TestPc();
  pc.bus.plug(1, device('a', [bar('memory', 0x1000, 0x40), bar('io', 16, 0x50)]));
  t.is(pc.readConfig(1, 0x04, 2), 3);
  pc.writeConfig(1, 0x04, 2, 1);
  t.is(pc.mmio.read(PCI_MEMORY_WINDOW.start, 4), 0xffffffff);
  t.is(pc.ports.read(PCI_IO_WINDOW.start, 1), 0x50);
  pc.writeConfig(1, 0x04, 2, 2);
  t.is(pc.mmio.read(PCI_MEMORY_WINDOW.start, 4), 0x40);
  t.is(pc.ports.read(PCI_IO_WINDOW.start, 1), 0xff);
});

test('only the decode bits of the spaces that a function has are writable', (t) => {
  const pc = new TestPc();
  pc.bus.plug(1, device('memory', [bar('memory', 0x1000, 0)]));
  pc.bus.plug(2, device('io', [bar('io', 16, 0)], 0));
  const writable = [1, 2].map((slot) => {
    pc.writeConfig(slot, 0x04, 2, 0xffff);
    return pc.readConfig(slot, 0x04, 2);
  });
  t.deepEqual(writable, [0x0406, 0x0005]);
});

test('a BAR answers up to the ends of the host bridge windows and nowhere else', (t) => {
  const pc = new TestPc();
  pc.bus.plug(1, device('a', [bar('memory', 0x1000, 0x10), bar('io', 16, 0x20)]));
  const memory = [0, 0x1000, 0xbffff000, 0xc0000000, 0xfebff000, 0xfec00000, 0xfffff000];
  const answers = memory.filter((address) => {
    pc.writeConfig(1, 0x10, 4, address);
    return pc.mmio.read(address, 4) === 0x10;
  });
  t.deepEqual(answers, [0xc0000000, 0xfebff000]);
  const ports = [0, 0x60, 0xbff0, 0xc000, 0xeff0, 0xf000, 0xfff0, 0x1c000];
  const ioAnswers = ports.filter((port) => {
    pc.writeConfig(1, 0x14, 4, port);
    return pc.ports.read(port & 0xffff, 1) === 0x20;
  });
  t.deepEqual(ioAnswers, [0xc000, 0xeff0]);
});

test('BARs side by side both answer', (t) => {
  const pc = new TestPc();
  pc.bus.plug(1, device('a', [bar('memory', 0x1000, 0x10), bar('memory', 0x1000, 0x20)]));
  t.is(pc.mmio.read(PCI_MEMORY_WINDOW.start, 4), 0x10);
  t.is(pc.mmio.read(PCI_MEMORY_WINDOW.start + 0x1000, 4), 0x20);
  pc.writeConfig(1, 0x10, 4, PCI_MEMORY_WINDOW.start + 0x2000);
  t.is(pc.mmio.read(PCI_MEMORY_WINDOW.start + 0x1000, 4), 0x20);
});

test('the interrupt line register is a scratch byte, 255 at first, where there is a pin', (t) => {
  const pc = new TestPc();
  pc.bus.plug(1, device('with', [], 3));
  pc.bus.plug(2, device('without', [], 0));
  t.deepEqual([pc.readConfig(1, 0x3c, 2), pc.readConfig(2, 0x3c, 2)], [0x03ff, 0]);
  for (const slot of [1, 2]) pc.writeConfig(slot, 0x3c, 1, 11);
  t.deepEqual([pc.readConfig(1, 0x3c, 2), pc.readConfig(2, 0x3c, 2)], [0x030b, 0]);
});

test('of two overlapping BARs the lower slot answers, and the other again when it moves away', (t) => {
  const pc = new TestPc();
  pc.bus.plug(2, device('high', [bar('memory', 0x1000, 0x20)]));
  pc.bus.plug(1, device('low', [bar('memory', 0x1000, 0x10)]));
  const high = pc.bar(2, 0);
  const low = pc.bar(1, 0);
  pc.writeConfig(1, 0x10, 4, high);
  t.is(pc.mmio.read(high, 4), 0x10);
  t.is(pc.mmio.read(low, 4), 0xffffffff);
  pc.writeConfig(1, 0x10, 4, low);
  t.is(pc.mmio.read(high, 4), 0x20);
});

test('a full window and a taken slot are named when the machine is built', (t) => {
  const pc = new TestPc();
  t.throws(() => pc.bus.plug(0, device('a', [])), { message: /slot 0 is taken/ });
  const large = Array.from({ length: 5 }, () => bar('memory', 0x10000000, 0));
  t.throws(() => pc.bus.plug(1, device('a', large)), { message: /window has no room/ });
  t.throws(() => pc.bus.plug(32, device('a', [])), { message: /slot 32 is taken or does not exist/ });
  t.throws(() => pc.bus.plug(-1, device('a', [])), { message: /slot -1/ });
  for (const [kind, size] of [
    ['memory', 24],
    ['memory', 8],
    ['memory', 2 ** 31],
    ['io', 2],
    ['io', 512],
  ] as const) {
    t.throws(() => device('a', [bar(kind, size, 0)]), {
      message: RegExp(`cannot have ${size} bytes of ${kind}`),
    });
  }
  const six = Array.from({ length: 6 }, () => bar('io', 4, 0));
  t.notThrows(() => device('a', six));
  t.throws(() => device('a', [...six, bar('io', 4, 0)]), { message: /BAR 6 cannot/ });
  const full = device('a', []);
  full.addCapability({ id: 9, body: new Uint8Array(190) });
  t.throws(() => full.addCapability({ id: 9, body: new Uint8Array(1) }), {
    message: /no room for capability 9/,
  });
});

test('BARs can fill the memory window to its end', (t) => {
  const pc = new TestPc();
  const megabytes = (sizes: number[]): BaseAddressRegister[] =>
    sizes.map((size) => bar('memory', size << 20, 0));
  pc.bus.plug(1, device('a', megabytes([256, 256, 256, 128, 64, 32])));
  pc.bus.plug(2, device('b', megabytes([8, 4])));
  t.is(pc.bar(2, 1) + (4 << 20), PCI_MEMORY_WINDOW.end);
  t.throws(() => pc.bus.plug(3, device('c', [bar('memory', 16, 0)])), {
    message: /no room for 16 bytes more/,
  });
});

test('INTx# pins are routed by slot and pin, shared lines are wired-or, and the command register disables them', (t) => {
  const pc = new TestPc();
  const first = device('first', [], 1);
  const second = device('second', [], 2);
  pc.bus.plug(9, first);
  pc.bus.plug(8, second);
  t.is(interruptRoute(9, 0), 17);
  t.is(interruptRoute(8, 1), 17);
  t.is(interruptRoute(31, 3), 18);
  first.interruptStatus = true;
  second.interruptStatus = true;
  t.deepEqual(
    pc.lines.map((level, i) => (level ? 16 + i : 0)).filter((gsi) => gsi > 0),
    [17],
  );
  first.interruptStatus = false;
  t.true(pc.lines[1]);
  t.is(pc.readConfig(8, 0x06, 2) & 8, 8);
  pc.writeConfig(8, 0x04, 2, 1 << 10);
  t.false(pc.lines[1]);
  t.is(pc.readConfig(8, 0x06, 2) & 8, 8, 'the status bit does not depend on the disable bit');
  pc.writeConfig(8, 0x04, 2, 0);
  t.true(pc.lines[1]);
});

test('capabilities form a list, take writes where they are writable, and are told of accesses', (t) => {
  const pc = new TestPc();
  const a = device('a', []);
  const accesses: (string | number)[] = [];
  a.addCapability({ id: 9, body: new Uint8Array([1, 2, 3]) });
  const live = a.addCapability({
    id: 5,
    body: new Uint8Array(4),
    writable: new Uint8Array([0, 0xff, 0x0f, 0]),
    beforeRead: (offset, length) => {
      accesses.push('read', offset, length);
      live[5] = 0x77;
    },
    afterWrite: (offset, length) => accesses.push('write', offset, length),
  });
  pc.bus.plug(4, a);
  t.is(pc.readConfig(4, 0x06, 2) & 0x10, 0x10);
  const [at] = pc.capabilities(4, 5);
  t.deepEqual(pc.capabilities(4, 9), [0x40]);
  t.is(at, 0x48);
  accesses.length = 0;
  pc.writeConfig(4, at! + 2, 2, 0xffff);
  pc.writeConfig(4, at! + 4, 1, 0xff);
  t.deepEqual([...live], [5, 0, 0, 0xff, 0x0f, 0x77]);
  t.is(pc.readConfig(4, at! + 4, 2), 0x770f);
  t.deepEqual(accesses, ['write', 2, 2, 'write', 4, 1, 'read', 4, 2]);
  accesses.length = 0;
  pc.readConfig(4, at! - 4, 4);
  pc.readConfig(4, at! + 6, 1);
  pc.writeConfig(4, at! - 4, 4, 0);
  pc.writeConfig(4, at! + 6, 1, 0);
  t.deepEqual(accesses, [], 'what lies before and after is no concern of it');
});

test('a reset puts configuration space back to power-on and tells the device', (t) => {
  const pc = new TestPc();
  let resets = 0;
  const a = new PciFunction({
    name: 'a',
    identity: IDENTITY,
    bars: [bar('memory', 0x1000, 0x10)],
    interruptPin: 1,
    onReset: () => {
      resets++;
    },
  });
  pc.bus.plug(1, a);
  const before = Array.from({ length: 64 }, (_, i) => pc.readConfig(1, 4 * i, 4));
  const place = pc.bar(1, 0);
  pc.writeConfig(1, 0x10, 4, 0xd0000000);
  pc.writeConfig(1, 0x04, 2, 6);
  a.interruptStatus = true;
  t.true(pc.lines[1]);
  pc.bus.reset();
  t.is(resets, 1);
  t.false(pc.lines[1]);
  t.deepEqual(
    Array.from({ length: 64 }, (_, i) => pc.readConfig(1, 4 * i, 4)),
    before,
  );
  t.is(pc.mmio.read(place, 4), 0x10);
});

const access = fc.record({
  device: fc.integer({ min: 0, max: 3 }),
  offset: fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(4, 0x10, 0x14, 0x18)),
  size: fc.constantFrom<AccessSize>(1, 2, 4),
  value: fc.oneof(
    fc.integer({ min: 0, max: 0xffffffff }),
    fc.constantFrom(0xffffffff, 0xc0000000, 0xc0001000, 0xd0000000, 0xfec00000, 0xc000, 0xcff1, 7),
  ),
});

/** A PC with three devices whose BARs can collide. */
function busyPc(): TestPc {
  const pc = new TestPc();
  pc.bus.plug(1, device('a', [bar('memory', 0x1000, 0x10), bar('io', 16, 0x20)]));
  pc.bus.plug(2, device('b', [bar('memory', 0x10000, 0x30), bar('memory', 0x1000, 0x40)]));
  pc.bus.plug(3, device('c', [bar('io', 256, 0x50), bar('io', 4, 0x60), bar('memory', 0x100000, 0x70)]));
  return pc;
}

/** What a guest sees at a few places after what it wrote. */
function view(pc: TestPc): number[] {
  const seen: number[] = [];
  for (let d = 0; d < 4; d++) for (let i = 0; i < 64; i++) seen.push(pc.readConfig(d, 4 * i, 4));
  for (const at of [0xc0000000, 0xc0001000, 0xc0010000, 0xc0100000, 0xd0000000, 0xfebff000]) {
    seen.push(pc.mmio.read(at, 4));
  }
  for (const at of [0xc000, 0xc010, 0xc100, 0xc200, 0xcff0]) seen.push(pc.ports.read(at, 4));
  return seen;
}

test('no sequence of configuration writes breaks the buses, and saved state gives the same view', (t) => {
  fc.assert(
    fc.property(fc.array(access, { maxLength: 60, size: 'max' }), (accesses) => {
      const pc = busyPc();
      for (const { device: slot, offset, size, value } of accesses) {
        pc.writeConfig(slot, offset, size, value);
        pc.mmio.write(value, size, 1);
      }
      const saved = new StateWriter();
      saved.part('bus', pc.bus);
      const bytes = saved.finish();
      const other = busyPc();
      new StateReader(bytes).part('bus', other.bus);
      const again = new StateWriter();
      again.part('bus', other.bus);
      t.deepEqual(again.finish(), bytes);
      t.deepEqual(view(other), view(pc));
    }),
    { seed: 20, numRuns: 200 },
  );
});

test('an interrupt that was asserted in saved state can be taken back', (t) => {
  const make = (): { pc: TestPc; a: PciFunction } => {
    const pc = new TestPc();
    const a = device('a', []);
    pc.bus.plug(1, a);
    return { pc, a };
  };
  const first = make();
  first.a.interruptStatus = true;
  const to = new StateWriter();
  first.pc.bus.saveState(to);
  const second = make();
  second.pc.lines[1] = true; // the interrupt controller's own state says so
  second.pc.bus.loadState(new StateReader(to.finish()));
  second.a.interruptStatus = false;
  t.false(second.pc.lines[1]);
});

test('saved state of a machine with other functions is refused', (t) => {
  const saved = new StateWriter();
  new TestPc().bus.saveState(saved);
  t.throws(() => busyPc().bus.loadState(new StateReader(saved.finish())), {
    message: /1 PCI functions, this machine has 4/,
  });
});

test('the configuration ports keep their address over saved state', (t) => {
  const pc = busyPc();
  pc.ports.write(0xcf8, 4, 0x80000800);
  pc.ports.write(0xcf9, 1, 2);
  const saved = new StateWriter();
  pc.configPorts.saveState(saved);
  const other = busyPc();
  other.configPorts.loadState(new StateReader(saved.finish()));
  t.is(other.ports.read(0xcfc, 4), 0x10451af4);
  t.is(other.ports.read(0xcf9, 1), 2);
  other.configPorts.reset();
  t.is(other.ports.read(0xcf8, 4), 0);
  t.is(other.ports.read(0xcf9, 1), 0);
});

test('little-endian words are written byte by byte', (t) => {
  const bytes = new Uint8Array(6);
  writeLittleEndian(bytes, 1, 4, 0x89abcdef);
  t.deepEqual([...bytes], [0, 0xef, 0xcd, 0xab, 0x89, 0]);
});
