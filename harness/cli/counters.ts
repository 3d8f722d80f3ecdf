/** The engine's counters as a table for people. */
import type { Guest } from './machine.ts';

/** Untranslatable instructions that are named. */
const shown = 12;

/** What the engine did for a guest, in lines of name and number. */
export function countersTable(
  guest: Pick<Guest, 'counters' | 'instructions' | 'translatedInstructions'>,
): string {
  const { code, translator } = guest.counters;
  const { ends, untranslatable, ...sums } = translator;
  const most = Object.entries(untranslatable)
    .sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
    .slice(0, shown);
  const rows: [string, number][] = [
    ['instructions', guest.instructions],
    ['instructions translated', guest.translatedInstructions],
    ...rowsOf('code', code),
    ...rowsOf('translator', sums),
    ...rowsOf('region ends', ends),
    ...rowsOf('untranslatable', Object.fromEntries(most)),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)} ${String(value).padStart(12)}`).join('\n');
}

function rowsOf(title: string, counters: Readonly<Record<string, number>>): [string, number][] {
  return Object.entries(counters).map(([name, value]) => [`${title}: ${name}`, value]);
}
