/** What guests that check every page they use have found, and who of them is left. */
import type { RunEvent } from '../../../reports/format/lines.ts';
import type { RunFolder } from '../../../reports/format/read.ts';

/** What one guest found. */
export interface Finding {
  /** Times that it read its whole area again. */
  verified: number;
  /** Pages that were not what it had written. */
  errors: number;
}

/** What each guest found, by its name. */
export function findings({ manifest, workload }: RunFolder): Record<string, Finding> {
  const found = Object.fromEntries(
    manifest.guests.map(({ name }): [string, Finding] => [name, { verified: 0, errors: 0 }]),
  );
  for (const { guest, event, errors } of workload) {
    const finding = found[guest]!;
    if (event === 'verified') finding.verified++;
    if (event === 'error') finding.errors++;
    // A running total.
    if (typeof errors === 'number') finding.errors = Math.max(finding.errors, errors);
  }
  return found;
}

/** What happened besides guests and merging being started. */
export function trouble({ events }: RunFolder): RunEvent[] {
  return events.filter(({ event }) => !/started$|^guest_up$/.test(event));
}

/** Names of the guests that were up to the end. */
export function survivors({ manifest, events }: RunFolder): string[] {
  const ended = events.flatMap(({ event, guest }) => (event === 'guest_ended' ? [guest] : []));
  return manifest.guests.map(({ name }) => name).filter((name) => !ended.includes(name));
}
