import test from 'ava';
import fc from 'fast-check';
import { DEVICE_NEEDS_RESET } from '../device.ts';
import { VirtioPci } from '../pci.ts';
import { digest, type TestDriver, TestMachine, type TestQueue } from '../testing/driver.ts';
import {
  F_CTRL_MAC_ADDR,
  F_CTRL_RX,
  F_CTRL_VQ,
  F_MAC,
  F_MRG_RXBUF,
  F_MTU,
  F_STATUS,
  VirtioNet,
} from './net.ts';
import { EthernetSwitch } from './switch.ts';

const MAC = new Uint8Array([0x52, 0x54, 0, 0, 0, 1]);
const ALL = [F_MTU, F_MAC, F_STATUS, F_CTRL_VQ, F_CTRL_RX, F_CTRL_MAC_ADDR];
const HEADER = new Uint8Array(12);

interface Setup {
  machine: TestMachine;
  driver: TestDriver;
  net: VirtioNet;
  receive: TestQueue;
  transmit: TestQueue;
  control: TestQueue;
  /** Frames that the device sent, with their time. */
  sent: [Uint8Array, number][];
}

function setup(features: readonly number[] = ALL, memoryBytes = 1 << 20, mtu = 1500): Setup {
  const machine = new TestMachine(memoryBytes);
  const sent: [Uint8Array, number][] = [];
  const net = new VirtioNet(machine.environment, {
    name: 'net0',
    mac: MAC,
    mtu,
    connect: () => ({ send: (frame, time) => sent.push([frame, time]) }),
  });
  const driver = machine.plug(new VirtioPci(net.device, machine.pc.deliver));
  const [receive, transmit, control] = driver.start(features, features.includes(F_CTRL_VQ) ? 3 : 2);
  return { machine, driver, net, receive: receive!, transmit: transmit!, control: control!, sent };
}

/** A frame of `length` bytes to the given address, its payload counting up. */
function frameTo(mac: readonly number[] | Uint8Array, length = 60): Uint8Array {
  const bytes = Uint8Array.from({ length }, (_, i) => i);
  bytes.set(mac);
  bytes.set([2, 0, 0, 0, 0, 9], 6);
  return bytes;
}

/** Lets a frame arrive now. Gives what the driver finds in its receive queue. */
function arrive({ machine, net, receive }: Setup, frame: Uint8Array): Uint8Array[] {
  net.receive(frame, machine.time);
  machine.advance(0);
  return receive.takeUsed().map(({ data }) => data);
}

/** Sends a control command and gives the answer. */
function command({ control }: Setup, ...bytes: number[]): number {
  return control.exchange([new Uint8Array(bytes), 1])[0]!.data[0]!;
}

test('the configuration has address, link status and MTU', (t) => {
  const { driver } = setup();
  t.is(driver.readPci(2, 2), 0x1041);
  t.deepEqual(
    [0, 1, 2, 3, 4, 5].map((i) => driver.readConfig(i, 1)),
    [...MAC],
  );
  t.is(driver.readConfig(6, 2), 1);
  t.is(driver.readConfig(10, 2), 1500);
});

test('control features need the control queue', (t) => {
  const { driver } = setup();
  t.false(driver.negotiate([F_CTRL_RX]));
  t.false(driver.negotiate([F_CTRL_MAC_ADDR]));
  t.true(driver.negotiate([F_CTRL_VQ, F_CTRL_RX, F_CTRL_MAC_ADDR]));
});

test('a transmitted frame goes out without its header, at the time of service', (t) => {
  const s = setup();
  s.machine.advance(5000);
  const frame = frameTo([0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 100);
  const [used] = s.transmit.exchange([
    HEADER.subarray(0, 5),
    HEADER.subarray(5),
    frame.subarray(0, 20),
    frame.subarray(20),
  ]);
  t.is(used!.length, 0);
  t.deepEqual(s.sent, [[frame, s.machine.time]]);
  t.deepEqual([s.net.counters.framesSent, s.net.counters.bytesSent], [1, 100]);
});

test('frames that are too short or too long are not sent, nor any while the link is down', (t) => {
  const s = setup();
  for (const length of [0, 13, 1519])
    s.transmit.exchange([HEADER, frameTo(MAC, Math.max(length, 12)).subarray(0, length)]);
  s.transmit.exchange([HEADER, frameTo(MAC, 14)]);
  s.transmit.exchange([HEADER, frameTo(MAC, 1518)]);
  s.net.setLink(false);
  s.transmit.exchange([HEADER, frameTo(MAC)]);
  t.deepEqual(
    s.sent.map(([frame]) => frame.length),
    [14, 1518],
  );
  t.is(s.net.counters.sendsDropped, 4);
});

test('a frame arrives when it is due, behind a header that counts one buffer', (t) => {
  const s = setup();
  s.receive.add([1526]);
  s.receive.kick();
  const frame = frameTo(MAC, 61);
  s.net.receive(frame, 10_000);
  s.machine.advance(10_000 - s.machine.time - 1);
  t.deepEqual(s.receive.takeUsed(), []);
  s.driver.takeMessages();
  s.machine.advance(1);
  const [used] = s.receive.takeUsed();
  t.is(used!.length, 73);
  t.deepEqual([...used!.data.subarray(0, 12)], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
  t.deepEqual(used!.data.subarray(12), frame);
  t.deepEqual(s.driver.takeMessages(), [0x41]);
});

test('with MRG_RXBUF a frame is spread over as many buffers as it needs', (t) => {
  const s = setup([...ALL, F_MRG_RXBUF]);
  for (const room of [40, 30, 100, 100]) s.receive.add([room]);
  const frame = frameTo(MAC, 90);
  const parts = arrive(s, frame);
  t.deepEqual(
    parts.map(({ length }) => length),
    [40, 30, 32],
  );
  t.is(parts[0]![10], 3);
  t.deepEqual(Buffer.concat(parts).subarray(12), Buffer.from(frame));
});

test('the number of buffers has sixteen bits', (t) => {
  const s = setup([...ALL, F_MRG_RXBUF], 1 << 20, 9000);
  for (let i = 0; i < 256; i++) s.receive.add([12]);
  const parts = arrive(s, frameTo(MAC, 255 * 12));
  t.is(parts.length, 256);
  t.deepEqual([...parts[0]!.subarray(10)], [0, 1]);
});

test('a received header holds nothing of a transmitted one', (t) => {
  const s = setup();
  s.transmit.exchange([Uint8Array.of(0, 0, 54, 0, 1, 2, 3, 4, 5, 6, 7, 8), frameTo(MAC)]);
  s.receive.add([1526]);
  t.deepEqual([...arrive(s, frameTo(MAC))[0]!.subarray(0, 12)], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
  t.is(s.net.counters.bytesReceived, 60);
});

test('a frame that fits its buffers to the byte takes no more of them', (t) => {
  for (const features of [ALL, [...ALL, F_MRG_RXBUF]]) {
    const s = setup(features);
    s.receive.add([1530]);
    s.receive.add([1530]);
    t.deepEqual(
      arrive(s, frameTo(MAC, 1518)).map(({ length }) => length),
      [1530],
    );
  }
});

test('frames wait for buffers, in order, and none is taken for a frame that does not fit yet', (t) => {
  const s = setup([...ALL, F_MRG_RXBUF]);
  s.receive.add([50]);
  t.deepEqual(arrive(s, frameTo(MAC, 60)), []);
  t.deepEqual(arrive(s, frameTo(MAC, 20)), []);
  s.receive.exchange([40]);
  const parts = [...s.receive.exchange([200])].map(({ data }) => data);
  t.is(s.net.counters.framesReceived, 2);
  t.deepEqual(
    parts.map(({ length }) => length),
    [32],
  );
});

test('a frame due later is not lost when earlier ones are given late', (t) => {
  const s = setup();
  s.net.receive(frameTo(MAC), s.machine.time);
  s.machine.advance(10);
  s.net.receive(frameTo(MAC), s.machine.time + 5000);
  s.receive.add([1526]);
  s.receive.exchange([1526]);
  s.machine.advance(5000);
  t.is(s.net.counters.framesReceived, 2);
});

test('frames arrive in the order of their due time', (t) => {
  const s = setup();
  for (let i = 0; i < 3; i++) s.receive.add([1526]);
  const now = s.machine.time;
  for (const [length, due] of [
    [30, 300],
    [10 + 14, 100],
    [20, 200],
  ] as const) {
    s.net.receive(frameTo(MAC, length), now + due);
  }
  s.machine.advance(1000);
  t.deepEqual(
    s.receive.takeUsed().map(({ length }) => length - 12),
    [24, 20, 30],
  );
});

test('frames are dropped without a driver, while the link is down, beyond the waiting room, and beyond the MTU', (t) => {
  const s = setup();
  s.receive.add([1526]);
  s.net.setLink(false);
  t.is(s.driver.readConfig(6, 2), 0);
  arrive(s, frameTo(MAC));
  s.net.setLink(true);
  t.is(s.net.counters.receivesDropped, 1);
  arrive(s, frameTo(MAC, 1519));
  t.is(s.net.counters.receivesDropped, 2);
  s.driver.status = 0;
  arrive(s, frameTo(MAC));
  t.is(s.net.counters.receivesDropped, 3);
  for (let i = 0; i < 260; i++) s.net.receive(frameTo(MAC), s.machine.time + 1);
  t.is(s.net.counters.receivesDropped, 7);
});

test('a change of the link is notified', (t) => {
  const s = setup();
  s.driver.takeMessages();
  s.net.setLink(false);
  s.net.setLink(false);
  t.deepEqual(s.driver.takeMessages(), [0x40]);
  t.false(s.net.linkUp);
});

test('everything is received until the driver turns promiscuous mode off', (t) => {
  const s = setup();
  for (let i = 0; i < 20; i++) s.receive.add([1526]);
  const other = [2, 0, 0, 0, 0, 5];
  const group = [1, 0, 0x5e, 0, 0, 1];
  const receives = (mac: readonly number[] | Uint8Array): boolean => arrive(s, frameTo(mac)).length === 1;
  t.true(receives(other) && receives(group));
  t.is(command(s, 0, 0, 0), 0);
  t.true(receives(MAC) && receives([255, 255, 255, 255, 255, 255]));
  t.false(receives(other) || receives(group));
  t.is(s.net.counters.receivesFiltered, 2);
  t.is(command(s, 0, 1, 1), 0);
  t.true(receives(group));
  t.false(receives(other));
  t.is(command(s, 0, 1, 0), 0);
  t.is(command(s, 1, 0, 1, 0, 0, 0, ...other, 1, 0, 0, 0, ...group), 0);
  t.true(receives(other) && receives(group));
  t.false(receives([1, 0, 0x5e, 0, 0, 2]));
  const others = Array.from({ length: 256 }, (_, i) => [2, 0, 0, 0, 1, i]).flat();
  t.is(command(s, 1, 0, 0, 1, 0, 0, ...others, 0, 0, 0, 0), 0);
  t.true(receives([2, 0, 0, 0, 1, 255]));
  t.is(command(s, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
  t.false(receives(other) || receives(group));
});

test('the driver can change the address; a reset brings the first one back, and promiscuous mode', (t) => {
  const s = setup();
  command(s, 0, 0, 0);
  t.is(command(s, 1, 1, 2, 0, 0, 0, 0, 7), 0);
  t.is(s.driver.readConfig(5, 1), 7);
  s.receive.add([1526]);
  t.is(arrive(s, frameTo(MAC)).length, 0);
  t.is(arrive(s, frameTo([2, 0, 0, 0, 0, 7])).length, 1);
  s.driver.status = 0;
  t.is(s.driver.readConfig(5, 1), 1);
  const [receive] = s.driver.start(ALL, 3);
  receive!.add([1526]);
  arrive(s, frameTo([2, 0, 0, 0, 0, 99]));
  t.is(receive!.takeUsed().length, 1);
});

test('a reset forgets the tables and modes', (t) => {
  const s = setup();
  const group = [1, 0, 0x5e, 0, 0, 1];
  const other = [2, 0, 0, 0, 0, 5];
  command(s, 0, 1, 1);
  command(s, 1, 0, 1, 0, 0, 0, ...other, 0, 0, 0, 0);
  const [receive, , control] = s.driver.start(ALL, 3);
  Object.assign(s, { receive, control });
  command(s, 0, 0, 0);
  s.receive.add([1526]);
  t.deepEqual([...arrive(s, frameTo(group)), ...arrive(s, frameTo(other))], []);
  t.is(s.net.counters.receivesFiltered, 2);
});

test('unknown and ill-formed commands are answered with an error and change nothing', (t) => {
  const s = setup();
  for (const bytes of [
    [0, 0],
    [0, 0, 2],
    [0, 0, 0, 0],
    [0, 9, 0],
    [1, 1, 1, 2, 3, 4, 5],
    [1, 0],
    [1, 0, 1, 0, 0, 0, 1, 2, 3, 4, 5],
    [1, 0, 0, 0, 0, 0],
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [1, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
    [1, 7],
    [2, 0, 1, 0],
    [2, 1, 1, 2, 3, 4, 5, 6],
    [1, 0, 1, 1, 0, 0, ...new Array(257 * 6).fill(2), 0, 0, 0, 0],
    [4, 0, 1, 0],
    new Array(4000).fill(0),
  ]) {
    t.is(command(s, ...bytes), 1);
  }
  s.receive.add([1526]);
  t.is(arrive(s, frameTo([2, 0, 0, 0, 0, 5])).length, 1);
});

for (const [title, queue, elements, reason] of [
  ['a transmit buffer shorter than its header', 'transmit', [new Uint8Array(11)], /begin with a header/],
  ['a transmit buffer with a writable element', 'transmit', [HEADER, frameTo(MAC), 4], /readable only/],
  ['a checksum offload', 'transmit', [new Uint8Array([1, ...HEADER.subarray(1)]), frameTo(MAC)], /offload/],
  [
    'a segmentation offload',
    'transmit',
    [new Uint8Array([0, 1, ...HEADER.subarray(2)]), frameTo(MAC)],
    /offload/,
  ],
  ['a receive buffer with a readable element', 'receive', [HEADER, 1526], /writable only/],
  ['a receive buffer that is too small', 'receive', [71], /room for what it is to hold/],
  ['a command without an answer', 'control', [new Uint8Array(3)], /a writable one for the answer/],
  ['a command of one byte', 'control', [new Uint8Array(1), 1], /needs two readable bytes/],
] as const) {
  test(`${title} breaks the device`, (t) => {
    const s = setup();
    s[queue].exchange(elements);
    arrive(s, frameTo(MAC));
    t.is(s.driver.status & DEVICE_NEEDS_RESET, DEVICE_NEEDS_RESET);
    t.regex(s.net.device.reason, reason);
  });
}

test('an address of a group and an MTU out of range are refused', (t) => {
  const { environment } = new TestMachine();
  const make = (mac: Uint8Array, mtu: number) => (): unknown =>
    new VirtioNet(environment, { name: 'n', mac, mtu, connect: () => ({ send: () => {} }) });
  t.throws(make(new Uint8Array([1, 0, 0, 0, 0, 0]), 1500), { message: /must be six bytes that address one/ });
  t.throws(make(new Uint8Array(5), 1500), { message: /six bytes/ });
  t.throws(make(MAC, 67), { message: /MTU of 67/ });
  t.throws(make(MAC, 65536), { message: /MTU of 65536/ });
});

test('the smallest and the largest MTU are offered, and the address is there before any driver', (t) => {
  for (const mtu of [68, 65535]) {
    const net = new VirtioNet(new TestMachine().environment, {
      name: 'n',
      mac: MAC,
      mtu,
      connect: () => ({ send: () => {} }),
    });
    t.deepEqual([...net.config], [...MAC, 1, 0, 0, 0, mtu & 0xff, mtu >> 8]);
  }
});

test('two guests exchange frames through the switch, the delay apart', (t) => {
  const lan = new EthernetSwitch(50_000);
  const guests = [1, 2].map((n) => {
    const machine = new TestMachine();
    const net = new VirtioNet(machine.environment, {
      name: 'net0',
      mac: new Uint8Array([0x52, 0x54, 0, 0, 0, n]),
      mtu: 1500,
      connect: (receiver) => lan.connect(receiver),
    });
    const [receive, transmit] = machine
      .plug(new VirtioPci(net.device, machine.pc.deliver))
      .start([F_MAC, F_MRG_RXBUF], 2);
    receive!.add([2000]);
    return { machine, net, receive: receive!, transmit: transmit! };
  });
  const [a, b] = guests;
  const frame = frameTo([0x52, 0x54, 0, 0, 0, 2], 200);
  a!.transmit.exchange([HEADER, frame]);
  const sentAt = a!.machine.time;
  lan.exchange();
  b!.machine.advance(sentAt + 50_000 - b!.machine.time - 1);
  t.is(b!.receive.takeUsed().length, 0);
  b!.machine.advance(1);
  t.deepEqual(b!.receive.takeUsed()[0]!.data.subarray(12), frame);
  t.is(a!.net.counters.framesReceived, 0);
});

test('saved state continues with frames on their way and a filter set', (t) => {
  const begin = (): Setup => {
    const s = setup([...ALL, F_MRG_RXBUF]);
    command(s, 0, 0, 0);
    command(s, 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 5, 0, 0, 0, 0);
    for (let i = 0; i < 4; i++) s.receive.add([60]);
    return s;
  };
  const finish = (s: Setup): unknown => {
    s.machine.advance(20_000);
    return [s.receive.takeUsed(), s.net.counters, digest(s.machine.save())];
  };
  const first = begin();
  first.net.receive(frameTo([2, 0, 0, 0, 0, 5], 100), 9000);
  first.net.receive(frameTo([2, 0, 0, 0, 0, 6], 100), 9500);
  first.net.receive(frameTo(MAC, 80), 10_000);
  const state = first.machine.save();
  const second = begin();
  second.machine.load(state);
  t.is(digest(second.machine.save()), digest(state));
  t.deepEqual(finish(second), finish(first));
});

test('no traffic crashes the device', (t) => {
  const element = fc.oneof(fc.uint8Array({ maxLength: 100, size: 'max' }), fc.nat({ max: 1600 }));
  const step = fc.oneof(
    fc.record({
      queue: fc.constantFrom('receive' as const, 'transmit' as const, 'control' as const),
      elements: fc.array(element, { minLength: 1, maxLength: 4 }),
    }),
    fc.record({ bytes: fc.uint8Array({ maxLength: 24, size: 'max' }) }),
    fc.record({ length: fc.integer({ min: 14, max: 1600 }), due: fc.nat({ max: 3000 }) }),
  );
  fc.assert(
    fc.property(fc.boolean(), fc.array(step, { maxLength: 40, size: 'max' }), (merge, steps) => {
      const features = merge ? [...ALL, F_MRG_RXBUF] : ALL;
      const s = setup(features, 4 << 20);
      for (const each of steps) {
        if ((s.driver.status & DEVICE_NEEDS_RESET) !== 0) {
          const [receive, transmit, control] = s.driver.start(features, 3);
          Object.assign(s, { receive, transmit, control });
        }
        if ('elements' in each) {
          if (s[each.queue].room >= each.elements.length) s[each.queue].exchange(each.elements);
        } else if ('bytes' in each) s.control.exchange([each.bytes, 1]);
        else s.net.receive(frameTo(MAC, each.length), s.machine.time + each.due);
      }
      s.machine.advance(10_000);
      t.is(s.net.device.reason === '', (s.driver.status & DEVICE_NEEDS_RESET) === 0);
    }),
    { seed: 40, numRuns: 150 },
  );
});
