/** All instructions. */
import { arithmetic } from './arithmetic.ts';
import { bits } from './bits.ts';
import { controlFlow } from './control.ts';
import { debugRegisters } from './debug.ts';
import { decimals } from './decimal.ts';
import { farTransfers } from './far.ts';
import { flags } from './flag.ts';
import type { Row } from './instruction.ts';
import { interrupts } from './interrupt.ts';
import { moves } from './move.ts';
import { multiplications } from './muldiv.ts';
import { packedIntegers } from './packedinteger.ts';
import { protectionRows } from './protection.ts';
import { segmentRegisters } from './segment.ts';
import { shifts } from './shift.ts';
import { sse4 } from './sse4.ts';
import { sseConversions } from './sseconvert.ts';
import { sseFloat } from './ssefloat.ts';
import { sseStrings } from './ssestring.ts';
import { strings } from './string.ts';
import { system } from './system.ts';
import { vectorMoves } from './vectormove.ts';
import { x87Arithmetic } from './x87arithmetic.ts';
import { x87Control } from './x87control.ts';
import { x87Moves } from './x87move.ts';
import { xsave } from './xsave.ts';

/** The rows of every instruction that the CPU has, by family. */
export const rows: readonly Row[] = [
  ...controlFlow,
  ...arithmetic,
  ...moves,
  ...shifts,
  ...multiplications,
  ...bits,
  ...strings,
  ...flags,
  ...farTransfers,
  ...interrupts,
  ...segmentRegisters,
  ...protectionRows,
  ...debugRegisters,
  ...decimals,
  ...system,
  ...x87Moves,
  ...x87Arithmetic,
  ...x87Control,
  ...xsave,
  ...vectorMoves,
  ...packedIntegers,
  ...sse4,
  ...sseFloat,
  ...sseConversions,
  ...sseStrings,
];
