/** Chance from a seed, for scanners that choose pages at random: xoshiro128** (Blackman and Vigna, 2018). */
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';

const rotate = (value: number, count: number) => (value << count) | (value >>> (32 - count));

/** See the top of this file. */
export class Random implements Stateful {
  readonly #state = new Uint32Array(4);

  /** @param seed its low 32 bits are used */
  constructor(seed: number) {
    // The state is filled by splitmix32, as the authors advise; it must not be all zero.
    let mixed = seed | 0;
    for (let i = 0; i < this.#state.length; i++) {
      mixed = (mixed + 0x9e37_79b9) | 0;
      let word = Math.imul(mixed ^ (mixed >>> 16), 0x21f0_aaad);
      word = Math.imul(word ^ (word >>> 15), 0x735a_2d97);
      this.#state[i] = word ^ (word >>> 15);
    }
  }

  /** The next 32 bits. */
  next(): number {
    const state = this.#state;
    const [a, b, c, d] = state as unknown as [number, number, number, number];
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0;
    state[2] = c ^ a;
    state[3] = d ^ b;
    state[1] = b ^ state[2]!;
    state[0] = a ^ state[3]!;
    state[2] = state[2]! ^ (b << 9);
    state[3] = rotate(state[3]!, 11);
    return result;
  }

  /** A whole number from 0 to `limit` - 1, each as likely as the others but for less than one part in 2^32 / `limit`. */
  below(limit: number): number {
    return Math.floor((this.next() / 2 ** 32) * limit);
  }

  saveState(to: StateWriter): void {
    for (const word of this.#state) to.u32(word);
  }

  loadState(from: StateReader): void {
    for (let i = 0; i < this.#state.length; i++) this.#state[i] = from.u32();
  }
}
