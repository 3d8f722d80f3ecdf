/**
 * The WebAssembly instructions that the builder emits, by the names and numbers of the specification
 * (WebAssembly 3.0, chapter 7 "Index of Instructions").
 */

/** The type of a value on WebAssembly's stack. */
export type ValueType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';

/** Binary encoding of each value type. */
export const valueTypeCode: Record<ValueType, number> = {
  i32: 0x7f,
  i64: 0x7e,
  f32: 0x7d,
  f64: 0x7c,
  v128: 0x7b,
};

/** One instruction that computes a value from operands alone: no memory, no control, no trap that its users allow to happen. */
export interface PureOp {
  readonly name: string;
  /** Opcode bytes, prefix first. */
  readonly code: readonly number[];
  readonly operands: readonly ValueType[];
  readonly result: ValueType;
  /** True when a lane number follows the opcode. */
  readonly lane: boolean;
}

const pureOps = new Map<string, PureOp>();

function define(
  name: string,
  code: readonly number[],
  operands: readonly ValueType[],
  result: ValueType,
  lane = false,
): void {
  pureOps.set(name, { name, code, operands, result, lane });
}

const byType = new Map<ValueType, Map<string, PureOp>>();

/** Looks up the instruction `type.name`; throws when there is none. Made for builders, which ask often. */
export function typedOp(type: ValueType, name: string): PureOp {
  let ops = byType.get(type);
  if (ops === undefined) {
    ops = new Map();
    byType.set(type, ops);
  }
  let op = ops.get(name);
  if (op === undefined) {
    op = pureOp(`${type}.${name}`);
    ops.set(name, op);
  }
  return op;
}

/** Looks an instruction up by its name in the specification; throws when there is none. */
export function pureOp(name: string): PureOp {
  const op = pureOps.get(name);
  if (op === undefined) throw new Error(`no WebAssembly instruction '${name}'`);
  return op;
}

function integers(type: 'i32' | 'i64', compareAt: number, arithmeticAt: number): void {
  define(`${type}.eqz`, [compareAt], [type], 'i32');
  const comparisons = ['eq', 'ne', 'lt_s', 'lt_u', 'gt_s', 'gt_u', 'le_s', 'le_u', 'ge_s', 'ge_u'];
  comparisons.forEach((name, i) => {
    define(`${type}.${name}`, [compareAt + 1 + i], [type, type], 'i32');
  });
  ['clz', 'ctz', 'popcnt'].forEach((name, i) => {
    define(`${type}.${name}`, [arithmeticAt + i], [type], type);
  });
  const arithmetic = [
    'add',
    'sub',
    'mul',
    'div_s',
    'div_u',
    'rem_s',
    'rem_u',
    'and',
    'or',
    'xor',
    'shl',
    'shr_s',
    'shr_u',
    'rotl',
    'rotr',
  ];
  arithmetic.forEach((name, i) => {
    define(`${type}.${name}`, [arithmeticAt + 3 + i], [type, type], type);
  });
}
integers('i32', 0x45, 0x67);
integers('i64', 0x50, 0x79);

function floats(type: 'f32' | 'f64', compareAt: number, arithmeticAt: number): void {
  ['eq', 'ne', 'lt', 'gt', 'le', 'ge'].forEach((name, i) => {
    define(`${type}.${name}`, [compareAt + i], [type, type], 'i32');
  });
  ['abs', 'neg', 'ceil', 'floor', 'trunc', 'nearest', 'sqrt'].forEach((name, i) => {
    define(`${type}.${name}`, [arithmeticAt + i], [type], type);
  });
  ['add', 'sub', 'mul', 'div', 'min', 'max', 'copysign'].forEach((name, i) => {
    define(`${type}.${name}`, [arithmeticAt + 7 + i], [type, type], type);
  });
}
floats('f32', 0x5b, 0x8b);
floats('f64', 0x61, 0x99);

const conversions: [string, ValueType, ValueType][] = [
  ['i32.wrap_i64', 'i64', 'i32'],
  ['i32.trunc_f32_s', 'f32', 'i32'],
  ['i32.trunc_f32_u', 'f32', 'i32'],
  ['i32.trunc_f64_s', 'f64', 'i32'],
  ['i32.trunc_f64_u', 'f64', 'i32'],
  ['i64.extend_i32_s', 'i32', 'i64'],
  ['i64.extend_i32_u', 'i32', 'i64'],
  ['i64.trunc_f32_s', 'f32', 'i64'],
  ['i64.trunc_f32_u', 'f32', 'i64'],
  ['i64.trunc_f64_s', 'f64', 'i64'],
  ['i64.trunc_f64_u', 'f64', 'i64'],
  ['f32.convert_i32_s', 'i32', 'f32'],
  ['f32.convert_i32_u', 'i32', 'f32'],
  ['f32.convert_i64_s', 'i64', 'f32'],
  ['f32.convert_i64_u', 'i64', 'f32'],
  ['f32.demote_f64', 'f64', 'f32'],
  ['f64.convert_i32_s', 'i32', 'f64'],
  ['f64.convert_i32_u', 'i32', 'f64'],
  ['f64.convert_i64_s', 'i64', 'f64'],
  ['f64.convert_i64_u', 'i64', 'f64'],
  ['f64.promote_f32', 'f32', 'f64'],
  ['i32.reinterpret_f32', 'f32', 'i32'],
  ['i64.reinterpret_f64', 'f64', 'i64'],
  ['f32.reinterpret_i32', 'i32', 'f32'],
  ['f64.reinterpret_i64', 'i64', 'f64'],
];
conversions.forEach(([name, from, to], i) => {
  define(name, [0xa7 + i], [from], to);
});
define('i32.extend8_s', [0xc0], ['i32'], 'i32');
define('i32.extend16_s', [0xc1], ['i32'], 'i32');
define('i64.extend8_s', [0xc2], ['i64'], 'i64');
define('i64.extend16_s', [0xc3], ['i64'], 'i64');
define('i64.extend32_s', [0xc4], ['i64'], 'i64');
const saturating: [string, ValueType, ValueType][] = [
  ['i32.trunc_sat_f32_s', 'f32', 'i32'],
  ['i32.trunc_sat_f32_u', 'f32', 'i32'],
  ['i32.trunc_sat_f64_s', 'f64', 'i32'],
  ['i32.trunc_sat_f64_u', 'f64', 'i32'],
  ['i64.trunc_sat_f32_s', 'f32', 'i64'],
  ['i64.trunc_sat_f32_u', 'f32', 'i64'],
  ['i64.trunc_sat_f64_s', 'f64', 'i64'],
  ['i64.trunc_sat_f64_u', 'f64', 'i64'],
];
saturating.forEach(([name, from, to], i) => {
  define(name, [0xfc, i], [from], to);
});

/** LEB128 of an opcode behind the 0xFD prefix. */
function vector(code: number): number[] {
  return code < 0x80 ? [0xfd, code] : [0xfd, (code & 0x7f) | 0x80, code >> 7];
}

const lanes: [string, number, ValueType][] = [
  ['i8x16', 0x15, 'i32'],
  ['i16x8', 0x18, 'i32'],
  ['i32x4', 0x1b, 'i32'],
  ['i64x2', 0x1d, 'i64'],
  ['f32x4', 0x1f, 'f32'],
  ['f64x2', 0x21, 'f64'],
];
for (const [shape, code, scalar] of lanes) {
  if (shape === 'i8x16' || shape === 'i16x8') {
    define(`${shape}.extract_lane_s`, vector(code), ['v128'], scalar, true);
    define(`${shape}.extract_lane_u`, vector(code + 1), ['v128'], scalar, true);
    define(`${shape}.replace_lane`, vector(code + 2), ['v128', scalar], 'v128', true);
  } else {
    define(`${shape}.extract_lane`, vector(code), ['v128'], scalar, true);
    define(`${shape}.replace_lane`, vector(code + 1), ['v128', scalar], 'v128', true);
  }
}
lanes.forEach(([shape, , scalar], i) => {
  define(`${shape}.splat`, vector(0x0f + i), [scalar], 'v128');
});

function unary(code: number, ...names: string[]): void {
  names.forEach((name, i) => {
    if (name !== '') define(name, vector(code + i), ['v128'], 'v128');
  });
}
function binary(code: number, ...names: string[]): void {
  names.forEach((name, i) => {
    if (name !== '') define(name, vector(code + i), ['v128', 'v128'], 'v128');
  });
}
function shifts(code: number, shape: string): void {
  ['shl', 'shr_s', 'shr_u'].forEach((name, i) => {
    define(`${shape}.${name}`, vector(code + i), ['v128', 'i32'], 'v128');
  });
}
const integerComparisons = ['eq', 'ne', 'lt_s', 'lt_u', 'gt_s', 'gt_u', 'le_s', 'le_u', 'ge_s', 'ge_u'];
binary(0x0e, 'i8x16.swizzle');
binary(0x23, ...integerComparisons.map((name) => `i8x16.${name}`));
binary(0x2d, ...integerComparisons.map((name) => `i16x8.${name}`));
binary(0x37, ...integerComparisons.map((name) => `i32x4.${name}`));
binary(0xd6, ...['eq', 'ne', 'lt_s', 'gt_s', 'le_s', 'ge_s'].map((name) => `i64x2.${name}`));
binary(0x41, ...['eq', 'ne', 'lt', 'gt', 'le', 'ge'].map((name) => `f32x4.${name}`));
binary(0x47, ...['eq', 'ne', 'lt', 'gt', 'le', 'ge'].map((name) => `f64x2.${name}`));
unary(0x4d, 'v128.not');
binary(0x4e, 'v128.and', 'v128.andnot', 'v128.or', 'v128.xor');
define('v128.bitselect', vector(0x52), ['v128', 'v128', 'v128'], 'v128');
define('v128.any_true', vector(0x53), ['v128'], 'i32');
unary(0x5e, 'f32x4.demote_f64x2_zero', 'f64x2.promote_low_f32x4');
for (const [shape, code] of [
  ['i8x16', 0x60],
  ['i16x8', 0x80],
  ['i32x4', 0xa0],
  ['i64x2', 0xc0],
] as const) {
  unary(code, `${shape}.abs`, `${shape}.neg`);
  define(`${shape}.all_true`, vector(code + 3), ['v128'], 'i32');
  define(`${shape}.bitmask`, vector(code + 4), ['v128'], 'i32');
  shifts(code + 0x0b, shape);
}
unary(0x62, 'i8x16.popcnt');
binary(0x65, 'i8x16.narrow_i16x8_s', 'i8x16.narrow_i16x8_u');
binary(0x85, 'i16x8.narrow_i32x4_s', 'i16x8.narrow_i32x4_u');
binary(
  0x6e,
  'i8x16.add',
  'i8x16.add_sat_s',
  'i8x16.add_sat_u',
  'i8x16.sub',
  'i8x16.sub_sat_s',
  'i8x16.sub_sat_u',
);
binary(0x76, 'i8x16.min_s', 'i8x16.min_u', 'i8x16.max_s', 'i8x16.max_u', '', 'i8x16.avgr_u');
unary(
  0x7c,
  'i16x8.extadd_pairwise_i8x16_s',
  'i16x8.extadd_pairwise_i8x16_u',
  'i32x4.extadd_pairwise_i16x8_s',
  'i32x4.extadd_pairwise_i16x8_u',
);
binary(0x82, 'i16x8.q15mulr_sat_s');
unary(
  0x87,
  'i16x8.extend_low_i8x16_s',
  'i16x8.extend_high_i8x16_s',
  'i16x8.extend_low_i8x16_u',
  'i16x8.extend_high_i8x16_u',
);
binary(
  0x8e,
  'i16x8.add',
  'i16x8.add_sat_s',
  'i16x8.add_sat_u',
  'i16x8.sub',
  'i16x8.sub_sat_s',
  'i16x8.sub_sat_u',
);
binary(0x95, 'i16x8.mul', 'i16x8.min_s', 'i16x8.min_u', 'i16x8.max_s', 'i16x8.max_u', '', 'i16x8.avgr_u');
binary(
  0x9c,
  'i16x8.extmul_low_i8x16_s',
  'i16x8.extmul_high_i8x16_s',
  'i16x8.extmul_low_i8x16_u',
  'i16x8.extmul_high_i8x16_u',
);
unary(
  0xa7,
  'i32x4.extend_low_i16x8_s',
  'i32x4.extend_high_i16x8_s',
  'i32x4.extend_low_i16x8_u',
  'i32x4.extend_high_i16x8_u',
);
binary(0xae, 'i32x4.add');
binary(0xb1, 'i32x4.sub');
binary(0xb5, 'i32x4.mul', 'i32x4.min_s', 'i32x4.min_u', 'i32x4.max_s', 'i32x4.max_u', 'i32x4.dot_i16x8_s');
binary(
  0xbc,
  'i32x4.extmul_low_i16x8_s',
  'i32x4.extmul_high_i16x8_s',
  'i32x4.extmul_low_i16x8_u',
  'i32x4.extmul_high_i16x8_u',
);
unary(
  0xc7,
  'i64x2.extend_low_i32x4_s',
  'i64x2.extend_high_i32x4_s',
  'i64x2.extend_low_i32x4_u',
  'i64x2.extend_high_i32x4_u',
);
binary(0xce, 'i64x2.add');
binary(0xd1, 'i64x2.sub');
binary(0xd5, 'i64x2.mul');
binary(
  0xdc,
  'i64x2.extmul_low_i32x4_s',
  'i64x2.extmul_high_i32x4_s',
  'i64x2.extmul_low_i32x4_u',
  'i64x2.extmul_high_i32x4_u',
);
unary(0x67, 'f32x4.ceil', 'f32x4.floor', 'f32x4.trunc', 'f32x4.nearest');
unary(0x74, 'f64x2.ceil', 'f64x2.floor');
unary(0x7a, 'f64x2.trunc');
unary(0x94, 'f64x2.nearest');
unary(0xe0, 'f32x4.abs', 'f32x4.neg', '', 'f32x4.sqrt');
binary(
  0xe4,
  'f32x4.add',
  'f32x4.sub',
  'f32x4.mul',
  'f32x4.div',
  'f32x4.min',
  'f32x4.max',
  'f32x4.pmin',
  'f32x4.pmax',
);
unary(0xec, 'f64x2.abs', 'f64x2.neg', '', 'f64x2.sqrt');
binary(
  0xf0,
  'f64x2.add',
  'f64x2.sub',
  'f64x2.mul',
  'f64x2.div',
  'f64x2.min',
  'f64x2.max',
  'f64x2.pmin',
  'f64x2.pmax',
);
unary(
  0xf8,
  'i32x4.trunc_sat_f32x4_s',
  'i32x4.trunc_sat_f32x4_u',
  'f32x4.convert_i32x4_s',
  'f32x4.convert_i32x4_u',
  'i32x4.trunc_sat_f64x2_s_zero',
  'i32x4.trunc_sat_f64x2_u_zero',
  'f64x2.convert_low_i32x4_s',
  'f64x2.convert_low_i32x4_u',
);

/** A memory access: opcode bytes, the value's type and the number of bytes accessed. */
export interface MemoryOp {
  readonly code: readonly number[];
  readonly type: ValueType;
}

/** Loads by name; an access is never assumed aligned. */
export const loads = {
  i32: { code: [0x28], type: 'i32' },
  i64: { code: [0x29], type: 'i64' },
  f32: { code: [0x2a], type: 'f32' },
  f64: { code: [0x2b], type: 'f64' },
  i32_8s: { code: [0x2c], type: 'i32' },
  i32_8u: { code: [0x2d], type: 'i32' },
  i32_16s: { code: [0x2e], type: 'i32' },
  i32_16u: { code: [0x2f], type: 'i32' },
  i64_8s: { code: [0x30], type: 'i64' },
  i64_8u: { code: [0x31], type: 'i64' },
  i64_16s: { code: [0x32], type: 'i64' },
  i64_16u: { code: [0x33], type: 'i64' },
  i64_32s: { code: [0x34], type: 'i64' },
  i64_32u: { code: [0x35], type: 'i64' },
  v128: { code: vector(0x00), type: 'v128' },
  v128_32zero: { code: vector(0x5c), type: 'v128' },
  v128_64zero: { code: vector(0x5d), type: 'v128' },
} as const satisfies Record<string, MemoryOp>;

/** Stores by name; an access is never assumed aligned. */
export const stores = {
  i32: { code: [0x36], type: 'i32' },
  i64: { code: [0x37], type: 'i64' },
  f32: { code: [0x38], type: 'f32' },
  f64: { code: [0x39], type: 'f64' },
  i32_8: { code: [0x3a], type: 'i32' },
  i32_16: { code: [0x3b], type: 'i32' },
  i64_8: { code: [0x3c], type: 'i64' },
  i64_16: { code: [0x3d], type: 'i64' },
  i64_32: { code: [0x3e], type: 'i64' },
  v128: { code: vector(0x0b), type: 'v128' },
} as const satisfies Record<string, MemoryOp>;

/** Name of a load. */
export type LoadName = keyof typeof loads;
/** Name of a store. */
export type StoreName = keyof typeof stores;
