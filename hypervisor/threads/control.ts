/**
 * How the host's thread and a worker hand control to each other: two counters in shared memory, of commands and of answers. Between a command
 * and its answer all that both see is the worker's, otherwise it is the host's.
 *
 * An atomic store and the load that sees it order all that was written before the one and is read behind the other, atomic or not
 * (ECMAScript's memory model, "synchronizes with").
 */
import type { HostMemory } from '../memory/hostmemory.ts';

/** What a worker is told to do. */
export const commands = {
  /** Say when it is ready. */
  start: 0,
  /** Run its guests' part of the round. */
  run: 1,
  /** Read a message and carry it out. */
  call: 2,
  /** End. */
  end: 3,
} as const;

/** Words: commands and answers given so far, the present command, and whether messages came with the answer. */
const places = { command: 0, answer: 1, kind: 2, mail: 3 };
/** Numbers behind the words: where the part of the round begins and ends, in virtual ns. */
const timesAt = 16;
const times = { from: 0, until: 1 };

/** Bytes of a control block. */
export const controlBytes = timesAt + 16;

/** So often a word is read before its reader sleeps: for some 20 µs, as long as it takes to be woken. */
const patience = 500;

/** See the top of this file. */
export class Control {
  readonly #words: Int32Array;
  readonly #times: Float64Array;

  /** @param at host address, a multiple of 8 */
  constructor(memory: HostMemory, at: number) {
    this.#words = memory.i32.subarray(at / 4, (at + timesAt) / 4);
    this.#times = memory.f64.subarray((at + timesAt) / 8, (at + controlBytes) / 8);
  }

  // The host's side.

  /** Gives a command; the worker begins. */
  give(command: number): void {
    this.#words[places.kind] = command;
    this.#count(places.command);
  }

  /** Waits until the worker has answered the last command. Gives whether messages came with it. */
  awaitAnswer(): boolean {
    const given = Atomics.load(this.#words, places.command);
    for (;;) {
      const answered = Atomics.load(this.#words, places.answer);
      if (answered === given) break;
      this.#awaitChange(places.answer, answered);
    }
    return this.#words[places.mail] !== 0;
  }

  // The worker's side.

  /** Waits for a command behind those that were answered. */
  awaitCommand(): number {
    this.#awaitChange(places.command, Atomics.load(this.#words, places.answer));
    return this.#words[places.kind]!;
  }

  /** Answers the command; `mail`: messages were sent. */
  answer(mail: boolean): void {
    this.#words[places.mail] = mail ? 1 : 0;
    this.#count(places.answer);
  }

  // Both.

  /** Where the round's part begins that is to be run, in virtual ns. */
  get from(): number {
    return this.#times[times.from]!;
  }

  set from(value: number) {
    this.#times[times.from] = value;
  }

  /** Where it ends. */
  get until(): number {
    return this.#times[times.until]!;
  }

  set until(value: number) {
    this.#times[times.until] = value;
  }

  #count(place: number): void {
    Atomics.add(this.#words, place, 1);
    Atomics.notify(this.#words, place);
  }

  #awaitChange(place: number, from: number): void {
    for (let i = 0; i < patience; i++) {
      if (Atomics.load(this.#words, place) !== from) return;
      Atomics.pause();
    }
    while (Atomics.load(this.#words, place) === from) Atomics.wait(this.#words, place, from);
  }
}
