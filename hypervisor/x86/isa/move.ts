/** MOV, MOVZX, MOVSX, MOVSXD, LEA, CMOVcc, SETcc, BSWAP, XCHG with the accumulator, CBW family, XLAT (SDM vol. 2). */
import type { Value } from '../../wasm/value.ts';
import { meaning, type Row, row } from './instruction.ts';

const move = meaning('w r', (_, source) => source!);

const zeroExtend = meaning('w r', (c, source) => (c.size === 8 ? source!.extendU() : source!));

function signExtend(from: 1 | 2) {
  return meaning('w r', (c, source) => {
    const wide = c.signed(source!, from);
    return c.size === 8 ? wide : wide.wrap();
  });
}

/** With a 16-bit operand size MOVSXD reads no more than that. */
const signExtendDouble = meaning('w r', (c, source) => (c.size === 8 ? source!.extendS() : source!));

const loadAddress = meaning('w a', (c) => {
  const { offset } = c.memoryAddress();
  return c.size === 8 ? offset : offset.wrap();
});

const swapAccumulator = meaning('rw rw', (_, a, b) => [b!, a!]);

const byteSwap = meaning('rw', (c, a) => {
  // With a 16-bit operand the result is undefined; processors clear the register.
  if (c.size === 2) return c.i32(0);
  const swap32 = (value: Value) => value.rotl(8).and(0x00ff_00ff).or(value.rotr(8).and(0xff00_ff00));
  if (c.size === 4) return swap32(a!);
  const low = swap32(a!.wrap()).extendU();
  const high = swap32(a!.shrU(32).wrap()).extendU();
  return low.shl(32).or(high);
});

const convertAccumulator = meaning('', (c) => {
  // CBW, CWDE, CDQE: the lower half of the accumulator, sign-extended to the operand size.
  const half = c.size / 2;
  const wide = c.signed(c.gpr(0, half), half);
  c.setGpr(0, c.size === 8 ? wide : wide.wrap());
});

const convertPair = meaning('', (c) => {
  // CWD, CDQ, CQO: the accumulator's sign in all of rDX.
  const wide = c.signed(c.gpr(0), c.size).shrS(63);
  c.setGpr(2, c.size === 8 ? wide : wide.wrap());
});

const translateByte = meaning('', (c) => {
  const offset = c.cut(c.gpr(3, 8).add(c.gpr(0, 1).extendU()));
  c.setGpr(0, c.load({ offset, segment: c.dataSegment(), stack: false }, 1), 1);
});

const conditionalRows = Array.from({ length: 16 }, (_, code) => {
  const hex = code.toString(16);
  // CMOVcc reads its source in any case, and in 64-bit mode always clears the upper half of a 32-bit destination.
  const conditionalMove = meaning('rw r', (c, old, source) => c.fn.select(c.condition(code), source!, old!));
  const setByte = meaning('w', (c) => c.condition(code));
  return [...row(`0F 4${hex}`, 'CMOVcc Gv,Ev', conditionalMove), ...row(`0F 9${hex}`, 'SETcc Eb', setByte)];
}).flat();

/** Opcode rows of this file. */
export const moves: readonly Row[] = [
  ...row('88', 'MOV Eb,Gb', move),
  ...row('89', 'MOV Ev,Gv', move),
  ...row('8A', 'MOV Gb,Eb', move),
  ...row('8B', 'MOV Gv,Ev', move),
  ...row('A0', 'MOV AL,Ob', move),
  ...row('A1', 'MOV rAX,Ov', move),
  ...row('A2', 'MOV Ob,AL', move),
  ...row('A3', 'MOV Ov,rAX', move),
  ...row('B0+r', 'MOV Zb,Ib', move),
  ...row('B8+r', 'MOV Zv,Iv', move),
  ...row('C6 /0', 'MOV Eb,Ib', move),
  ...row('C7 /0', 'MOV Ev,Iz', move),
  ...row('0F B6', 'MOVZX Gv,Eb', zeroExtend),
  ...row('0F B7', 'MOVZX Gv,Ew', zeroExtend),
  ...row('0F BE', 'MOVSX Gv,Eb', signExtend(1)),
  ...row('0F BF', 'MOVSX Gv,Ew', signExtend(2)),
  ...row('63', 'MOVSXD Gv,Ez', signExtendDouble, { mode: 'only64' }),
  ...row('8D', 'LEA Gv,M', loadAddress),
  ...row('90+r', 'XCHG Zv,rAX', swapAccumulator),
  ...row('0F C8+r', 'BSWAP Zv', byteSwap),
  ...row('98', 'CBW', convertAccumulator),
  ...row('99', 'CWD', convertPair),
  ...row('D7', 'XLAT', translateByte),
  ...conditionalRows,
];
