/** pagefold's guests, whose pages its own scanner merges as Linux would. All of it happens in virtual time. */
import { readFile } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { epoch } from '../../../harness/epoch.ts';
import { census } from '../../../harness/run/census.ts';
import { balloonFeatures } from '../../../hypervisor/balloon/settings.ts';
import { Host } from '../../../hypervisor/host.ts';
import type { ProfileName } from '../../../hypervisor/ksm/linux/profiles.ts';
import { LinuxScanner } from '../../../hypervisor/ksm/linux/scanner.ts';
import type { HostedGuest } from '../../../hypervisor/threads/hostedguest.ts';
import { usualTranslation } from '../../../hypervisor/x86/translate/options.ts';
import type { Image } from '../../../workloads/images/store.ts';
import { GuestConsole } from '../console.ts';
import { commandLine, guestBytes, type Setup } from '../peer.ts';
import { awaitPrompt } from '../works.ts';
import type { MergeRow, MergingHost } from './row.ts';
import { idleMs, Settling } from './settle.ts';

const profile: ProfileName = 'linux-6.18';
/** Memory beside the guests' in bytes: the host grants frames before they are needed. */
const reserve = 32 << 20;
/** Virtual ns that the host is run at a time. */
const step = 10e6;
const nsPerMs = 1e6;
/** Virtual ns after which the counters are taken as they are. */
const patience = 240e9;

/** Guests on a host of their own. */
interface Running {
  readonly host: Host;
  readonly guests: readonly HostedGuest[];
  readonly consoles: readonly GuestConsole[];
  /** Runs the host one step, and hands on what the guests printed. */
  advance(): Promise<void>;
}

/** Makes it ready. @param knobs those of Linux's KSM that our scanner is given too, by name */
export function ourHost(image: Image, commit: string, knobs: Readonly<Record<string, string>>): MergingHost {
  return {
    name: 'pagefold',
    description: `pagefold ${commit}, scanner ${profile}, kernel loaded at 1 MiB as by QEMU; the same knobs`,
    row: async (setup, progress) => {
      const running = await boot(image, setup);
      try {
        return await merge(running, knobs, progress);
      } finally {
        running.host.close();
      }
    },
  };
}

async function boot({ kernel, initrd }: Image, { guests: count, kaslr }: Setup): Promise<Running> {
  const host = new Host({ memory: count * guestBytes + reserve, translate: usualTranslation });
  const files = { kernel: await readFile(kernel), initrd: await readFile(initrd) };
  const printed: number[][] = [];
  const consoles: GuestConsole[] = [];
  const guests = Array.from({ length: count }, (_, seed) => {
    const bytes: number[] = [];
    printed.push(bytes);
    consoles.push(new GuestConsole(() => {}));
    const guest = host.addGuest({
      memory: guestBytes,
      cpus: 1,
      // Guests that differ in the layout of their kernels, as they do everywhere.
      seed,
      epoch,
      serialOutput: (byte) => bytes.push(byte),
      ports: [{ onOutput: () => {} }],
      disks: [],
      // What QEMU's balloon offers unless told otherwise.
      balloonFeatures: balloonFeatures({
        deflateOnOom: false,
        pagePoison: false,
        freePageReporting: false,
        freePageHinting: false,
      }),
    });
    // As QEMU's firmware loads it: what stays behind of the image is merged too.
    guest.boot({ ...files, commandLine: commandLine(kaslr), kernelAt: 'low' });
    return guest;
  });
  const advance = async () => {
    host.run(host.time + step);
    for (const [number, bytes] of printed.entries()) {
      if (bytes.length > 0) consoles[number]!.push(Buffer.from(bytes.splice(0)).toString('latin1'));
      const { end } = guests[number]!;
      if (end !== undefined) consoles[number]!.ended(`the guest ended (${JSON.stringify(end)})`);
    }
    // Consoles are listened to, and signals have their turn.
    await turn();
  };
  return { host, guests, consoles, advance };
}

async function merge(
  { host, guests, consoles, advance }: Running,
  knobs: Readonly<Record<string, string>>,
  progress: (line: string) => void,
): Promise<MergeRow> {
  let up = false;
  const prompts = Promise.all(consoles.map((each) => awaitPrompt(each, guests.length))).finally(() => {
    up = true;
  });
  while (!up) await advance();
  await prompts;
  for (const until = host.time + idleMs * nsPerMs; host.time < until; ) await advance();

  const ksmd = host.addScanner((memory) => new LinuxScanner(profile, { memory, costs: host.costs }));
  const { scanner } = ksmd;
  for (const [name, value] of Object.entries(knobs)) scanner.knobs.set(name, value);
  scanner.knobs.set('run', 1);
  ksmd.start();
  const settling = new Settling(0);
  for (const deadline = host.time + patience; host.time < deadline; ) {
    await advance();
    const { full_scans: scans, pages_sharing: sharing } = scanner.counters();
    if (settling.look(scans!, sharing!)) {
      progress(`settled after ${scans} full scans`);
      break;
    }
    if (host.time >= deadline) progress(`not settled after ${patience / 1e9} s`);
  }
  const counts = guests.map(({ space }) => census(space, host.pages.books));
  const { pages_shared: shared, pages_sharing: sharing } = scanner.counters();
  // Linux counts no mapping of its zero page as resident.
  const present = counts.reduce((sum, each) => sum + each.own + each.shared, 0);
  return { present, shared: shared!, sharing: sharing! };
}
