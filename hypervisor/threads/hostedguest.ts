/** A guest as its host sees it between rounds, whatever thread it runs on: `guest.ts` is one, `remoteguest.ts` stands for one elsewhere. */
import type { Balloon } from '../balloon/controller.ts';
import type { GuestEnd, GuestOptions } from '../guest.ts';
import type { GuestFiles } from '../guestfiles.ts';
import type { Measures } from '../measures/measures.ts';
import type { AddressSpace } from '../memory/addressspace.ts';
import type { FaultCause } from '../memory/faults.ts';
import type { Stateful } from '../state/state.ts';
import type { HintingPhase } from '../virtio/balloon/hinting.ts';

/** A vCPU as the host's scheduler sees it. */
export interface HostedCpu {
  /** Whether it has a physical CPU in the coming round. */
  hasCpu: boolean;
  /** True when there is nothing for it to execute. */
  readonly idle: boolean;
  /** It waits for the host to serve a fault, up to this virtual time in ns; Infinity while the host does not know yet. */
  readonly blockedUntil: number;
  /** Time in ns that it has used of a physical CPU since the host last took account of it. */
  executed: number;
}

/** The host's ends of a guest's console ports. */
export interface HostedConsole {
  /** Queues input for a port. The guest gets it when it has opened the port and has room. */
  input(port: number, bytes: Uint8Array): void;
  /** Opens or closes the host's end of a port. */
  setOpen(port: number, open: boolean): void;
}

/** A guest's balloon, and how often the guest is asked for statistics. */
export interface HostedBalloon extends Balloon {
  /** Asks for statistics every `interval` virtual ns from now on; 0 ends it. */
  setStatsInterval(interval: number): void;
  /** Whether the driver can be asked for hints which pages are free. */
  readonly givesHints: boolean;
  /** Where free page hinting stands. */
  readonly hintingPhase: HintingPhase;
  /** Tells the guest that hinting is over; it may use the pages that it hinted. */
  finishHinting(): void;
}

/** See the top of this file. */
export interface HostedGuest extends Stateful {
  readonly space: AddressSpace;
  readonly cpus: readonly HostedCpu[];
  readonly console: HostedConsole;
  readonly balloon: HostedBalloon;
  readonly measures: Measures;
  /** How it ended; undefined while it can go on. */
  readonly end: GuestEnd | undefined;
  /** Virtual time in ns, whether or not it is switched on. */
  readonly time: number;
  /** When something happens that may wake a vCPU, in virtual ns; Infinity when nothing is due. */
  readonly nextEvent: number;
  /** When it has something to do again, in virtual ns, as far as it knows: a time that has passed for now, Infinity for never. */
  readonly wake: number;
  /** Instructions retired by all vCPUs, and of these those executed as translated code. */
  readonly instructions: number;
  readonly translatedInstructions: number;
  /** Loads a kernel and puts the first CPU at its entry. Throws `BootError` when the files do not fit. */
  boot(files: GuestFiles): void;
  /** Asks for hints which pages are free; the host takes those that are not written to meanwhile. Between rounds. */
  askForHints(): void;
  /** Bytes come in on the serial port. */
  serialInput(bytes: Uint8Array): void;
  /** A vCPU that waited for the host since `since`, by a fault of that cause, goes on at virtual time `time`. */
  resume(cpu: number, time: number, since: number, cause: FaultCause): void;
  /** The host ends it. */
  stop(reason: string): void;
  /** Gives everything back that it has on the host; it is of no use any more. */
  dispose(): void;
  /** The state of everything but the memory. */
  machineState(): Uint8Array;
  /** Takes that up. */
  takeMachineState(state: Uint8Array): void;
  /** SHA-256 of the guest's whole state, in hexadecimal. */
  stateHash(): string;
}

/** A disk: the file of a raw image, which the guest's thread opens. */
export interface DiskImage {
  readonly path: string;
  readonly readOnly: boolean;
}

/** The host's end of a console port. */
export interface HostedPort {
  /** The port's name in the guest; the console has none. */
  readonly name?: string;
  /** Takes what the guest wrote at virtual time `time` (ns). Called when the round is over; the bytes are valid during the call only. */
  onOutput(bytes: Uint8Array, time: number): void;
}

/** What a guest is made of that can be told to another thread. */
export interface PlainOptions extends Omit<GuestOptions, 'network' | 'disks' | 'serialOutput' | 'ports'> {
  /** Disks, in the order of their slots. */
  readonly disks: readonly DiskImage[];
}

/** What a guest on a host is made of. What it writes is handed over when the round is over, in the order of the guests. */
export interface HostedOptions extends PlainOptions {
  /** Takes what the guest writes to its serial port, byte by byte. */
  readonly serialOutput: (byte: number) => void;
  /** The host's ends of the virtio console's ports; the first is the console itself. */
  readonly ports: readonly HostedPort[];
}
