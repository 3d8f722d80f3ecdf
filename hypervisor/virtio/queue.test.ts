import test from 'ava';
import fc from 'fast-check';
import { DEVICE_NEEDS_RESET, F_EVENT_IDX, F_INDIRECT_DESC } from './device.ts';
import { VirtioPci } from './pci.ts';
import { digest, KICK_DELAY, type TestDriver, TestMachine, type TestQueue } from './testing/driver.ts';
import { Echo } from './testing/echo.ts';

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

interface Setup {
  machine: TestMachine;
  driver: TestDriver;
  queue: TestQueue;
  echo: Echo;
}

function setup(features: readonly number[] = [F_INDIRECT_DESC]): Setup {
  const machine = new TestMachine();
  const echo = new Echo(machine.environment);
  const driver = machine.plug(new VirtioPci(echo.device, machine.pc.deliver));
  const [queue] = driver.start(features, 2);
  return { machine, driver, queue: queue!, echo };
}

/** Kicks the queue and gives the reason for which the device then needs a reset. */
function reasonAfterKick({ machine, driver, queue, echo }: Setup): string {
  queue.kick();
  machine.advance(KICK_DELAY);
  return (driver.status & DEVICE_NEEDS_RESET) !== 0 ? echo.device.reason : 'none';
}

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);

test('a chain is read and written across its elements, and used with the length written', (t) => {
  const { queue } = setup();
  const [used] = queue.exchange([bytes(1, 2), bytes(), bytes(3, 4, 5), 1, 0, 3, 7]);
  t.deepEqual([...used!.data], [1, 2, 3, 4, 5]);
  t.is(used!.length, 5);
});

test('buffers are used in the order in which they became available, round the ring and past it', (t) => {
  const { queue } = setup();
  for (let i = 0; i < 40; i++) {
    queue.add([bytes(i), 1]);
    const used = queue.exchange([bytes(100 + i), 1]);
    t.deepEqual(
      used.map(({ data }) => data[0]),
      [i, 100 + i],
    );
  }
});

test('a full ring is served whole', (t) => {
  const { queue, machine } = setup();
  for (let i = 0; i < 8; i++) queue.addIndirect([bytes(i), 1]);
  queue.kick();
  machine.advance(KICK_DELAY);
  t.deepEqual(
    queue.takeUsed().map(({ data }) => data[0]),
    [0, 1, 2, 3, 4, 5, 6, 7],
  );
  t.is(machine.timers.next, Number.POSITIVE_INFINITY);
});

test('the ring indices wrap at 65536', (t) => {
  const { queue, machine } = setup();
  for (let i = 0; i < 65540 / 4; i++) {
    for (let n = 0; n < 4; n++) {
      queue.addPlaced([
        { address: 0x100, length: 1, writable: false },
        { address: 0x101, length: 1, writable: true },
      ]);
    }
    queue.kick();
    machine.advance(KICK_DELAY);
    if (queue.takeUsed().length !== 4) t.fail(`round ${i}`);
  }
  t.is(machine.memory.readU16(queue.used + 2), 65540 & 0xffff);
});

test('an indirect table holds the whole chain', (t) => {
  const { queue, machine } = setup();
  queue.addIndirect([bytes(9), bytes(8, 7), 2, 2]);
  queue.kick();
  machine.advance(KICK_DELAY);
  t.deepEqual([...queue.takeUsed()[0]!.data], [9, 8, 7]);
});

test('an indirect table can follow chained descriptors, and its write flag is ignored', (t) => {
  const s = setup();
  const { memory } = s.machine;
  const table = memory.allocate(32);
  const data = memory.allocate(16);
  memory.write(data, bytes(5, 6));
  s.queue.describe(s.queue.descriptors, data, 1, NEXT, 3);
  s.queue.describe(s.queue.descriptors + 48, table, 32, INDIRECT | WRITE, 0);
  s.queue.describe(table, data + 1, 1, NEXT, 1);
  s.queue.describe(table + 16, data + 8, 4, WRITE, 0);
  s.queue.offer(0);
  t.is(reasonAfterKick(s), 'none');
  t.deepEqual([...memory.at(data + 8, 2)], [5, 6]);
});

test('without EVENT_IDX the driver is told unless it set NO_INTERRUPT', (t) => {
  const { driver, machine, queue } = setup();
  driver.takeMessages();
  queue.exchange([bytes(1), 1]);
  t.deepEqual(driver.takeMessages(), [0x41]);
  machine.memory.writeU16(queue.avail, 1);
  queue.exchange([bytes(1), 1]);
  t.deepEqual(driver.takeMessages(), []);
  machine.memory.writeU16(queue.avail, 0);
  queue.exchange([bytes(1), 1]);
  t.deepEqual(driver.takeMessages(), [0x41]);
});

test('with EVENT_IDX the driver is told when the used index passes used_event, once a batch', (t) => {
  const { driver, machine, queue } = setup([F_EVENT_IDX]);
  const setUsedEvent = (index: number): void =>
    machine.memory.writeU16(queue.avail + 4 + 2 * queue.size, index);
  driver.takeMessages();
  setUsedEvent(0);
  queue.exchange([bytes(1), 1]);
  t.deepEqual(driver.takeMessages(), [0x41], 'used_event 0: after the first buffer');
  queue.exchange([bytes(1), 1]);
  t.deepEqual(driver.takeMessages(), []);
  setUsedEvent(3);
  for (let i = 0; i < 2; i++) queue.add([bytes(1), 1]);
  queue.exchange([bytes(1), 1]);
  t.deepEqual(driver.takeMessages(), [0x41], 'indices 2, 3 and 4 in one batch pass 3');
  machine.memory.writeU16(queue.avail, 1);
  setUsedEvent(5);
  queue.exchange([bytes(1), 1]);
  t.deepEqual(driver.takeMessages(), [0x41], 'the flag is ignored');
});

test('with EVENT_IDX the device asks to be notified of the next buffer when it has taken all', (t) => {
  const { machine, queue } = setup([F_EVENT_IDX]);
  const availEvent = (): number => machine.memory.readU16(queue.used + 4 + 8 * queue.size);
  queue.exchange([bytes(1), 1]);
  t.is(availEvent(), 1);
  queue.add([bytes(1), 1]);
  queue.exchange([bytes(1), 1]);
  t.is(availEvent(), 3);
});

const hostile: readonly { title: string; reason: RegExp; build(s: Setup): void }[] = [
  {
    title: 'a loop',
    reason: /^echo: queue 0, descriptor chain 0: the chain has more than 8 descriptors/,
    build: ({ queue }) => {
      queue.describe(queue.descriptors, 0x100, 4, NEXT, 1);
      queue.describe(queue.descriptors + 16, 0x100, 4, NEXT, 0);
      queue.offer(0);
    },
  },
  {
    title: 'a next outside the table',
    reason: /descriptor 8 is outside its table of 8/,
    build: ({ queue }) => {
      queue.describe(queue.descriptors, 0x100, 4, NEXT, 8);
      queue.offer(0);
    },
  },
  {
    title: 'a head outside the table',
    reason: /descriptor 65535 is outside/,
    build: ({ queue }) => queue.offer(0xffff),
  },
  {
    title: 'an address beyond memory',
    reason: /0xfffff \+ 2 is not guest memory/,
    build: ({ queue }) => {
      queue.describe(queue.descriptors, 0xfffff, 2, 0, 0);
      queue.offer(0);
    },
  },
  {
    title: 'a length that wraps an address',
    reason: /0x100 \+ 4294967295 is not guest memory/,
    build: ({ queue }) => {
      queue.describe(queue.descriptors, 0x100, 0xffffffff, WRITE, 0);
      queue.offer(0);
    },
  },
  {
    title: 'a 64-bit address',
    reason: /0xffffffff00001000 \+ 16 is not guest memory/,
    build: ({ queue, machine }) => {
      queue.describe(queue.descriptors, 0x1000, 16, 0, 0);
      machine.memory.writeU32(queue.descriptors + 4, 0xffffffff);
      queue.offer(0);
    },
  },
  {
    title: 'a readable element after a writable one',
    reason: /a readable descriptor follows a writable one/,
    build: ({ queue }) => {
      queue.describe(queue.descriptors, 0x100, 4, NEXT | WRITE, 1);
      queue.describe(queue.descriptors + 16, 0x100, 4, 0, 0);
      queue.offer(0);
    },
  },
  {
    title: 'an indirect table inside another',
    reason: /an indirect table refers to another/,
    build: ({ queue }) => {
      queue.describe(queue.descriptors, 0x200, 16, INDIRECT, 0);
      queue.describe(0x200, 0x200, 16, INDIRECT, 0);
      queue.offer(0);
    },
  },
  {
    title: 'a descriptor both indirect and chained',
    reason: /both indirect and chained/,
    build: ({ queue }) => {
      queue.describe(queue.descriptors, 0x200, 16, INDIRECT | NEXT, 1);
      queue.offer(0);
    },
  },
  {
    title: 'an indirect table of a broken length',
    reason: /an indirect table has 24 bytes/,
    build: ({ queue }) => {
      queue.describe(queue.descriptors, 0x200, 24, INDIRECT, 0);
      queue.offer(0);
    },
  },
  {
    title: 'an empty indirect table',
    reason: /an indirect table has 0 bytes/,
    build: ({ queue }) => {
      queue.describe(queue.descriptors, 0x200, 0, INDIRECT, 0);
      queue.offer(0);
    },
  },
  {
    title: 'an indirect chain longer than the queue',
    reason: /more than 8 descriptors/,
    build: ({ queue }) => {
      queue.describe(queue.descriptors, 0x200, 16 * 9, INDIRECT, 0);
      for (let i = 0; i < 9; i++) queue.describe(0x200 + 16 * i, 0x100, 1, i < 8 ? NEXT : 0, i + 1);
      queue.offer(0);
    },
  },
  {
    title: 'an available index that jumps ahead',
    reason: /9 buffers are available in a queue of 8/,
    build: ({ queue, machine }) => machine.memory.writeU16(queue.avail + 2, 9),
  },
  {
    title: 'an available index that goes back',
    reason: /65535 buffers are available in a queue of 8/,
    build: ({ queue, machine }) => machine.memory.writeU16(queue.avail + 2, 0xffff),
  },
];

for (const { title, reason, build } of hostile) {
  test(`${title} puts the device into DEVICE_NEEDS_RESET with the reason`, (t) => {
    const s = setup();
    build(s);
    s.driver.takeMessages();
    t.regex(reasonAfterKick(s), reason);
    t.deepEqual(s.driver.takeMessages(), [0x40], 'a configuration change is notified');
  });
}

test('an indirect descriptor that was not negotiated breaks the device', (t) => {
  const s = setup([]);
  s.queue.addIndirect([bytes(1), 1]);
  t.regex(reasonAfterKick(s), /was not negotiated/);
});

test('a chain of more than 4 GiB breaks the device, though its elements are memory', (t) => {
  const machine = new TestMachine();
  const echo = new Echo(machine.environment);
  const driver = machine.plug(new VirtioPci(echo.device, machine.pc.deliver));
  const [queue] = driver.start([], 1);
  machine.memory.contains = () => true;
  queue!.describe(queue!.descriptors, 0, 0xffffffff, NEXT | WRITE, 1);
  queue!.describe(queue!.descriptors + 16, 0, 2, WRITE, 0);
  queue!.offer(0);
  t.regex(reasonAfterKick({ machine, driver, queue: queue!, echo }), /longer than 4 GiB/);
});

test('a broken device leaves its queues alone until it is reset, and then works again', (t) => {
  const s = setup();
  s.queue.offer(0xffff);
  reasonAfterKick(s);
  const served = s.echo.log.length;
  t.deepEqual(s.queue.exchange([bytes(1), 1]), []);
  t.is(s.echo.log.length, served);
  const [queue] = s.driver.start([], 2);
  t.is(s.echo.device.reason, '');
  t.is(queue!.exchange([bytes(1), 1]).length, 1);
});

test('a ring that feeds itself for ever cannot keep one event going', (t) => {
  // Each buffer makes the next one available: the device copies two table bytes, which its own used index
  // selects (copied into the low halves of two descriptors' addresses), over the available index.
  const { machine, queue } = setup();
  const { memory } = machine;
  const low = 0x20000;
  const high = 0x30000;
  for (let i = 0; i < 0x10000; i++) {
    memory.bytes[low + i] = i + 3;
    memory.bytes[high + i] = (i + 3) >> 8;
  }
  const usedIndex = queue.used + 2;
  const elements: [number, number, number][] = [
    [low + 0xffff, 1, NEXT],
    [high + 0xffff, 1, NEXT],
    [usedIndex, 2, NEXT],
    [usedIndex, 2, NEXT],
    [queue.avail + 2, 2, NEXT | WRITE],
    [queue.descriptors, 2, NEXT | WRITE],
    [queue.descriptors + 16, 2, WRITE],
  ];
  elements.forEach(([address, length, flags], i) => {
    queue.describe(queue.descriptors + 16 * i, address, length, flags, i + 1);
  });
  queue.offer(0);
  queue.kick();
  for (const used of [8, 16, 24]) {
    machine.advance(KICK_DELAY);
    t.is(memory.readU16(usedIndex), used);
  }
  queue.describe(queue.descriptors + 16 * 4, 0x100, 2, NEXT | WRITE, 5);
  machine.advance(2 * KICK_DELAY);
  t.is(memory.readU16(usedIndex), 25);
  t.is(machine.timers.next, Number.POSITIVE_INFINITY, 'and it ends when the ring does');
});

test('saved state continues in the middle of a ring', (t) => {
  const run = (s: Setup): string => {
    for (let i = 0; i < 5; i++) {
      s.queue.add([bytes(i), 1]);
      s.queue.kick();
      s.machine.advance(KICK_DELAY);
      s.queue.takeUsed();
    }
    return digest(s.machine.save());
  };
  const first = setup([F_EVENT_IDX]);
  for (let i = 0; i < 3; i++) first.queue.exchange([bytes(i), 1]);
  first.queue.add([bytes(7), 1]);
  first.queue.kick();
  const state = first.machine.save();
  const second = setup([F_EVENT_IDX]);
  for (let i = 0; i < 3; i++) second.queue.exchange([bytes(i), 1]);
  second.queue.add([bytes(7), 1]);
  second.machine.load(state);
  t.is(digest(second.machine.save()), digest(state));
  t.is(run(second), run(first));
});

test('saved state continues in a machine whose driver never started', (t) => {
  const first = setup([F_EVENT_IDX]);
  first.queue.exchange([bytes(1), 1]);
  first.queue.add([bytes(2), 1]);
  first.queue.kick();
  const machine = new TestMachine();
  machine.plug(new VirtioPci(new Echo(machine.environment).device, machine.pc.deliver));
  machine.load(first.machine.save());
  machine.advance(KICK_DELAY);
  first.machine.advance(KICK_DELAY);
  t.is(first.queue.takeUsed().length, 1);
  t.is(digest(machine.save()), digest(first.machine.save()));
});

test('no ring content crashes the device, hangs it or makes it write outside its buffers', (t) => {
  const word = fc.oneof(
    fc.constantFrom(0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 32, 0x100, 0x1000, 0xffff, 0xfffff, 0xffffffff),
    fc.integer({ min: 0, max: 0xffffffff }),
  );
  const descriptor = fc.record({
    low: word,
    high: fc.constantFrom(0, 0, 0, 1),
    length: word,
    flags: word,
    next: word,
  });
  fc.assert(
    fc.property(
      fc.array(descriptor, { minLength: 8, maxLength: 8 }),
      fc.array(word, { minLength: 8, maxLength: 8 }),
      fc.integer({ min: 0, max: 9 }),
      fc.boolean(),
      (descriptors, heads, available, eventIndex) => {
        const s = setup(eventIndex ? [F_INDIRECT_DESC, F_EVENT_IDX] : [F_INDIRECT_DESC]);
        descriptors.forEach(({ low, high, length, flags, next }, i) => {
          s.queue.describe(
            s.queue.descriptors + 16 * i,
            high * 2 ** 32 + low,
            length,
            flags & 7,
            next & 0xffff,
          );
        });
        heads.forEach((head, i) => {
          s.machine.memory.writeU16(s.queue.avail + 4 + 2 * i, head & 7);
        });
        s.machine.memory.writeU16(s.queue.avail + 2, available);
        s.queue.kick();
        for (let i = 0; i < 4; i++) s.machine.advance(KICK_DELAY);
        t.true(s.echo.log.length < 40);
      },
    ),
    { seed: 30, numRuns: 400 },
  );
});
