/** Runs one command in a guest, through the control port that the guest's init serves. */
import {
  ControlReader,
  controlPort,
  execRequest,
  outputPort,
  poweroffRequest,
} from '../../workloads/guest/control.ts';
import { drive } from './drive.ts';
import type { Guest, StepEnd } from './machine.ts';

/** How long a guest may take to switch itself off when told, in virtual ns. */
const poweroffPatience = 30e9;

const stepNs = 10e6;

export interface ExecOptions {
  /** The shell script. */
  script: string;
  /** Takes what the command prints. */
  print: (bytes: Uint8Array) => void;
  /** Awaited between steps, so that a slow reader of the output holds the guest up. */
  drained: () => Promise<void> | undefined;
  signal: AbortSignal;
}

/**
 * Boots the guest and runs the command in it. Gives the command's exit status, how the machine ended
 * before the command did, or undefined when the run was aborted.
 * @throws ControlError when what the guest sends is no answer
 */
export async function execInGuest(guest: Guest, options: ExecOptions): Promise<number | StepEnd | undefined> {
  const reader = new ControlReader();
  const control = guest.port(controlPort);
  let status: number | undefined;
  control.onOutput = (bytes) => {
    for (const answer of reader.push(bytes)) {
      if (answer.kind === 'ready') control.input(execRequest(options.script));
      else status = answer.status;
    }
  };
  guest.port(outputPort).onOutput = options.print;
  const end = await drive(guest, {
    stepNs,
    done: () => status !== undefined,
    between: options.drained,
    signal: options.signal,
  });
  return status ?? end;
}

/** Lets the guest write its disks out and switch itself off. */
export async function powerOff(guest: Guest, signal: AbortSignal): Promise<void> {
  guest.port(controlPort).input(poweroffRequest());
  const latest = guest.virtualNs + poweroffPatience;
  await drive(guest, { stepNs, done: () => guest.virtualNs >= latest, signal });
}
