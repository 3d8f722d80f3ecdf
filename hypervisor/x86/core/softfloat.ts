/**
 * Floating-point numbers of single and double precision in software: taking them apart, and rounding (SDM vol. 1, chapters 4
 * and 11). All numbers are bit patterns in an i64; a single-precision one has zeros above.
 *
 * Between the two a number is a sign (0 or 1), an exponent biased as in its format but of any size, and a
 * significand with its leading one in bit 62. What lies below the format's precision decides the rounding; bit 0
 * is set when anything was lost below it.
 */
import type { FunctionBuilder, Variable } from '../../wasm/function.ts';
import type { Operand, Value } from '../../wasm/value.ts';
import * as mxcsr from '../mxcsr.ts';
import type { CorePart } from './core.ts';

/** A binary interchange format of IEEE 754. */
export interface Format {
  readonly bits: 32 | 64;
  /** Bits of the fraction. */
  readonly fraction: number;
  readonly bias: number;
  /** The exponent of infinities and NaNs. */
  readonly largest: number;
}

export const single: Format = { bits: 32, fraction: 23, bias: 127, largest: 255 };
export const double: Format = { bits: 64, fraction: 52, bias: 1023, largest: 2047 };

/** Where the leading one of a significand stands. */
export const leading = 62;

/** Bit patterns of a format. */
export function patterns(format: Format) {
  const fraction = BigInt(format.fraction);
  const sign = 1n << BigInt(format.bits - 1);
  const infinity = BigInt(format.largest) << fraction;
  const quiet = 1n << (fraction - 1n);
  return {
    sign,
    /** All but the sign. */
    magnitude: sign - 1n,
    fraction: (1n << fraction) - 1n,
    infinity,
    /** The bit that tells quiet NaNs from signaling ones. */
    quiet,
    /** The NaN that invalid operations give, the "QNaN floating-point indefinite". */
    indefinite: sign | infinity | quiet,
    /** The smallest normal number. */
    normal: 1n << fraction,
  };
}

/** A number taken apart; see the top of this file. A zero has significand 0 and an exponent below all others. */
export interface Unpacked {
  readonly sign: Value;
  readonly exponent: Variable;
  readonly significand: Variable;
}

/** Bit patterns as questions. */
export function isNan(format: Format, x: Value): Value {
  const { magnitude, infinity } = patterns(format);
  return x.and(magnitude).gtU(infinity);
}

/** True for a NaN whose quiet bit is clear. The argument is a NaN. */
export function isSignaling(format: Format, x: Value): Value {
  return x.and(patterns(format).quiet).eqz();
}

/** True (i32) for an infinity of either sign. */
export function isInfinite(format: Format, x: Value): Value {
  const { magnitude, infinity } = patterns(format);
  return x.and(magnitude).eq(infinity);
}

/** True (i32) for a zero of either sign. */
export function isZero(format: Format, x: Value): Value {
  return x.and(patterns(format).magnitude).eqz();
}

/** True for a nonzero number without a leading one. */
export function isDenormal(format: Format, x: Value): Value {
  const { magnitude, fraction } = patterns(format);
  return x.and(magnitude).sub(1).ltU(fraction);
}

/** Sign as 0 or 1 (i32). */
export function signOf(format: Format, x: Value): Value {
  return x.shrU(format.bits - 1).wrap();
}

/** A sign of 0 or 1 (i32) at its place. */
export function placeSign(format: Format, sign: Value): Value {
  return sign.extendU().shl(format.bits - 1);
}

/** The operand as arithmetic sees it: with DAZ a denormal is a zero of its sign. */
export function flushed(fn: FunctionBuilder, format: Format, x: Value, control: Value): Variable {
  const seen = fn.local('i64', x);
  const flush = control.and(mxcsr.DAZ).ne(0).and(isDenormal(format, x));
  fn.if(flush, () => seen.set(x.and(patterns(format).sign)));
  return seen;
}

/** The native number of a bit pattern. */
export function toNative(fn: FunctionBuilder, format: Format, x: Value): Value {
  return format.bits === 64 ? fn.apply('f64.reinterpret_i64', x) : fn.apply('f32.reinterpret_i32', x.wrap());
}

/** The bit pattern of a native number. */
export function fromNative(format: Format, x: Value): Value {
  return format.bits === 64 ? x.apply('i64.reinterpret_f64') : x.apply('i32.reinterpret_f32').extendU();
}

/** Takes a finite number apart. */
export function unpack(fn: FunctionBuilder, format: Format, x: Value): Unpacked {
  const { fraction, normal } = patterns(format);
  const shift = leading - format.fraction;
  const exponent = fn.local('i32', x.shrU(format.fraction).wrap().and(format.largest));
  const low = x.and(fraction);
  const significand = fn.local('i64');
  fn.if(
    exponent.get(),
    () => significand.set(low.or(normal).shl(shift)),
    () => {
      const up = low.clz().wrap().sub(1);
      significand.set(low.shl(up.extendU()));
      exponent.set(fn.i32(1 + shift).sub(up));
    },
  );
  return { sign: signOf(format, x), exponent, significand };
}

/** `x` moved right by `count` (i32, not negative), with bit 0 set when a one was lost. */
export function shiftRightSticky(fn: FunctionBuilder, x: Value, count: Value): Value {
  const wide = count.extendU();
  const moved = x.shrU(wide);
  const near = moved.or(moved.shl(wide).ne(x).extendU());
  return fn.select(count.ltU(64), near, x.ne(0).extendU());
}

/** The rounding mode of a control word. */
export function roundingOf(control: Value): Value {
  return control.shrU(mxcsr.roundingShift).and(3);
}

/** True (i32) when a directed rounding mode leads away from zero for numbers of this sign. */
export function roundsAway(mode: Value, sign: Value): Value {
  return mode.eq(mxcsr.up).and(sign.eqz()).or(mode.eq(mxcsr.down).and(sign));
}

function masked(control: Value, flag: number): Value {
  return control.and(flag << mxcsr.maskShift);
}

/** round32 and round64: (sign, exponent, significand, MXCSR, exceptions so far) → number, exceptions. */
function defineRounding(fn: FunctionBuilder, format: Format): void {
  const { infinity } = patterns(format);
  const sign = fn.parameter(0).get();
  const exponent = fn.parameter(1);
  const significand = fn.parameter(2);
  const control = fn.parameter(3).get();
  const flags = fn.parameter(4);
  const raise = (more: Operand) => flags.set(flags.get().or(more));
  const below = leading - format.fraction;
  const lost = (1n << BigInt(below)) - 1n;
  const half = 1n << BigInt(below - 1);
  const signBit = placeSign(format, sign);
  const mode = roundingOf(control);
  const toNearest = mode.eqz();
  const away = roundsAway(mode, sign);
  const increment = fn.select(toNearest, fn.i64(half), fn.select(away, fn.i64(lost), fn.i64(0)));
  const inexact = () => significand.get().and(lost).ne(0);
  const tiny = fn.local('i32', 0);
  fn.if(exponent.get().leS(0), () => {
    // Tiny: below the smallest normal number even after rounding as if exponents had no end (SDM vol. 1, 4.9.1.5).
    tiny.set(exponent.get().ltS(0).or(significand.get().add(increment).geS(0)));
    fn.if(tiny.get(), () => {
      fn.if(masked(control, mxcsr.UE).eqz(), () => {
        raise(mxcsr.UE);
        fn.if(inexact(), () => raise(mxcsr.PE));
        fn.return(signBit, flags.get());
      });
      fn.if(control.and(mxcsr.FTZ), () => fn.return(signBit, flags.get().or(mxcsr.UE | mxcsr.PE)));
    });
    significand.set(shiftRightSticky(fn, significand.get(), fn.i32(1).sub(exponent.get())));
    exponent.set(1);
  });
  const rounded = fn.local('i64', significand.get().add(increment).shrU(below));
  // Halfway between two: to the even one.
  fn.if(toNearest.and(significand.get().and(lost).eq(half)), () => rounded.set(rounded.get().and(-2)));
  // The leading one adds 1 to the exponent, and so does a carry out of the significand.
  const packed = fn.local('i64', exponent.get().sub(1).extendS().shl(format.fraction).add(rounded.get()));
  fn.if(packed.get().geU(infinity), () => {
    fn.if(masked(control, mxcsr.OE).eqz(), () => {
      raise(mxcsr.OE);
      fn.if(inexact(), () => raise(mxcsr.PE));
      fn.return(signBit, flags.get());
    });
    const result = fn.select(toNearest.or(away), fn.i64(infinity), fn.i64(infinity - 1n));
    fn.return(signBit.or(result), flags.get().or(mxcsr.OE | mxcsr.PE));
  });
  fn.if(inexact(), () => raise(fn.select(tiny.get(), fn.i32(mxcsr.UE | mxcsr.PE), mxcsr.PE)));
  fn.return(signBit.or(packed.get()), flags.get());
}

export const softfloat: CorePart = (define) => {
  define('round32', (fn) => defineRounding(fn, single));
  define('round64', (fn) => defineRounding(fn, double));
};
