/** The ten lines say what the tables say. */
import { join } from 'node:path';
import test from 'ava';
import { summarize } from './index.ts';
import { loadRuns } from './run.ts';
import { summaryOf } from './summary.ts';
import { temporaryFolder } from './testing/folders.ts';
import { makeRun } from './testing/generate.ts';

const folder = temporaryFolder(test);

/** The lines with all figures taken out, and the figures. */
async function summaryParts(path: string) {
  const lines = (await summarize(path)).split('\n');
  return { lines, answers: Object.fromEntries(lines.map((line) => line.split(/ {2,}/) as [string, string])) };
}

test('the lines of a run under pressure, one of them about its applications', async (t) => {
  const path = await makeRun(join(folder, 'whole'));
  const { lines, answers } = await summaryParts(path);
  t.is(lines.length, 12);
  t.regex(answers['An operation took']!, /^\w+ p50 [\d.]+ .s, p99 [\d.]+ .s, p99\.9 [\d.]+ .s(?:; |$)/);
  t.is(lines.at(-1), '');
  const [run] = await loadRuns([path]);
  const mib = (name: string) => String(Number(run!.samples.last(name) / 256).toPrecision(3));
  t.is(answers.Guests, '4 of 4 up at a time, 60 s of virtual time');
  t.is(answers['They believe'], '1,024 MiB, 3.20 times the 320 MiB of the host');
  const used = ['private', 'zero', 'ksm', 'swapcache'].reduce(
    (sum, name) => sum + run!.samples.last(`frames_${name}`) / 256,
    0,
  );
  t.true(
    answers['The host used']!.startsWith(`${used.toPrecision(3)} MiB at the end, `),
    answers['The host used'],
  );
  t.true(answers['Merging saved']!.startsWith(`${mib('saved_merged')} MiB (`));
  t.regex(answers['Merging saved']!, /; with zeros \d+\.\d % of the bound$/);
  t.true(answers['Balloons saved']!.startsWith(`${mib('saved_ballooned')} MiB (`));
  t.regex(answers['Swap saved']!, /pages written, [\d,]+ read$/);
  t.regex(
    answers['A wait for memory took']!,
    /^p50 [\d.]+ µs, p99 \d+ µs, p99\.9 [\d.]+ ms; stalled [\d.]+ % of vCPU time$/,
  );
  const ksmd = (100 * run!.samples.last('cpu_ksmd_ns')) / run!.samples.last('time_ns');
  t.true(answers['ksmd used']!.startsWith(`${ksmd.toFixed(1)} % of a CPU, kswapd `), answers['ksmd used']);
  t.regex(answers.Bounds!, /^fault_p99 \d+ µs, within 5 ms$/);
});

test('techniques that are off saved nothing, and the lines say why', async (t) => {
  const path = await makeRun(join(folder, 'off'), {
    ksm: false,
    balloon: false,
    swap: false,
    slo: false,
    samples: 5,
  });
  const { answers } = await summaryParts(path);
  t.is(answers['Merging saved'], 'nothing: ksm is off');
  t.is(answers['Balloons saved'], 'nothing: there is no policy');
  t.is(answers['Swap saved'], 'nothing: there is none');
  t.regex(answers['ksmd used']!, /^nothing: ksm is off; guests waited/);
  t.is(answers.Bounds, 'none set');
});

test('a partial run says why; one that was killed does not know its stalls', async (t) => {
  const cut = await summaryParts(await makeRun(join(folder, 'cut'), { interrupted: true, samples: 10 }));
  t.is(cut.answers.Guests, '4 of 4 up at a time, 36 s of virtual time; partial: the run was interrupted');
  const killed = await makeRun(join(folder, 'killed'), { interrupted: true, killed: true, samples: 10 });
  t.is(
    (await summaryParts(killed)).answers['A wait for memory took'],
    'an unknown time: the run ended before it was written',
  );
});

test('a run without a sample has ten lines too, none of which makes a figure up', async (t) => {
  const path = await makeRun(join(folder, 'empty'), { interrupted: true, killed: true, samples: 0 });
  const [run] = await loadRuns([path]);
  const lines = summaryOf(run!);
  t.is(lines.length, 10);
  t.true(
    lines.slice(1).every(({ answer }) => answer === 'not known: nothing was sampled (the run was killed)'),
  );
});
