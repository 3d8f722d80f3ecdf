/** FSCALE, FXTRACT, FPREM and FPREM1 on numbers (SDM vol. 2). */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import type { Core, CorePart } from './core.ts';
import {
  bias,
  C0,
  C1,
  C2,
  C3,
  exponentAdjustment,
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
  maximumExponent,
  type NumberAndFlags,
  normalized,
  OE,
  PE,
  parameterNumber,
  quietBit,
  returnIndefinite,
  signBit,
  signOf,
  UE,
  ZE,
} from './float80.ts';
import { returnNan, returnUnmaskedDenormal } from './float80arithmetic.ts';

function denormals(fn: FunctionBuilder, a: Float80, b: Float80) {
  return fn.local('i32', isDenormal(a).or(isDenormal(b)).shl(1));
}

/** Leaves with the number as it is, but that a pseudo-denormal becomes the normal number that it equals. */
function returnUncomputed(fn: FunctionBuilder, a: Float80, flags: Value): void {
  const pseudo = exponentOf(a).eqz().and(a.significand.ltS(0));
  fn.return(a.significand, a.signExponent.or(pseudo), flags);
}

function scale(fn: FunctionBuilder, core: Core): void {
  const control = fn.parameter(0).get();
  const a = parameterNumber(fn, 1);
  const b = parameterNumber(fn, 3);
  const sign = signOf(a);
  returnNan(fn, core, a, b);
  const flags = denormals(fn, a, b);
  fn.if(isSpecial(b), () => {
    fn.if(
      signOf(b),
      () => {
        fn.if(isSpecial(a), () => returnIndefinite(fn, IE));
        fn.return(0, sign, flags.get());
      },
      () => {
        fn.if(isZero(a), () => returnIndefinite(fn, IE));
        fn.return(integerBit, sign.or(maximumExponent), flags.get());
      },
    );
  });
  fn.if(isSpecial(a).or(isZero(a)), () => fn.return(a.significand, a.signExponent, flags.get()));
  returnUnmaskedDenormal(fn, control, flags);
  fn.if(isZero(b), () => returnUncomputed(fn, a, flags.get()));
  // Beyond 2^16 the exact amount does not matter; below 1 it is none.
  const scaleExponent = exponentOf(b).sub(bias);
  const amount = fn.local('i32', 0);
  fn.if(scaleExponent.geS(0), () => {
    const whole = b.significand.shrU(fn.i32(63).sub(scaleExponent).extendU()).wrap();
    amount.set(fn.select(scaleExponent.geS(16), fn.i32(0x1_0000), whole));
    fn.if(signOf(b), () => amount.set(amount.get().negate()));
  });
  const { significand, exponent } = normalized(fn, a);
  const scaled = exponent.get().add(amount.get());
  // Beyond what the adjusted exponent of an unmasked overflow or underflow can hold, the result is infinite or zero.
  fn.if(
    control
      .and(OE)
      .eqz()
      .and(scaled.geS(maximumExponent + exponentAdjustment)),
    () => {
      fn.return(integerBit, sign.or(maximumExponent), flags.get().or(OE | PE | C1));
    },
  );
  fn.if(control.and(UE).eqz().and(scaled.leS(-exponentAdjustment)), () => {
    fn.return(0, sign, flags.get().or(UE | PE));
  });
  const [result, resultExponent, more] = fn.callAll(
    core.float80Round,
    control.or(extendedPrecision),
    sign,
    scaled,
    significand.get(),
    0,
  ) as NumberAndFlags;
  fn.return(result, resultExponent, more.or(flags.get()));
}

function extract(fn: FunctionBuilder, core: Core): void {
  const control = fn.parameter(0).get();
  const a = parameterNumber(fn, 1);
  const sign = signOf(a);
  const both = (significand: Value, signExponent: Value, flags: Value) =>
    fn.return(significand, signExponent, significand, signExponent, flags);
  fn.if(isUnsupported(a), () => both(fn.i64(3n << 62n), fn.i32(0xffff), fn.i32(IE)));
  fn.if(isNan(a), () => {
    both(a.significand.or(quietBit), a.signExponent, a.significand.and(quietBit).eqz());
  });
  fn.if(isSpecial(a), () => fn.return(integerBit, maximumExponent, a.significand, a.signExponent, 0));
  fn.if(isZero(a), () => fn.return(integerBit, signBit | maximumExponent, 0, sign, ZE));
  const flags = fn.local('i32', isDenormal(a).shl(1));
  fn.if(flags.get().and(control.not()), () => fn.return(0, 0, 0, 0, flags.get()));
  const { significand, exponent } = normalized(fn, a);
  const [power, powerExponent] = fn.callAll(core.float80FromInteger, exponent.get().sub(bias).extendS()) as [
    Value,
    Value,
  ];
  fn.return(power, powerExponent, significand.get(), sign.or(bias), flags.get());
}

/** The low three bits of the quotient in C0, C3, C1. */
function quotientBits(quotient: Value): Value {
  const bit = (place: number, code: number) => quotient.shrU(place).and(1).wrap().mul(code);
  return bit(2, C0).or(bit(1, C3)).or(bit(0, C1));
}

function remainder(fn: FunctionBuilder, core: Core): void {
  const control = fn.parameter(0).get();
  const a = parameterNumber(fn, 1);
  const b = parameterNumber(fn, 3);
  const toNearest = fn.parameter(5).get();
  returnNan(fn, core, a, b);
  fn.if(isSpecial(a).or(isZero(b)), () => returnIndefinite(fn, IE));
  const flags = denormals(fn, a, b);
  fn.if(isZero(a), () => fn.return(a.significand, a.signExponent, flags.get()));
  returnUnmaskedDenormal(fn, control, flags);
  fn.if(isSpecial(b), () => returnUncomputed(fn, a, flags.get()));
  const sign = fn.local('i32', signOf(a));
  const first = normalized(fn, a);
  const rest = first.significand;
  const exponent = first.exponent;
  const finish = (codes: Value) => {
    fn.if(rest.get().eqz(), () => fn.return(0, sign.get(), flags.get().or(codes)));
    const shift = rest.get().clz();
    const [significand, signExponent, more] = fn.callAll(
      core.float80Round,
      control.or(extendedPrecision),
      sign.get(),
      exponent.get().sub(shift.wrap()),
      rest.get().shl(shift),
      0,
    ) as NumberAndFlags;
    fn.return(significand, signExponent, more.or(flags.get()).or(codes));
  };
  const divisor = normalized(fn, b);
  const distance = exponent.get().sub(divisor.exponent.get());
  fn.if(distance.ltS(-1), () => finish(fn.i32(0)));
  const quotient = fn.local('i64', 0);
  /** Divides rest · 2^count, count below 64, by the divisor. */
  const reduce = (count: Value) => {
    const whole = rest.get().geU(divisor.significand.get());
    rest.set(rest.get().sub(fn.select(whole, divisor.significand.get(), fn.i64(0))));
    const by = count.extendU();
    // Shifting by 64 would not clear the upper half.
    const high = rest.get().shrU(1).shrU(fn.i64(63).sub(by));
    const [bits, left] = fn.callAll(core.divide128, high, rest.get().shl(by), divisor.significand.get()) as [
      Value,
      Value,
    ];
    rest.set(left);
    quotient.set(bits.or(whole.extendU().shl(by)));
  };
  fn.if(distance.geS(64), () => {
    // A part of the work: the exponents come nearer by 32 … 63, so that the rest is a multiple of 32.
    reduce(distance.and(31).or(32));
    exponent.set(exponent.get().sub(distance.and(31).or(32)));
    finish(fn.i32(C2));
  });
  fn.if(distance.geS(0), () => {
    reduce(distance);
    exponent.set(divisor.exponent.get());
  });
  fn.if(toNearest, () => {
    // The rest against half of the divisor; at distance −1, the quotient is 0 and the rest has half the divisor's unit.
    const half = distance.ltS(0);
    const doubled = fn.select(half, rest.get(), rest.get().shl(1));
    const beyond = half.eqz().and(rest.get().ltS(0));
    const tie = doubled.eq(divisor.significand.get()).and(beyond.eqz());
    const above = beyond.or(doubled.gtU(divisor.significand.get()));
    fn.if(above.or(tie.and(quotient.get().wrap().and(1))), () => {
      // The divisor less the rest; the divisor has one bit more than fits when its unit is halved.
      rest.set(
        fn.select(
          half,
          divisor.significand.get().shl(1).sub(rest.get()),
          divisor.significand.get().sub(rest.get()),
        ),
      );
      sign.set(sign.get().xor(signBit));
      quotient.set(quotient.get().add(1));
    });
  });
  finish(quotientBits(quotient.get()));
}

export const float80Scale: CorePart = (define, core) => {
  define('float80Scale', (fn) => scale(fn, core));
  define('float80Extract', (fn) => extract(fn, core));
  define('float80Remainder', (fn) => remainder(fn, core));
};
