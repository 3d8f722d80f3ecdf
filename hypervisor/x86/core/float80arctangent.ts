/** FPATAN on numbers (SDM vol. 2). */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import { arctangent, pi } from './constants.ts';
import type { Core, CorePart } from './core.ts';
import { bias, isDenormal, isSpecial, isZero, normalized, parameterNumber, signOf } from './float80.ts';
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
/** The table has arctan(j / steps). */
const steps = 16n;
const table = Array.from({ length: Number(steps) + 1 }, (_, j) =>
  j === Number(steps) ? pi(128n) >> 2n : arctangent(BigInt(j), steps, 128n),
);
/** 1/3, 1/5, …: enough for arguments up to 1/32. */
const coefficients = Array.from({ length: 12 }, (_, n) => one / BigInt(2 * n + 3));
/** pi in 2^-126, so that it and its parts fit in 128 bits. */
const scaledPi = pi(126n);

/** A quotient of two significands, and its exponent relative to that of the operands. */
function divideWide(fn: FunctionBuilder, core: Core, dividend: Wide, divisor: Wide) {
  const [high, low, halved] = fn.callAll(
    core.wideDivide,
    dividend.high,
    dividend.low,
    divisor.high,
    divisor.low,
  ) as [Value, Value, Value];
  return { high, low, exponent: halved.sub(1) };
}

/** arctan of a normalized number up to 1/32: z · (1 − z²/3 + …). */
function series(fn: FunctionBuilder, core: Core, z: Wide, exponent: Value) {
  const fraction = fractionOfOne(fn, core, z, exponent);
  const square = multiplyWide(fn, core, fraction, fraction);
  const correction = multiplyWide(fn, core, square, polynomial(fn, core, square, coefficients, true));
  const product = normalizeWide(fn, subtractWide(z, multiplyWide(fn, core, z, correction)));
  return { high: product.high, low: product.low, exponent: exponent.sub(product.shift) };
}

function ofQuotient(fn: FunctionBuilder, core: Core): void {
  const smaller = fn.parameter(0).get();
  const larger = fn.parameter(2).get();
  const distance = fn.parameter(3).get().sub(fn.parameter(1).get());
  // The nearest j/16, from an approximate quotient.
  const nearest = fn.local('i32', 0);
  fn.if(distance.leS(5), () => {
    const ratio = smaller.apply('f64.convert_i64_u').div(larger.apply('f64.convert_i64_u'));
    const scaled = ratio.mul(fn.f64(16).div(fn.i32(1).shl(distance).apply('f64.convert_i32_s')));
    nearest.set(scaled.apply('f64.nearest').apply('i32.trunc_sat_f64_s'));
  });
  fn.if(nearest.get().eqz(), () => {
    const z = divideWide(fn, core, { high: smaller, low: fn.i64(0) }, { high: larger, low: fn.i64(0) });
    const result = series(fn, core, z, z.exponent.add(bias).sub(distance));
    fn.return(result.high, result.low, result.exponent);
  });
  // arctan(n/d) = arctan(c) + arctan((n − c·d) / (d + c·n)), c = j/16. The operands as integers, n in units of d.
  const low32 = (value: Value): Wide => ({ high: value.shrU(32), low: value.shl(32) });
  const scaledDown = shiftRightWide(fn, core, low32(smaller), distance);
  const times = (value: Wide, factor: Value): Wide => {
    const [carry, low] = fn.callAll(core.multiply64, value.low, factor) as [Value, Value];
    return { high: value.high.mul(factor).add(carry), low };
  };
  const j = nearest.get().extendU();
  const sixteen = fn.i64(steps);
  const above = times(scaledDown, sixteen);
  const below = times(low32(larger), j);
  const negative = belowWide(above, below);
  const difference = fn.local('i64');
  const differenceLow = fn.local('i64');
  const take = (value: Wide) => {
    difference.set(value.high);
    differenceLow.set(value.low);
  };
  fn.if(
    negative,
    () => take(subtractWide(below, above)),
    () => take(subtractWide(above, below)),
  );
  const base = fn.local('i64');
  const baseLow = fn.local('i64');
  fn.switch(
    nearest.get(),
    table.map((value) => () => {
      base.set(value >> 64n);
      baseLow.set(value & 0xffff_ffff_ffff_ffffn);
    }),
    () => fn.unreachable(),
  );
  fn.if(difference.get().or(differenceLow.get()).ne(0), () => {
    const dividend = normalizeWide(fn, { high: difference.get(), low: differenceLow.get() });
    const divisor = normalizeWide(fn, addWide(times(low32(larger), sixteen), times(scaledDown, j)));
    const z = divideWide(fn, core, dividend, divisor);
    const exponent = z.exponent.add(bias).add(divisor.shift).sub(dividend.shift);
    const angle = series(fn, core, z, exponent);
    const fraction = fractionOfOne(fn, core, angle, angle.exponent);
    const start = { high: base.get(), low: baseLow.get() };
    const more = addWide(start, fraction);
    const less = subtractWide(start, fraction);
    const sum = fn.local('i64', fn.select(negative, less.low, more.low));
    base.set(fn.select(negative, less.high, more.high));
    baseLow.set(sum.get());
  });
  const result = normalizeWide(fn, { high: base.get(), low: baseLow.get() });
  fn.return(result.high, result.low, fn.i32(bias - 1).sub(result.shift));
}

/** Quarters of pi as a fraction of 4. */
function quarterPis(fn: FunctionBuilder, count: bigint): Wide {
  return wideConstant(fn, (scaledPi * count) >> 2n);
}

export const float80Arctangent: CorePart = (define, core) => {
  define('wideArctangent', (fn) => ofQuotient(fn, core));

  define('float80Arctangent', (fn) => {
    const control = fn.parameter(0).get();
    const x = parameterNumber(fn, 1);
    const y = parameterNumber(fn, 3);
    returnNan(fn, core, x, y);
    const flags = fn.local('i32', isDenormal(x).or(isDenormal(y)).shl(1));
    returnUnmaskedDenormal(fn, control, flags);
    const sign = signOf(y);
    const negative = signOf(x).ne(0);
    const high = fn.local('i64');
    const low = fn.local('i64');
    const exponent = fn.local('i32');
    const finish = () => {
      const [significand, signExponent, more] = roundWide(fn, core, control, sign, {
        high: high.get(),
        low: low.get(),
        exponent: exponent.get(),
      });
      fn.return(significand, signExponent, more.or(flags.get()));
    };
    /** Leaves with a multiple of pi/4. */
    const quarters = (count: bigint) => {
      const { high: top, low: rest, shift } = normalizeWide(fn, quarterPis(fn, count));
      high.set(top);
      low.set(rest);
      exponent.set(fn.i32(bias + 1).sub(shift));
      finish();
    };
    /** On the positive or negative x axis. */
    const onAxis = () => {
      fn.if(
        negative,
        () => quarters(4n),
        () => fn.return(0, sign, flags.get()),
      );
    };
    fn.if(isSpecial(x).and(isSpecial(y)), () => {
      fn.if(
        negative,
        () => quarters(3n),
        () => quarters(1n),
      );
    });
    fn.if(isSpecial(x).or(isZero(y)), onAxis);
    fn.if(isSpecial(y).or(isZero(x)), () => quarters(2n));
    const first = normalized(fn, x);
    const second = normalized(fn, y);
    const distance = second.exponent.get().sub(first.exponent.get());
    const steep = distance
      .gtS(0)
      .or(distance.eqz().and(second.significand.get().gtU(first.significand.get())));
    const found = fn.callAll(
      core.wideArctangent,
      fn.select(steep, first.significand.get(), second.significand.get()),
      fn.select(steep, first.exponent.get(), second.exponent.get()),
      fn.select(steep, second.significand.get(), first.significand.get()),
      fn.select(steep, second.exponent.get(), first.exponent.get()),
    ) as [Value, Value, Value];
    high.set(found[0]);
    low.set(found[1]);
    exponent.set(found[2]);
    fn.if(steep.or(negative), () => {
      // From pi/2 or pi, in fractions of 4.
      const angle = shiftRightWide(
        fn,
        core,
        { high: high.get(), low: low.get() },
        fn.i32(bias + 1).sub(exponent.get()),
      );
      const half = quarterPis(fn, 2n);
      const whole = quarterPis(fn, 4n);
      const start = {
        high: fn.select(steep, half.high, whole.high),
        low: fn.select(steep, half.low, whole.low),
      };
      const more = addWide(start, angle);
      const less = subtractWide(start, angle);
      const adds = steep.and(negative);
      const sum = normalizeWide(fn, {
        high: fn.select(adds, more.high, less.high),
        low: fn.select(adds, more.low, less.low),
      });
      high.set(sum.high);
      low.set(sum.low);
      exponent.set(fn.i32(bias + 1).sub(sum.shift));
    });
    finish();
  });
};
