/** A quantity over time: what it is, what it was at most, and its integral, such as byte-seconds. */
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';

/** See the top of this file. Times are in virtual ns and must not go back. */
export class Integral implements Stateful {
  #since = 0;
  #value = 0;
  #peak = 0;
  #integral = 0;

  /** The quantity is `value` from virtual time `time` on. */
  set(time: number, value: number): void {
    this.#integral = this.until(time);
    this.#since = time;
    this.#value = value;
    if (value > this.#peak) this.#peak = value;
  }

  /** What it is now. */
  get value(): number {
    return this.#value;
  }

  /** What it was at most. */
  get peak(): number {
    return this.#peak;
  }

  /** The integral from 0 to `time`, no earlier than the last change: quantity times seconds. */
  until(time: number): number {
    return this.#integral + (this.#value * (time - this.#since)) / 1e9;
  }

  saveState(to: StateWriter): void {
    to.number(this.#since);
    to.number(this.#value);
    to.number(this.#peak);
    to.number(this.#integral);
  }

  loadState(from: StateReader): void {
    this.#since = from.number();
    this.#value = from.number();
    this.#peak = from.number();
    this.#integral = from.number();
  }
}
