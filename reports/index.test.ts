/** Reports as files: complete, the same each time, and harmless. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { exampleEnd, exampleManifest } from './format/testing/example.ts';
import { RunFolderWriter } from './format/write.ts';
import { renderReport } from './index.ts';
import { temporaryFolder } from './testing/folders.ts';
import { makeRun } from './testing/generate.ts';
import { makeSweep } from './testing/studies.ts';

const folder = temporaryFolder(test);
const read = (path: string) => readFileSync(path, 'utf8');
const allFiles = (path: string) =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();

test('a run has a page, and each chart as SVG, PNG, Vega-Lite and CSV', async (t) => {
  const run = await makeRun(join(folder, 'run'), { samples: 20 });
  const report = await renderReport([run], join(run, 'report'));
  t.is(report.html, join(run, 'report', 'index.html'));
  t.is(report.charts.length, 8);
  for (const { id, svg, png, vegaLite, csv } of report.charts) {
    t.regex(read(svg), /^<svg [\s\S]*<\/svg>\n$/, id);
    t.deepEqual([...readFileSync(png).subarray(1, 4)], [...Buffer.from('PNG')], id);
    const spec = JSON.parse(read(vegaLite)) as { $schema: string; title: { text: string } };
    t.regex(spec.$schema, /vega-lite\/v6\.json$/);
    t.true(spec.title.text.length > 0);
    const [head, ...rows] = read(csv).trimEnd().split('\n');
    t.true(rows.length > 0 && head!.split(',').length >= 3, id);
    t.true(
      rows.every((row) => row.split(',').length === head!.split(',').length),
      id,
    );
    t.notRegex(read(csv), /NaN|undefined|Infinity/, id);
  }
  t.is(read(report.summary).split('\n').length, 12);
  const listed = (JSON.parse(read(report.index)) as { files: string[] }).files;
  t.deepEqual(
    listed.map((name) => join(run, 'report', name)),
    allFiles(join(run, 'report')),
  );
});

test('the page needs nothing else', async (t) => {
  const run = await makeRun(join(folder, 'alone'), { samples: 5 });
  const page = read((await renderReport([run], join(folder, 'alone-report'))).html);
  t.notRegex(page, /<(?:script|img|iframe|link)[^>]+(?:src|href)="(?!data:)/);
  t.notRegex(page, /@import|url\(["']?https?:/);
  // Drawings show without scripts.
  t.true((page.match(/class="drawing"><svg/g) ?? []).length >= 10);
  const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
  t.is(new Set(ids).size, ids.length);
  for (const [, anchor] of page.matchAll(/href="#([^"]+)"/g)) t.true(ids.includes(anchor), anchor);
});

test('the same folders give the same bytes', async (t) => {
  const run = await makeRun(join(folder, 'same'), { samples: 5 });
  const [a, b] = [join(folder, 'same-1'), join(folder, 'same-2')];
  await renderReport([run], a);
  await renderReport([run], b);
  const names = allFiles(a).map((path) => path.slice(a.length));
  t.deepEqual(
    names,
    allFiles(b).map((path) => path.slice(b.length)),
  );
  for (const name of names) t.deepEqual(readFileSync(join(a, name)), readFileSync(join(b, name)), name);
});

test('a new report takes the place of the former one, and of nothing else', async (t) => {
  const out = join(folder, 'again');
  mkdirSync(join(out, 'charts'), { recursive: true });
  writeFileSync(join(out, 'charts', 'mine.svg'), 'mine');
  await renderReport([await makeRun(join(folder, 'again-1'), { samples: 5 })], out);
  t.true(existsSync(join(out, 'charts', 'application.svg')));
  await renderReport([await makeRun(join(folder, 'again-2'), { samples: 5, application: false })], out);
  t.false(existsSync(join(out, 'charts', 'application.svg')));
  t.is(read(join(out, 'charts', 'mine.svg')), 'mine');
  // A list of files that names others is not believed.
  writeFileSync(join(folder, 'precious.csv'), 'precious');
  writeFileSync(
    join(out, 'report.json'),
    JSON.stringify({ files: ['../precious.csv', 'charts/../../precious.csv'] }),
  );
  await renderReport([await makeRun(join(folder, 'again-3'), { samples: 5 })], out);
  t.is(read(join(folder, 'precious.csv')), 'precious');
});

test('what guests call themselves and their operations is text, never markup', async (t) => {
  const evil = '</script><script>alert(1)</script><img src=x onerror=alert(2)>"\'&';
  const manifest = { ...exampleManifest, scenario: { ...exampleManifest.scenario, name: evil } };
  const writer = await RunFolderWriter.begin(join(folder, 'evil'), manifest, [
    { table: 'samples', name: 'time_ns', unit: 'ns', meaning: '' },
    { table: 'guests', name: 'time_ns', unit: 'ns', meaning: '' },
    ...(['latency', 'histogram'] as const).flatMap((table) =>
      ['scope', 'kind', 'cause'].map((name) => ({ table, name, unit: 'name' as const, meaning: '' })),
    ),
    ...['count', 'p50_ns', 'p90_ns', 'p99_ns', 'p999_ns', 'max_ns'].map((name) => ({
      table: 'latency' as const,
      name,
      unit: 'ns' as const,
      meaning: '',
    })),
    { table: 'histogram', name: 'upper_ns', unit: 'ns', meaning: '' },
    { table: 'histogram', name: 'count', unit: 'count', meaning: '' },
  ]);
  writer.rows('samples', [{ time_ns: 1 }]);
  writer.event({ time_ns: 1, event: evil, guest: evil, more: evil });
  const latencies = exampleEnd.latencies.map((each) => ({ ...each, cause: evil, scope: 'host' }));
  const run = writer.finish({ ...exampleEnd, latencies });
  const report = await renderReport([run], join(folder, 'evil-report'));
  const page = read(report.html);
  t.notRegex(page, /<img/);
  t.notRegex(page, /<script>alert/);
  t.true(report.charts.some(({ id }) => id === 'application'));
  for (const { svg } of report.charts) t.notRegex(read(svg), /<img|<script/);
});

test('several runs, and a sweep beside them, are parts of one report', async (t) => {
  const a = await makeRun(join(folder, 'several-a'), { samples: 5 });
  const b = await makeRun(join(folder, 'several-b'), { samples: 5, ksm: false });
  const sweep = await makeSweep(join(folder, 'several-sweep'), [1, 2]);
  const report = await renderReport([a, b, sweep], join(folder, 'several'));
  const ids = report.charts.map(({ id }) => id);
  t.true(ids.includes('techniques') && ids.includes('2-techniques') && ids.includes('2-savings'));
  t.is(new Set(ids).size, ids.length);
  t.regex(read(report.summary), /made-up, 2 runs compared[\s\S]*made-up-sweep/);
});

test('a folder that is no run, or is damaged, is named, and nothing is written', async (t) => {
  const out = join(folder, 'never');
  mkdirSync(join(folder, 'nothing'));
  await t.throwsAsync(renderReport([join(folder, 'nothing')], out), {
    message: /nothing: this is no folder of a run/,
  });
  const damaged = await makeRun(join(folder, 'damaged'), { samples: 5 });
  writeFileSync(join(damaged, 'samples.csv'), 'time_ns\n1\n');
  await t.throwsAsync(renderReport([damaged], out), { message: /samples\.csv: .*digest/ });
  await t.throwsAsync(renderReport([], out), { message: /at least one/ });
  t.false(existsSync(out));
});
