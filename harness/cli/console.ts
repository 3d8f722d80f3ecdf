/** The guest's console, on a terminal or through pipes. */
import { setTimeout } from 'node:timers/promises';
import type { ReadStream, WriteStream } from 'node:tty';
import { drive } from './drive.ts';
import { EscapeKeys, keyHelp } from './keys.ts';
import type { Guest, StepEnd } from './machine.ts';

export interface ConsoleOptions {
  /** Awaited between steps, so that a slow reader of the output holds the guest up. */
  drained: () => Promise<void> | undefined;
  signal: AbortSignal;
}

/**
 * Runs the guest with its console on the terminal in raw mode. Gives how the machine ended, or undefined when
 * the user ended it by Ctrl-A X or a signal did. Time in an idle guest passes as in the world.
 */
export async function runOnTerminal(
  guest: Guest,
  input: ReadStream,
  output: WriteStream,
  { drained, signal }: ConsoleOptions,
): Promise<StepEnd | undefined> {
  const keys = new EscapeKeys();
  const pace = new Pace(guest);
  let quit = false;
  const typed = (bytes: Uint8Array) => {
    for (const action of keys.typed(bytes)) {
      if (action.kind === 'send') guest.console.input(action.bytes);
      else if (action.kind === 'quit') quit = true;
      else output.write(`\n${keyHelp.join('\n')}\n`);
    }
    pace.hurry();
  };
  signal.addEventListener('abort', () => pace.hurry());
  guest.console.onOutput = (bytes) => output.write(bytes);
  input.setRawMode(true);
  input.on('data', typed);
  try {
    return await drive(guest, {
      stepNs: 1e6,
      done: () => quit,
      between: async () => {
        await drained();
        await pace.keep();
      },
      signal,
    });
  } finally {
    input.off('data', typed);
    input.setRawMode(false);
    input.pause();
    if (quit) output.write('\n');
  }
}

/** Keeps virtual time from running ahead of the world's: an idle guest's hours pass in no time otherwise. */
class Pace {
  readonly #guest: Guest;
  #virtualStart: number;
  #wallStart = performance.now();
  /** Ends the present wait: something happened. */
  hurry: () => void = () => {};

  constructor(guest: Guest) {
    this.#guest = guest;
    this.#virtualStart = guest.virtualNs;
  }

  /** Waits while the guest is ahead. A guest that fell behind is not made to catch up. */
  keep(): Promise<void> | undefined {
    const now = performance.now();
    const ahead = (this.#guest.virtualNs - this.#virtualStart) / 1e6 - (now - this.#wallStart);
    if (ahead < 0) {
      this.#virtualStart = this.#guest.virtualNs;
      this.#wallStart = now;
    }
    if (ahead < 5) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.hurry = resolve;
    return Promise.race([promise, setTimeout(Math.min(ahead, 50))]);
  }
}

/** A console that has printed nothing for so much virtual time waits for input. */
const quietNs = 2e9;

/** End of transmission, Ctrl-D: what a terminal sends for the end of the input. */
const endOfInput = Uint8Array.of(4);

/**
 * Runs the guest with its console on pipes. Input is handed over when the guest waits for it (it has printed
 * something and then been quiet); when all is handed over, so is Ctrl-D, whenever the guest waits again.
 */
export async function runOnPipes(
  guest: Guest,
  input: NodeJS.ReadStream,
  output: NodeJS.WriteStream,
  { drained, signal }: ConsoleOptions,
): Promise<StepEnd | undefined> {
  let active = Number.POSITIVE_INFINITY;
  let ended = false;
  let waiting: Uint8Array[] = [];
  guest.console.onOutput = (bytes) => {
    output.write(bytes);
    active = guest.virtualNs;
  };
  const arrived = (bytes: Uint8Array) => waiting.push(bytes);
  const end = () => {
    ended = true;
  };
  input.on('data', arrived).on('end', end);

  async function between(): Promise<void> {
    await drained();
    if (guest.virtualNs - active < quietNs) return;
    if (waiting.length === 0 && !ended) {
      // Nothing happens on either side: spare the processor.
      await setTimeout(10);
      return;
    }
    for (const bytes of waiting.length > 0 ? waiting : [endOfInput]) guest.console.input(bytes);
    waiting = [];
    active = guest.virtualNs;
  }

  try {
    return await drive(guest, { stepNs: 10e6, between, signal });
  } finally {
    input.off('data', arrived).off('end', end).pause();
  }
}
