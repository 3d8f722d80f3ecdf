/** What the host's memory does for its guests, a case each. */
import test from 'ava';
import { StateReader, StateWriter } from '../state/state.ts';
import { type AddressSpace, mustWait } from './addressspace.ts';
import { pageSize } from './hostmemory.ts';
import * as slots from './slots.ts';
import type { SwapLoss } from './swap/swap.ts';
import { fastDevice, fill, Rig, round } from './testing/rig.ts';

/** Longer than a round. */
const slowDevice = { ...fastDevice, readLatency: 250_000 };

test('a page that is read before it is written shares the frame of zeros; a write gives it its own', (t) => {
  const rig = new Rig({ frames: 512 });
  const guest = rig.guest(100);
  t.is(rig.read(guest, 7), 0);
  t.is(guest.frameOf(7), rig.pages.books.zeroFrame);
  rig.write(guest, 7, 5);
  t.not(guest.frameOf(7), rig.pages.books.zeroFrame);
  t.is(rig.read(guest, 7), 5);
  t.is(rig.read(guest, 8), 0);
  rig.endRound();
  t.deepEqual(guest.counters.counts, {
    first_touch: 2,
    cow_break: 1,
    swap_in: 0,
    balloon_return: 0,
    reporting_return: 0,
  });
  t.is(guest.counters.cowKsm, 0);
  t.deepEqual(
    rig.faults.map(({ cause, latency }) => [cause, latency]),
    [
      ['first_touch', 3600],
      ['cow_break', 4000],
      ['first_touch', 3600],
    ],
  );
});

test('frames that were given back come to others without their contents', (t) => {
  const rig = new Rig({ frames: 512 });
  const [one, other] = [rig.guest(400), rig.guest(400)];
  for (let page = 0; page < 350; page++) rig.write(one, page, page + 1);
  rig.endRound();
  for (let page = 0; page < 350; page++) one.release(page, slots.reported);
  rig.pages.check();
  t.is(rig.pages.classes.private, 0);
  for (let page = 0; page < 350; page++) {
    const frame = rig.access(other, page, true);
    t.is(rig.memory.u32[frame / 4], 0);
  }
  rig.endRound();
  t.is(rig.read(one, 3), 0);
  rig.write(one, 3, 9);
  t.is(one.counters.counts.reporting_return, 1);
});

test('the balloon: pages in it, pages that left it, and what they cost when they are touched', (t) => {
  const rig = new Rig({ frames: 512 });
  const guest = rig.guest(100);
  for (let page = 0; page < 10; page++) rig.write(guest, page, 1);
  rig.endRound();
  for (let page = 0; page < 20; page++) guest.release(page, slots.ballooned);
  t.is(guest.ballooned, 20);
  t.is(guest.present, 0);
  for (let page = 0; page < 5; page++) guest.returned(page);
  rig.pages.check();
  t.is(guest.ballooned, 15);
  t.is(rig.read(guest, 0), 0);
  // A guest that touches what is in its balloon gets a frame all the same.
  rig.write(guest, 10, 3);
  rig.write(guest, 50, 3);
  rig.endRound();
  t.is(guest.ballooned, 14);
  t.is(guest.counters.counts.balloon_return, 2);
  t.is(guest.counters.counts.first_touch, 11);
});

test('pages that are not used go to swap and come back as they were', (t) => {
  const rig = new Rig({ frames: 512, swapPages: 2048 });
  const guest = rig.guest(1500);
  for (let page = 0; page < 1500; page++) rig.write(guest, page, page + 1);
  rig.endRound();
  t.true(guest.swapped > 900, `${guest.swapped} pages are in swap`);
  for (let page = 0; page < 1500; page++) t.is(rig.read(guest, page), page + 1);
  t.true(guest.counters.counts.swap_in > 900);
  t.true(guest.counters.swapCacheHits > 500, 'neighbours were read ahead');
  const { scannedByKswapd, stolenByKswapd, scannedDirectly, stolenDirectly, written, clean, dropped } =
    rig.pages.reclaimer.counters;
  t.is(stolenByKswapd + stolenDirectly, written + clean + dropped);
  t.true(stolenByKswapd > 0 && scannedByKswapd >= stolenByKswapd);
  t.true(scannedDirectly >= stolenDirectly);
  t.is(rig.stopped.size, 0);
});

test('a page that is used stays, one that is not goes', (t) => {
  const rig = new Rig({ frames: 512, swapPages: 4096 });
  const guest = rig.guest(3000);
  for (let page = 0; page < 50; page++) rig.write(guest, page, 1);
  for (let page = 100; page < 2500; page++) {
    rig.write(guest, page, 2);
    for (let hot = 0; page % 5 === 0 && hot < 50; hot++) rig.read(guest, hot);
  }
  rig.endRound();
  // When frames are taken back for the first time nothing is known but their age: then all of these may have to come back once.
  t.true(guest.counters.counts.swap_in <= 50, `${guest.counters.counts.swap_in}`);
  for (let page = 0; page < 50; page++) t.true(guest.isPresent(page));
});

test('a swap-in takes the latency of the device, read ahead pages none', (t) => {
  const rig = new Rig({ frames: 512, swapPages: 2048 });
  const guest = rig.guest(1500);
  for (let page = 0; page < 1500; page++) rig.write(guest, page, page + 1);
  rig.rounds(100);
  rig.faults.length = 0;
  rig.beginRound();
  const since = rig.time;
  rig.read(guest, 8);
  t.is(rig.faults[0]!.cause, 'swap_in');
  t.true(rig.faults[0]!.latency >= 94_000 && rig.faults[0]!.latency <= round, `${rig.faults[0]!.latency}`);
  t.deepEqual(rig.waits.at(-1), { guest: guest.id, since, time: since + rig.faults[0]!.latency });
  rig.read(guest, 9);
  t.deepEqual(rig.faults[1], { guest: guest.id, cause: 'swap_in', latency: 4000 });
});

test('a clean page is given up without being written again', (t) => {
  const rig = new Rig({ frames: 512, swapPages: 4096 });
  const guest = rig.guest(1000);
  for (let page = 0; page < 1000; page++) rig.write(guest, page, page + 1);
  for (let pass = 0; pass < 3; pass++) {
    for (let page = 0; page < 1000; page++) rig.read(guest, page);
  }
  rig.endRound();
  const { written, clean } = rig.pages.reclaimer.counters;
  t.true(clean > 1000, `${clean} clean`);
  t.true(written <= 1100, `${written} written`);
});

test('a corrupt swap slot ends the guest whose page it is, and nobody else', (t) => {
  const rig = new Rig({ frames: 512, swapPages: 2048, pageCluster: 0 });
  const [one, other] = [rig.guest(700), rig.guest(700)];
  for (let page = 0; page < 700; page++) {
    rig.write(one, page, page + 1);
    rig.write(other, page, page + 1000);
  }
  rig.rounds(50);
  const lost = [...Array(700).keys()].find((page) => (one.slot(page) & slots.swapped) !== 0)!;
  const slot = one.slot(lost) >>> slots.swapShift;
  t.is(rig.pages.books.swap!.slots.frameOf(slot), 0);
  rig.file.bytes[slot * pageSize + 1234]! ^= 4;
  const awaited = [...Array(700).keys()].find((page) => (other.slot(page) & slots.swapped) !== 0)!;
  rig.beginRound();
  for (const [guest, page] of [
    [one, lost],
    [other, awaited],
  ] as const)
    t.is(guest.fault(0, page, false, rig.time), mustWait);
  rig.rounds(3);
  t.is(rig.waits.at(-1)?.guest, other.id, 'who waits for another page gets it');
  t.regex(rig.stopped.get(one)!, new RegExp(`swap slot ${slot} of memory does not have what was written`));
  t.deepEqual(
    rig.events.map(({ event }) => event),
    ['swap loss'],
  );
  for (let page = 0; page < 700; page++) t.is(rig.read(other, page), page + 1000);
  rig.endRound();
  t.deepEqual([one.present, one.swapped, rig.stopped.size], [0, 0, 1]);
});

test('a device that reads a swapped page gets its contents, and a corrupt one is noticed there too', (t) => {
  const rig = new Rig({ frames: 512, swapPages: 2048, pageCluster: 0 });
  const guest = rig.guest(1500);
  for (let page = 0; page < 1500; page++) rig.write(guest, page, page + 1);
  rig.rounds(50);
  const gone = [...Array(1500).keys()].filter((page) => (guest.slot(page) & slots.swapped) !== 0);
  rig.beginRound();
  t.is(rig.memory.u32[guest.peek(gone[0]!) / 4], gone[0]! + 1);
  fill(rig.memory, guest.touch(gone[1]!), 77);
  t.is(guest.counters.byDevices, 2);
  rig.endRound();
  t.is(rig.read(guest, gone[1]!), 77);
  // What it wrote is not lost when the page goes to swap again.
  for (let page = 0; page < 1500; page++) if (page !== gone[1]) rig.write(guest, page, page + 1);
  rig.endRound();
  t.false(guest.isPresent(gone[1]!));
  t.is(rig.read(guest, gone[1]!), 77);
  rig.rounds(50);
  rig.file.bytes.fill(0);
  rig.beginRound();
  const lost = [...Array(1500).keys()].find((page) => (guest.slot(page) & slots.swapped) !== 0)!;
  const failure = t.throws<SwapLoss>(() => guest.peek(lost), { name: 'SwapLoss' });
  // As the guest does, which has ended then.
  guest.failure = { event: 'swap loss', reason: failure.message };
  rig.endRound();
  t.is(rig.stopped.get(guest), failure.message);
  t.deepEqual(rig.events, [{ event: 'swap loss', guest: guest.id, reason: failure.message }]);
  t.deepEqual([guest.present, guest.swapped, rig.pages.classes.private], [0, 0, 0]);
});

test('without swap, memory that runs out ends the largest guest, and the others go on', (t) => {
  const rig = new Rig({ frames: 512 });
  const [small, large] = [rig.guest(500), rig.guest(500)];
  for (let page = 0; page < 100; page++) rig.write(small, page, 1);
  for (let page = 0; page < 500; page++) rig.write(large, page, 2);
  t.regex(rig.stopped.get(large)!, /out of memory.*no swap.*policy: largest/);
  for (let page = 100; page < 400; page++) rig.write(small, page, 1);
  for (let page = 0; page < 400; page++) t.is(rig.read(small, page), 1);
  rig.endRound();
  t.deepEqual(
    rig.events.map(({ event }) => event),
    ['out of memory'],
  );
  t.is(rig.pages.oomKills, 1);
});

test('by the other policy the guest that asks ends', (t) => {
  const rig = new Rig({ frames: 512, oom: 'requester' });
  const [small, large] = [rig.guest(500), rig.guest(500)];
  for (let page = 0; page < 350; page++) rig.write(large, page, 2);
  rig.idle.add(large);
  for (let page = 0; page < 500; page++) rig.write(small, page, 1);
  rig.idle.clear();
  t.deepEqual(
    [...rig.stopped.keys()].map(({ id }) => id),
    [small.id],
  );
  for (let page = 0; page < 350; page++) t.is(rig.read(large, page), 2);
});

test('exhausted swap ends one guest when memory is used up as well; what the others have is right', (t) => {
  const rig = new Rig({ frames: 512, swapPages: 256 });
  const [one, other] = [rig.guest(1000), rig.guest(1000)];
  for (let page = 0; page < 300; page++) rig.write(other, page, page + 7);
  for (let page = 0; page < 1000; page++) rig.write(one, page, 2);
  t.regex(rig.stopped.get(one)!, /out of memory.*256 of 256 pages of swap are used/);
  for (let page = 0; page < 300; page++) t.is(rig.read(other, page), page + 7);
  rig.endRound();
});

test('kswapd keeps frames free, and rests when it can do nothing', (t) => {
  const rig = new Rig({ frames: 512, swapPages: 150, pageCluster: 0 });
  const guest = rig.guest(1000);
  const { kswapd, watermarks: marks, reclaimer } = rig.pages;
  for (let page = 0; page < 500; page++) rig.write(guest, page, 1);
  rig.rounds(20);
  t.true(rig.pages.classes.free >= marks.high, `${rig.pages.classes.free} frames are free`);
  t.is(kswapd.next, Number.POSITIVE_INFINITY);
  rig.kswapd = false;
  for (let page = 500; page < 590; page++) rig.write(guest, page, 1);
  rig.endRound();
  t.true(rig.pages.classes.free < marks.low);
  rig.kswapd = true;
  rig.rounds(200);
  const { scannedByKswapd: scanned } = reclaimer.counters;
  rig.rounds(200);
  t.is(reclaimer.counters.scannedByKswapd, scanned, 'it rests');
  rig.rounds(1000);
  t.true(reclaimer.counters.scannedByKswapd > scanned, 'it tries again');
});

test('a full disk is named, the slots that it has room for go on to be used', (t) => {
  const rig = new Rig({ frames: 512, swapPages: 4096 });
  rig.file.room = 512 * pageSize;
  const [one, other] = [rig.guest(2000), rig.guest(600)];
  for (let page = 0; page < 400; page++) rig.write(other, page, page + 7);
  let page = 0;
  for (; rig.events.length === 0; page++) rig.write(one, page, page + 1);
  const [first] = rig.events;
  t.is(first!.event, 'swap write failed');
  t.regex(first!.reason, /swap file memory cannot be written: ENOSPC/);
  rig.endRound();
  const { counters } = rig.pages.reclaimer;
  const before = counters.written;
  for (let each = 0; each < 300; each++) one.release(each, slots.reported);
  for (const end = page + 250; page < end; page++) rig.write(one, page, page + 1);
  t.true(counters.written > before + 40, `${counters.written - before} pages were written`);
  t.true(counters.failedWrites <= 2, `${counters.failedWrites} writes failed`);
  for (let each = 300; each < page; each++) t.is(rig.read(one, each), each + 1);
  t.is(rig.stopped.size, 0);
  for (; page < 2000; page++) rig.write(one, page, 2);
  t.regex(rig.stopped.get(one)!, /out of memory/);
  for (let each = 0; each < 400; each++) t.is(rig.read(other, each), each + 7);
  rig.endRound();
});

test('a ksm frame goes to swap once for all its pages; of those that come back all but one are copies', (t) => {
  const rig = new Rig({ frames: 512, swapPages: 2048 });
  const { merging, books } = rig.pages;
  const guests = [rig.guest(1500), rig.guest(100), rig.guest(100)];
  const copies: number[] = [];
  const dropped: string[] = [];
  const released: number[] = [];
  merging.listen({
    swappedInCopy: (space, page) => copies.push(space.id * 1000 + page),
    dropped: (space, _page, _frame, cause, left) => dropped.push(`${space.id} ${cause} ${left}`),
    released: (_frame, tag) => released.push(tag),
  });
  for (const guest of guests) rig.write(guest, 5, 99);
  rig.endRound();
  merging.share(guests[0]!, 5, 42);
  const frame = guests[0]!.frameOf(5);
  for (const guest of guests.slice(1)) merging.replace(guest, 5, frame);
  rig.pages.check();
  t.is(merging.mapCount(frame), 3);
  t.is(merging.tagOf(frame), 42);
  const used = () => books.swap!.slots.used;
  for (let page = 100; page < 1500; page++) rig.write(guests[0]!, page, 1);
  rig.endRound();
  const slot = guests[0]!.slot(5) >>> slots.swapShift;
  t.deepEqual(
    guests.map((guest) => guest.slot(5) >>> slots.swapShift),
    [slot, slot, slot],
  );
  t.is(books.swap!.slots.mapped(slot), 3);
  t.deepEqual(released, [42]);
  t.deepEqual(dropped, ['3 swap 2', '2 swap 1', '1 swap 0']);
  t.true(used() > 0);
  for (const guest of guests) t.is(rig.read(guest, 5), 99);
  rig.endRound();
  t.is(copies.length, 2);
  rig.writeUpper(guests[1]!, 5, 1);
  t.deepEqual(rig.readHalves(guests[1]!, 5), [99, 1]);
  t.is(rig.read(guests[0]!, 5), 99);
  t.is(rig.read(guests[2]!, 5), 99);
  rig.endRound();
});

test('a page of a ksm frame that came back and was written is not what the others get', (t) => {
  const rig = new Rig({ frames: 512, swapPages: 2048, pageCluster: 0 });
  const { merging } = rig.pages;
  const [one, other] = [rig.guest(1500), rig.guest(100)];
  for (const guest of [one, other]) rig.write(guest, 5, 99);
  rig.endRound();
  merging.share(one, 5, 42);
  merging.replace(other, 5, one.frameOf(5));
  for (let page = 100; page < 1500; page++) rig.write(one, page, 1);
  rig.endRound();
  t.true(rig.pages.books.swap!.slots.mapped(other.slot(5) >>> slots.swapShift) === 2);
  t.is(rig.read(one, 5), 99);
  rig.writeUpper(one, 5, 3);
  t.is(rig.read(other, 5), 99);
  t.deepEqual(rig.readHalves(one, 5), [99, 3]);
  rig.endRound();
});

test('who ends while others wait for the same page of swap does not keep it', (t) => {
  const rig = new Rig({ frames: 512, swapPages: 2048, pageCluster: 0, device: slowDevice });
  const { merging } = rig.pages;
  const [one, other] = [rig.guest(1500), rig.guest(100)];
  for (const guest of [one, other]) rig.write(guest, 5, 99);
  rig.endRound();
  merging.share(one, 5, 42);
  merging.replace(other, 5, one.frameOf(5));
  for (let page = 100; page < 1500; page++) rig.write(one, page, 1);
  rig.rounds(300);
  rig.beginRound();
  t.is(other.fault(0, 5, false, rig.time), mustWait);
  rig.endRound();
  rig.pages.remove(other);
  rig.pages.check();
  t.is(rig.read(one, 5), 99);
  rig.endRound();
});

test('a page that is being read ahead is not there before it has come', (t) => {
  const rig = new Rig({ frames: 512, swapPages: 2048, device: slowDevice });
  const guest = rig.guest(1500);
  for (let page = 0; page < 1500; page++) rig.write(guest, page, page + 1);
  rig.rounds(300);
  const slot = (page: number) => guest.slot(page) >>> slots.swapShift;
  const [first, second] = [...Array(1000).keys()]
    .filter((page) => (guest.slot(page) & slots.swapped) !== 0 && slot(page) % 8 === 0)
    .flatMap((page) => (slot(page + 1) === slot(page) + 1 ? [page, page + 1] : []));
  rig.beginRound();
  const since = rig.time;
  t.is(guest.fault(0, first!, false, since), mustWait);
  rig.endRound();
  rig.beginRound();
  t.is(guest.fault(1, second!, false, rig.time), mustWait);
  rig.rounds(5);
  const done = since + slowDevice.readLatency + 4000;
  t.deepEqual(
    rig.waits.slice(-2).map(({ time }) => Math.abs(time - done) < 5000),
    [true, true],
  );
  t.is(rig.pages.server.counters.pagesRead, 1);
});

test('slots of pages that came back unchanged, and stay, are given up when swap is full', (t) => {
  const rig = new Rig({ frames: 512, swapPages: 512, pageCluster: 0 });
  const guest = rig.guest(1500);
  const hot = [...Array(150).keys()];
  for (const page of hot) rig.write(guest, page, page + 1);
  for (let page = 150; page < 600; page++) rig.write(guest, page, 1);
  for (const page of hot) rig.read(guest, page);
  rig.endRound();
  for (let page = 150; page < 600; page++) guest.release(page, slots.reported);
  const { slots: swapSlots } = rig.pages.books.swap!;
  const kept = hot.filter((page) => rig.pages.books.frames.slotOf(guest.frameOf(page)) >= 0).length;
  t.true(kept > 50, `${kept} pages kept their slots`);
  for (let page = 600; page < 1390; page++) {
    rig.write(guest, page, page + 1);
    if (page % 10 === 0) for (const each of hot) rig.read(guest, each);
  }
  t.is(rig.stopped.size, 0);
  t.true(swapSlots.free < 150, `${swapSlots.free} slots are free`);
  for (const page of hot) t.is(rig.read(guest, page), page + 1);
  for (let page = 600; page < 1390; page++) t.is(rig.read(guest, page), page + 1);
  rig.endRound();
});

test('breaks of shared pages are told with what is left; the last frees the frame', (t) => {
  const rig = new Rig({ frames: 512 });
  const { merging } = rig.pages;
  const [one, other] = [rig.guest(100), rig.guest(100)];
  const told: string[] = [];
  merging.listen({
    dropped: (space, page, _frame, cause, left, time) =>
      told.push(`${space.id}.${page} ${cause} ${left} ${time}`),
    released: (_frame, tag) => told.push(`released ${tag}`),
  });
  rig.write(one, 1, 8);
  rig.write(other, 2, 8);
  rig.write(one, 3, 0);
  rig.endRound();
  merging.share(one, 1, 7);
  merging.replace(other, 2, one.frameOf(1));
  merging.replace(one, 3, merging.zeroFrame);
  t.is(merging.zeroPages(one), 1);
  const frames = rig.pages.classes;
  t.deepEqual([frames.private, frames.ksm], [0, 1]);
  rig.writeUpper(one, 1, 9);
  rig.writeUpper(one, 3, 9);
  t.deepEqual(rig.readHalves(one, 1), [8, 9]);
  t.deepEqual(rig.readHalves(one, 3), [0, 9]);
  rig.endRound();
  const time = rig.time;
  t.is(merging.zeroPages(one), 0);
  t.true(merging.unshare(other, 2));
  rig.pages.check();
  t.deepEqual(told, [
    `1.1 write 1 ${time}`,
    `1.3 write 99 ${time}`.replace('99', '0'),
    `2.2 unshare 0 ${time}`,
    'released 7',
  ]);
  t.is(rig.read(other, 2), 8);
  t.is(one.counters.cowKsm, 1);
  t.is(rig.pages.classes.ksm, 0);
});

test('a guest that is removed gives everything back, its room in the arena too', (t) => {
  const rig = new Rig({ frames: 512, swapPages: 4096 });
  const stays = rig.guest(100);
  rig.write(stays, 1, 5);
  for (let i = 0; i < 200; i++) {
    const guest = rig.guest(1000);
    for (let page = 0; page < 600; page += i % 7 === 0 ? 1 : 100) rig.write(guest, page, page);
    rig.endRound();
    rig.pages.remove(guest);
    rig.pages.check();
  }
  t.is(rig.read(stays, 1), 5);
  rig.endRound();
  // The one page may have been in swap meanwhile, and its slot is kept while it is not written.
  t.is(rig.pages.classes.private, 1);
  t.true(rig.pages.books.swap!.slots.used <= 1);
});

test('devices get what they prepare for, in a later round when the grant does not reach', (t) => {
  const rig = new Rig({ frames: 1024 });
  const guest = rig.guest(1000);
  rig.beginRound();
  let prepared = guest.prepare(0, 300);
  t.false(prepared);
  t.false(guest.ready);
  t.true(guest.left >= 32);
  for (let i = 0; i < 10 && !prepared; i++) {
    rig.endRound();
    rig.beginRound();
    prepared = guest.prepare(0, 300);
  }
  t.true(prepared);
  t.true(guest.ready);
  for (let page = 0; page < 300; page++) t.true(guest.isPresent(page));
  rig.endRound();
});

test('a host whose state was taken up elsewhere goes on in the same way', (t) => {
  const make = () => {
    const rig = new Rig({ frames: 512, swapPages: 2048 });
    rig.guest(1000);
    rig.guest(1000);
    return rig;
  };
  const state = (rig: Rig) => {
    const writer = new StateWriter();
    rig.pages.saveState(writer);
    return writer.finish();
  };
  const equal = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;
  const work = (rig: Rig, first: number) => {
    const [one, other] = rig.pages.books.spaces;
    for (let page = 0; page < 500; page++) {
      rig.write(one!, (first + page) % 1000, page + 3);
      rig.write(other!, (first + 2 * page) % 1000, page + 3);
      rig.read(one!, (page * 7) % 1000);
    }
    rig.endRound();
    for (let page = 0; page < 20; page++) {
      if (one!.isPresent(page)) one!.release(page, slots.ballooned);
    }
    const { merging, books } = rig.pages;
    const at = (space: AddressSpace) =>
      [...Array(1000).keys()].find((page) => {
        const frame = space.frameOf(page);
        return frame !== 0 && merging.classOf(frame) === 'private';
      })!;
    merging.share(one!, at(one!), first + 1);
    for (let i = 0; i < 3; i++) merging.replace(other!, at(other!), books.zeroFrame);
    rig.pages.check();
  };
  const original = make();
  work(original, 0);
  const saved = state(original);
  const copy = make();
  copy.pages.loadState(new StateReader(saved));
  copy.time = original.time;
  copy.pages.check();
  t.true(equal(state(copy), saved));
  for (const rig of [original, copy]) {
    rig.waits.length = 0;
    work(rig, 300);
  }
  t.deepEqual(copy.waits, original.waits);
  t.true(copy.waits.length > 10);
  t.true(equal(state(copy), state(original)));
});

test('pages that were written since writes are watched are known, wherever they went', (t) => {
  const rig = new Rig({ frames: 512, swapPages: 4096, pageCluster: 0 });
  const { merging } = rig.pages;
  const guest = rig.guest(3000);
  for (let page = 0; page < 1500; page++) rig.write(guest, page, page + 1);
  rig.rounds(50);
  const gone = [...Array(1500).keys()].filter((page) => (guest.slot(page) & slots.swapped) !== 0);
  const there = [...Array(1500).keys()].filter((page) => guest.isPresent(page));
  guest.watchWrites();
  const [inSwap, back, backAndWritten] = gone as [number, number, number];
  const [kept, written, byDevice, merged, writtenAndGone] = there.slice(-5) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const unwritten = () =>
    [inSwap, kept, written, byDevice, merged, backAndWritten, writtenAndGone].map((page) =>
      guest.isUnwritten(page),
    );
  t.true(unwritten().every(Boolean));
  t.false(guest.isUnwritten(2999), 'it was never touched');
  rig.read(guest, back);
  for (const page of [written, backAndWritten, writtenAndGone, merged]) rig.write(guest, page, 7);
  rig.beginRound();
  fill(rig.memory, guest.touch(byDevice), 7);
  rig.endRound();
  merging.share(guest, written, 1);
  merging.replace(guest, merged, guest.frameOf(written));
  const now = [true, true, false, false, false, false, false];
  t.deepEqual(unwritten(), now);
  // All of them go to swap.
  for (let page = 1500; page < 3000; page++) rig.write(guest, page, page);
  rig.rounds(50);
  t.true((guest.slot(writtenAndGone) & slots.swapped) !== 0);
  t.deepEqual(unwritten(), [true, guest.isUnwritten(kept), false, false, false, false, false]);
  for (const page of [written, writtenAndGone]) t.is(rig.read(guest, page), 7);
  guest.watchWrites();
  t.true(
    [inSwap, writtenAndGone].every((page) => guest.isUnwritten(page)),
    'watching begins anew',
  );
  rig.endRound();
});
