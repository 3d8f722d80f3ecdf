/**
 * `npm run bench:ksm`: what same-page merging saves among idle Debian guests, on each host that there is: QEMU guests on the KSM of
 * the Linux below, and pagefold. Prints a row for each host and setup.
 */
import { complain, progress } from '../../../harness/cli/style.ts';
import { resolveImage } from '../../../workloads/images/resolve.ts';
import { UserError } from '../../../workloads/images/user-error.ts';
import { presentCommit } from '../environment.ts';
import { installPackages } from '../install.ts';
import { imageName, type Setup } from '../peer.ts';
import { exitOnSignals, temporaryFolder } from '../temporary.ts';
import { scannerKnobs, withKnobs } from './knobs.ts';
import { linuxHost } from './linux.ts';
import { ourHost } from './ours.ts';
import { type MergeRow, type MergingHost, mergeTable } from './row.ts';

const setups: readonly Setup[] = [
  { guests: 2, kaslr: false },
  { guests: 4, kaslr: false },
  { guests: 2, kaslr: true },
  { guests: 4, kaslr: true },
];

async function measure(): Promise<string> {
  await installPackages(progress);
  const image = await resolveImage(imageName, progress);
  return withKnobs(async (settings) => {
    const commit = (await presentCommit()).name;
    const hosts: readonly MergingHost[] = [
      await linuxHost(image, temporaryFolder(), settings),
      ourHost(image, commit, scannerKnobs),
    ];
    const rows: { setup: Setup; host: string; row: MergeRow }[] = [];
    for (const setup of setups) {
      for (const host of hosts) {
        progress(`${setup.guests} guests, ${setup.kaslr ? 'KASLR' : 'nokaslr'}: ${host.name}`);
        rows.push({ setup, host: host.name, row: await host.row(setup, progress) });
      }
    }
    const descriptions = hosts.map(({ name, description }) => `- ${name}: ${description}\n`).join('');
    return `${descriptions}\n${mergeTable(rows)}`;
  });
}

exitOnSignals();
try {
  process.stdout.write(await measure());
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  complain(error.message);
  process.exitCode = 2;
}
