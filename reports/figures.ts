/** The figures that sum a run up. Tables and the summary in words take them from here, so that they agree. */
import { allFaults, hostScope, latenciesOf } from './latencies.ts';
import type { Run } from './run.ts';
import { orZero } from './series.ts';
import { bytesToMiB, decimal, duration, mebibytes, pagesToMiB, threeDigits } from './units.ts';

/** A figure of a run. */
export interface Figure {
  /** Its name in files. */
  readonly id: string;
  readonly label: string;
  /** The unit that its value is in. */
  readonly unit: 'guests' | 'MiB' | '×' | '%' | 'ns' | 's' | 'pages';
  /** Undefined when the run does not know it. */
  readonly of: (run: Run) => number | undefined;
}

/** A value in the unit of a figure, as text; an unknown one is a dash. */
export function figureText({ unit }: Pick<Figure, 'unit'>, value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–';
  switch (unit) {
    case 'MiB':
      return mebibytes(value);
    case 'ns':
      return duration(value);
    case '×':
      return decimal(value, 2);
    case '%':
      return `${decimal(value, 1)} %`;
    case 's':
      return `${threeDigits(value)} s`;
    default:
      return decimal(value);
  }
}

const known = (value: number) => (Number.isFinite(value) ? value : undefined);
const lastMiB = (name: string) => (run: Run) => known(pagesToMiB(run.samples.last(name)));

/** Host frames in use at a sample: all but those that are free. */
function usedFrames({ samples }: Run): Float64Array {
  const classes = ['private', 'zero', 'ksm', 'swapcache'].map((name) => samples.column(`frames_${name}`));
  return Float64Array.from({ length: samples.length }, (_, at) =>
    classes.reduce((sum, frames) => sum + orZero(frames[at]), 0),
  );
}

/** Virtual time that was sampled, in ns. */
export function elapsed({ samples }: Run): number {
  return samples.length === 0 ? 0 : samples.last('time_ns');
}

/** Share of one CPU, in %, that a counter of CPU time makes over the run. */
const percentOfCpu = (name: string) => (run: Run) => {
  const time = elapsed(run);
  return time > 0 ? known((100 * run.samples.last(name)) / time) : undefined;
};

/** A counter of the guests, added up, as a share of their vCPUs' time, in %. */
const percentOfVcpus = (name: string) => (run: Run) => {
  const { manifest } = run.data;
  const vcpus = manifest.guests.reduce(
    (sum, { group }) => sum + (manifest.scenario.guests[group]?.cpus ?? 1),
    0,
  );
  const sum = run.guests.reduce((total, { series }) => total + orZero(series.last(name)), 0);
  const time = elapsed(run) * vcpus;
  return time > 0 ? (100 * sum) / time : undefined;
};

const fault = (percentile: 'p50_ns' | 'p99_ns' | 'p999_ns' | 'max_ns') => (run: Run) =>
  allFaults(latenciesOf(run))?.[percentile];

const mostOfApplication = (run: Run) => {
  const times = latenciesOf(run)
    .filter(({ kind, scope }) => kind === 'application' && scope !== hostScope)
    .map(({ distribution }) => distribution.p99_ns);
  return times.length > 0 ? Math.max(...times) : undefined;
};

const most = (name: string) => (run: Run) => known(run.samples.most(name));

/** Most memory that was promised to guests at a time, in MiB. */
const believed = (run: Run) => known(bytesToMiB(run.samples.most('believed_bytes')));
const hostMiB = ({ data }: Run) => bytesToMiB(data.manifest.scenario.host.memory);

/** All figures, in the order in which tables have them. */
export const figures = {
  guests: { id: 'guests', label: 'Guests up, at most', unit: 'guests', of: most('guests_up') },
  believed: { id: 'believed_mib', label: 'Promised to guests, at most', unit: 'MiB', of: believed },
  host: { id: 'host_mib', label: 'Memory of the host', unit: 'MiB', of: hostMiB },
  ratio: {
    id: 'overcommit_ratio',
    label: 'Overcommit ratio',
    unit: '×',
    of: (run) => {
      const promised = believed(run);
      return promised === undefined ? undefined : promised / hostMiB(run);
    },
  },
  used: {
    id: 'used_mib',
    label: 'Host memory in use at the end',
    unit: 'MiB',
    of: (run) => (run.samples.length === 0 ? undefined : pagesToMiB(usedFrames(run).at(-1)!)),
  },
  peak: {
    id: 'used_peak_mib',
    label: 'Host memory in use, at most',
    unit: 'MiB',
    of: (run) =>
      run.samples.length === 0 ? undefined : pagesToMiB(usedFrames(run).reduce((a, b) => Math.max(a, b))),
  },
  merged: { id: 'saved_merged_mib', label: 'Saved by merging', unit: 'MiB', of: lastMiB('saved_merged') },
  zero: { id: 'saved_zero_mib', label: 'Saved by the zero page', unit: 'MiB', of: lastMiB('saved_zero') },
  ballooned: { id: 'saved_ballooned_mib', label: 'In balloons', unit: 'MiB', of: lastMiB('saved_ballooned') },
  swapped: { id: 'saved_swapped_mib', label: 'In swap', unit: 'MiB', of: lastMiB('saved_swapped') },
  reported: { id: 'saved_reported_mib', label: 'Reported free', unit: 'MiB', of: lastMiB('saved_reported') },
  ideal: { id: 'ideal_saved_mib', label: 'Bound on merging', unit: 'MiB', of: lastMiB('ideal_saved') },
  achieved: {
    id: 'merge_share_percent',
    label: 'Merged, of the bound',
    unit: '%',
    of: ({ samples }) => {
      const ideal = samples.last('ideal_saved');
      const saved = orZero(samples.last('saved_merged')) + orZero(samples.last('saved_zero'));
      return ideal > 0 ? (100 * saved) / ideal : undefined;
    },
  },
  p50: { id: 'fault_p50_ns', label: 'Host fault, p50', unit: 'ns', of: fault('p50_ns') },
  p99: { id: 'fault_p99_ns', label: 'Host fault, p99', unit: 'ns', of: fault('p99_ns') },
  p999: { id: 'fault_p999_ns', label: 'Host fault, p99.9', unit: 'ns', of: fault('p999_ns') },
  application: {
    id: 'application_p99_ns',
    label: 'Application, p99 of the slowest operation and guest',
    unit: 'ns',
    of: mostOfApplication,
  },
  stall: {
    id: 'stall_percent',
    label: 'vCPU time stalled for memory',
    unit: '%',
    of: percentOfVcpus('stall_ns'),
  },
  steal: {
    id: 'steal_percent',
    label: 'vCPU time waiting for a CPU',
    unit: '%',
    of: percentOfVcpus('steal_ns'),
  },
  ksmd: { id: 'ksmd_percent', label: 'ksmd, of one CPU', unit: '%', of: percentOfCpu('cpu_ksmd_ns') },
  kswapd: { id: 'kswapd_percent', label: 'kswapd, of one CPU', unit: '%', of: percentOfCpu('cpu_kswapd_ns') },
  swapOut: { id: 'pswpout', label: 'Pages written to swap', unit: 'pages', of: most('pswpout') },
  swapIn: { id: 'pswpin', label: 'Pages read from swap', unit: 'pages', of: most('pswpin') },
  oom: { id: 'oom_kill', label: 'Guests stopped for want of memory', unit: 'guests', of: most('oom_kill') },
} as const satisfies Readonly<Record<string, Figure>>;
