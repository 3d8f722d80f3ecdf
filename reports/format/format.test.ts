import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { columns } from './columns.ts';
import { distributionOf } from './distribution.ts';
import { RunFolderError } from './error.ts';
import { kindOf, readConsole, readRun, readSweep } from './read.ts';
import {
  beginExample,
  exampleColumns,
  exampleEnd,
  exampleManifest,
  exampleResult,
} from './testing/example.ts';
import { RunFolderWriter } from './write.ts';

/** The path of a run's folder that is not there yet. */
function newFolder(t: ExecutionContext): string {
  const parent = mkdtempSync(join(tmpdir(), 'pagefold-format-'));
  t.teardown(() => rmSync(parent, { recursive: true }));
  return join(parent, 'example-abababab');
}

/** The message of the error that reading a folder gives. */
async function complaint(t: ExecutionContext, folder: string): Promise<string> {
  const error = await t.throwsAsync(() => readRun(folder), { instanceOf: RunFolderError });
  return error.message;
}

test('a run is read as it was written', async (t) => {
  const folder = newFolder(t);
  const writer = await beginExample(folder);
  t.is(writer.finish(exampleEnd), folder);
  t.false(existsSync(writer.path));
  const run = await readRun(folder);
  t.true(run.manifest.complete);
  t.like(run.manifest, { scenario: exampleManifest.scenario, finished: exampleEnd.finished, reason: null });
  t.deepEqual(run.columns, exampleColumns);
  const { samples, guests, latency, histogram } = run.tables;
  t.deepEqual([...samples.numbers('pages_sharing')], [4500, 9000]);
  t.deepEqual([...samples.numbers('general_profit')], [-64, -64]);
  t.deepEqual(guests.names('state'), ['up', 'booting', 'up', 'booting']);
  t.deepEqual([...guests.numbers('guest_free_bytes')], [Number.NaN, 1024, Number.NaN, 2048]);
  t.deepEqual(latency.names('cause'), ['all', 'read, "cold"']);
  t.deepEqual([...latency.numbers('p90_ns')], [4000, 7]);
  t.deepEqual([...histogram.numbers('upper_ns')], [3600, 4095]);
  t.deepEqual(run.events, [{ time_ns: 1e9, event: 'guest_up', guest: 'web-1' }]);
  t.deepEqual(run.workload, [{ time_ns: 2e9, guest: 'web-1', event: 'done', odd: 'a,"b"\n' }]);
  t.deepEqual(run.result, exampleResult);
  t.is(await readConsole(folder, 'web-1'), 'Linux version 6.1\n');
  t.is(await readConsole(folder, 'web-2'), '');
  t.is(await kindOf(folder), 'run');
  t.false(samples.has('frames_ksm'));
  t.throws(() => samples.numbers('frames_ksm'), { message: /no numeric column frames_ksm/ });
});

test('a run that was killed is read as far as it goes', async (t) => {
  const writer = await beginExample(newFolder(t));
  appendFileSync(join(writer.path, 'samples.csv'), '3000000000,2,6');
  const run = await readRun(writer.path);
  t.like(run.manifest, { complete: false, reason: 'the run was killed', finished: null });
  t.is(run.tables.samples.rows, 2);
  t.is(run.result, undefined);
});

test('an interrupted run keeps its partial name, its reason and its summary', async (t) => {
  const folder = newFolder(t);
  const writer = await beginExample(folder);
  t.is(writer.finish({ ...exampleEnd, reason: 'interrupted' }), writer.path);
  t.false(existsSync(folder));
  const run = await readRun(writer.path);
  t.like(run.manifest, { complete: false, reason: 'interrupted' });
  t.deepEqual(run.result, exampleResult);
});

test('every damage to a whole run is found and named', async (t) => {
  const folder = newFolder(t);
  (await beginExample(folder)).finish(exampleEnd);
  const damage = async (name: string, change: (text: string) => string | undefined): Promise<string> => {
    const file = join(folder, name);
    const text = readFileSync(file, 'utf8');
    const changed = change(text);
    if (changed === undefined) rmSync(file);
    else writeFileSync(file, changed);
    const message = await complaint(t, folder);
    t.true(message.startsWith(file), message);
    writeFileSync(file, text);
    return message;
  };
  t.regex(await damage('samples.csv', (text) => text.replace('9000', '9001')), /digest differs/);
  t.regex(await damage('guests.csv', () => undefined), /cannot be read \(ENOENT\)/);
  t.regex(await damage('consoles/web-1.log', (text) => `${text}x`), /digest differs/);
  t.regex(await damage('manifest.json', (text) => text.slice(0, -9)), /not JSON/);
  t.regex(await damage('manifest.json', (text) => text.replace('"seed": 1', '"seed": -1')), /scenario\.seed/);
  t.regex(
    await damage('manifest.json', (text) => text.replace('"formatVersion": 1', '"formatVersion": 2')),
    /format 2, this pagefold reads format 1\. Remedy: use the pagefold that wrote it/,
  );
  await readRun(folder);
});

test('damage to the tables of an unfinished run is found by line', async (t) => {
  const { path } = await beginExample(newFolder(t));
  const add = async (name: string, line: string) => {
    const text = readFileSync(join(path, name), 'utf8');
    appendFileSync(join(path, name), line);
    const message = await complaint(t, path);
    writeFileSync(join(path, name), text);
    return message;
  };
  t.regex(await add('samples.csv', '1,2\n'), /samples\.csv: line 4: 2 cells instead of 6/);
  t.regex(await add('samples.csv', '1,2,x,4,5,6\n'), /line 4: frames_free is "x", which is no whole number/);
  t.regex(await add('guests.csv', '1,"a,up,4,5\n'), /line 6: unreadable cells instead of 5/);
  t.regex(await add('events.jsonl', '{"time_ns":1}\n'), /events\.jsonl: line 2, event: /);
  t.regex(await add('workload.jsonl', '{"time\n'), /workload\.jsonl: line 2: this is not JSON/);
  writeFileSync(join(path, 'samples.csv'), 'time_ns,mystery\n');
  t.regex(await complaint(t, path), /line 1: columns\.json does not describe the column mystery/);
});

test('a folder that is no run is said to be none', async (t) => {
  const folder = newFolder(t);
  t.regex(await complaint(t, folder), /this is no folder of a run: it has no manifest\.json/);
  const error = await t.throwsAsync(() => readSweep(folder), { instanceOf: RunFolderError });
  t.regex(error.message, /no folder of a sweep/);
  t.is(await kindOf(folder), undefined);
});

test('a run replaces a former one of its name when it is whole, and an interrupted one', async (t) => {
  const folder = newFolder(t);
  const first = await beginExample(folder);
  first.finish({ ...exampleEnd, reason: 'interrupted' });
  (await beginExample(folder)).finish(exampleEnd);
  const third = await beginExample(folder);
  t.true((await readRun(folder)).manifest.complete);
  third.finish({ ...exampleEnd, finished: '2026-01-02T03:06:05.000Z' });
  t.is((await readRun(folder)).manifest.finished, '2026-01-02T03:06:05.000Z');
});

test('nothing is overwritten that cannot be read', async (t) => {
  const folder = newFolder(t);
  mkdirSync(folder);
  writeFileSync(join(folder, 'mine.txt'), 'mine');
  const error = await t.throwsAsync(() => beginExample(folder), { instanceOf: RunFolderError });
  t.regex(error.message, /not overwritten.*Remedy: move it away, or give another --out\.$/);
  t.is(readFileSync(join(folder, 'mine.txt'), 'utf8'), 'mine');
  t.false(existsSync(`${folder}.partial`));
});

test('a folder that another process is writing is left alone', async (t) => {
  const folder = newFolder(t);
  const { path } = await beginExample(folder);
  // The process that runs the tests lives as long as they do.
  writeFileSync(join(path, 'writer.pid'), `${process.ppid}\n`);
  const error = await t.throwsAsync(() => beginExample(folder), { instanceOf: RunFolderError });
  t.regex(error.message, /another pagefold is writing this run/);
});

test('a row with a column that the table has not is refused', async (t) => {
  const writer = await RunFolderWriter.begin(newFolder(t), exampleManifest, exampleColumns);
  t.throws(() => writer.rows('samples', [{ frames_ksm: 1 }]), { message: /no column frames_ksm/ });
});

test('percentiles are the ends of the ranges in which they lie', (t) => {
  const thousand = [
    { upper: 10, count: 500 },
    { upper: 20, count: 400 },
    { upper: 30, count: 90 },
    { upper: 40, count: 9 },
    { upper: 50, count: 1 },
  ];
  t.deepEqual(distributionOf(thousand, 47), {
    count: 1000,
    p50_ns: 10,
    p90_ns: 20,
    p99_ns: 30,
    p999_ns: 40,
    max_ns: 47,
  });
  t.deepEqual(distributionOf([{ upper: 63, count: 1 }], 60), {
    count: 1,
    p50_ns: 60,
    p90_ns: 60,
    p99_ns: 60,
    p999_ns: 60,
    max_ns: 60,
  });
});

test('column names are unique in their table, and every meaning is told', (t) => {
  const names = columns.map(({ table, name }) => `${table}.${name}`);
  t.is(new Set(names).size, names.length);
  t.deepEqual(
    columns.filter(({ meaning }) => meaning.length < 10),
    [],
  );
});
