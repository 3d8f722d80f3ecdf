/**
 * What a guest executes again and again becomes hot at last, but what it executes once a second takes long. How long it is worth waiting
 * depends on whether the guest still comes to new code: as long as it boots, most of what it executes a few hundred times is soon
 * executed no more. So in a *lull*, a span of time in which hardly any instruction was decoded, all leaders that were arrived at several
 * times are hot with their next: what it executes now it will go on executing.
 */
import * as codepage from '../codepage.ts';
import type { CodeCache } from '../decode/codecache.ts';

/** Units of time, of all vCPUs together, that are looked at as a whole. */
const span = 50_000_000;
/** Most instructions that are decoded in a lull. A boot decodes tens of thousands in a span. */
const mostDecoded = 500;
/** Arrivals in a lull that make a leader hot. */
const arrivals = 30;

/** See the top of this file. */
export class Lulls {
  readonly #i32: Int32Array;
  readonly #code: CodeCache;
  readonly #hotAfter: number;
  #left = span;
  #decodedBefore = 0;

  /**
   * @param i32 memory, in which the leaders are
   * @param hotAfter arrivals after which leaders are hot anyway
   */
  constructor(i32: Int32Array, code: CodeCache, hotAfter: number) {
    this.#i32 = i32;
    this.#code = code;
    this.#hotAfter = hotAfter;
  }

  /** Some units of time have passed. */
  pass(units: number): void {
    this.#left -= units;
    if (this.#left > 0) return;
    this.#left = span;
    const decoded = this.#code.counters.instructions;
    const isLull = decoded - this.#decodedBefore <= mostDecoded;
    this.#decodedBefore = decoded;
    const i32 = this.#i32;
    const hotAfter = this.#hotAfter;
    this.#code.forLeaders((leader) => {
      const heat = i32[(leader + codepage.heat) >> 2]!;
      const before = i32[(leader + codepage.heatBefore) >> 2]!;
      i32[(leader + codepage.heatBefore) >> 2] = heat;
      if (isLull && heat - before >= arrivals && heat < hotAfter)
        i32[(leader + codepage.heat) >> 2] = hotAfter - 1;
    });
  }
}
