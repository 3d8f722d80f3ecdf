/**
 * Decoded code. A code page is 4 KiB of guest code in decoded form: for each byte offset the record of the
 * instruction that starts there, made when it is first reached. Code pages belong to content: all frames of
 * all guests that hold the same bytes (and are executed in the same code size) share one.
 *
 * A record is what the interpreter executes: which handler, and where its operands are. Records of
 * consecutive instructions follow each other. Every address in them is relative to the page, every register
 * an offset into the vCPU's state, so a record fits every guest.
 */

/**
 * Offsets of a code page's parts in memory. Of the entries there is one a byte of the page (i32): positive, the leader of the
 * code that starts there; negative, minus the record of an instruction that was only reached from the one before; 0,
 * not decoded.
 */
export const entriesOffset = 0;
/** The bytes that the page stands for. */
export const contentOffset = 4096 * 4;
/**
 * What it is decoded for (i32): bits 0 … 1 the code size (0: 16 bits, 1: 32, 2: 64). Bits 2 … : when the code segment's
 * limit lies in this page, how many of its bytes are within; otherwise 0.
 */
export const codeModeOffset = contentOffset + 4096;
export const codeSizeMask = 3;
export const codeEndShift = 2;
/**
 * Pages of a kernel's text serve guests whose kernels are at other addresses as well (`decode/relocation.ts`). The slide of the
 * guest that the content is of (i32), and {@link sharing}.
 */
export const slideOffset = codeModeOffset + 4;
export const sharingOffset = codeModeOffset + 8;
/** How a code page is shared (u8): bits. */
export const sharing = {
  /** Constants that move are kept without the slide. */
  slides: 1,
  /** Which ones move is known from a second guest's copy; otherwise those that look like addresses are taken for such. */
  known: 2,
} as const;
/** Words that are known to move with the slide and against it: a bit for the place of each one's last byte. */
export const forwardOffset = codeModeOffset + 16;
export const backwardOffset = forwardOffset + 512;
export const codePageSize = backwardOffset + 512;

/** Size of a record. */
export const recordSize = 32;
/** Table entry of the function that executes the record (i32). */
export const handler = 0;
/** Operand of ModRM.reg, or of the opcode's low bits: offset into the state (u16). */
export const reg = 4;
/** Operand of ModRM.rm when a register; otherwise the address's base register (u16). */
export const rm = 6;
/** The address's index register (u16). */
export const index = 8;
/** Offset of the base of the address's segment (u16). */
export const segment = 10;
/** Displacement, sign-extended when used (i32); for 64-bit ones see `immediate`. */
export const displacement = 12;
/** Immediate operand (i64); for a direct jump, the target's distance from the start of the page. */
export const immediate = 16;
/** Distance of the instruction from the start of the page, 0 … 4096 (u16). */
export const offset = 24;
/** Length of the instruction in bytes; 0 for records that are no instruction (u8). */
export const length = 26;
/**
 * Bits 0 … 1: log2 of the address's scale. Bit 2: the address is in the stack segment. Bits 3 … 7: how often the accesses of a group that starts here
 * lay in two pages (`translate/groups.ts`), up to {@link mostFailures}.
 */
export const addressFlags = 27;
export const scaleMask = 3;
export const stackFlag = 4;
export const failuresShift = 3;
export const mostFailures = 31;
/**
 * For a direct jump: the record of its target; 0 when not yet known; −1 when the target is not in this page (i32).
 * For a crossing: the first alternative, and there the next one.
 */
export const link = 28;

/**
 * Where control arrives by a jump, a leader stands in front of the instruction: it counts, in its displacement, how often that
 * happens, and leads on to the instruction's record, its link. Once the code is translated, its handler is the
 * translation.
 */
export const heat = displacement;
/** Of a leader: its heat when it was last looked at; see `translate/lulls.ts` (i32). */
export const heatBefore = index;
/** Of a leader: the host address of the entry that names it (i32). */
export const leaderOf = reg;

/**
 * An instruction that reaches into the next page depends on that page as well. Its record is a `crossing`, which
 * chooses among alternatives by the next page's decoded form. An alternative is three records: a head that names
 * that page in its immediate, the instruction, and a jump behind it.
 */
export const alternativePage = immediate;
