import test from 'ava';
import fc from 'fast-check';
import { DEVICE_NEEDS_RESET } from '../device.ts';
import { VirtioPci } from '../pci.ts';
import { digest, KICK_DELAY, type TestDriver, TestMachine, type TestQueue } from '../testing/driver.ts';
import { VirtioBalloon } from './balloon.ts';
import {
  BALLOON_FEATURES,
  type BalloonQueue,
  balloonQueues,
  F_FREE_PAGE_HINT,
  F_MUST_TELL_HOST,
  F_PAGE_POISON,
  F_PAGE_REPORTING,
  F_STATS_VQ,
} from './features.ts';

interface Setup {
  machine: TestMachine;
  driver: TestDriver;
  balloon: VirtioBalloon;
  queues: Partial<Record<BalloonQueue, TestQueue>>;
  /** What the host was told, as [what, page number or address, count or length]. */
  told: [string, number, number][];
}

/** A balloon that offers `offered` and whose driver accepts `accepted`. */
function setup(
  offered: readonly number[] = BALLOON_FEATURES,
  accepted = offered,
  memoryBytes = 4 << 20,
  pageTime = 0,
): Setup {
  const machine = new TestMachine(memoryBytes);
  const told: [string, number, number][] = [];
  const balloon = new VirtioBalloon(machine.environment, {
    name: 'balloon0',
    features: offered,
    inflateTime: pageTime,
    deflateTime: 2 * pageTime,
    host: {
      inflate: (pfn, count) => told.push(['inflate', pfn, count]),
      deflate: (pfn, count) => told.push(['deflate', pfn, count]),
      hint: (address, length) => told.push(['hint', address, length]),
      report: (address, length) => told.push(['report', address, length]),
    },
  });
  const driver = machine.plug(new VirtioPci(balloon.device, machine.pc.deliver));
  const s: Setup = { machine, driver, balloon, queues: {}, told };
  start(s, accepted);
  return s;
}

/** Starts the driver as Linux does: the queues that it has a feature for are numbered one after the other. */
function start(s: Setup, accepted: readonly number[]): void {
  const kinds = balloonQueues((feature) => accepted.includes(feature));
  const queues = s.driver.start(accepted, kinds.length);
  s.queues = Object.fromEntries(kinds.map((kind, i) => [kind, queues[i]]));
}

function numbers(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  values.forEach((value, i) => {
    new DataView(bytes.buffer).setUint32(4 * i, value, true);
  });
  return bytes;
}

function stats(...entries: [tag: number, value: bigint][]): Uint8Array {
  const bytes = new Uint8Array(10 * entries.length);
  entries.forEach(([tag, value], i) => {
    const view = new DataView(bytes.buffer, 10 * i);
    view.setUint16(0, tag, true);
    view.setBigUint64(2, value, true);
  });
  return bytes;
}

const optional: readonly [BalloonQueue, number][] = [
  ['stats', F_STATS_VQ],
  ['hint', F_FREE_PAGE_HINT],
  ['report', F_PAGE_REPORTING],
];

for (let set = 0; set < 8; set++) {
  const features = optional.filter((_, i) => (set >> i) & 1).map(([, feature]) => feature);
  const names = optional.filter((_, i) => (set >> i) & 1).map(([queue]) => queue);

  for (const [how, offered] of [
    ['offered and accepted', features],
    ['accepted of all that is offered', BALLOON_FEATURES],
  ] as const) {
    test(`each queue does its work when [${names.join(', ')}] are ${how}`, (t) => {
      const s = setup(offered, features);
      t.is(s.driver.readCommon(0x12, 2), offered === features ? 2 + names.length : 5);
      s.queues.inflate!.exchange([numbers(5)]);
      s.queues.deflate!.exchange([numbers(5)]);
      s.queues.stats?.exchange([stats([4, 1000n])]);
      s.balloon.startHinting();
      s.queues.hint?.exchange([numbers(s.driver.readConfig(8, 4))]);
      s.queues.hint?.addPlaced([{ address: 0x8000, length: 0x1000, writable: true }]);
      s.queues.hint?.kick();
      s.queues.report?.addPlaced([{ address: 0x9000, length: 0x2000, writable: true }]);
      s.queues.report?.kick();
      s.machine.advance(KICK_DELAY);
      t.is(s.balloon.device.reason, '');
      const expected: [string, number, number][] = [
        ['inflate', 5, 1],
        ['deflate', 5, 1],
      ];
      if (names.includes('hint')) expected.push(['hint', 0x8000, 0x1000]);
      if (names.includes('report')) expected.push(['report', 0x9000, 0x2000]);
      t.deepEqual(s.told, expected);
      t.is(s.balloon.stats?.values.free_memory, names.includes('stats') ? 1000 : undefined);
    });
  }
}

test('the device is a balloon that offers its six features', (t) => {
  const { driver } = setup();
  t.is(driver.readPci(2, 2), 0x1045);
  t.deepEqual(driver.offered().slice(0, 6), [0, 1, 2, 3, 4, 5]);
  t.is(driver.config!.length, 16);
});

test('before any driver, no hints are asked for', (t) => {
  const { environment } = new TestMachine();
  const host = { inflate() {}, deflate() {}, hint() {}, report() {} };
  const balloon = new VirtioBalloon(environment, {
    name: 'b',
    features: BALLOON_FEATURES,
    inflateTime: 0,
    deflateTime: 0,
    host,
  });
  t.deepEqual([...balloon.config], [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
});

test('a target is shown in num_pages and notified; the guest answers in actual', (t) => {
  const s = setup();
  s.driver.takeMessages();
  s.balloon.setTarget(1234);
  t.deepEqual(s.driver.takeMessages(), [0x40]);
  t.is(s.driver.readConfig(0, 4), 1234);
  s.balloon.setTarget(1234);
  t.deepEqual(s.driver.takeMessages(), []);
  s.driver.writeConfig(4, 4, 1000);
  t.is(s.balloon.actual, 1000);
  s.driver.writeConfig(0, 4, 7);
  s.driver.writeConfig(8, 4, 7);
  s.driver.writeConfig(4, 2, 7);
  t.is(s.balloon.target, 1234, 'num_pages is read-only');
  t.is(s.driver.readConfig(8, 4), 1, 'free_page_hint_cmd_id is read-only');
  t.is(s.balloon.actual, 1000, 'actual is written as a whole');
});

test('page numbers are passed on in ascending runs, over elements and over the parts in which they are read', (t) => {
  const s = setup();
  const [used] = s.queues.inflate!.exchange([numbers(3, 4), numbers(5, 7, 6), numbers(6, 7)]);
  t.is(used!.length, 0);
  t.deepEqual(s.told, [
    ['inflate', 3, 3],
    ['inflate', 7, 1],
    ['inflate', 6, 1],
    ['inflate', 6, 2],
  ]);
  s.told.length = 0;
  s.queues.inflate!.exchange([numbers(...Array.from({ length: 300 }, (_, i) => 10 + i))]);
  t.deepEqual(s.told, [
    ['inflate', 10, 256],
    ['inflate', 266, 44],
  ]);
  t.is(s.balloon.counters.pagesInflated, 307);
});

test('deflation is told before it is acknowledged', (t) => {
  const s = setup([F_MUST_TELL_HOST]);
  s.queues.deflate!.add([numbers(9)]);
  s.queues.deflate!.kick();
  t.deepEqual(s.told, []);
  s.machine.advance(KICK_DELAY);
  t.deepEqual(s.told, [['deflate', 9, 1]]);
  t.is(s.queues.deflate!.takeUsed().length, 1);
  t.is(s.balloon.counters.pagesDeflated, 1);
});

test('statistics are read by tag, in any order, unknown ones passed over, with their time', (t) => {
  const s = setup();
  t.is(s.balloon.stats, undefined);
  s.machine.advance(500);
  s.queues.stats!.exchange([stats([5, 256n << 20n], [99, 1n], [4, 2n]), stats([15, 3n])]);
  t.deepEqual(s.balloon.stats, {
    time: s.machine.time,
    values: { total_memory: 256 << 20, free_memory: 2, direct_reclaim: 3 },
  });
});

test('a request uses the parked buffer, and the driver answers with a new one', (t) => {
  const s = setup();
  t.false(s.balloon.requestStats(), 'nothing is parked');
  t.is(s.queues.stats!.exchange([stats([4, 1n])]).length, 0);
  s.driver.takeMessages();
  t.true(s.balloon.requestStats());
  s.machine.advance(KICK_DELAY);
  t.deepEqual(s.driver.takeMessages(), [0x43]);
  t.is(s.queues.stats!.takeUsed().length, 1);
  t.false(s.balloon.requestStats(), 'the driver owes an answer');
  s.queues.stats!.exchange([stats([4, 2n], [3, 0xffffffffffffffffn])]);
  t.deepEqual(s.balloon.stats!.values, { free_memory: 2, minor_faults: 2 ** 64 });
  t.is(s.balloon.counters.statsReceived, 2);
  s.queues.stats!.kick();
  s.machine.advance(KICK_DELAY);
  t.is(s.queues.stats!.takeUsed().length, 0, 'the new buffer stays parked until it is asked for');
});

test('a statistic that the guest does not supply any more is gone', (t) => {
  const s = setup();
  s.queues.stats!.exchange([stats([4, 1n], [5, 2n])]);
  s.balloon.requestStats();
  s.machine.advance(KICK_DELAY);
  s.queues.stats!.takeUsed();
  s.queues.stats!.exchange([stats([5, 3n])]);
  t.deepEqual(s.balloon.stats!.values, { total_memory: 3 });
});

test('statistics are polled at an interval, and unanswered polls counted', (t) => {
  const s = setup();
  s.queues.stats!.exchange([stats([4, 1n])]);
  s.balloon.setStatsInterval(1_000_000);
  s.machine.advance(1_000_000 + KICK_DELAY);
  t.is(s.queues.stats!.takeUsed().length, 1);
  s.machine.advance(2_000_000);
  t.is(s.balloon.counters.statsPollsUnanswered, 2);
  s.queues.stats!.exchange([stats([4, 2n])]);
  s.machine.advance(1_000_000);
  t.is(s.queues.stats!.takeUsed().length, 1);
  s.balloon.setStatsInterval(0);
  t.is(s.machine.timers.next, Number.POSITIVE_INFINITY);
});

test('the host works on pages one after the other, and acknowledges them when it is done', (t) => {
  const s = setup(BALLOON_FEATURES, BALLOON_FEATURES, 4 << 20, 1000);
  s.queues.inflate!.add([numbers(1, 2, 3)]);
  s.queues.inflate!.add([numbers(9)]);
  s.queues.inflate!.kick();
  s.queues.deflate!.add([numbers(1, 2)]);
  s.queues.deflate!.kick();
  s.machine.advance(KICK_DELAY);
  t.is(s.told.length, 3, 'the pages are taken at once');
  const used = () => [s.queues.inflate!, s.queues.deflate!].map((queue) => queue.takeUsed().length);
  t.deepEqual(used(), [0, 0]);
  s.machine.advance(2999);
  t.deepEqual(used(), [0, 0]);
  s.machine.advance(1);
  t.deepEqual(used(), [1, 0]);
  s.machine.advance(1000);
  t.deepEqual(used(), [1, 0]);
  s.machine.advance(3999);
  t.deepEqual(used(), [0, 0]);
  s.machine.advance(1);
  t.deepEqual(used(), [0, 1]);
  t.is(s.machine.timers.next, Number.POSITIVE_INFINITY);
});

test('what the host works on when the device or the queue is reset is forgotten', (t) => {
  for (const reset of [
    (s: Setup) => {
      s.driver.status = 0;
      start(s, BALLOON_FEATURES);
    },
    (s: Setup) => {
      s.driver.writeCommon(0x16, 2, 0);
      s.driver.writeCommon(0x3a, 2, 1);
    },
  ]) {
    const s = setup([...BALLOON_FEATURES, 40], [...BALLOON_FEATURES, 40], 4 << 20, 1000);
    s.queues.inflate!.add([numbers(1, 2, 3)]);
    s.queues.inflate!.kick();
    s.machine.advance(KICK_DELAY + 100);
    reset(s);
    t.is(s.machine.timers.next, Number.POSITIVE_INFINITY);
    s.machine.advance(10_000);
    t.is(s.queues.inflate!.takeUsed().length, 0);
  }
});

test('a device that is no bus master when the host is done acknowledges later', (t) => {
  const s = setup(BALLOON_FEATURES, BALLOON_FEATURES, 4 << 20, 1000);
  s.queues.inflate!.add([numbers(1)]);
  s.queues.inflate!.kick();
  s.machine.advance(KICK_DELAY);
  s.driver.writePci(4, 2, 2);
  s.machine.advance(5000);
  t.is(s.queues.inflate!.takeUsed().length, 0);
  s.driver.writePci(4, 2, 6);
  s.machine.advance(KICK_DELAY);
  t.is(s.queues.inflate!.takeUsed().length, 1);
});

test('hinting goes from request to hints to their end, and finishes', (t) => {
  const s = setup();
  const phases = [s.balloon.hintingPhase];
  const hint = (address: number): void => {
    s.queues.hint!.addPlaced([{ address, length: 0x4000, writable: true }]);
    s.queues.hint!.kick();
    s.machine.advance(KICK_DELAY);
  };
  s.driver.takeMessages();
  s.balloon.startHinting();
  t.deepEqual(s.driver.takeMessages(), [0x40]);
  const id = s.driver.readConfig(8, 4);
  t.true(id >= 2);
  phases.push(s.balloon.hintingPhase);
  hint(0x10000);
  t.deepEqual(s.told, [], 'no command ID has come');
  s.queues.hint!.exchange([numbers(id)]);
  phases.push(s.balloon.hintingPhase);
  hint(0x20000);
  s.queues.hint!.exchange([numbers(0)]);
  phases.push(s.balloon.hintingPhase);
  hint(0x30000);
  s.balloon.finishHinting();
  t.is(s.driver.readConfig(8, 4), 1);
  phases.push(s.balloon.hintingPhase);
  t.deepEqual(phases, ['done', 'requested', 'running', 'ended', 'done']);
  s.queues.hint!.exchange([numbers(1)]);
  s.queues.hint!.exchange([numbers(id)]);
  t.is(s.balloon.hintingPhase, 'done', 'a command ID that comes late means nothing');
  t.deepEqual(s.told, [['hint', 0x20000, 0x4000]]);
  t.is(s.balloon.counters.pagesHinted, 4);
  t.is(s.balloon.counters.pagesHintedInVain, 8);
});

test('hints under an old command ID, or after the device stopped them, are ignored', (t) => {
  const s = setup();
  const hint = (): void => {
    s.queues.hint!.addPlaced([{ address: 0x10000, length: 0x1000, writable: true }]);
    s.queues.hint!.kick();
    s.machine.advance(KICK_DELAY);
  };
  s.balloon.startHinting();
  const old = s.driver.readConfig(8, 4);
  s.queues.hint!.exchange([numbers(old)]);
  s.balloon.startHinting();
  hint();
  t.not(s.driver.readConfig(8, 4), old);
  s.queues.hint!.exchange([numbers(old)]);
  hint();
  t.deepEqual(s.told, []);
  s.queues.hint!.exchange([numbers(s.driver.readConfig(8, 4))]);
  s.balloon.stopHinting();
  t.is(s.driver.readConfig(8, 4), 0);
  hint();
  t.deepEqual(s.told, []);
  t.is(s.balloon.hintingPhase, 'stopped');
});

test('reports are passed on in whole pages, before they are acknowledged', (t) => {
  const s = setup();
  s.queues.report!.addPlaced([
    { address: 0x10000, length: 0x200000, writable: true },
    { address: 0x20800, length: 0x1800, writable: true },
    { address: 0x30800, length: 0x1000, writable: true },
  ]);
  s.queues.report!.kick();
  s.machine.advance(KICK_DELAY);
  t.deepEqual(s.told, [
    ['report', 0x10000, 0x200000],
    ['report', 0x21000, 0x1000],
  ]);
  t.is(s.queues.report!.takeUsed().length, 1);
  t.is(s.balloon.counters.pagesReported, 513);
});

test('reported pages that must keep a poison are left alone', (t) => {
  const report = (s: Setup): void => {
    s.queues.report!.addPlaced([{ address: 0x10000, length: 0x1000, writable: true }]);
    s.queues.report!.kick();
    s.machine.advance(KICK_DELAY);
  };
  const s = setup();
  s.driver.writeConfig(12, 4, 0xaaaaaaaa);
  t.is(s.balloon.poison, 0xaaaaaaaa);
  report(s);
  t.deepEqual(s.told, []);
  t.is(s.balloon.counters.pagesReportedInVain, 1);
  s.driver.writeConfig(12, 4, 0);
  report(s);
  t.is(s.told.length, 1);
  const without = setup(BALLOON_FEATURES, [F_PAGE_REPORTING]);
  without.driver.writeConfig(12, 4, 0xaaaaaaaa);
  t.is(without.balloon.poison, 0, 'the field means nothing without its feature');
  report(without);
  t.is(without.told.length, 1);
  t.true(BALLOON_FEATURES.includes(F_PAGE_POISON));
});

test('a reset empties the balloon and forgets the parked buffer; the target stays', (t) => {
  const s = setup();
  s.balloon.setTarget(77);
  s.driver.writeConfig(4, 4, 70);
  s.queues.stats!.exchange([stats([4, 1n])]);
  s.driver.writeConfig(12, 4, 0xaa);
  s.balloon.startHinting();
  s.balloon.requestStats();
  s.driver.status = 0;
  t.deepEqual(
    [0, 4, 8, 12].map((offset) => s.driver.readConfig(offset, 4)),
    [77, 0, 1, 0],
  );
  t.is(s.balloon.actual, 0);
  t.is(s.balloon.target, 77);
  t.is(s.balloon.hintingPhase, 'done');
  t.false(s.balloon.requestStats());
  start(s, BALLOON_FEATURES);
  t.false(s.balloon.requestStats());
  s.queues.stats!.exchange([stats([4, 1n])]);
  s.queues.stats!.kick();
  s.machine.advance(KICK_DELAY);
  t.is(s.queues.stats!.takeUsed().length, 0, 'the request of before is forgotten');
});

test('a reset of the statistics queue alone forgets the parked buffer', (t) => {
  const s = setup(BALLOON_FEATURES, [...BALLOON_FEATURES, 40]);
  s.queues.stats!.exchange([stats([4, 1n])]);
  s.driver.writeCommon(0x16, 2, 2);
  s.driver.writeCommon(0x3a, 2, 1);
  t.false(s.balloon.requestStats());
});

for (const [title, queue, elements, reason] of [
  ['a page number outside memory', 'inflate', [numbers(1024)], /pages 1024 to 1024 are not all guest memory/],
  ['a run that leaves memory', 'inflate', [numbers(1023, 1024)], /pages 1023 to 1024/],
  ['the largest page number', 'deflate', [numbers(0xffffffff)], /pages 4294967295/],
  ['half a page number', 'inflate', [new Uint8Array(6)], /inflate takes .* not 6 bytes/],
  ['an array that is too long', 'deflate', [new Uint8Array(65540)], /deflate takes .* not 65540 bytes/],
  ['a writable array', 'inflate', [numbers(1), 4], /inflate takes a readable array/],
  ['half a statistic', 'stats', [new Uint8Array(15)], /entries of 10 bytes, not 15 bytes/],
  ['too many statistics', 'stats', [new Uint8Array(650)], /at most 64 entries/],
  ['a command ID of a wrong length', 'hint', [new Uint8Array(8)], /a command ID of 8 bytes/],
  ['a readable report', 'report', [new Uint8Array(8)], /a report has a readable element/],
] as const) {
  test(`${title} breaks the device`, (t) => {
    const s = setup();
    s.queues[queue]!.exchange(elements);
    t.is(s.driver.status & DEVICE_NEEDS_RESET, DEVICE_NEEDS_RESET);
    t.regex(s.balloon.device.reason, /^balloon0: /);
    t.regex(s.balloon.device.reason, reason);
  });
}

test('two statistics buffers at once break the device', (t) => {
  const s = setup();
  s.queues.stats!.add([stats([4, 1n])]);
  s.queues.stats!.exchange([stats([4, 1n])]);
  t.regex(s.balloon.device.reason, /more than one statistics buffer/);
});

test('buffers in a queue without a feature break the device', (t) => {
  const s = setup(BALLOON_FEATURES, []);
  s.driver.queue(2).exchange([numbers(1)]);
  t.regex(s.balloon.device.reason, /queue 2 has no feature negotiated/);
});

test('saved state continues with a parked buffer, polling and hinting under way', (t) => {
  const begin = (): Setup => {
    const s = setup(BALLOON_FEATURES, BALLOON_FEATURES, 4 << 20, 20_000);
    s.queues.stats!.exchange([stats([4, 1n], [0, 7n])]);
    s.queues.hint!.exchange([numbers(0x80000000)]);
    s.queues.inflate!.add([numbers(1, 2, 3)]);
    return s;
  };
  const finish = (s: Setup): unknown => {
    s.told.length = 0;
    s.queues.hint!.addPlaced([{ address: 0x10000, length: 0x1000, writable: true }]);
    s.queues.hint!.kick();
    s.machine.advance(300_000);
    return [
      s.told,
      s.balloon.stats,
      s.balloon.counters,
      s.queues.stats!.takeUsed(),
      digest(s.machine.save()),
    ];
  };
  const first = begin();
  first.balloon.startHinting();
  first.queues.hint!.exchange([numbers(0x80000000)]);
  first.balloon.setTarget(500);
  first.balloon.setStatsInterval(200_000);
  first.queues.inflate!.kick();
  const state = first.machine.save();
  const second = begin();
  second.queues.hint!.exchange([numbers(0x80000000)]);
  second.machine.load(state);
  t.is(digest(second.machine.save()), digest(state));
  t.deepEqual(finish(second), finish(first));
});

test('no traffic crashes the balloon, and the host hears of whole pages of guest memory only', (t) => {
  const element = fc.oneof(
    fc.array(fc.oneof(fc.nat({ max: 1100 }), fc.constantFrom(0, 1, 0x80000000, 0xffffffff)), {
      maxLength: 8,
    }),
    fc.uint8Array({ maxLength: 30, size: 'max' }),
    fc.nat({ max: 0x3000 }),
  );
  const step = fc.oneof(
    fc.record({ queue: fc.nat({ max: 4 }), elements: fc.array(element, { minLength: 1, maxLength: 4 }) }),
    fc.constantFrom('start', 'stop', 'finish', 'stats', 'reset'),
    fc.record({ offset: fc.nat({ max: 20 }), value: fc.integer({ min: 0, max: 0xffffffff }) }),
  );
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 25, size: 'max' }),
      fc.constantFrom(0, 300),
      (steps, pageTime) => {
        const s = setup(BALLOON_FEATURES, BALLOON_FEATURES, 4 << 20, pageTime);
        for (const each of steps) {
          if (each === 'start') s.balloon.startHinting();
          else if (each === 'stop') s.balloon.stopHinting();
          else if (each === 'finish') s.balloon.finishHinting();
          else if (each === 'stats') s.balloon.requestStats();
          else if (each === 'reset') start(s, BALLOON_FEATURES);
          else if ('offset' in each) s.driver.writeConfig(each.offset, 4, each.value);
          else {
            if ((s.driver.status & DEVICE_NEEDS_RESET) !== 0) start(s, BALLOON_FEATURES);
            const elements = each.elements.map((e) => (Array.isArray(e) ? numbers(...e) : e));
            Object.values(s.queues)[each.queue]!.exchange(elements);
          }
        }
        for (const [what, at, size] of s.told) {
          const page = what === 'hint' || what === 'report' ? 1 : 4096;
          t.true(size > 0 && (at + size) * page <= 4 << 20 && (page !== 1 || (at | size) % 4096 === 0));
        }
      },
    ),
    { seed: 34, numRuns: 150 },
  );
});
