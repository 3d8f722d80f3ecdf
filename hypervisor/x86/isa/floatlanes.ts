/**
 * SSE's floating-point operands, and the two ways to compute with them: native arithmetic where it is sure to give the same result
 * and the same exceptions, otherwise the core's exact routines.
 */
import type { Value } from '../../wasm/value.ts';
import { type Operation, operations } from '../core/softarithmetic.ts';
import * as layout from '../layout.ts';
import * as mxcsr from '../mxcsr.ts';
import type { Semantics } from '../semantics.ts';

/** A shape of operands: packed or scalar, single or double precision. */
export interface Shape {
  /** The manual's suffix, which is also the size letter of operands. */
  readonly suffix: 'ps' | 'pd' | 'ss' | 'sd';
  /** Mandatory prefix. */
  readonly prefix: 'NP' | '66' | 'F3' | 'F2';
  readonly scalar: boolean;
  /** Bytes of a lane. */
  readonly size: 4 | 8;
  /** WebAssembly's type of a lane, and shape of all lanes. */
  readonly lane: 'f32' | 'f64';
  readonly lanes: 'f32x4' | 'f64x2';
  /** What prefixes the names of WebAssembly's instructions on such operands. */
  readonly unit: 'f32' | 'f64' | 'f32x4' | 'f64x2';
  /** WebAssembly's type of an operand. */
  readonly type: 'f32' | 'f64' | 'v128';
  /** The integer type of a lane's size, and the shape of such lanes. */
  readonly integer: 'i32' | 'i64';
  readonly integers: 'i32x4' | 'i64x2';
  /** Smallest normal and largest finite number. */
  readonly smallest: number;
  readonly largest: number;
}

const single = {
  size: 4,
  lane: 'f32',
  lanes: 'f32x4',
  integer: 'i32',
  integers: 'i32x4',
  smallest: 2 ** -126,
  largest: 2 ** 127 * (2 - 2 ** -23),
} as const;
const double = {
  size: 8,
  lane: 'f64',
  lanes: 'f64x2',
  integer: 'i64',
  integers: 'i64x2',
  smallest: 2 ** -1022,
  largest: Number.MAX_VALUE,
} as const;
const packed = { scalar: false, type: 'v128' } as const;

export const ps: Shape = { ...single, ...packed, suffix: 'ps', prefix: 'NP', unit: 'f32x4' };
export const pd: Shape = { ...double, ...packed, suffix: 'pd', prefix: '66', unit: 'f64x2' };
export const ss: Shape = { ...single, scalar: true, type: 'f32', suffix: 'ss', prefix: 'F3', unit: 'f32' };
export const sd: Shape = { ...double, scalar: true, type: 'f64', suffix: 'sd', prefix: 'F2', unit: 'f64' };
export const shapes = [ps, pd, ss, sd] as const;

/** A number in every lane. */
function constant(c: Semantics, shape: Shape, value: number): Value {
  const { fn } = c;
  const scalar = shape.lane === 'f32' ? fn.f32(value) : fn.f64(value);
  return shape.scalar ? scalar : scalar.apply(`${shape.lanes}.splat`);
}

/** The bit pattern of a scalar: i32 or i64. */
export function bitsOf(shape: Shape, scalar: Value): Value {
  return scalar.apply(`${shape.integer}.reinterpret_${shape.lane}`);
}

/** The scalar with a bit pattern. */
export function fromBits(shape: Shape, bits: Value): Value {
  return bits.apply(`${shape.lane}.reinterpret_${shape.integer}`);
}

/** Conditions on each lane, all of which must hold in all lanes. */
export function all(shape: Shape, ...conditions: Value[]): Value {
  const both = conditions.reduce((a, b) => (shape.scalar ? a.and(b) : a.apply('v128.and', b)));
  return shape.scalar ? both : both.apply(`${shape.integers}.all_true`);
}

/** One of two conditions on each lane. */
export function either(shape: Shape, a: Value, b: Value): Value {
  return shape.scalar ? a.or(b) : a.apply('v128.or', b);
}

/** At least the smallest normal number. */
export function isPositiveNormal(c: Semantics, shape: Shape, x: Value): Value {
  return x.apply(`${shape.unit}.ge`, constant(c, shape, shape.smallest));
}

/** At least `limit` in magnitude, and no NaN. */
export function isAtLeast(c: Semantics, shape: Shape, x: Value, limit: number): Value {
  return x.apply(`${shape.unit}.abs`).apply(`${shape.unit}.ge`, constant(c, shape, limit));
}

/** Neither zero nor denormal, and no NaN. */
export function isNormal(c: Semantics, shape: Shape, x: Value): Value {
  return isAtLeast(c, shape, x, shape.smallest);
}

/** A zero of either sign. */
export function isZero(c: Semantics, shape: Shape, x: Value): Value {
  return x.apply(`${shape.unit}.eq`, constant(c, shape, 0));
}

/** Neither denormal nor a NaN: an operand that raises no exception by itself. */
export function isQuiet(c: Semantics, shape: Shape, x: Value): Value {
  return either(shape, isNormal(c, shape, x), isZero(c, shape, x));
}

/** Neither infinite nor a NaN. */
export function isBounded(c: Semantics, shape: Shape, x: Value): Value {
  return x.apply(`${shape.unit}.abs`).apply(`${shape.unit}.le`, constant(c, shape, shape.largest));
}

/**
 * A normal number and not the smallest: certain to have had no underflow, for what is rounded up to the smallest one counts as
 * tiny.
 */
export function isAboveSmallest(c: Semantics, shape: Shape, x: Value): Value {
  return x.apply(`${shape.unit}.abs`).apply(`${shape.unit}.gt`, constant(c, shape, shape.smallest));
}

/** Below `limit` in magnitude, and no NaN. */
export function isLess(c: Semantics, shape: Shape, x: Value, limit: number): Value {
  return x.apply(`${shape.unit}.abs`).apply(`${shape.unit}.lt`, constant(c, shape, limit));
}

/** No NaN. */
export function isNumber(shape: Shape, x: Value): Value {
  return x.apply(`${shape.unit}.eq`, x);
}

/** MXCSR is such that native arithmetic stands for SSE's: see {@link mxcsr.nativeMask}. */
export function isNative(c: Semantics): Value {
  return c.state32(layout.mxcsr).and(mxcsr.nativeMask).eq(mxcsr.native);
}

/** The argument of the core's `lanes32` and `lanes64` for the same operation in all lanes. */
export function inAllLanes(operation: Operation): number {
  return operations[operation] * 0x1111;
}

/** The core's exact routine. Raises #XM. `work` is an operation for scalars, the operations of all lanes otherwise. */
export function exactly(c: Semantics, shape: Shape, work: number | Value, a: Value, b: Value): Value {
  const { core } = c;
  const small = shape.size === 4;
  const routine = shape.scalar
    ? small
      ? core.scalar32
      : core.scalar64
    : small
      ? core.lanes32
      : core.lanes64;
  const [result, done] = c.fn.callAll(routine, c.cpu, work, a, b) as [Value, Value];
  c.faultUnless(done);
  return result;
}

/** {@link exactly} of one operation. */
export function exactOperation(c: Semantics, shape: Shape, operation: Operation, a: Value, b: Value): Value {
  return exactly(c, shape, shape.scalar ? operations[operation] : inAllLanes(operation), a, b);
}

/** `fast` when `condition` holds, otherwise `slow`, which is then the only one to be computed. */
export function choosePath(c: Semantics, condition: Value, fast: Value, slow: () => Value): Value {
  const result = c.fn.local(fast.type);
  c.fn.if(
    condition,
    () => result.set(fast),
    () => result.set(slow()),
  );
  return result.get();
}
