import test from 'ava';
import xxhash from 'xxhash-wasm';
import { costs } from '../../clock/costs.ts';
import type { MergeSpace } from '../../memory/merge.ts';
import { StateReader, StateWriter } from '../../state/state.ts';
import { KnobError } from '../scanner.ts';
import { mixture, numbers, pageOf } from '../testing/lab.ts';
import { TestMemory } from '../testing/memory.ts';
import { EsxScanner } from './scanner.ts';

const second = 1e9;
const reference = await xxhash();
/** Low half of XXH64. */
const xxh64 = (page: Uint8Array) => Number(BigInt.asUintN(32, reference.h64Raw(page, 0n)));

function setUp(seed = 1, frames = 4000) {
  const memory = new TestMemory(frames);
  const make = () => new EsxScanner({ memory, costs: costs(), seed });
  const guest = (pages: readonly Uint8Array[]) => {
    const space = memory.addSpace(pages.length);
    pages.forEach((page, i) => {
      memory.write(space, i, page);
    });
    return space;
  };
  return { memory, scanner: make(), make, guest };
}

/** Runs the scanner from one time to another, in rounds of 10 ms. */
function run(scanner: EsxScanner, from: number, to: number): void {
  for (let now = from; now < to; now += 10e6) if (scanner.next <= now) scanner.run(now, 10e6);
}

test('pages a second are limited for each guest and in all', (t) => {
  for (const [count, rate] of [
    [1, 50],
    [2, 100],
    [3, 150],
    [6, 200],
  ] as const) {
    const { scanner, guest } = setUp();
    for (let i = 0; i < count; i++) guest(Array.from({ length: 500 }, (_, page) => pageOf(1000 * i + page)));
    run(scanner, 0, 4 * second);
    t.true(Math.abs(scanner.counters().pages_scanned! - 4 * rate) <= 1, `${count} guests`);
  }
});

test('equal pages come to share a frame, and every page keeps its content', (t) => {
  const { memory, scanner, guest } = setUp();
  scanner.knobs.set('ShareScanVM', 100_000);
  scanner.knobs.set('ShareScanTotal', 100_000);
  const pages = mixture(1);
  const distinct = new Set(pages.map((page) => page.toString())).size;
  const space = guest(pages);
  run(scanner, 0, second);
  const { pages_shared, pages_sharing } = scanner.counters();
  t.is(pages_sharing, pages.length - distinct);
  t.is(4000 - memory.freeFrames, distinct);
  t.is(scanner.countersOf(space).ksm_merging_pages, pages_shared! + pages_sharing!);
  pages.forEach((page, i) => {
    t.deepEqual(memory.read(space, i), page);
  });
  memory.removeSpace(space);
  t.like(scanner.counters(), { pages_shared: 0, pages_sharing: 0, hints: 0 });
  t.is(memory.freeFrames, 4000);
});

test('a page that was written to since its hint is not shared', (t) => {
  const { memory, scanner, guest } = setUp();
  const space = guest([pageOf(1)]);
  run(scanner, 0, 0.1 * second);
  t.is(scanner.counters().hints, 1);
  t.is(scanner.standing(space, 0, xxh64(pageOf(1))), 'waiting');
  memory.write(space, 0, pageOf(2));
  t.is(scanner.standing(space, 0, xxh64(pageOf(2))), 'volatile');
  const other = guest([pageOf(1)]);
  run(scanner, 0.1 * second, 0.2 * second);
  t.like(scanner.counters(), { pages_shared: 0 });
  t.true(scanner.counters().stale_hints! > 0);
  t.deepEqual(memory.read(space, 0), pageOf(2));
  t.deepEqual(memory.read(other, 0), pageOf(1));
});

/** Much happens, and the scanner may be replaced in between. */
function eventful(seed: number, renew: boolean): { bytes: Uint8Array; counters: Record<string, number> } {
  const lab = setUp(seed);
  let { scanner } = lab;
  scanner.knobs.set('ShareScanVM', 20_000);
  scanner.knobs.set('ShareScanTotal', 30_000);
  const save = () => {
    const to = new StateWriter();
    scanner.saveState(to);
    return to.finish();
  };
  const below = numbers(9);
  const guests: MergeSpace[] = [lab.guest(mixture(1)), lab.guest(mixture(2))];
  for (let step = 0; step < 300; step++) {
    scanner.run(step * 1e6, 1e6);
    const space = guests[below(guests.length)]!;
    lab.memory.write(space, below(space.pageCount), [pageOf(below(1e9)), pageOf(12)][below(2)]!);
    lab.memory.discard(space, below(space.pageCount));
    if (step === 100) guests.push(lab.guest(mixture(3)));
    if (step === 200) lab.memory.removeSpace(guests.shift()!);
    if (renew && step % 50 === 0) {
      const state = save();
      scanner = lab.make();
      scanner.loadState(new StateReader(state));
    }
  }
  return { bytes: save(), counters: scanner.counters() };
}

test('a scanner that takes up a state goes on as the one that wrote it; another seed gives another order', (t) => {
  const plain = eventful(1, false);
  t.true(plain.counters.pages_shared! > 20);
  t.deepEqual(eventful(1, true), plain);
  t.notDeepEqual(eventful(2, false), plain);
});

test('an unknown knob is refused', (t) => {
  const { scanner } = setUp();
  t.throws(() => scanner.knobs.set('run', 1), {
    instanceOf: KnobError,
    message: /ShareScanVM, ShareScanTotal/,
  });
});
