/** MOV to and from debug registers (SDM vol. 2, MOV). */
import * as layout from '../layout.ts';
import { meaning, type Row, row } from './instruction.ts';
import { resumeNext } from './system.ts';

const read = meaning('w r', (c, number) => {
  c.faultUnless(c.fn.call(c.core.debugAllowed, c.cpu, number!));
  // DR4 and DR5 are DR6 and DR7.
  const register = c.fn.select(number!.geU(4), number!.or(2), number!);
  const value = c.fn.load('i64', c.cpu.add(register.shl(3)), layout.dr);
  return c.code64 ? value : value.wrap();
});

const write = meaning('r r', (c, number, value) => {
  const wide = c.code64 ? value! : value!.extendU();
  c.faultUnless(c.fn.call(c.core.writeDebug, c.cpu, number!, wide));
  resumeNext(c);
});

/** Opcode rows of this file. */
export const debugRegisters: readonly Row[] = [
  ...row('0F 21', 'MOV En,Dn', read),
  ...row('0F 23', 'MOV Dn,En', write, { ends: true }),
];
