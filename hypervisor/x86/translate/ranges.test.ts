import test from 'ava';
import fc from 'fast-check';
import { type EntryRange, FreeRanges } from './ranges.ts';

test('what was given back is taken again, the lowest range that fits first; neighbours become one', (t) => {
  const free = new FreeRanges();
  t.is(free.take(1), 0);
  free.give({ first: 10, count: 5 });
  free.give({ first: 20, count: 5 });
  t.is(free.take(6), 0);
  free.give({ first: 15, count: 5 });
  t.is(free.take(6), 10);
  t.is(free.take(9), 16);
  t.is(free.take(1), 0);
  free.give({ first: 3, count: 0 });
  t.is(free.take(1), 0);
});

test('no entry is given out twice, and none is lost', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 60 }),
      fc.infiniteStream(fc.nat()),
      (counts, numbers) => {
        const free = new FreeRanges();
        free.give({ first: 1, count: 40 });
        const taken: EntryRange[] = [];
        const used = new Set<number>();
        for (const count of counts) {
          const first = free.take(count);
          if (first === 0) {
            const range = taken.splice(numbers.next().value % Math.max(1, taken.length), 1)[0];
            if (range === undefined) return false;
            free.give(range);
            for (let i = 0; i < range.count; i++) used.delete(range.first + i);
            continue;
          }
          taken.push({ first, count });
          for (let i = first; i < first + count; i++) {
            if (used.has(i) || i > 40) return false;
            used.add(i);
          }
        }
        for (const range of taken) free.give(range);
        return free.take(40) === 1;
      },
    ),
  );
  t.pass();
});
