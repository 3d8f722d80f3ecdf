/** The section of `bench/RESULTS.md` about a session. */
import type { Image } from '../../workloads/images/store.ts';
import type { Commit } from './environment.ts';
import { commandLine, guestBytes } from './peer.ts';
import { profilePart } from './profiletable.ts';
import { memoryTable, ownTable, type Session, timesTable } from './table.ts';

/** Where and of what a session was made. */
export interface Provenance {
  readonly commit: Commit;
  readonly machine: string;
  readonly image: Image;
  /** Whether a chart stands beside it. */
  readonly chart: boolean;
}

/** The section's text. */
export function sectionOf(session: Session, { commit, machine, image, chart }: Provenance): string {
  const { own, others, absent, plan } = session;
  const versions = image.manifest.packages.map(({ name, version }) => `${name} ${version}`).join(', ');
  const today = new Date().toISOString().slice(0, 10);
  return [
    `## Beside other emulators, ${today}, commit ${commit.name} of ${commit.date}`,
    `Made by \`npm run bench:peers\` on ${machine}. Guests of ${guestBytes >> 20} MiB and one CPU; ` +
      `kernel ${image.manifest.kernelRelease} (${versions}), command line \`${commandLine(true)}\`. Times are of the wall clock ` +
      `between lines on the guest's serial console. ${plan.rounds === 1 ? 'One round' : `${plan.rounds} rounds`}, in turns; median (least–largest). Ratios are of times in ` +
      'the same round: below 1, pagefold is faster.',
    [
      ...[own, ...others].map(({ name, description }) => `- ${name}: ${description}`),
      ...absent.map(({ name, absent: why }) => `- ${name}: absent (${why})`),
    ].join('\n'),
    timesTable(session),
    ...(chart ? ['![Ratios of times](results/peers.svg)'] : []),
    ...(plan.together.length > 0 ? [memoryTable(session)] : []),
    ...(plan.boot || plan.second ? [ownTable(session)] : []),
    ...profilePart(session),
  ]
    .map((part) => `${part.trim()}\n`)
    .join('\n');
}
