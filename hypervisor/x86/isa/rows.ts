/** All instructions. */
import { arithmetic } from './arithmetic.ts';
import { bits } from './bits.ts';
import { controlFlow } from './control.ts';
import type { Row } from './instruction.ts';
import { moves } from './move.ts';
import { multiplications } from './muldiv.ts';
import { shifts } from './shift.ts';
import { strings } from './string.ts';
import { system } from './system.ts';

/** The rows of every instruction that the CPU has, by family. */
export const rows: readonly Row[] = [
  ...controlFlow,
  ...arithmetic,
  ...moves,
  ...shifts,
  ...multiplications,
  ...bits,
  ...strings,
  ...system,
];
