/** The virtual machine as the command sees it. */
import type { GuestEnd } from '../../hypervisor/guest.ts';
import { Host } from '../../hypervisor/host.ts';
import { Lockstep } from '../../hypervisor/lockstep.ts';
import { pageSize } from '../../hypervisor/memory/hostmemory.ts';
import type { DiskImage } from '../../hypervisor/threads/hostedguest.ts';
import { BALLOON_FEATURES } from '../../hypervisor/virtio/balloon/features.ts';
import type { EngineCounters } from '../../hypervisor/x86/engine.ts';
import { type TranslationOptions, usualTranslation } from '../../hypervisor/x86/translate/options.ts';
import { epoch } from '../epoch.ts';

/** What a machine is made of. */
export interface GuestOptions {
  memoryBytes: number;
  /** Number of vCPUs. */
  cpus: number;
  /** What the machine's randomness starts from. */
  seed: number;
  /** Whether hot code is translated, or how; the results are the same. */
  translate: boolean | TranslationOptions;
  /** Whether a second machine interprets the same, and each step compares them: a difference is thrown (`lockstep.ts`). */
  lockstep?: boolean;
  /** A Linux bzImage. */
  kernel: Uint8Array;
  initrd?: Uint8Array;
  commandLine: string;
  /** Memory that the balloon asks for, in bytes. */
  balloonBytes: number;
  disks: readonly DiskImage[];
  /** Names of virtio console ports, in their order. */
  ports: readonly string[];
}

/** What makes a machine besides how it is executed. */
export type MachineOptions = Omit<GuestOptions, 'translate' | 'lockstep'>;

/** A line of bytes to and from the guest. */
export interface ByteChannel {
  /** Called with what the guest sends, while it is stepped; the bytes are the listener's to keep. */
  onOutput: (bytes: Uint8Array) => void;
  /** Hands bytes to the guest, which takes them in as it has room. */
  input(bytes: Uint8Array): void;
}

/** Why a step ended. */
export interface StepEnd {
  /** `time`: the time has passed; all others are the machine's end. */
  reason: 'time' | 'poweroff' | 'reset' | 'halted' | 'error';
  /** What is behind an error or a halt. */
  message?: string;
}

/** One virtual machine. */
export interface Guest {
  /**
   * Runs the host, with all guests on it, for that much virtual time, in ns, and hands on what this guest has written. With 0,
   * only the latter.
   */
  step(virtualNs: number): StepEnd;
  /** The serial console. */
  readonly console: ByteChannel;
  /** The virtio console port of that name. */
  port(name: string): ByteChannel;
  /** Asks the guest's driver to have so many bytes in the balloon. */
  setBalloon(bytes: number): void;
  /** Instructions retired by all vCPUs. */
  readonly instructions: number;
  /** Of these, those executed as translated code. */
  readonly translatedInstructions: number;
  /** Memory of the host that its pages take, in bytes. */
  readonly residentBytes: number;
  /** Virtual time since power-on, in ns. */
  readonly virtualNs: number;
  /** What the engine did. */
  readonly counters: EngineCounters;
  /** The hash of the machine's whole state, in hexadecimal digits. */
  stateHash(): string;
}

/** Memory that the host has beside the guest's, in bytes: it grants frames before they are needed. */
const hostReserve = 16 << 20;

/** Bytes of a channel, handed on in pieces. */
class Channel implements ByteChannel {
  onOutput: (bytes: Uint8Array) => void = () => {};
  /** Takes the same input. */
  twin: Channel | undefined;
  readonly #input: (bytes: Uint8Array) => void;
  #pending: number[] = [];

  constructor(input: (bytes: Uint8Array) => void) {
    this.#input = input;
  }

  input(bytes: Uint8Array): void {
    this.#input(bytes);
    this.twin?.input(bytes);
  }

  /** Takes a byte that is handed on by the next {@link flush}. */
  byte(value: number): void {
    this.#pending.push(value);
  }

  /** Takes bytes and hands them on; where there is a twin by the next {@link flush}, as an answer is to reach both at one time. */
  bytes(values: Uint8Array): void {
    if (this.twin === undefined) this.onOutput(values.slice());
    else this.#pending.push(...values);
  }

  flush(): void {
    if (this.#pending.length === 0) return;
    const bytes = Uint8Array.from(this.#pending);
    this.#pending = [];
    this.onOutput(bytes);
  }
}

/** A guest on a host, and what leads to the outside. */
function assemble(host: Host, options: MachineOptions) {
  const serial = new Channel((bytes) => guest.serialInput(bytes));
  const channels = new Map(
    options.ports.map((name, i) => [name, new Channel((bytes) => guest.console.input(i + 1, bytes))]),
  );
  const guest = host.addGuest({
    memory: options.memoryBytes,
    cpus: options.cpus,
    seed: options.seed,
    epoch,
    serialOutput: (byte) => serial.byte(byte),
    ports: [
      { onOutput: () => {} },
      ...[...channels].map(([name, channel]) => ({
        name,
        onOutput: (bytes: Uint8Array) => channel.bytes(bytes),
      })),
    ],
    disks: options.disks,
    balloonFeatures: BALLOON_FEATURES,
  });
  guest.balloon.setTarget(balloonPages(options.balloonBytes));
  const { kernel, initrd = new Uint8Array(0), commandLine } = options;
  guest.boot({ kernel, initrd, commandLine });
  options.ports.forEach((_, i) => {
    guest.console.setOpen(i + 1, true);
  });
  return { guest, serial, channels };
}

const balloonPages = (bytes: number) => Math.floor(bytes / pageSize);

function makeHost(memory: number, translate: boolean | TranslationOptions): Host {
  // All of the guest's memory, and what the host keeps free.
  return new Host({
    memory: memory + hostReserve,
    translate: translate === true ? usualTranslation : translate,
  });
}

/** Makes a machine alone on a host. Throws an error named `BootError`, with a `message` for the user, when it cannot boot. */
export function createGuest(options: GuestOptions): Guest {
  const host = makeHost(options.memoryBytes, options.translate);
  const machine = assemble(host, options);
  if (options.lockstep !== true) return guestOf(host, host, machine);
  const other = makeHost(options.memoryBytes, false);
  const twin = assemble(other, options);
  // What goes into the one goes into the other; what comes out is the translating one's.
  machine.serial.twin = twin.serial;
  for (const [name, channel] of machine.channels) channel.twin = twin.channels.get(name);
  return guestOf(new Lockstep(host, other), host, machine, twin);
}

/** As {@link createGuest}, on a host that has room for it. */
export function addGuest(host: Host, options: MachineOptions): Guest {
  return guestOf(host, host, assemble(host, options));
}

/** Lets time pass: a host, or two in lockstep. */
interface Runner {
  readonly time: number;
  run(until: number): void;
}

function guestOf(
  runner: Runner,
  host: Host,
  { guest, serial, channels }: ReturnType<typeof assemble>,
  twin?: ReturnType<typeof assemble>,
): Guest {
  return {
    step(virtualNs: number): StepEnd {
      runner.run(runner.time + virtualNs);
      for (const channel of [serial, ...channels.values()]) channel.flush();
      return stepEnd(guest.end);
    },
    console: serial,
    port(name: string): ByteChannel {
      const channel = channels.get(name);
      if (channel === undefined) throw new Error(`the machine has no port '${name}'`);
      return channel;
    },
    setBalloon(bytes: number): void {
      for (const each of [guest, twin?.guest]) each?.balloon.setTarget(balloonPages(bytes));
    },
    get instructions(): number {
      return guest.instructions;
    },
    get translatedInstructions(): number {
      return guest.translatedInstructions;
    },
    get residentBytes(): number {
      return guest.space.present * pageSize;
    },
    get counters(): EngineCounters {
      return host.engine.counters;
    },
    get virtualNs(): number {
      return guest.time;
    },
    stateHash: () => guest.stateHash(),
  };
}

function stepEnd(end: GuestEnd | undefined): StepEnd {
  switch (end?.kind) {
    case undefined:
      return { reason: 'time' };
    case 'power off':
      return { reason: 'poweroff' };
    case 'reset':
      return { reason: 'reset' };
    case 'debug exit':
      return { reason: 'halted', message: `the guest wrote ${end.value} to its debug exit port` };
    case 'error':
      return { reason: 'error', message: end.reason };
  }
}
