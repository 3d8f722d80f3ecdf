/**
 * The arithmetic flags CF, PF, AF, ZF, SF, OF in lazy form: an operation leaves its kind, its result and one
 * source, and whoever needs a flag computes it from those.
 *
 * `ccOp` is `kind << 2 | log2(operand size in bytes)`. `ccDst` is the result and `ccSrc` a source, both
 * sign-extended from the operand size to 64 bits; then ZF, SF, PF, CF and AF do not depend on the size.
 *
 * | kind | ccDst | ccSrc |
 * |---|---|---|
 * | explicit | – | the six flags at their places in RFLAGS |
 * | add, adc | a + b, a + b + 1 | b |
 * | sub, sbb | a − b, a − b − 1 | a |
 * | logic | result | – (CF = AF = OF = 0) |
 * | inc, dec | result | CF before |
 * | bits | result, for ZF, SF, PF | CF, AF, OF at their places in RFLAGS |
 */
import type { FunctionBuilder } from '../wasm/function.ts';
import type { Operand, Value } from '../wasm/value.ts';

export const CF = 0x0001;
export const PF = 0x0004;
export const AF = 0x0010;
export const ZF = 0x0040;
export const SF = 0x0080;
export const OF = 0x0800;
/** The six arithmetic flags. */
export const arithmeticFlags = CF | PF | AF | ZF | SF | OF;

export const TF = 0x0100;
export const IF = 0x0200;
export const DF = 0x0400;
export const IOPL = 0x3000;
export const NT = 0x4000;
export const RF = 0x1_0000;
export const VM = 0x2_0000;
export const AC = 0x4_0000;
export const VIF = 0x8_0000;
export const VIP = 0x10_0000;
export const ID = 0x20_0000;
/** Bit 1 of RFLAGS, always set. */
export const FIXED = 0x0002;
/** Every flag that can change. */
export const allFlags = arithmeticFlags | TF | IF | DF | IOPL | NT | RF | VM | AC | VIF | VIP | ID;

/** Kinds of lazy flags; see the top of this file. */
export const kinds = ['explicit', 'add', 'adc', 'sub', 'sbb', 'logic', 'inc', 'dec', 'bits'] as const;
/** One of the kinds of lazy flags. */
export type FlagKind = (typeof kinds)[number];

/** `ccOp` of a kind at an operand size of 1, 2, 4 or 8 bytes. */
export function ccOpOf(kind: FlagKind, size: number): number {
  return (kinds.indexOf(kind) << 2) | (31 - Math.clz32(size));
}

/** The lazy flags as values: what is known when code is made, or what stands in the vCPU's state. */
export interface LazyFlags {
  readonly op: Value;
  readonly dst: Value;
  readonly src: Value;
}

/** A one-bit i32 value as an i64. */
function bit(value: Value): Value {
  return value.extendU();
}

/** ZF as 0 or 1 (i32) of a kind other than explicit. */
function zeroOf(flags: LazyFlags): Value {
  return flags.dst.eqz();
}

function signOf(flags: LazyFlags): Value {
  return flags.dst.shrU(63).wrap();
}

function parityOf(flags: LazyFlags): Value {
  return flags.dst.wrap().and(0xff).popcnt().and(1).xor(1);
}

/** The second operand of an addition or subtraction, exact in the bits of the operand size. */
function otherOperand(kind: FlagKind, flags: LazyFlags): Value {
  const { dst, src } = flags;
  switch (kind) {
    case 'add':
      return dst.sub(src);
    case 'adc':
      return dst.sub(src).sub(1);
    case 'sub':
      return src.sub(dst);
    default:
      return src.sub(dst).sub(1);
  }
}

/** CF as 0 or 1 (i32) of a known kind. */
export function carryOf(kind: FlagKind, flags: LazyFlags): Value {
  const { dst, src } = flags;
  switch (kind) {
    case 'add':
      return dst.ltU(src);
    case 'adc':
      return dst.leU(src);
    case 'sub':
      return src.ltU(dst);
    case 'sbb':
      return src.leU(dst);
    case 'logic':
      return dst.fn.i32(0);
    default:
      return src.wrap().and(1);
  }
}

/** OF as 0 or 1 (i32) of a known kind; `op` tells the size. */
export function overflowOf(kind: FlagKind, flags: LazyFlags): Value {
  const { op, dst, src } = flags;
  const signBit = (value: Value) =>
    value
      .shrU(dst.fn.i32(8).shl(op.and(3)).sub(1).extendU())
      .wrap()
      .and(1);
  const lowest = () => dst.fn.i64(-1).shl(dst.fn.i32(8).shl(op.and(3)).sub(1).extendU());
  switch (kind) {
    case 'add':
    case 'adc':
      return signBit(src.xor(dst).and(otherOperand(kind, flags).xor(dst)));
    case 'sub':
    case 'sbb':
      return signBit(src.xor(dst).and(src.xor(otherOperand(kind, flags))));
    case 'logic':
      return dst.fn.i32(0);
    case 'inc':
      return dst.eq(lowest());
    case 'dec':
      // The result is the largest positive number: one below the lowest, at the operand size.
      return dst.eq(lowest().not());
    default:
      return src.wrap().shrU(11).and(1);
  }
}

/** AF as 0 or 1 (i32) of a known kind. */
function adjustOf(kind: FlagKind, flags: LazyFlags): Value {
  const { dst, src } = flags;
  switch (kind) {
    case 'add':
    case 'adc':
    case 'sub':
    case 'sbb':
      return src.xor(dst).xor(otherOperand(kind, flags)).wrap().shrU(4).and(1);
    case 'logic':
      return dst.fn.i32(0);
    case 'inc':
      return dst.wrap().and(15).eqz();
    case 'dec':
      return dst.wrap().and(15).eq(15);
    default:
      return src.wrap().shrU(4).and(1);
  }
}

/** All six flags at their places in RFLAGS (i32), of a known kind. */
export function allOf(kind: FlagKind, flags: LazyFlags): Value {
  if (kind === 'explicit') return flags.src.wrap();
  return carryOf(kind, flags)
    .or(parityOf(flags).shl(2))
    .or(adjustOf(kind, flags).shl(4))
    .or(zeroOf(flags).shl(6))
    .or(signOf(flags).shl(7))
    .or(overflowOf(kind, flags).shl(11));
}

/** Which of the flags ZF, SF, PF a condition wants; the rest go through the kind. */
export function resultFlag(flag: 'z' | 's' | 'p', kind: FlagKind, flags: LazyFlags): Value {
  if (kind === 'explicit')
    return flags.src
      .wrap()
      .shrU(flag === 'z' ? 6 : flag === 's' ? 7 : 2)
      .and(1);
  return flag === 'z' ? zeroOf(flags) : flag === 's' ? signOf(flags) : parityOf(flags);
}

/**
 * The condition tttn of Jcc, SETcc and CMOVcc (SDM vol. 2, B.1.4.7) as 0 or 1 (i32), of flags of a known kind.
 * After a subtraction or a logical operation the comparison itself is made.
 */
export function conditionOf(code: number, kind: FlagKind, flags: LazyFlags): Value {
  const negate = (code & 1) !== 0;
  const value = positiveCondition(code >> 1, kind, flags);
  return negate ? value.eqz() : value;
}

function positiveCondition(code: number, kind: FlagKind, flags: LazyFlags): Value {
  const { dst, src } = flags;
  const zero = () => resultFlag('z', kind, flags);
  const sign = () => resultFlag('s', kind, flags);
  switch (code) {
    case 0:
      return overflowOf(kind, flags);
    case 1:
      return carryOf(kind, flags);
    case 2:
      return zero();
    case 3:
      return carryOf(kind, flags).or(zero());
    case 4:
      return sign();
    case 5:
      return resultFlag('p', kind, flags);
    case 6:
      if (kind === 'logic') return dst.ltS(0);
      if (kind === 'sub' && flags.op.number !== undefined) return src.ltS(subtrahend(flags));
      return sign().xor(overflowOf(kind, flags));
    default:
      if (kind === 'logic') return dst.leS(0);
      if (kind === 'sub' && flags.op.number !== undefined) return src.leS(subtrahend(flags));
      return sign().xor(overflowOf(kind, flags)).or(zero());
  }
}

/** What was subtracted, sign-extended from the operand size. */
function subtrahend(flags: LazyFlags): Value {
  const value = flags.src.sub(flags.dst);
  switch (flags.op.number! & 3) {
    case 0:
      return value.extend8S();
    case 1:
      return value.extend16S();
    case 2:
      return value.extend32S();
    default:
      return value;
  }
}

/** Computes something from flags whose kind is only known when the code runs: one case a kind. */
export function byKind(fn: FunctionBuilder, flags: LazyFlags, compute: (kind: FlagKind) => Value): Value {
  const result = fn.local('i32');
  fn.switch(
    flags.op.shrU(2),
    kinds.map((kind) => () => result.set(compute(kind))),
    () => fn.unreachable(),
  );
  return result.get();
}

/** Flags CF, AF and OF at their places (i64), as the source of kind `bits`; each is 0 or 1 (i32) or absent. */
export function packBits(
  fn: FunctionBuilder,
  carry: Operand,
  overflow: Operand = 0,
  adjust: Operand = 0,
): Value {
  const cf = fn.value(carry, 'i32');
  const of = fn.value(overflow, 'i32');
  const af = fn.value(adjust, 'i32');
  return bit(cf.or(of.shl(11)).or(af.shl(4)));
}
