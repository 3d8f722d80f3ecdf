/** `npm run bench:peers`: the same work on pagefold, QEMU and v86, side by side. See `options.ts`. */
import { complain, progress } from '../../harness/cli/style.ts';
import { resolveImage } from '../../workloads/images/resolve.ts';
import { UserError } from '../../workloads/images/user-error.ts';
import { drawChart, ratioChart } from './chart.ts';
import { describeMachine, presentCommit } from './environment.ts';
import { installPackages } from './install.ts';
import { help, type Options, parseOptions } from './options.ts';
import { ours } from './ours.ts';
import { type AbsentPeer, imageName, type Peer } from './peer.ts';
import { runProfiles } from './profiles.ts';
import { qemu } from './qemu.ts';
import { sectionOf } from './report.ts';
import { writeResults } from './results.ts';
import { runSession } from './session.ts';
import type { Session } from './table.ts';
import { exitOnSignals, temporaryFolder } from './temporary.ts';
import { v86 } from './v86.ts';

async function compare({ plan, peers, complete }: Options): Promise<void> {
  await installPackages(progress);
  const folder = temporaryFolder();
  const image = await resolveImage(imageName, progress);
  const commit = await presentCommit();
  const machine = describeMachine();
  const asked = [
    ...(peers.includes('qemu') ? [await qemu(image, folder)] : []),
    ...(peers.includes('v86') ? [await v86(image, folder, progress)] : []),
  ];
  const own = ours(image, commit.name);
  const others = asked.filter((peer): peer is Peer => !('absent' in peer));
  const absent = asked.filter((peer): peer is AbsentPeer => 'absent' in peer);
  const samples = await runSession(own, others, plan, progress);
  await runProfiles(own, plan, samples, progress);
  const session: Session = { own, others, absent, plan, samples };
  const chart = ratioChart(session);
  const section = sectionOf(session, { commit, machine, image, chart: complete && chart !== undefined });
  process.stdout.write(section);
  if (!complete) {
    progress('bench/RESULTS.md is left as it is: only a whole run of enough rounds is written there');
    return;
  }
  const pictures = chart === undefined ? undefined : await drawChart(chart);
  await writeResults('peers', section, {
    'peers.json': `${JSON.stringify(samples.all, null, 1)}\n`,
    ...(pictures === undefined ? {} : { 'peers.svg': pictures.svg, 'peers.png': pictures.png }),
  });
}

exitOnSignals();
try {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) process.stdout.write(help);
  else await compare(options);
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  complain(error.message);
  process.exitCode = 2;
}
