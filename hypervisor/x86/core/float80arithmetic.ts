/** FADD, FSUB, FMUL, FDIV, FSQRT on numbers (SDM vol. 2; special operands by the tables on their pages). */
import type { FunctionBuilder, Variable } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import type { Core, CorePart } from './core.ts';
import {
  bias,
  DE,
  down,
  type Float80,
  IE,
  integerBit,
  isDenormal,
  isNormal,
  isSpecial,
  isUnsupported,
  isZero,
  maximumExponent,
  type NumberAndFlags,
  normalized,
  parameterNumber,
  returnIndefinite,
  roundingShift,
  signBit,
  signOf,
  ZE,
} from './float80.ts';

/** Leaves with the result of a NaN or an unsupported format, when there is one; numbers and infinities go on. */
export function returnNan(fn: FunctionBuilder, core: Core, a: Float80, b: Float80): void {
  const suspect = isSpecial(a).or(isSpecial(b)).or(isUnsupported(a)).or(isUnsupported(b));
  fn.if(suspect, () => {
    const [significand, signExponent, flags] = fn.callAll(
      core.float80Nan,
      a.significand,
      a.signExponent,
      b.significand,
      b.signExponent,
    ) as NumberAndFlags;
    fn.if(flags.ne(-1), () => fn.return(significand, signExponent, flags));
  });
}

/** Leaves with DE when it is among the flags and unmasked. */
export function returnUnmaskedDenormal(fn: FunctionBuilder, control: Value, flags: Variable): void {
  fn.if(flags.get().and(control.not()), () => fn.return(0, 0, flags.get()));
}

/** The parameters (control, a, b, options) from number `first` on. */
function parameters(fn: FunctionBuilder) {
  return {
    control: fn.parameter(0).get(),
    a: parameterNumber(fn, 1),
    b: parameterNumber(fn, 3),
    options: fn.parameter(5).get(),
  };
}

/**
 * What addition, multiplication and division have in common: with two normal numbers nothing is done; otherwise NaNs
 * are dealt with, DE is found, and `special` deals with infinities and zeros.
 */
function screen(
  fn: FunctionBuilder,
  core: Core,
  { control, a, b, options }: ReturnType<typeof parameters>,
  special: (flags: Variable) => void,
): Variable {
  const flags = fn.local('i32', 0);
  const ordinary = isNormal(a).and(isNormal(b)).and(options.and(DE).eqz());
  fn.if(ordinary.eqz(), () => {
    returnNan(fn, core, a, b);
    flags.set(isDenormal(a).or(isDenormal(b)).shl(1).or(options.and(DE)));
    special(flags);
    returnUnmaskedDenormal(fn, control, flags);
  });
  return flags;
}

/** Leaves with a rounded number, `flags` added to those of rounding. */
function returnRounded(
  fn: FunctionBuilder,
  core: Core,
  control: Value,
  sign: Value,
  exponent: Value,
  high: Value,
  low: Value,
  flags: Variable,
): void {
  fn.if(flags.get().eqz(), () => fn.returnCall(core.float80Round, control, sign, exponent, high, low));
  const [significand, signExponent, more] = fn.callAll(
    core.float80Round,
    control,
    sign,
    exponent,
    high,
    low,
  ) as NumberAndFlags;
  fn.return(significand, signExponent, more.or(flags.get()));
}

/** The sign of a sum that is exactly zero (SDM vol. 1, 4.8.3.1), in bit 15. */
function signOfExactZero(fn: FunctionBuilder, control: Value): Value {
  return fn.select(control.shrU(roundingShift).and(3).eq(down), fn.i32(signBit), fn.i32(0));
}

function add(fn: FunctionBuilder, core: Core): void {
  const operands = parameters(fn);
  const { control, a, b, options } = operands;
  const aSign = signOf(a);
  const bSign = signOf(b).xor(options.and(signBit));
  const flags = screen(fn, core, operands, (found) => {
    fn.if(isSpecial(a), () => {
      fn.if(isSpecial(b).and(aSign.ne(bSign)), () => returnIndefinite(fn, IE));
      fn.return(a.significand, a.signExponent, found.get());
    });
    fn.if(isSpecial(b), () => fn.return(b.significand, bSign.or(maximumExponent), found.get()));
    fn.if(isZero(a).and(isZero(b)), () => {
      fn.return(0, fn.select(aSign.eq(bSign), aSign, signOfExactZero(fn, control)), 0);
    });
  });
  // The operand of larger magnitude comes first.
  const high = fn.local('i64', a.significand);
  const low = fn.local('i64', 0);
  const exponent = fn.local('i32', a.signExponent.and(maximumExponent));
  const sign = fn.local('i32', aSign);
  const smaller = fn.local('i64', b.significand);
  const distance = fn.local('i32');
  {
    const second = fn.local('i32', b.signExponent.and(maximumExponent));
    // A denormal counts as one with the lowest exponent, and so does zero: what is shifted then does not matter.
    fn.if(exponent.get().eqz(), () => exponent.set(1));
    fn.if(second.get().eqz(), () => second.set(1));
    distance.set(exponent.get().sub(second.get()));
    const swap = distance
      .get()
      .ltS(0)
      .or(distance.get().eqz().and(high.get().ltU(smaller.get())));
    fn.if(swap, () => {
      high.set(b.significand);
      smaller.set(a.significand);
      exponent.set(second.get());
      sign.set(bSign);
      distance.set(distance.get().negate());
    });
  }
  const smallerLow = fn.local('i64', 0);
  fn.if(distance.get(), () => {
    const by = distance.get().extendU();
    fn.if(
      distance.get().ltU(64),
      () => {
        smallerLow.set(smaller.get().shl(fn.i64(64).sub(by)));
        smaller.set(smaller.get().shrU(by));
      },
      () => {
        const [shifted, shiftedLow] = fn.callAll(core.shiftRight128, smaller.get(), 0, distance.get()) as [
          Value,
          Value,
        ];
        smaller.set(shifted);
        smallerLow.set(shiftedLow);
      },
    );
  });
  fn.if(
    aSign.eq(bSign),
    () => {
      const sum = high.get().add(smaller.get());
      const carry = sum.ltU(high.get());
      fn.if(
        carry,
        () => {
          low.set(smallerLow.get().shrU(1).or(sum.shl(63)).or(smallerLow.get().and(1)));
          high.set(sum.shrU(1).or(integerBit));
          exponent.set(exponent.get().add(1));
        },
        () => {
          high.set(sum);
          low.set(smallerLow.get());
        },
      );
    },
    () => {
      const borrow = smallerLow.get().ne(0).extendU();
      low.set(smallerLow.get().negate());
      high.set(high.get().sub(smaller.get()).sub(borrow));
      fn.if(high.get().or(low.get()).eqz(), () => {
        fn.return(0, signOfExactZero(fn, control), flags.get());
      });
    },
  );
  fn.if(high.get().geS(0), () => {
    // Cancellation, or denormals.
    fn.if(high.get().eqz(), () => {
      high.set(low.get());
      low.set(0);
      exponent.set(exponent.get().sub(64));
    });
    const shift = high.get().clz();
    fn.if(shift.ne(0), () => {
      high.set(
        high
          .get()
          .shl(shift)
          .or(low.get().shrU(fn.i64(64).sub(shift))),
      );
      low.set(low.get().shl(shift));
      exponent.set(exponent.get().sub(shift.wrap()));
    });
  });
  returnRounded(fn, core, control, sign.get(), exponent.get(), high.get(), low.get(), flags);
}

function multiply(fn: FunctionBuilder, core: Core): void {
  const operands = parameters(fn);
  const { control, a, b } = operands;
  const sign = signOf(a).xor(signOf(b));
  const flags = screen(fn, core, operands, (found) => {
    fn.if(isSpecial(a).or(isSpecial(b)), () => {
      fn.if(isZero(a).or(isZero(b)), () => returnIndefinite(fn, IE));
      fn.return(integerBit, sign.or(maximumExponent), found.get());
    });
    fn.if(isZero(a).or(isZero(b)), () => fn.return(0, sign, found.get()));
  });
  const first = normalized(fn, a);
  const second = normalized(fn, b);
  const exponent = fn.local(
    'i32',
    first.exponent
      .get()
      .add(second.exponent.get())
      .sub(bias - 1),
  );
  const [productHigh, productLow] = fn.callAll(
    core.multiply64,
    first.significand.get(),
    second.significand.get(),
  ) as [Value, Value];
  const high = fn.local('i64', productHigh);
  const low = fn.local('i64', productLow);
  fn.if(high.get().geS(0), () => {
    high.set(high.get().shl(1).or(low.get().shrU(63)));
    low.set(low.get().shl(1));
    exponent.set(exponent.get().sub(1));
  });
  returnRounded(fn, core, control, sign, exponent.get(), high.get(), low.get(), flags);
}

/** What is left of a division, as the bits behind the quotient that rounding needs: how it compares with half the divisor. */
function fractionOf(fn: FunctionBuilder, remainder: Value, divisor: Value): Value {
  const rest = divisor.sub(remainder);
  const belowHalf = remainder.ltU(rest);
  const part = fn.select(
    belowHalf,
    fn.i64(1n << 62n),
    fn.select(remainder.eq(rest), fn.i64(integerBit), fn.i64(3n << 62n)),
  );
  return fn.select(remainder.eqz(), fn.i64(0), part);
}

function divide(fn: FunctionBuilder, core: Core): void {
  const operands = parameters(fn);
  const { control, a, b } = operands;
  const sign = signOf(a).xor(signOf(b));
  const flags = screen(fn, core, operands, (found) => {
    fn.if(isSpecial(a), () => {
      fn.if(isSpecial(b), () => returnIndefinite(fn, IE));
      fn.return(integerBit, sign.or(maximumExponent), found.get());
    });
    fn.if(isSpecial(b), () => fn.return(0, sign, found.get()));
    fn.if(isZero(b), () => {
      fn.if(isZero(a), () => returnIndefinite(fn, IE));
      fn.return(integerBit, sign.or(maximumExponent), ZE);
    });
    fn.if(isZero(a), () => fn.return(0, sign, found.get()));
  });
  const first = normalized(fn, a);
  const second = normalized(fn, b);
  const dividend = first.significand.get();
  const divisor = second.significand.get();
  // The quotient of the significands is brought into 1 … 2.
  const larger = dividend.geU(divisor);
  const exponent = first.exponent
    .get()
    .sub(second.exponent.get())
    .add(larger)
    .add(bias - 1);
  const [quotient, remainder] = fn.callAll(
    core.divide128,
    fn.select(larger, dividend.shrU(1), dividend),
    fn.select(larger, dividend.shl(63), fn.i64(0)),
    divisor,
  ) as [Value, Value];
  returnRounded(fn, core, control, sign, exponent, quotient, fractionOf(fn, remainder, divisor), flags);
}

function squareRoot(fn: FunctionBuilder, core: Core): void {
  const control = fn.parameter(0).get();
  const a = parameterNumber(fn, 1);
  const flags = fn.local('i32', 0);
  fn.if(isNormal(a).and(signOf(a).eqz()).eqz(), () => {
    returnNan(fn, core, a, a);
    fn.if(isZero(a), () => fn.return(a.significand, a.signExponent, 0));
    fn.if(signOf(a), () => returnIndefinite(fn, IE));
    fn.if(isSpecial(a), () => fn.return(a.significand, a.signExponent, 0));
    flags.set(DE);
    returnUnmaskedDenormal(fn, control, flags);
  });
  const { significand, exponent } = normalized(fn, a);
  // The square has an even exponent and 128 bits, so the root has 64.
  const odd = exponent.get().and(1);
  const high = fn.local('i64', fn.select(odd, significand.get().shrU(1), significand.get()));
  const low = fn.local('i64', fn.select(odd, significand.get().shl(63), fn.i64(0)));
  // A first root that is too large by at most 2^13 of 2^64, from the root of the upper half in double precision.
  const estimate = high
    .get()
    .apply('f64.convert_i64_u')
    .apply('f64.sqrt')
    .mul(2 ** 32);
  const rough = estimate.apply('i64.trunc_sat_f64_u');
  const above = rough.add(4096);
  const start = fn.local('i64', fn.select(above.ltU(rough), fn.i64(-1), above));
  // One step of Newton's method leaves an error below one unit.
  const [quotient] = fn.callAll(core.divide128, high.get(), low.get(), start.get()) as [Value, Value];
  const root = fn.local('i64', quotient.add(start.get().sub(quotient).shrU(1)));
  const rest = fn.local('i64');
  const restHigh = fn.local('i64');
  const findRest = () => {
    const [squareHigh, squareLow] = fn.callAll(core.multiply64, root.get(), root.get()) as [Value, Value];
    const borrow = low.get().ltU(squareLow).extendU();
    rest.set(low.get().sub(squareLow));
    restHigh.set(high.get().sub(squareHigh).sub(borrow));
  };
  findRest();
  fn.loop((again) => {
    fn.if(restHigh.get().ltS(0), () => {
      root.set(root.get().sub(1));
      findRest();
      again.br();
    });
    // (root + 1)² still fits when the rest is above twice the root.
    const doubledHigh = root.get().shrU(63);
    const doubled = root.get().shl(1);
    const fits = restHigh
      .get()
      .gtU(doubledHigh)
      .or(restHigh.get().eq(doubledHigh).and(rest.get().gtU(doubled)));
    fn.if(fits, () => {
      root.set(root.get().add(1));
      findRest();
      again.br();
    });
  });
  // The root of an integer is never a half beyond one.
  const aboveHalf = restHigh.get().ne(0).or(rest.get().gtU(root.get()));
  const exact = restHigh.get().or(rest.get()).eqz();
  const fraction = fn.select(exact, fn.i64(0), fn.select(aboveHalf, fn.i64(3n << 62n), fn.i64(1n << 62n)));
  const half = exponent
    .get()
    .add(bias - 1)
    .add(odd)
    .shrS(1);
  returnRounded(fn, core, control, fn.i32(0), half, root.get(), fraction, flags);
}

export const float80Arithmetic: CorePart = (define, core) => {
  define('float80Add', (fn) => add(fn, core));
  define('float80Multiply', (fn) => multiply(fn, core));
  define('float80Divide', (fn) => divide(fn, core));
  define('float80SquareRoot', (fn) => squareRoot(fn, core));

  define('float80Binary', (fn) => {
    const operation = fn.parameter(0).get();
    const control = fn.parameter(1).get();
    const a = parameterNumber(fn, 2);
    const b = parameterNumber(fn, 4);
    const options = fn.parameter(6).get();
    const inOrder = [control, a.significand, a.signExponent, b.significand, b.signExponent];
    const reversed = [control, b.significand, b.signExponent, a.significand, a.signExponent];
    const subtract = options.or(signBit);
    fn.switch(
      operation,
      [
        () => fn.returnCall(core.float80Add, ...inOrder, options),
        () => fn.returnCall(core.float80Multiply, ...inOrder, options),
        undefined,
        undefined,
        () => fn.returnCall(core.float80Add, ...inOrder, subtract),
        () => fn.returnCall(core.float80Add, ...reversed, subtract),
        () => fn.returnCall(core.float80Divide, ...inOrder, options),
        () => fn.returnCall(core.float80Divide, ...reversed, options),
      ],
      () => fn.unreachable(),
    );
  });
};
