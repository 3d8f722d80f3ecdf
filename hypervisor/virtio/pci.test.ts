import test from 'ava';
import fc from 'fast-check';
import { type AccessExit, type AccessSize, MmioBus, PortBus } from '../platform/bus.ts';
import { PCI_GSIS, PciBus } from '../platform/pci/bus.ts';
import { StateWriter } from '../state/state.ts';
import {
  ACKNOWLEDGE,
  DEVICE_NEEDS_RESET,
  DRIVER,
  DRIVER_OK,
  F_EVENT_IDX,
  F_INDIRECT_DESC,
  F_RING_RESET,
  F_VERSION_1,
  FAILED,
  FEATURES_OK,
} from './device.ts';
import { VirtioPci } from './pci.ts';
import { digest, KICK_DELAY, type TestDriver, TestMachine } from './testing/driver.ts';
import { Echo } from './testing/echo.ts';

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);

function setup(): { machine: TestMachine; driver: TestDriver; echo: Echo } {
  const machine = new TestMachine();
  const echo = new Echo(machine.environment);
  return { machine, driver: machine.plug(new VirtioPci(echo.device, machine.pc.deliver)), echo };
}

test('the function is a modern virtio device with its five structures', (t) => {
  const { driver } = setup();
  t.is(driver.readPci(0, 4), ((0x1040 + 63) << 16) | 0x1af4);
  t.is(driver.readPci(8, 1), 1);
  t.is(driver.readPci(0x2e, 2), 0x40 + 63);
  t.is(driver.readPci(0x3d, 1), 1);
  t.is(driver.common.address % 4, 0);
  t.true(driver.common.length >= 0x3c);
  t.is(driver.config!.address % 4, 0);
  t.is(driver.config!.length, 8);
  t.true(driver.notify.length >= 4 * 1 + 2);
  t.true(driver.isr.length >= 1);
  t.true(driver.window > 0);
});

test('the device offers its features and the ring features, and nothing in further words', (t) => {
  const { driver } = setup();
  t.deepEqual(driver.offered(), [0, 5, F_INDIRECT_DESC, F_EVENT_IDX, F_VERSION_1, F_RING_RESET]);
});

test('FEATURES_OK stays clear for a feature not offered, without VERSION_1, or when features do not fit', (t) => {
  const { driver } = setup();
  t.true(driver.negotiate([0, 5]));
  t.false(driver.negotiate([0, 1]));
  t.false(driver.negotiate([5]));
  driver.status = 0;
  driver.status = ACKNOWLEDGE | DRIVER | FEATURES_OK;
  t.is(driver.status, ACKNOWLEDGE | DRIVER);
  driver.status = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
  t.is(driver.status, ACKNOWLEDGE | DRIVER, 'nor does DRIVER_OK come without it');
});

test('accepted features read back, and cannot change after FEATURES_OK', (t) => {
  const { driver } = setup();
  driver.negotiate([0, F_EVENT_IDX]);
  driver.writeCommon(0x08, 4, 0);
  t.is(driver.readCommon(0x0c, 4), (1 | (1 << F_EVENT_IDX)) >>> 0);
  driver.writeCommon(0x0c, 4, 0);
  t.is(driver.readCommon(0x0c, 4), (1 | (1 << F_EVENT_IDX)) >>> 0);
  driver.writeCommon(0x08, 4, 7);
  t.is(driver.readCommon(0x0c, 4), 0);
});

test('status bits are set by writing them and only a reset clears them', (t) => {
  const { driver } = setup();
  driver.status = ACKNOWLEDGE;
  driver.status = DRIVER;
  t.is(driver.status, ACKNOWLEDGE | DRIVER);
  driver.status = FAILED;
  t.is(driver.status, ACKNOWLEDGE | DRIVER | FAILED);
  driver.status = DEVICE_NEEDS_RESET;
  t.is(driver.status, ACKNOWLEDGE | DRIVER | FAILED, 'a driver cannot set DEVICE_NEEDS_RESET');
  driver.status = 0;
  t.is(driver.status, 0);
});

test('queue registers show the selected queue; a queue that does not exist has size 0', (t) => {
  const { driver } = setup();
  t.is(driver.readCommon(0x12, 2), 2);
  const sizes = [0, 1, 2, 0xffff].map((index) => {
    driver.writeCommon(0x16, 2, index);
    driver.writeCommon(0x20, 4, 0x1000 * (index + 1));
    return driver.readCommon(0x18, 2);
  });
  t.deepEqual(sizes, [8, 16, 0, 0]);
  driver.writeCommon(0x16, 2, 1);
  t.is(driver.readCommon(0x20, 4), 0x2000);
  t.is(driver.readCommon(0x1e, 2), 1);
});

test('an enabled queue cannot be moved or resized', (t) => {
  const { driver } = setup();
  driver.negotiate([]);
  const queue = driver.queue(0);
  driver.writeCommon(0x18, 2, 4);
  driver.writeCommon(0x20, 4, 0x40000);
  driver.writeCommon(0x1c, 2, 0);
  t.is(driver.readCommon(0x18, 2), 8);
  t.is(driver.readCommon(0x20, 4), queue.descriptors);
  t.is(driver.readCommon(0x1c, 2), 1);
});

for (const [title, field, size, value, reason] of [
  ['a size that is no power of two', 0x18, 2, 3, /size of 3/],
  ['size zero', 0x18, 2, 0, /size of 0/],
  ['a size beyond the maximum', 0x18, 2, 16, /size of 16/],
  ['an unaligned descriptor area', 0x20, 4, 0x1008, /descriptor area is not aligned to 16/],
  ['an unaligned driver area', 0x28, 4, 0x1001, /driver area is not aligned to 2/],
  ['an unaligned device area', 0x30, 4, 0x1002, /device area is not aligned to 4/],
  ['a device area beyond memory', 0x30, 4, 0xffffc, /device area at 0xffffc is not guest memory/],
  [
    'a descriptor area at a 64-bit address',
    0x24,
    4,
    0xffffffff,
    /descriptor area at 0x.* is not guest memory/,
  ],
] as const) {
  test(`${title} is refused when the queue is enabled`, (t) => {
    const { driver, echo } = setup();
    driver.negotiate([]);
    driver.writeCommon(field, size, value);
    driver.writeCommon(0x1c, 2, 1);
    t.is(driver.readCommon(0x1c, 2), 0);
    t.is(driver.status & DEVICE_NEEDS_RESET, DEVICE_NEEDS_RESET);
    t.regex(echo.device.reason, reason);
  });
}

test('a queue reset gives the queue back as new', (t) => {
  const { driver, echo } = setup();
  const [queue] = driver.start([F_RING_RESET], 2);
  queue!.exchange([bytes(1), 1]);
  driver.writeCommon(0x16, 2, 0);
  driver.writeCommon(0x3a, 2, 1);
  t.is(driver.readCommon(0x3a, 2), 0);
  t.is(driver.readCommon(0x1c, 2), 0);
  t.is(driver.readCommon(0x18, 2), 8);
  t.is(echo.log.at(-1), -1);
  t.is(driver.queue(0, 4).exchange([bytes(1), 1]).length, 1);
});

test('queue_reset does nothing when RING_RESET was not negotiated', (t) => {
  const { driver } = setup();
  driver.start([], 1);
  driver.writeCommon(0x16, 2, 0);
  driver.writeCommon(0x3a, 2, 1);
  t.is(driver.readCommon(0x1c, 2), 1);
});

test('a notification is served the kick delay later, not in the store', (t) => {
  const { driver, machine, echo } = setup();
  const [queue] = driver.start([], 2);
  echo.log.length = 0;
  queue!.add([bytes(1), 1]);
  queue!.kick();
  machine.advance(KICK_DELAY - 1);
  t.deepEqual(echo.log, []);
  machine.advance(1);
  t.deepEqual(echo.log, [0]);
  t.is(machine.timers.next, Number.POSITIVE_INFINITY, 'nothing else is due');
});

test('a notification is a signal to the kernel, every other access goes to user space', (t) => {
  const machine = new TestMachine();
  const pci = new VirtioPci(new Echo(machine.environment).device, machine.pc.deliver);
  t.is(pci.exitAt(0x3000, true), 'signal');
  t.is(pci.exitAt(0x3000, false), 'user');
  for (const write of [false, true])
    for (const at of [0, 0x1000, 0x2000, 0x2fff]) t.is(pci.exitAt(at, write), 'user');
  const { pciFunction } = pci;
  const exits: AccessExit[] = [];
  const mmio = new MmioBus((exit) => exits.push(exit));
  const bus = new PciBus(
    new PortBus(),
    mmio,
    Array.from({ length: PCI_GSIS }, () => () => {}),
  );
  bus.plug(3, pciFunction);
  bus.writeConfig(3, 0, 4, 2, 2);
  const bar = (bus.readConfig(3, 0, 0x10, 4) & ~0xf) >>> 0;
  mmio.write(bar + 0x3000, 2, 0);
  mmio.write(bar + 0x14, 1, 0);
  t.deepEqual(exits, ['signal', 'user']);
});

test('buffers and notifications before DRIVER_OK are served after it', (t) => {
  const { driver, machine } = setup();
  driver.negotiate([]);
  driver.enableMsix();
  const queue = driver.queue(0);
  queue.add([bytes(1), 1]);
  queue.kick();
  machine.advance(10 * KICK_DELAY);
  t.is(queue.takeUsed().length, 0);
  driver.status |= DRIVER_OK;
  machine.advance(KICK_DELAY);
  t.is(queue.takeUsed().length, 1);
});

test('buffers that were never notified are found when DRIVER_OK is set', (t) => {
  const { driver, machine } = setup();
  driver.negotiate([]);
  const queue = driver.queue(0);
  queue.add([bytes(1), 1]);
  driver.status |= DRIVER_OK;
  machine.advance(KICK_DELAY);
  t.is(queue.takeUsed().length, 1);
});

test('no queue is enabled before FEATURES_OK, nor one that does not exist', (t) => {
  const { driver } = setup();
  driver.status = ACKNOWLEDGE | DRIVER;
  driver.writeCommon(0x16, 2, 0);
  driver.writeCommon(0x1c, 2, 1);
  t.is(driver.readCommon(0x1c, 2), 0);
  driver.negotiate([]);
  driver.writeCommon(0x16, 2, 2);
  for (const field of [0x18, 0x1a, 0x1c, 0x3a]) driver.writeCommon(field, 2, 1);
  t.is(driver.readCommon(0x1c, 2), 0);
  t.is(driver.status & DEVICE_NEEDS_RESET, 0);
});

test('an enabled queue that is enabled again goes on where it was', (t) => {
  const { driver } = setup();
  const [queue] = driver.start([], 1);
  queue!.exchange([bytes(1), 1]);
  driver.writeCommon(0x1c, 2, 1);
  t.is(queue!.exchange([bytes(2), 1]).length, 1);
});

test('a kick delay of nothing is refused', (t) => {
  const { environment } = new TestMachine();
  t.throws(() => new Echo({ ...environment, kickDelay: 0 }), { message: /at least 1 ns/ });
  t.notThrows(() => new Echo({ ...environment, kickDelay: 1 }));
});

test('a device that is no bus master waits until it is', (t) => {
  const { driver, machine } = setup();
  const [queue] = driver.start([], 1);
  driver.writePci(4, 2, 2);
  t.is(queue!.exchange([bytes(1), 1]).length, 0);
  driver.writePci(4, 2, 6);
  machine.advance(KICK_DELAY);
  t.is(queue!.takeUsed().length, 1);
});

test('events mapped to no vector are silent, and a vector outside the table reads back as none', (t) => {
  const { driver } = setup();
  const [queue] = driver.start([], 1);
  driver.writeCommon(0x16, 2, 0);
  driver.writeCommon(0x1a, 2, 3);
  t.is(driver.readCommon(0x1a, 2), 0xffff);
  driver.writeCommon(0x10, 2, 3);
  t.is(driver.readCommon(0x10, 2), 0xffff);
  driver.takeMessages();
  queue!.exchange([bytes(1), 1]);
  queue!.offer(0xffff);
  queue!.exchange([bytes(1), 1]);
  t.is(driver.status & DEVICE_NEEDS_RESET, DEVICE_NEEDS_RESET);
  t.deepEqual(driver.takeMessages(), []);
});

test('without MSI-X the ISR status and INTA# tell of used buffers and configuration changes', (t) => {
  const { driver, machine, echo } = setup();
  const { lines, mmio } = machine.pc;
  const asserted = (): number[] => lines.flatMap((level, i) => (level ? [16 + i] : []));
  driver.negotiate([]);
  const queue = driver.queue(0);
  driver.status |= DRIVER_OK;
  queue.exchange([bytes(1), 1]);
  t.deepEqual(asserted(), [20], 'slot 4, INTA#');
  t.is(mmio.read(driver.isr.address, 1), 1);
  t.deepEqual(asserted(), []);
  t.is(mmio.read(driver.isr.address, 1), 0);
  echo.device.configChanged();
  t.deepEqual(asserted(), [20]);
  driver.writePci(driver.msix + 2, 2, 0x8000);
  t.deepEqual(asserted(), [], 'MSI-X takes INTx# away');
  driver.writePci(driver.msix + 2, 2, 0);
  t.is(mmio.read(driver.isr.address, 1), 2);
});

test('the configuration generation changes when changed configuration is read', (t) => {
  const { driver, echo } = setup();
  driver.start([], 1);
  driver.takeMessages();
  const generation = (): number => driver.readCommon(0x15, 1);
  const before = generation();
  echo.config[1] = 0x12;
  echo.device.configChanged();
  t.deepEqual(driver.takeMessages(), [0x40]);
  t.is(driver.readConfig(0, 2), 0x1200);
  t.is(generation(), before + 1);
  driver.readConfig(0, 4);
  t.is(generation(), before + 1);
});

test('configuration changes are not notified before DRIVER_OK', (t) => {
  const { driver, echo } = setup();
  driver.negotiate([]);
  driver.enableMsix();
  echo.device.configChanged();
  t.deepEqual(driver.takeMessages(), []);
});

test('device configuration answers every width within its bounds', (t) => {
  const { driver } = setup();
  driver.writeConfig(4, 4, 0x89abcdef);
  t.is(driver.readConfig(5, 2), 0xabcd);
  t.is(driver.readConfig(7, 1), 0x89);
  t.is(driver.readConfig(6, 4), 0);
  driver.writeConfig(6, 4, 0);
  t.is(driver.readConfig(4, 4), 0x89abcdef);
});

test('a field of the common configuration answers its own width only', (t) => {
  const { driver } = setup();
  t.is(driver.readCommon(0x12, 4), 0);
  t.is(driver.readCommon(0x12, 1), 0);
  driver.writeCommon(0x14, 4, ACKNOWLEDGE);
  t.is(driver.status, 0);
});

test('the window in configuration space reaches the registers of BAR 0', (t) => {
  const { driver, machine } = setup();
  const through = (offset: number, length: number): void => {
    driver.writePci(driver.window + 4, 1, 0);
    driver.writePci(driver.window + 8, 4, offset);
    driver.writePci(driver.window + 12, 4, length);
  };
  through(0x12, 2);
  t.is(driver.readPci(driver.window + 16, 2), 2);
  through(0x14, 1);
  driver.writePci(driver.window + 16, 1, ACKNOWLEDGE);
  t.is(driver.status, ACKNOWLEDGE);
  machine.pc.writeConfig(4, 4, 2, 0);
  t.is(driver.readPci(driver.window + 16, 1), ACKNOWLEDGE, 'also while the BAR is not decoded');
});

test('the window takes dwords, up to the end of the BAR', (t) => {
  const { driver } = setup();
  const at = (offset: number): void => {
    driver.writePci(driver.window + 4, 1, 0);
    driver.writePci(driver.window + 8, 4, offset);
    driver.writePci(driver.window + 12, 4, 4);
  };
  at(0x2004);
  driver.writePci(driver.window + 16, 4, 0x12345678);
  t.is(driver.readConfig(4, 4), 0x12345678);
  driver.writePci(driver.window + 16, 4, 0);
  at(0x3ffc);
  driver.writePci(driver.window + 16, 4, 0x55);
  t.is(driver.readPci(driver.window + 16, 4), 0);
  driver.writePci(driver.window + 3, 1, 0xff);
  driver.writePci(driver.window + 5, 1, 0xff);
  t.deepEqual([driver.readPci(driver.window + 3, 1), driver.readPci(driver.window + 5, 1)], [5, 0]);
});

test('only a word written to a queue notification register notifies', (t) => {
  const { driver, machine, echo } = setup();
  driver.start([], 2);
  echo.log.length = 0;
  const { mmio } = machine.pc;
  mmio.write(driver.notify.address, 4, 0);
  mmio.write(driver.notify.address, 1, 0);
  mmio.write(driver.notify.address + 2, 2, 0);
  mmio.write(driver.notify.address + 8, 2, 2);
  mmio.write(driver.notify.address + 0xffc, 2, 0x3ff);
  machine.advance(10 * KICK_DELAY);
  t.deepEqual(echo.log, []);
  mmio.write(driver.notify.address + 4, 2, 1);
  machine.advance(KICK_DELAY);
  t.deepEqual(echo.log, [1]);
});

test('the window ignores another BAR, a broken width, and an offset that is unaligned or beyond the BAR', (t) => {
  const { driver } = setup();
  for (const [bar, offset, length] of [
    [1, 0x14, 1],
    [0, 0x14, 3],
    [0, 0x14, 0],
    [0, 0x14, 0x80000001],
    [0, 0x4000, 1],
    [0, 0x13, 2],
  ] as const) {
    driver.writePci(driver.window + 4, 1, bar);
    driver.writePci(driver.window + 8, 4, offset);
    driver.writePci(driver.window + 12, 4, length);
    driver.writePci(driver.window + 16, 4, 0x01010101);
    t.is(driver.status, 0);
    t.is(driver.readPci(driver.window + 16, 4), 0x01010101);
  }
});

test('a reset leaves nothing behind: registers, rings and saved state are as at first', (t) => {
  const { driver, machine, echo } = setup();
  const state = (): string => {
    const to = new StateWriter();
    driver.device.saveState(to);
    return digest(to.finish());
  };
  const first = state();
  driver.negotiate([0, F_EVENT_IDX, F_INDIRECT_DESC]);
  const queue = driver.queue(1);
  driver.status |= DRIVER_OK;
  driver.writeCommon(0x10, 2, 1);
  queue.exchange([bytes(1), 1]);
  echo.device.configChanged();
  driver.readConfig(0, 1);
  t.true(machine.pc.lines[4]);
  queue.kick();
  driver.writeCommon(0x00, 4, 1);
  driver.status = 0;
  t.false(machine.pc.lines[4]);
  t.is(machine.timers.next, Number.POSITIVE_INFINITY);
  t.deepEqual(
    [driver.readCommon(0x00, 4), driver.readCommon(0x08, 4), driver.readCommon(0x16, 2)],
    [0, 0, 0],
  );
  t.is(driver.readCommon(0x10, 2), 0xffff);
  driver.writeCommon(0x16, 2, 1);
  t.is(driver.readCommon(0x1a, 2), 0xffff);
  driver.writeCommon(0x16, 2, 0);
  t.is(driver.readCommon(0x15, 1), 1, 'but the configuration generation goes on');
  for (let i = 0; i < 255; i++) {
    echo.device.configChanged();
    driver.readConfig(0, 1);
  }
  t.is(state(), first);
});

test('vectors are mapped and read back', (t) => {
  const { driver } = setup();
  driver.writeCommon(0x10, 2, 2);
  driver.writeCommon(0x16, 2, 1);
  driver.writeCommon(0x1a, 2, 0);
  t.deepEqual([driver.readCommon(0x10, 2), driver.readCommon(0x1a, 2)], [2, 0]);
});

test('an error that is not the driver’s is not hidden', (t) => {
  const { driver, machine, echo } = setup();
  const [queue] = driver.start([], 1);
  echo.process = () => {
    throw new TypeError('a mistake of ours');
  };
  queue!.kick();
  t.throws(() => machine.advance(KICK_DELAY), { message: 'a mistake of ours' });
});

test('a message held back while the device is no bus master is sent when it is', (t) => {
  const { driver, echo } = setup();
  driver.start([], 1);
  driver.takeMessages();
  driver.writePci(4, 2, 2);
  echo.device.configChanged();
  t.deepEqual(driver.takeMessages(), []);
  driver.writePci(4, 2, 6);
  t.deepEqual(driver.takeMessages(), [0x40]);
});

test('a platform reset resets the device', (t) => {
  const { driver, machine, echo } = setup();
  const [queue] = driver.start([], 1);
  queue!.kick();
  const table = machine.pc.bar(4, 1);
  machine.pc.bus.reset();
  t.is(echo.log.at(-1), 'reset');
  t.is(machine.pc.mmio.read(table + 12, 4), 1, 'vectors are masked');
  t.is(driver.readCommon(0x10, 2), 0xffff);
  t.is(machine.timers.next, Number.POSITIVE_INFINITY);
  driver.writePci(4, 2, 6);
  t.is(driver.status, 0);
  t.is(driver.start([], 1)[0]!.exchange([bytes(1), 1]).length, 1);
});

const access = fc.record({
  space: fc.constantFrom('common', 'bar', 'pci', 'msix', 'time'),
  offset: fc.oneof(fc.nat({ max: 0x3f }), fc.nat({ max: 0x3fff })),
  size: fc.constantFrom<AccessSize>(1, 2, 4),
  value: fc.oneof(
    fc.constantFrom(0, 1, 2, 3, 4, 8, 11, 15, 0x1000, 0x2000, 0x8000, 0xffff, 0xffffffff),
    fc.integer({ min: 0, max: 0xffffffff }),
  ),
});

test('no register access crashes the device or hangs it, and saved state gives equal behaviour', (t) => {
  type Access = typeof access extends fc.Arbitrary<infer T> ? T : never;
  const apply = (machine: TestMachine, bar: number, msix: number, accesses: Access[]): number[] => {
    const seen: number[] = [];
    for (const { space, offset, size, value } of accesses) {
      if (space === 'time') machine.advance(KICK_DELAY);
      else if (space === 'pci') machine.pc.writeConfig(4, offset & 0xff, size, value);
      else {
        const at =
          space === 'msix' ? msix + (offset & 0xfff) : bar + (space === 'common' ? offset & 0x3f : offset);
        machine.pc.mmio.write(at, size, value);
        seen.push(machine.pc.mmio.read(at, size));
      }
    }
    return seen;
  };
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.array(access, { maxLength: 50, size: 'max' }),
      fc.array(access, { maxLength: 20, size: 'max' }),
      (started, before, after) => {
        const first = setup();
        if (started) first.driver.start([F_EVENT_IDX, F_RING_RESET, F_INDIRECT_DESC], 2);
        const bar = first.machine.pc.bar(4, 0);
        const msix = first.machine.pc.bar(4, 1);
        apply(first.machine, bar, msix, before);
        const state = first.machine.save();
        const second = setup();
        second.machine.load(state);
        t.is(digest(second.machine.save()), digest(state));
        t.deepEqual(apply(second.machine, bar, msix, after), apply(first.machine, bar, msix, after));
        t.is(digest(second.machine.save()), digest(first.machine.save()));
      },
    ),
    { seed: 31, numRuns: 300 },
  );
});
