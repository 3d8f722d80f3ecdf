/** Far JMP, CALL and RET (SDM vol. 2). */
import type { FunctionRef } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import type { Semantics } from '../semantics.ts';
import { meaning, type Row, row } from './instruction.ts';

type Routine = (c: Semantics) => FunctionRef;

const jump: Routine = (c) => c.core.farJump;
const call: Routine = (c) => c.core.farCall;

/** Goes to selector:offset (i32, i64). */
function go(c: Semantics, routine: Routine, selector: Value, offset: Value): void {
  if (routine === call) c.transfer(routine(c), selector, offset, c.size);
  else c.transfer(routine(c), selector, offset);
}

/** The address stands in the instruction. */
function direct(routine: Routine) {
  return meaning('a', (c) => {
    const address = c.immediateValue(8);
    go(c, routine, address.shrU(32).wrap().and(0xffff), address.and(0xffff_ffff));
  });
}

/** The address stands in memory, the offset first. */
function indirect(routine: Routine) {
  return meaning('a', (c) => {
    const address = c.memoryAddress();
    const offset = c.load(address, c.size);
    const selector = c.load(c.at(address, c.size), 2);
    go(c, routine, selector, c.size === 8 ? offset : offset.extendU());
  });
}

const farReturn = meaning('', (c) => {
  c.transfer(c.core.farReturn, c.size, 0);
});

const farReturnPop = meaning('r', (c, bytes) => {
  c.transfer(c.core.farReturn, c.size, bytes!);
});

const ends = { ends: true } as const;
const legacy = { ends: true, mode: 'not64' } as const;

/** Opcode rows of this file. */
export const farTransfers: readonly Row[] = [
  ...row('EA', 'JMP Ap', direct(jump), legacy),
  ...row('9A', 'CALL Ap', direct(call), legacy),
  ...row('FF /5 mem', 'JMP Mp', indirect(jump), ends),
  ...row('FF /3 mem', 'CALL Mp', indirect(call), ends),
  ...row('CB', 'RETF', farReturn, ends),
  ...row('CA', 'RETF Iw', farReturnPop, ends),
];
