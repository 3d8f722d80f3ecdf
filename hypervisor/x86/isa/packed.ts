/**
 * What the packed integer instructions compute, as functions of whole 16-byte values. MMX and SSE share them: an MMX operand is put
 * into the lower half.
 */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';

/** A function of two v128 values, the destination operand first. */
export type Packed = (a: Value, b: Value) => Value;

/** A constant that repeats some bytes. */
export function repeated(fn: FunctionBuilder, ...bytes: number[]): Value {
  return fn.v128(Array.from({ length: 16 }, (_, i) => bytes[i % bytes.length]!));
}

/** The v128 of zeros. */
export function zeros(fn: FunctionBuilder): Value {
  return repeated(fn, 0);
}

/** The bytes 0, 1, 2 … 15. */
export function byteNumbers(fn: FunctionBuilder): Value {
  return fn.v128(Array.from({ length: 16 }, (_, i) => i));
}

/** An instruction of WebAssembly that does just that. */
export function direct(name: string): Packed {
  return (a, b) => a.apply(name, b);
}

/** The same with the operands exchanged. */
export function exchanged(name: string): Packed {
  return (a, b) => b.apply(name, a);
}

/** Lanes of `size` bytes chosen from both operands: numbers from 16 / size on are those of the second. */
export function choose(size: number, ...lanes: number[]): Packed {
  const bytes = lanes.flatMap((lane) => Array.from({ length: size }, (_, i) => lane * size + i));
  return (a, b) => a.fn.shuffle(a, b, bytes);
}

/** PUNPCKL and PUNPCKH: lanes of the lower or upper halves in turn. */
export function interleave(size: number, half: 'low' | 'high'): Packed {
  const count = 8 / size;
  const start = half === 'low' ? 0 : count;
  return choose(size, ...Array.from({ length: count }, (_, i) => [start + i, start + i + 2 * count]).flat());
}

/** Neighbouring lanes of both operands, combined by an instruction: PHADD, PHSUB. */
export function horizontal(size: number, name: string): Packed {
  const count = 16 / size;
  const every = (first: number) => Array.from({ length: count }, (_, i) => 2 * i + first);
  const even = choose(size, ...every(0));
  const odd = choose(size, ...every(1));
  return (a, b) => even(a, b).apply(name, odd(a, b));
}

/** PMULHW, PMULHUW: the upper halves of the products. */
export function multiplyHigh(sign: 's' | 'u'): Packed {
  const upper = choose(2, 1, 3, 5, 7, 9, 11, 13, 15);
  return (a, b) =>
    upper(a.apply(`i32x4.extmul_low_i16x8_${sign}`, b), a.apply(`i32x4.extmul_high_i16x8_${sign}`, b));
}

/** PMULUDQ, PMULDQ: products of the even doublewords. */
export function multiplyEven(sign: 's' | 'u'): Packed {
  const even = choose(4, 0, 2, 0, 2);
  return (a, b) => even(a, a).apply(`i64x2.extmul_low_i32x4_${sign}`, even(b, b));
}

/** PMULHRSW. Where both are −32768 the product has no place, and wraps; WebAssembly's instruction saturates. */
export const multiplyRounded: Packed = (a, b) => {
  const lowest = repeated(a.fn, 0x00, 0x80);
  const both = a.apply('i16x8.eq', lowest).apply('v128.and', b.apply('i16x8.eq', lowest));
  return a.apply('i16x8.q15mulr_sat_s', b).apply('v128.xor', both);
};

/** PMADDUBSW: unsigned bytes times signed bytes, neighbouring products added with saturation. */
export const multiplyAddBytes: Packed = (a, b) => {
  const { fn } = a;
  const even = a
    .apply('v128.and', repeated(fn, 0xff, 0))
    .apply('i16x8.mul', b.apply('i16x8.shl', fn.i32(8)).apply('i16x8.shr_s', fn.i32(8)));
  const odd = a.apply('i16x8.shr_u', fn.i32(8)).apply('i16x8.mul', b.apply('i16x8.shr_s', fn.i32(8)));
  return even.apply('i16x8.add_sat_s', odd);
};

/** Absolute differences of unsigned bytes. */
export const byteDistances: Packed = (a, b) =>
  a.apply('i8x16.sub_sat_u', b).apply('v128.or', b.apply('i8x16.sub_sat_u', a));

/** PSADBW: the sum of the eight distances in each half. */
export const sumOfDistances: Packed = (a, b) => {
  const { fn } = a;
  const sums = byteDistances(a, b)
    .apply('i16x8.extadd_pairwise_i8x16_u')
    .apply('i32x4.extadd_pairwise_i16x8_u');
  const low = fn.v128([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
  return sums.apply('i64x2.shr_u', fn.i32(32)).apply('i64x2.add', sums.apply('v128.and', low));
};

/** PSIGN: negated, zero or kept, by the sign of the second operand. */
export function applySign(shape: 'i8x16' | 'i16x8' | 'i32x4'): Packed {
  return (a, b) => {
    const zero = zeros(a.fn);
    const negative = b.apply(`${shape}.lt_s`, zero);
    const signed = a.apply('v128.xor', negative).apply(`${shape}.sub`, negative);
    return signed.apply('v128.andnot', b.apply(`${shape}.eq`, zero));
  };
}

/** PSHUFB on 16 bytes: an index with bit 7 set gives zero, otherwise its low bits count. */
export const shuffleBytes: Packed = (a, b) =>
  a.apply('i8x16.swizzle', b.apply('v128.and', repeated(a.fn, 0x8f)));

/** PHMINPOSUW: the smallest word and its position. The first operand plays no part. */
export const smallestWord: Packed = (_, b) => {
  const { fn } = b;
  // Word in the upper half, position in the lower: the first of equal words is the smallest.
  const positions = (first: number) =>
    fn.v128(Array.from({ length: 16 }, (__, i) => (i % 4 === 0 ? first + i / 4 : 0)));
  const keyed = (half: string, first: number) =>
    b.apply(`i32x4.extend_${half}_i16x8_u`).apply('i32x4.shl', fn.i32(16)).apply('v128.or', positions(first));
  const least = (x: Value, y: Value) => x.apply('i32x4.min_u', y);
  const four = least(keyed('low', 0), keyed('high', 4));
  const two = least(four, choose(4, 2, 3, 2, 3)(four, four));
  const one = least(two, choose(4, 1, 1, 1, 1)(two, two));
  return withLane32(zeros(fn), one.lane('i32x4.extract_lane', 0).rotl(16));
};

/** A v128 with its lowest lane replaced. */
export function withLane32(vector: Value, value: Value): Value {
  return vector.withLane('i32x4.replace_lane', 0, value);
}

/** An i32 or i64 in the lowest lane, zeros above. */
export function zeroExtended(fn: FunctionBuilder, value: Value): Value {
  return value.type === 'i32'
    ? withLane32(zeros(fn), value)
    : zeros(fn).withLane('i64x2.replace_lane', 0, value);
}

/** The shapes that shifts work on. */
export type ShiftShape = 'i16x8' | 'i32x4' | 'i64x2';
const laneBits = { i16x8: 16, i32x4: 32, i64x2: 64 } as const;

/** PSLL, PSRL, PSRA by a count (i64, unsigned) that may be as wide as a lane or wider. */
export function shift(shape: ShiftShape, kind: 'shl' | 'shr_u' | 'shr_s', a: Value, count: Value): Value {
  const { fn } = a;
  const bits = laneBits[shape];
  const tooFar = count.gtU(bits - 1);
  if (kind === 'shr_s') {
    const most = fn.select(tooFar, fn.i32(bits - 1), count.wrap());
    return a.apply(`${shape}.shr_s`, most);
  }
  return fn.select(tooFar, zeros(fn), a.apply(`${shape}.${kind}`, count.wrap()));
}

/** PSRLDQ and PSLLDQ: moves all bytes by a count (i32) of 0 … 255. */
export function shiftBytes(a: Value, count: Value, way: 'left' | 'right'): Value {
  const { fn } = a;
  const numbers = byteNumbers(fn);
  if (way === 'right')
    return a.apply('i8x16.swizzle', numbers.apply('i8x16.add_sat_u', count.apply('i8x16.splat')));
  const most = fn.select(count.gtU(16), fn.i32(16), count);
  return a.apply('i8x16.swizzle', numbers.apply('i8x16.sub', most.apply('i8x16.splat')));
}

/** PALIGNR: 16 bytes from byte `count` (i32, 0 … 255) on of the second operand with the first behind it. */
export function align(a: Value, b: Value, count: Value): Value {
  const { fn } = a;
  const from = byteNumbers(fn).apply('i8x16.add_sat_u', count.apply('i8x16.splat'));
  const low = b.apply('i8x16.swizzle', from);
  const high = a.apply('i8x16.swizzle', from.apply('i8x16.sub', repeated(fn, 16)));
  return low.apply('v128.or', high);
}

/** For each doubleword the bytes of the one that two bits of `selectors` (i32) choose: as indices for a swizzle. */
export function doublewordIndices(selectors: Value): Value {
  const { fn } = selectors;
  const select = (lane: number) =>
    selectors
      .shrU(2 * lane)
      .and(3)
      .mul(0x0404_0404);
  let lanes = select(0).apply('i32x4.splat');
  for (let lane = 1; lane < 4; lane++) lanes = lanes.withLane('i32x4.replace_lane', lane, select(lane));
  return lanes.apply('i32x4.add', repeated(fn, 0, 1, 2, 3));
}

/** The same for the words of one half; the other half stays. */
export function wordIndices(selectors: Value, half: 'low' | 'high'): Value {
  const { fn } = selectors;
  const start = half === 'low' ? 0 : 4;
  const select = (lane: number) =>
    selectors
      .shrU(2 * lane)
      .and(3)
      .add(start)
      .mul(0x0202)
      .add(0x0100);
  let lanes = byteNumbers(fn);
  for (let lane = 0; lane < 4; lane++)
    lanes = lanes.withLane('i16x8.replace_lane', start + lane, select(lane));
  return lanes;
}

/** Lanes of ones where a bit of `selectors` (i32) is set: bit 0 for the first lane of `size` bytes. */
export function lanesOfBits(selectors: Value, size: 2 | 4 | 8): Value {
  const { fn } = selectors;
  const bytes = Array.from({ length: 16 }, (_, i) => {
    const lane = Math.floor(i / size);
    // Doublewords are compared for lanes of 8 bytes as well.
    return i % Math.min(size, 4) === 0 ? 1 << lane : 0;
  });
  const shape = size === 2 ? 'i16x8' : 'i32x4';
  const bits = fn.v128(bytes);
  return selectors.apply(`${shape}.splat`).apply('v128.and', bits).apply(`${shape}.eq`, bits);
}

/** The lane of `size` bytes that `number` (i32, may be too large) names: i32, zero-extended, or i64. */
export function laneOf(vector: Value, size: 1 | 2 | 4 | 8, number: Value): Value {
  const { fn } = vector;
  const index = number.and(16 / size - 1);
  const pattern = [0, 1, 2, 3, 4, 5, 6, 7].slice(0, size);
  const first = index
    .mul(size)
    .apply('i8x16.splat')
    .apply('i8x16.add', repeated(fn, ...pattern));
  const moved = vector.apply('i8x16.swizzle', first);
  switch (size) {
    case 1:
      return moved.lane('i8x16.extract_lane_u', 0);
    case 2:
      return moved.lane('i16x8.extract_lane_u', 0);
    case 4:
      return moved.lane('i32x4.extract_lane', 0);
    case 8:
      return moved.lane('i64x2.extract_lane', 0);
  }
}

/** `vector` with the lane of `size` bytes that `number` (i32) names replaced by the low bytes of `value`. */
export function withLaneAt(vector: Value, size: 1 | 2 | 4 | 8, number: Value, value: Value): Value {
  const { fn } = vector;
  const shape = ({ 1: 'i8x16', 2: 'i16x8', 4: 'i32x4', 8: 'i64x2' } as const)[size];
  // Each lane's number in each of its bytes.
  const numbers = fn.v128(Array.from({ length: 16 }, (_, i) => Math.floor(i / size)));
  const here = number
    .and(16 / size - 1)
    .apply('i8x16.splat')
    .apply('i8x16.eq', numbers);
  return value.apply(`${shape}.splat`).apply('v128.bitselect', vector, here);
}
