/** LAR, LSL, VERR, VERW, ARPL, LLDT, LTR, SLDT, STR (SDM vol. 2). */
import type { Value } from '../../wasm/value.ts';
import { inspections } from '../core/protection.ts';
import * as exceptions from '../exceptions.ts';
import { ZF } from '../flags.ts';
import * as layout from '../layout.ts';
import { protectedMode, virtual8086 } from '../mode.ts';
import type { Semantics } from '../semantics.ts';
import { meaning, type Row, row } from './instruction.ts';
import { requireSupervisor, requireUmip } from './system.ts';

/** #UD in real-address and virtual-8086 mode. */
function requireProtected(c: Semantics): void {
  const mode = c.state32(layout.mode);
  c.raiseIf(mode.and(protectedMode | virtual8086).ne(protectedMode), exceptions.UD);
}

function setZero(c: Semantics, zero: Value): void {
  c.setAllFlags(
    c
      .allFlags()
      .and(~ZF)
      .or(c.fn.select(zero, c.i32(ZF), c.i32(0))),
  );
}

/** Whether a selector passes an inspection (i32); what was found is in result0 then. */
function inspect(c: Semantics, selector: Value, what: number): Value {
  requireProtected(c);
  const found = c.fn.local('i32', c.fn.call(c.core.inspect, c.cpu, selector.and(0xffff), what));
  c.fn.if(found.get().ltS(0), () => c.fault());
  return found.get();
}

/** LAR and LSL: the destination changes only when the selector passes. */
function load(what: number) {
  return meaning('a r', (c, selector) => {
    const passes = inspect(c, selector!, what);
    const { size } = c;
    const result = c.state64(layout.result0);
    c.fn.if(passes, () => c.writeRegister(c.regPlace(), size, size === 8 ? result : result.wrap()));
    setZero(c, passes);
  });
}

function verify(what: number) {
  return meaning('r', (c, selector) => setZero(c, inspect(c, selector!, what)));
}

/** The destination is read, and written only when its RPL is the lower one. */
const adjustRpl = meaning('a r', (c, source) => {
  requireProtected(c);
  const { memory } = c.form;
  const old = memory ? c.load(c.memoryAddress(), 2) : c.readRegister(c.rmPlace(), 2);
  const destination = c.fn.local('i32', old).get();
  const lower = destination.and(3).ltU(source!.and(3));
  c.fn.if(lower, () => {
    const adjusted = destination.and(0xfffc).or(source!.and(3));
    if (memory) c.store(c.memoryAddress(), 2, adjusted);
    else c.writeRegister(c.rmPlace(), 2, adjusted);
  });
  setZero(c, lower);
});

function store(segment: number) {
  return meaning('w', (c) => {
    requireProtected(c);
    requireUmip(c);
    const selector = c.state32(layout.segmentOffset(segment) + layout.segmentSelector);
    return !c.form.memory && c.size === 8 ? selector.extendU() : selector;
  });
}

/** LLDT and LTR. The privilege is checked before the operand is read. */
function loadSystem(routine: 'loadLdtr' | 'loadTr') {
  return meaning('a', (c) => {
    requireProtected(c);
    requireSupervisor(c);
    const selector = c.form.memory ? c.load(c.memoryAddress(), 2) : c.readRegister(c.rmPlace(), 2);
    c.faultUnless(c.fn.call(c.core[routine], c.cpu, selector));
  });
}

/** Opcode rows of this file. */
export const protectionRows: readonly Row[] = [
  ...row('0F 02', 'LAR Gv,Ew', load(inspections.rights)),
  ...row('0F 03', 'LSL Gv,Ew', load(inspections.limit)),
  ...row('0F 00 /4', 'VERR Ew', verify(inspections.read)),
  ...row('0F 00 /5', 'VERW Ew', verify(inspections.write)),
  ...row('63', 'ARPL Ew,Gw', adjustRpl, { mode: 'not64' }),
  ...row('0F 00 /0 mem', 'SLDT Ew', store(layout.LDTR)),
  ...row('0F 00 /0 reg', 'SLDT Ev', store(layout.LDTR)),
  ...row('0F 00 /1 mem', 'STR Ew', store(layout.TR)),
  ...row('0F 00 /1 reg', 'STR Ev', store(layout.TR)),
  ...row('0F 00 /2', 'LLDT Ew', loadSystem('loadLdtr')),
  ...row('0F 00 /3', 'LTR Ew', loadSystem('loadTr')),
];
