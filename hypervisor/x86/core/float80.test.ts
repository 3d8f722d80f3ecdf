/** Arithmetic and conversions against exact fractions; special operands against the tables of the manual. */
import test from 'ava';
import { HostMemory } from '../../memory/hostmemory.ts';
import { Engine } from '../engine.ts';
import {
  bias,
  C0,
  C1,
  C2,
  C3,
  DE,
  IE,
  indefinite,
  integerBit,
  maximumExponent,
  signBit,
  UE,
  ZE,
} from './float80.ts';
import {
  type Exact,
  exactOf,
  type Number80,
  randomNumber,
  round80,
  roundTo,
  seeded,
} from './float80reference.ts';

type Result = [bigint, number, number];
const memory = new HostMemory(1 << 20, 32 << 20);
const engine = new Engine(memory, () => 0n, 1 << 20, false);
const core = engine.core as unknown as Record<string, (...values: (number | bigint)[]) => Result>;

const controls = [0, 2, 3].flatMap((precision) => [0, 1, 2, 3].map((mode) => ({ precision, mode })));
const controlWord = (precision: number, mode: number) => 0x7f | (precision << 8) | (mode << 10);
const bits = (precision: number) => [24, 0, 53, 64][precision]!;
const unsigned = (value: bigint) => BigInt.asUintN(64, value);
const show = ({ significand, signExponent }: Number80) =>
  `${signExponent.toString(16)}:${significand.toString(16)}`;

const isDenormal = ({ significand, signExponent }: Number80) =>
  (signExponent & maximumExponent) === 0 && significand !== 0n;
const product = (a: Exact, b: Exact): Exact => ({
  negative: a.negative !== b.negative,
  numerator: a.numerator * b.numerator,
  denominator: a.denominator * b.denominator,
});
const signed = ({ negative, numerator }: Exact) => (negative ? -numerator : numerator);
const sum = (a: Exact, b: Exact): Exact => {
  const total = signed(a) * b.denominator + signed(b) * a.denominator;
  return {
    negative: total < 0n,
    numerator: total < 0n ? -total : total,
    denominator: a.denominator * b.denominator,
  };
};

const operations: readonly [
  name: string,
  number: number,
  apply: (a: Exact, b: Exact) => Exact | undefined,
][] = [
  ['FADD', 0, sum],
  ['FSUB', 4, (a, b) => sum(a, { ...b, negative: !b.negative })],
  ['FSUBR', 5, (a, b) => sum(b, { ...a, negative: !a.negative })],
  ['FMUL', 1, product],
  [
    'FDIV',
    6,
    (a, b) =>
      b.numerator === 0n
        ? undefined
        : product(a, { negative: b.negative, numerator: b.denominator, denominator: b.numerator }),
  ],
];

for (const [name, number, apply] of operations) {
  test(`${name} is the exact result rounded, at every precision and in every direction`, (t) => {
    const random = seeded(number + 1);
    for (let i = 0; i < 3000; i++) {
      const a = randomNumber(random);
      const b = randomNumber(random);
      const exact = apply(exactOf(a), exactOf(b));
      if (exact === undefined || exact.numerator === 0n) continue;
      const { precision, mode } = controls[random() % controls.length]!;
      const [significand, signExponent, flags] = core.float80Binary!(
        number,
        controlWord(precision, mode),
        a.significand,
        a.signExponent,
        b.significand,
        b.signExponent,
        0,
      );
      const expected = round80(exact, bits(precision), mode);
      const operandFlags = isDenormal(a) || isDenormal(b) ? DE : 0;
      const got = { significand: unsigned(significand), signExponent };
      const what = `${name} ${show(a)} ${show(b)} PC ${precision} RC ${mode}`;
      if (show(got) !== show(expected) || flags !== (expected.flags | operandFlags)) {
        t.is(`${show(got)} flags ${flags}`, `${show(expected)} flags ${expected.flags | operandFlags}`, what);
      }
    }
    t.pass();
  });
}

/** floor(sqrt(square)). */
function integerRoot(square: bigint): bigint {
  let root = 1n << BigInt((square.toString(2).length >> 1) + 1);
  for (let next = (root + square / root) / 2n; next < root; next = (root + square / root) / 2n) root = next;
  return root;
}

test('FSQRT is the exact root rounded', (t) => {
  const random = seeded(99);
  for (let i = 0; i < 4000; i++) {
    const { significand, signExponent: signed } = randomNumber(random);
    const a = { significand, signExponent: signed & maximumExponent };
    if (significand === 0n) continue;
    const { precision, mode } = controls[random() % controls.length]!;
    // The square as an integer times an even power of 2; its root to 100 places, and a last one that tells whether more follow.
    const power = Math.max(a.signExponent, 1) - bias - 63;
    const square = (power % 2 === 0 ? significand : significand * 2n) << 200n;
    const root = integerRoot(square);
    const digits = 2n * root + (root * root === square ? 0n : 1n);
    const places = Math.floor(power / 2) - 101;
    const exact = {
      negative: false,
      numerator: places > 0 ? digits << BigInt(places) : digits,
      denominator: places < 0 ? 1n << BigInt(-places) : 1n,
    };
    const [got, gotExponent, flags] = core.float80SquareRoot!(
      controlWord(precision, mode),
      significand,
      a.signExponent,
    );
    const expected = round80(exact, bits(precision), mode);
    t.is(
      `${show({ significand: unsigned(got), signExponent: gotExponent })} ${flags}`,
      `${show(expected)} ${expected.flags | (isDenormal(a) ? DE : 0)}`,
      `FSQRT ${show(a)} PC ${precision} RC ${mode}`,
    );
  }
});

test('FST to single and double precision rounds once, also to denormals and infinity', (t) => {
  const random = seeded(7);
  const formats = [
    { name: 'float80ToSingle', precision: 24, exponents: 8 },
    { name: 'float80ToDouble', precision: 53, exponents: 11 },
  ];
  for (const { name, precision, exponents } of formats) {
    const highest = 2 ** (exponents - 1) - 1;
    for (let i = 0; i < 6000; i++) {
      const wide = randomNumber(random);
      // Most of them near the ends of the narrow format.
      const near = (random() & 1) === 0 ? highest : 1 - highest;
      const exponent = 0x3fff + near + (random() % 70) - 60;
      const a =
        (random() & 3) === 0 ? wide : { ...wide, signExponent: (wide.signExponent & signBit) | exponent };
      const number = { ...a, significand: a.significand | integerBit };
      if ((number.signExponent & maximumExponent) === 0) continue;
      const mode = random() & 3;
      const [stored, flags] = core[name]!(
        controlWord(3, mode),
        number.significand,
        number.signExponent,
      ) as unknown as [bigint, number];
      const target = { precision, lowest: 1 - highest, highest };
      const rounded = roundTo(exactOf(number), target, mode);
      const fractionBits = BigInt(precision - 1);
      const infinity = BigInt(2 * highest + 1) << fractionBits;
      const isNormal = rounded.digits >> fractionBits !== 0n;
      const magnitude =
        rounded.exponent === undefined
          ? infinity
          : (BigInt(isNormal ? rounded.exponent + highest : 0) << fractionBits) |
            (rounded.digits & ((1n << fractionBits) - 1n));
      const sign = BigInt(number.signExponent >> 15) << BigInt(precision + exponents - 1);
      t.is(
        `${unsigned(stored).toString(16)} ${flags}`,
        `${(sign | magnitude).toString(16)} ${rounded.flags}`,
        `${name} ${show(number)} RC ${mode}`,
      );
    }
  }
});

test('integers: FIST rounds as the control word says, and gives the indefinite when it does not fit', (t) => {
  const random = seeded(11);
  for (let i = 0; i < 6000; i++) {
    const wide = randomNumber(random);
    const exponent = 0x3fff + (random() % 70) - 4;
    const a = {
      significand: wide.significand | integerBit,
      signExponent: (wide.signExponent & signBit) | exponent,
    };
    const mode = random() & 3;
    const width = [16, 32, 64][random() % 3]!;
    const [value, flags] = core.float80ToInteger!(
      controlWord(3, mode),
      a.significand,
      a.signExponent,
      width,
    ) as unknown as [bigint, number];
    const { negative, numerator, denominator } = exactOf(a);
    const floor = numerator / denominator;
    const twice = 2n * (numerator - floor * denominator);
    const nearestUp = twice > denominator || (twice === denominator && floor % 2n === 1n);
    const up = twice !== 0n && (mode === 0 ? nearestUp : mode === (negative ? 1 : 2));
    const result = (negative ? -1n : 1n) * (up ? floor + 1n : floor);
    const fits = BigInt.asIntN(width, result) === result;
    const expected = fits ? result : -(1n << BigInt(width - 1));
    const expectedFlags = fits ? (twice === 0n ? 0 : 0x20) | (up ? C1 : 0) : IE;
    t.is(BigInt.asIntN(width, value), expected, `${show(a)} to ${width} bits, RC ${mode}`);
    t.is(flags, expectedFlags);
  }
});

test('integers and packed decimals come back as they went', (t) => {
  const random = seeded(12);
  for (let i = 0; i < 2000; i++) {
    const value = BigInt.asIntN(64, (BigInt(random()) << 32n) | BigInt(random())) >> BigInt(random() % 64);
    const [significand, signExponent] = core.float80FromInteger!(value);
    const [back] = core.float80ToInteger!(0x37f, significand, signExponent, 64) as unknown as [bigint];
    t.is(back, value);
    const decimal = value % 10n ** 18n;
    const [decimalSignificand, decimalExponent] = core.float80FromInteger!(decimal);
    const [low, high, flags] = core.float80ToDecimal!(
      0x37f,
      decimalSignificand,
      decimalExponent,
    ) as unknown as [bigint, number, number];
    const digits = (high & 0xff).toString(16) + unsigned(low).toString(16).padStart(16, '0');
    t.is(BigInt(digits) * (high >= signBit ? -1n : 1n), decimal);
    t.is(flags, 0);
    t.deepEqual(core.float80FromDecimal!(low, high), [
      decimalSignificand,
      decimalExponent,
    ] as unknown as Result);
  }
  t.deepEqual(core.float80ToDecimal!(0x37f, integerBit, 0x3fff + 60), [
    BigInt.asIntN(64, 0xc000n << 48n),
    0xffff,
    IE,
  ] as unknown as Result);
});

const infinity = { significand: integerBit, signExponent: maximumExponent };
const zero = { significand: 0n, signExponent: 0 };
const one = { significand: integerBit, signExponent: 0x3fff };
const quiet = (payload: bigint) => ({ significand: (3n << 62n) | payload, signExponent: maximumExponent });
const signaling = (payload: bigint) => ({ significand: integerBit | payload, signExponent: maximumExponent });
const minus = ({ significand, signExponent }: Number80) => ({
  significand,
  signExponent: signExponent ^ signBit,
});
const real = { significand: indefinite.significand, signExponent: indefinite.signExponent };
const unnormal = { significand: 1n, signExponent: 0x3fff };

function binary(operation: number, a: Number80, b: Number80, control = 0x37f): string {
  const [significand, signExponent, flags] = core.float80Binary!(
    operation,
    control,
    a.significand,
    a.signExponent,
    b.significand,
    b.signExponent,
    0,
  );
  return `${show({ significand: unsigned(significand), signExponent })} ${flags}`;
}

test('invalid operations give the real indefinite', (t) => {
  t.is(binary(0, infinity, minus(infinity)), `${show(real)} ${IE}`);
  t.is(binary(4, infinity, infinity), `${show(real)} ${IE}`);
  t.is(binary(1, infinity, zero), `${show(real)} ${IE}`);
  t.is(binary(6, zero, zero), `${show(real)} ${IE}`);
  t.is(binary(6, infinity, infinity), `${show(real)} ${IE}`);
  t.is(binary(0, unnormal, one), `${show(real)} ${IE}`);
});

test('division by zero gives a signed infinity, and of infinity a zero', (t) => {
  t.is(binary(6, minus(one), zero), `${show(minus(infinity))} ${ZE}`);
  t.is(binary(6, one, infinity), `${show(zero)} 0`);
});

test('NaNs: the quiet one, the larger significand, the positive of two equal ones', (t) => {
  t.is(binary(0, quiet(5n), one), `${show(quiet(5n))} 0`);
  t.is(binary(0, quiet(5n), quiet(9n)), `${show(quiet(9n))} 0`);
  t.is(binary(0, minus(quiet(9n)), quiet(9n)), `${show(quiet(9n))} 0`);
  t.is(binary(0, signaling(5n), one), `${show(quiet(5n))} ${IE}`);
  t.is(binary(0, signaling(9n), quiet(5n)), `${show(quiet(5n))} ${IE}`);
});

test('an exact difference of zero is negative only when rounding down', (t) => {
  t.is(binary(4, one, one), `${show(zero)} 0`);
  t.is(binary(4, one, one, 0x77f), `${show(minus(zero))} 0`);
});

test('unmasked underflow adjusts the exponent', (t) => {
  const tiny = { significand: integerBit, signExponent: 1 };
  t.is(
    binary(6, tiny, { ...one, signExponent: 0x4000 }, 0x36f),
    `${show({ ...tiny, signExponent: 24576 })} ${UE}`,
  );
});

test('comparison orders numbers, infinities and zeros, and tells NaNs apart', (t) => {
  const compare = (a: Number80, b: Number80, isQuiet = 0) =>
    core.float80Compare!(a.significand, a.signExponent, b.significand, b.signExponent, 0, isQuiet);
  const order = [minus(infinity), minus(one), zero, one, infinity];
  order.forEach((a, i) => {
    order.forEach((b, j) => {
      t.deepEqual(compare(a, b), [i < j ? C0 : i > j ? 0 : C3, 0] as unknown as Result);
    });
  });
  t.deepEqual(compare(zero, minus(zero)), [C3, 0] as unknown as Result);
  t.deepEqual(compare(one, quiet(1n)), [C0 | C2 | C3, IE] as unknown as Result);
  t.deepEqual(compare(one, quiet(1n), 1), [C0 | C2 | C3, 0] as unknown as Result);
  t.deepEqual(compare(one, signaling(1n), 1), [C0 | C2 | C3, IE] as unknown as Result);
});

test('FPREM and FPREM1 give the exact remainder and the low bits of the quotient', (t) => {
  const random = seeded(31);
  for (let i = 0; i < 4000; i++) {
    const shape = randomNumber(random);
    const b = { significand: shape.significand | integerBit, signExponent: 0x3fff };
    const other = randomNumber(random);
    const a = { significand: other.significand | integerBit, signExponent: 0x3fff + (random() % 66) - 2 };
    const toNearest = random() & 1;
    const [significand, signExponent, flags] = core.float80Remainder!(
      0x37f,
      a.significand,
      a.signExponent,
      b.significand,
      b.signExponent,
      toNearest,
    );
    const [x, y] = [exactOf(a), exactOf(b)];
    const n = x.numerator * y.denominator;
    const d = y.numerator * x.denominator;
    let quotient = n / d;
    const twice = 2n * (n - quotient * d);
    if (toNearest === 1 && (twice > d || (twice === d && quotient % 2n === 1n))) quotient += 1n;
    const rest = n - quotient * d;
    const common = x.denominator * y.denominator;
    const expected =
      rest === 0n
        ? zero
        : round80({ negative: rest < 0n, numerator: rest < 0n ? -rest : rest, denominator: common }, 64, 0);
    const codes =
      Number(quotient & 1n) * C1 + Number((quotient >> 1n) & 1n) * C3 + Number((quotient >> 2n) & 1n) * C0;
    if ((flags & C2) !== 0) {
      t.true(a.signExponent - b.signExponent >= 64);
      continue;
    }
    t.is(
      `${show({ significand: unsigned(significand), signExponent })} ${flags}`,
      `${show(expected)} ${codes}`,
      `${show(a)} modulo ${show(b)}, nearest ${toNearest}`,
    );
  }
});
