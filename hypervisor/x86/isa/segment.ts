/** MOV, PUSH and POP of segment registers, LDS, LES, LFS, LGS, LSS (SDM vol. 2). */
import type { Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import type { Semantics } from '../semantics.ts';
import { meaning, type Row, row } from './instruction.ts';

/** Selector in a segment register (i32). */
function selectorOf(c: Semantics, number: Value): Value {
  return c.fn.load(
    'i32',
    c.cpu.add(number.mul(layout.segmentSize)),
    layout.segments + layout.segmentSelector,
  );
}

/** Loads a segment register; faults when it may not hold the selector. */
function loadSegment(c: Semantics, number: Value, selector: Value): void {
  c.beforeCall();
  const loaded = c.fn.call(c.core.loadSegment, c.cpu, number, selector.and(0xffff));
  c.afterCall();
  c.faultUnless(loaded);
}

const store = meaning('w r', (c, number) => {
  const selector = selectorOf(c, number!);
  return !c.form.memory && c.size === 8 ? selector.extendU() : selector;
});

const load = meaning('r a', (c, number) => {
  c.raiseIf(number!.eq(layout.CS), exceptions.UD);
  const selector = c.form.memory ? c.load(c.memoryAddress(), 2) : c.readRegister(c.rmPlace(), 2);
  loadSegment(c, number!, selector);
  c.fn.if(number!.eq(layout.SS), () => c.startShadow(layout.shadows.stack));
});

function push(number: number) {
  return meaning('', (c) => {
    const selector = selectorOf(c, c.i32(number));
    // Of a 32-bit operand processors write the selector alone.
    if (c.size === 8) c.store(c.stackAddress(-8), 8, selector.extendU());
    else c.store(c.stackAddress(-c.size), 2, selector);
    c.moveStack(-c.size);
  });
}

function pop(number: number) {
  return meaning('', (c) => {
    const selector = c.load(c.stackAddress(0), 2);
    // The new stack segment's size does not matter: RSP moves in the old one.
    const mask = number === layout.SS ? c.fn.local('i64', c.stackMask()).get() : undefined;
    loadSegment(c, c.i32(number), selector);
    if (mask === undefined) c.moveStack(c.size);
    else {
      const old = c.gpr(4, 8);
      c.setGpr(4, old.and(mask.not()).or(old.add(c.size).and(mask)), 8);
      c.startShadow(layout.shadows.stack);
    }
  });
}

function loadPointer(number: number) {
  return meaning('w a', (c) => {
    const address = c.memoryAddress();
    const offset = c.load(address, c.size);
    const selector = c.load(c.at(address, c.size), 2);
    loadSegment(c, c.i32(number), selector);
    return offset;
  });
}

const legacy = { mode: 'not64' } as const;
const stack64 = { size64: 'default' } as const;

/** Opcode rows of this file. */
export const segmentRegisters: readonly Row[] = [
  ...row('8C mem', 'MOV Ew,Sw', store),
  ...row('8C reg', 'MOV Ev,Sw', store),
  ...row('8E', 'MOV Sw,Ew', load),
  ...row('06', 'PUSH', push(layout.ES), legacy),
  ...row('0E', 'PUSH', push(layout.CS), legacy),
  ...row('16', 'PUSH', push(layout.SS), legacy),
  ...row('1E', 'PUSH', push(layout.DS), legacy),
  ...row('0F A0', 'PUSH', push(layout.FS), stack64),
  ...row('0F A8', 'PUSH', push(layout.GS), stack64),
  ...row('07', 'POP', pop(layout.ES), legacy),
  ...row('17', 'POP', pop(layout.SS), legacy),
  ...row('1F', 'POP', pop(layout.DS), legacy),
  ...row('0F A1', 'POP', pop(layout.FS), stack64),
  ...row('0F A9', 'POP', pop(layout.GS), stack64),
  ...row('C5 mem', 'LDS Gv,Mp', loadPointer(layout.DS), legacy),
  ...row('C4 mem', 'LES Gv,Mp', loadPointer(layout.ES), legacy),
  ...row('0F B2 mem', 'LSS Gv,Mp', loadPointer(layout.SS)),
  ...row('0F B4 mem', 'LFS Gv,Mp', loadPointer(layout.FS)),
  ...row('0F B5 mem', 'LGS Gv,Mp', loadPointer(layout.GS)),
];
