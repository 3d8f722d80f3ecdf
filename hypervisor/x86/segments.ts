/**
 * Segment registers and descriptors (SDM vol. 3, 3.4).
 *
 * The state keeps attributes as descriptor bits 40 … 55: type in bits 0 … 3, S 4, DPL 5 … 6, P 7, then (from 12 on) AVL,
 * L 13, D/B 14, G 15. A register that holds a null selector has P clear.
 */

/** Bits of the attributes. */
export const accessed = 0x0001;
/** Of a data segment: writable. Of a code segment: readable. */
export const readWrite = 0x0002;
/** Of a data segment: expands down. Of a code segment: conforming. */
export const expandDown = 0x0004;
export const conforming = 0x0004;
export const isCode = 0x0008;
/** S: a code or data segment, not a system one. */
export const notSystem = 0x0010;
export const presentBit = 0x0080;
export const longBit = 0x2000;
export const bigBit = 0x4000;
export const granularity = 0x8000;

/** System descriptor types (SDM vol. 3, table 3-2). */
export const types = {
  tss16Available: 1,
  ldt: 2,
  tss16Busy: 3,
  callGate16: 4,
  taskGate: 5,
  interruptGate16: 6,
  trapGate16: 7,
  tss32Available: 9,
  tss32Busy: 11,
  callGate32: 12,
  interruptGate32: 14,
  trapGate32: 15,
} as const;
