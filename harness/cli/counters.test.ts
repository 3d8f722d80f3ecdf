import test from 'ava';
import { countersTable } from './counters.ts';
import { scriptedGuest } from './testing/scriptedguest.ts';

test('counters stand one a line, with the most frequent untranslatable instructions last', (t) => {
  const { counters } = scriptedGuest([]);
  const names = Array.from({ length: 20 }, (_, i) => [`I${i}`, i] as const);
  const lines = countersTable({
    instructions: 1_234_567,
    translatedInstructions: 1_000_000,
    counters: {
      ...counters,
      translator: {
        ...counters.translator,
        regions: 7,
        untranslatable: Object.fromEntries(names),
        ends: { ...counters.translator.ends, full: 3 },
      },
    },
  }).split('\n');
  t.regex(lines[0]!, /^instructions +1234567$/);
  t.regex(lines[1]!, /^instructions translated +1000000$/);
  t.true(lines.some((line) => /^translator: regions +7$/.test(line)));
  t.true(lines.some((line) => /^region ends: full +3$/.test(line)));
  t.deepEqual(
    lines.filter((line) => line.startsWith('untranslatable')).map((line) => line.split(/[ ]+/)[1]),
    Array.from({ length: 12 }, (_, i) => `I${19 - i}`),
  );
  t.is(new Set(lines.map((line) => line.length)).size, 1);
});
