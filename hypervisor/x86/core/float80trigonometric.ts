/**
 * FSIN, FCOS, FSINCOS, FPTAN on numbers (SDM vol. 2; vol. 1, 8.3.8).
 *
 * Arguments are reduced modulo pi/2 with the 66-bit pi of the processors, exactly; sine and cosine of what is left are computed
 * to about 125 bits and then rounded once.
 */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import { factorial } from './constants.ts';
import type { Core, CorePart } from './core.ts';
import {
  bias,
  C2,
  exponentOf,
  extendedPrecision,
  type Float80,
  IE,
  integerBit,
  isDenormal,
  isNan,
  isSpecial,
  isUnsupported,
  isZero,
  type NumberAndFlags,
  normalized,
  parameterNumber,
  roundingShift,
  signBit,
  signOf,
} from './float80.ts';
import {
  belowWide,
  multiplyWide,
  normalizeWide,
  polynomial,
  shiftRightWide,
  subtractWide,
  type Wide,
  wideConstant,
} from './wide128.ts';

/** pi/2 in 2^-65, from the 66 bits of pi that processors have: pi = 3.243F6A8885A308D3H (SDM vol. 1, 8.3.8). */
const halfPi = 0x3_243f_6a88_85a3_08d3n;
/** Arguments from 2^63 on are out of range. */
const firstTooLarge = bias + 63;

const one = 1n << 128n;
/** 1/3!, 1/5!, … and 1/2!, 1/4!, …: as many terms as 128 bits need up to pi/4. */
const sineCoefficients = Array.from({ length: 16 }, (_, n) => one / factorial(2 * n + 3));
const cosineCoefficients = Array.from({ length: 16 }, (_, n) => one / factorial(2 * n + 2));

/** A number below 1 as a fraction of 1. */
export function fractionOfOne(fn: FunctionBuilder, core: Core, significand: Wide, exponent: Value): Wide {
  return shiftRightWide(fn, core, significand, fn.i32(bias - 1).sub(exponent));
}

/** 1 − u; for zero, the largest fraction below 1, since the series that end in this never give 1. */
function oneLess(fn: FunctionBuilder, u: Wide): Wide {
  const negative = subtractWide(wideConstant(fn, 0n), u);
  const none = u.high.or(u.low).eqz();
  const ones = fn.i64(-1);
  return { high: fn.select(none, ones, negative.high), low: fn.select(none, ones, negative.low) };
}

/** The parameters (significand, biased exponent) of an angle, and its square. */
function angle(fn: FunctionBuilder, core: Core) {
  const significand = { high: fn.parameter(0).get(), low: fn.parameter(1).get() };
  const exponent = fn.parameter(2).get();
  const fraction = fractionOfOne(fn, core, significand, exponent);
  return { significand, exponent, square: multiplyWide(fn, core, fraction, fraction) };
}

function reduce(fn: FunctionBuilder): void {
  const significand = fn.parameter(0).get();
  const exponent = fn.parameter(1).get();
  const divisor = { high: fn.i64(halfPi >> 64n), low: fn.i64(halfPi) };
  const high = fn.local('i64', 0);
  const low = fn.local('i64', significand);
  const quotient = fn.local('i32', 0);
  // In 2^-65, bit by bit: the significand is below pi/2 until the first step.
  const left = fn.local('i32', exponent.sub(bias - 2));
  const rest = (): Wide => ({ high: high.get(), low: low.get() });
  const set = (value: Wide) => {
    const newHigh = fn.local('i64', value.high);
    low.set(value.low);
    high.set(newHigh.get());
  };
  fn.loop((again) => {
    set({ high: high.get().shl(1).or(low.get().shrU(63)), low: low.get().shl(1) });
    quotient.set(quotient.get().shl(1));
    fn.if(belowWide(rest(), divisor).eqz(), () => {
      set(subtractWide(rest(), divisor));
      quotient.set(quotient.get().or(1));
    });
    left.set(left.get().sub(1));
    again.brIf(left.get());
  });
  const sign = fn.local('i32', 0);
  const other = subtractWide(divisor, rest());
  fn.if(belowWide(other, rest()), () => {
    set(other);
    quotient.set(quotient.get().add(1));
    sign.set(signBit);
  });
  const result = normalizeWide(fn, rest());
  // Bit 127 of the pair stands for 2^62 in units of 2^-65.
  fn.return(
    result.high,
    result.low,
    fn.i32(bias + 62).sub(result.shift),
    quotient.get().and(3).or(sign.get()),
  );
}

/** What the functions have in common before they compute: special operands leave, through `leave`; gives the flags. */
function screenAngle(
  fn: FunctionBuilder,
  core: Core,
  control: Value,
  a: Float80,
  pair: boolean,
): { flags: ReturnType<FunctionBuilder['local']> } {
  const leave = (significand: Value, signExponent: Value, flags: Value) => {
    if (pair) fn.return(significand, signExponent, significand, signExponent, flags);
    else fn.return(significand, signExponent, flags);
  };
  fn.if(isSpecial(a).or(isUnsupported(a)), () => {
    const [significand, signExponent, flags] = fn.callAll(
      core.float80Nan,
      a.significand,
      a.signExponent,
      a.significand,
      a.signExponent,
    ) as NumberAndFlags;
    fn.if(isNan(a).or(isUnsupported(a)), () => leave(significand, signExponent, flags));
    leave(fn.i64(3n << 62n), fn.i32(0xffff), fn.i32(IE));
  });
  fn.if(exponentOf(a).geU(firstTooLarge), () => leave(a.significand, a.signExponent, fn.i32(C2)));
  const flags = fn.local('i32', isDenormal(a).shl(1));
  fn.if(flags.get().and(control.not()), () => leave(fn.i64(0), fn.i32(0), flags.get()));
  return { flags };
}

/**
 * The control word for an angle of an exponent: processors give x for the sine and tangent, and 1 for the cosine, of angles
 * below 2^-68 (tangent: 2^-33), whatever the rounding control says.
 */
function controlFor(fn: FunctionBuilder, control: Value, exponent: Value, tiny: number): Value {
  return fn.select(exponent.ltS(bias + tiny), control.and(~(3 << roundingShift)), control);
}

/** The angle left after reduction, as variables: significand, exponent, and multiples of pi/2 with the sign in bit 15. */
function reduced(fn: FunctionBuilder, core: Core, a: Float80) {
  const start = normalized(fn, a);
  const high = fn.local('i64', start.significand.get());
  const low = fn.local('i64', 0);
  const exponent = fn.local('i32', start.exponent.get());
  const turns = fn.local('i32', 0);
  // Below 1/2 nothing is to be done; between that and pi/4 the reduction leaves the number as it is.
  fn.if(exponent.get().geS(bias - 1), () => {
    const [newHigh, newLow, newExponent, newTurns] = fn.callAll(
      core.trigonometricReduce,
      high.get(),
      exponent.get(),
    ) as [Value, Value, Value, Value];
    high.set(newHigh);
    low.set(newLow);
    exponent.set(newExponent);
    turns.set(newTurns);
  });
  return { high: high.get(), low: low.get(), exponent: exponent.get(), turns: turns.get() };
}

/** Rounds a positive inexact result; gives the number and flags. */
export function roundWide(
  fn: FunctionBuilder,
  core: Core,
  control: Value,
  sign: Value,
  { high, low, exponent }: { high: Value; low: Value; exponent: Value },
): NumberAndFlags {
  return fn.callAll(
    core.float80Round,
    control.or(extendedPrecision),
    sign,
    exponent,
    high,
    low.or(1),
  ) as NumberAndFlags;
}

type Reduced = ReturnType<typeof reduced>;

/** Sine (quarter 0) or cosine (1) of a reduced angle of the sign in bit 15 of `sign`, rounded. */
function sineOf(
  fn: FunctionBuilder,
  core: Core,
  control: Value,
  sign: Value,
  angle: Reduced,
  quarter: Value,
): NumberAndFlags {
  const high = fn.local('i64');
  const low = fn.local('i64');
  const exponent = fn.local('i32');
  const resultSign = fn.local('i32', 0);
  const take = (routine: Core['wideSine']) => {
    const results = fn.callAll(routine, angle.high, angle.low, angle.exponent) as [Value, Value, Value];
    high.set(results[0]);
    low.set(results[1]);
    exponent.set(results[2]);
  };
  // sin(−x) = −sin(x), cos(−x) = cos(x); the number of quarter turns belongs to the magnitude.
  const quarters = fn.local('i32', angle.turns.add(quarter).and(3));
  fn.if(
    quarters.get().and(1),
    () => take(core.wideCosine),
    () => {
      take(core.wideSine);
      resultSign.set(angle.turns.and(signBit));
    },
  );
  fn.if(quarters.get().and(2), () => resultSign.set(resultSign.get().xor(signBit)));
  fn.if(quarter.eqz(), () => resultSign.set(resultSign.get().xor(sign)));
  return roundWide(fn, core, controlFor(fn, control, angle.exponent, -68), resultSign.get(), {
    high: high.get(),
    low: low.get(),
    exponent: exponent.get(),
  });
}

export const float80Trigonometric: CorePart = (define, core) => {
  define('trigonometricReduce', (fn) => reduce(fn));

  define('wideSine', (fn) => {
    const { significand, exponent, square } = angle(fn, core);
    const series = polynomial(fn, core, square, sineCoefficients, true);
    const factor = oneLess(fn, multiplyWide(fn, core, square, series));
    const product = normalizeWide(fn, multiplyWide(fn, core, significand, factor));
    fn.return(product.high, product.low, exponent.sub(product.shift));
  });

  define('wideCosine', (fn) => {
    const { square } = angle(fn, core);
    const series = polynomial(fn, core, square, cosineCoefficients, true);
    const { high, low } = oneLess(fn, multiplyWide(fn, core, square, series));
    fn.return(high, low, bias - 1);
  });

  define('float80Sine', (fn) => {
    const control = fn.parameter(0).get();
    const a = parameterNumber(fn, 1);
    const quarter = fn.parameter(3).get();
    const { flags } = screenAngle(fn, core, control, a, false);
    fn.if(isZero(a), () => {
      fn.return(
        fn.select(quarter, fn.i64(integerBit), fn.i64(0)),
        fn.select(quarter, fn.i32(bias), a.signExponent),
        0,
      );
    });
    const [significand, signExponent, more] = sineOf(
      fn,
      core,
      control,
      signOf(a),
      reduced(fn, core, a),
      quarter,
    );
    fn.return(significand, signExponent, more.or(flags.get()));
  });

  define('float80SineCosine', (fn) => {
    const control = fn.parameter(0).get();
    const a = parameterNumber(fn, 1);
    const { flags } = screenAngle(fn, core, control, a, true);
    fn.if(isZero(a), () => fn.return(0, a.signExponent, integerBit, bias, 0));
    const left = reduced(fn, core, a);
    const sine = sineOf(fn, core, control, signOf(a), left, fn.i32(0));
    const cosine = sineOf(fn, core, control, signOf(a), left, fn.i32(1));
    fn.return(sine[0], sine[1], cosine[0], cosine[1], flags.get().or(sine[2]).or(cosine[2]));
  });

  define('float80Tangent', (fn) => {
    const control = fn.parameter(0).get();
    const a = parameterNumber(fn, 1);
    const { flags } = screenAngle(fn, core, control, a, true);
    fn.if(isZero(a), () => fn.return(0, a.signExponent, integerBit, bias, 0));
    const left = reduced(fn, core, a);
    const sine = fn.callAll(core.wideSine, left.high, left.low, left.exponent) as [Value, Value, Value];
    const cosine = fn.callAll(core.wideCosine, left.high, left.low, left.exponent) as [Value, Value, Value];
    // tan(x + pi/2) = −1 / tan(x)
    const odd = left.turns.and(1);
    const [high, low, halved] = fn.callAll(
      core.wideDivide,
      fn.select(odd, cosine[0], sine[0]),
      fn.select(odd, cosine[1], sine[1]),
      fn.select(odd, sine[0], cosine[0]),
      fn.select(odd, sine[1], cosine[1]),
    ) as [Value, Value, Value];
    const distance = sine[2].sub(cosine[2]);
    const ratio = fn.select(odd, distance.negate(), distance);
    const exponent = ratio.add(bias - 1).add(halved);
    const sign = signOf(a).xor(left.turns.and(signBit)).xor(odd.shl(15));
    const rounding = controlFor(fn, control, left.exponent, -33);
    const [significand, signExponent, more] = roundWide(fn, core, rounding, sign, { high, low, exponent });
    fn.return(significand, signExponent, integerBit, bias, more.or(flags.get()));
  });
};
