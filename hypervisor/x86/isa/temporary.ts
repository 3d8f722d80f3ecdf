import * as layout from '../layout.ts';
import type { Semantics } from '../semantics.ts';
import { meaning, type Row, row } from './instruction.ts';

function desc(c: Semantics, sel: ReturnType<Semantics['i32']>) {
  c.faultUnless(c.fn.call(c.core.locate, c.cpu, sel, 8));
  const lin = c.fn.local('i64', c.state64(layout.result0));
  const h = c.fn.call(c.core.access, c.cpu, lin.get(), 8 | 0x800);
  return { d: c.fn.load('i64', h), lin };
}
function farTo(c: Semantics, sel: ReturnType<Semantics['i32']>): void {
  c.fn.callAll(c.core.setSegment, c.cpu, 1, sel, desc(c, sel).d);
}
const lret = meaning('', (c) => {
  const ip = c.fn.local('i64', c.load(c.stackAddress(0), 8));
  const cs = c.load(c.stackAddress(8), 8);
  farTo(c, cs.wrap().and(0xffff));
  c.moveStack(16);
  c.setState64(layout.rip, ip.get());
  c.updateMode();
  c.resume();
});
const lldt = meaning('r', (c, v) => {
  void v;
});
const ltr = meaning('r', (c, v) => {
  const { d, lin } = desc(c, v!);
  c.fn.callAll(c.core.setSegment, c.cpu, 7, v!, d);
  const h = c.fn.call(c.core.access, c.cpu, lin.get().add(8), 8 | 0x800);
  c.setState64(layout.segmentOffset(7), c.state64(layout.segmentOffset(7)).or(c.fn.load('i64', h).shl(32)));
});
const dr = meaning('r r', () => {});
const drr = meaning('w r', (c) => (c.code64 ? c.i64(0) : c.i32(0)));
export const temporary: readonly Row[] = [
  ...row('CB', 'RETF', lret, { ends: true }),
  ...row('0F 00 /2', 'LLDT Ew', lldt),
  ...row('0F 00 /3', 'LTR Ew', ltr),
  ...row('0F 21', 'MOV En,Dn', drr),
  ...row('0F 23', 'MOV Dn,En', dr),
];
