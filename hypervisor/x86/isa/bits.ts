/** BT, BTS, BTR, BTC, BSF, BSR, POPCNT, CRC32 (SDM vol. 2). */
import type { Value } from '../../wasm/value.ts';
import { ZF } from '../flags.ts';
import type { Address, Semantics } from '../semantics.ts';
import { meaning, type Row, row } from './instruction.ts';

/** Replaces CF, leaving the other flags: OF, SF, AF, PF are undefined, ZF stays. */
function setCarry(c: Semantics, carry: Value): void {
  c.setAllFlags(c.allFlags().and(~1).or(carry));
}

type BitChange = ((value: Value, mask: Value) => Value) | undefined;

/** Bit `position` (already below the width) of a value: its state, and the value with it changed. */
function testBit(
  value: Value,
  position: Value,
  change: BitChange,
  one: Value,
): { bit: Value; result: Value } {
  const shifted = value.shrU(position);
  const bit = (shifted.type === 'i64' ? shifted.wrap() : shifted).and(1);
  return { bit, result: change === undefined ? value : change(value, one.shl(position)) };
}

/** With an immediate: the position is taken modulo the width, in memory as well. */
function bitImmediate(change: BitChange) {
  return meaning(change === undefined ? 'r r' : 'rw r', (c, value, immediate) => {
    const position = immediate!.and(8 * c.size - 1);
    const { bit, result } = testBit(
      value!,
      c.size === 8 ? position.extendU() : position,
      change,
      c.constant(1, c.size),
    );
    setCarry(c, bit);
    return change === undefined ? undefined : result;
  });
}

/** With a register: in memory the position selects any bit of a string that starts at the operand. */
function bitRegister(change: BitChange) {
  return meaning('a r', (c, position) => {
    const { size } = c;
    const bits = 8 * size;
    const inWidth = position!.and(bits - 1);
    const one = c.constant(1, size);
    if (!c.form.memory) {
      const place = c.rmPlace();
      const { bit, result } = testBit(c.readRegister(place, size), inWidth, change, one);
      if (change !== undefined) c.writeRegister(place, size, result);
      setCarry(c, bit);
      return;
    }
    const address = c.memoryAddress();
    const words = c.signed(position!, size).shrS(Math.log2(bits));
    const at: Address = { ...address, offset: c.cut(address.offset.add(words.shl(Math.log2(size)))) };
    const target = c.probe(at, size, change === undefined ? 'r' : 'rw');
    const { bit, result } = testBit(c.loadAt(target, size), inWidth, change, one);
    if (change !== undefined) c.storeAt(target, size, result);
    setCarry(c, bit);
  });
}

const changes: [string, BitChange][] = [
  ['BT', undefined],
  ['BTS', (value, mask) => value.or(mask)],
  ['BTR', (value, mask) => value.and(mask.not())],
  ['BTC', (value, mask) => value.xor(mask)],
];

/** BSF and BSR: a source of zero sets ZF and leaves the destination (as processors do, where the manual says undefined). */
function scan(direction: 'forward' | 'reverse') {
  return meaning('a r', (c, source) => {
    const { fn, size } = c;
    const zero = source!.eqz();
    const place = c.regPlace();
    fn.if(zero.eqz(), () => {
      const top = c.constant(size === 8 ? 63 : 31, size);
      c.writeRegister(place, size, direction === 'forward' ? source!.ctz() : top.sub(source!.clz()));
    });
    // Only ZF is defined; the others are those of the source as a result.
    c.setAllFlags(zero.mul(ZF));
  });
}

const populationCount = meaning('w r', (c, source) => {
  c.setAllFlags(source!.eqz().mul(ZF));
  return source!.popcnt();
});

/** One byte of CRC-32C, reflected polynomial 0x82F63B78 (SDM vol. 2, CRC32: 0x11EDC6F41 bit-reversed). */
function crcByte(c: Semantics, crc: Value, byte: Value): Value {
  const { fn } = c;
  const state = fn.local('i32', crc.xor(byte.and(0xff)));
  for (let i = 0; i < 8; i++) {
    const value = state.get();
    state.set(value.shrU(1).xor(value.and(1).negate().and(0x82f6_3b78)));
  }
  return state.get();
}

function crc(bytes: (c: Semantics) => number) {
  return meaning('a r', (c, source) => {
    const place = c.regPlace();
    let state = c.readRegister(place, 4);
    for (let i = 0; i < bytes(c); i++) {
      const shifted = source!.shrU(8 * i);
      state = crcByte(c, state, shifted.type === 'i64' ? shifted.wrap() : shifted);
    }
    // Clears the upper half of a 64-bit destination as well.
    c.writeRegister(place, 4, state);
  });
}

/** Opcode rows of this file. */
export const bits: readonly Row[] = [
  ...changes.flatMap(([name, change], i) => {
    const lock = { lock: change !== undefined };
    return [
      ...row(`0F ${(0xa3 + 8 * i).toString(16)}`, `${name} Ev,Gv`, bitRegister(change), lock),
      ...row(`0F BA /${4 + i}`, `${name} Ev,Ib`, bitImmediate(change), lock),
    ];
  }),
  ...row('0F BC', 'BSF Gv,Ev', scan('forward')),
  ...row('0F BD', 'BSR Gv,Ev', scan('reverse')),
  ...row('F3 0F B8', 'POPCNT Gv,Ev', populationCount),
  ...row(
    'F2 0F 38 F0',
    'CRC32 Gy,Eb',
    crc(() => 1),
  ),
  ...row(
    'F2 0F 38 F1',
    'CRC32 Gy,Ev',
    crc((c) => c.size),
  ),
];
