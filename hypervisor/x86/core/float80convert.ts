/** Conversions between the double extended-precision format and those of operands in memory (SDM vol. 1, 4.2, 4.7 and 8.2). */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import type { Core, CorePart } from './core.ts';
import {
  bias,
  C1,
  DE,
  down,
  exponentOf,
  IE,
  integerBit,
  isDenormal,
  isNan,
  isSpecial,
  isUnsupported,
  isZero,
  maximumExponent,
  nearest,
  nearestEven,
  OE,
  PE,
  parameterNumber,
  quietBit,
  returnIndefinite,
  roundingShift,
  signBit,
  signOf,
  truncate,
  UE,
  up,
} from './float80.ts';

/** 1 to round away from zero: `fraction` is what is left out, in 2^-64, `odd` the low bit of what stays (i32). */
export function roundsUp(
  fn: FunctionBuilder,
  control: Value,
  sign: Value,
  fraction: Value,
  odd: Value,
): Value {
  const mode = control.shrU(roundingShift).and(3);
  const away = mode.eq(fn.select(sign, fn.i32(down), fn.i32(up)));
  return fn.select(mode.eq(nearest), nearestEven(fraction, odd), away.and(fraction.ne(0)));
}

/** PE and C1 of a rounding. */
function roundingFlags(fn: FunctionBuilder, fraction: Value, roundUp: Value): Value {
  const inexact = fn.select(fraction.ne(0), fn.i32(PE), fn.i32(0));
  return inexact.or(fn.select(roundUp, fn.i32(C1), fn.i32(0)));
}

/** Widens the number with `fractionBits` and `exponentBits` in `bits` (i64). */
function widen(fn: FunctionBuilder, bits: Value, fractionBits: number, exponentBits: number): void {
  const ones = (1 << exponentBits) - 1;
  const narrowBias = ones >> 1;
  const fraction = bits.shl(64 - fractionBits).shrU(1);
  const sign = bits
    .shrU(fractionBits + exponentBits)
    .wrap()
    .shl(15);
  const exponent = bits.shrU(fractionBits).wrap().and(ones);
  fn.if(exponent.sub(1).ltU(ones - 1), () => {
    fn.return(fraction.or(integerBit), sign.or(exponent.add(bias - narrowBias)), 0);
  });
  fn.if(exponent, () => fn.return(fraction.or(integerBit), sign.or(maximumExponent), 0));
  fn.if(fraction.eqz(), () => fn.return(0, sign, 0));
  const shift = fraction.clz();
  fn.return(fraction.shl(shift), sign.or(fn.i32(bias - narrowBias + 1).sub(shift.wrap())), DE);
}

/** `float80Narrow`: see `float80types.ts`. */
function narrow(fn: FunctionBuilder, core: Core): void {
  const control = fn.parameter(0).get();
  const x = parameterNumber(fn, 1);
  const precision = fn.parameter(3).get();
  const exponentBits = fn.parameter(4).get();
  const ones = fn.i32(1).shl(exponentBits).sub(1);
  const dropped = fn.i32(64).sub(precision).extendU();
  const fractionBits = precision.sub(1).extendU();
  const sign = signOf(x).ne(0).extendU().shl(precision.add(exponentBits).sub(1).extendU());
  const infinity = ones.extendU().shl(fractionBits);
  const fraction = x.significand.shl(1).shrU(dropped.add(1));
  const quiet = fn.i64(1).shl(fractionBits.sub(1));
  fn.if(isUnsupported(x), () => fn.return(fn.i64(-1).shl(fractionBits.sub(1)), IE));
  fn.if(isSpecial(x), () => {
    fn.if(isNan(x), () => {
      const signals = x.significand.and(quietBit).eqz();
      fn.return(sign.or(infinity).or(fraction).or(quiet), signals);
    });
    fn.return(sign.or(infinity), 0);
  });
  fn.if(isZero(x), () => fn.return(sign, 0));
  const significand = fn.local('i64', x.significand);
  const low = fn.local('i64', 0);
  const exponent = fn.local('i32', exponentOf(x).sub(bias).add(ones.shrU(1)));
  const lost = fn.local('i64');
  const roundUp = fn.local('i32');
  const rounded = fn.local('i64');
  const round = () => {
    lost.set(significand.get().shl(precision.extendU()).or(low.get().ne(0).extendU()));
    const kept = significand.get().shrU(dropped);
    roundUp.set(roundsUp(fn, control, signOf(x), lost.get(), kept.wrap().and(1)));
    rounded.set(kept.add(roundUp.get().extendU()));
  };
  round();
  const carried = rounded.get().shrU(precision.extendU()).ne(0);
  const tiny = exponent.get().add(carried).leS(0).or(significand.get().geS(0));
  fn.if(tiny, () => {
    fn.if(control.and(UE).eqz(), () => {
      fn.return(0, UE);
    });
    const distance = fn.i32(1).sub(exponent.get());
    const [shifted, shiftedLow] = fn.callAll(core.shiftRight128, significand.get(), 0, distance) as [
      Value,
      Value,
    ];
    significand.set(shifted);
    low.set(shiftedLow);
    round();
    const underflow = fn.select(lost.get().ne(0), fn.i32(UE), fn.i32(0));
    fn.return(sign.or(rounded.get()), roundingFlags(fn, lost.get(), roundUp.get()).or(underflow));
  });
  exponent.set(exponent.get().add(carried));
  fn.if(exponent.get().geS(ones), () => {
    fn.if(control.and(OE).eqz(), () => {
      fn.return(0, OE);
    });
    const mode = control.shrU(roundingShift).and(3);
    const toInfinity = mode.eq(nearest).or(mode.eq(fn.select(signOf(x), fn.i32(down), fn.i32(up))));
    fn.if(toInfinity, () => fn.return(sign.or(infinity), OE | PE | C1));
    fn.return(sign.or(infinity.sub(1)), OE | PE);
  });
  // The integer bit is not stored; after a carry nothing but it is left.
  const stored = rounded.get().and(fn.i64(1).shl(fractionBits).sub(1));
  const biased = exponent.get().extendU().shl(fractionBits);
  fn.return(sign.or(biased).or(stored), roundingFlags(fn, lost.get(), roundUp.get()));
}

/** `float80ToSingle` and `float80ToDouble`: ordinary numbers to nearest here, all else by `float80Narrow`. */
function narrowTo(fn: FunctionBuilder, core: Core, precision: number, exponentBits: number): void {
  const control = fn.parameter(0).get();
  const x = parameterNumber(fn, 1);
  const ones = (1 << exponentBits) - 1;
  const exponent = exponentOf(x).sub(bias - (ones >> 1));
  const toNearest = control.and(3 << roundingShift).eqz();
  const ordinary = exponent
    .sub(1)
    .ltU(ones - 2)
    .and(x.significand.ltS(0));
  fn.if(ordinary.and(toNearest), () => {
    const kept = x.significand.shrU(64 - precision);
    const lost = x.significand.shl(precision);
    const roundUp = nearestEven(lost, kept.wrap().and(1));
    const sign = signOf(x)
      .extendU()
      .shl(precision + exponentBits - 1 - 15);
    // The integer bit counts as one in the exponent; a carry goes there by itself.
    const magnitude = exponent
      .sub(1)
      .extendU()
      .shl(precision - 1)
      .add(kept)
      .add(roundUp.extendU());
    fn.return(sign.or(magnitude), roundingFlags(fn, lost, roundUp));
  });
  fn.returnCall(core.float80Narrow, control, x.significand, x.signExponent, precision, exponentBits);
}

/** Magnitude of a number rounded to an integer. Only for magnitudes below 2^64. */
function integerMagnitude(
  fn: FunctionBuilder,
  core: Core,
  control: Value,
  x: ReturnType<typeof parameterNumber>,
): { magnitude: Value; overflow: Value; fraction: Value; roundUp: Value } {
  const distance = fn.i32(bias + 63).sub(exponentOf(x));
  const [whole, fraction] = fn.callAll(core.shiftRight128, x.significand, 0, distance) as [Value, Value];
  const roundUp = roundsUp(fn, control, signOf(x), fraction, whole.wrap().and(1));
  const magnitude = whole.add(roundUp.extendU());
  return { magnitude, overflow: magnitude.ltU(whole), fraction, roundUp };
}

function toInteger(fn: FunctionBuilder, core: Core): void {
  const control = fn.parameter(0).get();
  const x = parameterNumber(fn, 1);
  const width = fn.parameter(3).get();
  const lowest = fn.i64(1).shl(width.sub(1).extendU());
  const refuse = () => fn.return(lowest, IE);
  fn.if(isUnsupported(x).or(exponentOf(x).gtU(bias + 63)), refuse);
  const { magnitude, overflow, fraction, roundUp } = integerMagnitude(fn, core, control, x);
  const limit = lowest.sub(signOf(x).eqz().extendU());
  fn.if(overflow.or(magnitude.gtU(limit)), refuse);
  const value = fn.select(signOf(x), magnitude.negate(), magnitude);
  fn.return(value, roundingFlags(fn, fraction, roundUp));
}

/** The largest magnitude of a packed decimal, and its indefinite (SDM vol. 1, table 4-4). */
const largestDecimal = 10n ** 18n - 1n;
const decimalIndefinite = { low: 0xc000_0000_0000_0000n, high: 0xffff } as const;

function toDecimal(fn: FunctionBuilder, core: Core): void {
  const control = fn.parameter(0).get();
  const x = parameterNumber(fn, 1);
  const refuse = () => fn.return(decimalIndefinite.low, decimalIndefinite.high, IE);
  fn.if(isUnsupported(x).or(exponentOf(x).gtU(bias + 63)), refuse);
  const { magnitude, overflow, fraction, roundUp } = integerMagnitude(fn, core, control, x);
  fn.if(overflow.or(magnitude.gtU(largestDecimal)), refuse);
  const rest = fn.local('i64', magnitude);
  const digits = fn.local('i64', 0);
  const place = fn.local('i64', 0);
  const next = () => {
    const digit = rest.get().remU(10);
    rest.set(rest.get().divU(10));
    return digit;
  };
  fn.loop((again) => {
    digits.set(digits.get().or(next().shl(place.get())));
    place.set(place.get().add(4));
    again.brIf(place.get().ltU(64));
  });
  const high = fn.local('i64', next());
  high.set(high.get().or(next().shl(4)));
  fn.return(digits.get(), high.get().wrap().or(signOf(x)), roundingFlags(fn, fraction, roundUp));
}

function roundToInteger(fn: FunctionBuilder, core: Core): void {
  const control = fn.parameter(0).get();
  const x = parameterNumber(fn, 1);
  fn.if(isUnsupported(x), () => returnIndefinite(fn, IE));
  fn.if(isNan(x), () =>
    fn.return(x.significand.or(quietBit), x.signExponent, x.significand.and(quietBit).eqz()),
  );
  const exponent = exponentOf(x);
  const sign = signOf(x);
  fn.if(exponent.geU(bias + 63).or(isZero(x)), () => fn.return(x.significand, x.signExponent, 0));
  const denormal = isDenormal(x).shl(1);
  fn.if(denormal.and(control.not()), () => fn.return(0, 0, denormal));
  const { magnitude, fraction, roundUp } = integerMagnitude(fn, core, control, x);
  const flags = roundingFlags(fn, fraction, roundUp).or(denormal);
  fn.if(magnitude.eqz(), () => fn.return(0, sign, flags));
  const shift = magnitude.clz();
  fn.return(magnitude.shl(shift), sign.or(fn.i32(bias + 63).sub(shift.wrap())), flags);
}

export const float80Convert: CorePart = (define, core) => {
  define('float80FromSingle', (fn) => widen(fn, fn.parameter(0).get().extendU(), 23, 8));
  define('float80FromDouble', (fn) => widen(fn, fn.parameter(0).get(), 52, 11));
  define('float80FromInteger', (fn) => {
    const integer = fn.parameter(0).get();
    fn.if(integer.eqz(), () => fn.return(0, 0));
    const negative = integer.ltS(0);
    const magnitude = fn.select(negative, integer.negate(), integer);
    const shift = magnitude.clz();
    const exponent = fn.i32(bias + 63).sub(shift.wrap());
    fn.return(magnitude.shl(shift), fn.select(negative, exponent.or(signBit), exponent));
  });
  define('float80FromDecimal', (fn) => {
    const low = fn.parameter(0);
    const high = fn.parameter(1).get();
    const digit = (byte: Value) => byte.and(15).add(byte.shrU(4).and(15).mul(10));
    const value = fn.local('i64', digit(high.extendU()));
    const left = fn.local('i32', 8);
    fn.loop((again) => {
      value.set(
        value
          .get()
          .mul(100)
          .add(digit(low.get().shrU(56))),
      );
      low.set(low.get().shl(8));
      left.set(left.get().sub(1));
      again.brIf(left.get());
    });
    const [significand, exponent] = fn.callAll(core.float80FromInteger, value.get()) as [Value, Value];
    fn.return(significand, exponent.or(high.and(signBit)));
  });
  define('float80ToSingle', (fn) => narrowTo(fn, core, 24, 8));
  define('float80ToDouble', (fn) => narrowTo(fn, core, 53, 11));
  define('float80Narrow', (fn) => narrow(fn, core));
  define('float80ToInteger', (fn) => toInteger(fn, core));
  define('float80ToDecimal', (fn) => toDecimal(fn, core));
  define('float80RoundToInteger', (fn) => roundToInteger(fn, core));
};

/** A control word with rounding by truncation. */
export function truncating(control: Value): Value {
  return control.or(truncate << roundingShift);
}
