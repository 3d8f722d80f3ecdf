import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { RunFolderError } from '../../reports/format/error.ts';
import { readRun, readSweep } from '../../reports/format/read.ts';
import { parseScenario } from '../scenario/load.ts';
import { planRuns } from './plan.ts';
import { runSweep, type SweepOptions } from './sweep.ts';
import { microScenario, runOptions, temporaryFolder } from './testing/micro.ts';

const text = `${microScenario}sweep: { guests.0.count: [1, 2], seed: [1, 2] }\n`;

/** Runs the sweep; `begun` and `taken` are the cells that were run and that were there. */
async function sweep(out: string, more: Partial<SweepOptions> = {}) {
  const loaded = await parseScenario('micro.yaml', text, { set: [] });
  const plans = await planRuns(loaded, () => {});
  const begun: number[] = [];
  let taken = 0;
  const { folder, results } = await runSweep(loaded.name, loaded.axes, plans, {
    ...runOptions(out),
    resume: false,
    cellBegins: (index) => {
      begun.push(index);
      return () => {};
    },
    cellEnds: (_index, _result, was) => {
      taken += was ? 1 : 0;
    },
    ...more,
  });
  return { folder, results, begun, taken };
}

test('a sweep is a folder of runs and their account', async (t) => {
  const { folder, results } = await sweep(temporaryFolder(t));
  const account = await readSweep(folder);
  t.like(account, { kind: 'sweep', name: 'micro', complete: true });
  t.deepEqual(account.axes, [
    { path: 'guests.0.count', values: [1, 2] },
    { path: 'seed', values: [1, 2] },
  ]);
  t.deepEqual(
    account.cells.map(({ parameters }) => Object.values(parameters)),
    [
      [1, 1],
      [1, 2],
      [2, 1],
      [2, 2],
    ],
  );
  for (const [index, cell] of account.cells.entries()) {
    const { manifest, result } = await readRun(join(folder, cell.folder!));
    t.deepEqual(manifest.parameters, cell.parameters);
    t.deepEqual(result, results[index]);
  }
});

test('an interrupted sweep goes on where it was', async (t) => {
  const out = temporaryFolder(t);
  const controller = new AbortController();
  const first = await sweep(out, { signal: controller.signal, cellEnds: () => controller.abort() });
  t.deepEqual(first.begun, [0]);
  const account = await readSweep(first.folder);
  t.false(account.complete);
  t.deepEqual(
    account.cells.map(({ complete, folder }) => [complete, folder === null]),
    [
      [true, false],
      [false, true],
      [false, true],
      [false, true],
    ],
  );
  const second = await sweep(out, { resume: true });
  t.deepEqual([second.begun, second.taken], [[1, 2, 3], 1]);
  t.true((await readSweep(second.folder)).complete);
  const third = await sweep(out, { resume: true });
  t.deepEqual([third.begun, third.taken], [[], 4]);
  t.deepEqual((await sweep(out)).begun, [0, 1, 2, 3], 'without --resume all are run');
});

test('a damaged run, or account, is not taken and not overwritten', async (t) => {
  const out = temporaryFolder(t);
  const { folder } = await sweep(out);
  const { cells } = await readSweep(folder);
  const file = join(folder, cells[0]!.folder!, 'samples.csv');
  writeFileSync(file, readFileSync(file, 'utf8').replace('200000000', '200000001'));
  await t.throwsAsync(() => sweep(out, { resume: true }), {
    instanceOf: RunFolderError,
    message: /digest differs/,
  });
  writeFileSync(join(folder, 'sweep.json'), '{"formatVersion":9}');
  await t.throwsAsync(() => sweep(out), { instanceOf: RunFolderError, message: /not overwritten.*format 9/ });
  t.is(readFileSync(join(folder, 'sweep.json'), 'utf8'), '{"formatVersion":9}');
});
