/** Cases that can be worked out by hand: what Linux's counters show after each full scan. */
import test from 'ava';
import { Lab, pageOf } from './testing/lab.ts';

const equal = (count: number) => Array.from({ length: count }, () => pageOf(7));
const distinct = (count: number) => Array.from({ length: count }, (_, i) => pageOf(i + 1));

/** Counters that must be as given; `t.like` names the one that is not. */
type Some = Record<string, number>;

test('G1: equal pages merge on their second visit', (t) => {
  for (const count of [2, 256]) {
    const lab = new Lab();
    lab.guest(equal(count));
    t.like(lab.scan(), { pages_volatile: count, pages_shared: 0, pages_sharing: 0, pages_unshared: 0 });
    t.like(lab.scan(), { pages_volatile: 0, pages_shared: 1, pages_sharing: count - 1, pages_unshared: 0 });
    t.is(lab.memory.freeFrames, 2000 - 1);
  }
});

test('G2: a frame takes max_page_sharing pages; the next two make a chain', (t) => {
  const one = new Lab();
  one.guest(equal(257));
  one.scan();
  t.like(one.scan(), { pages_shared: 1, pages_sharing: 255, pages_unshared: 1, stable_node_chains: 0 });
  const two = new Lab();
  two.guest(equal(258));
  two.scan();
  t.like(two.scan(), {
    pages_shared: 2,
    pages_sharing: 256,
    pages_unshared: 0,
    stable_node_chains: 1,
    stable_node_dups: 2,
  });
});

test('G3: smart scan passes over pages that find no twin', (t) => {
  const count = 100;
  const lab = new Lab();
  lab.guest(distinct(count));
  t.like(lab.scan(), { pages_volatile: count, pages_unshared: 0 });
  for (let scan = 2; scan <= 4; scan++) {
    t.like(lab.scan(), { pages_volatile: 0, pages_unshared: count, pages_skipped: 0 });
  }
  t.like(lab.scan(), { pages_volatile: count, pages_unshared: 0, pages_skipped: count });

  // The visits that are not passed over, as scan numbers.
  const visits: number[] = [];
  let before = lab.scanner.counters().pages_scanned!;
  for (let scan = 6; scan <= 50; scan++) {
    const { pages_scanned } = lab.scan();
    if (pages_scanned! - before === count) visits.push(scan);
    else t.is(pages_scanned, before);
    before = pages_scanned!;
  }
  t.deepEqual(visits, [6, 9, 14, 23, 32, 41, 50]);
});

test('G4: a page that is rewritten between visits stays volatile and is hashed at each', (t) => {
  const lab = new Lab({ knobs: { smart_scan: 0 } });
  const guest = lab.guest(equal(2));
  const before = lab.scanner.cpuTime;
  for (let scan = 1; scan <= 10; scan++) {
    lab.memory.write(guest, 0, pageOf(1000 + scan));
    lab.memory.write(guest, 1, pageOf(2000 + scan));
    t.like(lab.scan(), { pages_volatile: 2, pages_unshared: 0, pages_shared: 0 });
  }
  // Ten scans, each with two pages' look-up and checksum and one look at the guest.
  t.is(lab.scanner.cpuTime - before, 10 * (2 * (500 + 470) + 500));
});

test('G5: zero pages', (t) => {
  const count = 50;
  const lab = new Lab({ knobs: { use_zero_pages: 1 } });
  const guest = lab.guest(Array.from({ length: count }, () => pageOf(0)));
  t.like(lab.scan(), { ksm_zero_pages: 0, pages_volatile: count });
  t.like(lab.scan(), { ksm_zero_pages: count, pages_shared: 0, pages_sharing: 0, pages_volatile: count });
  t.is(lab.memory.freeFrames, 2000);
  t.like(lab.scan(), { ksm_zero_pages: count, pages_volatile: 0 });
  t.is(lab.scanner.countersOf(guest).ksm_process_profit, count * 4096);
  lab.memory.write(guest, 3, pageOf(1));
  t.like(lab.scanner.counters(), { ksm_zero_pages: count - 1, cow_ksm: 0 });
});

test('G6: a write to a shared page is counted at once as cow_ksm, later in pages_sharing', (t) => {
  const lab = new Lab();
  const guest = lab.guest(equal(10));
  lab.scan(2);
  lab.memory.write(guest, 4, pageOf(9));
  const lagging: Some = { cow_ksm: 1, pages_shared: 1, pages_sharing: 9 };
  t.like(lab.scanner.counters(), lagging);
  t.is(lab.scanner.countersOf(guest).ksm_merging_pages, 10);
  t.like(lab.scan(), { cow_ksm: 1, pages_shared: 1, pages_sharing: 8, pages_volatile: 1 });
  t.is(lab.scanner.countersOf(guest).ksm_merging_pages, 9);
});

test('G7: run = 2 takes everything back', (t) => {
  const lab = new Lab({ knobs: { use_zero_pages: 1 } });
  const pages = [...equal(300), ...distinct(20), ...Array.from({ length: 10 }, () => pageOf(0))];
  const guest = lab.guest(pages);
  const { pages_scanned, pages_skipped } = lab.scan(7);
  t.true(pages_skipped! > 0);
  t.true(lab.memory.freeFrames > 2000 - pages.length);
  lab.scanner.knobs.set('run', 2);
  t.like(lab.scanner.counters(), {
    pages_shared: 0,
    pages_sharing: 0,
    pages_unshared: 0,
    pages_volatile: 0,
    ksm_zero_pages: 0,
    full_scans: 0,
    stable_node_chains: 0,
    stable_node_dups: 0,
    general_profit: 0,
    pages_scanned: pages_scanned!,
    pages_skipped: pages_skipped!,
  });
  t.is(lab.memory.freeFrames, 2000 - pages.length);
  pages.forEach((page, number) => {
    t.deepEqual(lab.memory.read(guest, number), page);
  });
  lab.scanner.knobs.set('run', 1);
  t.like(lab.scan(2), { pages_shared: 2, full_scans: 2 });
});
