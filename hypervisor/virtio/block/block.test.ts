import test from 'ava';
import fc from 'fast-check';
import { DEVICE_NEEDS_RESET, F_RING_RESET } from '../device.ts';
import { VirtioPci } from '../pci.ts';
import { TestDisk } from '../testing/disk.ts';
import {
  digest,
  type Element,
  KICK_DELAY,
  type TestDriver,
  TestMachine,
  type TestQueue,
} from '../testing/driver.ts';
import { F_DISCARD, F_RO, F_WRITE_ZEROES, VirtioBlock } from './block.ts';

const OK = 0;
const IOERR = 1;
const UNSUPP = 2;
const SECTORS = 64;

interface Setup {
  machine: TestMachine;
  driver: TestDriver;
  block: VirtioBlock;
  queue: TestQueue;
  disk: TestDisk;
}

function setup(latency = 0, disk = new TestDisk(SECTORS), memoryBytes = 1 << 20): Setup {
  const machine = new TestMachine(memoryBytes);
  const block = new VirtioBlock(machine.environment, {
    name: 'disk0',
    backend: disk,
    serial: 'PAGEFOLD-0001',
    latency,
  });
  const driver = machine.plug(new VirtioPci(block.device, machine.pc.deliver));
  const [queue] = driver.start([F_RING_RESET], 1);
  return { machine, driver, block, queue: queue!, disk };
}

function header(type: number, sector = 0n): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setBigUint64(8, sector, true);
  return bytes;
}

function ranges(...segments: [sector: bigint, count: number, flags: number][]): Uint8Array {
  const bytes = new Uint8Array(16 * segments.length);
  segments.forEach(([sector, count, flags], i) => {
    const view = new DataView(bytes.buffer, 16 * i);
    view.setBigUint64(0, sector, true);
    view.setUint32(8, count, true);
    view.setUint32(12, flags, true);
  });
  return bytes;
}

/** Sends one request that has nothing but a status byte to write, and gives the status. */
function status({ queue }: Setup, ...elements: Uint8Array[]): number {
  return queue.exchange([...elements, 1])[0]!.data[0]!;
}

test('the configuration tells capacity, limits and block size', (t) => {
  const { driver } = setup();
  t.is(driver.readPci(2, 2), 0x1042);
  t.is(driver.readConfig(0, 4), SECTORS);
  t.is(driver.readConfig(4, 4), 0);
  t.is(driver.readConfig(8, 4), 65536);
  t.is(driver.readConfig(12, 4), 126);
  t.is(driver.readConfig(20, 4), 512);
  t.deepEqual(
    [36, 40, 44, 48, 52].map((offset) => driver.readConfig(offset, 4)),
    [32768, 16, 1, 32768, 16],
  );
  t.is(driver.readConfig(56, 1), 1);
});

test('a read fills the data over its elements and puts the status behind', (t) => {
  const { queue, block } = setup();
  const [used] = queue.exchange([header(0, 3n).subarray(0, 7), header(0, 3n).subarray(7), 100, 924, 1]);
  t.is(used!.length, 1025);
  t.deepEqual(
    [used!.data[0], used!.data[511], used!.data[512], used!.data[1023], used!.data[1024]],
    [3, 3, 4, 4, OK],
  );
  t.deepEqual([block.counters.reads, block.counters.sectorsRead], [1, 2]);
});

test('the status can share an element with the data', (t) => {
  const { queue } = setup();
  const [used] = queue.exchange([header(0, 63n), 513]);
  t.deepEqual([used!.data[0], used!.data[511], used!.data[512]], [63, 63, OK]);
});

test('a write goes to the disk', (t) => {
  const s = setup();
  t.is(status(s, header(1, 10n), new Uint8Array(700).fill(0xaa), new Uint8Array(324).fill(0xbb)), OK);
  t.deepEqual([s.disk.sector(10)[0], s.disk.sector(11)[187], s.disk.sector(11)[188]], [0xaa, 0xaa, 0xbb]);
  t.is(s.disk.sector(12)[0], 12);
  t.deepEqual([s.block.counters.writes, s.block.counters.sectorsWritten], [1, 2]);
});

test('transfers longer than the copy buffer are whole', (t) => {
  const disk = new TestDisk(512);
  const s = setup(0, disk);
  const data = Uint8Array.from({ length: 200 * 512 }, (_, i) => i * 7 + (i >> 9));
  t.is(status(s, header(1, 100n), data), OK);
  const [used] = s.queue.exchange([header(0, 100n), data.length, 1]);
  t.is(digest(used!.data.subarray(0, data.length)), digest(data));
  t.is(disk.sector(300)[0], 300 & 0xff);
});

test('a flush reaches the disk, and the device gives its serial number', (t) => {
  const s = setup();
  t.is(status(s, header(4)), OK);
  t.is(s.disk.flushes, 1);
  t.is(s.block.counters.flushes, 1);
  const [used] = s.queue.exchange([header(8), 20, 1]);
  t.is(Buffer.from(used!.data).toString('latin1'), `PAGEFOLD-0001${'\0'.repeat(8)}`);
});

test('write zeroes and discards make ranges read as zeros', (t) => {
  const s = setup();
  t.is(status(s, header(13), ranges([5n, 2, 0], [9n, 1, 1])), OK);
  t.is(status(s, header(11), ranges([20n, 1, 0])), OK);
  t.deepEqual(
    [4, 5, 6, 7, 9, 10, 20].map((sector) => s.disk.sector(sector)[100]),
    [4, 0, 0, 7, 0, 10, 0],
  );
  t.deepEqual([s.block.counters.writeZeroes, s.block.counters.discards], [1, 1]);
});

test('a read-only disk says so, offers no discards, and refuses every change', (t) => {
  const s = setup(0, new TestDisk(SECTORS, true));
  const offered = s.driver.offered();
  t.true(offered.includes(F_RO));
  t.false(offered.includes(F_DISCARD) || offered.includes(F_WRITE_ZEROES));
  t.is(status(s, header(1, 0n), new Uint8Array(512)), IOERR);
  t.is(status(s, header(13), ranges([0n, 1, 0])), IOERR);
  t.is(status(s, header(11), ranges([0n, 1, 0])), IOERR);
  t.is(status(s, header(4)), OK);
  t.is(s.disk.sector(0)[0], 0);
  t.deepEqual(
    [36, 40, 44, 48, 52, 56].map((offset) => s.driver.readConfig(offset, 4)),
    [0, 0, 0, 0, 0, 0],
  );
});

for (const [title, expected, elements] of [
  ['a write beyond the end', IOERR, [header(1, 63n), new Uint8Array(1024)]],
  ['a write of half a sector', IOERR, [header(1, 0n), new Uint8Array(256)]],
  ['a write at a sector above 2^63', IOERR, [header(1, 0xffffffffffffffffn), new Uint8Array(512)]],
  ['a range beyond the end', IOERR, [header(13), ranges([60n, 5, 0])]],
  ['a range above 2^63', IOERR, [header(13), ranges([0xffffffffffffffffn, 1, 0])]],
  ['a range of more sectors than allowed', IOERR, [header(11), ranges([0n, 32769, 0])]],
  ['half a range', IOERR, [header(11), new Uint8Array(24)]],
  [
    'more ranges than allowed',
    IOERR,
    [header(13), ranges(...Array.from({ length: 17 }, (): [bigint, number, number] => [0n, 1, 0]))],
  ],
  ['an unknown flag', UNSUPP, [header(13), ranges([0n, 1, 2])]],
  ['unmap in a discard', UNSUPP, [header(11), ranges([0n, 1, 1])]],
  ['an unknown type', UNSUPP, [header(0x80000001)]],
] as const) {
  test(`${title} fails with status ${expected} and changes nothing`, (t) => {
    const s = setup();
    const before = digest(s.disk.bytes);
    t.is(status(s, ...elements), expected);
    t.is(digest(s.disk.bytes), before);
    t.is(s.block.counters.errors, 1);
    t.is(s.block.device.reason, '');
  });
}

test('a read beyond the end fails, and the status is where it belongs', (t) => {
  const { queue, machine } = setup();
  const data = machine.memory.allocate(1024 + 1);
  machine.memory.at(data, 1025).fill(0x55);
  const at = machine.memory.allocate(16);
  machine.memory.write(at, header(0, 63n));
  queue.addPlaced([
    { address: at, length: 16, writable: false },
    { address: data, length: 1025, writable: true },
  ]);
  queue.kick();
  machine.advance(KICK_DELAY);
  t.deepEqual([machine.memory.bytes[data], machine.memory.bytes[data + 1023]], [0x55, 0x55]);
  t.is(machine.memory.bytes[data + 1024], IOERR);
});

test('a read of SEG_MAX segments of SIZE_MAX is carried out', (t) => {
  const s = setup(0, new TestDisk(20000), 32 << 20);
  const at = s.machine.memory.allocate(16);
  s.machine.memory.write(at, header(0, 1n));
  s.queue.addPlaced([
    { address: at, length: 16, writable: false },
    { address: 0x100000, length: 126 * 65536 + 1, writable: true },
  ]);
  s.queue.kick();
  s.machine.advance(KICK_DELAY);
  t.deepEqual([s.machine.memory.bytes[0x100000], s.machine.memory.bytes[0x100000 + 126 * 65536]], [1, OK]);
});

test('a read longer than SEG_MAX segments of SIZE_MAX fails', (t) => {
  const s = setup(0, new TestDisk(20000), 32 << 20);
  const at = s.machine.memory.allocate(16);
  s.machine.memory.write(at, header(0));
  s.queue.addPlaced([
    { address: at, length: 16, writable: false },
    { address: 0x100000, length: 126 * 65536 + 513, writable: true },
  ]);
  s.queue.kick();
  s.machine.advance(KICK_DELAY);
  t.is(s.machine.memory.bytes[0x100000 + 126 * 65536 + 512], IOERR);
});

test('a request without a whole header or without a status byte breaks the device', (t) => {
  for (const elements of [[new Uint8Array(15), 1], [header(4)]] as Element[][]) {
    const s = setup();
    s.queue.exchange(elements);
    t.is(s.driver.status & DEVICE_NEEDS_RESET, DEVICE_NEEDS_RESET);
    t.regex(s.block.device.reason, /^disk0: a request needs a header/);
  }
});

test('a request is carried out and completed its latency after it was taken', (t) => {
  const s = setup(50_000);
  s.queue.add([header(1, 1n), new Uint8Array(512), 1]);
  s.queue.kick();
  s.machine.advance(10_000);
  s.queue.add([header(0, 1n), 512, 1]);
  s.queue.kick();
  s.driver.takeMessages();
  s.machine.advance(40_000 + KICK_DELAY - 1);
  t.is(s.disk.sector(1)[0], 1);
  s.machine.advance(1);
  t.is(s.disk.sector(1)[0], 0);
  t.is(s.queue.takeUsed().length, 1);
  t.deepEqual(s.driver.takeMessages(), [0x41]);
  s.machine.advance(10_000);
  t.is(s.queue.takeUsed()[0]!.data[0], 0);
  t.is(s.machine.timers.next, Number.POSITIVE_INFINITY);
});

test('a request that is due while the device is no bus master is completed when it is one again', (t) => {
  const s = setup(50_000);
  s.queue.add([header(4), 1]);
  s.queue.kick();
  s.machine.advance(KICK_DELAY);
  s.driver.writePci(4, 2, 2);
  s.machine.advance(100_000);
  t.is(s.queue.takeUsed().length, 0);
  s.driver.writePci(4, 2, 6);
  s.machine.advance(KICK_DELAY);
  t.is(s.queue.takeUsed().length, 1);
});

test('a reset of the queue or the device forgets the requests in flight', (t) => {
  const s = setup(50_000);
  s.queue.exchange([header(1, 1n), new Uint8Array(512), 1]);
  s.driver.writeCommon(0x16, 2, 0);
  s.driver.writeCommon(0x3a, 2, 1);
  t.is(s.machine.timers.next, Number.POSITIVE_INFINITY);
  const again = s.driver.queue(0);
  again.exchange([header(1, 1n), new Uint8Array(512), 1]);
  s.driver.status = 0;
  s.machine.advance(100_000);
  t.is(s.disk.sector(1)[0], 1);
});

test('one buffer offered again and again cannot pile up requests', (t) => {
  const s = setup(1e9);
  const head = s.queue.add([header(4), 1]);
  for (let i = 0; i < 200; i++) {
    s.queue.offer(head);
    s.queue.kick();
    s.machine.advance(KICK_DELAY);
  }
  t.regex(s.block.device.reason, /more requests are in flight than the queue holds/);
});

test('descriptors that the driver breaks while their request is in flight break the device', (t) => {
  const s = setup(50_000);
  const head = s.queue.add([header(0, 1n), 512, 1]);
  s.queue.kick();
  s.machine.advance(KICK_DELAY);
  s.queue.describe(s.queue.descriptors + 16 * head, 0xffffffff, 16, 0, 0);
  s.machine.advance(50_000);
  t.regex(s.block.device.reason, /not guest memory/);
});

test('a serial number that does not fit is refused', (t) => {
  const { environment } = new TestMachine();
  for (const serial of ['x'.repeat(21), 'größer']) {
    t.throws(
      () => new VirtioBlock(environment, { name: 'd', backend: new TestDisk(1), serial, latency: 0 }),
      {
        message: /at most 20 printable ASCII/,
      },
    );
  }
});

test('saved state continues with requests in flight', (t) => {
  const begin = (): Setup => {
    const s = setup(50_000);
    s.queue.add([header(1, 1n), new Uint8Array(512).fill(9), 1]);
    s.queue.add([header(0, 1n), 512, 1]);
    return s;
  };
  const finish = (s: Setup): unknown => {
    s.machine.advance(200_000);
    return [s.queue.takeUsed(), s.block.counters, digest(s.machine.save())];
  };
  const first = begin();
  first.queue.kick();
  first.machine.advance(20_000);
  const state = first.machine.save();
  const second = begin();
  second.machine.load(state);
  t.is(digest(second.machine.save()), digest(state));
  t.deepEqual(finish(second), finish(first));
});

test('no request crashes the device or reaches beyond the disk', (t) => {
  const word = fc.oneof(fc.nat({ max: 80 }), fc.constantFrom(0xffffffff, 0x80000000, 32768, 32769));
  const request = fc.record({
    type: fc.oneof(fc.constantFrom(0, 1, 4, 8, 11, 13), word),
    sector: fc.oneof(fc.bigInt({ min: 0n, max: 70n }), fc.bigInt({ min: 0n, max: 0xffffffffffffffffn })),
    cut: fc.nat({ max: 20 }),
    data: fc.array(fc.tuple(fc.bigInt({ min: 0n, max: 70n }), word, fc.nat({ max: 3 })), {
      maxLength: 18,
      size: 'max',
    }),
    bytes: fc.constantFrom(0, 1, 511, 512, 1024, 40960),
    room: fc.constantFrom(0, 1, 2, 20, 512, 513, 1025),
  });
  fc.assert(
    fc.property(
      fc.array(request, { maxLength: 12, size: 'max' }),
      fc.constantFrom(0, 3 * KICK_DELAY),
      (requests, latency) => {
        const s = setup(latency, new TestDisk(SECTORS), 4 << 20);
        for (const { type, sector, cut, data, bytes, room } of requests) {
          s.queue.add([
            header(type, sector).subarray(0, 36 - cut),
            ranges(...data),
            new Uint8Array(bytes),
            room,
          ]);
          s.queue.kick();
          s.machine.advance(KICK_DELAY);
        }
        s.machine.advance(10 * KICK_DELAY);
        if (s.block.device.reason === '') {
          s.queue.takeUsed();
          t.is(s.queue.room, 128, 'every request is given back');
        }
      },
    ),
    { seed: 35, numRuns: 200 },
  );
});
