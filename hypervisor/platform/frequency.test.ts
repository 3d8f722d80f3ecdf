import test from 'ava';
import fc from 'fast-check';
import { cyclesAt, timeOfCycle } from './frequency.ts';

test('a cycle begins at the first nanosecond that counts it', (t) => {
  fc.assert(
    fc.property(
      fc.nat(8_000_000),
      fc.nat(2 ** 31 - 1),
      fc.constantFrom(32_768, 1_193_182, 3_579_545),
      (seconds, part, hertz) => {
        const cycle = seconds * hertz + (part % hertz);
        const time = timeOfCycle(cycle, hertz);
        // Exact in integers: cycle ≤ time · hertz / 10^9 < cycle + 1, and one nanosecond less is too early.
        const product = BigInt(time) * BigInt(hertz);
        return (
          product / 1_000_000_000n === BigInt(cycle) &&
          (product - BigInt(hertz)) / 1_000_000_000n < BigInt(cycle) + (cycle === 0 ? 1n : 0n) &&
          cyclesAt(time, hertz) === cycle
        );
      },
    ),
    { seed: 6, numRuns: 2000 },
  );
  t.is(cyclesAt(86_400e9, 1_193_182), 86_400 * 1_193_182);
});
