/** `pagefold boot`: boots one guest, with its console on the terminal or to run one command in it. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { MAX_CPUS } from '../../hypervisor/platform/acpi/tables.ts';
import type { DiskImage } from '../../hypervisor/threads/hostedguest.ts';
import { ControlError, controlParameter, controlPort, outputPort } from '../../workloads/guest/control.ts';
import { resolveImage } from '../../workloads/images/resolve.ts';
import { UserError } from '../../workloads/images/user-error.ts';
import { runOnPipes, runOnTerminal } from './console.ts';
import { countersTable } from './counters.ts';
import { diskOf } from './disk.ts';
import { execInGuest, powerOff } from './exec.ts';
import { createGuest, type Guest, type GuestOptions, type StepEnd } from './machine.ts';
import { mustBeWritable, writeOutput } from './outputfile.ts';
import { complain, progress } from './style.ts';
import { parseInteger, parseSize } from './values.ts';

/** The options as they are given. */
export interface BootArguments {
  image?: string | undefined;
  kernel?: string | undefined;
  initrd?: string | undefined;
  memory: string;
  balloon?: string | undefined;
  cpus: string;
  append?: string | undefined;
  disk: string[];
  exec?: string | undefined;
  console: boolean;
  json?: string | undefined;
  seed: string;
  translate: boolean;
  lockstep: boolean;
  counters: boolean;
}

/** The exit status when the guest stopped before its command ended, as timeout(1) and env(1) have it. */
export const guestStopped = 125;

/** How much of the console is shown when a guest stopped before its command ended. */
const consoleTail = 2000;

/** Runs the command. Gives the exit status. */
export async function boot(given: BootArguments): Promise<number> {
  const memoryBytes = parseSize('--memory', given.memory);
  const balloonBytes = given.balloon === undefined ? 0 : parseSize('--balloon', given.balloon);
  const cpus = parseInteger('--cpus', given.cpus, 1, MAX_CPUS);
  const seed = parseInteger('--seed', given.seed, 0, 2 ** 32 - 1);
  if (given.json !== undefined) mustBeWritable(given.json);
  const disks = given.disk.map(diskOf);
  if (given.lockstep) mustFitLockstep(given, disks);
  const files = await bootFiles(given);
  // An image's own disk is the machine's first.
  if (files.disk !== undefined) disks.unshift({ path: files.disk, readOnly: true });
  const started = performance.now();
  const ports = given.exec === undefined ? [] : [controlPort, outputPort];
  const commandLine = kernelCommandLine(given);
  const { translate, lockstep } = given;
  const options = { memoryBytes, balloonBytes, cpus, seed, translate, lockstep, commandLine, disks, ports };
  const guest = make(files, options);
  return run(guest, given, async () => {
    if (given.counters) process.stderr.write(`${countersTable(guest)}\n`);
    if (given.json === undefined) return;
    await writeFigures(given.json, guest, files.imageDigest, performance.now() - started);
  });
}

/**
 * The console is the serial port; a kernel that panics resets, which ends the run; init is told whether to
 * wait for the ports of the control protocol.
 */
function kernelCommandLine({ exec, append }: BootArguments): string {
  const words = ['console=ttyS0', 'panic=-1', exec === undefined ? undefined : controlParameter, append];
  return words.filter(Boolean).join(' ');
}

/** How a run ended. */
interface Ended {
  status: number;
  /** False when the machine has ended too. */
  alive: boolean;
}

/** Runs the guest to its end, or that of its command. `ran` is called then, unless a signal ended the run. */
async function run(guest: Guest, given: BootArguments, ran: () => Promise<void>): Promise<number> {
  const signals = listenForSignals();
  try {
    const { status, alive } = await (given.exec === undefined
      ? interact(guest, signals)
      : command(guest, given.exec, given.console, signals));
    if (signals.status !== undefined) return signals.status;
    await ran();
    const written = given.disk.length > 0 && given.exec !== undefined;
    if (written && alive) await powerOff(guest, signals.abort);
    return status;
  } finally {
    signals.release();
  }
}

interface BootFiles {
  kernelFile: string;
  kernel: Uint8Array;
  initrdFile?: string;
  initrd?: Uint8Array;
  /** The disk that the image has. */
  disk?: string;
  /** Of the image that the kernel is from; null when it is the user's own. */
  imageDigest: string | null;
}

/** Reads kernel and initrd: the user's own where given, those of the image otherwise. */
async function bootFiles(given: BootArguments): Promise<BootFiles> {
  if (given.kernel !== undefined && given.image !== undefined) {
    throw new UserError({
      file: '--kernel',
      cause: 'an image brings a kernel of its own',
      remedy: 'leave out either --image or --kernel',
    });
  }
  const image =
    given.kernel === undefined ? await resolveImage(given.image ?? 'debian-busybox', progress) : undefined;
  const kernelFile = given.kernel ?? image!.kernel;
  const initrdFile = given.initrd ?? image?.initrd;
  const read = (file: string) =>
    readFile(file).catch((error: Error) => {
      throw new UserError({ file, cause: error.message, remedy: 'name a file that can be read' });
    });
  return {
    kernelFile,
    kernel: await read(kernelFile),
    ...(initrdFile === undefined ? {} : { initrdFile, initrd: await read(initrdFile) }),
    ...(image?.disk === undefined ? {} : { disk: image.disk }),
    imageDigest: image?.digest ?? null,
  };
}

/** Makes the machine; what it cannot boot is the user's to mend. */
function make(
  { kernel, kernelFile, initrd, initrdFile }: BootFiles,
  options: Omit<GuestOptions, 'kernel' | 'initrd'>,
): Guest {
  try {
    return createGuest({ ...options, kernel, ...(initrd === undefined ? {} : { initrd }) });
  } catch (error) {
    if (!(error instanceof Error && error.name === 'BootError')) throw error;
    // "kernel: reason; remedy", with the file instead of its role.
    const [, input, cause, remedy] = /^([^:]+): (.*); (.*)$/s.exec(error.message) ?? [];
    const file = input === 'kernel' ? kernelFile : input === 'initrd' ? initrdFile : undefined;
    throw new UserError({
      file: file ?? (input === 'memory' ? '--memory' : '--append'),
      cause: cause ?? error.message,
      remedy: remedy ?? 'see the message',
    });
  }
}

/** What ends a run from outside. */
interface Signals {
  abort: AbortSignal;
  /** The exit status by which to end, when a signal came or the output's reader went away. */
  readonly status: number | undefined;
  release(): void;
}

function listenForSignals(): Signals {
  const controller = new AbortController();
  let status: number | undefined;
  const end = (by: number) => {
    status ??= by;
    controller.abort();
  };
  const listeners = { SIGINT: () => end(130), SIGTERM: () => end(143), SIGHUP: () => end(129) };
  const failed = (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    end(141);
  };
  for (const [name, listener] of Object.entries(listeners)) process.on(name, listener);
  process.stdout.on('error', failed);
  return {
    abort: controller.signal,
    get status() {
      return status;
    },
    release() {
      for (const [name, listener] of Object.entries(listeners)) process.off(name, listener);
    },
  };
}

/** Waits while the reader of our output is behind. */
function drained(abort: AbortSignal): () => Promise<void> | undefined {
  return () => {
    if (!process.stdout.writableNeedDrain) return undefined;
    return once(process.stdout, 'drain', { signal: abort }).then(
      () => {},
      () => {}, // Aborted, or the reader went away: `listenForSignals` ends the run.
    );
  };
}

/** Runs the guest with its console on our terminal or pipes. */
async function interact(guest: Guest, { abort }: Signals): Promise<Ended> {
  const { stdin, stdout } = process;
  const options = { drained: drained(abort), signal: abort };
  const end =
    stdin.isTTY && stdout.isTTY
      ? await runOnTerminal(guest, stdin, stdout, options)
      : await runOnPipes(guest, stdin, stdout, options);
  const alive = end === undefined;
  if (alive || end.reason === 'poweroff' || end.reason === 'reset') return { status: 0, alive };
  process.stderr.write('\n');
  complain(`guest: ${describe(end)}`);
  return { status: guestStopped, alive };
}

/** Runs one command in the guest; its console goes to standard error when it is to be shown. */
async function command(guest: Guest, script: string, show: boolean, { abort }: Signals): Promise<Ended> {
  let tail = '';
  guest.console.onOutput = (bytes) => {
    if (show) process.stderr.write(bytes);
    else tail = (tail + Buffer.from(bytes).toString('latin1')).slice(-consoleTail);
  };
  const print = (bytes: Uint8Array) => process.stdout.write(bytes);
  const ended = await execInGuest(guest, { script, print, drained: drained(abort), signal: abort }).catch(
    (error: unknown): StepEnd => {
      if (error instanceof ControlError) return { reason: 'error', message: error.message };
      throw error;
    },
  );
  if (typeof ended === 'number') return { status: ended, alive: true };
  if (ended !== undefined) {
    const what = `guest: ${describe(ended)} before the command ended`;
    complain(tail === '' ? what : `${what}; the end of its console:\n${tail}`);
  }
  return { status: guestStopped, alive: false };
}

function describe({ reason, message }: StepEnd): string {
  const what = {
    time: 'time is over',
    poweroff: 'it switched itself off',
    reset: 'it reset itself',
    halted: 'it halted for good',
    error: 'it broke the rules',
  }[reason];
  return message === undefined ? what : `${what} (${message})`;
}

/** Lockstep runs two machines, of which one translates, on the same disks. */
function mustFitLockstep({ translate }: BootArguments, disks: readonly DiskImage[]): void {
  if (!translate) {
    throw new UserError({
      file: '--lockstep',
      cause: 'it compares translated code with interpreted code, and --no-translate translates none',
      remedy: 'leave out one of the two',
    });
  }
  const written = disks.find(({ readOnly }) => !readOnly);
  if (written !== undefined) {
    throw new UserError({
      file: written.path,
      cause: 'both machines of --lockstep would write to it',
      remedy: 'make the file read-only',
    });
  }
}

async function writeFigures(file: string, guest: Guest, imageDigest: string | null, wallMs: number) {
  const figures = {
    imageDigest,
    instructions: guest.instructions,
    translatedInstructions: guest.translatedInstructions,
    virtualNs: guest.virtualNs,
    wallMs: Math.round(wallMs),
    mips: Math.round(guest.instructions / wallMs / 10) / 100,
    stateHash: guest.stateHash(),
    engine: guest.counters,
  };
  await writeOutput(file, `${JSON.stringify(figures, null, 2)}\n`);
}
