/** Lets a machine run while Node serves its terminal, pipes and signals in between. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Guest, StepEnd } from './machine.ts';

/** What may end a run besides the machine. */
export interface DriveOptions {
  /** Virtual time of one step, in ns: the figures do not depend on it, how soon input is seen does. */
  stepNs: number;
  /** Asked after each step; true ends the run. */
  done?: () => boolean;
  /** Awaited after each step: back-pressure of the output, pacing. */
  between?: () => Promise<void> | undefined;
  /** Ends the run after the present step. */
  signal: AbortSignal;
}

/** Steps the machine until it ends, `done` says so, or the run is aborted; undefined unless the machine ended. */
export async function drive(guest: Guest, options: DriveOptions): Promise<StepEnd | undefined> {
  const { stepNs, done = () => false, between, signal } = options;
  while (!signal.aborted) {
    const end = guest.step(stepNs);
    if (end.reason !== 'time') return end;
    if (done()) return undefined;
    await between?.();
    await turn();
  }
  return undefined;
}
