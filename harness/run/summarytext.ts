/** A run's summary for people, in about ten lines. */
import type { Distribution, Result } from '../../reports/format/result.ts';

const pageBytes = 4096;

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

const pages = (count: number) => mebibytes(count * pageBytes);

function duration(ns: number): string {
  const [unit, name] = ns < 1e3 ? [1, 'ns'] : ns < 1e6 ? [1e3, 'µs'] : ns < 1e9 ? [1e6, 'ms'] : [1e9, 's'];
  return `${Number((ns / unit).toPrecision(3))} ${name}`;
}

const techniques: Readonly<Record<string, string>> = {
  merged: 'merging',
  zero: 'the zero page',
  ballooned: 'balloons',
  swapped: 'swap',
  reported: 'free page reporting',
};

/**
 * How many guests, how much memory they believe to have, how much the host used, what each technique saved, and what it
 * cost. What was not measured is not mentioned.
 */
export function summaryText(result: Result): string {
  const { host, guests, ksm } = result;
  const states = Object.values(guests).map(({ state }) => state);
  const count = (state: string) => states.filter((each) => each === state).length;
  const rows: [string, string][] = [];
  const row = (name: string, value: string | undefined) => {
    if (value !== undefined) rows.push([name, value]);
  };
  const failed = count('failed');
  const ended = count('ended');
  row(
    'guests',
    [
      `${states.length}`,
      ...(host.peak.guests_up === undefined ? [] : [`at most ${host.peak.guests_up} at a time`]),
      ...(ended > 0 ? [`${ended} ended`] : []),
      ...(failed > 0 ? [`${failed} failed`] : []),
    ].join(', '),
  );
  const believed = host.peak.believed_bytes;
  row(
    'they believe',
    believed === undefined
      ? undefined
      : `${mebibytes(believed)}, ${(believed / host.memory_bytes).toFixed(2)} times the host's memory`,
  );
  row(
    'the host used',
    host.peak.used_pages === undefined
      ? undefined
      : `at most ${pages(host.peak.used_pages)} of ${mebibytes(host.memory_bytes)}`,
  );
  const saved = Object.entries(host.saved).filter(([, value]) => value > 0);
  for (const [name, value] of saved) row(`saved by ${techniques[name] ?? name}`, pages(value));
  if (host.oracle.ideal_saved !== undefined)
    row('ideal merging', `would save ${pages(host.oracle.ideal_saved)}`);
  row('waits for memory', waits(host.latency.fault.all));
  const { cpu } = host;
  const ksmd = cpu.ksmd;
  row(
    'ksmd used',
    ksmd === undefined
      ? undefined
      : `${((100 * ksmd) / result.virtual_ns).toFixed(1)} % of a CPU, ${ksm.full_scans ?? 0} full scans`,
  );
  if (host.swap.pswpin !== undefined) {
    row('swap', `${pages(host.swap.pswpout ?? 0)} out, ${pages(host.swap.pswpin)} in`);
  }
  for (const { name, bound_ns, value_ns, met } of result.slo) {
    const value = value_ns === null ? 'not measured' : duration(value_ns);
    row(name, `${value}, bound ${duration(bound_ns)}: ${met ? 'met' : 'missed'}`);
  }
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join('');
}

function waits(times: Distribution | undefined): string | undefined {
  if (times === undefined) return undefined;
  return `${times.count}; p50 ${duration(times.p50_ns)}, p99 ${duration(times.p99_ns)}, longest ${duration(times.max_ns)}`;
}
