/** One lane of SSE's conversions between integers and floating-point numbers, exact in result and exceptions (SDM vol. 1, 4.8.4 and 11.5). */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import * as mxcsr from '../mxcsr.ts';
import type { Core, CorePart } from './core.ts';
import {
  double,
  type Format,
  flushed,
  isDenormal,
  isInfinite,
  isNan,
  isSignaling,
  isZero,
  leading,
  patterns,
  placeSign,
  roundingOf,
  roundsAway,
  signOf,
  single,
  unpack,
} from './softfloat.ts';

/** Conversions of a lane. What it comes from and what it becomes are 32 or 64 bits wide. */
export const conversions = {
  singleToInt32: 0,
  singleToInt64: 1,
  doubleToInt32: 2,
  doubleToInt64: 3,
  int32ToSingle: 4,
  int64ToSingle: 5,
  int64ToDouble: 6,
  singleToDouble: 7,
  doubleToSingle: 8,
  /** To an integral number in the same format. */
  singleToIntegral: 9,
  doubleToIntegral: 10,
} as const;

/** The name of a conversion. */
export type Conversion = keyof typeof conversions;

/** Bit n tells that conversion n is from 64 bits, or to 64 bits. */
export const fromWide = bitsOf([
  'doubleToInt32',
  'doubleToInt64',
  'int64ToSingle',
  'int64ToDouble',
  'doubleToSingle',
  'doubleToIntegral',
]);
export const toWide = bitsOf([
  'singleToInt64',
  'doubleToInt64',
  'int64ToDouble',
  'singleToDouble',
  'doubleToIntegral',
]);

function bitsOf(names: readonly Conversion[]): number {
  return names.reduce((bits, name) => bits | (1 << conversions[name]), 0);
}

/** The magnitude of a finite number below 2^63, rounded to an integer, and whether that lost anything. */
function roundToInteger(fn: FunctionBuilder, format: Format, x: Value, control: Value) {
  const { sign, exponent, significand } = unpack(fn, format, x);
  const distance = fn.i32(format.bias + leading).sub(exponent.get());
  const integer = fn.local('i64');
  // What is behind the point, as a fraction of 2^64.
  const rest = fn.local('i64');
  fn.if(
    distance.leU(63),
    () => {
      integer.set(significand.get().shrU(distance.extendU()));
      fn.if(distance, () => rest.set(significand.get().shl(fn.i32(64).sub(distance).extendU())));
    },
    () => rest.set(significand.get()),
  );
  const half = -(1n << 63n);
  const mode = roundingOf(control);
  const odd = integer.get().wrap().and(1);
  const overHalf = rest.get().gtU(half).or(rest.get().eq(half).and(odd));
  const lost = rest.get().ne(0);
  const up = fn.select(mode.eqz(), overHalf, roundsAway(mode, sign).and(lost));
  const rounded = integer.get().add(up.extendU());
  return { sign, rounded, lost };
}

function toInteger(fn: FunctionBuilder, format: Format, x: Value, control: Value, width: 32 | 64): void {
  // The most negative integer stands for all that has none (SDM vol. 1, 4.8.4.1, "integer indefinite").
  const indefinite = -(1n << BigInt(width - 1));
  const seen = flushed(fn, format, x, control).get();
  const exponent = seen.shrU(format.fraction).wrap().and(format.largest);
  // From 2^63 on, infinities and NaNs; -2^63 itself has an integer, which is the indefinite one as well.
  fn.if(exponent.geU(format.bias + 63), () => {
    const lowest = BigInt(format.bias + 63) << BigInt(format.fraction);
    const fits = width === 64 ? seen.eq(fn.i64(patterns(format).sign | lowest)) : fn.i32(0);
    fn.return(indefinite, fits.eqz().mul(mxcsr.IE));
  });
  const { sign, rounded, lost } = roundToInteger(fn, format, seen, control);
  if (width === 32) {
    const most = sign.extendU().add(0x7fff_ffff);
    fn.if(rounded.gtU(most), () => fn.return(indefinite, mxcsr.IE));
  }
  fn.return(fn.select(sign, rounded.negate(), rounded), lost.mul(mxcsr.PE));
}

function fromInteger(fn: FunctionBuilder, core: Core, format: Format, x: Value, control: Value): void {
  fn.if(x.eqz(), () => fn.return(0, 0));
  const sign = x.shrU(63).wrap();
  const magnitude = fn.select(sign, x.negate(), x);
  const zeros = magnitude.clz().wrap();
  // Only −2^63 has its one in bit 63, and nothing below.
  const significand = fn.select(zeros, magnitude.shl(zeros.sub(1).extendU()), magnitude.shrU(1));
  const round = format.bits === 32 ? core.round32 : core.round64;
  fn.returnCall(round, sign, fn.i32(format.bias + 63).sub(zeros), significand, control, 0);
}

/** A NaN in another format: made quiet, the upper bits of its fraction kept. */
function convertedNan(from: Format, to: Format, x: Value): Value {
  const fraction = x.and(patterns(from).fraction);
  const moved =
    from.bits === 32 ? fraction.shl(to.fraction - from.fraction) : fraction.shrU(from.fraction - to.fraction);
  return placeSign(to, signOf(from, x))
    .or(moved)
    .or(patterns(to).infinity | patterns(to).quiet);
}

function betweenFormats(
  fn: FunctionBuilder,
  core: Core,
  from: Format,
  to: Format,
  x: Value,
  control: Value,
): void {
  fn.if(isNan(from, x), () => {
    fn.return(convertedNan(from, to, x), isSignaling(from, x).mul(mxcsr.IE));
  });
  const seen = flushed(fn, from, x, control).get();
  const sign = placeSign(to, signOf(from, seen));
  fn.if(isInfinite(from, seen), () => fn.return(sign.or(patterns(to).infinity), 0));
  fn.if(isZero(from, seen), () => fn.return(sign, 0));
  const flags = isDenormal(from, seen).mul(mxcsr.DE);
  const unpacked = unpack(fn, from, seen);
  const exponent = unpacked.exponent.get().add(to.bias - from.bias);
  const round = to.bits === 32 ? core.round32 : core.round64;
  fn.returnCall(round, unpacked.sign, exponent, unpacked.significand.get(), control, flags);
}

function toIntegral(fn: FunctionBuilder, format: Format, x: Value, control: Value): void {
  fn.if(isNan(format, x), () => {
    fn.return(x.or(patterns(format).quiet), isSignaling(format, x).mul(mxcsr.IE));
  });
  const seen = flushed(fn, format, x, control).get();
  const exponent = seen.shrU(format.fraction).wrap().and(format.largest);
  fn.if(exponent.geU(format.bias + format.fraction), () => fn.return(seen, 0));
  const { sign, rounded, lost } = roundToInteger(fn, format, seen, control);
  // Small enough to be exact.
  const result =
    format.bits === 64
      ? fn.apply('i64.reinterpret_f64', rounded.apply('f64.convert_i64_s'))
      : fn.apply('i32.reinterpret_f32', rounded.apply('f32.convert_i64_s')).extendU();
  fn.return(placeSign(format, sign).or(result), lost.mul(mxcsr.PE));
}

export const softconvert: CorePart = (define, core) => {
  define('convert', (fn) => {
    const operation = fn.parameter(0).get();
    const x = fn.parameter(1).get();
    const control = fn.parameter(2).get();
    const cases: Record<Conversion, () => void> = {
      singleToInt32: () => toInteger(fn, single, x, control, 32),
      singleToInt64: () => toInteger(fn, single, x, control, 64),
      doubleToInt32: () => toInteger(fn, double, x, control, 32),
      doubleToInt64: () => toInteger(fn, double, x, control, 64),
      int32ToSingle: () => fromInteger(fn, core, single, x.extend32S(), control),
      int64ToSingle: () => fromInteger(fn, core, single, x, control),
      int64ToDouble: () => fromInteger(fn, core, double, x, control),
      singleToDouble: () => betweenFormats(fn, core, single, double, x, control),
      doubleToSingle: () => betweenFormats(fn, core, double, single, x, control),
      singleToIntegral: () => toIntegral(fn, single, x, control),
      doubleToIntegral: () => toIntegral(fn, double, x, control),
    };
    const list: (() => void)[] = [];
    for (const name of Object.keys(conversions) as Conversion[]) list[conversions[name]] = cases[name];
    fn.switch(operation, list, () => fn.unreachable());
  });
};
