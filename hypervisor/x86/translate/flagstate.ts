/** What is known of the lazy flags at a point of a region. */
import { variableOp } from './exitcode.ts';

/**
 * `ccOp` where it is known, or `variableOp`; with bit 6 set when the flags are those of a subtraction whose second
 * operand is in its variable, so that a condition can compare directly.
 */
export type FlagState = number;

/** Nothing is known: the operation is in its variable. */
export const unknownFlags: FlagState = variableOp;
const hasOtherBit = 64;

/** The flags of a known operation. */
export function knownFlags(op: number, hasOther: boolean): FlagState {
  return op | (hasOther ? hasOtherBit : 0);
}

/** `ccOp` or `variableOp`. */
export function opOf(state: FlagState): number {
  return state & variableOp;
}

/** Whether the second operand of the subtraction is known. */
export function hasOther(state: FlagState): boolean {
  return (state & hasOtherBit) !== 0;
}

/** What is known where two paths meet. */
export function meet(a: FlagState, b: FlagState): FlagState {
  if (opOf(a) !== opOf(b)) return unknownFlags;
  return hasOther(a) && hasOther(b) ? a : opOf(a);
}
