/**
 * Numbers with 128 significant bits, in which transcendental functions are computed. They are pairs of i64; what the
 * pair means (a fraction of 1, or a significand in 1 … 2 with an exponent beside it) is the user's affair.
 */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Operand, Value } from '../../wasm/value.ts';
import type { Core, CorePart } from './core.ts';

/** 128 bits. */
export interface Wide {
  readonly high: Value;
  readonly low: Value;
}

/** A constant, given as a fraction of 1 in 2^-128. */
export function wideConstant(fn: FunctionBuilder, value: bigint): Wide {
  return { high: fn.i64(value >> 64n), low: fn.i64(value & 0xffff_ffff_ffff_ffffn) };
}

/** The sum, modulo 2^128. */
export function addWide(a: Wide, b: Wide): Wide {
  const low = a.low.add(b.low);
  return { high: a.high.add(b.high).add(low.ltU(b.low).extendU()), low };
}

/** The difference, modulo 2^128. */
export function subtractWide(a: Wide, b: Wide): Wide {
  const borrow = a.low.ltU(b.low).extendU();
  return { high: a.high.sub(b.high).sub(borrow), low: a.low.sub(b.low) };
}

/** 1 (i32) when a is less than b, unsigned. */
export function belowWide(a: Wide, b: Wide): Value {
  return a.high.ltU(b.high).or(a.high.eq(b.high).and(a.low.ltU(b.low)));
}

/** The upper 128 bits of the product; the last place may be too low by 3. */
export function multiplyWide(fn: FunctionBuilder, core: Core, a: Wide, b: Wide): Wide {
  const [high, low] = fn.callAll(core.wideMultiply, a.high, a.low, b.high, b.low) as [Value, Value];
  return { high, low };
}

/** Shifted right; what falls out leaves its trace in bit 0. */
export function shiftRightWide(fn: FunctionBuilder, core: Core, a: Wide, count: Operand): Wide {
  const [high, low] = fn.callAll(core.shiftRight128, a.high, a.low, count) as [Value, Value];
  return { high, low };
}

/** Shifted left until the top bit is set, and by how much (i32). Not for zero. */
export function normalizeWide(fn: FunctionBuilder, a: Wide): Wide & { readonly shift: Value } {
  const high = fn.local('i64', a.high);
  const low = fn.local('i64', a.low);
  const shift = fn.local('i32', 0);
  fn.if(high.get().eqz(), () => {
    high.set(low.get());
    low.set(0);
    shift.set(64);
  });
  fn.if(high.get().geS(0), () => {
    const count = high.get().clz();
    high.set(
      high
        .get()
        .shl(count)
        .or(low.get().shrU(fn.i64(64).sub(count))),
    );
    low.set(low.get().shl(count));
    shift.set(shift.get().add(count.wrap()));
  });
  return { high: high.get(), low: low.get(), shift: shift.get() };
}

/**
 * The polynomial `c[0] ± c[1]·t + c[2]·t² ± …` by Horner's rule; `t` and the coefficients are fractions of 1, and so is every
 * value on the way. With `alternating`, odd terms are subtracted.
 */
export function polynomial(
  fn: FunctionBuilder,
  core: Core,
  t: Wide,
  coefficients: readonly bigint[],
  alternating: boolean,
): Wide {
  let result = wideConstant(fn, coefficients.at(-1)!);
  for (let i = coefficients.length - 2; i >= 0; i--) {
    const product = multiplyWide(fn, core, result, t);
    const constant = wideConstant(fn, coefficients[i]!);
    result = alternating ? subtractWide(constant, product) : addWide(product, constant);
  }
  return result;
}

export const wide128: CorePart = (define, core) => {
  define('wideMultiply', (fn) => {
    const [aHigh, aLow, bHigh, bLow] = [0, 1, 2, 3].map((i) => fn.parameter(i).get()) as [
      Value,
      Value,
      Value,
      Value,
    ];
    const [high, middle] = fn.callAll(core.multiply64, aHigh, bHigh) as [Value, Value];
    const [first] = fn.callAll(core.multiply64, aHigh, bLow) as [Value, Value];
    const [second] = fn.callAll(core.multiply64, aLow, bHigh) as [Value, Value];
    const partial = middle.add(first);
    const low = partial.add(second);
    const carries = partial.ltU(first).extendU().add(low.ltU(second).extendU());
    fn.return(high.add(carries), low);
  });

  define('wideDivide', (fn) => {
    const parameters = [0, 1, 2, 3].map((i) => fn.parameter(i).get()) as [Value, Value, Value, Value];
    const dividend = { high: parameters[0], low: parameters[1] };
    const divisor = { high: parameters[2], low: parameters[3] };
    // The dividend is brought below the divisor, so that the quotient is below 1.
    const halved = belowWide(dividend, divisor).eqz();
    const by = halved.extendU();
    const high = fn.local('i64', dividend.high.shrU(by));
    const low = fn.local(
      'i64',
      fn.select(halved, dividend.low.shrU(1).or(dividend.high.shl(63)), dividend.low),
    );
    /** The next 64 bits of the quotient; what is left stays in high and low. */
    const digit = (): Value => {
      const quotient = fn.local('i64', -1);
      fn.if(high.get().ltU(divisor.high), () => {
        const [estimate] = fn.callAll(core.divide128, high.get(), low.get(), divisor.high) as [Value, Value];
        quotient.set(estimate);
      });
      const [topHigh, topLow] = fn.callAll(core.multiply64, quotient.get(), divisor.high) as [Value, Value];
      const [nextHigh, nextLow] = fn.callAll(core.multiply64, quotient.get(), divisor.low) as [Value, Value];
      const middle = topLow.add(nextHigh);
      const top = topHigh.add(middle.ltU(nextHigh).extendU());
      // The rest in 192 bits; negative when the estimate was too high, by 2 at most.
      const borrowLow = nextLow.ne(0).extendU();
      const restMiddle = low.get().sub(middle).sub(borrowLow);
      const borrow = low.get().ltU(middle).or(low.get().eq(middle).and(borrowLow.wrap())).extendU();
      const restTop = fn.local('i64', high.get().sub(top).sub(borrow));
      high.set(restMiddle);
      low.set(nextLow.negate());
      fn.loop((again) => {
        fn.if(restTop.get().ltS(0), () => {
          quotient.set(quotient.get().sub(1));
          const sum = addWide({ high: high.get(), low: low.get() }, divisor);
          const carry = belowWide(sum, divisor).extendU();
          restTop.set(restTop.get().add(carry));
          const [sumHigh, sumLow] = [fn.local('i64', sum.high), fn.local('i64', sum.low)];
          high.set(sumHigh.get());
          low.set(sumLow.get());
          again.br();
        });
      });
      return quotient.get();
    };
    const first = digit();
    const second = digit();
    fn.return(first, second, halved);
  });
};
