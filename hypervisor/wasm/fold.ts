/** Simplification of integer operations while they are built: constants are computed, neutral operands dropped. */
import type { Value } from './value.ts';

const binary32: Record<string, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => Math.imul(a, b),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b) => a << b,
  shr_s: (a, b) => a >> b,
  shr_u: (a, b) => a >>> b,
  rotl: (a, b) => (a << b) | (a >>> (32 - (b & 31))),
  rotr: (a, b) => (a >>> b) | (a << (32 - (b & 31))),
  eq: (a, b) => Number(a === b),
  ne: (a, b) => Number(a !== b),
  lt_s: (a, b) => Number(a < b),
  lt_u: (a, b) => Number(a >>> 0 < b >>> 0),
  gt_s: (a, b) => Number(a > b),
  gt_u: (a, b) => Number(a >>> 0 > b >>> 0),
  le_s: (a, b) => Number(a <= b),
  le_u: (a, b) => Number(a >>> 0 <= b >>> 0),
  ge_s: (a, b) => Number(a >= b),
  ge_u: (a, b) => Number(a >>> 0 >= b >>> 0),
};

const unsigned = (value: bigint) => BigInt.asUintN(64, value);

const binary64: Record<string, (a: bigint, b: bigint) => bigint> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b) => a << (b & 63n),
  shr_s: (a, b) => a >> (b & 63n),
  shr_u: (a, b) => unsigned(a) >> (b & 63n),
};

const compare64: Record<string, (a: bigint, b: bigint) => boolean> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  lt_s: (a, b) => a < b,
  lt_u: (a, b) => unsigned(a) < unsigned(b),
  gt_s: (a, b) => a > b,
  gt_u: (a, b) => unsigned(a) > unsigned(b),
  le_s: (a, b) => a <= b,
  le_u: (a, b) => unsigned(a) <= unsigned(b),
  ge_s: (a, b) => a >= b,
  ge_u: (a, b) => unsigned(a) >= unsigned(b),
};

const commutative = new Set(['add', 'mul', 'and', 'or', 'xor', 'eq', 'ne']);
const neutralZero = new Set(['add', 'sub', 'or', 'xor', 'shl', 'shr_s', 'shr_u', 'rotl', 'rotr']);

/** The simpler value that equals `a name b`, or undefined when there is none. `name` is the instruction without its type. */
export function foldBinary(name: string, a: Value, b: Value): Value | undefined {
  const left = a.constant;
  const right = b.constant;
  const fn = a.fn;
  if (right === undefined) {
    return left !== undefined && commutative.has(name) ? foldIdentity(name, b, a) : undefined;
  }
  if (typeof left === 'number' && typeof right === 'number' && a.type === 'i32') {
    const compute = binary32[name];
    if (compute !== undefined) return fn.i32(compute(left, right));
  } else if (typeof left === 'bigint' && typeof right === 'bigint') {
    const compute = binary64[name];
    if (compute !== undefined) return fn.i64(compute(left, right));
    const compare = compare64[name];
    if (compare !== undefined) return fn.i32(Number(compare(left, right)));
  }
  return foldIdentity(name, a, b);
}

/** Simplifies `a name b` where `b` is a constant. */
function foldIdentity(name: string, a: Value, b: Value): Value | undefined {
  if (a.type !== 'i32' && a.type !== 'i64') return undefined;
  if (b.is(0)) {
    if (neutralZero.has(name)) return a;
    if (name === 'and' || name === 'mul') return b;
  } else if (b.is(-1)) {
    if (name === 'and') return a;
  } else if (b.is(1) && name === 'mul') return a;
  // (x and c1) and c2, (x add c1) add c2: the constants meet.
  if ((name === 'and' || name === 'add') && a.kind === 'op' && a.op === b.fn.opOf(a.type, name)) {
    const inner = a.operands[1]!;
    if (inner.constant !== undefined) {
      const constant = foldBinary(name, inner, b)!;
      return name === 'and' ? a.operands[0]!.and(constant) : a.operands[0]!.add(constant);
    }
  }
  return undefined;
}

/** The simpler value that equals the unary instruction `name` (with its type) of `a`, or undefined. */
export function foldUnary(name: string, a: Value): Value | undefined {
  const fn = a.fn;
  const constant = a.constant;
  if (constant !== undefined) {
    switch (name) {
      case 'i32.eqz':
      case 'i64.eqz':
        return fn.i32(Number(a.is(0)));
      case 'i32.wrap_i64':
        return fn.i32(Number(BigInt.asIntN(32, constant as bigint)));
      case 'i64.extend_i32_s':
        return fn.i64(BigInt(constant));
      case 'i64.extend_i32_u':
        return fn.i64(BigInt((constant as number) >>> 0));
      case 'i32.extend8_s':
        return fn.i32(((constant as number) << 24) >> 24);
      case 'i32.extend16_s':
        return fn.i32(((constant as number) << 16) >> 16);
      case 'i64.extend8_s':
        return fn.i64(BigInt.asIntN(8, constant as bigint));
      case 'i64.extend16_s':
        return fn.i64(BigInt.asIntN(16, constant as bigint));
      case 'i64.extend32_s':
        return fn.i64(BigInt.asIntN(32, constant as bigint));
    }
    return undefined;
  }
  if (a.kind !== 'op') return undefined;
  const inner = a.op === undefined || !('name' in a.op) ? '' : a.op.name;
  if (name === 'i32.wrap_i64' && (inner === 'i64.extend_i32_u' || inner === 'i64.extend_i32_s'))
    return a.operands[0]!;
  if (name === 'i64.extend32_s' && inner === 'i64.extend_i32_u') return a.operands[0]!.extendS();
  if (name === 'i64.extend32_s' && inner === 'i64.extend_i32_s') return a;
  return undefined;
}
