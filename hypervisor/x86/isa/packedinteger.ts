/** Packed integer instructions of MMX, SSE2 and SSSE3 that exist for MMX and XMM registers alike (SDM vol. 2). */
import type { Value } from '../../wasm/value.ts';
import { meaning, type Row, row } from './instruction.ts';
import {
  align,
  applySign,
  choose,
  direct,
  exchanged,
  horizontal,
  interleave,
  multiplyAddBytes,
  multiplyEven,
  multiplyHigh,
  multiplyRounded,
  type Packed,
  repeated,
  type ShiftShape,
  shift,
  shiftBytes,
  shuffleBytes,
  sumOfDistances,
} from './packed.ts';

/** The lower half of a v128 (i64). */
export function lowHalf(vector: Value): Value {
  return vector.lane('i64x2.extract_lane', 0);
}

/** An MMX operand (i64, or i32 when only its low half was read) in both halves of a v128. */
export function widened(value: Value): Value {
  return (value.type === 'i32' ? value.extendU() : value).apply('i64x2.splat');
}

/** What happens to 16 bytes happens to each half alike. */
const lanewise: readonly [name: string, opcode: string, compute: Packed][] = [
  ['PADDB', 'FC', direct('i8x16.add')],
  ['PADDW', 'FD', direct('i16x8.add')],
  ['PADDD', 'FE', direct('i32x4.add')],
  ['PADDQ', 'D4', direct('i64x2.add')],
  ['PADDSB', 'EC', direct('i8x16.add_sat_s')],
  ['PADDSW', 'ED', direct('i16x8.add_sat_s')],
  ['PADDUSB', 'DC', direct('i8x16.add_sat_u')],
  ['PADDUSW', 'DD', direct('i16x8.add_sat_u')],
  ['PSUBB', 'F8', direct('i8x16.sub')],
  ['PSUBW', 'F9', direct('i16x8.sub')],
  ['PSUBD', 'FA', direct('i32x4.sub')],
  ['PSUBQ', 'FB', direct('i64x2.sub')],
  ['PSUBSB', 'E8', direct('i8x16.sub_sat_s')],
  ['PSUBSW', 'E9', direct('i16x8.sub_sat_s')],
  ['PSUBUSB', 'D8', direct('i8x16.sub_sat_u')],
  ['PSUBUSW', 'D9', direct('i16x8.sub_sat_u')],
  ['PMULLW', 'D5', direct('i16x8.mul')],
  ['PMULHW', 'E5', multiplyHigh('s')],
  ['PMULHUW', 'E4', multiplyHigh('u')],
  ['PMULUDQ', 'F4', multiplyEven('u')],
  ['PMADDWD', 'F5', direct('i32x4.dot_i16x8_s')],
  ['PSADBW', 'F6', sumOfDistances],
  ['PAVGB', 'E0', direct('i8x16.avgr_u')],
  ['PAVGW', 'E3', direct('i16x8.avgr_u')],
  ['PMINUB', 'DA', direct('i8x16.min_u')],
  ['PMAXUB', 'DE', direct('i8x16.max_u')],
  ['PMINSW', 'EA', direct('i16x8.min_s')],
  ['PMAXSW', 'EE', direct('i16x8.max_s')],
  ['PCMPEQB', '74', direct('i8x16.eq')],
  ['PCMPEQW', '75', direct('i16x8.eq')],
  ['PCMPEQD', '76', direct('i32x4.eq')],
  ['PCMPGTB', '64', direct('i8x16.gt_s')],
  ['PCMPGTW', '65', direct('i16x8.gt_s')],
  ['PCMPGTD', '66', direct('i32x4.gt_s')],
  ['PAND', 'DB', direct('v128.and')],
  ['PANDN', 'DF', exchanged('v128.andnot')],
  ['POR', 'EB', direct('v128.or')],
  ['PXOR', 'EF', direct('v128.xor')],
  ['PMADDUBSW', '38 04', multiplyAddBytes],
  ['PSIGNB', '38 08', applySign('i8x16')],
  ['PSIGNW', '38 09', applySign('i16x8')],
  ['PSIGND', '38 0A', applySign('i32x4')],
  ['PMULHRSW', '38 0B', multiplyRounded],
];

/** Results that take half of their lanes from each operand. */
const gathered: readonly [name: string, opcode: string, compute: Packed][] = [
  ['PACKSSWB', '63', direct('i8x16.narrow_i16x8_s')],
  ['PACKUSWB', '67', direct('i8x16.narrow_i16x8_u')],
  ['PACKSSDW', '6B', direct('i16x8.narrow_i32x4_s')],
  ['PHADDW', '38 01', horizontal(2, 'i16x8.add')],
  ['PHADDD', '38 02', horizontal(4, 'i32x4.add')],
  ['PHADDSW', '38 03', horizontal(2, 'i16x8.add_sat_s')],
  ['PHSUBW', '38 05', horizontal(2, 'i16x8.sub')],
  ['PHSUBD', '38 06', horizontal(4, 'i32x4.sub')],
  ['PHSUBSW', '38 07', horizontal(2, 'i16x8.sub_sat_s')],
];

const unpacked: readonly [suffix: string, size: number, opcodeLow: string, opcodeHigh: string][] = [
  ['BW', 1, '60', '68'],
  ['WD', 2, '61', '69'],
  ['DQ', 4, '62', '6A'],
];

const absolute: readonly [name: string, opcode: string, instruction: string][] = [
  ['PABSB', '38 1C', 'i8x16.abs'],
  ['PABSW', '38 1D', 'i16x8.abs'],
  ['PABSD', '38 1E', 'i32x4.abs'],
];

type ShiftKind = 'shl' | 'shr_u' | 'shr_s';
/** Opcodes by a register, and by an immediate with its digit. */
const shifts: readonly [name: string, opcode: string, byImmediate: string, ShiftShape, ShiftKind][] = [
  ['PSRLW', 'D1', '71 /2', 'i16x8', 'shr_u'],
  ['PSRLD', 'D2', '72 /2', 'i32x4', 'shr_u'],
  ['PSRLQ', 'D3', '73 /2', 'i64x2', 'shr_u'],
  ['PSRAW', 'E1', '71 /4', 'i16x8', 'shr_s'],
  ['PSRAD', 'E2', '72 /4', 'i32x4', 'shr_s'],
  ['PSLLW', 'F1', '71 /6', 'i16x8', 'shl'],
  ['PSLLD', 'F2', '72 /6', 'i32x4', 'shl'],
  ['PSLLQ', 'F3', '73 /6', 'i64x2', 'shl'],
];

/** A function of two 16-byte operands as a meaning. */
export function onXmm(compute: Packed) {
  return meaning('rw r', (_, a, b) => compute(a!, b!));
}

/** The same of two MMX registers, each in both halves. */
function onMmx(compute: Packed) {
  return meaning('rw r', (_, a, b) => lowHalf(compute(widened(a!), widened(b!))));
}

/** The same with the two MMX registers joined, the destination below. */
function onJoined(compute: Packed) {
  return meaning('rw r', (_, a, b) => {
    const both = widened(a!).withLane('i64x2.replace_lane', 1, b!);
    return lowHalf(compute(both, both));
  });
}

const shuffleEight: Packed = (a, b) => a.apply('i8x16.swizzle', b.apply('v128.and', repeated(a.fn, 0x87)));

/** PALIGNR on MMX registers: the destination stands right behind the source. */
const alignEight = meaning('rw r r', (_, a, b, count) => {
  const joined = widened(b!).withLane('i64x2.replace_lane', 1, a!);
  return lowHalf(shiftBytes(joined, count!, 'right'));
});

const alignSixteen = meaning('rw r r', (_, a, b, count) => align(a!, b!, count!));

function shiftByRegister(shape: ShiftShape, kind: ShiftKind, registers: 'xmm' | 'mmx') {
  return registers === 'xmm'
    ? meaning('rw r', (_, a, count) => shift(shape, kind, a!, lowHalf(count!)))
    : meaning('rw r', (_, a, count) => lowHalf(shift(shape, kind, widened(a!), count!)));
}

function shiftByImmediate(shape: ShiftShape, kind: ShiftKind, registers: 'xmm' | 'mmx') {
  return registers === 'xmm'
    ? meaning('rw r', (_, a, count) => shift(shape, kind, a!, count!.extendU()))
    : meaning('rw r', (_, a, count) => lowHalf(shift(shape, kind, widened(a!), count!.extendU())));
}

/** PMOVMSKB: the signs of all bytes. */
const signsOfXmm = meaning('w r', (_, a) => a!.apply('i8x16.bitmask'));
const signsOfMmx = meaning('w r', (_, a) => widened(a!).apply('i8x16.bitmask').and(0xff));

/** Opcode rows of this file. */
export const packedIntegers: readonly Row[] = [
  ...lanewise.flatMap(([name, opcode, compute]) => [
    ...row(`NP 0F ${opcode}`, `${name} Pq,Qq`, onMmx(compute)),
    ...row(`66 0F ${opcode}`, `${name} Vdq,Wdq`, onXmm(compute)),
  ]),
  ...gathered.flatMap(([name, opcode, compute]) => [
    ...row(`NP 0F ${opcode}`, `${name} Pq,Qq`, onJoined(compute)),
    ...row(`66 0F ${opcode}`, `${name} Vdq,Wdq`, onXmm(compute)),
  ]),
  ...unpacked.flatMap(([suffix, size, low, high]) => {
    const both = interleave(size, 'low');
    const upper = choose(8, 1, 1);
    return [
      ...row(`NP 0F ${low}`, `PUNPCKL${suffix} Pq,Qd`, onMmx(both)),
      ...row(
        `NP 0F ${high}`,
        `PUNPCKH${suffix} Pq,Qq`,
        onMmx((a, b) => {
          const all = both(a, b);
          return upper(all, all);
        }),
      ),
      ...row(`66 0F ${low}`, `PUNPCKL${suffix} Vdq,Wdq`, onXmm(both)),
      ...row(`66 0F ${high}`, `PUNPCKH${suffix} Vdq,Wdq`, onXmm(interleave(size, 'high'))),
    ];
  }),
  ...row('66 0F 6C', 'PUNPCKLQDQ Vdq,Wdq', onXmm(interleave(8, 'low'))),
  ...row('66 0F 6D', 'PUNPCKHQDQ Vdq,Wdq', onXmm(interleave(8, 'high'))),
  ...absolute.flatMap(([name, opcode, instruction]) => [
    ...row(
      `NP 0F ${opcode}`,
      `${name} Pq,Qq`,
      meaning('w r', (_, b) => lowHalf(widened(b!).apply(instruction))),
    ),
    ...row(
      `66 0F ${opcode}`,
      `${name} Vdq,Wdq`,
      meaning('w r', (_, b) => b!.apply(instruction)),
    ),
  ]),
  ...shifts.flatMap(([name, opcode, byImmediate, shape, kind]) => [
    ...row(`NP 0F ${opcode}`, `${name} Pq,Qq`, shiftByRegister(shape, kind, 'mmx')),
    ...row(`66 0F ${opcode}`, `${name} Vdq,Wdq`, shiftByRegister(shape, kind, 'xmm')),
    ...row(`NP 0F ${byImmediate}`, `${name} Nq,Ib`, shiftByImmediate(shape, kind, 'mmx')),
    ...row(`66 0F ${byImmediate}`, `${name} Udq,Ib`, shiftByImmediate(shape, kind, 'xmm')),
  ]),
  ...row('NP 0F 38 00', 'PSHUFB Pq,Qq', onMmx(shuffleEight)),
  ...row('66 0F 38 00', 'PSHUFB Vdq,Wdq', onXmm(shuffleBytes)),
  ...row('NP 0F 3A 0F', 'PALIGNR Pq,Qq,Ib', alignEight),
  ...row('66 0F 3A 0F', 'PALIGNR Vdq,Wdq,Ib', alignSixteen),
  ...row('NP 0F D7', 'PMOVMSKB Gd,Nq', signsOfMmx),
  ...row('66 0F D7', 'PMOVMSKB Gd,Udq', signsOfXmm),
];
