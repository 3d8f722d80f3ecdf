/** Virtual time for tests. */
import { type Clock, TimerQueue } from '../../clock/timers.ts';

/** A clock that stands still until it is told to advance, and the timers on it. */
export class TestTime implements Clock {
  readonly timers = new TimerQueue();
  #now = 0;

  now(): number {
    return this.#now;
  }

  /** Advances to `time` (virtual ns), stopping at every deadline on the way. */
  advanceTo(time: number): void {
    while (this.timers.next <= time) {
      this.#now = Math.max(this.#now, this.timers.next);
      this.timers.run(this.#now);
    }
    this.#now = time;
  }

  /** Advances to `time` as a machine does that was busy in between: the deadlines on the way are noticed late. */
  leapTo(time: number): void {
    this.#now = time;
    this.timers.run(time);
  }

  /** Lets time pass to `time` without the deadlines on the way being noticed yet. */
  passTo(time: number): void {
    this.#now = time;
  }
}
