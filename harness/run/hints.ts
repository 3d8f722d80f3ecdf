/** Free page hinting: guests are asked from time to time which pages are free, and the host takes those. */
import type { HostedGuest } from '../../hypervisor/threads/hostedguest.ts';

/** So often it is looked, in virtual ns, whether a guest has told all that it knows. Until then it keeps the pages from being used. */
const patience = 10e6;

/** See the top of this file. */
export class Hints {
  readonly #interval: number;
  readonly #guests = new Set<HostedGuest>();
  #nextQuestion: number;
  #next: number;

  /** @param interval virtual ns between questions */
  constructor(interval: number) {
    this.#interval = interval;
    this.#nextQuestion = interval;
    this.#next = interval;
  }

  add(guest: HostedGuest): void {
    this.#guests.add(guest);
  }

  remove(guest: HostedGuest): void {
    this.#guests.delete(guest);
  }

  /** When there is something to do, in virtual ns. */
  get next(): number {
    return this.#next;
  }

  /** Does what is due at virtual time `now`. */
  run(now: number): void {
    const asks = now >= this.#nextQuestion;
    if (asks) this.#nextQuestion = now + this.#interval;
    let waits = false;
    for (const guest of this.#guests) {
      const { balloon } = guest;
      if (!balloon.givesHints) continue;
      if (balloon.hintingPhase === 'ended') balloon.finishHinting();
      else if (asks) guest.askForHints();
      waits ||= balloon.hintingPhase !== 'done';
    }
    this.#next = waits ? Math.min(now + patience, this.#nextQuestion) : this.#nextQuestion;
  }
}
