/**
 * Guests that check every page they use, on a host with a fraction of their memory: merging, balloons and swap together
 * lose nothing, and when the swap fails, only those pay whose pages are gone. The microguests' version of the scenario `nothing-lost`.
 */
import test, { type ExecutionContext } from 'ava';
import type { RunEvent } from '../../reports/format/lines.ts';
import { type RunFolder, readRun } from '../../reports/format/read.ts';
import type { MakeHost, RunHost } from './host.ts';
import { type Means, makeHost } from './hypervisorhost.ts';
import { flippingBits, fullDisk } from './testing/failingswap.ts';
import { findings, survivors, trouble } from './testing/findings.ts';
import { contents, runText, temporaryFolder } from './testing/micro.ts';

const names = Array.from({ length: 8 }, (_, i) => `m-${i + 1}`);

/** 8 guests of 16 MiB, each with an area of 8 MiB and pages that it gave away, on a host of 20 MiB. */
function scenario(swap: string, duration: string): string {
  return `name: nothing-lost-micro
duration: ${duration}
sample: 500ms
host:
  memory: 20MiB
  cpus: 2
  swap: { size: ${swap}, device: nvme }
  ksm: { pages_to_scan: 1000, sleep_millisecs: 20, use_zero_pages: 1 }
  balloon: { policy: static, target: 4MiB }
guests:
  - name: m
    count: ${names.length}
    image: microguest
    memory: 16MiB
    stagger: 20ms
    workload:
      name: recipe
      area: [{ zero: 1MiB }, { equal: 2MiB }, { within: 1MiB, groups: 16 }, { unique: 4MiB }, { freed: 1MiB }]
      rate: 1000
      write_share: 0.3
      check: page
      verify: 500ms
`;
}

interface Lost {
  readonly run: RunFolder;
  readonly bytes: Record<string, string>;
  /** The host's state at each sample. */
  readonly states: string[];
  readonly found: ReturnType<typeof findings>;
  /** What happened besides guests coming up. */
  readonly trouble: readonly RunEvent[];
}

/** Runs with the books proved at each sample. */
async function lost(t: ExecutionContext, text: string, means: Means = {}, workers = 1): Promise<Lost> {
  const states: string[] = [];
  const make: MakeHost = async (setup) => {
    const host: RunHost = await makeHost(setup, means);
    const check = host.check.bind(host);
    host.check = () => {
      check();
      states.push(host.stateHash());
    };
    return host;
  };
  const { folder } = await runText(text, temporaryFolder(t), {
    makeHost: make,
    check: true,
    workers,
  });
  const run = await readRun(folder);
  return { run, bytes: contents(folder), states, found: findings(run), trouble: trouble(run) };
}
/** The guests that are up at the end, which have verified their areas; none has found anything wrong. */
function unharmed(t: ExecutionContext, { run, found }: Lost): string[] {
  const up = survivors(run);
  for (const name of names) t.is(found[name]!.errors, 0, name);
  for (const name of up) t.true(found[name]!.verified >= 1, `${name} has verified its area`);
  return up;
}

test('merging, balloons and swap lose nothing, and do the same in every run, translated or not', async (t) => {
  const text = scenario('128MiB', '3s');
  const one = await lost(t, text);
  t.true(one.run.manifest.complete);
  t.deepEqual(unharmed(t, one), names);
  t.deepEqual(one.trouble, []);
  const { samples } = one.run.tables;
  for (const figure of [
    'pages_sharing',
    'ksm_zero_pages',
    'cow_ksm',
    'saved_ballooned',
    'pswpin',
    'pswpout',
  ]) {
    const most = Math.max(...samples.numbers(figure));
    t.true(most > 10, `${figure} comes to ${most}`);
  }
  t.is(one.states.length, 6);
  for (const means of [{}, { translate: false }] as const) {
    const other = await lost(t, text, means);
    t.deepEqual(other.states, one.states);
    t.deepEqual(other.bytes, one.bytes);
  }
});

test('guests on several threads do the same as on one', async (t) => {
  const text = `${scenario('128MiB', '2s')}phases:
  - { at: 600ms, do: set balloon, guests: [m-3, m-4], target: 2MiB }
  - { at: 1s, do: remove guests, guests: [m-2, m-5] }
`;
  const one = await lost(t, text);
  t.is(one.states.length, 4);
  for (const workers of [2, 3]) {
    const other = await lost(t, text, {}, workers);
    t.deepEqual(other.states, one.states, `${workers} threads`);
    t.deepEqual(other.bytes, one.bytes, `${workers} threads`);
  }
});

test('swap is exhausted: the largest guests end, the others lose nothing', async (t) => {
  const all = await lost(t, scenario('24MiB', '1500ms'));
  t.deepEqual((await lost(t, scenario('24MiB', '1500ms'), {}, 2)).bytes, all.bytes);
  const victims = all.trouble.flatMap(({ event, victim }) => (event === 'oom' ? [victim] : []));
  t.true(victims.length >= 1 && victims.length <= 4, `${victims}`);
  const up = unharmed(t, all);
  t.deepEqual([...up, ...victims].sort(), names);
  t.regex(
    String(all.trouble[0]!.reason),
    /^the host is out of memory: no frame of 5120 can be taken back, 6144 of 6144 pages of swap are used; .* \(policy: largest\)\. Give/,
  );
});

test('a page of swap is not what was written: its guest ends, the others lose nothing', async (t) => {
  const means = { openSwap: (path: string) => flippingBits(path, [3000]) };
  const all = await lost(t, scenario('128MiB', '3s'), means);
  // The file has a name of its own in each run, which stands in what is told.
  t.deepEqual((await lost(t, scenario('128MiB', '3s'), means, 2)).states, all.states);
  t.deepEqual(
    all.trouble.map(({ event }) => event),
    ['swap_error', 'guest_ended'],
  );
  const [trouble, ended] = all.trouble;
  t.regex(
    String(trouble!.reason),
    /^swap slot \d+ of .* does not have what was written .*: its page \d+ is lost$/,
  );
  t.deepEqual([ended!.guest, ended!.reason, ended!.expected], [trouble!.guest, trouble!.reason, false]);
  t.is(unharmed(t, all).length, names.length - 1);
});

test('the disk of the swap is full: the host goes on with what it has', async (t) => {
  const all = await lost(t, scenario('128MiB', '1500ms'), { openSwap: (path) => fullDisk(path, 24 << 20) });
  t.is(all.trouble[0]!.event, 'swap_error');
  t.regex(String(all.trouble[0]!.reason), / cannot be written: ENOSPC: .* make room on its disk$/);
  const victims = all.trouble.flatMap(({ event, victim }) => (event === 'oom' ? [victim] : []));
  t.true(victims.length >= 1 && victims.length <= 4, `${victims}`);
  t.deepEqual([...unharmed(t, all), ...victims].sort(), names);
});
