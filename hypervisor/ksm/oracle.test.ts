import test from 'ava';
import { Oracle, type OracleReport } from './oracle.ts';
import { Lab, mixture, pageOf } from './testing/lab.ts';

const copies = (count: number, value: number) => Array.from({ length: count }, () => pageOf(value));
const missedNothing = { ineligible: 0, volatile: 0, skipped: 0, unscanned: 0, capped: 0 };

/** The same figures the slow way, by comparing contents as strings. */
function slowly(lab: Lab): Omit<OracleReport, 'missed'> {
  const all = new Set<string>();
  const frames = new Set<number>();
  let present = 0;
  let zero = 0;
  let within = 0;
  for (const space of lab.memory.spaces) {
    const own = new Set<string>();
    for (let page = 0; page < space.pageCount; page++) {
      const content = lab.memory.read(space, page);
      if (content === undefined) continue;
      present++;
      if (content.every((byte) => byte === 0)) zero++;
      const key = Buffer.from(content).toString('latin1');
      if (own.has(key)) within++;
      own.add(key);
      all.add(key);
      frames.add(lab.memory.mapped(space, page));
    }
  }
  const ideal = present - all.size;
  return {
    present,
    zero,
    frames: frames.size,
    saved: present - frames.size,
    ideal,
    idealWithoutZero: ideal - Math.max(0, zero - 1),
    idealWithin: within,
    idealAcross: ideal - within,
  };
}

test('the figures are those of a slow count, and the missed ones add up', (t) => {
  const lab = new Lab({ knobs: { max_page_sharing: 5, use_zero_pages: 1 } });
  const oracle = new Oracle(lab.memory);
  const one = lab.guest(mixture(1));
  lab.guest(mixture(2).slice(0, 500));
  const check = (when: string) => {
    const { missed, ...figures } = oracle.sample(lab.scanner);
    t.deepEqual(figures, slowly(lab), when);
    t.is(
      Object.values(missed).reduce((sum, count) => sum + count),
      figures.ideal - figures.saved,
      when,
    );
    return missed;
  };
  t.deepEqual(check('before'), { ...missedNothing, unscanned: slowly(lab).ideal });
  for (let scan = 1; scan <= 8; scan++) {
    lab.scan();
    check(`scan ${scan}`);
    for (let page = scan; page < 400; page += 7) lab.memory.write(one, page, pageOf((page * scan) % 50));
    for (let page = scan; page < 400; page += 31) lab.memory.discard(one, page);
    check(`written after scan ${scan}`);
  }
});

test('what is missed is told by reason', (t) => {
  const lab = new Lab({ knobs: { max_page_sharing: 3 } });
  const oracle = new Oracle(lab.memory);
  const guest = lab.guest([...copies(7, 5), pageOf(6), pageOf(7)]);
  lab.scan(2);
  // Two full frames, and a page that waits for another.
  t.deepEqual(oracle.sample(lab.scanner).missed, { ...missedNothing, capped: 2 });
  lab.memory.write(guest, 7, pageOf(7));
  // One of the two pages was written since it was visited.
  t.deepEqual(oracle.sample(lab.scanner).missed, { ...missedNothing, capped: 2, volatile: 1 });
  const closed = lab.memory.addSpace(1, false);
  lab.memory.write(closed, 0, pageOf(7));
  t.deepEqual(oracle.sample(lab.scanner).missed, { ...missedNothing, capped: 2, volatile: 1, ineligible: 1 });
  lab.guest([pageOf(7)]);
  t.like(oracle.sample(lab.scanner).missed, { unscanned: 1, volatile: 1, ineligible: 1 });

  const skipping = new Lab();
  const skipped = skipping.guest([pageOf(1), pageOf(2)]);
  skipping.scan(5);
  t.deepEqual(new Oracle(skipping.memory).sample(skipping.scanner).missed, missedNothing);
  skipping.guest([pageOf(1)]);
  // The old page is passed over when the new one has been visited twice, so the new one finds no twin.
  skipping.scan(2);
  t.is(skipping.scanner.counters().pages_skipped, 2 + 2);
  t.deepEqual(new Oracle(skipping.memory).sample(skipping.scanner).missed, { ...missedNothing, skipped: 1 });
  t.truthy(skipped);
});

test('lifetimes, waits and savings of merges', (t) => {
  const second = 1e9;
  const lab = new Lab({ measured: true });
  const measures = lab.measures!;
  const oracle = new Oracle(lab.memory);
  const guest = lab.guest(copies(4, 9));
  const sample = (now: number) => {
    measures.advance(now);
    oracle.sample(lab.scanner, measures);
  };
  sample(1 * second);
  sample(2 * second);
  lab.now = 3 * second;
  measures.advance(lab.now);
  lab.scan(2);
  t.is(measures.savedPages, 3);
  t.is(measures.waits.count, 4);
  t.is(measures.waits.max, 2 * second);
  t.is(measures.unsampled, 0);

  lab.memory.time = 5 * second;
  lab.memory.write(guest, 0, pageOf(1));
  t.is(measures.lifetimes.count, 1);
  t.is(measures.lifetimes.max, 2 * second);
  t.is(measures.savedPages, 2);
  lab.memory.time = 6 * second;
  for (const page of [1, 2, 3]) lab.memory.discard(guest, page);
  t.is(measures.savedPages, 0);
  t.is(measures.lifetimes.count, 4);
  // Three pages for two seconds, two for one.
  t.is(measures.saved.until(10 * second), (3 * 2 + 2) * 4096);

  // A page that becomes a duplicate and is merged between two samples.
  measures.advance(7 * second);
  lab.guest(copies(2, 3));
  lab.scan(2);
  t.is(measures.unsampled, 2);
});
