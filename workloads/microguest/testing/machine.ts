/** Microguests on an emulated host, and what their memory has, for tests. */

import { Host } from '../../../hypervisor/host.ts';
import { frameMask, present } from '../../../hypervisor/memory/slots.ts';
import type { HostedGuest } from '../../../hypervisor/threads/hostedguest.ts';
import { usualTranslation } from '../../../hypervisor/x86/translate/options.ts';
import { type Workload, workloadParameters, workloadPort } from '../../catalog.ts';
import { type Reported, type ReportLine, ReportReader } from '../../report.ts';
import { readMicroguest } from '../image.ts';

const pageBytes = 4096;

/** A microguest under test. */
export interface TestGuest {
  readonly guest: HostedGuest;
  /** All that it has reported; what is no line of a report fails {@link lines}. */
  readonly reported: Reported[];
  /** What it wrote to its serial port. */
  readonly serial: () => string;
  /** The lines that it has reported, of one event if given. */
  lines(event?: string): ReportLine[];
  /** Sends bytes to its port. */
  send(bytes: Uint8Array): void;
  /** Has a frame for the page. */
  isPresent(page: number): boolean;
  /** The bytes of a page; zeros when it was never touched. */
  read(page: number): Uint8Array;
}

/** What a test may say of the guests and the host. */
export interface MicroguestOptions {
  readonly memory?: number;
  readonly seed?: number;
  readonly ports?: boolean;
  /** Threads that guests run on. */
  readonly workers?: number;
}

/** A host with microguests of `memory` bytes that run these workloads, numbered in order from 1. */
export async function microguestHost(
  workloads: readonly Workload[],
  { memory = 32 << 20, seed = 1, ports = true, workers = 1 }: MicroguestOptions = {},
): Promise<{ host: Host; guests: TestGuest[] }> {
  const { kernel } = await readMicroguest();
  const host = new Host({ memory: workloads.length * memory, translate: usualTranslation, workers });
  const guests = workloads.map((workload, index): TestGuest => {
    const reader = new ReportReader();
    const reported: Reported[] = [];
    let serial = '';
    const guest = host.addGuest({
      memory,
      cpus: 1,
      seed: seed + index,
      epoch: 1_767_225_600,
      serialOutput: (byte) => {
        serial += String.fromCharCode(byte);
      },
      ports: [
        { onOutput: () => {} },
        // Another port before its own: it has to go by the name.
        { name: 'another', onOutput: () => {} },
        ...(ports
          ? [{ name: workloadPort, onOutput: (bytes: Uint8Array) => reported.push(...reader.push(bytes)) }]
          : []),
      ],
      disks: [],
      balloonFeatures: [0, 1],
    });
    guest.boot({
      kernel,
      initrd: new Uint8Array(0),
      commandLine: `console=ttyS0 ${workloadParameters(workload, index + 1)}`,
    });
    if (ports) guest.console.setOpen(2, true);
    const { space } = guest;
    const isPresent = (page: number) => (space.slot(page) & present) !== 0;
    return {
      guest,
      reported,
      serial: () => serial,
      lines(event) {
        const all = reported.map((each) => {
          if (each.kind === 'damaged') throw new Error(`${each.reason}: ${each.text}`);
          return each.line;
        });
        return all.filter((line) => event === undefined || line.event === event);
      },
      send: (bytes) => guest.console.input(2, bytes),
      isPresent,
      read(page) {
        if (!isPresent(page)) return new Uint8Array(pageBytes);
        const frame = (space.slot(page) & frameMask) >>> 0;
        return space.memory.u8.slice(frame, frame + pageBytes);
      },
    };
  });
  return { host, guests };
}
