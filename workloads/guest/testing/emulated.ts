/** Boots an image on an emulated host that runs workloads. */
import { readFile } from 'node:fs/promises';
import { Host } from '../../../hypervisor/host.ts';
import type { HostedGuest } from '../../../hypervisor/threads/hostedguest.ts';
import { BALLOON_FEATURES } from '../../../hypervisor/virtio/balloon/features.ts';
import { usualTranslation } from '../../../hypervisor/x86/translate/options.ts';
import { workloadPort } from '../../catalog.ts';
import type { Image } from '../../images/store.ts';
import { type ReportLine, ReportReader } from '../../report.ts';

/** A guest that runs workloads on the emulator. */
export interface EmulatedGuest {
  readonly guest: HostedGuest;
  /** Sends bytes to the port of the workloads. */
  tell(bytes: Uint8Array): void;
  /** Runs until the next line that a workload reports, of that event if given. */
  report(event?: string): Promise<ReportLine>;
}

/** Virtual time that a guest may take for one line before the test gives up, in ns. */
const patience = 60e9;
const step = 10e6;

/** Switches a guest on. `workload`: the parameters by which it runs a workload from the start. */
export async function emulate(image: Image, workload: string): Promise<EmulatedGuest> {
  const memory = 256 << 20;
  const host = new Host({ memory, translate: usualTranslation });
  const reader = new ReportReader();
  const lines: ReportLine[] = [];
  let console = '';
  const guest = host.addGuest({
    memory,
    cpus: 1,
    seed: 1,
    epoch: 1_767_225_600,
    serialOutput: (byte) => {
      console += String.fromCharCode(byte);
    },
    ports: [
      { onOutput: () => {} },
      {
        name: workloadPort,
        onOutput: (bytes) => {
          for (const each of reader.push(bytes)) {
            if (each.kind === 'damaged') throw new Error(`${each.reason}: ${each.text}`);
            lines.push(each.line);
          }
        },
      },
    ],
    disks: image.disk === undefined ? [] : [{ path: image.disk, readOnly: true }],
    balloonFeatures: BALLOON_FEATURES,
  });
  guest.boot({
    kernel: await readFile(image.kernel),
    initrd: await readFile(image.initrd),
    commandLine: `console=ttyS0 panic=-1 ${workload}`,
  });
  guest.console.setOpen(1, true);
  return {
    guest,
    tell: (bytes) => guest.console.input(1, bytes),
    async report(event) {
      const latest = host.time + patience;
      for (;;) {
        for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
          if (event === undefined || line.event === event) return line;
        }
        if (host.time >= latest || guest.end !== undefined) {
          throw new Error(`the guest does not report ${event}; its console: ${console.slice(-2000)}`);
        }
        host.run(host.time + step);
      }
    },
  };
}
