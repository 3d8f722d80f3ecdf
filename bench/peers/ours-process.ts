/**
 * The process that pagefold's guests run in, all on one host. Its argument says in JSON what to boot (`OursBoot`).
 */
import { readFileSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { addGuest, type Guest } from '../../harness/cli/machine.ts';
import { Host } from '../../hypervisor/host.ts';
import { pageSize } from '../../hypervisor/memory/hostmemory.ts';
import { usualTranslation } from '../../hypervisor/x86/translate/options.ts';
import { OwnProfiler } from './profiler.ts';
import { onRequest, tell } from './protocol.ts';

/** What is booted. */
export interface OursBoot {
  /** Guests that are switched on together at the start. */
  readonly guests: number;
  /** Guests that the host has memory for. */
  readonly capacity: number;
  readonly guestBytes: number;
  readonly kernel: string;
  readonly initrd: string;
  readonly commandLine: string;
  /** Whether a profile begins before the guests are switched on. */
  readonly profile: boolean;
}

/** Virtual time of a step in ns. What guests print is told after each, so times are as exact as this is short. */
const stepNs = 100_000;
/** Wall time in ms after which requests are looked for. */
const servedAfter = 2;

const boot = JSON.parse(process.argv[2]!) as OursBoot;
const [kernel, initrd] = [readFileSync(boot.kernel), readFileSync(boot.initrd)];
// One thread: while guests boot, V8 compiles on another, and a second engine would translate all of it again.
const host = new Host({ memory: boot.capacity * boot.guestBytes, translate: usualTranslation });
const guests: Guest[] = [];
const ended = new Set<number>();

function add(): void {
  const number = guests.length;
  const guest = addGuest(host, {
    memoryBytes: boot.guestBytes,
    balloonBytes: 0,
    cpus: 1,
    // Guests that differ in the layout of their kernels, as they do everywhere.
    seed: number,
    kernel,
    initrd,
    commandLine: boot.commandLine,
    disks: [],
    ports: [],
  });
  guest.console.onOutput = (bytes) => {
    tell({ kind: 'console', guest: number, text: Buffer.from(bytes).toString('latin1') });
  };
  guests.push(guest);
  tell({ kind: 'started', guest: number });
}

const profiler = new OwnProfiler();
let paused: PromiseWithResolvers<void> | undefined;
onRequest((request) => {
  switch (request.kind) {
    case 'input':
      guests[0]!.console.input(Buffer.from(request.text, 'latin1'));
      break;
    case 'pause':
      paused ??= Promise.withResolvers();
      break;
    case 'resume':
      paused?.resolve();
      paused = undefined;
      break;
    case 'add':
      add();
      break;
    case 'figures': {
      const sum = (of: (guest: Guest) => number) => guests.reduce((total, guest) => total + of(guest), 0);
      const { u8, framesStart, frameCount } = host.memory;
      const figures = {
        instructions: sum((guest) => guest.instructions),
        translatedInstructions: sum((guest) => guest.translatedInstructions),
        guestBytes: sum((guest) => guest.residentBytes),
        frames: { size: u8.length, from: framesStart, length: frameCount * pageSize },
      };
      tell({ kind: 'figures', figures });
      break;
    }
    case 'startProfile':
      void profiler.start();
      break;
    case 'stopProfile':
      void profiler.stop().then((times) => tell({ kind: 'profile', times }));
  }
});

if (boot.profile) await profiler.start();
for (let i = 0; i < boot.guests; i++) add();
let served = performance.now();
for (;;) {
  guests.forEach((guest, number) => {
    // The first step is the whole host's.
    const end = guest.step(number === 0 ? stepNs : 0);
    if (end.reason === 'time' || ended.has(number)) return;
    ended.add(number);
    tell({ kind: 'end', guest: number, reason: `the guest ended (${end.reason} ${end.message ?? ''})` });
  });
  if (performance.now() - served < servedAfter) continue;
  await turn();
  if (paused !== undefined) await paused.promise;
  served = performance.now();
}
