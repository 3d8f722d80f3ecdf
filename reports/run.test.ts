/** Runs and settings get names that tell them apart. */
import { join } from 'node:path';
import test from 'ava';
import { loadRuns, parametersText, settingText, shortPath } from './run.ts';
import { temporaryFolder } from './testing/folders.ts';
import { type MadeUp, makeRun } from './testing/generate.ts';

const folder = temporaryFolder(test);
let made = 0;

async function labels(...all: readonly MadeUp[]): Promise<string[]> {
  const folders: string[] = [];
  for (const each of all) folders.push(await makeRun(join(folder, `run-${made++}`), { samples: 2, ...each }));
  return (await loadRuns(folders)).map(({ label }) => label);
}

test('runs of different scenarios have their names', async (t) => {
  t.deepEqual(await labels({}), ['made-up']);
  t.deepEqual(await labels({ name: 'a' }, { name: 'b' }), ['a', 'b']);
});

test('runs of one scenario are called by what differs', async (t) => {
  t.deepEqual(await labels({ pagesToScan: 100 }, { pagesToScan: 1000 }), [
    'pages_to_scan 100',
    'pages_to_scan 1000',
  ]);
  t.deepEqual(await labels({ balloon: false, seed: 1 }, { balloon: true, seed: 2 }), [
    'seed 1, balloon none',
    'seed 2, balloon mom',
  ]);
});

test('runs that differ in nothing, or in much, are called by their folders', async (t) => {
  const same = await labels({}, {});
  t.is(new Set(same).size, 2);
  t.regex(same[0]!, /^run-\d+$/);
  const much = await labels({}, { ksm: false, balloon: false, swap: false, seed: 4, guests: 2 });
  t.regex(much[0]!, /^run-\d+$/);
});

test('parameters are written as a person would', (t) => {
  t.is(shortPath('guests.0.count'), 'guests');
  t.is(shortPath('host.ksm.pages_to_scan'), 'pages_to_scan');
  t.is(settingText({ profile: 'linux-6.12' }), 'linux-6.12');
  t.is(settingText({ profile: 'linux-6.12', pages_to_scan: 200 }), 'linux-6.12 pages_to_scan 200');
  t.is(settingText([]), '[]');
  t.is(parametersText({ 'guests.0.count': 4, 'host.ksm': 'off' }), 'guests 4, ksm off');
});
