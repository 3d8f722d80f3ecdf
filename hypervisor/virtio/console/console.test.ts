import test from 'ava';
import fc from 'fast-check';
import { DEVICE_NEEDS_RESET } from '../device.ts';
import { VirtioPci } from '../pci.ts';
import { digest, KICK_DELAY, type TestDriver, TestMachine, type TestQueue } from '../testing/driver.ts';
import { ByteQueue } from './bytequeue.ts';
import { VirtioConsole } from './console.ts';

const F_SIZE = 0;
const F_MULTIPORT = 1;

interface Setup {
  machine: TestMachine;
  driver: TestDriver;
  console: VirtioConsole;
  queues: TestQueue[];
  /** What the host's ends saw, as "port text" or "port open/closed". */
  events: string[];
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const bytes = (string: string): Uint8Array => new Uint8Array(Buffer.from(string, 'latin1'));

/** A console with two named ports, its driver started with `features`. */
function setup(features: readonly number[] = [F_SIZE, F_MULTIPORT], memoryBytes = 1 << 20): Setup {
  const machine = new TestMachine(memoryBytes);
  const events: string[] = [];
  const names = [undefined, 'org.pagefold.exec', 'log'];
  const console = new VirtioConsole(machine.environment, {
    name: 'console0',
    ports: names.map((name, port) => ({
      ...(name === undefined ? {} : { name }),
      onOutput: (output) => events.push(`${port} ${text(output)}`),
      onGuestOpen: (open) => events.push(`${port} ${open ? 'open' : 'closed'}`),
    })),
    columns: 80,
    rows: 25,
  });
  const driver = machine.plug(new VirtioPci(console.device, machine.pc.deliver));
  const queues = driver.start(features, features.includes(F_MULTIPORT) ? 8 : 2);
  return { machine, driver, console, queues, events };
}

/** Sends a control message as the driver. */
function tell({ machine, queues }: Setup, port: number, event: number, value: number): void {
  const message = new Uint8Array(8);
  const view = new DataView(message.buffer);
  view.setUint32(0, port, true);
  view.setUint16(4, event, true);
  view.setUint16(6, value, true);
  queues[3]!.add([message]);
  queues[3]!.kick();
  machine.advance(KICK_DELAY);
  queues[3]!.takeUsed();
}

/** Control messages that the device sent, as [port, event, value, appended text]. */
function heard({ queues }: Setup): [number, number, number, string][] {
  return queues[2]!.takeUsed().map(({ data }) => {
    const view = new DataView(data.buffer, data.byteOffset);
    return [
      view.getUint32(0, true),
      view.getUint16(4, true),
      view.getUint16(6, true),
      text(data.subarray(8)),
    ];
  });
}

/** Goes through the start of a driver for all ports; the guest then has port 0 open. */
function bringUp(s: Setup): [number, number, number, string][] {
  for (let i = 0; i < 20; i++) s.queues[2]!.add([32]);
  s.queues[2]!.kick();
  tell(s, 0, 0, 1);
  for (let port = 0; port < 3; port++) tell(s, port, 3, 1);
  tell(s, 0, 6, 1);
  return heard(s);
}

test('the device is a console with a pair of queues for each port and one for control', (t) => {
  const { driver } = setup();
  t.is(driver.readPci(2, 2), 0x1043);
  t.is(driver.readCommon(0x12, 2), 8);
  const sizes = Array.from({ length: 8 }, (_, queue) => {
    driver.writeCommon(0x16, 2, queue);
    return driver.readCommon(0x18, 2);
  });
  t.deepEqual(sizes, [64, 64, 32, 32, 64, 64, 64, 64]);
  t.is(driver.readConfig(0, 2), 80);
  t.is(driver.readConfig(2, 2), 25);
  t.is(driver.readConfig(4, 4), 3);
  t.deepEqual(driver.offered().slice(0, 2), [F_SIZE, F_MULTIPORT]);
});

test('without multiport the console works on its two queues', (t) => {
  const s = setup([]);
  t.is(s.queues[1]!.exchange([bytes('hello '), bytes('world')]).length, 1);
  t.deepEqual(s.events, ['0 hello world']);
  s.console.input(0, bytes('ls\n'));
  s.queues[0]!.exchange([2]);
  s.queues[0]!.add([2]);
  s.queues[0]!.kick();
  s.machine.advance(KICK_DELAY);
  t.deepEqual(
    s.queues[0]!.takeUsed().map(({ data }) => text(data)),
    ['\n'],
  );
  t.is(s.console.counters.bytesFromGuest, 11);
  t.is(s.console.counters.bytesToGuest, 3);
});

test('the driver is told of its ports: console and size, names, and which ends are open', (t) => {
  const s = setup();
  s.console.setOpen(1, true);
  t.deepEqual(bringUp(s), [
    [0, 1, 0, ''],
    [1, 1, 0, ''],
    [2, 1, 0, ''],
    [0, 4, 1, ''],
    [0, 5, 0, '\x19\0\x50\0'],
    [0, 6, 1, ''],
    [1, 7, 0, 'org.pagefold.exec'],
    [1, 6, 1, ''],
    [2, 7, 0, 'log'],
  ]);
  t.deepEqual(s.events, ['0 open']);
  t.deepEqual([s.console.counters.controlFromGuest, s.console.counters.controlToGuest], [5, 9]);
  t.is(s.queues[3]!.room, 32, 'every message of the driver is given back');
});

test('messages that only the device sends, and unknown ones, mean nothing from the driver', (t) => {
  const s = setup();
  bringUp(s);
  for (const event of [1, 2, 4, 5, 7, 8]) {
    tell(s, 1, event, 1);
    tell(s, 99, event, 1);
  }
  t.deepEqual([s.console.device.reason, s.console.guestOpen(1)], ['', false]);
});

test('messages that wait are not for the next driver', (t) => {
  const s = setup();
  tell(s, 0, 0, 1);
  s.driver.status = 0;
  s.queues = s.driver.start([F_MULTIPORT], 8);
  s.queues[2]!.exchange([32]);
  t.deepEqual(heard(s), []);
});

test('control messages wait for buffers', (t) => {
  const s = setup();
  tell(s, 0, 0, 1);
  t.deepEqual(heard(s), []);
  for (let i = 0; i < 2; i++) s.queues[2]!.add([16]);
  s.queues[2]!.kick();
  s.machine.advance(KICK_DELAY);
  t.is(heard(s).length, 2);
  s.queues[2]!.add([16]);
  s.queues[2]!.kick();
  s.machine.advance(KICK_DELAY);
  t.deepEqual(heard(s), [[2, 1, 0, '']]);
});

test('a port is announced and described once, however often the driver says that it is ready', (t) => {
  const s = setup();
  bringUp(s);
  tell(s, 0, 0, 1);
  tell(s, 1, 3, 1);
  t.deepEqual(heard(s), []);
});

test('a named port carries bytes both ways once the guest has opened it', (t) => {
  const s = setup();
  s.console.setOpen(1, true);
  bringUp(s);
  s.console.input(1, bytes('request'));
  s.queues[4]!.exchange([100]);
  t.is(s.console.waitingInput(1), 7, 'the guest has not opened the port');
  tell(s, 1, 6, 1);
  t.true(s.console.guestOpen(1));
  s.machine.advance(KICK_DELAY);
  t.deepEqual(
    s.queues[4]!.takeUsed().map(({ data }) => text(data)),
    ['request'],
  );
  s.queues[5]!.exchange([bytes('reply')]);
  tell(s, 1, 6, 0);
  t.deepEqual(s.events, ['0 open', '1 open', '1 reply', '1 closed']);
});

test('input waits for buffers and fills them in order', (t) => {
  const s = setup();
  bringUp(s);
  s.console.input(0, bytes('abcdef'));
  s.console.input(0, bytes('ghij'));
  s.machine.advance(KICK_DELAY);
  t.is(s.console.waitingInput(0), 10);
  s.queues[0]!.add([4]);
  s.queues[0]!.add([1, 2]);
  s.queues[0]!.kick();
  s.machine.advance(KICK_DELAY);
  t.deepEqual(
    s.queues[0]!.takeUsed().map(({ data }) => text(data)),
    ['abcd', 'efg'],
  );
  t.is(s.console.waitingInput(0), 3);
});

test('what the host does reaches the guest a kick delay later', (t) => {
  const s = setup();
  bringUp(s);
  s.queues[0]!.add([4]);
  s.queues[0]!.kick();
  s.machine.advance(KICK_DELAY);
  s.console.input(0, bytes('x'));
  s.machine.advance(KICK_DELAY - 1);
  t.is(s.queues[0]!.takeUsed().length, 0);
  s.machine.advance(1);
  t.is(s.queues[0]!.takeUsed().length, 1);
});

test('opening and closing the host end is told, and output to a closed end is dropped', (t) => {
  const s = setup();
  bringUp(s);
  s.queues[5]!.exchange([bytes('lost')]);
  t.is(s.console.counters.bytesDropped, 4);
  s.console.setOpen(1, true);
  s.console.setOpen(1, true);
  s.console.setOpen(2, true);
  s.console.setOpen(2, false);
  s.machine.advance(KICK_DELAY);
  t.deepEqual(heard(s), [
    [1, 6, 1, ''],
    [2, 6, 1, ''],
    [2, 6, 0, ''],
  ]);
});

test('a resize changes the configuration and is told to the console port', (t) => {
  const s = setup();
  bringUp(s);
  s.driver.takeMessages();
  s.console.resize(132, 43);
  t.deepEqual(s.driver.takeMessages(), [0x40]);
  t.is(s.driver.readConfig(0, 4), 132 | (43 << 16));
  s.machine.advance(KICK_DELAY);
  t.deepEqual(heard(s), [[0, 5, 0, '\x2b\0\x84\0']]);
});

test('long output arrives whole, in chunks', (t) => {
  const s = setup([F_MULTIPORT]);
  bringUp(s);
  s.events.length = 0;
  const long = 'x'.repeat(5000) + 'y'.repeat(5000);
  s.queues[1]!.exchange([bytes(long.slice(0, 300)), bytes(long.slice(300))]);
  t.is(s.events.map((event) => event.slice(2)).join(''), long);
});

test('a reset closes the guest ends and starts the announcements over; input stays', (t) => {
  const s = setup();
  bringUp(s);
  s.console.input(0, bytes('typed ahead'));
  s.driver.status = 0;
  t.deepEqual(s.events, ['0 open', '0 closed']);
  s.queues = s.driver.start([F_SIZE, F_MULTIPORT], 8);
  t.is(bringUp(s).length, 8);
  t.is(s.console.waitingInput(0), 11);
});

for (const [title, queue, elements, reason] of [
  ['a readable element in a receive buffer', 0, [new Uint8Array(1), 4], /port 0: a receive buffer/],
  ['an empty receive buffer', 0, [0], /port 0: a receive buffer/],
  ['a writable element in a transmit buffer', 1, [new Uint8Array(1), 4], /queue 1: a transmit buffer/],
  ['a short control message', 3, [new Uint8Array(7)], /a control message of 7 bytes/],
  [
    'a control message to a port that is not there',
    3,
    [bytes('\x03\0\0\0\x06\0\x01\0')],
    /there is no port 3/,
  ],
] as const) {
  test(`${title} breaks the device`, (t) => {
    const s = setup();
    bringUp(s);
    s.console.input(0, bytes('x'));
    s.queues[queue]!.exchange(elements);
    t.is(s.driver.status & DEVICE_NEEDS_RESET, DEVICE_NEEDS_RESET);
    t.regex(s.console.device.reason, reason);
  });
}

test('a control buffer that is too small breaks the device', (t) => {
  const s = setup();
  s.queues[2]!.add([7]);
  tell(s, 0, 0, 1);
  t.regex(s.console.device.reason, /room for 7 bytes only/);
});

test('an output buffer beyond 4 MiB breaks the device', (t) => {
  const s = setup([], 8 << 20);
  s.queues[1]!.addPlaced([{ address: 0, length: 4 << 20, writable: false }]);
  s.queues[1]!.kick();
  s.machine.advance(KICK_DELAY);
  t.is(s.console.counters.bytesFromGuest, 4 << 20);
  s.queues[1]!.addPlaced([{ address: 0, length: (4 << 20) + 1, writable: false }]);
  s.queues[1]!.kick();
  s.machine.advance(KICK_DELAY);
  t.regex(s.console.device.reason, /at most 4194304 bytes/);
});

test('saved state continues in the middle of a conversation', (t) => {
  const begin = (): Setup => {
    const s = setup();
    bringUp(s);
    return s;
  };
  const finish = (s: Setup): unknown => {
    s.events.length = 0;
    for (let i = 0; i < 4; i++) s.queues[0]!.add([8]);
    s.queues[0]!.kick();
    s.queues[1]!.exchange([bytes('out')]);
    tell(s, 2, 6, 1);
    return [s.events, s.queues[0]!.takeUsed(), heard(s), s.console.counters, digest(s.machine.save())];
  };
  const first = begin();
  first.console.input(0, bytes('a long line of input'));
  first.console.setOpen(2, true);
  first.console.resize(100, 30);
  first.queues[1]!.add([bytes('pending')]);
  first.queues[1]!.kick();
  const state = first.machine.save();
  const second = begin();
  second.queues[1]!.add([bytes('pending')]);
  second.machine.load(state);
  t.is(digest(second.machine.save()), digest(state));
  t.deepEqual(finish(second), finish(first));
});

test('no traffic crashes the console', (t) => {
  const element = fc.oneof(fc.uint8Array({ maxLength: 40, size: 'max' }), fc.nat({ max: 40 }));
  const step = fc.oneof(
    fc.record({ queue: fc.nat({ max: 7 }), elements: fc.array(element, { minLength: 1, maxLength: 4 }) }),
    fc.record({ port: fc.nat({ max: 2 }), input: fc.uint8Array({ maxLength: 300, size: 'max' }) }),
    fc.record({
      port: fc.nat({ max: 4 }),
      event: fc.nat({ max: 9 }),
      value: fc.nat({ max: 2 }),
    }),
    fc.record({ port: fc.nat({ max: 2 }), open: fc.boolean() }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (steps) => {
      const s = setup([F_SIZE, F_MULTIPORT], 4 << 20);
      bringUp(s);
      for (const each of steps) {
        if ((s.driver.status & DEVICE_NEEDS_RESET) !== 0) {
          s.queues = s.driver.start([F_SIZE, F_MULTIPORT], 8);
          bringUp(s);
        }
        if ('elements' in each) {
          if (s.queues[each.queue]!.room >= each.elements.length)
            s.queues[each.queue]!.exchange(each.elements);
        } else if ('input' in each) s.console.input(each.port, each.input);
        else if ('event' in each) tell(s, each.port, each.event, each.value);
        else s.console.setOpen(each.port, each.open);
      }
      s.machine.advance(KICK_DELAY);
      t.is(s.console.device.reason === '', (s.driver.status & DEVICE_NEEDS_RESET) === 0);
    }),
    { seed: 32, numRuns: 200 },
  );
});

test('a byte queue gives back what was pushed, in order, over growth and reuse', (t) => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ push: fc.uint8Array({ maxLength: 400, size: 'max' }), drop: fc.nat({ max: 500 }) }),
      ),
      (steps) => {
        const queue = new ByteQueue();
        let model: number[] = [];
        for (const { push, drop } of steps) {
          queue.push(push);
          model.push(...push);
          const count = Math.min(drop, model.length);
          t.deepEqual([...queue.first(count)], model.slice(0, count));
          queue.drop(count);
          model = model.slice(count);
          t.is(queue.length, model.length);
        }
      },
    ),
    { seed: 33 },
  );
});
