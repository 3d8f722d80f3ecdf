/** What instructions of a sequence read and leave undefined: no sequence lets an undefined flag decide anything that is compared. */
import type { Encoding } from './encoding.ts';
import type { Instruction } from './instruction.ts';
import { countDependent, flagBits, undefinedFlags } from './undefined.ts';
import { undefinedConditions } from './undefined-x87.ts';

const { cf, pf, af, zf, sf, of } = flagBits;
const allFlags = cf | pf | af | zf | sf | of;

const conditionReads: Record<string, number> = {
  o: of,
  no: of,
  b: cf,
  ae: cf,
  e: zf,
  ne: zf,
  be: cf | zf,
  a: cf | zf,
  s: sf,
  ns: sf,
  p: pf,
  np: pf,
  l: sf | of,
  ge: sf | of,
  le: sf | of | zf,
  g: sf | of | zf,
};

const reads = new Map<string, number>([
  ...['adc', 'sbb', 'rcl', 'rcr', 'cmc'].map((name) => [name, cf] as const),
  ['lahf', sf | zf | af | pf | cf],
  ['pushf', allFlags],
  ['aaa', af],
  ['aas', af],
  ['daa', af | cf],
  ['das', af | cf],
  ['into', of],
]);

/** The flags that an instruction's results depend on. */
export function readFlags({ mnemonic }: Encoding): number {
  const condition = /^(?:set|cmov|j)(.+)$/.exec(mnemonic)?.[1];
  return reads.get(mnemonic) ?? (condition === undefined ? 0 : (conditionReads[condition] ?? 0));
}

const words = (text: string) => text.split(' ');
const definesAll = new Set(
  words(
    'add sub cmp neg adc sbb xadd cmpxchg cmpsb cmps scasb scas popcnt comiss ucomiss comisd ucomisd ptest pcmpestri pcmpestrm pcmpistri pcmpistrm fcomi fucomi fcomip fucomip popf',
  ),
);
const defines = new Map<string, number>([
  ...words('and or xor test').map((name) => [name, allFlags & ~af] as const),
  ...words('inc dec').map((name) => [name, allFlags & ~cf] as const),
  ...words('mul imul').map((name) => [name, cf | of] as const),
  ...words('bt bts btr btc clc stc cmc').map((name) => [name, cf] as const),
  ...words('bsf bsr cmpxchg8b cmpxchg16b').map((name) => [name, zf] as const),
  ['sahf', sf | zf | af | pf | cf],
  ...words('aaa aas').map((name) => [name, af | cf] as const),
  ...words('daa das').map((name) => [name, sf | zf | af | pf | cf] as const),
  ...words('aam aad').map((name) => [name, sf | zf | pf] as const),
]);

/** Flags and x87 condition codes that are undefined at a point of a sequence. */
export interface Undefined {
  flags: number;
  conditions: number;
}

function shiftFlags(instruction: Instruction, before: number): number {
  const { encoding, operandSize, immediates } = instruction;
  const may = countDependent.get(encoding.mnemonic)!;
  const byOne = encoding.opcode[0] === 0xd0 || encoding.opcode[0] === 0xd1;
  const rotate = may === of;
  if (!byOne && immediates.length === 0) return before | may; // CL is known at run time alone
  const count = byOne ? 1 : Number(immediates[0]!.value) & (operandSize === 64 ? 63 : 31);
  if (count === 0) return before;
  let undefinedNow = rotate ? 0 : af;
  if (count !== 1) undefinedNow |= of;
  if (count >= operandSize && encoding.mnemonic !== 'sar' && !rotate) undefinedNow |= cf;
  // RCL by a multiple of the operand size and one leaves CF as it was.
  const defined = rotate ? (encoding.mnemonic.startsWith('rc') ? 0 : cf) | of : allFlags;
  return (before & ~defined) | undefinedNow;
}

// x87 instructions that define all of C0 to C3.
const definesConditions = new Set(
  words('fcom fcomp fcompp fucom fucomp fucompp ficom ficomp ftst fxam fprem fprem1 fninit fnsave'),
);
const c1 = 0x200;

/** What is undefined behind an instruction, given what was before it. */
export function undefinedBehind(instruction: Instruction, before: Undefined): Undefined {
  const { mnemonic } = instruction.encoding;
  const isX87 = mnemonic.startsWith('f');
  const conditions = definesConditions.has(mnemonic)
    ? 0
    : isX87
      ? (before.conditions & ~c1) | undefinedConditions(mnemonic)
      : before.conditions;
  if (countDependent.has(mnemonic)) return { flags: shiftFlags(instruction, before.flags), conditions };
  const defined = definesAll.has(mnemonic) ? allFlags : (defines.get(mnemonic) ?? 0);
  // A repeated comparison may make no comparison at all.
  if (instruction.repeat !== undefined && defined !== 0) return { flags: before.flags, conditions };
  return { flags: (before.flags & ~defined) | (undefinedFlags.get(mnemonic)?.flags ?? 0), conditions };
}
