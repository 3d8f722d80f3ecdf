/** A small run, for tests: two guests, two samples. */
import { type Column, columns } from '../columns.ts';
import type { Manifest } from '../manifest.ts';
import { formatVersion } from '../names.ts';
import type { Result } from '../result.ts';
import { RunFolderWriter } from '../write.ts';

const second = 1e9;

/** Its manifest, as it is when the run begins. */
export const exampleManifest: Omit<Manifest, 'complete' | 'reason' | 'finished' | 'peakMemory' | 'files'> = {
  formatVersion,
  digest: 'ab'.repeat(32),
  pagefold: { version: '0.1.0', commit: null },
  scenario: {
    name: 'example',
    seed: 1,
    duration: 2 * second,
    sample: second,
    host: {
      memory: 320 * 2 ** 20,
      cpus: 2,
      swap: 'none',
      ksm: { scanner: 'linux', profile: 'linux-6.12', start: 0 },
      balloon: { policy: 'none' },
    },
    guests: [
      {
        name: 'web',
        count: 2,
        image: 'debian-busybox',
        memory: 256 * 2 ** 20,
        cpus: 1,
        workload: { name: 'idle' },
      },
    ],
    slo: { fault_p99: 5e6 },
  },
  parameters: {},
  guests: [
    { name: 'web-1', group: 0, memory: 256 * 2 ** 20 },
    { name: 'web-2', group: 0, memory: 256 * 2 ** 20 },
  ],
  images: [
    {
      name: 'debian-busybox',
      digest: 'cd'.repeat(32),
      packages: [{ name: 'busybox-static', version: '1:1.35.0-4+b3' }],
    },
  ],
  costs: { firstTouch: 3600 },
  machine: { cpu: 'a CPU', cores: 2, memory: 2 ** 34, system: 'Linux', node: 'v26', workers: 1 },
  started: '2026-01-02T03:04:05.000Z',
};

const inUse: Readonly<Record<string, readonly string[]>> = {
  samples: ['time_ns', 'guests_up', 'frames_free', 'frames_private', 'pages_sharing', 'general_profit'],
  guests: ['time_ns', 'guest', 'state', 'resident_pages', 'guest_free_bytes'],
};

/** The columns that it has. */
export const exampleColumns: readonly Column[] = columns.filter(
  ({ table, name }) => inUse[table]?.includes(name) ?? true,
);

/** Its summary. */
export const exampleResult: Result = {
  formatVersion,
  name: 'example',
  digest: exampleManifest.digest,
  complete: true,
  reason: null,
  virtual_ns: 2 * second,
  samples: 2,
  host: {
    memory_bytes: 320 * 2 ** 20,
    frames: { free: 60_000, private: 21_920 },
    peak: { used_pages: 21_920, guests_up: 2 },
    saved: {},
    oracle: {},
    swap: {},
    cpu: {},
    figures: { guests_up: 2 },
    latency: {
      fault: { all: { count: 3, p50_ns: 3600, p90_ns: 4000, p99_ns: 4000, p999_ns: 4000, max_ns: 4000 } },
      application: {},
    },
  },
  ksm: { pages_sharing: 9_000, general_profit: -64 },
  guests: {},
  slo: [{ name: 'fault_p99', bound_ns: 5e6, value_ns: 4000, met: true }],
};

/** Begins the run in `folder` and writes its samples. */
export async function beginExample(folder: string): Promise<RunFolderWriter> {
  const writer = await RunFolderWriter.begin(folder, exampleManifest, exampleColumns);
  for (const at of [1, 2]) {
    const time_ns = at * second;
    writer.rows('samples', [
      {
        time_ns,
        guests_up: 2,
        frames_free: 60_000,
        frames_private: 21_920,
        pages_sharing: 4_500 * at,
        general_profit: -64,
      },
    ]);
    writer.rows('guests', [
      { time_ns, guest: 'web-1', state: 'up', resident_pages: 11_000, guest_free_bytes: undefined },
      { time_ns, guest: 'web-2', state: 'booting', resident_pages: 10_920, guest_free_bytes: 1024 * at },
    ]);
  }
  writer.event({ time_ns: second, event: 'guest_up', guest: 'web-1' });
  writer.workloadLine({ time_ns: 2 * second, guest: 'web-1', event: 'done', odd: 'a,"b"\n' });
  writer.console('web-1', new TextEncoder().encode('Linux version 6.1\n'));
  return writer;
}

/** What it ends with. */
export const exampleEnd = {
  finished: '2026-01-02T03:05:05.000Z',
  peakMemory: 600 << 20,
  latencies: [
    {
      scope: 'host',
      kind: 'fault' as const,
      cause: 'all',
      distribution: exampleResult.host.latency.fault.all!,
      buckets: [
        { upper: 3600, count: 2 },
        { upper: 4095, count: 1 },
      ],
    },
    {
      scope: 'web-1',
      kind: 'application' as const,
      cause: 'read, "cold"',
      distribution: { count: 1, p50_ns: 7, p90_ns: 7, p99_ns: 7, p999_ns: 7, max_ns: 7 },
      buckets: [],
    },
  ],
  result: exampleResult,
};
