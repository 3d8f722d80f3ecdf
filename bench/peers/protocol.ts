/** What an emulator that runs in a Node process of its own and the bench say to each other, over Node's IPC channel. */
import { once } from 'node:events';
import { flushCompileCache } from 'node:module';
import type { KindTimes } from './profile.ts';

/** From the bench to the emulator's process. */
export type Request =
  /** Types on the console of the first guest. */
  | { readonly kind: 'input'; readonly text: string }
  /** Lets no guest run until `resume`. */
  | { readonly kind: 'pause' }
  | { readonly kind: 'resume' }
  /** Switches on one more guest. */
  | { readonly kind: 'add' }
  | { readonly kind: 'figures' }
  /** Begins a profile of the thread that the guests run on. */
  | { readonly kind: 'startProfile' }
  | { readonly kind: 'stopProfile' };

/** What an emulator knows of its guests. */
export interface Figures {
  /** Instructions retired by all guests. */
  readonly instructions: number;
  /** Those of them that were retired in translated code. */
  readonly translatedInstructions: number;
  /** Memory of the process that holds guests' pages, in bytes. */
  readonly guestBytes: number;
  /** Where the frames of a simulated host are, free ones included, of an emulator that has such: in a mapping of `size` bytes. */
  readonly frames?: { readonly size: number; readonly from: number; readonly length: number };
}

/** From the emulator's process to the bench. */
export type Notice =
  /** A guest is switched on now. */
  | { readonly kind: 'started'; readonly guest: number }
  | { readonly kind: 'console'; readonly guest: number; readonly text: string }
  | { readonly kind: 'figures'; readonly figures: Figures }
  | { readonly kind: 'profile'; readonly times: KindTimes }
  /** A guest has ended, and why. */
  | { readonly kind: 'end'; readonly guest: number; readonly reason: string };

/** Tells the bench. */
export function tell(notice: Notice): void {
  process.send!(notice);
}

/** Calls `answer` with what the bench asks; the process ends with the bench. */
export function onRequest(answer: (request: Request) => void): void {
  // The bench kills the process; by itself Node keeps what it compiled when a process ends.
  flushCompileCache();
  process.on('message', (message) => answer(message as Request));
  void once(process, 'disconnect').then(() => process.exit());
}
