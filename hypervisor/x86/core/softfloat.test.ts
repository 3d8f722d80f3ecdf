/** SSE's arithmetic in software against exact rational arithmetic and the definitions of IEEE 754 and SDM vol. 1, 4.9. */
import test from 'ava';
import fc from 'fast-check';
import { HostMemory } from '../../memory/hostmemory.ts';
import { Engine } from '../engine.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import { CR4 } from '../mode.ts';
import * as mxcsr from '../mxcsr.ts';
import { type Operation, operations } from './softarithmetic.ts';
import { type Conversion, conversions } from './softconvert.ts';
import { double, type Format, patterns, single } from './softfloat.ts';

const memory = new HostMemory(1 << 20, 4 << 20);
const engine = new Engine(memory, () => 0n, 1 << 20);
type Outcome = [bits: bigint, flags: number];
const core = engine.core as unknown as {
  float32(operation: number, a: bigint, b: bigint, control: number): Outcome;
  float64(operation: number, a: bigint, b: bigint, control: number): Outcome;
  convert(conversion: number, x: bigint, control: number): Outcome;
  simdExceptions(cpu: number, found: number): number;
};

const computed = (format: Format, operation: Operation, a: bigint, b: bigint, control: number): Outcome => {
  const routine = format.bits === 32 ? core.float32 : core.float64;
  const [bits, flags] = routine(operations[operation], a, b, control);
  return [BigInt.asUintN(format.bits, bits), flags];
};

/** A magnitude: numerator / denominator, or its square root. */
interface Magnitude {
  readonly numerator: bigint;
  readonly denominator: bigint;
  readonly root?: boolean;
}

/** A finite number other than zero, or a zero with its sign. */
interface Finite {
  readonly negative: boolean;
  readonly magnitude: Magnitude;
}

/** What a finite bit pattern stands for: an integer over 2^(bias + fraction − 1). */
function numberOf({ fraction, bias, largest, bits }: Format, x: bigint): Finite {
  const exponent = Number(x >> BigInt(fraction)) & largest;
  const low = x & ((1n << BigInt(fraction)) - 1n);
  const numerator = exponent === 0 ? low : (low | (1n << BigInt(fraction))) << BigInt(exponent - 1);
  return {
    negative: x >> BigInt(bits - 1) === 1n,
    magnitude: { numerator, denominator: 1n << BigInt(bias + fraction - 1) },
  };
}

/** Compares a magnitude with an integer times 2^power: −1, 0, 1. */
function compareTo({ numerator, denominator, root }: Magnitude, integer: bigint, power: number): number {
  const scaled = power >= 0 ? integer << BigInt(power) : integer;
  const scale = power >= 0 ? 1n : 1n << BigInt(-power);
  const left = root === true ? numerator * scale * scale : numerator * scale;
  const right = root === true ? scaled * scaled * denominator : scaled * denominator;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The largest integer n with n · 2^power not above the magnitude, by bisection. */
function floorAt(magnitude: Magnitude, power: number, bits: number): bigint {
  let low = 0n;
  let high = 1n << BigInt(bits);
  while (high - low > 1n) {
    const middle = (low + high) / 2n;
    if (compareTo(magnitude, middle, power) >= 0) low = middle;
    else high = middle;
  }
  return low;
}

/** The integer that the mode chooses at 2^power, and whether it is exact. */
function roundAt(magnitude: Magnitude, power: number, bits: number, mode: number, negative: boolean) {
  const low = floorAt(magnitude, power, bits);
  const exact = compareTo(magnitude, low, power) === 0;
  const half = compareTo(magnitude, 2n * low + 1n, power - 1);
  const up =
    mode === mxcsr.nearest
      ? half > 0 || (half === 0 && (low & 1n) === 1n)
      : mode === (negative ? mxcsr.down : mxcsr.up);
  return { integer: exact || !up ? low : low + 1n, exact };
}

/** A result rounded to a format, with the exceptions, as the definitions have it. */
function rounded(format: Format, { negative, magnitude }: Finite, control: number): Outcome {
  const { fraction, bias, largest } = format;
  const { sign, infinity } = patterns(format);
  const signBit = negative ? sign : 0n;
  const mode = (control >> mxcsr.roundingShift) & 3;
  const masked = (flag: number) => (control & (flag << mxcsr.maskShift)) !== 0;
  const smallestPower = 1 - bias - fraction;
  // The power of 2 of the last place, as if exponents had no end.
  let power = -(1 << 13);
  for (let step = 1 << 13; step >= 1; step >>= 1)
    if (compareTo(magnitude, 1n << BigInt(fraction), power + step) >= 0) power += step;
  const free = roundAt(magnitude, power, fraction + 1, mode, negative);
  const tiny =
    compareTo({ numerator: free.integer, denominator: 1n }, 1n << BigInt(fraction), smallestPower - power) <
    0;
  if (tiny && !masked(mxcsr.UE)) return [0n, mxcsr.UE | (free.exact ? 0 : mxcsr.PE)];
  if (tiny && (control & mxcsr.FTZ) !== 0) return [signBit, mxcsr.UE | mxcsr.PE];
  const { integer, exact } = roundAt(magnitude, Math.max(power, smallestPower), fraction + 1, mode, negative);
  const places = BigInt(Math.max(power, smallestPower) - smallestPower);
  const bits = (places << BigInt(fraction)) + integer;
  if (bits >= BigInt(largest) << BigInt(fraction)) {
    if (!masked(mxcsr.OE)) return [0n, mxcsr.OE | (free.exact ? 0 : mxcsr.PE)];
    const toInfinity = mode === mxcsr.nearest || mode === (negative ? mxcsr.down : mxcsr.up);
    return [signBit | (toInfinity ? infinity : infinity - 1n), mxcsr.OE | mxcsr.PE];
  }
  return [signBit | bits, exact ? 0 : mxcsr.PE | (tiny ? mxcsr.UE : 0)];
}

/** The exact result of an operation on finite numbers; undefined when it is zero, or has no finite value. */
function exactResult(operation: Operation, a: Finite, b: Finite): Finite | undefined {
  const [x, y] = [a.magnitude, b.magnitude];
  const product = { numerator: x.numerator * y.numerator, denominator: x.denominator * y.denominator };
  switch (operation) {
    case 'add':
    case 'subtract': {
      const signed = ({ negative, magnitude }: Finite) =>
        negative ? -magnitude.numerator : magnitude.numerator;
      const total = signed(a) + (operation === 'add' ? signed(b) : -signed(b));
      const numerator = total < 0n ? -total : total;
      return total === 0n ? undefined : { negative: total < 0n, magnitude: { ...x, numerator } };
    }
    case 'multiply':
      return product.numerator === 0n
        ? undefined
        : { negative: a.negative !== b.negative, magnitude: product };
    case 'divide':
      if (x.numerator === 0n || y.numerator === 0n) return undefined;
      return {
        negative: a.negative !== b.negative,
        magnitude: { numerator: x.numerator, denominator: y.numerator },
      };
    default:
      return y.numerator === 0n || b.negative
        ? undefined
        : { negative: false, magnitude: { ...y, root: true } };
  }
}

/** Bit patterns of finite numbers, many of them at the edges of their format and many alike. */
function finite(format: Format) {
  const { fraction, bias, largest, bits } = format;
  const exponent = fc.oneof(
    fc.integer({ min: 0, max: largest - 1 }),
    fc.integer({ min: 0, max: 3 }),
    fc.integer({ min: largest - 3, max: largest - 1 }),
    fc.integer({ min: bias - 3, max: bias + 3 }),
  );
  const most = (1n << BigInt(fraction)) - 1n;
  const low = fc.oneof(
    fc.bigInt({ min: 0n, max: most }),
    fc.bigInt({ min: 0n, max: 3n }),
    fc.bigInt({ min: most - 3n, max: most }),
    fc.bigInt({ min: 0n, max: 15n }).map((n) => n << BigInt(fraction - 4)),
  );
  return fc
    .tuple(fc.boolean(), exponent, low)
    .map(([negative, e, f]) => (BigInt(negative) << BigInt(bits - 1)) | (BigInt(e) << BigInt(fraction)) | f);
}

/** MXCSR with any rounding and masks, without DAZ. */
const anyControl = fc
  .tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 0x3f }), fc.boolean(), fc.boolean())
  .map(
    ([mode, masks, allMasked, flush]) =>
      (mode << mxcsr.roundingShift) |
      ((allMasked ? 0x3f : masks) << mxcsr.maskShift) |
      (flush ? mxcsr.FTZ : 0),
  );

const isDenormal = (format: Format, x: bigint) => {
  const magnitude = x & patterns(format).magnitude;
  return magnitude !== 0n && magnitude < patterns(format).normal;
};

const arithmetic = ['add', 'subtract', 'multiply', 'divide', 'squareRoot'] as const;
for (const [name, format] of [
  ['single', single],
  ['double', double],
] as const) {
  for (const operation of arithmetic) {
    test(`${operation} in ${name} precision is the exact result, rounded once, with its exceptions`, (t) => {
      const number = finite(format);
      const property = fc.property(number, number, anyControl, (a, other, control) => {
        const b = other;
        const first = operation === 'squareRoot' ? b : a;
        const exact = exactResult(operation, numberOf(format, first), numberOf(format, b));
        if (exact === undefined) return;
        const [bits, flags] = rounded(format, exact, control);
        const denormal = isDenormal(format, first) || isDenormal(format, b) ? mxcsr.DE : 0;
        const [gotBits, gotFlags] = computed(format, operation, first, b, control);
        const stored = (flags & ~(control >> mxcsr.maskShift) & (mxcsr.OE | mxcsr.UE)) === 0;
        if (stored) t.is(gotBits.toString(16), bits.toString(16));
        t.is(gotFlags, flags | denormal);
      });
      t.notThrows(() => fc.assert(property, { seed: 4711, numRuns: 1500 }));
    });
  }
}

const bitsOf = (x: number) => new BigUint64Array(new Float64Array([x]).buffer)[0]!;
const { indefinite, infinity, quiet } = patterns(double);
const usual = mxcsr.initial;

test('invalid operations give the indefinite NaN, and no other exception', (t) => {
  const [zero, minusZero] = [0n, 1n << 63n];
  const minusInfinity = infinity | minusZero;
  const tiny = 1n;
  for (const [operation, a, b] of [
    ['add', infinity, minusInfinity],
    ['subtract', infinity, infinity],
    ['multiply', infinity, zero],
    ['multiply', minusZero, infinity],
    ['divide', zero, minusZero],
    ['divide', infinity, minusInfinity],
    ['squareRoot', bitsOf(-1), bitsOf(-1)],
    ['squareRoot', tiny | minusZero, tiny | minusZero],
  ] as const)
    t.deepEqual(computed(double, operation, a, b, usual), [indefinite, mxcsr.IE], operation);
  t.deepEqual(computed(double, 'squareRoot', minusZero, minusZero, usual), [minusZero, 0]);
});

test('a NaN operand comes out quiet, the first of two; only signaling ones are invalid', (t) => {
  const [first, second] = [infinity | quiet | 5n, infinity | quiet | 7n];
  const signaling = infinity | 9n;
  t.deepEqual(computed(double, 'add', first, second, usual), [first, 0]);
  t.deepEqual(computed(double, 'multiply', bitsOf(1), second, usual), [second, 0]);
  t.deepEqual(computed(double, 'add', signaling, second, usual), [signaling | quiet, mxcsr.IE]);
  t.deepEqual(computed(double, 'divide', first, signaling, usual), [first, mxcsr.IE]);
  t.deepEqual(computed(double, 'subtract', 1n, second, usual), [second, 0], 'no denormal exception');
});

test('minimum and maximum give the second operand for zeros and NaNs', (t) => {
  const minusZero = 1n << 63n;
  const nan = infinity | 3n;
  for (const operation of ['minimum', 'maximum'] as const) {
    t.deepEqual(computed(double, operation, 0n, minusZero, usual), [minusZero, 0]);
    t.deepEqual(computed(double, operation, minusZero, 0n, usual), [0n, 0]);
    t.deepEqual(computed(double, operation, nan, bitsOf(2), usual), [bitsOf(2), mxcsr.IE]);
    t.deepEqual(computed(double, operation, bitsOf(2), nan, usual), [nan, mxcsr.IE]);
  }
  t.deepEqual(computed(double, 'minimum', bitsOf(-1), bitsOf(2), usual), [bitsOf(-1), 0]);
  t.deepEqual(computed(double, 'maximum', bitsOf(-1), bitsOf(2), usual), [bitsOf(2), 0]);
});

test('comparisons of order are invalid for quiet NaNs, those of equality are not', (t) => {
  const nan = infinity | quiet;
  const ones = (1n << 64n) - 1n;
  const one = bitsOf(1);
  t.deepEqual(computed(double, 'equal', nan, one, usual), [0n, 0]);
  t.deepEqual(computed(double, 'unordered', nan, one, usual), [ones, 0]);
  t.deepEqual(computed(double, 'less', nan, one, usual), [0n, mxcsr.IE]);
  t.deepEqual(computed(double, 'lessOrEqual', one, one, usual), [ones, 0]);
  t.deepEqual(computed(double, 'order', nan, one, usual), [0x45n, 0]);
  t.deepEqual(computed(double, 'orderSignaling', nan, one, usual), [0x45n, mxcsr.IE]);
  t.deepEqual(computed(double, 'order', bitsOf(-3), one, usual), [1n, 0]);
  t.deepEqual(computed(double, 'order', one, one, usual), [0x40n, 0]);
});

test('with DAZ a denormal operand is a zero and no exception', (t) => {
  const control = usual | mxcsr.DAZ;
  t.deepEqual(computed(double, 'add', 1n, bitsOf(1), control), [bitsOf(1), 0]);
  t.deepEqual(computed(double, 'divide', bitsOf(1), 1n, control), [infinity, mxcsr.ZE]);
  t.deepEqual(computed(double, 'equal', 1n, 2n, control)[0], (1n << 64n) - 1n);
  t.deepEqual(computed(double, 'minimum', 1n, bitsOf(1), control), [0n, 0]);
});

test('a result that only rounding lifts to the smallest normal number is tiny, unless full precision would lift it too', (t) => {
  const smallest = bitsOf(2 ** -1022);
  const below = 1 - 2 ** -53;
  t.deepEqual(computed(double, 'multiply', bitsOf(below), smallest, usual), [smallest, mxcsr.UE | mxcsr.PE]);
  const [above, under] = [2 ** -511 * (1 + 2 ** -52), 2 ** -511 * (1 - 2 ** -52)];
  t.deepEqual(computed(double, 'multiply', bitsOf(above), bitsOf(under), usual), [smallest, mxcsr.PE]);
  t.deepEqual(computed(double, 'multiply', bitsOf(below), smallest, usual | mxcsr.FTZ), [
    0n,
    mxcsr.UE | mxcsr.PE,
  ]);
});

test('division by zero comes before the denormal exception', (t) => {
  t.deepEqual(computed(double, 'divide', 1n, 0n, usual), [infinity, mxcsr.ZE]);
});

/** What a conversion gives, as an unsigned pattern of the width of its result. */
function converted(conversion: Conversion, x: bigint, control: number, width: number): Outcome {
  const [bits, flags] = core.convert(conversions[conversion], x, control);
  return [BigInt.asUintN(width, bits), flags];
}

test('integers become the nearest numbers in the rounding mode', (t) => {
  const property = fc.property(
    fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
    fc.nat(63),
    anyControl,
    (wide, shift, control) => {
      const x = wide >> BigInt(shift);
      const magnitude = { numerator: x < 0n ? -x : x, denominator: 1n };
      for (const [conversion, format] of [
        ['int64ToSingle', single],
        ['int64ToDouble', double],
      ] as const) {
        const expected: Outcome =
          x === 0n ? [0n, 0] : rounded(format, { negative: x < 0n, magnitude }, control);
        t.deepEqual(converted(conversion, BigInt.asUintN(64, x), control, format.bits), expected);
      }
    },
  );
  t.notThrows(() => fc.assert(property, { seed: 4712, numRuns: 500 }));
});

test('numbers become integers in the rounding mode, or the indefinite integer', (t) => {
  const modes = [mxcsr.nearest, mxcsr.down, mxcsr.up, mxcsr.truncate];
  const property = fc.property(
    fc.oneof(finite(double), fc.double({ min: -(2 ** 33), max: 2 ** 33, noNaN: true }).map(bitsOf)),
    fc.constantFrom(...modes),
    (x, mode) => {
      const { negative, magnitude } = numberOf(double, x);
      const control = usual | (mode << mxcsr.roundingShift);
      for (const [conversion, width] of [
        ['doubleToInt32', 32],
        ['doubleToInt64', 64],
      ] as const) {
        const { integer, exact } = roundAt(magnitude, 0, 1100, mode, negative);
        const signed = negative ? -integer : integer;
        const fits = BigInt.asIntN(width, signed) === signed;
        const expected: Outcome = fits
          ? [BigInt.asUintN(width, signed), exact ? 0 : mxcsr.PE]
          : [1n << BigInt(width - 1), mxcsr.IE];
        t.deepEqual(converted(conversion, x, control, width), expected);
      }
    },
  );
  t.notThrows(() => fc.assert(property, { seed: 4713, numRuns: 1000 }));
});

test('double precision narrows to single as one rounding; single widens exactly', (t) => {
  const narrow = fc.property(finite(double), anyControl, (x, control) => {
    const value = numberOf(double, x);
    if (value.magnitude.numerator === 0n) return;
    const [bits, flags] = rounded(single, value, control);
    const [gotBits, gotFlags] = converted('doubleToSingle', x, control, 32);
    const stored = (flags & ~(control >> mxcsr.maskShift) & (mxcsr.OE | mxcsr.UE)) === 0;
    if (stored) t.is(gotBits, bits);
    t.is(gotFlags, flags | (isDenormal(double, x) ? mxcsr.DE : 0));
  });
  t.notThrows(() => fc.assert(narrow, { seed: 4714, numRuns: 1000 }));
  const view = new DataView(new ArrayBuffer(4));
  const widen = fc.property(finite(single), (x) => {
    view.setUint32(0, Number(x));
    t.is(converted('singleToDouble', x, usual, 64)[0], bitsOf(view.getFloat32(0)));
  });
  t.notThrows(() => fc.assert(widen, { seed: 4715, numRuns: 500 }));
});

test('rounding to integral keeps the sign, NaNs and what is integral already', (t) => {
  const round = (x: number, mode: number) =>
    converted('doubleToIntegral', bitsOf(x), usual | (mode << mxcsr.roundingShift), 64);
  for (const x of [0.5, 1.5, 2.5, -0.5, -1.5, 0.49999999999999994, 4503599627370495.5, -0, 1e300, -7]) {
    const expected = [Math.floor(x), Math.ceil(x), Math.trunc(x)];
    [mxcsr.down, mxcsr.up, mxcsr.truncate].forEach((mode, i) => {
      t.deepEqual(round(x, mode), [bitsOf(expected[i]!), Number.isInteger(x) ? 0 : mxcsr.PE], `${x}`);
    });
  }
  t.deepEqual(round(2.5, mxcsr.nearest), [bitsOf(2), mxcsr.PE]);
  t.deepEqual(round(-0.5, mxcsr.nearest), [bitsOf(-0), mxcsr.PE]);
  t.deepEqual(converted('doubleToIntegral', infinity | 1n, usual, 64), [infinity | quiet | 1n, mxcsr.IE]);
});

test('unmasked exceptions raise #XM, or #UD when CR4 says so; those found before computing hide the others', (t) => {
  const cpu = memory.allocate(layout.stateSize, 64);
  const raised = (control: number, found: number, cr4: number) => {
    memory.i32[(cpu + layout.mxcsr) >> 2] = control;
    memory.i32[(cpu + layout.cr4) >> 2] = cr4;
    memory.i32[(cpu + layout.faultVector) >> 2] = -1;
    const fine = core.simdExceptions(cpu, found);
    return [fine, memory.i32[(cpu + layout.faultVector) >> 2], memory.i32[(cpu + layout.mxcsr) >> 2]! & 0x3f];
  };
  const unmasked = (flag: number) => usual & ~(flag << mxcsr.maskShift);
  t.deepEqual(raised(usual, mxcsr.IE | mxcsr.PE, 0), [1, -1, mxcsr.IE | mxcsr.PE]);
  t.deepEqual(raised(unmasked(mxcsr.PE), mxcsr.PE | mxcsr.UE, CR4.OSXMMEXCPT), [
    0,
    exceptions.XM,
    mxcsr.PE | mxcsr.UE,
  ]);
  t.deepEqual(raised(unmasked(mxcsr.PE), mxcsr.PE, 0), [0, exceptions.UD, mxcsr.PE]);
  t.deepEqual(raised(unmasked(mxcsr.DE), mxcsr.DE | mxcsr.PE, CR4.OSXMMEXCPT), [0, exceptions.XM, mxcsr.DE]);
});
