/**
 * How control leaves a region, packed into one number: what a region's code sets before it branches to the region's end,
 * where one piece of code writes the state back and goes on accordingly.
 */

/** What happens behind the region's end. */
export const leave = {
  /** The interpreter executes the instruction at an offset of the page. */
  interpret: 0,
  /** The same, where the first access of a group found no entry in the TLB that serves for all: see `core.missed`, which takes the exit value. */
  missed: 1,
  /** Goes on at the state's RIP, whatever waits there (interrupts, traps). */
  enter: 2,
  /** A jump to the linear address in the exit value. These two have an end of their own, being the most frequent. */
  jump: 3,
  /** The same within the page, or just behind it: control stays there whatever has become of the page's TLB entry. */
  within: 4,
} as const;

/** Whether a kind of leaving has the end of jumps. */
export function leavesByJump(kind: number): boolean {
  return kind === leave.jump || kind === leave.within;
}

/** Stands for an operation of the lazy flags (`ccOp`) that is only known when the code runs: it is in its variable. */
export const variableOp = 63;

const kindBits = 3;
const offsetBits = 13;
const refundBits = 10;
/** Where the fields of a packed exit are. */
export const exitFields = {
  kind: { shift: 0, mask: (1 << kindBits) - 1 },
  offset: { shift: kindBits, mask: (1 << offsetBits) - 1 },
  refund: { shift: kindBits + offsetBits, mask: (1 << refundBits) - 1 },
  op: { shift: kindBits + offsetBits + refundBits, mask: 63 },
} as const;

/** Most instructions in a block: their number must fit into the refund. */
export const longestBlock = 256;

/**
 * Packs an exit.
 * @param offset distance from the start of the page, 0 … 4096
 * @param refund units of time that have been charged for instructions that were not executed
 * @param op `ccOp` where it is known, or {@link variableOp}
 */
export function packExit(kind: number, offset: number, refund: number, op: number): number {
  return (
    kind |
    (offset << exitFields.offset.shift) |
    (refund << exitFields.refund.shift) |
    (op << exitFields.op.shift)
  );
}
