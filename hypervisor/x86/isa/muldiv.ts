/** MUL, IMUL, DIV, IDIV (SDM vol. 2). */
import type { Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import { packBits } from '../flags.ts';
import type { Semantics } from '../semantics.ts';
import { meaning, type Row, row } from './instruction.ts';

function sizeOf(c: Semantics): number {
  return c.form.row.operands[0]!.size === 'b' ? 1 : c.size;
}

/** SF, ZF, AF, PF are undefined after a multiplication; they are those of the low half here. */
function setMultiplyFlags(c: Semantics, low: Value, overflow: Value, size: number): void {
  c.setResultFlags(low, packBits(c.fn, overflow, overflow), size);
}

/** The upper 64 bits of an unsigned product of 64-bit values. */
export function multiplyHighUnsigned(a: Value, b: Value): Value {
  const low = 0xffff_ffffn;
  const [a0, a1, b0, b1] = [a.and(low), a.shrU(32), b.and(low), b.shrU(32)];
  const middle = a1.mul(b0).add(a0.mul(b0).shrU(32));
  const second = a0.mul(b1).add(middle.and(low));
  return a1.mul(b1).add(middle.shrU(32)).add(second.shrU(32));
}

/** The upper 64 bits of a signed product of 64-bit values. */
function multiplyHighSigned(a: Value, b: Value): Value {
  return multiplyHighUnsigned(a, b).sub(a.shrS(63).and(b)).sub(b.shrS(63).and(a));
}

/** Writes a double-width result: AX, DX:AX, EDX:EAX or RDX:RAX. */
function setPair(c: Semantics, low: Value, high: Value, size: number): void {
  if (size === 1) c.setGpr(0, low.and(0xff).or(high.shl(8)), 2);
  else {
    c.setGpr(0, low, size);
    c.setGpr(2, high, size);
  }
}

const multiply = meaning('r', (c, source) => {
  const size = sizeOf(c);
  const accumulator = c.gpr(0, size);
  if (size === 8) {
    const low = accumulator.mul(source!);
    const high = multiplyHighUnsigned(accumulator, source!);
    setPair(c, low, high, size);
    setMultiplyFlags(c, low, high.ne(0), size);
    return;
  }
  const product = accumulator.extendU().mul(source!.extendU());
  const high = product.shrU(8 * size).wrap();
  setPair(c, product.wrap(), high, size);
  setMultiplyFlags(c, product.wrap(), high.ne(0), size);
});

const multiplySigned = meaning('r', (c, source) => {
  const size = sizeOf(c);
  const accumulator = c.gpr(0, size);
  if (size === 8) {
    const low = accumulator.mul(source!);
    const high = multiplyHighSigned(accumulator, source!);
    setPair(c, low, high, size);
    setMultiplyFlags(c, low, high.ne(low.shrS(63)), size);
    return;
  }
  const product = c.signed(accumulator, size).mul(c.signed(source!, size));
  const low = product.wrap();
  setPair(c, low, product.shrU(8 * size).wrap(), size);
  setMultiplyFlags(c, low, c.signed(low, size).ne(product), size);
});

/** The product of two and three operands: truncated, with CF and OF telling whether it was cut. */
function truncatedProduct(c: Semantics, a: Value, b: Value): Value {
  const { size } = c;
  if (size === 8) {
    const low = a.mul(b);
    setMultiplyFlags(c, low, multiplyHighSigned(a, b).ne(low.shrS(63)), size);
    return low;
  }
  const product = c.signed(a, size).mul(c.signed(b, size));
  const low = product.wrap();
  setMultiplyFlags(c, low, c.signed(low, size).ne(product), size);
  return low;
}

const multiplyTwo = meaning('rw r', (c, a, b) => truncatedProduct(c, a!, b!));
const multiplyThree = meaning('w r r', (c, a, b) => truncatedProduct(c, a!, b!));

/** Divides RDX:RAX by a 64-bit value. All values are unsigned; the quotient fits. */
function divide128(
  c: Semantics,
  high: Value,
  low: Value,
  divisor: Value,
): { quotient: Value; remainder: Value } {
  const { fn } = c;
  const quotient = fn.local('i64');
  const remainder = fn.local('i64');
  fn.if(
    high.eqz(),
    () => {
      quotient.set(low.divU(divisor));
      remainder.set(low.remU(divisor));
    },
    () => {
      // Schoolbook division bit by bit: the remainder may need 65 bits, whose top one is `carry`.
      remainder.set(high);
      quotient.set(low);
      const left = fn.local('i32', 64);
      fn.loop((again) => {
        const carry = remainder.get().shrU(63).wrap();
        remainder.set(remainder.get().shl(1).or(quotient.get().shrU(63)));
        quotient.set(quotient.get().shl(1));
        fn.if(carry.or(remainder.get().geU(divisor)), () => {
          remainder.set(remainder.get().sub(divisor));
          quotient.set(quotient.get().or(1));
        });
        left.set(left.get().sub(1));
        again.brIf(left.get());
      });
    },
  );
  return { quotient: quotient.get(), remainder: remainder.get() };
}

/** The dividend of sizes 1, 2 and 4 in 64 bits, zero-extended. */
function dividend(c: Semantics, size: number): Value {
  if (size === 1) return c.gpr(0, 2).extendU();
  const low = c.gpr(0, size).extendU();
  return c
    .gpr(2, size)
    .extendU()
    .shl(8 * size)
    .or(low);
}

function setQuotient(c: Semantics, quotient: Value, remainder: Value, size: number): void {
  if (size === 1) c.setGpr(0, quotient.and(0xff).or(remainder.shl(8)), 2);
  else {
    c.setGpr(0, quotient, size);
    c.setGpr(2, remainder, size);
  }
}

const divide = meaning('r', (c, divisor) => {
  const size = sizeOf(c);
  c.raiseIf(divisor!.eqz(), exceptions.DE);
  if (size === 8) {
    const high = c.gpr(2, 8);
    c.raiseIf(high.geU(divisor!), exceptions.DE);
    const { quotient, remainder } = divide128(c, high, c.gpr(0, 8), divisor!);
    setQuotient(c, quotient, remainder, size);
    return;
  }
  const number = dividend(c, size);
  const by = divisor!.extendU();
  const quotient = number.divU(by);
  c.raiseIf(quotient.shrU(8 * size).ne(0), exceptions.DE);
  setQuotient(c, quotient.wrap(), number.remU(by).wrap(), size);
});

const divideSigned = meaning('r', (c, divisor) => {
  const size = sizeOf(c);
  c.raiseIf(divisor!.eqz(), exceptions.DE);
  if (size === 8) {
    divideSigned128(c, divisor!);
    return;
  }
  const wide = dividend(c, size);
  const number = size === 4 ? wide : size === 2 ? wide.wrap().extendS() : wide.wrap().extend16S().extendS();
  const by = c.signed(divisor!, size);
  // The one quotient that even 64 bits cannot hold.
  if (size === 4) c.raiseIf(number.eq(-(2n ** 63n)).and(by.eq(-1)), exceptions.DE);
  const quotient = number.divS(by);
  c.raiseIf(c.signed(quotient.wrap(), size).ne(quotient), exceptions.DE);
  setQuotient(c, quotient.wrap(), number.remS(by).wrap(), size);
});

/** IDIV of RDX:RAX: by magnitudes, then the signs. */
function divideSigned128(c: Semantics, divisor: Value): void {
  const [high, low] = [c.gpr(2, 8), c.gpr(0, 8)];
  const sign = high.shrS(63);
  // Negation of the pair when the sign is all ones.
  const lowMagnitude = low.xor(sign).sub(sign);
  const borrow = sign.ne(0).and(low.eqz()).extendU();
  const highMagnitude = high.xor(sign).add(borrow);
  const divisorSign = divisor.shrS(63);
  const divisorMagnitude = divisor.xor(divisorSign).sub(divisorSign);
  c.raiseIf(highMagnitude.geU(divisorMagnitude), exceptions.DE);
  const { quotient, remainder } = divide128(c, highMagnitude, lowMagnitude, divisorMagnitude);
  const quotientSign = sign.xor(divisorSign);
  // A magnitude of 2^63 fits only as a negative number.
  const limit = quotientSign.and(1).add(2n ** 63n - 1n);
  c.raiseIf(quotient.gtU(limit), exceptions.DE);
  setQuotient(c, quotient.xor(quotientSign).sub(quotientSign), remainder.xor(sign).sub(sign), 8);
}

/** Opcode rows of this file. */
export const multiplications: readonly Row[] = [
  ...row('F6 /4', 'MUL Eb', multiply),
  ...row('F7 /4', 'MUL Ev', multiply),
  ...row('F6 /5', 'IMUL Eb', multiplySigned),
  ...row('F7 /5', 'IMUL Ev', multiplySigned),
  ...row('0F AF', 'IMUL Gv,Ev', multiplyTwo),
  ...row('69', 'IMUL Gv,Ev,Iz', multiplyThree),
  ...row('6B', 'IMUL Gv,Ev,Ibv', multiplyThree),
  ...row('F6 /6', 'DIV Eb', divide),
  ...row('F7 /6', 'DIV Ev', divide),
  ...row('F6 /7', 'IDIV Eb', divideSigned),
  ...row('F7 /7', 'IDIV Ev', divideSigned),
];
