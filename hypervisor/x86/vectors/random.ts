/** A seeded source of random numbers; equal seeds give equal sequences on every machine. */
export interface Random {
  /** A whole number from 0 to 2^32 − 1. */
  u32(): number;
  /** A whole number from 0 to 2^64 − 1. */
  u64(): bigint;
  /** A whole number from 0 to `bound` − 1; `bound` is at most 2^32. */
  below(bound: number): number;
  /** True once in `times` calls on average. */
  oneIn(times: number): boolean;
  /** One of the elements, each as likely. */
  pick<T>(from: readonly T[]): T;
}

/**
 * The generator that all vectors are made from: sfc32 (C. Doty-Humphrey, PractRand), its three words of state
 * filled by a 32-bit multiplicative hash of the seed. The vector files depend on it: changing it means recording them anew.
 */
export function seededRandom(seed: number): Random {
  const hash = (word: number) => {
    let h = Math.imul(seed ^ Math.imul(word + 1, 0x9e3779b9), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return h ^ (h >>> 16);
  };
  let a = hash(0);
  let b = hash(1);
  let c = hash(2);
  let counter = 1;
  const u32 = () => {
    const result = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + result;
    return result >>> 0;
  };
  for (let i = 0; i < 12; i++) u32();
  const below = (bound: number) => Math.floor((u32() / 0x1_0000_0000) * bound);
  return {
    u32,
    u64: () => (BigInt(u32()) << 32n) | BigInt(u32()),
    below,
    oneIn: (times) => below(times) === 0,
    pick: (from) => from[below(from.length)]!,
  };
}
