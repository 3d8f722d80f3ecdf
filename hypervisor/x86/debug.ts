/** Bits of the debug registers DR6 and DR7 (SDM vol. 3, 17.2). */

/** DR6: a debug register was about to be accessed with DR7.GD set. */
export const BD = 1 << 13;
/** DR6: single step. */
export const BS = 1 << 14;
/** DR6: switch to a task whose TSS has its T bit set. */
export const BT = 1 << 15;

/** DR7: bits beyond the enable bits of the four breakpoints (0 … 7) and their conditions (16 … 31). */
export const DR7 = { LE: 1 << 8, GE: 1 << 9, GD: 1 << 13 } as const;

/** Bits of DR6 and DR7 that a program can change, and those that are always set; the others read as zero. */
export const writableDr6 = 15 | BD | BS | BT;
export const fixedDr6 = 0xffff_0ff0 | 0;
export const writableDr7 = 0xffff_0000 | 0xff | DR7.LE | DR7.GE | DR7.GD | 0;
export const fixedDr7 = 1 << 10;
