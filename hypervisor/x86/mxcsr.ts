/** The bits of MXCSR, the control and status register of SSE arithmetic (SDM vol. 1, 10.2.3). */

/** Exception flags, which are sticky: invalid operation, denormal operand, divide by zero, overflow, underflow, precision. */
export const IE = 0x01;
export const DE = 0x02;
export const ZE = 0x04;
export const OE = 0x08;
export const UE = 0x10;
export const PE = 0x20;
/** The exceptions that are found before anything is computed; unmasked, they leave no trace of the others (SDM vol. 1, 11.5.3). */
export const beforeComputing = IE | DE | ZE;
/** Denormal operands count as zero. */
export const DAZ = 0x40;
/** A masked exception of flag `f` has mask bit `f << maskShift`. */
export const maskShift = 7;
/** Rounding control: two bits. */
export const roundingShift = 13;
/** Results that underflow become zero when the underflow exception is masked. */
export const FTZ = 0x8000;
/** MXCSR_MASK: the bits that exist; LDMXCSR with any other raises #GP. */
export const valid = 0xffff;
/** MXCSR after reset: everything masked, rounding to nearest. */
export const initial = 0x1f80;

/** Rounding modes, as MXCSR and the immediate of ROUNDPS encode them (SDM vol. 1, table 4-8). */
export const nearest = 0;
export const down = 1;
export const up = 2;
export const truncate = 3;

/**
 * Bits that decide whether native arithmetic, which rounds to nearest and knows no exceptions, stands for SSE's:
 * masks, rounding, DAZ, FTZ, and the precision flag, which must be set already, since native arithmetic does not tell
 * whether a result is exact.
 */
export const nativeMask = 0xffe0;
/** Their values then. */
export const native = initial | PE;
/** The same without the precision flag: native arithmetic stands for SSE's where the result is known to be exact. */
export const exactMask = nativeMask & ~PE;
