import test from 'ava';
import { memoryMap } from './memorymap.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

test('small memory is one range below 4 GiB', (t) => {
  const map = memoryMap(16 * MIB);
  t.deepEqual(map.ram, [{ start: 0, end: 16 * MIB }]);
  t.is(map.lowEnd, 16 * MIB);
});

test('3 GiB fit below the device window, and the rest continues at 4 GiB', (t) => {
  t.deepEqual(memoryMap(3 * GIB).ram, [{ start: 0, end: 3 * GIB }]);
  t.deepEqual(memoryMap(64 * GIB).ram, [
    { start: 0, end: 3 * GIB },
    { start: 4 * GIB, end: 65 * GIB },
  ]);
});

test('the firmware map is ascending, without overlaps, and its RAM lies in RAM', (t) => {
  for (const memory of [16 * MIB, 256 * MIB, 3 * GIB, 3 * GIB + 4096, 64 * GIB]) {
    const map = memoryMap(memory);
    let last = 0;
    for (const { start, end, type } of map.e820) {
      t.true(start >= last && end > start);
      if (type === 'ram') t.true(map.ram.some((range) => start >= range.start && end <= range.end));
      last = end;
    }
    const ram = map.e820.reduce(
      (sum, entry) => sum + (entry.type === 'ram' ? entry.end - entry.start : 0),
      0,
    );
    t.is(ram, memory - 384 * 1024);
  }
});

test('a memory size that no machine has is refused with the sizes that it may have', (t) => {
  for (const memory of [0, 16 * MIB - 4096, 64 * GIB + 4096, 20 * MIB + 1, Number.NaN]) {
    t.throws(() => memoryMap(memory), { instanceOf: RangeError, message: /16 MiB to 64 GiB/ });
  }
});
