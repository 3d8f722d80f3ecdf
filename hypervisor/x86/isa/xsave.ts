/** FXSAVE, FXRSTOR, XSAVE, XRSTOR, XSAVEOPT, XGETBV, XSETBV (SDM vol. 1, chapter 13; vol. 2). */
import type { Value } from '../../wasm/value.ts';
import { fxsaveBytes, supportedComponents, xsaveBytes } from '../core/xsave.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import { writes } from '../memoryaccess.ts';
import { CR0, CR4 } from '../mode.ts';
import type { Semantics } from '../semantics.ts';
import { meaning, type Row, row } from './instruction.ts';

/**
 * Linear address of a long memory operand, and the kind of its accesses. With an `alignment` above 1, #GP unless the address
 * has it, before the segment's limit is looked at.
 */
export function areaOperand(
  c: Semantics,
  length: number,
  kind: 0 | typeof writes,
  alignment = 1,
): { linear: Value; kind: Value } {
  const address = c.memoryAddress();
  if (!c.code64 && alignment > 1) {
    const base = c.fn.load('i64', c.cpu.add(address.segment));
    c.raiseIf(
      base
        .add(address.offset)
        .wrap()
        .and(alignment - 1),
      exceptions.GP,
    );
  }
  const linear = c.linear(address, length, kind === writes ? 'w' : 'r');
  if (c.code64) c.raiseIf(linear.wrap().and(alignment - 1), exceptions.GP);
  const inStack = typeof address.stack === 'boolean' ? c.i32(0) : address.stack;
  return { linear, kind: inStack.or(kind) };
}

/** Calls a routine that accesses a long operand, and may reach devices in doing so; it gives 0 after recording a fault. */
export function callForArea(c: Semantics, call: () => Value): void {
  c.beforeCall();
  const done = call();
  c.afterCall();
  c.faultUnless(done);
}

/** EDX:EAX; the processor's components are all in EAX. */
function requested(c: Semantics): Value {
  return c.gpr(0, 4);
}

function requireFx(c: Semantics): void {
  c.raiseIf(c.state32(layout.cr0).and(CR0.EM | CR0.TS), exceptions.NM);
}

function requireXsave(c: Semantics): void {
  c.raiseIf(c.state32(layout.cr4).and(CR4.OSXSAVE).eqz(), exceptions.UD);
}

const fx = (name: 'fxsave' | 'fxrstor') =>
  meaning('a', (c) => {
    requireFx(c);
    const { linear, kind } = areaOperand(c, fxsaveBytes, name === 'fxsave' ? writes : 0, 16);
    callForArea(c, () => c.fn.call(c.core[name], c.cpu, linear, kind, c.form.w ? 1 : 0));
  });

const save = (optimized: 0 | 1) =>
  meaning('a', (c) => {
    requireXsave(c);
    c.raiseIf(c.state32(layout.cr0).and(CR0.TS), exceptions.NM);
    const { linear, kind } = areaOperand(c, xsaveBytes, writes, 64);
    const wide = c.form.w ? 1 : 0;
    callForArea(c, () => c.fn.call(c.core.xsave, c.cpu, linear, kind, wide, requested(c), optimized));
  });

const restore = meaning('a', (c) => {
  requireXsave(c);
  c.raiseIf(c.state32(layout.cr0).and(CR0.TS), exceptions.NM);
  // Here the segment's limit comes before the alignment.
  const { linear, kind } = areaOperand(c, xsaveBytes, 0);
  c.raiseIf(linear.wrap().and(63), exceptions.GP);
  callForArea(c, () => c.fn.call(c.core.xrstor, c.cpu, linear, kind, c.form.w ? 1 : 0, requested(c)));
});

const getExtendedControl = meaning('', (c) => {
  requireXsave(c);
  // ECX = 1 is not there: CPUID leaf 0DH, sub-leaf 1, does not report it.
  c.raiseIf(c.gpr(1, 4), exceptions.GP);
  const value = c.state64(layout.xcr0);
  c.setGpr(0, value.wrap(), 4);
  c.setGpr(2, value.shrU(32).wrap(), 4);
});

const setExtendedControl = meaning('', (c) => {
  requireXsave(c);
  const value = c.gpr(0, 4);
  const wrong = c.gpr(2, 4).or(value.and(~supportedComponents)).or(value.and(1).eqz());
  c.raiseIf(c.state32(layout.cpl).or(c.gpr(1, 4)).or(wrong), exceptions.GP);
  c.setState64(layout.xcr0, value.extendU());
});

/** Opcode rows of this file. */
export const xsave: readonly Row[] = [
  ...row('NP 0F AE /0 mem', 'FXSAVE M', fx('fxsave')),
  ...row('NP 0F AE /1 mem', 'FXRSTOR M', fx('fxrstor')),
  ...row('NP 0F AE /4 mem', 'XSAVE M', save(0)),
  ...row('NP 0F AE /5 mem', 'XRSTOR M', restore),
  ...row('NP 0F AE /6 mem', 'XSAVEOPT M', save(1)),
  ...row('NP 0F 01 modrm:D0', 'XGETBV', getExtendedControl),
  ...row('NP 0F 01 modrm:D1', 'XSETBV', setExtendedControl),
];
