/**
 * Mathematical constants as integers: a number x is `floor(x · 2^bits)`, right but for the last few bits. They are computed when the
 * core is built, from series of rational numbers.
 */

/** Sums `term(0) + term(1) + …` until a term is 0. */
function sum(term: (n: bigint) => bigint): bigint {
  let total = 0n;
  for (let n = 0n; ; n++) {
    const each = term(n);
    if (each === 0n) return total;
    total += each;
  }
}

/** arctan(numerator / denominator), below 1, by its Taylor series. */
export function arctangent(numerator: bigint, denominator: bigint, bits: bigint): bigint {
  const one = 1n << (bits + 16n);
  return (
    sum((n) => {
      const power = 2n * n + 1n;
      const term = (one * numerator ** power) / (denominator ** power * power);
      return n % 2n === 0n ? term : -term;
    }) >> 16n
  );
}

/** pi by Machin's formula: 16 arctan(1/5) − 4 arctan(1/239). */
export function pi(bits: bigint): bigint {
  const guard = bits + 16n;
  return (16n * arctangent(1n, 5n, guard) - 4n * arctangent(1n, 239n, guard)) >> 16n;
}

/** The natural logarithm of 2: the sum of 1 / (n · 2^n). */
export function ln2(bits: bigint): bigint {
  const one = 1n << (bits + 16n);
  return sum((n) => (one >> (n + 1n)) / (n + 1n)) >> 16n;
}

/** n! */
export function factorial(n: number): bigint {
  let product = 1n;
  for (let i = 2n; i <= BigInt(n); i++) product *= i;
  return product;
}
