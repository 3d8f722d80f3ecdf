/** What the bench asks of every emulator. A file of its own for each: `ours.ts`, `qemu.ts`, `v86.ts`. */
import type { GuestConsole } from './console.ts';

/** The image that is booted: Debian's cloud kernel and BusyBox. */
export const imageName = 'debian-busybox';
/** Memory of each guest, in bytes. */
export const guestBytes = 256 << 20;
/** The kernel's command line, the same for all; with or without each guest's kernel at an address of its own. */
export function commandLine(kaslr: boolean): string {
  return `console=ttyS0 panic=-1${kaslr ? '' : ' nokaslr'}`;
}

/** Guests that are to be started together. */
export interface Setup {
  readonly guests: number;
  /** Whether each guest's kernel has an address of its own, as Linux has it unless told otherwise. */
  readonly kaslr: boolean;
}

/** Guests that run. Times are of the host's wall clock, in ms (`performance.now()`). */
export interface Machine {
  /** Just before the process was started that holds the guest, or the first of them. */
  readonly processStarted: number;
  /** When each guest was switched on. */
  readonly switchedOn: readonly number[];
  readonly consoles: readonly GuestConsole[];
  /** The processes that hold the guests. */
  readonly pids: readonly number[];
  /** Lets the guests stand still, so that another emulator has the machine for itself. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Bytes of memory that hold guests' pages, of emulators that tell. */
  guestPages?(): Promise<number>;
  /**
   * Bytes of memory that held guests' pages and will hold those that guests touch next: frames of the simulated host that are free, and
   * that the operating system does not get back. They are told apart from what an emulator needs beyond guests' pages, as it is the guests'
   * memory that has this size: an emulator that keeps what its guests gave back in the mapping of their RAM counts it with their pages.
   */
  freeFrames?(): Promise<number>;
  /** Part of the instructions so far that were executed in translated code, of emulators that tell. */
  translatedShare?(): Promise<number>;
  /** Ends the processes. */
  stop(): Promise<void>;
}

/** A machine in whose process more guests can be switched on. */
export interface GrowingMachine extends Machine {
  /** Switches one more guest on. */
  add(): Promise<{ readonly switchedOn: number; readonly console: GuestConsole }>;
}

/** An emulator. */
export interface Peer {
  readonly name: string;
  /** Name, version and settings, for the results. */
  readonly description: string;
  /** Whether it can boot several of the same guests. */
  readonly several: boolean;
  start(setup: Setup): Promise<Machine>;
}

/** An emulator that this machine does not have. */
export interface AbsentPeer {
  readonly name: string;
  /** Why not. */
  readonly absent: string;
}
