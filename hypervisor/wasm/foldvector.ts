/**
 * Simplification of vector operations while they are built: the few that code uses to prepare constants, such as the indices of a
 * shuffle that depend on a number known by then.
 */
import type { Value } from './value.ts';

const laneBytes: Record<string, number> = { i8x16: 1, i16x8: 2, i32x4: 4, i64x2: 8 };

/** The lanes of a constant as unsigned numbers. */
function lanesOf(bytes: readonly number[], size: number): bigint[] {
  return Array.from({ length: 16 / size }, (_, lane) =>
    bytes
      .slice(lane * size, lane * size + size)
      .reduceRight((all, byte) => (all << 8n) | BigInt(byte & 0xff), 0n),
  );
}

/** The bytes of lanes, of each of which the low `size` bytes count. */
function bytesOf(lanes: readonly bigint[], size: number): number[] {
  return lanes.flatMap((lane) =>
    Array.from({ length: size }, (_, i) => Number((lane >> BigInt(8 * i)) & 0xffn)),
  );
}

const byLane: Record<string, (a: bigint, b: bigint, highest: bigint) => bigint> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  add_sat_u: (a, b, highest) => (a + b > highest ? highest : a + b),
  eq: (a, b, highest) => (a === b ? highest : 0n),
};

/**
 * The constant that equals the instruction `name` of the operands, or a shorter instruction; undefined when there is none.
 * `lane` is the lane number of an instruction that has one.
 */
export function foldVector(name: string, operands: readonly Value[], lane = 0): Value | undefined {
  const [first, second] = operands as [Value, Value?];
  const { fn } = first;
  const [shape = '', operation = ''] = name.split('.');
  if (name === 'i8x16.swizzle') return foldSwizzle(first, second!);
  const size = laneBytes[shape];
  if (operation === 'splat' && size !== undefined && first.constant !== undefined)
    return fn.v128(bytesOf(new Array(16 / size).fill(BigInt(first.constant)), size));
  if (first.kind !== 'const' || first.list === undefined || second?.kind !== 'const') return undefined;
  const a = first.list;
  if (operation === 'replace_lane' && size !== undefined && second.constant !== undefined) {
    const lanes = lanesOf(a, size);
    lanes[lane] = BigInt(second.constant);
    return fn.v128(bytesOf(lanes, size));
  }
  const b = second.list;
  if (b === undefined) return undefined;
  if (name === 'v128.and') return fn.v128(a.map((byte, i) => byte & b[i]!));
  const compute = byLane[operation];
  if (compute === undefined || size === undefined) return undefined;
  const right = lanesOf(b, size);
  const highest = (1n << BigInt(8 * size)) - 1n;
  return fn.v128(
    bytesOf(
      lanesOf(a, size).map((x, i) => compute(x, right[i]!, highest)),
      size,
    ),
  );
}

/** A swizzle by a constant that stays within the vector is a shuffle, for which engines know the best instruction. */
function foldSwizzle(vector: Value, indices: Value): Value | undefined {
  const list = indices.kind === 'const' ? indices.list : undefined;
  if (list === undefined || list.some((index) => index >= 16)) return undefined;
  return vector.fn.shuffle(vector, vector, list);
}
