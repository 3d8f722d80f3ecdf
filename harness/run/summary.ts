/** The summary of a run, from its last sample, its peaks and its times. */
import type { Cell } from '../../reports/format/csv.ts';
import { distributionOf } from '../../reports/format/distribution.ts';
import { formatVersion } from '../../reports/format/names.ts';
import type { Distribution, Result } from '../../reports/format/result.ts';
import type { LatencyRecord } from '../../reports/format/write.ts';
import type { MergeTimes, Times } from './host.ts';

type Row = Readonly<Record<string, Cell>>;

/** What a summary is made from. */
export interface SummaryInput {
  readonly name: string;
  readonly digest: string;
  readonly reason: string | undefined;
  readonly virtualNs: number;
  readonly hostMemory: number;
  readonly samples: SampleKeeper;
  readonly guests: readonly { readonly name: string; readonly memory: number }[];
  readonly latencies: readonly LatencyRecord[];
  /** Whether the host measures faults at all. */
  readonly faultsMeasured: boolean;
  readonly slo: Readonly<Record<string, number>>;
  readonly merging: MergeTimes | undefined;
}

/** Keeps what a summary needs of the samples: the last, and the largest values. */
export class SampleKeeper {
  count = 0;
  host: Row = {};
  guests: readonly Row[] = [];
  readonly peak: Record<string, number> = {};

  /** Takes a sample's rows. */
  add(host: Row, guests: readonly Row[]): void {
    this.count++;
    this.host = host;
    this.guests = guests;
    const used = sum(host, usedFrames);
    const peaks = { used_pages: used, believed_bytes: host.believed_bytes, guests_up: host.guests_up };
    for (const [name, value] of Object.entries(peaks)) {
      if (typeof value === 'number') this.peak[name] = Math.max(this.peak[name] ?? 0, value);
    }
  }
}

/** Classes of frames that hold something. */
const usedFrames = ['frames_private', 'frames_zero', 'frames_ksm', 'frames_swapcache'];

/** Columns of the scanner: Linux's names, and two that the kernel counts elsewhere. */
const ksmColumns = [
  'pages_to_scan',
  'pages_shared',
  'pages_sharing',
  'pages_unshared',
  'pages_volatile',
  'pages_scanned',
  'pages_skipped',
  'full_scans',
  'ksm_zero_pages',
  'stable_node_chains',
  'stable_node_dups',
  'ksm_rmap_items',
  'general_profit',
  'cow_ksm',
  'ksm_swpin_copy',
];

/** Where columns of samples.csv go in the summary: by their beginning, which is left out there; `''` for those that keep it. */
const parts = {
  frames: { columns: /^frames_/, cut: /^frames_/ },
  saved: { columns: /^saved_/, cut: /^saved_/ },
  oracle: { columns: /^(ideal|unsaved)_/, cut: /^$/ },
  swap: { columns: /^(swap_|psw|pgscan_|pgsteal_)/, cut: /^$/ },
  cpu: { columns: /^cpu_.*_ns$/, cut: /^cpu_|_ns$/g },
} as const;

function sum(row: Row, names: readonly string[]): number | undefined {
  const values = names.map((name) => row[name]).filter((value) => typeof value === 'number');
  return values.length === 0 ? undefined : values.reduce((total, value) => total + value, 0);
}

function numbers(row: Row, wanted: (name: string) => boolean, cut: RegExp = /^$/): Record<string, number> {
  const entries = Object.entries(row).flatMap(([name, value]) =>
    typeof value === 'number' && wanted(name)
      ? [[name.replaceAll(new RegExp(cut.source, 'g'), ''), value] as const]
      : [],
  );
  return Object.fromEntries(entries);
}

function latenciesOf(scope: string, records: readonly LatencyRecord[]): Result['host']['latency'] {
  const of = (kind: LatencyRecord['kind']): Record<string, Distribution> =>
    Object.fromEntries(
      records
        .filter((record) => record.scope === scope && record.kind === kind)
        .map(({ cause, distribution }) => [cause, distribution]),
    );
  return { fault: of('fault'), application: of('application') };
}

/** The summary; see `reports/format/result.ts` for what it holds. */
export function summarize(input: SummaryInput): Result {
  const { name, digest, reason, samples, latencies } = input;
  const part = ({ columns, cut }: (typeof parts)[keyof typeof parts]) =>
    numbers(samples.host, (column) => columns.test(column), cut);
  const isPart = (column: string) =>
    ksmColumns.includes(column) || Object.values(parts).some(({ columns }) => columns.test(column));
  const guests = input.guests.map((guest, at) => {
    const row = samples.guests[at] ?? {};
    return [
      guest.name,
      {
        state: String(row.state ?? 'waiting'),
        memory_bytes: guest.memory,
        figures: numbers(row, (column) => column !== 'time_ns'),
        latency: latenciesOf(guest.name, latencies),
      },
    ] as const;
  });
  return {
    formatVersion,
    name,
    digest,
    complete: reason === undefined,
    reason: reason ?? null,
    virtual_ns: input.virtualNs,
    samples: samples.count,
    host: {
      memory_bytes: input.hostMemory,
      frames: part(parts.frames),
      peak: samples.peak,
      saved: part(parts.saved),
      oracle: part(parts.oracle),
      ...mergingOf(input.merging),
      swap: part(parts.swap),
      cpu: part(parts.cpu),
      figures: numbers(samples.host, (column) => column !== 'time_ns' && !isPart(column)),
      latency: latenciesOf('host', latencies),
    },
    ksm: numbers(samples.host, (column) => ksmColumns.includes(column)),
    guests: Object.fromEntries(guests),
    slo: Object.entries(input.slo).map(([bound, ns]) => sloResult(bound, ns, input)),
  };
}

function mergingOf(merging: MergeTimes | undefined): Pick<Result['host'], 'merging'> {
  if (merging === undefined) return {};
  const { lifetimes, waits, unsampled, savedByteSeconds, savedPeakBytes } = merging;
  const distribution = (name: string, { buckets, max }: Times) =>
    buckets.length === 0 ? {} : { [name]: distributionOf(buckets, max) };
  return {
    merging: {
      saved_byte_seconds: savedByteSeconds,
      saved_peak_bytes: savedPeakBytes,
      ...distribution('lifetime', lifetimes),
      ...distribution('duplicate_to_merge', waits),
      unsampled,
    },
  };
}

/** Whether a bound is met: by every guest, and for `application` by every operation. */
function sloResult(
  name: string,
  bound: number,
  { latencies, faultsMeasured }: SummaryInput,
): Result['slo'][number] {
  const [kind, percentile] = name.split('_');
  const values = latencies
    .filter((record) => record.scope !== 'host' && record.kind === kind)
    .filter(({ kind: of, cause }) => of === 'application' || cause === 'all')
    .map(({ distribution }) => distribution[`${percentile}_ns` as keyof Distribution]);
  // Guests without a single fault wait for nothing; without a measured operation they do nothing.
  if (values.length === 0) {
    return { name, bound_ns: bound, value_ns: null, met: kind === 'fault' && faultsMeasured };
  }
  const value = Math.max(...values);
  return { name, bound_ns: bound, value_ns: value, met: value <= bound };
}
