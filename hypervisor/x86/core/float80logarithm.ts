/** F2XM1, FYL2X, FYL2XP1 on numbers (SDM vol. 2). */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import { factorial, ln2 } from './constants.ts';
import type { Core, CorePart } from './core.ts';
import {
  bias,
  exponentOf,
  extendedPrecision,
  type Float80,
  IE,
  integerBit,
  isDenormal,
  isSpecial,
  isZero,
  maximumExponent,
  type NumberAndFlags,
  normalized,
  PE,
  parameterNumber,
  returnIndefinite,
  signBit,
  signOf,
  UE,
  ZE,
} from './float80.ts';
import { returnNan, returnUnmaskedDenormal } from './float80arithmetic.ts';
import { fractionOfOne, roundWide } from './float80trigonometric.ts';
import {
  addWide,
  belowWide,
  multiplyWide,
  normalizeWide,
  polynomial,
  shiftRightWide,
  subtractWide,
  type Wide,
  wideConstant,
} from './wide128.ts';

const one = 1n << 128n;
const naturalLog2 = ln2(128n);
/** 2 / ln 2 in 2^-126, as a significand whose exponent is that of 2. */
const twoOverLn2 = (1n << 255n) / ln2(128n);
/** 1/2!, 1/3!, …: enough for arguments up to ln 2. */
const exponentialCoefficients = Array.from({ length: 30 }, (_, n) => one / factorial(n + 2));
/** 1/3, 1/5, …: enough for squares up to 0.03. */
const logarithmCoefficients = Array.from({ length: 26 }, (_, n) => one / BigInt(2 * n + 3));
/** The significand of the square root of 2: above it, a number counts as one below 1 times a higher power of 2. */
const rootOf2 = 0xb504_f333_f9de_6484n;

function powerLess1(fn: FunctionBuilder, core: Core): void {
  const control = fn.parameter(0).get();
  const x = parameterNumber(fn, 1);
  const sign = signOf(x);
  returnNan(fn, core, x, x);
  fn.if(isZero(x), () => fn.return(0, sign, 0));
  const flags = fn.local('i32', isDenormal(x).shl(1));
  returnUnmaskedDenormal(fn, control, flags);
  fn.if(exponentOf(x).geU(bias), () => {
    // 2^1 − 1 is 1, 2^−1 − 1 is −1/2. Beyond the result is undefined, and processors leave the number. All count as inexact.
    fn.if(isSpecial(x), () => {
      fn.return(integerBit, fn.select(sign, fn.i32(signBit | bias), x.signExponent), 0);
    });
    const half = x.signExponent.eq(signBit | bias).and(x.significand.eq(integerBit));
    fn.return(x.significand, x.signExponent.sub(half), PE);
  });
  const { significand, exponent } = normalized(fn, x);
  const product = normalizeWide(
    fn,
    multiplyWide(fn, core, { high: significand.get(), low: fn.i64(0) }, wideConstant(fn, naturalLog2)),
  );
  const power = exponent.get().sub(product.shift);
  const y = fractionOfOne(fn, core, product, power);
  const high = fn.local('i64');
  const low = fn.local('i64');
  const resultExponent = fn.local('i32', power);
  // e^y − 1 = y · (1 + y/2! + y²/3! + …)
  const correction = (alternating: boolean): Wide => {
    const series = polynomial(fn, core, y, exponentialCoefficients, alternating);
    return multiplyWide(fn, core, product, multiplyWide(fn, core, y, series));
  };
  fn.if(
    sign,
    () => {
      const less = subtractWide(product, correction(true));
      high.set(less.high);
      low.set(less.low);
    },
    () => {
      const more = addWide(product, correction(false));
      const carry = belowWide(more, product);
      const by = carry.extendU();
      low.set(more.low.shrU(by).or(more.high.and(by).shl(63)));
      high.set(more.high.shrU(by).or(by.shl(63)));
      resultExponent.set(resultExponent.get().add(carry));
    },
  );
  const result = normalizeWide(fn, { high: high.get(), low: low.get() });
  const [rounded, signExponent, more] = roundWide(fn, core, control, sign, {
    ...result,
    exponent: resultExponent.get().sub(result.shift),
  });
  fn.return(rounded, signExponent, more.or(flags.get()));
}

/** `wideLogarithm`: 2/ln 2 · z · (1 + z²/3 + z⁴/5 + …). */
function logarithm(fn: FunctionBuilder, core: Core): void {
  const z = { high: fn.parameter(0).get(), low: fn.parameter(1).get() };
  const exponent = fn.parameter(2).get();
  const fraction = fractionOfOne(fn, core, z, exponent);
  const square = multiplyWide(fn, core, fraction, fraction);
  const series = multiplyWide(fn, core, square, polynomial(fn, core, square, logarithmCoefficients, false));
  // The constant with the correction is below 4, as it is without.
  const constant = wideConstant(fn, twoOverLn2);
  const factor = addWide(constant, multiplyWide(fn, core, constant, series));
  const product = normalizeWide(fn, multiplyWide(fn, core, z, factor));
  fn.return(product.high, product.low, exponent.add(2).sub(product.shift));
}

interface Parts {
  readonly high: Value;
  readonly low: Value;
  readonly exponent: Value;
}

/** log2((1 + z) / (1 − z)) where z = dividend / divisor, of normalized operands whose exponents differ by `distance`. */
function logarithmOfQuotient(
  fn: FunctionBuilder,
  core: Core,
  dividend: Wide,
  divisor: Wide,
  distance: Value,
): Parts {
  const [high, low, halved] = fn.callAll(
    core.wideDivide,
    dividend.high,
    dividend.low,
    divisor.high,
    divisor.low,
  ) as [Value, Value, Value];
  const results = fn.callAll(core.wideLogarithm, high, low, distance.add(bias - 1).add(halved)) as [
    Value,
    Value,
    Value,
  ];
  return { high: results[0], low: results[1], exponent: results[2] };
}

/** Leaves with y · the logarithm of the given sign (bit 15). */
function returnProduct(
  fn: FunctionBuilder,
  core: Core,
  control: Value,
  y: { significand: Value; exponent: Value },
  log: Parts,
  sign: Value,
  flags: Value,
): void {
  const product = normalizeWide(fn, multiplyWide(fn, core, { high: y.significand, low: fn.i64(0) }, log));
  const exponent = y.exponent
    .add(log.exponent)
    .sub(bias - 1)
    .sub(product.shift);
  const [significand, signExponent, more] = roundWide(fn, core, control, sign, { ...product, exponent });
  fn.return(significand, signExponent, more.or(flags));
}

function logarithmTimes(fn: FunctionBuilder, core: Core): void {
  const control = fn.parameter(0).get();
  const x = parameterNumber(fn, 1);
  const y = parameterNumber(fn, 3);
  returnNan(fn, core, x, y);
  const flags = fn.local('i32', isDenormal(x).or(isDenormal(y)).shl(1));
  fn.if(signOf(x).ne(0).and(isZero(x).eqz()), () => returnIndefinite(fn, IE));
  const infinity = (sign: Value, more: Value) => fn.return(integerBit, sign.or(maximumExponent), more);
  fn.if(isZero(x), () => {
    fn.if(isZero(y), () => returnIndefinite(fn, IE));
    // log2(0) is minus infinity: a zero divide unless y is infinite.
    infinity(signOf(y).xor(signBit), fn.select(isSpecial(y), fn.i32(0), fn.i32(ZE)));
  });
  const isOne = x.signExponent.eq(bias).and(x.significand.eq(integerBit));
  const belowOne = exponentOf(x).ltU(bias);
  const resultSign = fn.local('i32', signOf(y).xor(belowOne.shl(15)));
  fn.if(isSpecial(x).or(isSpecial(y)), () => {
    fn.if(isSpecial(x).and(isZero(y)).or(isSpecial(y).and(isOne)), () => returnIndefinite(fn, IE));
    infinity(resultSign.get(), flags.get());
  });
  returnUnmaskedDenormal(fn, control, flags);
  fn.if(isZero(y), () => fn.return(0, resultSign.get(), flags.get()));
  fn.if(isOne, () => fn.return(0, signOf(y), flags.get()));
  const { significand, exponent } = normalized(fn, x);
  const factor = normalized(fn, y);
  fn.if(significand.get().eq(integerBit), () => {
    // A power of 2: the product is exact before it is rounded.
    const whole = exponent.get().sub(bias);
    const magnitude = fn.select(belowOne, whole.negate(), whole);
    const [high, low] = fn.callAll(
      core.multiply64,
      factor.significand.get(),
      magnitude.extendU().shl(48),
    ) as [Value, Value];
    const product = normalizeWide(fn, { high, low });
    const [rounded, signExponent, more] = fn.callAll(
      core.float80Round,
      control.or(extendedPrecision),
      resultSign.get(),
      factor.exponent.get().add(16).sub(product.shift),
      product.high,
      product.low,
    ) as NumberAndFlags;
    // Processors tell of an inexact result all the same.
    const tiny = fn.select(signExponent.and(maximumExponent), fn.i32(0), fn.i32(UE));
    fn.return(rounded, signExponent, more.or(flags.get()).or(tiny).or(PE));
  });
  const log = fn.callAll(core.wideLogarithmOf, significand.get(), 0, exponent.get()) as [
    Value,
    Value,
    Value,
    Value,
  ];
  returnProduct(
    fn,
    core,
    control,
    { significand: factor.significand.get(), exponent: factor.exponent.get() },
    { high: log[0], low: log[1], exponent: log[2] },
    signOf(y).xor(log[3]),
    flags.get(),
  );
}

/** `wideLogarithmOf`: the exponent, plus the logarithm of a significand between sqrt(1/2) and sqrt(2). */
function logarithmOf(fn: FunctionBuilder, core: Core): void {
  const significand: Wide = { high: fn.parameter(0).get(), low: fn.parameter(1).get() };
  const exponent = fn.parameter(2).get();
  const whole = fn.local('i32', exponent.sub(bias));
  const reduced = significand.high.gtU(rootOf2);
  fn.if(reduced, () => whole.set(whole.get().add(1)));
  // z = (m − 1) / (m + 1): numerator and denominator as integers in 2^-128 or 2^-127.
  const none = wideConstant(fn, 0n);
  const lowest: Wide = { high: fn.i64(integerBit), low: fn.i64(0) };
  const fromBelow = subtractWide(none, significand);
  const fromAbove = subtractWide(significand, lowest);
  const numerator = normalizeWide(fn, {
    high: fn.select(reduced, fromBelow.high, fromAbove.high),
    low: fn.select(reduced, fromBelow.low, fromAbove.low),
  });
  // The sum's 129th bit is set: by the 1 when reduced, by the carry otherwise; so it is halved.
  const sum = significand.high.add(fn.select(reduced, fn.i64(0), fn.i64(integerBit)));
  const divisor: Wide = {
    high: sum.shrU(1).or(integerBit),
    low: significand.low.shrU(1).or(sum.shl(63)),
  };
  const log = logarithmOfQuotient(fn, core, numerator, divisor, fn.i32(-1).sub(numerator.shift));
  fn.if(whole.get().eqz(), () => fn.return(log.high, log.low, log.exponent, reduced.shl(15)));
  // The whole part is larger; both are brought to the exponent above its own, so that no carry is lost.
  const below = whole.get().ltS(0);
  const magnitude = fn.select(below, whole.get().negate(), whole.get()).extendU();
  const places = magnitude.clz();
  const wholeExponent = fn.i32(bias + 64).sub(places.wrap());
  const fixed: Wide = { high: magnitude.shl(places).shrU(1), low: fn.i64(0) };
  const part = shiftRightWide(fn, core, log, wholeExponent.sub(log.exponent));
  const more = addWide(fixed, part);
  const less = subtractWide(fixed, part);
  const opposite = reduced.ne(below);
  const total = normalizeWide(fn, {
    high: fn.select(opposite, less.high, more.high),
    low: fn.select(opposite, less.low, more.low),
  });
  fn.return(total.high, total.low, wholeExponent.sub(total.shift), below.shl(15));
}

/** Leaves with y · log2(1 + x) for magnitudes of x from 1/2 on. The manual leaves this undefined; processors compute it above −1. */
function returnFarLogarithm(
  fn: FunctionBuilder,
  core: Core,
  control: Value,
  x: Float80,
  y: { significand: Value; exponent: Value; sign: Value },
  flags: Value,
): void {
  const sign = signOf(x);
  const exponent = exponentOf(x);
  fn.if(sign.ne(0).and(exponent.geU(bias)), () => fn.return(x.significand, x.signExponent, flags.or(PE)));
  // Both in the scale of the larger, with room for a carry.
  const larger = fn.select(exponent.gtS(bias), exponent, fn.i32(bias)).add(1);
  const number: Wide = { high: x.significand, low: fn.i64(0) };
  const part = shiftRightWide(fn, core, number, larger.sub(exponent));
  const unit = shiftRightWide(fn, core, wideConstant(fn, 1n << 127n), larger.sub(bias));
  const more = addWide(unit, part);
  const less = subtractWide(unit, part);
  const sum = normalizeWide(fn, {
    high: fn.select(sign, less.high, more.high),
    low: fn.select(sign, less.low, more.low),
  });
  const log = fn.callAll(core.wideLogarithmOf, sum.high, sum.low, larger.sub(sum.shift)) as [
    Value,
    Value,
    Value,
    Value,
  ];
  returnProduct(
    fn,
    core,
    control,
    y,
    { high: log[0], low: log[1], exponent: log[2] },
    y.sign.xor(log[3]),
    flags,
  );
}

function logarithmPlus1(fn: FunctionBuilder, core: Core): void {
  const control = fn.parameter(0).get();
  const x = parameterNumber(fn, 1);
  const y = parameterNumber(fn, 3);
  const sign = signOf(x).xor(signOf(y));
  returnNan(fn, core, x, y);
  const flags = fn.local('i32', isDenormal(x).or(isDenormal(y)).shl(1));
  fn.if(isSpecial(x).or(isSpecial(y)), () => {
    const minusInfinity = isSpecial(x).and(signOf(x).ne(0));
    fn.if(isZero(x).or(isZero(y)).or(minusInfinity), () => returnIndefinite(fn, IE));
    fn.return(integerBit, sign.or(maximumExponent), flags.get());
  });
  returnUnmaskedDenormal(fn, control, flags);
  fn.if(isZero(x).or(isZero(y)), () => fn.return(0, sign, flags.get()));
  const { significand, exponent } = normalized(fn, x);
  const factor = normalized(fn, y);
  fn.if(exponentOf(x).geU(bias - 1), () => {
    const other = { significand: factor.significand.get(), exponent: factor.exponent.get(), sign: signOf(y) };
    returnFarLogarithm(fn, core, control, x, other, flags.get());
  });
  // z = x / (2 + x); what x adds to 2 below 2^-126 does not matter.
  const part = shiftRightWide(
    fn,
    core,
    { high: significand.get(), low: fn.i64(0) },
    fn.i32(bias + 2).sub(exponent.get()),
  );
  const two: Wide = { high: fn.i64(1n << 62n), low: fn.i64(0) };
  const more = addWide(two, part);
  const less = subtractWide(two, part);
  const divisor = normalizeWide(fn, {
    high: fn.select(signOf(x), less.high, more.high),
    low: fn.select(signOf(x), less.low, more.low),
  });
  const log = logarithmOfQuotient(
    fn,
    core,
    { high: significand.get(), low: fn.i64(0) },
    divisor,
    exponent
      .get()
      .sub(bias + 2)
      .add(divisor.shift),
  );
  returnProduct(
    fn,
    core,
    control,
    { significand: factor.significand.get(), exponent: factor.exponent.get() },
    log,
    sign,
    flags.get(),
  );
}

export const float80Logarithm: CorePart = (define, core) => {
  define('float80PowerLess1', (fn) => powerLess1(fn, core));
  define('wideLogarithm', (fn) => logarithm(fn, core));
  define('wideLogarithmOf', (fn) => logarithmOf(fn, core));
  define('float80Logarithm', (fn) => logarithmTimes(fn, core));
  define('float80LogarithmPlus1', (fn) => logarithmPlus1(fn, core));
};
