/**
 * A seeded generator of random bytes: the key stream of ChaCha20 (RFC 8439, section 2.3) with a zero nonce, whose
 * key is the seed. Its block counter has 64 bits, as in D. J. Bernstein's original, so the stream does not end.
 */
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';

/** Bytes of a seed. */
export const SEED_BYTES = 32;

const BLOCK_WORDS = 16;
const BLOCK_BYTES = 64;

/** "expand 32-byte k" (section 2.3). */
const CONSTANTS = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574];

/** Words of the state: four constants, eight of key, then the counter, low word first. */
const KEY = 4;
const COUNTER = 12;

/** The columns and diagonals that a double round mixes (section 2.3). */
const QUARTERS = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
] as const;

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/** The quarter round (section 2.1). */
function quarterRound(x: Uint32Array, a: number, b: number, c: number, d: number): void {
  x[a]! += x[b]!;
  x[d] = rotate(x[d]! ^ x[a]!, 16);
  x[c]! += x[d]!;
  x[b] = rotate(x[b]! ^ x[c]!, 12);
  x[a]! += x[b]!;
  x[d] = rotate(x[d]! ^ x[a]!, 8);
  x[c]! += x[d]!;
  x[b] = rotate(x[b]! ^ x[c]!, 7);
}

/** An endless stream of bytes that its seed determines. */
export class ChaCha20 implements Stateful {
  readonly #state = new Uint32Array(BLOCK_WORDS);
  readonly #words = new Uint32Array(BLOCK_WORDS);
  readonly #block = new Uint8Array(BLOCK_BYTES);
  readonly #blockView = new DataView(this.#block.buffer);
  /** Bytes of the block that are given out. */
  #used = BLOCK_BYTES;

  /** @param seed {@link SEED_BYTES} bytes */
  constructor(seed: Uint8Array) {
    if (seed.length !== SEED_BYTES)
      throw new Error(`a ChaCha20 seed has ${SEED_BYTES} bytes, not ${seed.length}`);
    this.#state.set(CONSTANTS);
    const view = new DataView(seed.buffer, seed.byteOffset, seed.length);
    for (let i = 0; i < SEED_BYTES / 4; i++) this.#state[KEY + i] = view.getUint32(4 * i, true);
  }

  /** Fills `target` with the next bytes of the stream. */
  fill(target: Uint8Array): void {
    for (let at = 0; at < target.length; ) {
      if (this.#used === BLOCK_BYTES) this.#nextBlock();
      const count = Math.min(BLOCK_BYTES - this.#used, target.length - at);
      target.set(this.#block.subarray(this.#used, this.#used + count), at);
      this.#used += count;
      at += count;
    }
  }

  #nextBlock(): void {
    this.#makeBlock();
    this.#state[COUNTER]!++;
    if (this.#state[COUNTER] === 0) this.#state[COUNTER + 1]!++;
    this.#used = 0;
  }

  #makeBlock(): void {
    this.#words.set(this.#state);
    for (let round = 0; round < 20; round += 2) {
      for (const [a, b, c, d] of QUARTERS) quarterRound(this.#words, a, b, c, d);
    }
    for (let i = 0; i < BLOCK_WORDS; i++) {
      this.#blockView.setUint32(4 * i, this.#words[i]! + this.#state[i]!, true);
    }
  }

  /** Writes key, counter and how much of the present block is given out; the block itself follows from them. */
  saveState(to: StateWriter): void {
    for (const word of this.#state.subarray(KEY)) to.u32(word);
    to.u8(this.#used);
  }

  loadState(from: StateReader): void {
    for (let i = KEY; i < BLOCK_WORDS; i++) this.#state[i] = from.u32();
    const used = from.u8();
    if (used < BLOCK_BYTES) {
      if (this.#state[COUNTER]!-- === 0) this.#state[COUNTER + 1]!--;
      this.#nextBlock();
    }
    this.#used = used;
  }
}
