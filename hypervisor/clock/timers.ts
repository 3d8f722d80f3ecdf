/**
 * Virtual time and the timers that live in it.
 *
 * Virtual time is counted in nanoseconds as a plain number (exact up to 2^53 ns, 104 days). Who runs the
 * machine advances it: by retired instructions and by modelled costs, never by the wall clock.
 */
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';

/** A source of virtual time. */
export interface Clock {
  /** Virtual time now, in ns since power-on; whole, never decreasing. */
  now(): number;
}

/** One armed or idle alarm, made by {@link TimerQueue.timer}. */
export interface Timer {
  /** When it goes off, in virtual ns; Infinity when it is not armed. */
  readonly deadline: number;
  /** Lets it go off once at `deadline` (virtual ns); a time that has passed means at once. Replaces an earlier arming. */
  arm(deadline: number): void;
  /** Takes the alarm back. */
  disarm(): void;
}

class QueuedTimer implements Timer {
  deadline = Number.POSITIVE_INFINITY;
  readonly #queue: TimerQueue;
  readonly name: string;
  readonly fire: (deadline: number) => void;

  constructor(queue: TimerQueue, name: string, fire: (deadline: number) => void) {
    this.#queue = queue;
    this.name = name;
    this.fire = fire;
  }

  arm(deadline: number): void {
    this.deadline = deadline;
    this.#queue.changed();
  }

  disarm(): void {
    this.deadline = Number.POSITIVE_INFINITY;
    this.#queue.changed();
  }
}

/**
 * The timers of one machine. They fire in order of deadline; timers of equal deadline fire in the order in
 * which they were made, so the order never depends on anything but the machine itself. A machine has a
 * dozen timers, so the earliest is found by looking at each.
 */
export class TimerQueue implements Stateful {
  readonly #timers: QueuedTimer[] = [];
  readonly #onEarlier: () => void;
  #next = Number.POSITIVE_INFINITY;

  /** @param onEarlier called when a timer is armed before all others, so that who runs the machine stops in time */
  constructor(onEarlier: () => void = () => {}) {
    this.#onEarlier = onEarlier;
  }

  /**
   * Makes a timer, not yet armed. `fire` is called with the deadline it was armed for; the timer is idle
   * again by then and may be armed anew.
   * @param name unique within the queue; it names the timer in saved state
   */
  timer(name: string, fire: (deadline: number) => void): Timer {
    if (this.#timers.some((timer) => timer.name === name)) throw new Error(`two timers are named '${name}'`);
    const timer = new QueuedTimer(this, name, fire);
    this.#timers.push(timer);
    return timer;
  }

  /** The earliest deadline, in virtual ns; Infinity when nothing is armed. */
  get next(): number {
    return this.#next;
  }

  /** Finds the earliest deadline anew; a timer calls it when it was armed or disarmed. */
  changed(): void {
    const before = this.#next;
    this.#next = Number.POSITIVE_INFINITY;
    for (const timer of this.#timers) if (timer.deadline < this.#next) this.#next = timer.deadline;
    if (this.#next < before) this.#onEarlier();
  }

  /**
   * Fires every timer whose deadline is at or before `now`, and those that they arm up to `now` in turn, as long as `mayGoOn` says
   * so before each.
   */
  run(now: number, mayGoOn: () => boolean = () => true): void {
    while (this.#next <= now && mayGoOn()) {
      const due = this.#timers.find((timer) => timer.deadline === this.#next)!;
      const deadline = due.deadline;
      due.disarm();
      due.fire(deadline);
    }
  }

  saveState(to: StateWriter): void {
    to.list(this.#timers, (timer) => {
      to.string(timer.name);
      to.number(timer.deadline);
    });
  }

  loadState(from: StateReader): void {
    from.list(() => {
      const name = from.string();
      const deadline = from.number();
      const timer = this.#timers.find((candidate) => candidate.name === name);
      if (timer === undefined) throw new Error(`saved state has a timer '${name}' that this machine lacks`);
      timer.deadline = deadline;
    });
    this.changed();
  }
}
