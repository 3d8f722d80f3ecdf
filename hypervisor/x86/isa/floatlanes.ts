/**
 * SSE's floating-point operands, and the two ways to compute with them: native arithmetic where it is sure to give the same result
 * and the same exceptions, otherwise the core's exact routines.
 */
import type { FunctionRef } from '../../wasm/function.ts';
import type { ValueType } from '../../wasm/opcodes.ts';
import type { Value } from '../../wasm/value.ts';
import { none, type Operation, operations } from '../core/softarithmetic.ts';
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
  /** What prefixes WebAssembly's instructions on such operands. */
  readonly unit: 'f32' | 'f64' | 'f32x4' | 'f64x2';
  /** The type in which operands travel: bit patterns. */
  readonly type: ValueType;
  /** The same integer shape, whose `all_true` asks for all lanes. */
  readonly integers: 'i32x4' | 'i64x2';
  /** Smallest normal and largest finite number. */
  readonly smallest: number;
  readonly largest: number;
}

const single = {
  size: 4,
  lane: 'f32',
  lanes: 'f32x4',
  integers: 'i32x4',
  smallest: 2 ** -126,
  largest: 2 ** 127 * (2 - 2 ** -23),
} as const;
const double = {
  size: 8,
  lane: 'f64',
  lanes: 'f64x2',
  integers: 'i64x2',
  smallest: 2 ** -1022,
  largest: Number.MAX_VALUE,
} as const;

export const ps: Shape = {
  ...single,
  suffix: 'ps',
  prefix: 'NP',
  scalar: false,
  unit: 'f32x4',
  type: 'v128',
};
export const pd: Shape = {
  ...double,
  suffix: 'pd',
  prefix: '66',
  scalar: false,
  unit: 'f64x2',
  type: 'v128',
};
export const ss: Shape = { ...single, suffix: 'ss', prefix: 'F3', scalar: true, unit: 'f32', type: 'i32' };
export const sd: Shape = { ...double, suffix: 'sd', prefix: 'F2', scalar: true, unit: 'f64', type: 'i64' };
export const shapes = [ps, pd, ss, sd] as const;

/** A number in every lane. */
function constant(c: Semantics, shape: Shape, value: number): Value {
  const { fn } = c;
  const scalar = shape.lane === 'f32' ? fn.f32(value) : fn.f64(value);
  return shape.scalar ? scalar : scalar.apply(`${shape.lanes}.splat`);
}

/** A bit pattern as what arithmetic works on. */
export function toFloat(shape: Shape, bits: Value): Value {
  return shape.type === 'v128' ? bits : bits.apply(`${shape.lane}.reinterpret_${shape.type}`);
}

/** The reverse of {@link toFloat}. */
export function toBits(shape: Shape, value: Value): Value {
  return shape.type === 'v128' ? value : value.apply(`${shape.type}.reinterpret_${shape.lane}`);
}

/** Conditions on each lane, all of which must hold in all lanes. */
export function all(shape: Shape, ...conditions: Value[]): Value {
  const both = conditions.reduce((a, b) => (shape.scalar ? a.and(b) : a.apply('v128.and', b)));
  return shape.scalar ? both : both.apply(`${shape.integers}.all_true`);
}

function either(shape: Shape, a: Value, b: Value): Value {
  return shape.scalar ? a.or(b) : a.apply('v128.or', b);
}

/** At least the smallest normal number. */
export function isPositiveNormal(c: Semantics, shape: Shape, x: Value): Value {
  return x.apply(`${shape.unit}.ge`, constant(c, shape, shape.smallest));
}

/** At least the smallest normal number in magnitude: neither zero nor denormal, and no NaN. */
export function isNormal(c: Semantics, shape: Shape, x: Value): Value {
  return isPositiveNormal(c, shape, x.apply(`${shape.unit}.abs`));
}

/** Neither denormal nor a NaN: an operand that raises no exception by itself. */
export function isQuiet(c: Semantics, shape: Shape, x: Value): Value {
  return either(shape, isNormal(c, shape, x), x.apply(`${shape.unit}.eq`, constant(c, shape, 0)));
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

/** A scalar as the lowest lane of a v128. */
export function asVector(shape: Shape, bits: Value): Value {
  return shape.scalar ? bits.apply(`${shape.integers}.splat`) : bits;
}

/** The lowest lane of a v128 when the shape is scalar. */
export function fromVector(shape: Shape, vector: Value): Value {
  return shape.scalar ? vector.lane(`${shape.integers}.extract_lane`, 0) : vector;
}

/** The argument of the core's `lanes32` and `lanes64`: the same operation in all lanes, or in the lowest alone. */
export function inLanes(shape: Shape, operation: Operation): number {
  const code = operations[operation];
  if (!shape.scalar) return code * (shape.size === 4 ? 0x1111 : 0x11);
  return code | (none << 4) | (none << 8) | (none << 12);
}

/** The core's exact routine: results as bit patterns. Raises #XM. `work` is the argument of {@link inLanes}. */
export function exactly(c: Semantics, shape: Shape, work: number | Value, a: Value, b: Value): Value {
  const routine: FunctionRef = shape.size === 4 ? c.core.lanes32 : c.core.lanes64;
  const [result, done] = c.fn.callAll(routine, c.cpu, work, asVector(shape, a), asVector(shape, b)) as [
    Value,
    Value,
  ];
  c.faultUnless(done);
  return fromVector(shape, result);
}

/** `fast` when `condition` holds, otherwise `slow`, which is then the only one to be computed. All are bit patterns. */
export function choosePath(
  c: Semantics,
  type: ValueType,
  condition: Value,
  fast: Value,
  slow: () => Value,
): Value {
  const result = c.fn.local(type);
  c.fn.if(
    condition,
    () => result.set(fast),
    () => result.set(slow()),
  );
  return result.get();
}
