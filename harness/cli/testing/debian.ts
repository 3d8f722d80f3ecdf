/** Debian guests on a host of a test: each boots and runs a script. */
import { readFile } from 'node:fs/promises';
import type { Host } from '../../../hypervisor/host.ts';
import type { HostedGuest, HostedOptions } from '../../../hypervisor/threads/hostedguest.ts';
import {
  ControlReader,
  controlParameter,
  controlPort,
  execRequest,
  outputPort,
} from '../../../workloads/guest/control.ts';
import { resolveImage } from '../../../workloads/images/resolve.ts';

/** A guest that has been switched on, and how far its script is. */
export interface RunningGuest {
  readonly guest: HostedGuest;
  /** What the script has printed so far. */
  output: string;
  /** The script's exit status once it has ended, and when that was, in virtual ns of the host. */
  status: number | undefined;
  ended: number | undefined;
}

/** What {@link debianFiles} gives. */
export interface DebianFiles {
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
}

/** What a test may say of a guest. */
export type DebianOptions = Partial<HostedOptions> & {
  readonly script: string;
  /** More for the kernel's command line. */
  readonly parameters?: string;
};

/** Kernel and initrd of the guests. */
export async function debianFiles(): Promise<DebianFiles> {
  const image = await resolveImage('debian-busybox');
  const [kernel, initrd] = await Promise.all([readFile(image.kernel), readFile(image.initrd)]);
  return { kernel, initrd };
}

/** Switches a guest on. */
export function startDebian(host: Host, files: DebianFiles, options: DebianOptions): RunningGuest {
  const { script, parameters = '', ...rest } = options;
  const reader = new ControlReader();
  const guest: HostedGuest = host.addGuest({
    memory: 128 << 20,
    cpus: 1,
    seed: 1,
    epoch: 1_767_225_600,
    serialOutput: () => {},
    disks: [],
    balloonFeatures: [],
    ...rest,
    ports: [
      { onOutput: () => {} },
      {
        name: controlPort,
        onOutput: (bytes) => {
          for (const answer of reader.push(bytes.slice())) {
            if (answer.kind === 'ready') guest.console.input(1, execRequest(script));
            else Object.assign(running, { status: answer.status, ended: host.time });
          }
        },
      },
      {
        name: outputPort,
        onOutput: (bytes) => {
          running.output += new TextDecoder().decode(bytes.slice());
        },
      },
    ],
  });
  const running: RunningGuest = { guest, output: '', status: undefined, ended: undefined };
  guest.boot({
    ...files,
    commandLine: `console=ttyS0 panic=-1 nokaslr ${controlParameter} ${parameters}`,
  });
  guest.console.setOpen(1, true);
  guest.console.setOpen(2, true);
  return running;
}

/** Lets the host run until all of the guests' scripts have ended, or to virtual time `latest` (ns). */
export function runToEnd(host: Host, guests: readonly RunningGuest[], latest: number): void {
  while (guests.some(({ status }) => status === undefined) && host.time < latest) host.run(host.time + 10e6);
}
