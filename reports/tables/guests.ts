/** Each guest at the end of its run. */
import { latenciesOf } from '../latencies.ts';
import type { Run } from '../run.ts';
import { known } from '../series.ts';
import { bytesToMiB, decimal, duration, pagesToMiB, threeDigits } from '../units.ts';
import type { Table } from './table.ts';

const sizes = ['resident', 'shared', 'zero', 'ballooned', 'swapped', 'reported'] as const;
const counts = ['first_touch', 'cow_break', 'swap_in'] as const;

/** See the top of this file. */
export function guestsTable(runs: readonly Run[]): Table {
  const several = runs.length > 1;
  const all = runs.flatMap((run) => {
    const p99 = new Map(
      latenciesOf(run)
        .filter(({ kind, cause }) => kind === 'fault' && cause === 'all')
        .map(({ scope, distribution }) => [scope, distribution.p99_ns]),
    );
    return run.guests.map(({ name, memoryBytes, series }) => ({
      run: run.label,
      guest: name,
      state: series.length > 0 ? series.name('state', series.length - 1) : 'waiting',
      memory_mib: bytesToMiB(memoryBytes),
      ...Object.fromEntries(
        sizes.map((size) => [`${size}_mib`, known(pagesToMiB(series.last(`${size}_pages`)))]),
      ),
      ...Object.fromEntries(
        counts.map((cause) => [`faults_${cause}`, known(series.last(`faults_${cause}`))]),
      ),
      stall_ns: known(series.last('stall_ns')),
      steal_ns: known(series.last('steal_ns')),
      cpu_ns: known(series.last('cpu_ns')),
      fault_p99_ns: p99.get(name) ?? null,
    }));
  });
  const cell = (value: unknown, text: (value: number) => string) =>
    typeof value === 'number' ? text(value) : '–';
  return {
    id: 'guests',
    title: 'The guests at the end',
    note: 'Memory in MiB. Shared and zero pages are part of what is resident; faults, stall, steal and CPU are sums.',
    head: [
      ...(several ? ['run'] : []),
      'guest',
      'state',
      'memory',
      'resident',
      'merged',
      'zero',
      'balloon',
      'swap',
      'reported',
      'first touches',
      'merge breaks',
      'swap-ins',
      'stall',
      'steal',
      'CPU',
    ],
    figures: [...(several ? [false] : []), false, false, ...Array.from({ length: 13 }, () => true)],
    body: all.map((row: Readonly<Record<string, string | number | null>>) => [
      ...(several ? [String(row.run)] : []),
      String(row.guest),
      String(row.state),
      cell(row.memory_mib, threeDigits),
      ...sizes.map((size) => cell(row[`${size}_mib`], threeDigits)),
      ...counts.map((cause) => cell(row[`faults_${cause}`], decimal)),
      cell(row.stall_ns, duration),
      cell(row.steal_ns, duration),
      cell(row.cpu_ns, duration),
    ]),
    rows: all,
  };
}
