/** A set of interrupt vectors, as the 256-bit registers IRR, ISR and TMR hold it. */
import type { Stateful, StateReader, StateWriter } from '../../state/state.ts';

/** Vectors 0 … 255, kept in eight words of 32. */
export class VectorSet implements Stateful {
  readonly #words = new Uint32Array(8);

  /** Word `index` (0 … 7) as the register shows it. */
  word(index: number): number {
    return this.#words[index]!;
  }

  has(vector: number): boolean {
    return (this.#words[vector >> 5]! & (1 << (vector & 31))) !== 0;
  }

  add(vector: number): void {
    this.#words[vector >> 5]! |= 1 << (vector & 31);
  }

  delete(vector: number): void {
    this.#words[vector >> 5]! &= ~(1 << (vector & 31));
  }

  clear(): void {
    this.#words.fill(0);
  }

  /** The highest vector of the set; −1 when it is empty. */
  get highest(): number {
    for (let index = 7; index >= 0; index--) {
      const word = this.#words[index]!;
      if (word !== 0) return index * 32 + 31 - Math.clz32(word);
    }
    return -1;
  }

  saveState(to: StateWriter): void {
    for (const word of this.#words) to.u32(word);
  }

  loadState(from: StateReader): void {
    for (let index = 0; index < 8; index++) this.#words[index] = from.u32();
  }
}
