/** The workloads of Debian guests, on the emulator and on QEMU: they do what they are told and report it. */
import test, { type ExecutionContext } from 'ava';
import { startRequest, stopRequest, workloadParameters, workloadSchema } from '../catalog.ts';
import { resolveImage } from '../images/resolve.ts';
import { latencyLineSchema, type ReportLine } from '../report.ts';
import { emulate } from './testing/emulated.ts';
import { haveQemu, withQemu } from './testing/qemu.ts';

/** What the tests need of a guest, wherever it runs. */
interface Guest {
  tell(bytes: Uint8Array): void;
  report(event?: string): Promise<ReportLine>;
}

const workload = (given: object) => workloadSchema.parse(given);
const guestNumber = 5;

const firstFiles = workload({ name: 'files', size: '1MiB', rate: 500, pattern: 'sequential', check: 'page' });
const idle = workload({ name: 'idle' });

/** Reads lines up to the first of that event and gives all of them. */
async function reportsUntil(guest: Guest, event: string): Promise<ReportLine[]> {
  const lines: ReportLine[] = [];
  do lines.push(await guest.report());
  while (lines.at(-1)!.event !== event);
  return lines;
}

/** What the lines' latencies count, by name. */
function countsOf(lines: readonly ReportLine[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const line of lines) {
    if (line.event !== 'latency') continue;
    const { name, count, buckets } = latencyLineSchema.parse(line);
    counts[name] = (counts[name] ?? 0) + count;
    if (count !== buckets.reduce((sum, [, each]) => sum + each, 0)) throw new Error('buckets do not add up');
  }
  return counts;
}

/** Files from the start, then touchers and what is wrong. */
async function tryFilesAndToucher(t: ExecutionContext, guest: Guest): Promise<void> {
  const ready = await guest.report();
  t.deepEqual([ready.workload, ready.event], ['guest', 'ready']);
  t.true((ready.memory_pages as number) > 50_000 && (ready.memory_pages as number) < 65_536);
  const begun = await reportsUntil(guest, 'progress');
  t.deepEqual(
    begun.map(({ event }) => event),
    ['started', 'latency', 'progress'],
  );
  guest.tell(stopRequest());
  const files = [...begun, ...(await reportsUntil(guest, 'ended'))];
  const { reads, errors } = files.find(({ event }) => event === 'finished')!;
  t.true((reads as number) >= 400);
  t.is(errors, 0, 'every page of the file set is as it was built');
  t.deepEqual(countsOf(files), { read: reads });
  t.is(files.at(-1)!.status, 0);

  guest.tell(startRequest(idle, guestNumber));
  const started = await guest.report();
  t.deepEqual([started.workload, started.event], ['idle', 'started']);

  const toucher = workload({
    name: 'toucher',
    area: [
      { zero: 50 },
      { equal: 50 },
      { within: 50 },
      { unique: 300 },
      { changing: 10, rate: 100 },
      { freed: 90 },
    ],
    rate: 2000,
    write_share: 0.5,
    pattern: 'hotcold',
    duration: '500ms',
    verify: '200ms',
    phases: [{ rate: 'max', working_set: 100, duration: '200ms' }],
  });
  guest.tell(startRequest(toucher, guestNumber));
  const lines = await reportsUntil(guest, 'ended');
  t.deepEqual(
    lines.slice(0, 2).map(({ workload: name, event, pages }) => [name, event, pages]),
    [
      ['toucher', 'filled', 550],
      ['toucher', 'started', undefined],
    ],
  );
  t.true(lines.filter(({ event }) => event === 'verified').length >= 2);
  const end = lines.find(({ event }) => event === 'finished')!;
  t.is(end.errors, 0);
  const counts = countsOf(lines);
  t.is(counts.read, end.reads as number);
  const changed = (end.writes as number) - counts.write!;
  t.true(changed >= 60 && changed <= 75, `${changed} writes of changing pages, which are not measured`);
  t.true((end.reads as number) > 1000, 'the second phase makes as many as it can');

  guest.tell(startRequest(workload({ name: 'redis' }), guestNumber));
  t.is((await guest.report()).message, 'this image has no workload of that name');
  guest.tell(new TextEncoder().encode('dance\n'));
  t.is((await guest.report()).message, 'the guest knows no such command');
  // The set has 64 MiB.
  guest.tell(new TextEncoder().encode('start files equal=16385:1048575,rate=1\n'));
  const [refused, ended] = [await guest.report(), await guest.report()];
  t.deepEqual(
    [refused.message, refused.about, ended.status],
    ["the image's file set is smaller than the area", '/image/files/064', 1],
  );
}

/** Two rounds of Redis. */
async function tryRedis(t: ExecutionContext, guest: Guest): Promise<void> {
  const lines = await reportsUntil(guest, 'ended');
  t.deepEqual(
    lines.map(({ event, name }) => (name === undefined ? event : `${event} ${name}`)),
    [
      ...['ready', 'started', 'filled'],
      ...['latency set', 'progress set', 'latency get', 'progress get'],
      ...['latency set', 'progress set', 'latency get', 'progress get'],
      ...['finished', 'ended'],
    ],
  );
  t.deepEqual(countsOf(lines), { set: 400, get: 400 });
  for (const line of lines.filter(({ event }) => event === 'latency')) {
    const { buckets, max_ns: max } = latencyLineSchema.parse(line);
    const bounds = buckets.map(([bound]) => bound);
    t.deepEqual(
      bounds,
      [...bounds].sort((a, b) => a - b),
    );
    t.true(max > 0 && max <= bounds.at(-1)!);
  }
  t.is(lines.at(-1)!.status, 0);
}

const redis = workload({
  name: 'redis',
  keys: 100,
  value_size: 100,
  clients: 2,
  requests: 200,
  pause: '10ms',
  rounds: 2,
});

test.serial('on the emulator: files and toucher', async (t) => {
  const image = await resolveImage('debian-files');
  await tryFilesAndToucher(t, await emulate(image, workloadParameters(firstFiles, guestNumber)));
});

for (const name of ['debian-redis', 'debian-redis-disk']) {
  test.serial(`on the emulator: ${name}`, async (t) => {
    const image = await resolveImage(name);
    await tryRedis(t, await emulate(image, workloadParameters(redis, guestNumber)));
  });
}

const testOnQemu = haveQemu ? test.serial : test.skip;

testOnQemu('on QEMU: files and toucher, beside the control protocol', async (t) => {
  const image = await resolveImage('debian-files');
  const options = { ports: true, workload: workloadParameters(firstFiles, guestNumber) };
  await withQemu(image, options, async (guest) => {
    t.deepEqual(await guest.answer(), { kind: 'ready' });
    await tryFilesAndToucher(t, guest);
  });
});

for (const name of ['debian-redis', 'debian-redis-disk']) {
  testOnQemu(`on QEMU: ${name}`, async (t) => {
    const image = await resolveImage(name);
    const options = { ports: false, workload: workloadParameters(redis, guestNumber) };
    await withQemu(image, options, (guest) => tryRedis(t, guest));
  });
}
