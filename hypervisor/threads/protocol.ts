/** What the host's thread and a worker say to each other in messages: all that is not part of every round. */
import type { MessagePort } from 'node:worker_threads';
import type { Costs } from '../clock/costs.ts';
import type { GuestEnd } from '../guest.ts';
import type { MemoryPart } from '../memory/hostmemory.ts';
import type { SpaceFailure, SpacePlace } from '../memory/spaceblock.ts';
import type { SharedSwap } from '../memory/swap/swap.ts';
import type { EntryState } from '../platform/loader/load.ts';
import type { HintingPhase } from '../virtio/balloon/hinting.ts';
import type { BalloonStats } from '../virtio/balloon/stats.ts';
import type { TranslationOptions } from '../x86/translate/options.ts';
import type { PlainOptions } from './hostedguest.ts';
import type { Written } from './outputs.ts';

/** What a worker begins with. Addresses are the host's. */
export interface WorkerSetup {
  readonly port: MessagePort;
  readonly frameBytes: number;
  readonly arenaBytes: number;
  /** Room for the worker's engine. */
  readonly room: MemoryPart;
  readonly codeBytes: number;
  readonly translate: false | TranslationOptions;
  readonly costs: Costs;
  /** The control block, the tables of frames, the frame of zeros. */
  readonly control: number;
  readonly frameTables: number;
  readonly zeroFrame: number;
  readonly swap: SharedSwap | undefined;
}

/** A guest for a worker. */
export interface NewGuest {
  readonly space: SpacePlace;
  /** Its block (`guestblock.ts`), and its own room: for vCPUs and a page. */
  readonly block: number;
  readonly room: { readonly start: number; readonly end: number };
  readonly options: PlainOptions;
  /** Names of the console's ports. */
  readonly ports: readonly (string | undefined)[];
  /** Its place on the network. */
  readonly station: number;
}

/** A frame on its way to or from a guest, and when it arrives or was sent, in virtual ns. */
export interface TimedFrame {
  readonly frame: Uint8Array;
  readonly time: number;
}

/** What the host asks a worker to do between rounds, or between parts of one. */
export type Request =
  | ({ readonly kind: 'add'; readonly guest: number } & NewGuest)
  | { readonly kind: 'remove' | 'figures' | 'save'; readonly guest: number }
  | { readonly kind: 'enter'; readonly guest: number; readonly entry: EntryState }
  | { readonly kind: 'serial input'; readonly guest: number; readonly bytes: Uint8Array }
  | { readonly kind: 'input'; readonly guest: number; readonly port: number; readonly bytes: Uint8Array }
  | { readonly kind: 'open'; readonly guest: number; readonly port: number; readonly open: boolean }
  | { readonly kind: 'balloon target'; readonly guest: number; readonly pages: number }
  | { readonly kind: 'statistics'; readonly guest: number; readonly interval: number }
  | { readonly kind: 'hinting'; readonly guest: number; readonly does: 'start' | 'finish' }
  | { readonly kind: 'receive'; readonly guest: number; readonly frames: readonly TimedFrame[] }
  | { readonly kind: 'stop'; readonly guest: number; readonly reason: string }
  | { readonly kind: 'load'; readonly guest: number; readonly state: Uint8Array };

/** What a guest's thread knows of it that the host looks at now and then. */
export interface Figures {
  /** The state of its measures. */
  readonly measures: Uint8Array;
  readonly instructions: number;
  readonly translatedInstructions: number;
  readonly balloon: {
    readonly target: number;
    readonly actual: number;
    readonly driven: boolean;
    readonly stats: BalloonStats | undefined;
    readonly givesHints: boolean;
    readonly hintingPhase: HintingPhase;
  };
}

/** What a worker answers, by the kind of request; nothing to all others. */
export interface Answers {
  /** Host addresses of the vCPUs' states. */
  readonly add: readonly number[];
  readonly figures: Figures;
  readonly save: Uint8Array;
}

/** What a worker answers to a request. */
export type AnswerTo<Kind> = Kind extends keyof Answers ? Answers[Kind] : undefined;

/** An error on its way to another thread. */
export interface Failure {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
}

/** What a guest of a worker has done in a round besides what stands in shared memory. */
export interface News {
  readonly guest: number;
  readonly written: Written | undefined;
  readonly frames: readonly TimedFrame[];
  /** Entries of its log that have no place in its block. */
  readonly log: Uint32Array | undefined;
  readonly end: GuestEnd | undefined;
  /** Why it has ended for want of one of its pages. */
  readonly failure: SpaceFailure | undefined;
}

/** What comes from a worker. */
export type Message =
  | { readonly kind: 'answer'; readonly value: unknown }
  | { readonly kind: 'news'; readonly news: readonly News[] }
  | { readonly kind: 'failed'; readonly failure: Failure };

/** An error as it travels. */
export function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), stack: '' };
  return { name: error.name, message: error.message, stack: error.stack ?? '' };
}

/** The same error in the thread that it has come to. */
export function errorOf({ name, message, stack }: Failure): Error {
  const error = new Error(message);
  error.name = name;
  error.stack = stack;
  return error;
}
