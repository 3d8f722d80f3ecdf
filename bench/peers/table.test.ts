import test from 'ava';
import { compile } from 'vega-lite';
import { drawChart, ratioChart } from './chart.ts';
import { parseOptions } from './options.ts';
import { Samples } from './samples.ts';
import { memoryTable, type Session, timesTable } from './table.ts';

const peer = (name: string, several: boolean) => ({
  name,
  description: name,
  several,
  start: () => Promise.reject(new Error('not to be started')),
});

/** A session of two rounds, with one peer that does all, one that fails at times, and one that is absent. */
function session(): Session {
  const samples = new Samples();
  const add = (measure: string, name: string, ...values: (number | string)[]) => {
    values.forEach((value, round) => {
      samples.add({
        ...{ measure, peer: name, round },
        ...(typeof value === 'number' ? { value } : { failure: value }),
      });
    });
  };
  add('sh', 'pagefold', 2000, 3000);
  add('sh', 'QEMU', 1000, 1000);
  add('sh', 'v86', 'no end of sh | late', 'no end of sh | late');
  for (const [name, one, two] of [
    ['pagefold', 100, 104],
    ['QEMU', 107, 214],
  ] as const) {
    for (const [guests, mebibytes] of [one, two].entries()) {
      add(`together ${guests + 1}`, name, 1000);
      add(`memory ${guests + 1}`, name, (mebibytes + 75 * (guests + 1)) * 2 ** 20);
      add(`pages ${guests + 1}`, name, 75 * (guests + 1) * 2 ** 20);
      if (name === 'pagefold') add(`free frames ${guests + 1}`, name, 3 * (guests + 1) * 2 ** 20);
    }
  }
  const { plan } = parseOptions(['--quick', '--only', 'sh,together', '--rounds', '2'])!;
  return {
    own: peer('pagefold', true),
    others: [peer('QEMU', true), peer('v86', false)],
    absent: [{ name: 'other', absent: 'not installed' }],
    plan,
    samples,
  };
}

test('the table has medians, spreads and ratios; what failed or is absent has no figure', (t) => {
  const [head, , sh, together] = timesTable(session()).split('\n');
  t.is(head, '| work, seconds | pagefold | QEMU | v86 | other | pagefold / QEMU | pagefold / v86 |');
  t.is(
    sh,
    '| sh: loop of 100,000 turns | 2.50 (2.00–3.00) | 1.00 (1.00–1.00) | failed: no end of sh   late | absent | 2.50 (2.00–3.00) | – |',
  );
  t.regex(together!, /\| – \| absent \| 1\.00 \(1\.00–1\.00\) \| – \|$/);
});

test('the memory of a further guest is told with and without its own pages', (t) => {
  const rows = memoryTable(session())
    .split('\n')
    .map((line) => line.split(' | ').at(-1)?.replace(' |', ''));
  t.deepEqual(rows, [
    'each further guest',
    '--:',
    '79.0',
    '75.0',
    '3.0',
    '1.0',
    '182.0',
    '75.0',
    '107.0',
    '',
  ]);
});

test('the chart has a mark for each ratio, and is drawn', async (t) => {
  const spec = ratioChart(session())!;
  t.notThrows(() => compile(spec));
  const { svg, png } = await drawChart(spec);
  t.regex(svg, /sh: loop of 100,000 turns/);
  t.regex(svg, /aria-roledescription="point"/);
  t.deepEqual([...png.subarray(1, 4)], [...Buffer.from('PNG')]);
});

test('without anything to compare there is no chart', (t) => {
  t.is(ratioChart({ ...session(), others: [] }), undefined);
});
