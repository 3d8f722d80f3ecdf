import test from 'ava';
import { costs } from '../../clock/costs.ts';
import type { MergeSpace } from '../../memory/merge.ts';
import { Lab, mixture, numbers, pageOf } from '../testing/lab.ts';
import type { ProfileName } from './profiles.ts';
import { LinuxScanner } from './scanner.ts';

const copies = (count: number, value: number) => Array.from({ length: count }, () => pageOf(value));

test('by default ksmd takes 100 pages every 20 ms, and sleeps behind each full scan', (t) => {
  const lab = new Lab({ knobs: { pages_to_scan: 100 } });
  lab.guest(Array.from({ length: 250 }, (_, i) => pageOf(i + 1)));
  const starts: number[] = [];
  const scanned: number[] = [];
  for (let batch = 0; batch < 6; batch++) {
    lab.now = Math.max(lab.now, lab.scanner.next);
    starts.push(lab.now);
    scanned.push(lab.batch().pages_scanned!);
  }
  t.deepEqual(scanned, [100, 200, 250, 350, 450, 500]);
  // A look at a page and its checksum take 970 ns; the look at the guest comes with the first page.
  t.deepEqual(starts.slice(0, 2), [0, 100 * 970 + 500 + 20e6]);
});

test('the counters do not depend on how the CPU time is cut into turns', (t) => {
  const run = (budget: number, period: number) => {
    const lab = new Lab({
      frames: 4000,
      knobs: { pages_to_scan: 170, max_page_sharing: 9, use_zero_pages: 1 },
    });
    lab.guest(mixture(1));
    lab.guest(mixture(2));
    const { scanner } = lab;
    let used = 0;
    for (let now = 0; scanner.counters().full_scans! < 5; now += period) {
      if (scanner.next > now) continue;
      const turn = scanner.run(now, budget);
      t.true(turn.used >= 0 && turn.used <= budget);
      used += turn.used;
    }
    // The last page may have taken longer than the budget; that is owed to the next turn.
    t.true(scanner.cpuTime - used >= 0 && scanner.cpuTime - used < 10_000);
    return { counters: scanner.counters(), cpuTime: scanner.cpuTime };
  };
  const whole = run(1e9, 1e6);
  t.deepEqual(run(100_000, 100_000), whole);
  t.deepEqual(run(700, 1000), whole);
});

test('a guest that comes during a full scan is the last to be reached, and one that leaves is forgotten next', (t) => {
  const lab = new Lab({ knobs: { pages_to_scan: 10 } });
  const guests = [lab.guest(copies(10, 1)), lab.guest(copies(10, 1))];
  const items = (space: MergeSpace) => lab.scanner.countersOf(space).ksm_rmap_items;
  lab.batch();
  t.deepEqual(guests.map(items), [10, 0]);
  const late = lab.guest(copies(10, 1));
  lab.batch();
  t.deepEqual([...guests, late].map(items), [10, 10, 0]);
  t.is(lab.batch().full_scans, 1);
  lab.batch();
  lab.batch();
  // The new one stands behind where ksmd was: between the two.
  t.deepEqual([...guests, late].map(items), [10, 10, 10]);
  lab.scan(2);
  const before = lab.scanner.counters();
  t.is(before.pages_sharing, 29);
  lab.memory.removeSpace(guests[0]!);
  t.like(lab.scanner.counters(), { pages_sharing: 29, ksm_rmap_items: 30 });
  t.like(lab.scan(), { pages_sharing: 19, ksm_rmap_items: 20 });
  // Its room is taken again.
  lab.guest(copies(10, 1));
  t.like(lab.scan(3), { pages_sharing: 29, ksm_rmap_items: 30 });
});

test('ksmd sleeps for ever without guests or with run = 0, and ends the batch in which it is stopped', (t) => {
  const lab = new Lab({ knobs: { run: 0 } });
  t.is(lab.scanner.next, Number.POSITIVE_INFINITY);
  lab.scanner.knobs.set('run', 1);
  t.is(lab.scanner.next, Number.POSITIVE_INFINITY);
  lab.guest(copies(100, 1));
  t.is(lab.scanner.next, 0);
  lab.scanner.run(0, 10_000);
  lab.scanner.knobs.set('run', 0);
  t.true(lab.scanner.next <= 10_000);
  lab.scanner.run(10_000, 1e9);
  t.is(lab.scanner.counters().pages_scanned, 100);
  t.is(lab.scanner.next, Number.POSITIVE_INFINITY);
});

test('time goes on even when ksmd neither sleeps nor finds a page', (t) => {
  const memory = new Lab().memory;
  const free = Object.fromEntries(Object.keys(costs()).map((name) => [name, 0]));
  const scanner = new LinuxScanner('linux-6.18', { memory, costs: { ...costs(), ...free } });
  memory.addSpace(10);
  for (const [name, value] of [
    ['sleep_millisecs', 0],
    ['run', 1],
  ] as const) {
    scanner.knobs.set(name, value);
  }
  const turn = scanner.run(0, 1e6);
  t.is(turn.used, 0);
  t.true(turn.next > 0);
});

test('a change of sleep_millisecs wakes ksmd', (t) => {
  const lab = new Lab({ knobs: { sleep_millisecs: 1000 } });
  lab.guest(copies(10, 1));
  lab.batch();
  t.true(lab.scanner.next > 999e6);
  lab.scanner.knobs.set('sleep_millisecs', 1000);
  t.true(lab.scanner.next > 999e6);
  lab.scanner.knobs.set('sleep_millisecs', 500);
  t.is(lab.scanner.next, 0);
});

test('a page that is pinned is not merged, and not lost', (t) => {
  const lab = new Lab({ knobs: { smart_scan: 0 } });
  const guest = lab.guest(copies(3, 1));
  lab.memory.pinned.add(`${guest.id}:1`);
  // The second page is the first to be compared with one in the unstable tree, and cannot be merged.
  t.like(lab.scan(2), { pages_shared: 1, pages_sharing: 1, pages_volatile: 1 });
  t.like(lab.scan(2), { pages_shared: 1, pages_sharing: 1, pages_volatile: 1 });
  lab.memory.pinned.clear();
  t.like(lab.scan(), { pages_shared: 1, pages_sharing: 2, pages_volatile: 0 });
  const zero = new Lab({ knobs: { use_zero_pages: 1 } });
  const zeros = zero.guest(copies(2, 0));
  zero.memory.pinned.add(`${zeros.id}:0`);
  t.like(zero.scan(2), { ksm_zero_pages: 1 });
});

test('a guest whose memory must not be merged is left alone', (t) => {
  const lab = new Lab();
  const closed = lab.memory.addSpace(2, false);
  for (const page of [0, 1]) lab.memory.write(closed, page, pageOf(3));
  lab.guest(copies(1, 3));
  t.like(lab.scan(3), { pages_sharing: 0, ksm_rmap_items: 1 });
  t.deepEqual(lab.scanner.countersOf(closed).ksm_rmap_items, 0);
});

/** Counters after each of the first scans of a page that joins a merged frame. */
function newcomer(profile: ProfileName): number[] {
  const lab = new Lab({ profile });
  lab.guest(copies(2, 4));
  lab.scan(2);
  lab.guest(copies(1, 4));
  return [lab.scan().pages_sharing!, lab.scan().pages_sharing!];
}

test('before 6.11 a page joins a merged frame on its first visit, since then on its second', (t) => {
  t.deepEqual(newcomer('linux-6.1'), [2, 2]);
  t.deepEqual(newcomer('linux-6.8'), [2, 2]);
  t.deepEqual(newcomer('linux-6.12'), [1, 2]);
  t.deepEqual(newcomer('linux-6.18'), [1, 2]);
});

test('kernels before 6.7 pass over no page, and those before 6.6 leave zero pages where they are', (t) => {
  const old = new Lab({ profile: 'linux-6.1', knobs: { use_zero_pages: 1 } });
  old.guest([...copies(5, 0), pageOf(1)]);
  t.is(old.scan(20).pages_skipped, 0);
  t.is(old.memory.freeFrames, 2000 - 1);
  old.scanner.knobs.set('run', 2);
  t.is(old.memory.freeFrames, 2000 - 1);
});

test('until 6.17 ksmd steps over holes page by page, at a cost', (t) => {
  const time = (profile: ProfileName) => {
    const lab = new Lab({ profile });
    lab.memory.addSpace(1000);
    lab.guest([pageOf(1)]);
    lab.scan();
    return lab.scanner.cpuTime;
  };
  t.is(time('linux-6.12') - time('linux-6.18'), 1000 * 100);
});

test('pages that change during a full scan do no harm', (t) => {
  const below = numbers(3);
  const lab = new Lab({ frames: 3000, knobs: { pages_to_scan: 50, max_page_sharing: 4, smart_scan: 0 } });
  const guests = [lab.guest(mixture(1)), lab.guest(mixture(2))];
  const contents = new Map<string, Uint8Array>();
  const write = (space: MergeSpace, page: number, content: Uint8Array) => {
    lab.memory.write(space, page, content);
    contents.set(`${space.id}:${page}`, content);
  };
  for (const space of guests) {
    mixture(space.id).forEach((content, page) => {
      write(space, page, content);
    });
  }
  for (let batch = 0; batch < 400; batch++) {
    lab.batch();
    for (let i = 0; i < 10; i++) {
      const space = guests[below(2)]!;
      write(space, below(space.pageCount), pageOf(below(60)));
    }
  }
  for (const space of guests) {
    for (let page = 0; page < space.pageCount; page++)
      if (!Buffer.from(contents.get(`${space.id}:${page}`)!).equals(lab.memory.read(space, page)!))
        t.fail(`page ${page} of guest ${space.id}`);
  }
  const { pages_shared, pages_sharing } = lab.scanner.counters();
  t.true(pages_shared! > 20 && pages_sharing! > 100);
  const merged = guests.map((space) => lab.scanner.countersOf(space).ksm_merging_pages!);
  t.is(merged[0]! + merged[1]!, pages_shared! + pages_sharing!);
});

test('pages of a clone that map merged frames join them, beyond max_page_sharing too', (t) => {
  for (const profile of ['linux-6.1', 'linux-6.18'] as const) {
    const lab = new Lab({ profile, knobs: { max_page_sharing: 4 } });
    const guest = lab.guest(copies(4, 8));
    t.like(lab.scan(2), { pages_shared: 1, pages_sharing: 3 });
    const clone = lab.memory.clone(guest);
    t.like(lab.scan(), { pages_shared: 1, pages_sharing: 7, pages_volatile: 0 });
    t.is(lab.scanner.countersOf(clone).ksm_merging_pages, 4);
    lab.memory.removeSpace(guest);
    t.like(lab.scan(), { pages_shared: 1, pages_sharing: 3 });
  }
});

test('a page of the unstable tree that is gone ends a search, and the page that was searched for is not inserted', (t) => {
  const lab = new Lab({ knobs: { pages_to_scan: 1 } });
  const guest = lab.guest([pageOf(1), pageOf(2), pageOf(3)]);
  lab.scan();
  t.like(lab.batch(), { pages_unshared: 1, pages_volatile: 2 });
  lab.memory.discard(guest, 0);
  t.like(lab.batch(), { pages_unshared: 1, pages_volatile: 2 });
  t.like(lab.batch(), { pages_unshared: 1, pages_volatile: 2 });
  // The next full scan begins with an empty tree.
  lab.scan();
  t.like(lab.scan(), { pages_unshared: 2, pages_volatile: 0 });
});
