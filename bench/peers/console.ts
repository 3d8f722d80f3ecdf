/** A guest's serial console, seen from the host: what the guest prints, and the wall clock's time at which it arrives. */
import { setTimeout as sleep } from 'node:timers/promises';

/** What a pattern matched, and when its last byte had arrived (ms, `performance.now()`). */
export interface Seen {
  readonly match: RegExpExecArray;
  readonly at: number;
}

/** See the top of this file. */
export class GuestConsole {
  readonly #send: (text: string) => void;
  /** What came since the last match. */
  #text = '';
  #arrived = 0;
  #end: string | undefined;
  #wake = Promise.withResolvers<void>();

  /** @param send types on the guest's console */
  constructor(send: (text: string) => void) {
    this.#send = send;
  }

  /** The guest has printed that. */
  push(text: string): void {
    this.#arrived = performance.now();
    this.#text += text;
    this.#changed();
  }

  /** The guest prints no more. */
  ended(reason: string): void {
    this.#end ??= reason;
    this.#changed();
  }

  #changed(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  type(text: string): void {
    this.#send(text);
  }

  /**
   * Waits until the guest has printed what `pattern` matches, and takes all up to there. Throws an Error that names what did not
   * come when the guest ends or `patienceMs` have passed.
   */
  async expect(what: string, pattern: RegExp, patienceMs: number): Promise<Seen> {
    const patience = new AbortController();
    const late = sleep(patienceMs, 'late', { signal: patience.signal }).catch(() => 'cancelled');
    try {
      for (;;) {
        const match = pattern.exec(this.#text);
        if (match !== null) {
          this.#text = this.#text.slice(match.index + match[0].length);
          return { match, at: this.#arrived };
        }
        const tail = () => JSON.stringify(this.#text.slice(-200));
        if (this.#end !== undefined)
          throw new Error(`${this.#end} before ${what}; its last words: ${tail()}`);
        if ((await Promise.race([this.#wake.promise, late])) === 'late') {
          throw new Error(`no ${what} within ${patienceMs / 1000} s; last words: ${tail()}`);
        }
      }
    } finally {
      patience.abort();
    }
  }
}
