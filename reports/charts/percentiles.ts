/** What charts of distributions share: time against percentile, with room for the rare long ones. */
import type { Latency } from '../latencies.ts';
import type { Theme } from '../theme.ts';
import { decimal, duration, durationLabels } from '../units.ts';
import { type Row, type Spec, ticksAt, tooltip } from './chart.ts';

/** Where the share p stands on the axis: each further nine is as wide as the last. */
function place(share: number): number {
  return -Math.log10(1 - share);
}

/** Marks of the axis. */
const marks = [0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999];

/** The curve of a distribution: rows of `place` and `time_ns`, from 0 to half a time from its end. */
export function curve({ distribution, buckets }: Latency, series: Row): Row[] {
  const { count, max_ns } = distribution;
  const last = 1 - 0.5 / count;
  const row = (share: number, ns: number): Row => ({
    ...series,
    place: place(Math.min(share, last)),
    share_percent: 100 * Math.min(share, 1),
    time_ns: Math.max(1, ns),
    time: duration(ns),
    faster: `${shareText(share, count)} of ${decimal(count)}`,
  });
  if (buckets.length === 0) {
    const { p50_ns, p90_ns, p99_ns, p999_ns } = distribution;
    const known: [number, number][] = [
      [0.5, p50_ns],
      [0.9, p90_ns],
      [0.99, p99_ns],
      [0.999, p999_ns],
      [1, max_ns],
    ];
    return known.filter(([share]) => share === 1 || share <= last).map(([share, ns]) => row(share, ns));
  }
  let seen = 0;
  const rows = [row(0, Math.min(buckets[0]!.upper, max_ns))];
  for (const { upper, count: within } of buckets) {
    if (within === 0) continue;
    seen += within;
    rows.push(row(seen / count, Math.min(upper, max_ns)));
  }
  return rows;
}

function shareText(share: number, count: number): string {
  const percent = 100 * Math.min(share, 1);
  const digits = Math.max(1, Math.ceil(Math.log10(count)) - 2);
  return `${decimal(percent, Math.min(digits, 6))} %`;
}

/** The axis of shares. `rows` are those of all panels. */
export function shareAxis(rows: readonly Row[], what: string): Spec {
  const most = Math.max(1, ...rows.map((row) => Number(row.place)));
  const labels = JSON.stringify(
    Object.fromEntries(marks.map((mark) => [place(mark).toFixed(3), labelOf(mark)])),
  );
  return {
    field: 'place',
    type: 'quantitative',
    title: `share of ${what} that took no longer (%)`,
    scale: { domain: [0, most], nice: false },
    axis: {
      ...ticksAt(marks.map(place).filter((mark) => mark <= most)),
      labelExpr: `(${labels})[format(datum.value, '.3f')]`,
      grid: true,
    },
  };
}

function labelOf(mark: number): string {
  return mark === 0 ? '0' : String(Number((100 * mark).toFixed(4)));
}

/** The axis of times, logarithmic. */
export function latencyAxis(rows: readonly Row[], title: string, further: readonly number[] = []): Spec {
  const times = [...rows.map((row) => Number(row.time_ns)), ...further];
  const [low, high] = rangeOf(times);
  return {
    field: 'time_ns',
    type: 'quantitative',
    title,
    scale: { type: 'log', domain: [low, high], nice: false },
    axis: { grid: true, labelExpr: durationLabels, ...ticksAt(powers(low, high)) },
  };
}

/** A range around times, at least a decade of it, so that there are ticks to read them by. */
function rangeOf(times: readonly number[]): [number, number] {
  const low = Math.min(...times);
  const high = Math.max(...times);
  if (high >= 10 * low) return [low / 1.3, high * 1.3];
  const floor = 10 ** Math.floor(Math.log10(low));
  return [floor, high >= 5 * floor && high < 10 * floor ? 10 * floor : Math.max(10 * floor, high * 1.3)];
}

/** Powers of ten within a range, or numbers 1, 2, 5 times those when there are fewer than two. */
function powers(low: number, high: number): number[] {
  const exponents = Array.from({ length: 13 }, (_, exponent) => 10 ** exponent);
  const inside = (value: number) => value >= low && value <= high;
  const tens = exponents.filter(inside);
  if (tens.length > 2) return tens;
  return exponents.flatMap((ten) => [ten, 2 * ten, 5 * ten]).filter(inside);
}

/** Shows the figures of the nearest point of a curve under the pointer. */
export function pointerPoint(theme: Theme, x: Spec, y: Spec, name: { field: string; title: string }): Spec {
  return {
    params: [
      {
        name: 'pointer',
        select: { type: 'point', nearest: true, on: 'pointermove', clear: 'pointerout' },
      },
    ],
    mark: { type: 'point', filled: true, color: theme.ink, size: 50, aria: false },
    encoding: {
      x,
      y,
      opacity: { condition: { param: 'pointer', empty: false, value: 1 }, value: 0 },
      tooltip: tooltip([
        name,
        { field: 'faster', title: 'share' },
        { field: 'time', title: 'took no longer than' },
      ]),
    },
  };
}
