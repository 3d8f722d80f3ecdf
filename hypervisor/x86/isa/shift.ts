/** ROL, ROR, RCL, RCR, SHL, SHR, SAR, SHLD, SHRD (SDM vol. 2). */
import type { Value } from '../../wasm/value.ts';
import { packBits } from '../flags.ts';
import type { Semantics } from '../semantics.ts';
import { meaning, type Row, row } from './instruction.ts';

/** What is shifted, widened so that nothing is lost on either side, with the count masked as the manual says. */
interface Shift {
  /** The operand (i32 or i64), zero-extended. */
  readonly value: Value;
  /** The count: masked to 5 bits, or 6 with 64-bit operands; of the operand's type. */
  readonly count: Value;
  readonly size: number;
}

function sizeOf(c: Semantics): number {
  return c.form.row.operands[0]!.size === 'b' ? 1 : c.size;
}

/** Bit `position` of a value as 0 or 1 (i32). */
function bitAt(value: Value, position: number | Value): Value {
  const bit = value.shrU(position);
  return (bit.type === 'i64' ? bit.wrap() : bit).and(1);
}

/** Computes the result and the flags of a shift whose count is not 0. */
type ShiftOperation = (
  c: Semantics,
  shift: Shift,
) => { result: Value; carry: Value; overflow: Value; keepsOthers?: boolean };

/** Shifts by more than the operand's width are possible below 32 bits: the widened value shows what falls out. */
const shl: ShiftOperation = (c, { value, count, size }) => {
  const bits = 8 * size;
  const result = value.shl(count);
  if (size < 4) {
    const carry = bitAt(result, bits);
    return { result, carry, overflow: carry.xor(bitAt(result, bits - 1)) };
  }
  const carry = bitAt(value, c.constant(bits, size).sub(count));
  return { result, carry, overflow: carry.xor(bitAt(result, bits - 1)) };
};

const shr: ShiftOperation = (_, { value, count, size }) => ({
  result: value.shrU(count),
  carry: bitAt(value, count.sub(1)),
  overflow: bitAt(value, 8 * size - 1),
});

const sar: ShiftOperation = (c, { value, count, size }) => {
  const wide = size === 1 ? value.extend8S() : size === 2 ? value.extend16S() : value;
  return { result: wide.shrS(count), carry: bitAt(wide.shrS(count.sub(1)), 0), overflow: c.i32(0) };
};

/** Copies of a narrow operand side by side, so that a 32-bit rotation rotates each. */
function replicate(value: Value, size: number): Value {
  return size === 1 ? value.mul(0x0101_0101) : size === 2 ? value.mul(0x0001_0001) : value;
}

const rol: ShiftOperation = (_, { value, count, size }) => {
  const result = replicate(value, size).rotl(count);
  const carry = bitAt(result, 0);
  return { result, carry, overflow: carry.xor(bitAt(result, 8 * size - 1)), keepsOthers: true };
};

const ror: ShiftOperation = (_, { value, count, size }) => {
  const result = replicate(value, size).rotr(count);
  const top = bitAt(result, 8 * size - 1);
  return { result, carry: top, overflow: top.xor(bitAt(result, 8 * size - 2)), keepsOthers: true };
};

/** RCL and RCR rotate the operand with CF as one more bit; `count` has been reduced modulo width + 1. */
function rotateThroughCarry(left: boolean): ShiftOperation {
  return (c, { value, count, size }) => {
    const bits = 8 * size;
    const carryIn = size === 8 ? c.carry().extendU() : c.carry();
    const width = c.constant(bits, size);
    // A shift by the full width is written as two, since WebAssembly takes counts modulo the width.
    if (left) {
      const high = value.shl(count).or(carryIn.shl(count.sub(1)));
      const low = value.shrU(1).shrU(width.sub(count));
      const result = high.or(low);
      const carry = bitAt(value, width.sub(count));
      return { result, carry, overflow: carry.xor(bitAt(result, bits - 1)), keepsOthers: true };
    }
    const low = value.shrU(count).or(carryIn.shl(width.sub(count)));
    const high = value.shl(1).shl(width.sub(count));
    const result = low.or(high);
    const carry = bitAt(value, count.sub(1));
    return {
      result,
      carry,
      overflow: bitAt(result, bits - 1).xor(bitAt(result, bits - 2)),
      keepsOthers: true,
    };
  };
}

function maskCount(c: Semantics, count: Value, size: number): Value {
  const masked = count.and(size === 8 ? 63 : 31);
  return size === 8 ? masked.extendU() : c.unsigned(masked, 4);
}

/** Sets CF and OF and, unless the operation leaves them, the flags of the result. */
function setFlags(c: Semantics, size: number, done: ReturnType<ShiftOperation>): void {
  if (done.keepsOthers !== true) {
    c.setResultFlags(done.result, packBits(c.fn, done.carry, done.overflow), size);
    return;
  }
  c.setCarryAndOverflow(done.carry, done.overflow);
}

/** A shift or rotation. With a count of 0 nothing changes, flags included. */
function shift(operation: ShiftOperation, modulo?: 'width + 1') {
  return meaning('rw r', (c, value, rawCount) => {
    const size = sizeOf(c);
    let count = maskCount(c, rawCount!, size);
    if (modulo !== undefined && size < 4) count = count.remU(8 * size + 1);
    if (count.constant !== undefined) {
      if (count.is(0)) return value!;
      const done = operation(c, { value: value!, count, size });
      setFlags(c, size, done);
      return done.result;
    }
    const result = c.fn.local(value!.type, value!);
    c.fn.if(count.ne(0), () => {
      const done = operation(c, { value: value!, count, size });
      result.set(done.result);
      setFlags(c, size, done);
    });
    return result.get();
  });
}

/** SHLD and SHRD. Counts above 16 with 16-bit operands are undefined; here they go on through the pair again. */
function doubleShift(left: boolean) {
  return meaning('rw r r', (c, destination, source, rawCount) => {
    const { size, fn } = c;
    const count = maskCount(c, rawCount!, size);
    const bits = 8 * size;
    const result = fn.local(destination!.type, destination!);
    fn.if(count.ne(0), () => {
      let shifted: Value;
      let carry: Value;
      if (size === 2) {
        // The pair twice over, in 64 bits.
        const [high, low] = left ? [destination!, source!] : [source!, destination!];
        const wide = count.extendU();
        if (left) {
          const pair = high.extendU().shl(32).or(low.extendU().shl(16)).or(high.extendU());
          const moved = pair.shl(wide);
          shifted = moved.shrU(32).wrap();
          carry = moved.shrU(48).wrap().and(1);
        } else {
          const pair = low.extendU().shl(32).or(high.extendU().shl(16)).or(low.extendU());
          shifted = pair.shrU(wide).wrap();
          carry = pair.shrU(wide.sub(1)).wrap().and(1);
        }
      } else {
        const rest = c.constant(bits, size).sub(count);
        shifted = left
          ? destination!.shl(count).or(source!.shrU(rest))
          : destination!.shrU(count).or(source!.shl(rest));
        carry = bitAt(destination!, left ? rest : count.sub(1));
      }
      const overflow = bitAt(shifted.xor(destination!), bits - 1);
      result.set(shifted);
      c.setResultFlags(shifted, packBits(fn, carry, overflow), size);
    });
    return result.get();
  });
}

const operations: [string, ReturnType<typeof shift>][] = [
  ['ROL', shift(rol)],
  ['ROR', shift(ror)],
  ['RCL', shift(rotateThroughCarry(true), 'width + 1')],
  ['RCR', shift(rotateThroughCarry(false), 'width + 1')],
  ['SHL', shift(shl)],
  ['SHR', shift(shr)],
  ['SHL', shift(shl)],
  ['SAR', shift(sar)],
];

/** Opcode rows of this file. */
export const shifts: readonly Row[] = [
  ...operations.flatMap(([name, does], digit) => [
    ...row(`C0 /${digit}`, `${name} Eb,Ib`, does),
    ...row(`C1 /${digit}`, `${name} Ev,Ib`, does),
    ...row(`D0 /${digit}`, `${name} Eb,1`, does),
    ...row(`D1 /${digit}`, `${name} Ev,1`, does),
    ...row(`D2 /${digit}`, `${name} Eb,CL`, does),
    ...row(`D3 /${digit}`, `${name} Ev,CL`, does),
  ]),
  ...row('0F A4', 'SHLD Ev,Gv,Ib', doubleShift(true)),
  ...row('0F A5', 'SHLD Ev,Gv,CL', doubleShift(true)),
  ...row('0F AC', 'SHRD Ev,Gv,Ib', doubleShift(false)),
  ...row('0F AD', 'SHRD Ev,Gv,CL', doubleShift(false)),
];
