/**
 * One lane of SSE's floating-point arithmetic, exact in result and exceptions whatever MXCSR says (SDM vol. 1, 4.9, 11.5 and
 * appendix E): add, subtract, multiply, divide, square root, minimum, maximum, compare.
 */
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
  shiftRightSticky,
  signOf,
  single,
  toNative,
  type Unpacked,
  unpack,
} from './softfloat.ts';

/** What a lane does; see {@link none} for the number that means nothing. */
export const operations = {
  add: 0,
  subtract: 1,
  multiply: 2,
  divide: 3,
  /** Of the second operand; the first must be the same. */
  squareRoot: 4,
  minimum: 5,
  maximum: 6,
  /** Comparisons give a lane of ones or of zeros. */
  equal: 7,
  less: 8,
  lessOrEqual: 9,
  unordered: 10,
  /** UCOMISS and COMISS: ZF, PF and CF at their places. */
  order: 11,
  orderSignaling: 12,
} as const;

/** The name of something that a lane does. */
export type Operation = keyof typeof operations;

/** In place of an operation: the lane stays as it is in the first operand. */
export const none = 15;

/** ZF, PF and CF, which UCOMISS sets for unordered numbers. */
const unorderedFlags = 0x45;
const equalFlag = 0x40;
const lessFlag = 0x01;

/** What the operations share once the operands are known to be no NaNs. */
interface Lane {
  readonly fn: FunctionBuilder;
  readonly core: Core;
  readonly format: Format;
  readonly a: Value;
  readonly b: Value;
  readonly control: Value;
  /** Exceptions so far: none, or a denormal operand. */
  readonly flags: Value;
}

function roundingRoutine({ core, format }: Lane) {
  return format.bits === 32 ? core.round32 : core.round64;
}

function unpackBoth({ fn, format, a, b }: Lane): [Unpacked, Unpacked] {
  return [unpack(fn, format, a), unpack(fn, format, b)];
}

/** Leaves with the result of an invalid operation. No other exception is told with it. */
function invalid({ fn, format }: Lane): void {
  fn.return(patterns(format).indefinite, mxcsr.IE);
}

function add(lane: Lane, subtract: boolean): void {
  const { fn, format, a, control, flags } = lane;
  const { sign: signBit } = patterns(format);
  const b = subtract ? lane.b.xor(signBit) : lane.b;
  const opposite = a.xor(b).and(signBit).ne(0);
  fn.if(isInfinite(format, a), () => {
    fn.if(isInfinite(format, b).and(opposite), () => invalid(lane));
    fn.return(a, flags);
  });
  fn.if(isInfinite(format, b), () => fn.return(b, flags));
  // The larger magnitude first.
  const { magnitude } = patterns(format);
  const swap = a.and(magnitude).ltU(b.and(magnitude));
  const large = unpack(fn, format, fn.select(swap, b, a));
  const small = unpack(fn, format, fn.select(swap, a, b));
  const distance = large.exponent.get().sub(small.exponent.get());
  const aligned = shiftRightSticky(fn, small.significand.get(), distance);
  const exponent = fn.local('i32', large.exponent.get());
  const sum = fn.local('i64');
  fn.if(
    opposite,
    () => {
      sum.set(large.significand.get().sub(aligned));
      fn.if(sum.get().eqz(), () => {
        // An exact zero is positive, but negative when rounding down (SDM vol. 1, 4.8.3.1).
        fn.return(placeSign(format, roundingOf(control).eq(mxcsr.down)), flags);
      });
      const up = sum.get().clz().wrap().sub(1);
      sum.set(sum.get().shl(up.extendU()));
      exponent.set(exponent.get().sub(up));
    },
    () => {
      sum.set(large.significand.get().add(aligned));
      fn.if(sum.get().eqz(), () => fn.return(placeSign(format, large.sign), flags));
      fn.if(sum.get().ltS(0), () => {
        sum.set(sum.get().shrU(1).or(sum.get().and(1)));
        exponent.set(exponent.get().add(1));
      });
    },
  );
  fn.returnCall(roundingRoutine(lane), large.sign, exponent.get(), sum.get(), control, flags);
}

/** The upper 64 bits of the product of two i64, with bit 0 set when the lower ones are not all zero. */
function highProduct(a: Value, b: Value): Value {
  const low = 0xffff_ffff;
  const [a0, a1, b0, b1] = [a.and(low), a.shrU(32), b.and(low), b.shrU(32)];
  const first = a0.mul(b0);
  const second = a1.mul(b0).add(first.shrU(32));
  const third = a0.mul(b1).add(second.and(low));
  const high = a1.mul(b1).add(second.shrU(32)).add(third.shrU(32));
  return high.or(a.mul(b).ne(0).extendU());
}

function multiply(lane: Lane): void {
  const { fn, format, a, b, control, flags } = lane;
  const sign = signOf(format, a.xor(b));
  const zero = isZero(format, a).or(isZero(format, b));
  fn.if(isInfinite(format, a).or(isInfinite(format, b)), () => {
    fn.if(zero, () => invalid(lane));
    fn.return(placeSign(format, sign).or(patterns(format).infinity), flags);
  });
  fn.if(zero, () => fn.return(placeSign(format, sign), flags));
  const [x, y] = unpackBoth(lane);
  const product = fn.local('i64', highProduct(x.significand.get().shl(1), y.significand.get().shl(1)));
  const exponent = fn.local('i32', x.exponent.get().add(y.exponent.get()).sub(format.bias));
  fn.if(product.get().ltS(0), () => {
    product.set(product.get().shrU(1).or(product.get().and(1)));
    exponent.set(exponent.get().add(1));
  });
  fn.returnCall(roundingRoutine(lane), sign, exponent.get(), product.get(), control, flags);
}

/** Bits below a double-precision significand as wide as native arithmetic has it. */
const spare = BigInt(leading - double.fraction);
const unit = 2 ** -double.fraction;

function divide(lane: Lane): void {
  const { fn, format, a, b, control, flags } = lane;
  const sign = signOf(format, a.xor(b));
  const infinity = placeSign(format, sign).or(patterns(format).infinity);
  fn.if(isInfinite(format, a), () => {
    fn.if(isInfinite(format, b), () => invalid(lane));
    fn.return(infinity, flags);
  });
  fn.if(isInfinite(format, b), () => fn.return(placeSign(format, sign), flags));
  fn.if(isZero(format, b), () => {
    fn.if(isZero(format, a), () => invalid(lane));
    fn.return(infinity, mxcsr.ZE);
  });
  fn.if(isZero(format, a), () => fn.return(placeSign(format, sign), flags));
  const [x, y] = unpackBoth(lane);
  // Scaled so that the quotient is in [1, 2).
  const less = x.significand.get().ltU(y.significand.get());
  const dividend = x.significand.get().shrU(spare).shl(less.extendU());
  const divisor = y.significand.get().shrU(spare);
  // The native quotient is the nearest with 52 bits behind the point: the remainder, which may be negative, fits in 64 bits
  // though what it is computed from does not.
  const approximate = fn.apply('f64.convert_i64_s', dividend).div(fn.apply('f64.convert_i64_s', divisor));
  const quotient = fn.local('i64', fn.apply('i64.trunc_sat_f64_s', approximate.mul(1 / unit)));
  const remainder = fn.local('i64', dividend.shl(double.fraction).sub(quotient.get().mul(divisor)));
  fn.if(remainder.get().ltS(0), () => {
    quotient.set(quotient.get().sub(1));
    remainder.set(remainder.get().add(divisor));
  });
  const twice = remainder.get().shl(1);
  const next = twice.geU(divisor);
  const exact = twice.eqz().or(twice.eq(divisor));
  const significand = quotient
    .get()
    .shl(spare)
    .or(next.extendU().shl(spare - 1n))
    .or(exact.eqz().extendU());
  const exponent = x.exponent.get().sub(y.exponent.get()).add(format.bias).sub(less);
  fn.returnCall(roundingRoutine(lane), sign, exponent, significand, control, flags);
}

function squareRoot(lane: Lane): void {
  const { fn, format, b, control, flags } = lane;
  fn.if(isZero(format, b), () => fn.return(b, flags));
  fn.if(signOf(format, b), () => invalid(lane));
  fn.if(isInfinite(format, b), () => fn.return(b, flags));
  const x = unpack(fn, format, b);
  // Scaled by an even power of 2 into [1, 4).
  const power = x.exponent.get().sub(format.bias);
  const odd = power.and(1);
  const radicand = x.significand.get().shrU(spare).shl(odd.extendU());
  const approximate = fn.apply('f64.convert_i64_s', radicand).mul(unit).apply('f64.sqrt');
  const root = fn.local('i64', fn.apply('i64.trunc_sat_f64_s', approximate.mul(1 / unit)));
  // The root is the nearest with 52 bits behind the point; as in `divide`, the remainder fits.
  const remainder = fn.local('i64', radicand.shl(double.fraction).sub(root.get().mul(root.get())));
  fn.if(remainder.get().ltS(0), () => {
    remainder.set(remainder.get().add(root.get().shl(1)).sub(1));
    root.set(root.get().sub(1));
  });
  const next = remainder.get().gtU(root.get());
  const significand = root
    .get()
    .shl(spare)
    .or(next.extendU().shl(spare - 1n))
    .or(remainder.get().ne(0).extendU());
  const exponent = power.shrS(1).add(format.bias);
  fn.returnCall(roundingRoutine(lane), 0, exponent, significand, control, flags);
}

/** float32 and float64: (operation, a, b, MXCSR) → result, exceptions. */
function defineLane(fn: FunctionBuilder, core: Core, format: Format): void {
  const { quiet } = patterns(format);
  const operation = fn.parameter(0).get();
  const control = fn.parameter(3).get();
  const a = flushed(fn, format, fn.parameter(1).get(), control).get();
  const b = flushed(fn, format, fn.parameter(2).get(), control).get();
  const is = (name: Operation) => operation.eq(operations[name]);

  const nanA = isNan(format, a);
  const nanB = isNan(format, b);
  fn.if(nanA.or(nanB), () => {
    const signaling = nanA.and(isSignaling(format, a)).or(nanB.and(isSignaling(format, b)));
    const flags = signaling.mul(mxcsr.IE);
    // Minimum and maximum give the second operand as it is (SDM vol. 2, MINPS).
    fn.if(is('minimum').or(is('maximum')), () => fn.return(b, mxcsr.IE));
    fn.if(operation.geU(operations.equal), () => {
      fn.if(is('less').or(is('lessOrEqual')), () => fn.return(0, mxcsr.IE));
      fn.if(is('equal'), () => fn.return(0, flags));
      fn.if(is('unordered'), () => fn.return(-1, flags));
      fn.return(unorderedFlags, fn.select(is('orderSignaling'), fn.i32(mxcsr.IE), flags));
    });
    // SDM vol. 1, table 4-7: the first operand if it is a NaN, made quiet.
    fn.return(fn.select(nanA, a, b).or(quiet), flags);
  });

  const denormal = isDenormal(format, a).or(isDenormal(format, b));
  const flags = fn.local('i32', denormal.mul(mxcsr.DE)).get();
  const lane: Lane = { fn, core, format, a, b, control, flags };
  const [x, y] = [toNative(fn, format, a), toNative(fn, format, b)];
  const type = format.bits === 32 ? 'f32' : 'f64';
  const compare = (name: 'eq' | 'lt' | 'le' | 'gt') => x.apply(`${type}.${name}`, y);
  const asLane = (condition: Value) => fn.return(condition.extendU().negate(), flags);
  const order = () => {
    const result = compare('eq').mul(equalFlag).or(compare('lt').mul(lessFlag));
    fn.return(result.extendU(), flags);
  };
  const cases: Record<Operation, () => void> = {
    add: () => add(lane, false),
    subtract: () => add(lane, true),
    multiply: () => multiply(lane),
    divide: () => divide(lane),
    squareRoot: () => squareRoot(lane),
    minimum: () => fn.return(fn.select(compare('lt'), a, b), flags),
    maximum: () => fn.return(fn.select(compare('gt'), a, b), flags),
    equal: () => asLane(compare('eq')),
    less: () => asLane(compare('lt')),
    lessOrEqual: () => asLane(compare('le')),
    unordered: () => fn.return(0, flags),
    order,
    orderSignaling: order,
  };
  const list: (() => void)[] = [];
  for (const name of Object.keys(operations) as Operation[]) list[operations[name]] = cases[name];
  fn.switch(operation, list, () => fn.unreachable());
}

export const softarithmetic: CorePart = (define, core) => {
  define('float32', (fn) => defineLane(fn, core, single));
  define('float64', (fn) => defineLane(fn, core, double));
};
