import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { microScenario, runOptions, temporaryFolder } from '../run/testing/micro.ts';
import type { Baseline } from './baseline.ts';
import { type CheckOptions, checkBaseline } from './check.ts';
import { exitStatus, junit, type Verdict, verdictText } from './verdict.ts';

/** A baseline of a scenario in a folder of its own, recorded. */
async function recorded(t: ExecutionContext) {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'micro.yaml'), microScenario);
  const file = join(folder, 'gate.json');
  writeFileSync(file, '{ "scenario": "./micro.yaml" }');
  const check = (more: Partial<CheckOptions> = {}) =>
    checkBaseline(file, {
      ...runOptions(join(folder, 'runs')),
      update: false,
      named: true,
      runBegins: () => () => {},
      building: () => {},
      now: () => 0,
      ...more,
    });
  const edit = (change: (baseline: Baseline & Record<string, unknown>) => void) => {
    const baseline = JSON.parse(readFileSync(file, 'utf8'));
    change(baseline);
    writeFileSync(file, JSON.stringify(baseline));
  };
  return { folder, file, check, edit };
}

test('what is recorded passes, again and again; what is not recorded cannot be checked', async (t) => {
  const { check, file } = await recorded(t);
  t.like(await check(), { kind: 'could not run', details: { length: 1 } });
  t.like(await check({ update: true }), { kind: 'recorded' });
  const text = readFileSync(file, 'utf8');
  t.like(await check(), { kind: 'passed', details: [] });
  t.like(await check(), { kind: 'passed', details: [] });
  await check({ update: true });
  t.is(readFileSync(file, 'utf8'), text, 'recorded anew, it is the same');
});

test('a change of the scenario is found: which figure, by how much, since which sample', async (t) => {
  const { check, folder } = await recorded(t);
  await check({ update: true });
  // From 600 ms on, one guest has a balloon.
  const phases = 'phases: [{ at: 600ms, do: set balloon, guests: m-2, target: 1MiB }]\n';
  writeFileSync(join(folder, 'micro.yaml'), `${microScenario}${phases}`);
  const { kind, details } = await check();
  t.is(kind, 'regressed');
  t.true(
    details.includes('guests.m-2.figures.balloon_target_pages: was 0, is 256 (+256)'),
    details.join('\n'),
  );
  t.true(details.includes('the runs differ since sample 3, at 600ms of virtual time'), details.join('\n'));
});

test('a change on the way is found though the end is the same', async (t) => {
  const { check, edit } = await recorded(t);
  await check({ update: true });
  edit(({ recorded }) => {
    recorded!.samples[1] = '00000000';
  });
  t.like(await check(), {
    kind: 'regressed',
    details: { 0: 'the runs differ since sample 2, at 400ms of virtual time' },
  });
});

test('tolerances hold for the figures that they name', async (t) => {
  const { check, edit } = await recorded(t);
  await check({ update: true });
  const figure = 'guests.m-1.figures.instructions';
  edit((baseline) => {
    baseline.recorded!.figures[figure]! += 10;
  });
  const strict = await check();
  t.is(strict.kind, 'regressed');
  t.regex(strict.details[0]!, /^guests\.m-1\.figures\.instructions: was \d+, is \d+ \(-10, -0\.00\d+ %\)$/);
  edit((baseline) => {
    baseline.tolerance = { 'guests.*.figures.instructions': '0.1%' };
  });
  const tolerant = await check();
  t.is(tolerant.kind, 'passed');
  t.regex(tolerant.details[0]!, /which is tolerated$/);
  edit((baseline) => {
    baseline.tolerance = { 'guests.*.figures.instructions': 9 };
  });
  t.is((await check()).kind, 'regressed');
});

test('figures that are gone are a regression, new ones are only mentioned', async (t) => {
  const { check, edit } = await recorded(t);
  await check({ update: true });
  edit(({ recorded }) => {
    const { figures, columns } = recorded!;
    delete figures['host.frames.free'];
    columns.samples.splice(columns.samples.indexOf('frames_free'), 1);
    figures['ksm.pages_sharing'] = 7;
  });
  const { kind, details } = await check();
  t.is(kind, 'regressed');
  t.is(details[0], 'ksm.pages_sharing: was 7, is not there any more');
  t.true(details.includes('1 figures are new, and not held: host.frames.free'), details.join('\n'));
});

test('other bits are another baseline, and that is said', async (t) => {
  const { check, edit } = await recorded(t);
  await check({ update: true });
  edit(({ recorded }) => {
    recorded!.images.microguest = 'ff'.repeat(32);
  });
  const { kind, details } = await check();
  t.is(kind, 'could not run');
  t.regex(
    details[0]!,
    /images\.microguest: the figures were recorded with other bits: image ffffffffffff, and here/,
  );
  // A microguest is part of pagefold: other bits of it are a mistake, whoever asks. Another image may have moved on.
  t.like(await check({ named: false }), { kind: 'could not run' });
  edit(({ recorded }) => {
    recorded!.images['debian-busybox'] = 'ee'.repeat(32);
  });
  t.like(await check({ named: false }), { kind: 'left out', details });
  t.like(await check({ named: true }), { kind: 'could not run', details });
});

test('mistakes in a baseline or of its name cannot be run, with the remedy', async (t) => {
  const { check, edit, folder } = await recorded(t);
  edit((baseline) => {
    baseline.tolerence = {};
  });
  t.regex((await check()).details[0]!, /gate\.json: .*tolerence/);
  edit((baseline) => {
    delete baseline.tolerence;
    baseline.set = ['guests.0.count=x'];
  });
  t.regex((await check({ update: true })).details[0]!, /^--set guests\.0\.count=x: /);
  edit((baseline) => {
    baseline.set = [];
  });
  writeFileSync(join(folder, 'micro.yaml'), `${microScenario}sweep: { seed: [1, 2] }\n`);
  t.regex((await check({ update: true })).details[0]!, /a baseline is of one run, and micro sweeps seed/);
});

const verdicts: readonly Verdict[] = [
  { name: 'a', kind: 'passed', details: [], seconds: 1.5 },
  { name: 'b<', kind: 'regressed', details: ['x: was 1, is "2" & more', 'since\x01'], seconds: 2 },
  { name: 'c', kind: 'could not run', details: ['no image'], seconds: 0 },
  { name: 'd', kind: 'left out', details: ['other bits'], seconds: 0 },
];

test('the exit status is that of the worst', (t) => {
  const of = (...kinds: number[]) => exitStatus(kinds.map((index) => verdicts[index]!));
  t.deepEqual([of(), of(0), of(0, 3), of(0, 1), of(0, 2), of(2, 1)], [0, 0, 0, 1, 2, 1]);
});

test('verdicts are told in lines, and as JUnit XML', (t) => {
  t.is(verdictText(verdicts[1]!), 'b<: regressed\n  x: was 1, is "2" & more\n  since\x01\n');
  t.is(
    junit(verdicts),
    `<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="4" failures="1" errors="1" skipped="1" time="3.500">
  <testsuite name="pagefold check" tests="4" failures="1" errors="1" skipped="1" time="3.500">
    <testcase classname="pagefold.check" name="a" time="1.500"><system-out></system-out></testcase>
    <testcase classname="pagefold.check" name="b&lt;" time="2.000"><failure message="x: was 1, is &quot;2&quot; &amp; more">x: was 1, is &quot;2&quot; &amp; more
since?</failure></testcase>
    <testcase classname="pagefold.check" name="c" time="0.000"><error message="no image">no image</error></testcase>
    <testcase classname="pagefold.check" name="d" time="0.000"><skipped message="other bits">other bits</skipped></testcase>
  </testsuite>
</testsuites>
`,
  );
});
