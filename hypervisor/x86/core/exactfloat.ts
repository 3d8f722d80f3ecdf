/**
 * Scalar operations whose result is exact, found by native arithmetic: programs that count in floating-point numbers may
 * never set the precision flag, and then isa/floatlanes.ts cannot take native results unseen. Needs the usual MXCSR, but for
 * that flag.
 */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import { type Operation, operations } from './softarithmetic.ts';
import { type Format, fromNative, patterns } from './softfloat.ts';

interface Operands {
  readonly fn: FunctionBuilder;
  readonly format: Format;
  readonly a: Value;
  readonly b: Value;
}

function type({ format }: Operands): 'f32' | 'f64' {
  return format.bits === 32 ? 'f32' : 'f64';
}

/** At least the smallest normal number in magnitude. */
function isNormal(operands: Operands, x: Value): Value {
  const t = type(operands);
  return x.apply(`${t}.abs`).apply(`${t}.ge`, 2 ** (1 - operands.format.bias));
}

function isZero(operands: Operands, x: Value): Value {
  return x.apply(`${type(operands)}.eq`, 0);
}

/** Normal or zero. */
function isQuiet(operands: Operands, x: Value): Value {
  return isNormal(operands, x).or(isZero(operands, x));
}

function isBounded(operands: Operands, x: Value): Value {
  const t = type(operands);
  return x.apply(`${t}.abs`).apply(`${t}.lt`, Number.POSITIVE_INFINITY);
}

/** How many bits at the end of a normal number's significand are zeros. */
function zerosBehind({ format }: Operands, x: Value): Value {
  return fromNative(format, x).or(patterns(format).normal).ctz().wrap();
}

/** True when the significands of two normal numbers are short enough for their product to have a place. */
function productFits(operands: Operands, x: Value, y: Value): Value {
  const sum = zerosBehind(operands, x).add(zerosBehind(operands, y));
  return sum.geU(operands.format.fraction + 1);
}

/** Leaves with the sum when it is exact: what rounding took away, which is computed exactly, is zero (Knuth's TwoSum). */
function sum(operands: Operands, b: Value): void {
  const { fn, a } = operands;
  const t = type(operands);
  const result = a.add(b);
  const virtual = result.sub(a);
  const error = a.sub(result.sub(virtual)).add(b.sub(virtual));
  const exact = error.apply(`${t}.eq`, 0);
  const ordinary = isQuiet(operands, a).and(isQuiet(operands, b)).and(isBounded(operands, result));
  fn.if(exact.and(ordinary), () => fn.return(result, 1));
}

function product(operands: Operands): void {
  const { fn, a, b } = operands;
  const result = a.mul(b);
  const fits = productFits(operands, a, b).and(isNormal(operands, a)).and(isNormal(operands, b));
  const inRange = isNormal(operands, result).and(isBounded(operands, result));
  fn.if(fits.and(inRange), () => fn.return(result, 1));
}

/** The quotient is exact when the divisor times it is the dividend, and that product is exact. */
function quotient(operands: Operands): void {
  const { fn, a, b } = operands;
  const result = a.div(b);
  const inRange = isNormal(operands, result).and(isBounded(operands, result));
  const fits = productFits(operands, result, b).and(isNormal(operands, a)).and(isNormal(operands, b));
  const exact = result.mul(b).apply(`${type(operands)}.eq`, a);
  fn.if(fits.and(inRange).and(exact), () => fn.return(result, 1));
}

function squareRoot(operands: Operands): void {
  const { fn, b } = operands;
  const result = b.apply(`${type(operands)}.sqrt`);
  const fits = productFits(operands, result, result).and(isNormal(operands, b)).and(isBounded(operands, b));
  const exact = result.mul(result).apply(`${type(operands)}.eq`, b);
  fn.if(fits.and(exact), () => fn.return(result, 1));
}

/** Emits the search: leaves the routine with the result and 1 when it is found to be exact and to raise no exception. */
export function leaveIfExact(operands: Operands, operation: Value): void {
  const { fn, b } = operands;
  const cases: Partial<Record<Operation, () => void>> = {
    add: () => sum(operands, b),
    subtract: () => sum(operands, b.apply(`${type(operands)}.neg`)),
    multiply: () => product(operands),
    divide: () => quotient(operands),
    squareRoot: () => squareRoot(operands),
  };
  const list: ((() => void) | undefined)[] = [];
  for (const name of Object.keys(operations) as Operation[]) list[operations[name]] = cases[name];
  fn.switch(operation, list.slice(0, operations.squareRoot + 1), () => {});
}
