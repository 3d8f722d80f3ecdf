/** HLT and PAUSE (SDM vol. 2). */
import * as exceptions from '../exceptions.ts';
import * as exits from '../exits.ts';
import * as layout from '../layout.ts';
import type { Semantics } from '../semantics.ts';
import { meaning, type Row, row } from './instruction.ts';

/** Raises #GP outside of privilege level 0. */
export function requireSupervisor(c: Semantics): void {
  c.raiseIf(c.state32(layout.cpl).ne(0), exceptions.GP);
}

const halt = meaning('', (c) => {
  requireSupervisor(c);
  c.setState32(layout.halted, 1);
  c.leave(exits.halt);
});

const pause = meaning('', (c) => {
  c.leave(exits.pause);
});

/** Opcode rows of this file. */
export const system: readonly Row[] = [
  ...row('F4', 'HLT', halt, { ends: true }),
  ...row('F3 90', 'PAUSE', pause, { ends: true }),
];
