import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { readConsole, readRun } from '../../reports/format/read.ts';
import { UserError } from '../../workloads/images/user-error.ts';
import { parseScenario } from '../scenario/load.ts';
import type { MakeHost } from './host.ts';
import { makeHost } from './hypervisorhost.ts';
import { planRuns } from './plan.ts';
import { runScenario } from './runner.ts';
import {
  contents,
  failingAt,
  microScenario,
  plansOf,
  runOptions,
  runText,
  temporaryFolder,
} from './testing/micro.ts';

test('a run of two guests: samples, states, lines, latencies and summary', async (t) => {
  const { folder, result } = await runText(microScenario, temporaryFolder(t));
  const { tables, events, workload, manifest } = await readRun(folder);
  t.true(manifest.complete);
  t.like(manifest, {
    scenario: { name: 'micro', seed: 1 },
    guests: [{ name: 'm-1' }, { name: 'm-2' }],
    images: [{ name: 'microguest' }],
  });
  const { samples, guests } = tables;
  t.deepEqual([...samples.numbers('time_ns')], [2e8, 4e8, 6e8, 8e8, 1e9]);
  t.deepEqual([...samples.numbers('guests_up')], [2, 2, 2, 2, 2]);
  t.is(samples.numbers('believed_bytes')[0], 32 * 2 ** 20);
  // Every page of the recipe has a frame of its own, since nothing is merged; both guests have the same number of them.
  const resident = guests.numbers('resident_pages');
  t.true(resident[0]! >= 768 && resident[0]! < 800, `${resident[0]}`);
  t.true(resident.every((pages) => pages === resident[0]));
  t.is(samples.numbers('frames_private')[4], 2 * resident[0]!);
  // One frame is the zero page.
  t.is(samples.numbers('frames_free')[4], 64 * 256 - 2 * resident[0]! - 1);
  t.deepEqual(
    events.map(({ event, guest }) => [event, guest]),
    [
      ['guest_started', 'm-1'],
      ['guest_up', 'm-1'],
      ['workload_started', 'm-1'],
      ['guest_started', 'm-2'],
      ['guest_up', 'm-2'],
      ['workload_started', 'm-2'],
    ],
  );
  t.is(events[3]!.time_ns, 150e6);
  const ready = workload.filter(({ event }) => event === 'ready');
  t.deepEqual(
    ready.map(({ guest, memory_pages }) => [guest, memory_pages]),
    [
      ['m-1', 4096],
      ['m-2', 4096],
    ],
  );
  // What the guest says of its own time agrees with the host's.
  t.true(
    workload.every(({ at_ns, time_ns }) => Number(at_ns) <= time_ns && Number(at_ns) > time_ns - 200_000),
  );
  const counted = workload.filter(({ guest, event }) => guest === 'm-1' && event === 'latency');
  const { read, write } = result.guests['m-1']!.latency.application;
  t.is(
    read!.count + write!.count,
    counted.reduce((sum, { count }) => sum + Number(count), 0),
  );
  // 1000 accesses a second, reported up to 0.9 s.
  t.true(read!.count + write!.count > 890, `${read!.count + write!.count}`);
  t.like(result, {
    complete: true,
    virtual_ns: 1e9,
    samples: 5,
    host: { peak: { guests_up: 2, used_pages: 2 * resident[0]! + 1 } },
    guests: { 'm-2': { state: 'up' } },
  });
});

test('the oracle accounts for every page that is not saved, and merges are measured', async (t) => {
  const ksm = 'ksm: { profile: linux-6.12, pages_to_scan: 300, max_page_sharing: 200, start: 100ms }';
  const { folder, result } = await runText(
    microScenario.replace('cpus: 1', `cpus: 1, ${ksm}`),
    temporaryFolder(t),
  );
  const { samples, guests } = (await readRun(folder)).tables;
  const reasons = ['unscanned', 'volatile', 'skipped', 'capped', 'ineligible'];
  for (let row = 0; row < samples.numbers('time_ns').length; row++) {
    const at = (name: string) => samples.numbers(name)[row]!;
    const unsaved = reasons.reduce((sum, reason) => sum + at(`unsaved_${reason}`), 0);
    t.is(at('saved_merged') + at('saved_zero') + unsaved, at('ideal_saved') + (at('saved_zero') > 0 ? 1 : 0));
    t.is(at('ideal_within') + at('ideal_across'), at('ideal_saved'));
  }
  // 500 writes a second fall on 768 pages a guest. After 0.9 s, 0.56 of the zeros (of 512) and 0.31 of the pages that both have
  // (256 of each) are as they were: about 364, of which 200 at most share a frame.
  const { ideal_saved: ideal } = result.host.oracle;
  t.true(ideal! > 330 && ideal! < 400, `${ideal}`);
  t.true(result.host.oracle.unsaved_capped! > 0);
  const { merging } = result.host;
  t.true(merging!.saved_byte_seconds > 0);
  t.true(merging!.saved_byte_seconds < merging!.saved_peak_bytes);
  t.true(merging!.lifetime!.count > 0, 'the workload writes to merged pages');
  t.true(merging!.duplicate_to_merge!.count > 0);
  // First touches are CPU time: nobody stood still, and the guest that was switched on later did not wait before.
  t.deepEqual([...guests.numbers('stall_ns')], new Array(10).fill(0));
  t.true(guests.numbers('fault_ns').every((ns) => ns >= 768 * 3600));
});

test('the books are proved at each sample when that is asked for, and a run whose books are wrong fails', async (t) => {
  let proofs = 0;
  const make: MakeHost = async (setup) => {
    const host = await makeHost(setup);
    host.check = () => {
      if (++proofs === 3) throw new Error('the books are wrong');
    };
    return host;
  };
  const out = temporaryFolder(t);
  await runText(microScenario, out, { makeHost: make });
  t.is(proofs, 0);
  await t.throwsAsync(runText(microScenario, out, { makeHost: make, check: true }), {
    message: 'the books are wrong',
  });
  t.is(proofs, 3);
});

test('two runs have the same bytes, and another seed is another run', async (t) => {
  const first = await runText(microScenario, temporaryFolder(t));
  const second = await runText(microScenario, temporaryFolder(t));
  t.deepEqual(contents(first.folder), contents(second.folder));
  const other = await runText(microScenario.replace('duration', 'seed: 2\nduration'), temporaryFolder(t));
  t.not(other.result.digest, first.result.digest);
});

test('phases: balloons are set, workloads begin, guests are added and removed, at their times', async (t) => {
  const text = `${microScenario}phases:
  - { at: 305ms, do: set balloon, guests: m-2, target: 4MiB }
  - { at: 500ms, do: add guests, group: { name: late, image: microguest, memory: 16MiB } }
  - { at: 600ms, do: start workload, guests: m-1, workload: { name: recipe, area: [{ zero: 1MiB }, { equal: 1MiB }, { unique: 1MiB }], rate: 10 } }
  - { at: 700ms, do: remove guests, guests: [m-2, late] }
`;
  const { folder, result } = await runText(text, temporaryFolder(t));
  const { tables, events } = await readRun(folder);
  const { guests, samples } = tables;
  const of = (column: string, guest: string) =>
    [...guests.numbers(column)].filter((_, row) => guests.names('guest')[row] === guest);
  t.deepEqual(of('balloon_target_pages', 'm-2'), [0, 1024, 1024, 1024, 1024]);
  t.deepEqual(of('balloon_actual_pages', 'm-2'), [0, 1024, 1024, 1024, 1024]);
  t.deepEqual(of('resident_pages', 'late-1').slice(0, 2), [0, 0]);
  t.true(of('resident_pages', 'late-1')[2]! > 0);
  t.deepEqual([...samples.numbers('guests_up')], [2, 2, 3, 1, 1]);
  t.deepEqual([...samples.numbers('guests_ended')], [0, 0, 0, 2, 2]);
  t.deepEqual(of('resident_pages', 'm-2').slice(3), [0, 0]);
  const told = events.map(({ time_ns, event, guest, ...more }) => [time_ns, event, guest ?? more.action]);
  for (const wanted of [
    [305e6, 'phase', 'set balloon'],
    [500e6, 'guest_started', 'late-1'],
    [600e6, 'phase', 'start workload'],
    [700e6, 'phase', 'remove guests'],
    [700e6, 'guest_ended', 'm-2'],
    [700e6, 'guest_ended', 'late-1'],
  ]) {
    t.true(
      told.some((each) => JSON.stringify(each) === JSON.stringify(wanted)),
      `${wanted}`,
    );
  }
  const finished = events.find(({ event }) => event === 'workload_finished')!;
  t.like(finished, { guest: 'm-1', workload: 'recipe' });
  t.true(finished.time_ns > 600e6 && finished.time_ns <= 601e6);
  t.is(result.guests['m-2']!.state, 'ended');
});

test('latencies of the warm-up are not counted', async (t) => {
  const text = microScenario.replace('sample:', 'warmup: 505ms\nsample:');
  const { folder, result } = await runText(text, temporaryFolder(t));
  const { workload } = await readRun(folder);
  const lines = workload.filter(({ guest, event }) => guest === 'm-1' && event === 'latency');
  const counted = lines.filter(({ time_ns }) => time_ns > 505e6);
  t.true(counted.length < lines.length);
  const { read, write } = result.guests['m-1']!.latency.application;
  t.is(
    read!.count + write!.count,
    counted.reduce((sum, { count }) => sum + Number(count), 0),
  );
});

test('bounds are met or missed by the worst guest', async (t) => {
  const slo = 'slo: { application_max: 1ns, application_p50: 1ms, fault_p99: 1s }\n';
  const { result } = await runText(`${microScenario}${slo}`, temporaryFolder(t));
  t.deepEqual(
    result.slo.map(({ name, met }) => [name, met]),
    [
      ['fault_p99', true],
      ['application_p50', true],
      ['application_max', false],
    ],
  );
});

test('an interrupted run has all that was there, and says so', async (t) => {
  const out = temporaryFolder(t);
  const controller = new AbortController();
  const { folder, result } = await runText(microScenario, out, {
    signal: controller.signal,
    progress: ({ time }) => {
      if (time >= 5e8) controller.abort();
    },
  });
  t.true(folder.endsWith('.partial'));
  t.like(result, { complete: false, reason: 'interrupted at 500ms of virtual time', samples: 2 });
  const run = await readRun(folder);
  t.is(run.tables.samples.rows, 2);
  t.is(run.manifest.reason, result.reason);
  // The same run again takes its place.
  const whole = await runText(microScenario, out);
  t.deepEqual(readdirSync(out), [whole.folder.slice(out.length + 1)]);
});

test('a host that fails leaves what was there, and the reason', async (t) => {
  const out = temporaryFolder(t);
  const [plan] = await plansOf(microScenario);
  const run = runScenario(plan!, runOptions(out, { makeHost: failingAt(3e8) }));
  await t.throwsAsync(run, { message: 'the host is on fire' });
  const { manifest, tables } = await readRun(`${out}/${plan!.folderName}.partial`);
  t.is(manifest.reason, 'the host failed at 300ms of virtual time: the host is on fire');
  t.is(tables.samples.rows, 1);
});

test('what the host cannot be is said before anything is written', async (t) => {
  const out = temporaryFolder(t);
  const text = microScenario.replace('cpus: 1', 'cpus: 1, ksm: { scanner: esx, knobs: { ShareScan: 1 } }');
  await t.throwsAsync(() => runText(text, out), {
    instanceOf: UserError,
    message: /^host\.ksm: ShareScan: the scanner esx has no knob 'ShareScan'/,
  });
  t.deepEqual(readdirSync(out), []);
});

test('a scanner of one’s own is a file beside the scenario', async (t) => {
  const out = temporaryFolder(t);
  const linux = new URL('../../hypervisor/ksm/linux/scanner.ts', import.meta.url);
  const source = `import { LinuxScanner } from '${linux}';
export function createScanner(options) {
  const scanner = new LinuxScanner('linux-6.12', options);
  const counters = scanner.counters.bind(scanner);
  scanner.counters = () => ({ ...counters(), my_counter: 7 });
  return scanner;
}
`;
  writeFileSync(join(out, 'mine.ts'), source);
  const ksm = 'ksm: { scanner: ./mine.ts, knobs: { pages_to_scan: 5000 } }';
  const text = microScenario.replace('cpus: 1', `cpus: 1, ${ksm}`);
  const loaded = await parseScenario(join(out, 'micro.yaml'), text, { set: [] });
  const [plan] = await planRuns(loaded, () => {});
  const { folder, result } = await runScenario(plan!, runOptions(out));
  const { columns, tables } = await readRun(folder);
  t.true(result.ksm.pages_sharing! > 256);
  t.is(tables.samples.numbers('my_counter')[4], 7);
  t.is(columns.find(({ name }) => name === 'my_counter')!.meaning, 'The scanner’s own counter my_counter');
  writeFileSync(join(out, 'mine.ts'), `${source}// changed\n`);
  const [changed] = await planRuns(loaded, () => {});
  t.not(changed!.digest, plan!.digest, 'another scanner is another run');
});

test('policies set balloons, and a knob that is refused is told', async (t) => {
  const text = microScenario
    .replace('cpus: 1', 'cpus: 1, ksm: {}, balloon: { policy: static, target: 4MiB }')
    .replace('duration: 1s', 'duration: 3s');
  const phases = `phases:
  - { at: 1500ms, do: set balloon, guests: m-2, target: 2MiB }
  - { at: 2s, do: set knobs, knobs: { max_page_sharing: 2 } }
`;
  const { folder } = await runText(`${text}${phases}`, temporaryFolder(t));
  const { tables, events } = await readRun(folder);
  const { guests } = tables;
  t.deepEqual([...guests.numbers('balloon_actual_pages').slice(-2)], [1024, 512]);
  t.regex(
    String(events.find(({ event }) => event === 'knob_refused')!.reason),
    /max_page_sharing.*EBUSY|EBUSY/,
  );
});

test('merging, swap and what they cost are measured', async (t) => {
  const host =
    'host: { memory: 16MiB, cpus: 1, swap: { size: 64MiB }, ksm: { pages_to_scan: 2000, start: 500ms } }';
  const text = microScenario
    .replace('host: { memory: 64MiB, cpus: 1 }', host)
    .replaceAll('unique: 1MiB', 'unique: 10MiB');
  const { folder, result } = await runText(text, temporaryFolder(t));
  const { tables, events } = await readRun(folder);
  const { samples, guests } = tables;
  const column = (name: string) => samples.numbers(name);
  for (let row = 0; row < samples.rows; row++) {
    const at = (name: string) => column(name)[row]!;
    const frames = ['free', 'private', 'zero', 'ksm', 'swapcache'].map((name) => at(`frames_${name}`));
    t.is(
      frames.reduce((sum, count) => sum + count, 0),
      4096,
      'every frame is in one class',
    );
    t.is(at('cpu_guests_ns') + at('cpu_ksmd_ns') + at('cpu_kswapd_ns') + at('cpu_idle_ns'), at('time_ns'));
  }
  // Each guest fills 12 MiB, of which 1 MiB is zero, 1 MiB is the other's too and 10 MiB are its own.
  t.true(column('swap_slots_used')[1]! > 1024);
  t.true(column('pswpout')[4]! >= column('swap_slots_used')[4]!);
  t.true(column('pswpin')[4]! > 0);
  t.is(column('saved_merged')[1], 0);
  t.true(column('saved_merged')[4]! > 0);
  t.is(events.filter(({ event }) => event === 'ksm_started')[0]!.time_ns, 5e8);
  const whole = ['resident', 'swapped', 'ballooned', 'reported', 'untouched'];
  const pages = whole.map((name) => guests.numbers(`${name}_pages`)[9]!);
  t.is(
    pages.reduce((sum, count) => sum + count, 0),
    4096,
    'every page of a guest is somewhere',
  );
  const { fault } = result.guests['m-1']!.latency;
  t.is(fault.swap_in!.count, guests.numbers('faults_swap_in')[8]!);
  t.true(fault.swap_in!.p50_ns > 90_000, 'no less than the device takes');
  t.is(
    fault.all!.count,
    Object.entries(fault).reduce((sum, [cause, { count }]) => (cause === 'all' ? sum : sum + count), 0),
  );
});

test('guests that execute are interrupted when the host changes their mappings', async (t) => {
  const used = await Promise.all(
    [0, 50_000].map(async (shootdown) => {
      const host = `host: { memory: 16MiB, cpus: 2, swap: { size: 64MiB }, cost: { shootdown: ${shootdown} } }`;
      const text = microScenario
        .replace('host: { memory: 64MiB, cpus: 1 }', host)
        .replaceAll('unique: 1MiB', 'unique: 10MiB');
      const { samples } = (await readRun((await runText(text, temporaryFolder(t))).folder)).tables;
      return samples.numbers('cpu_guests_ns').at(-1)!;
    }),
  );
  // Reclaim looks at the pages of both while they fill their areas.
  t.true(used[1]! > used[0]! + 20 * 50_000, `${used}`);
});

test('guests for whom there is no memory end, and that is told', async (t) => {
  const text = microScenario
    .replace('memory: 64MiB', 'memory: 16MiB')
    .replaceAll('unique: 1MiB', 'unique: 10MiB');
  const { folder, result } = await runText(text, temporaryFolder(t));
  const { events } = await readRun(folder);
  t.is(Object.values(result.guests).filter(({ state }) => state === 'failed').length, 1);
  t.regex(String(events.find(({ event }) => event === 'oom')!.reason), /the host is out of memory/);
  t.like(
    events.find(({ event }) => event === 'guest_ended'),
    { expected: false },
  );
});

test('consoles are kept', async (t) => {
  const { folder } = await runText(microScenario, temporaryFolder(t));
  t.is(await readConsole(folder, 'm-1'), '');
});
