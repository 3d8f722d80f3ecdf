/** What happened during runs, by virtual time. */
import type { Run } from '../run.ts';
import { toSeconds } from '../units.ts';
import type { Table } from './table.ts';

/** Most rows that the page shows; the file has all. */
const mostRows = 60;

/** See the top of this file. Undefined when nothing happened. */
export function eventsTable(runs: readonly Run[]): Table | undefined {
  const several = runs.length > 1;
  const all = runs.flatMap((run) =>
    run.data.events.map(({ time_ns, event, guest, ...rest }) => ({
      run: run.label,
      time_s: toSeconds(time_ns),
      event,
      guest: guest ?? null,
      details: Object.entries(rest)
        .map(([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`)
        .join(', '),
    })),
  );
  if (all.length === 0) return undefined;
  return {
    id: 'events',
    title: 'What happened',
    note: all.length > mostRows ? `The first ${mostRows} of ${all.length} events; the file has all.` : '',
    head: [...(several ? ['run'] : []), 'time (s)', 'event', 'guest', 'details'],
    figures: [...(several ? [false] : []), true, false, false, false],
    body: all
      .slice(0, mostRows)
      .map(({ run, time_s, event, guest, details }) => [
        ...(several ? [run] : []),
        time_s.toFixed(3),
        event.replaceAll('_', ' '),
        guest ?? '',
        details,
      ]),
    rows: all,
  };
}
