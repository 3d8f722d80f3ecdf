/** The hypervisor as the runner sees it. Every column that it lists is measured; none stands for what is not there. */
import type { GuestEnd } from '../../hypervisor/guest.ts';
import { Host } from '../../hypervisor/host.ts';
import { pageSize } from '../../hypervisor/memory/hostmemory.ts';
import { BALLOON_FEATURES, F_PAGE_REPORTING } from '../../hypervisor/virtio/balloon/features.ts';
import { FileDisk } from '../../hypervisor/virtio/block/file.ts';
import { columns } from '../../reports/format/columns.ts';
import { UserError } from '../../workloads/images/user-error.ts';
import { epoch } from '../epoch.ts';
import type { Scenario } from '../scenario/resolve.ts';
import type { GuestEnding, HostSetup, RunHost } from './host.ts';

/** Columns that {@link makeHost}'s hosts fill. */
const filled: Readonly<Record<string, readonly string[]>> = {
  samples: ['frames_free', 'frames_private', 'mapped_pages'],
  guests: [
    'resident_pages',
    'balloon_target_pages',
    'balloon_actual_pages',
    'guest_total_bytes',
    'guest_free_bytes',
    'guest_available_bytes',
    'guest_disk_caches_bytes',
    'guest_major_faults',
    'guest_minor_faults',
    'instructions',
  ],
};

/** The port of the workload: 0 is the virtio console's console. */
const workloadPort = 1;
const workloadPortName = 'pagefold.workload';
/** Guests are asked for balloon statistics so often, in virtual ns. */
const statisticsInterval = 1e9;

/** Makes a host of the hypervisor for a run. */
export function makeHost({ scenario, guests: setups, listener, workers }: HostSetup): RunHost {
  refuseMissing(scenario, workers);
  const host = new Host({ memory: scenario.host.memory, translate: true });
  const frames = host.frames.free;
  const serial = setups.map(() => [] as number[]);
  const removed = new Set<number>();
  const guests = setups.map(({ plan, seed, disk }, number) =>
    host.addGuest({
      memory: plan.group.memory,
      cpus: plan.group.cpus,
      seed,
      epoch,
      serialOutput: (byte) => serial[number]!.push(byte),
      ports: [
        { onOutput: () => {} },
        { name: workloadPortName, onOutput: (bytes) => listener.workload(number, bytes, host.time) },
      ],
      disks: disk === undefined ? [] : [new FileDisk(disk, true)],
      balloonFeatures: BALLOON_FEATURES.filter(
        (feature) => feature !== F_PAGE_REPORTING || scenario.host.balloon.free_page_reporting,
      ),
    }),
  );
  return {
    get time() {
      return host.time;
    },
    columns: columns.filter(({ table, name }) => filled[table]?.includes(name)),
    costs: {},
    run(until) {
      host.run(until);
      for (const [number, bytes] of serial.entries()) {
        if (bytes.length === 0) continue;
        listener.console(number, Uint8Array.from(bytes));
        bytes.length = 0;
      }
    },
    start(number) {
      const { kernel, initrd, commandLine, plan } = setups[number]!;
      const guest = guests[number]!;
      guest.boot({ kernel, initrd, commandLine });
      guest.console.setOpen(workloadPort, true);
      guest.balloon.setStatsInterval(statisticsInterval);
      const { policy, target } = scenario.host.balloon;
      if (policy === 'static')
        guest.balloon.setTarget(Math.floor(Math.min(target!, plan.group.memory) / pageSize));
    },
    remove(number) {
      const guest = guests[number]!;
      if (guest.end !== undefined) return;
      guest.end = { kind: 'power off' };
      removed.add(number);
      for (let page = 0; page < guest.space.pageCount; page++) {
        if (guest.space.isPresent(page)) guest.space.discard(page);
      }
    },
    ending: (number) =>
      removed.has(number) ? { reason: 'removed', failed: false } : ending(guests[number]!.end),
    tellWorkload: (number, bytes) => guests[number]!.console.input(workloadPort, bytes),
    setBalloon: (number, bytes) => guests[number]!.balloon.setTarget(Math.floor(bytes / pageSize)),
    setKnob: (name) => {
      throw new Error(`there is no scanner whose knob ${name} could be set`);
    },
    sample: () => ({
      host: {
        frames_free: host.frames.free,
        frames_private: frames - host.frames.free,
        mapped_pages: guests.reduce((sum, { space }) => sum + space.present, 0),
      },
      guests: guests.map(({ space, balloon, instructions }) => {
        const stats = balloon.stats?.values;
        return {
          resident_pages: space.present,
          balloon_target_pages: balloon.target,
          balloon_actual_pages: balloon.actual,
          guest_total_bytes: stats?.total_memory,
          guest_free_bytes: stats?.free_memory,
          guest_available_bytes: stats?.available_memory,
          guest_disk_caches_bytes: stats?.disk_caches,
          guest_major_faults: stats?.major_faults,
          guest_minor_faults: stats?.minor_faults,
          instructions,
        };
      }),
    }),
    faultTimes: () => [],
    takeEvents: () => [],
    close: () => {},
  };
}

/** What the hypervisor does not have is refused rather than left out. */
function refuseMissing({ host }: Scenario, workers: number): void {
  const missing = [
    host.swap !== 'none' && 'host.swap',
    host.ksm !== 'off' && 'host.ksm',
    host.balloon.policy === 'mom' && 'host.balloon.policy: mom',
    workers > 1 && '--workers',
  ].find((name) => name !== false);
  if (missing === undefined) return;
  throw new UserError({
    file: missing,
    cause: 'this version of pagefold cannot do that yet',
    remedy: 'leave it out',
  });
}

function ending(end: GuestEnd | undefined): GuestEnding | undefined {
  switch (end?.kind) {
    case undefined:
      return undefined;
    case 'power off':
      return { reason: 'power off', failed: false };
    case 'reset':
      return { reason: 'reset', failed: true };
    case 'debug exit':
      return { reason: `debug exit with ${end.value}`, failed: end.value !== 0 };
    case 'error':
      return { reason: end.reason, failed: true };
  }
}
