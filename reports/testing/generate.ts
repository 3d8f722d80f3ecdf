/**
 * Run folders for tests, with figures that a plain model makes up: guests boot and fill, a scanner merges, a
 * balloon and swap answer when the host runs short. Nothing was emulated; the books add up as in a real run.
 */
import { type Column, columns } from '../format/columns.ts';
import { type Bucket, distributionOf } from '../format/distribution.ts';
import type { Manifest } from '../format/manifest.ts';
import { formatVersion } from '../format/names.ts';
import { sha256 } from '../format/read.ts';
import type { Result } from '../format/result.ts';
import { type LatencyRecord, RunFolderWriter } from '../format/write.ts';

const mebi = 2 ** 20;
const pagesPerMiB = 256;

/** What to make up. */
export interface MadeUp {
  readonly name?: string;
  readonly guests?: number;
  /** Memory of a guest and of the host, in MiB. */
  readonly guestMiB?: number;
  readonly hostMiB?: number;
  readonly ksm?: boolean;
  readonly balloon?: boolean;
  readonly swap?: boolean;
  readonly seconds?: number;
  readonly samples?: number;
  readonly seed?: number;
  readonly slo?: boolean;
  /** False for guests that have nothing in common. */
  readonly alike?: boolean;
  /** The run is interrupted; it then has no result when `killed`. */
  readonly interrupted?: boolean;
  readonly killed?: boolean;
  readonly parameters?: Manifest['parameters'];
  /** Columns of the tables that the run does not have. */
  readonly without?: readonly string[];
  readonly application?: boolean;
  readonly pagesToScan?: number;
}

type Resolved = Required<MadeUp>;

const defaults: Resolved = {
  name: 'made-up',
  guests: 4,
  guestMiB: 256,
  hostMiB: 320,
  ksm: true,
  balloon: true,
  swap: true,
  seconds: 60,
  samples: 120,
  seed: 1,
  slo: true,
  alike: true,
  interrupted: false,
  killed: false,
  parameters: {},
  without: [],
  application: true,
  pagesToScan: 1000,
};

/** Numbers between 0 and 1 that look random and are the same each time (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** From 0 to 1 around `middle`, over about `width`. */
const rise = (time: number, middle: number, width: number) =>
  1 / (1 + Math.exp((-4 * (time - middle)) / width));

/** Pages of a guest at a moment. */
interface GuestPages {
  private: number;
  shared: number;
  zero: number;
  swapped: number;
  ballooned: number;
  reported: number;
  untouched: number;
  target: number;
  actual: number;
}

/** Makes a run folder up at `folder`; gives its path, which ends in `.partial` when it is interrupted. */
export async function makeRun(folder: string, given: MadeUp = {}): Promise<string> {
  const made: Resolved = { ...defaults, ...given };
  const random = randomFrom(made.seed);
  const own: readonly Column[] = columns.filter(({ name }) => !made.without.includes(name));
  const writer = await RunFolderWriter.begin(folder, manifestOf(made), own);
  const has = (table: string, row: Record<string, number | string | undefined>) =>
    Object.fromEntries(
      Object.entries(row).filter(([name]) =>
        own.some((column) => column.table === table && column.name === name),
      ),
    );
  const names = guestNames(made);
  const memory = made.guestMiB * pagesPerMiB;
  const hostFrames = made.hostMiB * pagesPerMiB;
  const shape = names.map(() => ({
    common: made.alike ? 0.3 : 0,
    zeros: made.alike ? 0.08 : 0,
    work: 0.18 + 0.2 * random(),
    start: 0.4 * random(),
  }));
  const counters = {
    pswpin: 0,
    pswpout: 0,
    cow: 0,
    scanned: 0,
    guests: 0,
    ksmd: 0,
    kswapd: 0,
    idle: 0,
  };
  const perGuest = names.map(() => ({ touch: 0, cow: 0, swapIn: 0, back: 0, stall: 0, steal: 0, cpu: 0 }));
  const swappedBefore = names.map(() => 0);
  const actualBefore = names.map(() => 0);
  let last: Record<string, number | string | undefined> = {};
  const lastOfGuests: Record<string, Record<string, number | string | undefined>> = {};
  const step = made.seconds / made.samples;
  const samples = made.interrupted ? Math.ceil(made.samples * 0.6) : made.samples;
  for (let sample = 1; sample <= samples; sample++) {
    const time = sample * step;
    const scanRate = made.pagesToScan / 1000;
    const merging = made.ksm ? 0.94 * rise(time, 10 + 14 / scanRate, 16 / scanRate) : 0;
    const pages = shape.map(({ common, zeros, work, start }, guest): GuestPages => {
      const boot = rise(time, 3 + start + guest * 0.2, 3);
      const own = Math.round(memory * boot * (0.14 + work * rise(time, 25, 25) + 0.01 * random()));
      const alike = Math.round(memory * boot * common);
      const zero = Math.round(memory * boot * zeros);
      const shared = Math.round(alike * merging);
      const zeroMapped = Math.round(zero * merging);
      const reported = made.balloon ? Math.round(memory * 0.06 * rise(time, 30, 10)) : 0;
      return {
        private: own + alike - shared + zero - zeroMapped,
        shared,
        zero: zeroMapped,
        swapped: 0,
        ballooned: 0,
        reported,
        untouched: memory - own - alike - zero - reported,
        target: 0,
        actual: 0,
      };
    });
    const common = Math.max(0, ...pages.map(({ shared }) => shared));
    const ksmFrames = names.length > 1 ? Math.round(common * 1.05) : Math.round(common * 0.9);
    const used = () => pages.reduce((sum, each) => sum + each.private, 0) + ksmFrames + 1;
    const kept = Math.round(hostFrames * 0.05);
    const over = Math.max(0, used() - (hostFrames - kept));
    pages.forEach((each, guest) => {
      if (made.balloon) {
        each.target = Math.round(
          Math.min(memory * 0.4, (over * 1.2) / names.length + memory * 0.1 * rise(time, 20, 10)),
        );
        each.actual = Math.round(actualBefore[guest]! + (each.target - actualBefore[guest]!) * 0.35);
        actualBefore[guest] = each.actual;
        const fromUntouched = Math.min(each.untouched, Math.round(each.actual * 0.55));
        const fromPrivate = Math.min(each.private, each.actual - fromUntouched);
        each.untouched -= fromUntouched;
        each.private -= fromPrivate;
        each.ballooned = fromUntouched + fromPrivate;
      }
    });
    const still = Math.max(0, used() - (hostFrames - kept));
    pages.forEach((each, guest) => {
      const out = made.swap
        ? Math.min(each.private, Math.ceil((still * (1 + 0.2 * random())) / names.length))
        : 0;
      const forced = Math.min(each.private - out, made.swap ? 0 : Math.ceil(still / names.length));
      each.private -= out + forced;
      each.swapped = out;
      // Without swap, a guest that finds no frame is one that waits: the model lets it touch less.
      each.untouched += forced;
      const change = out - swappedBefore[guest]!;
      const churn = Math.round(out * 0.04 * random());
      counters.pswpout += Math.max(0, change) + churn;
      counters.pswpin += Math.max(0, -change) + churn;
      perGuest[guest]!.swapIn += Math.max(0, -change) + churn;
      swappedBefore[guest] = out;
    });
    const ns = Math.round(time * 1e9);
    const stepNs = step * 1e9;
    const busy = Math.min(1.7, 0.12 * names.length + 0.9 * Math.exp(-((time - 4) ** 2) / 6));
    const ksmd = made.ksm && time > 5 ? Math.min(0.25, 0.03 * scanRate * (1 + 0.3 * random())) : 0;
    const kswapd = still > 0 ? 0.02 + 0.02 * random() : 0;
    counters.guests += Math.round(busy * stepNs);
    counters.ksmd += Math.round(ksmd * stepNs);
    counters.kswapd += Math.round(kswapd * stepNs);
    counters.idle += Math.round((2 - busy - ksmd - kswapd) * stepNs);
    counters.scanned += made.ksm && time > 5 ? Math.round(made.pagesToScan * 45 * step) : 0;
    counters.cow += Math.round(common * 0.002 * random());
    const sum = (field: keyof GuestPages) => pages.reduce((total, each) => total + each[field], 0);
    const savedMerged = Math.max(0, sum('shared') - ksmFrames);
    const alikeNow = shape.reduce(
      (total, { common: share, start }, guest) =>
        total + memory * rise(time, 3 + start + guest * 0.2, 3) * share,
      0,
    );
    const zerosNow = shape.reduce(
      (total, { zeros, start }, guest) => total + memory * rise(time, 3 + start + guest * 0.2, 3) * zeros,
      0,
    );
    const idealNonzero = Math.max(
      savedMerged,
      Math.round(alikeNow - alikeNow / Math.max(1, names.length) + alikeNow * 0.04),
    );
    const ideal = idealNonzero + Math.max(sum('zero'), Math.round(zerosNow));
    const unsaved = ideal - savedMerged - sum('zero');
    const volatile = Math.round(unsaved * Math.min(0.7, 0.1 + merging * 0.6));
    const capped = Math.round(unsaved * 0.1);
    const ineligible = Math.round(unsaved * 0.05);
    const isKsm = (value: number) => (made.ksm ? value : undefined);
    const isSwap = (value: number) => (made.swap ? value : undefined);
    last = {
      time_ns: ns,
      guests_up: names.length,
      guests_ended: 0,
      believed_bytes: names.length * made.guestMiB * mebi,
      frames_free: hostFrames - used(),
      frames_private: sum('private'),
      frames_zero: sum('zero') > 0 ? 1 : 0,
      frames_ksm: ksmFrames,
      frames_swapcache: 0,
      mapped_pages: sum('private') + sum('shared') + sum('zero'),
      saved_merged: savedMerged,
      saved_zero: sum('zero'),
      saved_ballooned: sum('ballooned'),
      saved_swapped: sum('swapped'),
      saved_reported: sum('reported'),
      pages_to_scan: isKsm(made.pagesToScan),
      pages_shared: isKsm(ksmFrames),
      pages_sharing: isKsm(savedMerged),
      pages_unshared: isKsm(sum('private')),
      pages_volatile: isKsm(volatile),
      pages_scanned: isKsm(counters.scanned),
      pages_skipped: isKsm(Math.round(counters.scanned * 0.2)),
      full_scans: isKsm(Math.floor(counters.scanned / (memory * names.length))),
      ksm_zero_pages: isKsm(sum('zero')),
      general_profit: isKsm(savedMerged * 4096 - sum('private') * 64),
      cow_ksm: isKsm(counters.cow),
      ideal_saved: ideal,
      ideal_saved_nonzero: idealNonzero,
      ideal_within: Math.round(ideal * 0.2),
      ideal_across: Math.round(ideal * 0.8),
      unsaved_unscanned: unsaved - volatile - capped - ineligible,
      unsaved_volatile: volatile,
      unsaved_capped: capped,
      unsaved_ineligible: ineligible,
      swap_slots_used: isSwap(sum('swapped')),
      pswpin: isSwap(counters.pswpin),
      pswpout: isSwap(counters.pswpout),
      oom_kill: 0,
      cpu_guests_ns: counters.guests,
      cpu_ksmd_ns: isKsm(counters.ksmd),
      cpu_kswapd_ns: isSwap(counters.kswapd),
      cpu_idle_ns: counters.idle,
    };
    writer.rows('samples', [has('samples', last)]);
    const rows = names.map((guest, at) => {
      const each = pages[at]!;
      const own = perGuest[at]!;
      own.touch = Math.max(own.touch, memory - each.untouched);
      own.cow = Math.round(counters.cow / names.length);
      own.back += made.balloon ? Math.round(3 * random()) : 0;
      own.stall += Math.round(stepNs * Math.min(0.6, 0.004 + (each.swapped / memory) * 0.4));
      own.steal += Math.round(stepNs * 0.02 * names.length * 0.25 * (0.5 + random()));
      own.cpu += Math.round((busy / names.length) * stepNs);
      return {
        time_ns: ns,
        guest,
        state: time < 3 ? 'booting' : 'up',
        resident_pages: each.private + each.shared + each.zero,
        shared_pages: each.shared,
        zero_pages: each.zero,
        swapped_pages: each.swapped,
        ballooned_pages: each.ballooned,
        reported_pages: each.reported,
        untouched_pages: each.untouched,
        balloon_target_pages: made.balloon ? each.target : undefined,
        balloon_actual_pages: made.balloon ? each.actual : undefined,
        guest_available_bytes: made.balloon && time > 3 ? (each.untouched + each.zero) * 4096 : undefined,
        faults_first_touch: own.touch,
        faults_cow_break: own.cow,
        faults_swap_in: own.swapIn,
        faults_balloon_return: own.back,
        faults_reporting_return: 0,
        stall_ns: own.stall,
        steal_ns: own.steal,
        cpu_ns: own.cpu,
        instructions: own.cpu,
        ksm_merging_pages: isKsm(each.shared),
        ksm_process_profit: isKsm(each.shared * 4096),
      };
    });
    for (const row of rows) lastOfGuests[row.guest] = row;
    writer.rows(
      'guests',
      rows.map((row) => has('guests', row)),
    );
  }
  writer.event({ time_ns: 3e9, event: 'guest_up', guest: names[0] });
  if (made.killed) return writer.path;
  const latencies = latenciesOf(made, random, perGuest, names);
  const result = resultOf(made, last, lastOfGuests, latencies, samples, step);
  const finished = '2026-01-02T03:05:05.000Z';
  const reason = 'the run was interrupted';
  return writer.finish({
    finished,
    peakMemory: 600 << 20,
    latencies,
    result,
    ...(made.interrupted ? { reason } : {}),
  });
}

function guestNames({ guests }: Resolved): string[] {
  return Array.from({ length: guests }, (_, at) => `web-${at + 1}`);
}

function manifestOf(
  made: Resolved,
): Omit<Manifest, 'complete' | 'reason' | 'finished' | 'peakMemory' | 'files'> {
  return {
    formatVersion,
    digest: sha256(JSON.stringify(made)),
    pagefold: { version: '0.1.0', commit: '0123456789abcdef0123456789abcdef01234567' },
    scenario: {
      name: made.name,
      seed: made.seed,
      duration: made.seconds * 1e9,
      sample: Math.round((made.seconds / Math.max(1, made.samples)) * 1e9),
      host: {
        memory: made.hostMiB * mebi,
        cpus: 2,
        swap: made.swap ? { size: 1024 * mebi, device: 'nvme' } : 'none',
        ksm: made.ksm
          ? { scanner: 'linux', profile: 'linux-6.12', pages_to_scan: made.pagesToScan, start: 5e9 }
          : 'off',
        balloon: { policy: made.balloon ? 'mom' : 'none' },
      },
      guests: [
        {
          name: 'web',
          count: made.guests,
          image: 'debian-busybox',
          memory: made.guestMiB * mebi,
          cpus: 1,
          workload: { name: 'toucher' },
        },
      ],
      ...(made.slo ? { slo: { fault_p99: 5e6, application_p99: 2e6 } } : {}),
    },
    parameters: made.parameters,
    guests: guestNames(made).map((name) => ({ name, group: 0, memory: made.guestMiB * mebi })),
    images: [
      {
        name: 'debian-busybox',
        digest: 'cd'.repeat(32),
        packages: [{ name: 'busybox-static', version: '1:1.35.0-4+b3' }],
      },
    ],
    costs: { firstTouch: 3600, cowBreak: 4000, ksmChecksum: 470, swapInCpu: 4000 },
    machine: { cpu: 'made up', cores: 2, memory: 2 ** 34, system: 'Linux', node: 'v26', workers: 1 },
    started: '2026-01-02T03:04:05.000Z',
  };
}

/** Counts times around `middle` ns into ranges, eight to each power of two; a part `tail` of them is far longer. */
function bucketsOf(
  random: () => number,
  count: number,
  middle: number,
  spread: number,
  tail = 0,
): [Bucket[], number] {
  const counts = new Map<number, number>();
  let longest = 0;
  for (let at = 0; at < count; at++) {
    const bell = random() + random() + random() + random() - 2;
    const slow = random() < tail ? 20 : 1;
    const time = Math.max(1, Math.round(middle * slow * Math.exp(spread * bell)));
    const power = 2 ** Math.floor(Math.log2(time));
    const upper = Math.ceil(power + (power / 8) * (Math.floor(((time - power) * 8) / power) + 1)) - 1;
    counts.set(Math.max(upper, time), (counts.get(Math.max(upper, time)) ?? 0) + 1);
    longest = Math.max(longest, time);
  }
  return [[...counts].sort(([a], [b]) => a - b).map(([upper, n]) => ({ upper, count: n })), longest];
}

function latenciesOf(
  made: Resolved,
  random: () => number,
  perGuest: readonly { touch: number; cow: number; swapIn: number; back: number }[],
  names: readonly string[],
): LatencyRecord[] {
  const some = (count: number) => Math.min(4000, Math.round(count / 8));
  const all = new Map<string, Map<number, number>>();
  let longestOfAll = 0;
  const records: LatencyRecord[] = [];
  const add = (
    scope: string,
    kind: 'fault' | 'application',
    cause: string,
    buckets: Bucket[],
    longest: number,
  ) => {
    if (buckets.length === 0) return;
    records.push({ scope, kind, cause, distribution: distributionOf(buckets, longest), buckets });
    if (scope === 'host' || kind !== 'fault') return;
    longestOfAll = Math.max(longestOfAll, longest);
    for (const key of [cause, 'all']) {
      const sums = all.get(key) ?? new Map<number, number>();
      for (const { upper, count } of buckets) sums.set(upper, (sums.get(upper) ?? 0) + count);
      all.set(key, sums);
    }
  };
  const slow = 1 + names.length / 4;
  perGuest.forEach(({ touch, cow, swapIn, back }, guest) => {
    const scope = names[guest]!;
    add(scope, 'fault', 'first_touch', ...bucketsOf(random, some(touch), 3600, 0.3, 0.002));
    if (made.ksm) add(scope, 'fault', 'cow_break', ...bucketsOf(random, some(cow * 8), 4200, 0.4));
    if (made.swap)
      add(scope, 'fault', 'swap_in', ...bucketsOf(random, some(swapIn * 4), 110_000, 0.7 * slow, 0.01));
    if (made.balloon) add(scope, 'fault', 'balloon_return', ...bucketsOf(random, some(back * 8), 3800, 0.3));
    if (!made.application) return;
    add(scope, 'application', 'GET', ...bucketsOf(random, 3000, 42_000, 0.35, 0.01));
    add(scope, 'application', 'SET', ...bucketsOf(random, 3000, 55_000, 0.5, 0.03));
  });
  for (const [cause, sums] of all) {
    const buckets = [...sums].sort(([a], [b]) => a - b).map(([upper, count]) => ({ upper, count }));
    const longest = Math.min(longestOfAll, buckets.at(-1)!.upper);
    add('host', 'fault', cause, buckets, longest);
  }
  return records;
}

function numbersOf(row: Readonly<Record<string, number | string | undefined>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(row).filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
  );
}

function resultOf(
  made: Resolved,
  last: Readonly<Record<string, number | string | undefined>>,
  guests: Readonly<Record<string, Record<string, number | string | undefined>>>,
  latencies: readonly LatencyRecord[],
  samples: number,
  step: number,
): Result {
  const latencyOf = (scope: string) => {
    const of = (wanted: string) =>
      Object.fromEntries(
        latencies
          .filter((each) => each.scope === scope && each.kind === wanted)
          .map(({ cause, distribution }) => [cause, distribution]),
      );
    return { fault: of('fault'), application: of('application') };
  };
  return {
    formatVersion,
    name: made.name,
    digest: sha256(JSON.stringify(made)),
    complete: !made.interrupted,
    reason: made.interrupted ? 'the run was interrupted' : null,
    virtual_ns: Math.round(samples * step * 1e9),
    samples,
    host: {
      memory_bytes: made.hostMiB * mebi,
      frames: {},
      peak: {},
      saved: {},
      oracle: {},
      swap: {},
      cpu: {},
      figures: numbersOf(last),
      latency: latencyOf('host'),
    },
    ksm: {},
    guests: Object.fromEntries(
      Object.entries(guests).map(([name, row]) => [
        name,
        {
          state: 'up',
          memory_bytes: made.guestMiB * mebi,
          figures: numbersOf(row),
          latency: latencyOf(name),
        },
      ]),
    ),
    slo: sloOf(made, latencies),
  };
}

function sloOf({ slo }: Resolved, latencies: readonly LatencyRecord[]): Result['slo'] {
  if (!slo) return [];
  const all = latencies.find(
    ({ scope, kind, cause }) => scope === 'host' && kind === 'fault' && cause === 'all',
  );
  const value = all?.distribution.p99_ns ?? null;
  return [{ name: 'fault_p99', bound_ns: 5e6, value_ns: value, met: value === null || value <= 5e6 }];
}
