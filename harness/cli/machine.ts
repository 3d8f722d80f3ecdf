/** The virtual machine as the command sees it. */

/** A disk: the file of a raw image. */
export interface DiskFile {
  readonly path: string;
  readonly readOnly: boolean;
}

/** What a machine is made of. */
export interface GuestOptions {
  memoryBytes: number;
  /** Number of vCPUs. */
  cpus: number;
  /** What the machine's randomness starts from. */
  seed: number;
  /** A Linux bzImage. */
  kernel: Uint8Array;
  initrd?: Uint8Array;
  commandLine: string;
  disks: readonly DiskFile[];
  /** Names of virtio console ports, in their order. */
  ports: readonly string[];
}

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
  /** Runs for that much virtual time, in ns, or until the machine ends. */
  step(virtualNs: number): StepEnd;
  /** The serial console. */
  readonly console: ByteChannel;
  /** The virtio console port of that name. */
  port(name: string): ByteChannel;
  /** Instructions retired by all vCPUs. */
  readonly instructions: number;
  /** Virtual time since power-on, in ns. */
  readonly virtualNs: number;
  /** The hash of the machine's whole state, in hexadecimal digits. */
  stateHash(): string;
}

/** Makes a machine. Throws an error named `BootError`, with a `message` for the user, when it cannot boot. */
export type CreateGuest = (options: GuestOptions) => Guest | Promise<Guest>;

/** The function that makes machines. */
export async function loadMachine(): Promise<CreateGuest> {
  const machine: { createGuest: CreateGuest } = await import(
    new URL('../../hypervisor/guest.ts', import.meta.url).href
  );
  return machine.createGuest;
}
