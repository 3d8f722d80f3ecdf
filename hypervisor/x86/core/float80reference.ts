/** For tests: numbers in the double extended-precision format as exact fractions, and rounding straight from its definition. */
import { bias, C1, integerBit, maximumExponent, OE, PE, signBit, UE } from './float80.ts';

/** A number in the format. */
export interface Number80 {
  readonly significand: bigint;
  readonly signExponent: number;
}

/** A magnitude `numerator / denominator` with a sign. */
export interface Exact {
  readonly negative: boolean;
  readonly numerator: bigint;
  readonly denominator: bigint;
}

/** A format to round to: bits of the significand, exponents of the lowest and highest normal numbers. */
export interface Target {
  readonly precision: number;
  readonly lowest: number;
  readonly highest: number;
}

/** The range of the double extended-precision format, at a precision. */
export const extended = (precision: number): Target => ({ precision, lowest: 1 - bias, highest: bias });

/** The value of a finite number. */
export function exactOf({ significand, signExponent }: Number80): Exact {
  const power = Math.max(signExponent & maximumExponent, 1) - bias - 63;
  return {
    negative: (signExponent & signBit) !== 0,
    numerator: power > 0 ? significand << BigInt(power) : significand,
    denominator: power < 0 ? 1n << BigInt(-power) : 1n,
  };
}

/** floor(log2(numerator / denominator)). */
function exponentOf(numerator: bigint, denominator: bigint): number {
  const length = (value: bigint) => value.toString(2).length;
  const guess = length(numerator) - length(denominator);
  const [n, d] =
    guess >= 0 ? [numerator, denominator << BigInt(guess)] : [numerator << BigInt(-guess), denominator];
  return n >= d ? guess : guess - 1;
}

/** A rounded magnitude: `digits` units of 2^(exponent − precision + 1). */
interface Rounded {
  readonly digits: bigint;
  readonly exponent: number;
  readonly inexact: boolean;
  readonly up: boolean;
}

/** Rounding in mode RC (0 nearest, 1 down, 2 up, 3 truncate) with no exponent below `lowest`. */
function round(exact: Exact, precision: number, mode: number, lowest: number): Rounded {
  const { negative, numerator, denominator } = exact;
  const exponent = Math.max(exponentOf(numerator, denominator), lowest);
  const shift = BigInt(precision - 1 - exponent);
  const n = shift > 0n ? numerator << shift : numerator;
  const d = shift < 0n ? denominator << -shift : denominator;
  const floor = n / d;
  const twice = 2n * (n - floor * d);
  const inexact = twice !== 0n;
  const nearestUp = twice > d || (twice === d && floor % 2n === 1n);
  const up = inexact && (mode === 0 ? nearestUp : mode === (negative ? 1 : 2));
  const digits = up ? floor + 1n : floor;
  return digits === 1n << BigInt(precision)
    ? { digits: digits / 2n, exponent: exponent + 1, inexact, up }
    : { digits, exponent, inexact, up };
}

/** The masked result in a format: digits and exponent (undefined for infinity), and the exceptions with C1. */
export function roundTo(
  exact: Exact,
  { precision, lowest, highest }: Target,
  mode: number,
): { digits: bigint; exponent: number | undefined; flags: number } {
  const free = round(exact, precision, mode, Number.NEGATIVE_INFINITY);
  if (free.exponent > highest) {
    const away = mode === 0 || mode === (exact.negative ? 1 : 2);
    const largest = (1n << BigInt(precision)) - 1n;
    return away
      ? { digits: 0n, exponent: undefined, flags: OE | PE | C1 }
      : { digits: largest, exponent: highest, flags: OE | PE };
  }
  const { digits, exponent, inexact, up } = round(exact, precision, mode, lowest);
  const tiny = free.exponent < lowest;
  return {
    digits,
    exponent,
    flags: (inexact ? PE : 0) | (up ? C1 : 0) | (tiny && inexact ? UE : 0),
  };
}

/** A result in the double extended-precision format as its bits. */
export function round80(
  exact: Exact,
  precision: number,
  mode: number,
): Number80 & { readonly flags: number } {
  const sign = exact.negative ? signBit : 0;
  const { digits, exponent, flags } = roundTo(exact, extended(precision), mode);
  if (exponent === undefined) return { significand: integerBit, signExponent: sign | maximumExponent, flags };
  const significand = digits << BigInt(64 - precision);
  return { significand, signExponent: sign | (significand < integerBit ? 0 : exponent + bias), flags };
}

/** Numbers of every magnitude and shape, for a source of random 32-bit integers. */
export function randomNumber(random: () => number): Number80 {
  const u64 = () => (BigInt(random()) << 32n) | BigInt(random());
  const ones = (1n << 64n) - 1n;
  const shapes = [
    () => u64(),
    () => 0n,
    () => ones,
    () => u64() << BigInt(random() % 64),
    () => ones << BigInt(random() % 64),
    () => BigInt(random() % 4),
  ];
  const fraction = shapes[random() % shapes.length]!() & (integerBit - 1n);
  const sign = (random() & 1) << 15;
  const ranges = [
    () => bias + (random() % 130) - 65,
    () => bias + (random() % 6) - 3,
    () => 1 + (random() % 100),
    () => maximumExponent - 1 - (random() % 100),
    () => 1 + (random() % (maximumExponent - 1)),
    () => 0,
  ];
  const exponent = ranges[random() % ranges.length]!();
  return { significand: exponent === 0 ? fraction : fraction | integerBit, signExponent: sign | exponent };
}

/** A small generator of 32-bit integers from a seed (xorshift). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}
