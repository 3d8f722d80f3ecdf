/** PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM of SSE4.2 (SDM vol. 2, 4.1). */
import type { Value } from '../../wasm/value.ts';
import { CF, OF, SF, ZF } from '../flags.ts';
import * as layout from '../layout.ts';
import type { Semantics } from '../semantics.ts';
import { type Meaning, meaning, type Row, row } from './instruction.ts';
import { lanesOfBits, zeroExtended, zeros } from './packed.ts';

const RAX = 0;
const RCX = 1;
const RDX = 2;
/** The immediate's bit for words instead of bytes. */
const words = 1;
/** The immediate's bit for the most significant index, or for a mask of whole elements. */
const outputSelection = 0x40;

/** How many elements there are before the first that is zero. */
function implicitLength(c: Semantics, string: Value, control: Value): Value {
  const { fn } = c;
  const zero = zeros(fn);
  const inBytes = string.apply('i8x16.eq', zero).apply('i8x16.bitmask').or(0x1_0000);
  const inWords = string.apply('i16x8.eq', zero).apply('i16x8.bitmask').or(0x100);
  return fn.select(control.and(words), inWords, inBytes).ctz();
}

/** The magnitude of a register, at most the number of elements. */
function explicitLength(c: Semantics, register: number, most: Value): Value {
  const { fn } = c;
  const size = c.form.w ? 8 : 4;
  const value = c.signed(c.gpr(register, size), size);
  const magnitude = fn.select(value.ltS(0), value.negate(), value);
  // The most negative number has no magnitude, but is large all the same as an unsigned one.
  return fn.select(magnitude.gtU(most.extendU()), most, magnitude.wrap());
}

/** A lane of ones for each bit: bytes or words. */
function expanded(c: Semantics, bits: Value, control: Value): Value {
  const { fn } = c;
  const places = fn.v128(Array.from({ length: 16 }, (_, i) => i >> 3));
  const each = fn.v128(Array.from({ length: 16 }, (_, i) => 1 << (i & 7)));
  const bytes = bits
    .apply('i32x4.splat')
    .apply('i8x16.swizzle', places)
    .apply('v128.and', each)
    .apply('i8x16.eq', each);
  return fn.select(control.and(words), lanesOfBits(bits, 2), bytes);
}

function setMask(c: Semantics, bits: Value, control: Value): void {
  const wide = expanded(c, bits, control);
  const mask = c.fn.select(control.and(outputSelection), wide, zeroExtended(c.fn, bits));
  c.writeXmm(layout.xmmOffset(0), 16, mask);
}

function setIndex(c: Semantics, bits: Value, control: Value, most: Value): void {
  const { fn } = c;
  // With the bit behind the last element set, the lowest one is the number of elements when there is no match.
  const lowest = bits.or(fn.i32(1).shl(most)).ctz();
  const highest = fn.select(bits, fn.i32(31).sub(bits.clz()), most);
  c.setGpr(RCX, fn.select(control.and(outputSelection), highest, lowest), 4);
}

function compare(lengths: 'explicit' | 'implicit', output: 'index' | 'mask'): Meaning {
  return meaning('r r r', (c, a, b, control) => {
    const { fn } = c;
    const most = fn.select(control!.and(words), fn.i32(8), 16);
    const [lengthA, lengthB] =
      lengths === 'explicit'
        ? [explicitLength(c, RAX, most), explicitLength(c, RDX, most)]
        : [implicitLength(c, a!, control!), implicitLength(c, b!, control!)];
    const bits = fn.call(c.core.compareStrings, a!, b!, lengthA, lengthB, control!);
    const flags = bits
      .ne(0)
      .mul(CF)
      .or(lengthB.ltU(most).mul(ZF))
      .or(lengthA.ltU(most).mul(SF))
      .or(bits.and(1).mul(OF));
    c.setAllFlags(flags);
    if (output === 'mask') setMask(c, bits, control!);
    else setIndex(c, bits, control!, most);
  });
}

const unaligned = { unaligned: true } as const;

/** Opcode rows of this file. */
export const sseStrings: readonly Row[] = [
  ...row('66 0F 3A 60', 'PCMPESTRM Vdq,Wdq,Ib', compare('explicit', 'mask'), unaligned),
  ...row('66 0F 3A 61', 'PCMPESTRI Vdq,Wdq,Ib', compare('explicit', 'index'), unaligned),
  ...row('66 0F 3A 62', 'PCMPISTRM Vdq,Wdq,Ib', compare('implicit', 'mask'), unaligned),
  ...row('66 0F 3A 63', 'PCMPISTRI Vdq,Wdq,Ib', compare('implicit', 'index'), unaligned),
];
