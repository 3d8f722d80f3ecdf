/** QEMU guests whose pages the KSM of the Linux below merges. */
import { release } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Image } from '../../../workloads/images/store.ts';
import { commandLine, type Setup } from '../peer.ts';
import { qemuVersion, startQemu } from '../qemu.ts';
import { awaitPrompt } from '../works.ts';
import { ksmCounter, setMerging } from './knobs.ts';
import type { MergeRow, MergingHost } from './row.ts';

const pageSize = 4096;
/** Wall time in ms that guests are left idle before merging begins. */
const idleFor = 5000;
/** Counters have settled when so many full scans changed them by no more than this part. A page that did not merge is skipped for up to 8. */
const settledScans = 10;
const settledChange = 0.002;
/** Wall time in ms after which they are taken as they are. */
const patience = 240_000;
const lookEvery = 250;

/** Makes it ready. @param settings the knobs, in words */
export async function linuxHost(image: Image, folder: string, settings: string): Promise<MergingHost> {
  return {
    name: 'QEMU + Linux KSM',
    description: `${await qemuVersion()}, mem-merge=on, Linux ${release()}; ${settings}`,
    row: async ({ guests, kaslr }: Setup, progress): Promise<MergeRow> => {
      const machine = await startQemu({ image, commandLine: commandLine(kaslr), folder }, guests);
      try {
        await Promise.all(machine.consoles.map(awaitPrompt));
        await sleep(idleFor);
        await setMerging(true);
        await settle(progress);
        const present = (await machine.guestPages!()) / pageSize;
        return {
          present,
          shared: await ksmCounter('pages_shared'),
          sharing: await ksmCounter('pages_sharing'),
        };
      } finally {
        await machine.stop();
        await setMerging(false);
      }
    },
  };
}

async function settle(progress: (line: string) => void): Promise<void> {
  const deadline = performance.now() + patience;
  let since = { scans: await ksmCounter('full_scans'), sharing: 0 };
  while (performance.now() < deadline) {
    await sleep(lookEvery);
    const now = { scans: await ksmCounter('full_scans'), sharing: await ksmCounter('pages_sharing') };
    if (Math.abs(now.sharing - since.sharing) > settledChange * now.sharing) since = now;
    else if (now.scans - since.scans >= settledScans && now.sharing > 0) {
      progress(`settled after ${now.scans} full scans`);
      return;
    }
  }
  progress(`not settled after ${patience / 1000} s`);
}
