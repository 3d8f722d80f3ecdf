/** QEMU guests whose pages the KSM of the Linux below merges. */
import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Image } from '../../../workloads/images/store.ts';
import { UserError } from '../../../workloads/images/user-error.ts';
import { mergeableBytes } from '../memory.ts';
import { commandLine, type Setup } from '../peer.ts';
import { qemuVersion, startQemu } from '../qemu.ts';
import { awaitPrompt } from '../works.ts';
import { ksmCounter, setMerging } from './knobs.ts';
import type { MergeRow, MergingHost } from './row.ts';
import { idleMs, Settling } from './settle.ts';

const pageSize = 4096;
/** Wall time in ms after which they are taken as they are. */
const patience = 240_000;
const lookEvery = 250;
/** Counters are read one after the other while ksmd works, so they differ by some pages. */
const foreignPart = 0.01;

/** Makes it ready. @param settings the knobs, in words */
export async function linuxHost(image: Image, folder: string, settings: string): Promise<MergingHost> {
  return {
    name: 'QEMU + Linux KSM',
    description: `${await qemuVersion()}, mem-merge=on, Linux ${release()}; ${settings}`,
    row: async ({ guests, kaslr }: Setup, progress): Promise<MergeRow> => {
      const machine = await startQemu({ image, commandLine: commandLine(kaslr), folder }, guests);
      try {
        await Promise.all(machine.consoles.map((each) => awaitPrompt(each, guests)));
        await sleep(idleMs);
        await setMerging(true);
        await settle(progress);
        const sizes = await Promise.all(machine.pids.map(mergeableBytes));
        const present = sizes.reduce((sum, size) => sum + size, 0) / pageSize;
        const ram = (await machine.guestPages!()) / pageSize;
        progress(
          `${present - ram} pages of ROMs and ACPI tables are merged and counted like the ${ram} of RAM`,
        );
        const [shared, sharing] = [await ksmCounter('pages_shared'), await ksmCounter('pages_sharing')];
        await mustBeAlone(machine.pids, shared + sharing);
        return { present, shared, sharing };
      } finally {
        await machine.stop();
        await setMerging(false);
      }
    },
  };
}

/** Fails when the host has merged pages of other processes too: the counters are the host's. */
async function mustBeAlone(pids: readonly number[], merged: number): Promise<void> {
  const own = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/ksm_merging_pages`, 'utf8')));
  const sum = own.reduce((total, text) => total + Number(text), 0);
  if (Math.abs(sum - merged) <= foreignPart * merged) return;
  throw new UserError({
    file: '/sys/kernel/mm/ksm',
    cause: `${merged} pages are merged, of which the guests have ${sum}: other processes merge pages too`,
    remedy: 'try again when they have ended',
  });
}

async function settle(progress: (line: string) => void): Promise<void> {
  const deadline = performance.now() + patience;
  const settling = new Settling(await ksmCounter('full_scans'));
  while (performance.now() < deadline) {
    await sleep(lookEvery);
    const scans = await ksmCounter('full_scans');
    if (!settling.look(scans, await ksmCounter('pages_sharing'))) continue;
    progress(`settled after ${scans} full scans`);
    return;
  }
  progress(`not settled after ${patience / 1000} s`);
}
