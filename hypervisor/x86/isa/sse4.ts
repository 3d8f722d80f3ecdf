/** Integer instructions of SSE4.1 and SSE4.2 on XMM registers, but for string comparison (SDM vol. 2). */
import type { Value } from '../../wasm/value.ts';
import * as layout from '../layout.ts';
import { type Meaning, meaning, type Row, row } from './instruction.ts';
import {
  byteDistances,
  byteNumbers,
  direct,
  lanesOfBits,
  multiplyEven,
  type Packed,
  repeated,
  smallestWord,
  withLaneAt,
} from './packed.ts';
import { onXmm } from './packedinteger.ts';

const simple: readonly [name: string, opcode: string, compute: Packed][] = [
  ['PMULDQ', '28', multiplyEven('s')],
  ['PCMPEQQ', '29', direct('i64x2.eq')],
  ['PACKUSDW', '2B', direct('i16x8.narrow_i32x4_u')],
  ['PCMPGTQ', '37', direct('i64x2.gt_s')],
  ['PMINSB', '38', direct('i8x16.min_s')],
  ['PMINSD', '39', direct('i32x4.min_s')],
  ['PMINUW', '3A', direct('i16x8.min_u')],
  ['PMINUD', '3B', direct('i32x4.min_u')],
  ['PMAXSB', '3C', direct('i8x16.max_s')],
  ['PMAXSD', '3D', direct('i32x4.max_s')],
  ['PMAXUW', '3E', direct('i16x8.max_u')],
  ['PMAXUD', '3F', direct('i32x4.max_u')],
  ['PMULLD', '40', direct('i32x4.mul')],
  ['PHMINPOSUW', '41', smallestWord],
];

/** PMOVSX, PMOVZX: opcode of the sign-extending one, bytes read, and the steps of doubling. */
const extensions: readonly [suffix: string, opcode: number, size: string, steps: readonly string[]][] = [
  ['BW', 0x20, 'q', ['i16x8.extend_low_i8x16']],
  ['BD', 0x21, 'd', ['i16x8.extend_low_i8x16', 'i32x4.extend_low_i16x8']],
  ['BQ', 0x22, 'w', ['i16x8.extend_low_i8x16', 'i32x4.extend_low_i16x8', 'i64x2.extend_low_i32x4']],
  ['WD', 0x23, 'q', ['i32x4.extend_low_i16x8']],
  ['WQ', 0x24, 'd', ['i32x4.extend_low_i16x8', 'i64x2.extend_low_i32x4']],
  ['DQ', 0x25, 'q', ['i64x2.extend_low_i32x4']],
];

function extension(steps: readonly string[], sign: 's' | 'u'): Meaning {
  return meaning('w r', (_, source) => {
    const vector = source!.apply(source!.type === 'i32' ? 'i32x4.splat' : 'i64x2.splat');
    return steps.reduce((value, step) => value.apply(`${step}_${sign}`), vector);
  });
}

/** Lanes of the second operand where the immediate has a one. */
function blend(size: 2 | 4 | 8): Meaning {
  return meaning('rw r r', (_, a, b, immediate) =>
    b!.apply('v128.bitselect', a!, lanesOfBits(immediate!, size)),
  );
}

/** Lanes of the second operand where XMM0's lane has its sign set. */
function blendBySign(shape: 'i8x16' | 'i32x4' | 'i64x2'): Meaning {
  const bits = { i8x16: 7, i32x4: 31, i64x2: 63 }[shape];
  return meaning('rw r', (c, a, b) => {
    const mask = c.readVector(layout.xmmOffset(0), 'v128').apply(`${shape}.shr_s`, c.i32(bits));
    return b!.apply('v128.bitselect', a!, mask);
  });
}

/** PTEST: ZF tells that the operands have no one in common, CF that the first has all of the second's. */
const test = meaning('r r', (c, a, b) => {
  const none = a!.apply('v128.and', b!).apply('v128.any_true').eqz();
  const all = b!.apply('v128.andnot', a!).apply('v128.any_true').eqz();
  c.setAllFlags(none.shl(6).or(all));
});

/** INSERTPS: a doubleword into any lane, then zeros where the immediate's low bits say so. */
function insertSingle(a: Value, value: Value, immediate: Value): Value {
  const inserted = withLaneAt(a, 4, immediate.shrU(4), value);
  return inserted.apply('v128.andnot', lanesOfBits(immediate, 4));
}

const insertSingleRegister = meaning('rw r r', (c, a, b, immediate) => {
  const source = immediate!.shrU(6).mul(0x0404_0404).apply('i32x4.splat');
  const chosen = b!.apply('i8x16.swizzle', source.apply('i32x4.add', repeated(c.fn, 0, 1, 2, 3)));
  return insertSingle(a!, chosen.lane('i32x4.extract_lane', 0), immediate!);
});

const insertSingleMemory = meaning('rw r r', (_, a, value, immediate) =>
  insertSingle(a!, value!, immediate!),
);

/**
 * MPSADBW: for each of eight neighbouring places in the first operand, the distance of four bytes there from four bytes of the
 * second.
 */
const distancesOfFour = meaning('rw r r', (c, a, b, immediate) => {
  const { fn } = c;
  const start = immediate!.and(4);
  const block = immediate!.and(3).shl(2);
  let sum: Value | undefined;
  for (let i = 0; i < 4; i++) {
    const places = start.add(i).apply('i8x16.splat').apply('i8x16.add', byteNumbers(fn));
    const window = a!.apply('i8x16.swizzle', places);
    const byte = b!.apply('i8x16.swizzle', block.add(i).apply('i8x16.splat'));
    const distances = byteDistances(window, byte).apply('i16x8.extend_low_i8x16_u');
    sum = sum === undefined ? distances : sum.apply('i16x8.add', distances);
  }
  return sum!;
});

const hex = (value: number) => value.toString(16).padStart(2, '0');

/** Opcode rows of this file. */
export const sse4: readonly Row[] = [
  ...simple.flatMap(([name, opcode, compute]) =>
    row(`66 0F 38 ${opcode}`, `${name} Vdq,Wdq`, onXmm(compute)),
  ),
  ...extensions.flatMap(([suffix, opcode, size, steps]) => [
    ...row(`66 0F 38 ${hex(opcode)}`, `PMOVSX${suffix} Vdq,W${size}`, extension(steps, 's')),
    ...row(`66 0F 38 ${hex(opcode + 0x10)}`, `PMOVZX${suffix} Vdq,W${size}`, extension(steps, 'u')),
  ]),
  ...row('66 0F 38 10', 'PBLENDVB Vdq,Wdq', blendBySign('i8x16')),
  ...row('66 0F 38 14', 'BLENDVPS Vdq,Wdq', blendBySign('i32x4')),
  ...row('66 0F 38 15', 'BLENDVPD Vdq,Wdq', blendBySign('i64x2')),
  ...row('66 0F 38 17', 'PTEST Vdq,Wdq', test),
  ...row('66 0F 3A 0C', 'BLENDPS Vdq,Wdq,Ib', blend(4)),
  ...row('66 0F 3A 0D', 'BLENDPD Vdq,Wdq,Ib', blend(8)),
  ...row('66 0F 3A 0E', 'PBLENDW Vdq,Wdq,Ib', blend(2)),
  ...row('66 0F 3A 21 reg', 'INSERTPS Vdq,Udq,Ib', insertSingleRegister),
  ...row('66 0F 3A 21 mem', 'INSERTPS Vdq,Md,Ib', insertSingleMemory),
  ...row('66 0F 3A 42', 'MPSADBW Vdq,Wdq,Ib', distancesOfFour),
];
