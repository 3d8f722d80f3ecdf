/** Transcendental functions against values computed here to 300 bits. */
import test from 'ava';
import { HostMemory } from '../../memory/hostmemory.ts';
import { Engine } from '../engine.ts';
import { arctangent, ln2, pi } from './constants.ts';
import { bias, C2, IE, indefinite, integerBit, maximumExponent, PE, signBit } from './float80.ts';
import { exactOf, type Number80, round80, seeded } from './float80reference.ts';

const engine = new Engine(new HostMemory(1 << 20, 32 << 20), () => 0n, 1 << 20, false);
const core = engine.core as unknown as Record<
  string,
  (...values: (number | bigint)[]) => (number | bigint)[]
>;

/** Values here are integers in units of 2^-places. */
const places = 300n;
const one = 1n << places;
const multiply = (a: bigint, b: bigint) => (a * b) >> places;
const divide = (a: bigint, b: bigint) => (a << places) / b;
const realOf = (x: Number80) => {
  const { negative, numerator, denominator } = exactOf(x);
  const magnitude = (numerator << places) / denominator;
  return negative ? -magnitude : magnitude;
};
/** The nearest number to a value. */
const nearest = (value: bigint) =>
  round80({ negative: value < 0n, numerator: value < 0n ? -value : value, denominator: one }, 64, 0);

function series(first: bigint, factor: (n: bigint, term: bigint) => bigint): bigint {
  let total = 0n;
  let term = first;
  for (let n = 1n; term !== 0n && term !== -1n; n++) {
    total += term;
    term = factor(n, term);
  }
  return total;
}

/** The 66-bit pi of the processors, halved. */
const halfPi = (0x3_243f_6a88_85a3_08d3n << places) >> 65n;

const sine = (x: bigint) =>
  series(x, (n, term) => -multiply(multiply(term, x), x) / (2n * n * (2n * n + 1n)));
const cosine = (x: bigint) =>
  series(one, (n, term) => -multiply(multiply(term, x), x) / (2n * n * (2n * n - 1n)));
const exponential = (x: bigint) => series(one, (n, term) => multiply(term, x) / n);
/** ln(x) by Newton's method from e^y. */
function logarithm(x: bigint): bigint {
  let y = BigInt(Math.round(Math.log(Number((x << 60n) >> places) / 2 ** 60) * 2 ** 50)) << (places - 50n);
  for (let i = 0; i < 6; i++) y += divide(x, exponential(y)) - one;
  return y;
}
const log2 = (x: bigint) => divide(logarithm(x), ln2(places));

const random = seeded(2024);
/** A random number with an exponent from `low` to `high`. */
function number(low: number, high: number, negative = (random() & 1) !== 0): Number80 {
  const significand = integerBit | (((BigInt(random()) << 32n) | BigInt(random())) >> 1n);
  return {
    significand,
    signExponent: (negative ? signBit : 0) | (bias + low + (random() % (high - low + 1))),
  };
}

const show = ({ significand, signExponent }: Number80) =>
  `${signExponent.toString(16)}:${BigInt.asUintN(64, significand).toString(16)}`;
const result = (values: (number | bigint)[], at = 0): Number80 => ({
  significand: BigInt.asUintN(64, BigInt(values[at]!)),
  signExponent: Number(values[at + 1]),
});
const call = (name: string, ...operands: Number80[]) =>
  core[name]!(0x37f, ...operands.flatMap(({ significand, signExponent }) => [significand, signExponent]));

test('FSIN, FCOS and FPTAN are the nearest numbers, reduced with the pi of 66 bits', (t) => {
  for (let i = 0; i < 500; i++) {
    const x = number(-40, 62);
    const value = realOf(x);
    const turns = (2n * value + (value < 0n ? -halfPi : halfPi)) / (2n * halfPi);
    const rest = value - turns * halfPi;
    const [s, c] = [sine(rest), cosine(rest)];
    const quarter = Number(((turns % 4n) + 4n) % 4n);
    const values = [
      [s, c],
      [c, -s],
      [-s, -c],
      [-c, s],
    ][quarter]!;
    const both = call('float80SineCosine', x);
    t.is(show(result(both)), show(nearest(values[0]!)), `sine of ${show(x)}`);
    t.is(show(result(both, 2)), show(nearest(values[1]!)), `cosine of ${show(x)}`);
    const tangent = nearest(divide(values[0]!, values[1]!));
    t.is(show(result(call('float80Tangent', x))), show(tangent), `tangent of ${show(x)}`);
    const alone = (quarterTurns: number) =>
      result(core.float80Sine!(0x37f, x.significand, x.signExponent, quarterTurns));
    t.deepEqual([alone(0), alone(1)], [result(both), result(both, 2)]);
  }
});

test('FPATAN is the nearest number in all four quadrants', (t) => {
  for (let i = 0; i < 300; i++) {
    const x = number(-30, 30);
    const y = number(-30, 30);
    const [a, b] = [realOf(x), realOf(y)].map((each) => (each < 0n ? -each : each)) as [bigint, bigint];
    // Halving the angle three times makes the series short: tan(v/2) = tan v / (1 + sqrt(1 + tan² v)).
    let tangent = a > b ? divide(b, a) : divide(a, b);
    for (let k = 0; k < 3; k++) tangent = divide(tangent, one + root(one + multiply(tangent, tangent)));
    let angle = 8n * arctangent(tangent, one, places);
    if (a < b) angle = pi(places) / 2n - angle;
    if ((x.signExponent & signBit) !== 0) angle = pi(places) - angle;
    if ((y.signExponent & signBit) !== 0) angle = -angle;
    t.is(show(result(call('float80Arctangent', x, y))), show(nearest(angle)), `${show(y)} over ${show(x)}`);
  }
});

/** The square root of a value. */
function root(value: bigint): bigint {
  const square = value << places;
  let guess = one << 32n;
  for (let next = (guess + square / guess) / 2n; next < guess; next = (guess + square / guess) / 2n)
    guess = next;
  return guess;
}

test('F2XM1 is the nearest number', (t) => {
  for (let i = 0; i < 500; i++) {
    const x = number(-60, -1);
    const expected = exponential(multiply(realOf(x), ln2(places))) - one;
    t.is(show(result(call('float80PowerLess1', x))), show(nearest(expected)), `2^${show(x)} - 1`);
  }
});

test('FYL2X and FYL2XP1 are the nearest numbers, near 1 as well', (t) => {
  for (let i = 0; i < 300; i++) {
    const y = number(-4, 4);
    const far = number(-60, 60, false);
    const small = number(-60, -3);
    const near = { significand: integerBit | BigInt(random()), signExponent: bias };
    for (const x of [far, near]) {
      if (x.significand === integerBit) continue;
      const expected = nearest(multiply(realOf(y), log2(realOf(x))));
      t.is(show(result(call('float80Logarithm', x, y))), show(expected), `${show(y)} log2 ${show(x)}`);
    }
    const plus1 = nearest(multiply(realOf(y), log2(one + realOf(small))));
    t.is(
      show(result(call('float80LogarithmPlus1', small, y))),
      show(plus1),
      `${show(y)} log2(1 + ${show(small)})`,
    );
  }
});

test('arguments from 2^63 on set C2 and stay; infinities are invalid', (t) => {
  const large = { significand: integerBit, signExponent: bias + 63 };
  const infinity = { significand: integerBit, signExponent: maximumExponent };
  for (const name of ['float80SineCosine', 'float80Tangent']) {
    const outside = call(name, large);
    t.deepEqual([show(result(outside)), outside[4]], [show(large), C2]);
    const invalid = call(name, infinity);
    t.deepEqual([show(result(invalid)), invalid[4]], [show(indefinite), IE]);
  }
});

test('special arguments of FPATAN and FYL2X', (t) => {
  const zero = { significand: 0n, signExponent: 0 };
  const minusZero = { significand: 0n, signExponent: signBit };
  const unit = { significand: integerBit, signExponent: bias };
  const infinity = { significand: integerBit, signExponent: maximumExponent };
  const angle = (x: Number80, y: Number80) => show(result(call('float80Arctangent', x, y)));
  t.is(angle(unit, zero), show(zero));
  t.is(angle({ ...unit, signExponent: signBit | bias }, minusZero), show(nearest(-pi(places))));
  t.is(angle(zero, unit), show(nearest(pi(places) / 2n)));
  t.is(angle(infinity, infinity), show(nearest(pi(places) / 4n)));
  const log = (x: Number80, y: Number80) => call('float80Logarithm', x, y);
  t.is(show(result(log(zero, unit))), show({ ...infinity, signExponent: signBit | maximumExponent }));
  t.is(log(zero, zero)[2], IE);
  t.is(log({ ...unit, signExponent: signBit | bias }, unit)[2], IE);
  const exact = log({ ...unit, signExponent: bias + 5 }, unit);
  t.deepEqual(
    [show(result(exact)), exact[2]],
    [show({ significand: 5n << 61n, signExponent: bias + 2 }), PE],
  );
});
