/** The commands run, check, density and report, as a user gives them, on real microguests. */
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { readRun } from '../../reports/format/read.ts';
import { microScenario, temporaryFolder } from '../run/testing/micro.ts';

const entry = fileURLToPath(new URL('pagefold.js', import.meta.url));

/** As the entry's first line has them. */
const flags = ['--no-wasm-inlining', '--v8-pool-size=1', '--wasm-tiering-budget=600000'];

function pagefold(cwd: string, ...words: string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [...flags, entry, ...words], {
    cwd,
    encoding: 'utf8',
    timeout: 300_000,
  });
}

const short = ['--set', 'duration=400ms'];

test('run prints a summary and where the report is; the folder is whole', async (t) => {
  const cwd = temporaryFolder(t);
  writeFileSync(join(cwd, 'micro.yaml'), microScenario);
  const { status, stdout, stderr } = pagefold(cwd, 'run', './micro.yaml', ...short, '--seed', '9');
  t.is(status, 0, stderr);
  t.regex(
    stderr,
    /^micro: 0\.04 of 0\.4 s, 1 of 2 guests up\n[\s\S]*micro: 0\.40 of 0\.4 s, 2 of 2 guests up\n/,
  );
  const [folder] = readdirSync(join(cwd, 'runs'));
  t.regex(folder!, /^micro-[0-9a-f]{8}$/);
  t.true(stdout.endsWith(`\nruns/${folder}/report/index.html\n`), stdout);
  t.true(existsSync(join(cwd, `runs/${folder}/report/index.html`)));
  const { manifest } = await readRun(join(cwd, 'runs', folder!));
  t.like(manifest, { complete: true, scenario: { seed: 9, duration: 4e8 } });
  const again = pagefold(cwd, 'report', `runs/${folder}`, '--out', 'elsewhere');
  t.is(again.status, 0, again.stderr);
  t.true(again.stdout.endsWith('\nelsewhere/index.html\n'), again.stdout);
});

test('a sweep goes on with --resume', (t) => {
  const cwd = temporaryFolder(t);
  writeFileSync(join(cwd, 'micro.yaml'), `${microScenario}sweep: { seed: [1, 2] }\n`);
  const first = pagefold(cwd, 'run', './micro.yaml', ...short);
  t.is(first.status, 0, first.stderr);
  t.regex(first.stderr, /run 1 of 2: seed=1\n[\s\S]*run 2 of 2: seed=2\n[\s\S]*2 of 2 runs are finished/);
  const second = pagefold(cwd, 'run', './micro.yaml', ...short, '--resume');
  t.is(second.status, 0, second.stderr);
  t.is(
    second.stderr,
    'run 1 of 2: seed=1: finished before\nrun 2 of 2: seed=2: finished before\n2 of 2 runs are finished.\n',
  );
});

test('Ctrl-C ends a run with what there is, and the status that the shell has for it', async (t) => {
  const cwd = temporaryFolder(t);
  writeFileSync(join(cwd, 'micro.yaml'), microScenario);
  const child = spawn(process.execPath, [...flags, entry, 'run', './micro.yaml', '--set', 'duration=1h'], {
    cwd,
  });
  let stdout = '';
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  // The folder is there from the start of the run on; a sample tells that it goes on.
  const sampled = () => {
    const [folder] = existsSync(join(cwd, 'runs')) ? readdirSync(join(cwd, 'runs')) : [];
    const file = join(cwd, 'runs', folder ?? '', 'samples.csv');
    return existsSync(file) && readFileSync(file, 'utf8').split('\n').length > 2;
  };
  while (!sampled()) await new Promise((resolve) => setTimeout(resolve, 50));
  child.kill('SIGINT');
  const [status] = await once(child, 'exit');
  t.is(status, 130);
  const [folder] = readdirSync(join(cwd, 'runs'));
  t.regex(folder!, /^micro-[0-9a-f]{8}\.partial$/);
  const { manifest, result } = await readRun(join(cwd, 'runs', folder!));
  t.regex(manifest.reason!, /^interrupted at /);
  t.true(result!.samples > 0);
  t.true(existsSync(join(cwd, `runs/${folder}/report/index.html`)), stdout);
});

test('check: 0 when nothing moved, 1 when something did, 2 when it could not run', (t) => {
  const cwd = temporaryFolder(t);
  writeFileSync(join(cwd, 'micro.yaml'), microScenario);
  writeFileSync(join(cwd, 'gate.json'), '{ "scenario": "./micro.yaml", "set": ["duration=400ms"] }');
  const check = (...words: string[]) => pagefold(cwd, 'check', './gate.json', ...words);
  t.is(check().status, 2);
  t.is(check('--update').status, 0);
  const passed = check('--junit', 'check.xml');
  t.deepEqual([passed.status, passed.stdout], [0, './gate.json: passed\n']);
  t.regex(readFileSync(join(cwd, 'check.xml'), 'utf8'), /tests="1" failures="0" errors="0"/);
  writeFileSync(join(cwd, 'micro.yaml'), microScenario.replace('unique: 1MiB', 'unique: 2MiB'));
  const moved = check();
  t.is(moved.status, 1);
  t.regex(moved.stdout, /guests\.m-1\.figures\.resident_pages: was \d+, is \d+ \(\+256, /);
});

test('a folder that cannot be made, or is of another version, is told, and nothing is overwritten', (t) => {
  const cwd = temporaryFolder(t);
  writeFileSync(join(cwd, 'micro.yaml'), microScenario);
  writeFileSync(join(cwd, 'file'), '');
  for (const [name, sweep] of [
    ['one', ''],
    ['several', 'sweep: { seed: [1] }\n'],
  ] as const) {
    writeFileSync(join(cwd, `${name}.yaml`), microScenario + sweep);
    const { status, stderr } = pagefold(cwd, 'run', `./${name}.yaml`, '--out', 'file');
    t.is(status, 2);
    t.regex(
      stderr,
      /^(?:run .*\n)?pagefold: file\/.*: the folder cannot be made \(ENOTDIR\)\. Remedy: give an --out/,
    );
  }
  t.is(pagefold(cwd, 'run', './micro.yaml', ...short).status, 0);
  const [folder] = readdirSync(join(cwd, 'runs'));
  const manifest = join(cwd, 'runs', folder!, 'manifest.json');
  writeFileSync(
    manifest,
    readFileSync(manifest, 'utf8').replace(/"formatVersion": \d+/, '"formatVersion": 99'),
  );
  for (const words of [
    ['run', './micro.yaml', ...short],
    ['report', `runs/${folder}`],
  ]) {
    const { status, stderr } = pagefold(cwd, ...words);
    t.is(status, 2);
    t.regex(stderr, /formatVersion: the folder has format 99, this pagefold reads format \d/);
    t.is(stderr.match(/Remedy/g)?.length, 1, stderr);
  }
});

test('density says how many guests fit by policy', (t) => {
  const cwd = temporaryFolder(t);
  writeFileSync(join(cwd, 'micro.yaml'), `${microScenario}slo: { application_p50: 1ms }\n`);
  const words = ['density', './micro.yaml', '--policy', 'none', '--most', '2', ...short];
  const { status, stdout, stderr } = pagefold(cwd, ...words);
  t.is(status, 0, stderr);
  t.regex(stdout, /^POLICY {2}GUESTS {5}PER GIB\nnone {4}2 or more {2}32\.0\n/);
  t.regex(stderr, /none, 2 guests: they fit\n/);
});

test('a mistake is one message and status 2, and nothing is started', (t) => {
  const cwd = temporaryFolder(t);
  writeFileSync(join(cwd, 'micro.yaml'), microScenario.replace('memory: 64MiB', 'memory: 64'));
  for (const [words, message] of [
    [['run', './micro.yaml'], 'pagefold: ./micro.yaml:4:17: host.memory: 64 has no unit. Remedy: '],
    [
      ['run', 'quikstart'],
      'pagefold: quikstart: no scenario has this name. Remedy: did you mean quickstart?',
    ],
    [['run', '--seed', 'x'], 'pagefold: --seed x: not a whole number from 0 to 4294967295. Remedy: '],
    [['run', '--workers', '0'], 'pagefold: --workers 0: not a whole number from 1 to 64. Remedy: '],
    [
      ['run', '--ressume'],
      'pagefold: --ressume: there is no such option here. Remedy: did you mean --resume?',
    ],
    [
      ['density', './micro.yaml', '--policy', 'ksm+ballon'],
      'pagefold: --policy ksm+ballon: there is no such policy. Remedy: did you mean ksm+balloon?',
    ],
    [['report', 'none'], 'pagefold: none: this is no folder of a run, a sweep or a density search. Remedy: '],
    [['report'], 'pagefold: report: the folder of a run is missing. Remedy: '],
  ] as const) {
    const { status, stdout, stderr } = pagefold(cwd, ...words);
    t.deepEqual([status, stdout], [2, ''], words.join(' '));
    t.true(stderr.startsWith(message), `${stderr}\nwanted ${message}`);
    t.is(stderr.split('\n').length, 2, stderr);
  }
  t.deepEqual(readdirSync(cwd), ['micro.yaml']);
});
