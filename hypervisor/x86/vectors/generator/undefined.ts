/** What the manual leaves undefined after each instruction, by mnemonic (Intel SDM vol. 2, "Flags Affected" of its page). */
import type { Rule } from '../format.ts';
import { type Draft, rcx } from './draft.ts';
import type { Instruction } from './instruction.ts';

export const flagBits = { cf: 0x1, pf: 0x4, af: 0x10, zf: 0x40, sf: 0x80, of: 0x800 } as const;
const { cf, pf, af, zf, sf, of } = flagBits;

const page = (mnemonics: string, flags: number, text: string): [string, Rule][] =>
  mnemonics.split(' ').map((name) => [name, { manual: `SDM vol. 2, ${name.toUpperCase()}: ${text}`, flags }]);

/** Instructions whose undefined flags do not depend on operands. */
export const undefinedFlags: ReadonlyMap<string, Rule> = new Map([
  ...page('and or xor test', af, 'AF is undefined'),
  ...page('mul imul', sf | zf | af | pf, 'SF, ZF, AF and PF are undefined'),
  ...page('div idiv', cf | of | sf | zf | af | pf, 'CF, OF, SF, ZF, AF and PF are undefined'),
  ...page('bt bts btr btc', of | sf | af | pf, 'OF, SF, AF and PF are undefined'),
  ...page('bsf bsr', cf | of | sf | af | pf, 'CF, OF, SF, AF and PF are undefined'),
  ...page('aaa aas', of | sf | zf | pf, 'OF, SF, ZF and PF are undefined'),
  ...page('aam aad', of | af | cf, 'OF, AF and CF are undefined'),
  ...page('daa das', of, 'OF is undefined'),
]);

const shifts = new Set(['shl', 'sal', 'shr', 'sar']);
const rotates = new Set(['rol', 'ror', 'rcl', 'rcr']);
const doubleShifts = new Set(['shld', 'shrd']);

/** The mnemonics whose undefined flags depend on a shift count, and all flags that may be among them. */
export const countDependent: ReadonlyMap<string, number> = new Map([
  ...[...shifts].map((name) => [name, of | af | cf] as const),
  ...[...rotates].map((name) => [name, of] as const),
  ...[...doubleShifts].map((name) => [name, of | af] as const),
]);

function shiftRule(mnemonic: string, operandSize: number, count: number): Rule | undefined {
  const masked = count & (operandSize === 64 ? 63 : 31);
  if (masked === 0) return undefined; // "If the count is 0, the flags are not affected."
  const name = mnemonic.toUpperCase();
  if (rotates.has(mnemonic)) {
    return masked === 1
      ? undefined
      : { manual: `SDM vol. 2, ${name}: OF is undefined for multi-bit rotates`, flags: of };
  }
  let flags = af;
  let manual = `SDM vol. 2, ${name}: AF is undefined for a non-zero count`;
  if (masked !== 1) {
    flags |= of;
    manual += ', OF for any but 1';
  }
  if (shifts.has(mnemonic) && mnemonic !== 'sar' && masked >= operandSize) {
    flags |= cf;
    manual += ', CF for a count of the operand size or more';
  }
  return { manual, flags };
}

/** Adds what `instruction` leaves undefined to the draft. `before` is the state that it runs in. */
export function addUndefined(draft: Draft, instruction: Instruction): void {
  const { encoding, operandSize, immediates } = instruction;
  const { mnemonic } = encoding;
  if (countDependent.has(mnemonic)) {
    const byOne = encoding.opcode[0] === 0xd0 || encoding.opcode[0] === 0xd1;
    const count = byOne ? 1 : Number(immediates[0]?.value ?? draft.gpr(rcx) & 0xffn);
    const rule = shiftRule(mnemonic, operandSize, count);
    if (rule !== undefined) draft.addRule(rule);
    return;
  }
  const rule = undefinedFlags.get(mnemonic);
  if (rule !== undefined) draft.addRule(rule);
}
