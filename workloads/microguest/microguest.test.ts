/** The microguest on the emulated machine: every page is what its recipe says, and it does as it is told. */
import { createHash } from 'node:crypto';
import test from 'ava';
import type { Guest } from '../../hypervisor/guest.ts';
import { startRequest, stopRequest, type Workload, workloadSchema } from '../catalog.ts';
import { keyOf, wordOf } from '../native/content.ts';
import { latencyLineSchema } from '../report.ts';
import { readMicroguest } from './image.ts';
import { countAlike, microguestPages } from './pages.ts';
import { microguestHost, type TestGuest } from './testing/machine.ts';

const ms = 1e6;
const recipe = (given: object): Workload => workloadSchema.parse({ name: 'recipe', ...given });
const idle = workloadSchema.parse({ name: 'idle' });

const mixed = [
  { zero: 10 },
  { equal: 20 },
  { equal: 5, set: 7 },
  { within: 30, groups: 4 },
  { unique: 100 },
  { freed: 15 },
];

function areaOf(workload: Workload) {
  if (workload.name !== 'recipe') throw new Error('no recipe');
  return workload.area;
}

const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** The word that a page consists of; fails when it has more than one. */
function wordAt(guest: TestGuest, page: number): bigint {
  const words = new Set(new BigUint64Array(guest.read(page).buffer));
  if (words.size !== 1) throw new Error(`page ${page} has ${words.size} words`);
  return [...words][0]!;
}

test('exactly the pages of the recipe are touched, and have exactly what it says', async (t) => {
  const workload = recipe({ area: mixed });
  const image = await readMicroguest();
  const { host, guests } = await microguestHost([workload, workload, recipe({ area: [{ equal: 600 }] })]);
  host.run(20 * ms);
  const expected = guests.map((_, index) =>
    microguestPages(image, index + 1, index < 2 ? areaOf(workload) : [{ equal: 600, set: 0 }]),
  );
  const contents = new Map<string, string>();
  const described = new Map<string, string>();
  for (const [number, guest] of guests.entries()) {
    const wanted = new Set(expected[number]!.map(({ page }) => page));
    const pages = Array.from({ length: guest.guest.space.pageCount }, (_, page) => page);
    t.deepEqual(
      pages.filter((page) => guest.isPresent(page) !== wanted.has(page)),
      [],
    );
    for (const { page, content } of expected[number]!) {
      const bytes = digest(guest.read(page));
      // Equal descriptions and equal bytes go together.
      if (!contents.has(content)) contents.set(content, bytes);
      if (!described.has(bytes)) described.set(bytes, content);
      t.is(contents.get(content), bytes, `page ${page} is like others that are called ${content}`);
      t.is(described.get(bytes), content, `page ${page} is unlike others than those called ${content}`);
    }
  }
  t.is(contents.get('zero'), digest(new Uint8Array(4096)));
});

test('the words of pages are those of their keys', async (t) => {
  const { host, guests } = await microguestHost([idle, recipe({ area: mixed })]);
  host.run(20 * ms);
  const guest = guests[1]!;
  const { area } = await readMicroguest();
  const word = (index: number) => wordAt(guest, area + index);
  t.is(word(9), 0n);
  t.is(word(10), wordOf({ kind: 'equal', owner: 0, index: 0, version: 0 }));
  t.is(word(34), wordOf({ kind: 'equal', owner: 7, index: 4, version: 0 }));
  t.is(word(35 + 6), wordOf({ kind: 'within', owner: 2, index: 2, version: 0 }));
  t.is(word(65), wordOf({ kind: 'unique', owner: 2, index: 65, version: 0 }));
  t.is(word(179), wordOf({ kind: 'unique', owner: 2, index: 179, version: 0 }));
});

test('pages that are alike can be counted by hand', async (t) => {
  const image = await readMicroguest();
  const area = areaOf(recipe({ area: mixed }));
  const guests = [1, 2, 3].map((guest) => microguestPages(image, guest, area));
  const constant = 8 + image.constant.count;
  t.deepEqual(countAlike(guests), {
    // Zero, constants of the machine and the program, two equal sets, and four groups within each guest.
    shared: 1 + constant + 25 + 3 * 4,
    sharing: 3 * 14 - 1 + 2 * constant + 2 * 25 + 3 * (30 - 4),
    zero: 3 * (4 + 10),
    unshared: 3 * (image.private.count + 100 + 15),
  });
});

test('it is filled in little more than the time of its first touches, and then costs nothing', async (t) => {
  const { host, guests } = await microguestHost([recipe({ area: [{ unique: 1000 }] })]);
  // A thousand pages, and about 190 of its own; all else takes less than a millisecond.
  host.run(Math.ceil((1190 * host.costs.firstTouch) / ms + 1) * ms);
  const { guest, lines } = guests[0]!;
  t.deepEqual(
    lines().map(({ workload, event }) => `${workload} ${event}`),
    ['guest ready', 'recipe filled'],
  );
  const { instructions } = guest;
  host.run(10_000 * ms);
  t.is(guest.instructions, instructions);
  t.is(guest.end, undefined);
});

test('touching reports as many accesses as the rate says, and how long they took', async (t) => {
  const { host, guests } = await microguestHost([
    recipe({ area: [{ unique: 200 }], rate: 10_000, write_share: 0.25, report: '100ms' }),
  ]);
  host.run(1005 * ms);
  const guest = guests[0]!;
  const last = guest.lines('progress').at(-1)!;
  t.is(guest.lines('progress').length, 10);
  t.true(Math.abs((last.reads as number) + (last.writes as number) - 10_000) <= 20);
  t.true(Math.abs((last.writes as number) - 2500) < 250);
  t.is(last.errors, 0);
  const latencies = guest.lines('latency').map((line) => latencyLineSchema.parse(line));
  for (const name of ['read', 'write']) {
    const counted = latencies.filter((line) => line.name === name);
    const sum = counted.flatMap(({ buckets }) => buckets).reduce((all, [, count]) => all + count, 0);
    t.is(sum, last[`${name}s`] as number);
    t.true(counted.every((line) => line.count === line.buckets.reduce((all, [, count]) => all + count, 0)));
    t.true(counted.every((line) => line.max_ns <= line.buckets.at(-1)![0]));
  }
});

test('pages that are written have a new version each time, and all is checked', async (t) => {
  const { host, guests } = await microguestHost([
    recipe({
      area: [{ zero: 10 }, { equal: 10 }, { within: 10 }, { unique: 10 }],
      rate: 1000,
      write_share: 1,
      pattern: 'sequential',
    }),
  ]);
  host.run(101 * ms);
  const guest = guests[0]!;
  guest.send(stopRequest());
  guest.send(new TextEncoder().encode('verify\n'));
  host.run(110 * ms);
  const { area } = await readMicroguest();
  const keys = Array.from({ length: 40 }, (_, index) => keyOf(wordAt(guest, area + index))!);
  const writes = guest.lines('finished')[0]!.writes as number;
  t.deepEqual(
    keys.map(({ kind, owner, index }) => [kind, owner, index]),
    keys.map((_, index) => ['written', 1, index]),
  );
  t.is(
    keys.reduce((sum, { version }) => sum + version, 0),
    writes,
  );
  t.true(writes >= 98);
  const [verified] = guest.lines('verified');
  t.deepEqual([verified!.pages, verified!.versions, verified!.errors], [40, writes, 0]);
});

test('a page that was lost, or is an older version of itself, is found', async (t) => {
  const workload = recipe({ area: [{ unique: 10 }], rate: 1000, write_share: 1, pattern: 'sequential' });
  const { host, guests } = await microguestHost([workload, workload]);
  const { area } = await readMicroguest();
  host.run(55 * ms);
  const [stale, torn] = guests as [TestGuest, TestGuest];
  const older = stale.read(area + 3);
  host.run(75 * ms);
  for (const guest of guests) guest.send(stopRequest());
  host.run(76 * ms);
  const write = ({ guest }: TestGuest, page: number, at: number, bytes: Uint8Array) => {
    guest.space.memory.u8.set(bytes, guest.space.touch(page) + at);
  };
  write(stale, area + 3, 0, older);
  write(torn, area + 4, 4000, Uint8Array.of(1));
  for (const guest of guests) guest.send(new TextEncoder().encode('verify\n'));
  host.run(80 * ms);
  t.deepEqual(
    stale.lines('error').map(({ message }) => message),
    ['the versions of all pages do not add up to the writes'],
  );
  t.deepEqual(
    torn.lines('error').map(({ message, page }) => [message, page]),
    [['a page has not what was written to it', 4]],
  );
  t.is(stale.lines('verified')[0]!.errors, 1);
});

test('a write that stores what is there leaves the content', async (t) => {
  const { host, guests } = await microguestHost([
    recipe({ area: [{ equal: 10 }], rate: 1000, write_share: 1, store: 'same' }),
  ]);
  host.run(100 * ms);
  const { area } = await readMicroguest();
  for (let index = 0; index < 10; index++) {
    t.is(wordAt(guests[0]!, area + index), wordOf({ kind: 'equal', owner: 0, index, version: 0 }));
  }
});

test('changing pages change at their rate, the others do not', async (t) => {
  const { host, guests } = await microguestHost([
    recipe({ area: [{ unique: 5 }, { changing: 10, rate: 100 }] }),
  ]);
  host.run(1002 * ms);
  const { area } = await readMicroguest();
  const versions = Array.from({ length: 15 }, (_, index) => keyOf(wordAt(guests[0]!, area + index))!.version);
  t.deepEqual(versions.slice(0, 5), [0, 0, 0, 0, 0]);
  t.deepEqual(
    versions.slice(5),
    Array.from({ length: 10 }, () => 10),
  );
});

test('hot pages get the accesses that they are to get', async (t) => {
  const { host, guests } = await microguestHost([
    recipe({
      area: [{ unique: 100 }],
      rate: 20_000,
      write_share: 1,
      pattern: 'hotcold',
      hot_share: 0.2,
      hot_accesses: 0.9,
    }),
  ]);
  host.run(500 * ms);
  const { area } = await readMicroguest();
  const versions = Array.from(
    { length: 100 },
    (_, index) => keyOf(wordAt(guests[0]!, area + index))!.version,
  );
  const sum = (some: number[]) => some.reduce((all, each) => all + each, 0);
  const hot = sum(versions.slice(0, 20)) / sum(versions);
  t.true(Math.abs(hot - 0.9) < 0.02, `${hot} of the writes went to hot pages`);
  t.true(versions.slice(20).every((version) => version > 0));
});

test('phases follow each other, each with its working set', async (t) => {
  const { host, guests } = await microguestHost([
    recipe({
      area: [{ unique: 100 }],
      rate: 1000,
      write_share: 1,
      pattern: 'sequential',
      working_set: 10,
      duration: '100ms',
      phases: [
        { from: 50, working_set: 20, duration: '100ms' },
        { rate: 0, duration: '100ms' },
      ],
    }),
  ]);
  host.run(400 * ms);
  const { area } = await readMicroguest();
  const written = (index: number) => keyOf(wordAt(guests[0]!, area + index))!.kind === 'written';
  t.deepEqual(Array.from({ length: 100 }, (_, index) => index).filter(written), [
    ...Array(10).keys(),
    ...Array.from({ length: 20 }, (_, index) => 50 + index),
  ]);
  const [finished] = guests[0]!.lines('finished');
  t.true(Math.abs(finished!.at_ns - 300 * ms) < 2 * ms);
});

test('the balloon follows its target: freed pages first, then from the top of memory, and back', async (t) => {
  const workload = recipe({ area: [{ unique: 50 }, { freed: 30 }] });
  const { host, guests } = await microguestHost([workload]);
  host.run(10 * ms);
  const guest = guests[0]!;
  const { balloon, space } = guest.guest;
  const { area } = await readMicroguest();
  // 570 pages from the top go: these have frames, so that it can be seen.
  const last = (32 << 20) / 4096 - 1;
  for (const page of [last, last - 569, last - 570]) space.touch(page);
  const before = space.present;
  balloon.setTarget(600);
  host.run(20 * ms);
  t.is(balloon.actual, 600);
  t.deepEqual(
    [last, last - 569, last - 570].map((page) => guest.isPresent(page)),
    [false, false, true],
  );
  t.is(space.present, before - 30 - 2, 'the freed pages had frames, the others not');
  for (let index = 0; index < 80; index++) t.is(guest.isPresent(area + index), index < 50);
  balloon.setTarget(10);
  host.run(30 * ms);
  t.is(balloon.actual, 10);
  balloon.setTarget(1e6);
  host.run(100 * ms);
  const most = (32 << 20) / 4096 - area - 50;
  t.is(balloon.actual, most, 'it keeps what it works with');
  t.deepEqual(
    guest.lines('balloon').map(({ target, actual }) => [target, actual]),
    [
      [600, 600],
      [10, 10],
      [1e6, most],
    ],
  );
});

test('the balloon tells what is free', async (t) => {
  const { host, guests } = await microguestHost([recipe({ area: [{ unique: 50 }] })]);
  const { balloon, measures } = guests[0]!.guest as Guest;
  host.run(10 * ms);
  balloon.setTarget(1000);
  host.run(20 * ms);
  t.is(measures.stalled, 0, 'what wakes an idle guest between rounds is no stall');
  balloon.requestStats();
  host.run(30 * ms);
  const { area } = await readMicroguest();
  const free = ((32 << 20) / 4096 - area - 50 - 1000) * 4096;
  t.deepEqual(balloon.stats!.values, {
    free_memory: free,
    total_memory: 32 << 20,
    available_memory: free,
  });
});

test('a workload can be started, changed and stopped later', async (t) => {
  const { host, guests } = await microguestHost([idle]);
  const guest = guests[0]!;
  host.run(10 * ms);
  t.is(guest.lines('filled').length, 0);
  guest.send(startRequest(recipe({ area: [{ unique: 20 }], rate: 100 }), 1));
  host.run(510 * ms);
  guest.send(startRequest(recipe({ area: [{ unique: 20 }], rate: 1000 }), 1));
  host.run(1010 * ms);
  guest.send(startRequest(recipe({ area: [{ unique: 21 }], rate: 1000 }), 1));
  guest.send(new TextEncoder().encode('dance "now"\n'));
  host.run(1020 * ms);
  t.deepEqual(
    guest.lines('error').map(({ message, about }) => [message, about]),
    [
      ['the area is another than the one that was filled', undefined],
      ['the microguest knows no such command', 'dance ?now?'],
    ],
  );
  const [first, second] = guest.lines('finished');
  t.true(Math.abs((first!.reads as number) - 50) <= 1);
  // Those that were due and late when it ended have not been made.
  const late = Math.ceil((second!.behind_ns as number) / ms);
  t.true(Math.abs((second!.reads as number) + late - 550) <= 2);
});

test('an area that does not fit is refused, and the guest lives on', async (t) => {
  const { host, guests } = await microguestHost([recipe({ area: [{ unique: '40MiB' }] })]);
  host.run(50 * ms);
  t.deepEqual(
    guests[0]!.lines('error').map(({ message }) => message),
    ['the area does not fit into memory'],
  );
  t.is(guests[0]!.guest.end, undefined);
});

test('without its port it reports on the serial port', async (t) => {
  const { host, guests } = await microguestHost([recipe({ area: [{ unique: 5 }] })], { ports: false });
  host.run(100 * ms);
  const lines = guests[0]!.serial().trim().split('\n');
  t.deepEqual(
    lines.map((line) => JSON.parse(line).event),
    ['ready', 'filled'],
  );
});

test('two runs are equal to the last byte', async (t) => {
  const run = async (seed: number) => {
    const workload = recipe({
      area: [{ unique: 300 }, { changing: 20, rate: 500 }, { freed: 10 }],
      rate: 2000,
      write_share: 0.3,
      report: '50ms',
    });
    const { host, guests } = await microguestHost([workload, workload], { seed });
    guests[0]!.guest.balloon.setTarget(700);
    host.run(300 * ms);
    return guests.map(({ guest, lines }) => ({ hash: guest.stateHash(), lines: lines() }));
  };
  const first = await run(1);
  t.deepEqual(await run(1), first);
  t.not((await run(2))[0]!.hash, first[0]!.hash, 'the hash sees the state');
});
