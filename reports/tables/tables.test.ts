/** Tables hold what the runs hold. */
import { join } from 'node:path';
import test from 'ava';
import { loadRuns, loadStudy } from '../run.ts';
import { temporaryFolder } from '../testing/folders.ts';
import { makeRun } from '../testing/generate.ts';
import { makeSweep } from '../testing/studies.ts';
import { cellsTable } from './cells.ts';
import { eventsTable } from './events.ts';
import { guestsTable } from './guests.ts';
import { latenciesTable } from './latencies.ts';
import { originTable } from './origin.ts';
import { differenceText, runsTable } from './runs.ts';
import type { Table } from './table.ts';

const folder = temporaryFolder(test);

function isRegular({ head, figures, body }: Table): boolean {
  return head.length === figures.length && body.every((row) => row.length === head.length);
}

test('differences name size and share, and tell nothing from next to nothing', (t) => {
  const mib = { unit: 'MiB' } as const;
  t.is(differenceText(mib, 213, 120), '−93 MiB (−43.7 %)');
  t.is(differenceText(mib, 0, 441), '+441 MiB');
  t.is(differenceText(mib, 5, 5), '=');
  t.is(differenceText(mib, undefined, 5), '–');
  t.is(differenceText({ unit: '%' }, 3.2, 0.9), '−2.3 points');
  t.is(differenceText({ unit: '%' }, 2, 2.00001), '≈');
  t.is(differenceText({ unit: 'ns' }, 5120, 5632), '+512 ns (+10.0 %)');
});

test('two runs side by side', async (t) => {
  const runs = await loadRuns([
    await makeRun(join(folder, 'a'), { samples: 10 }),
    await makeRun(join(folder, 'b'), {
      samples: 10,
      ksm: false,
      hostMiB: 640,
      interrupted: true,
      killed: true,
    }),
  ]);
  for (const table of [
    runsTable(runs),
    guestsTable(runs),
    originTable(runs),
    latenciesTable(runs)!,
    eventsTable(runs)!,
  ]) {
    t.true(isRegular(table), table.id);
    t.true(table.rows.length > 0, table.id);
    const names = Object.keys(table.rows[0]!).join();
    t.true(
      table.rows.every((row) => Object.keys(row).join() === names),
      table.id,
    );
  }
  const row = (label: string) => runsTable(runs).body.find(([name]) => name === label);
  t.deepEqual(row('Memory of the host'), ['Memory of the host', '320 MiB', '640 MiB', '+320 MiB (+100.0 %)']);
  // The second was killed before its times were written.
  t.deepEqual(row('Host fault, p50')!.slice(2), ['–', '–']);
  const figures = runsTable(runs).rows.filter(({ figure }) => figure === 'host_mib');
  t.deepEqual(
    figures.map(({ value, difference }) => [value, difference]),
    [
      [320, 0],
      [640, 320],
    ],
  );
  t.is(guestsTable(runs).body.length, 8);
});

test('host faults stand first, in the order of causes', async (t) => {
  const runs = await loadRuns([await makeRun(join(folder, 'c'), { samples: 10 })]);
  const { body, rows } = latenciesTable(runs)!;
  t.deepEqual(
    body.slice(0, 5).map(([what, where]) => [what, where]),
    [
      ['First touch of a page', 'all guests'],
      ['Write to a merged page', 'all guests'],
      ['Page was in swap', 'all guests'],
      ['Page was in the balloon', 'all guests'],
      ['All host faults', 'all guests'],
    ],
  );
  t.deepEqual(body.at(-1)!.slice(0, 2), ['SET', 'web-4']);
  // The file has those of each guest too.
  t.true(rows.some(({ scope, kind }) => scope === 'web-1' && kind === 'fault'));
});

test('a sweep lists every cell, those not run too', async (t) => {
  const table = cellsTable(await loadStudy(await makeSweep(join(folder, 'sweep'), [1, 2])));
  t.true(isRegular(table));
  t.is(table.body.length, 5);
  t.deepEqual(table.head.slice(0, 3), ['guests', 'ksm', 'run']);
  t.deepEqual(table.body[1]!.slice(0, 4), ['1', 'linux-6.12', 'whole', '1']);
  t.deepEqual(table.body[4]!.slice(0, 4), ['16', 'off', 'not run', '–']);
  t.is(table.note, '1 of 5 runs are missing or partial.');
});
