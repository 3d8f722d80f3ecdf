/**
 * The routines behind x87 instructions (`x87*.ts`, `xsave.ts`): they work on the register stack in the vCPU's state and
 * carry out the responses to exceptions, masked and unmasked (SDM vol. 1, 8.4 and 8.5). The first parameter is the vCPU's base; a
 * `position` is the i of ST(i).
 */
import { signature } from './signature.ts';

export const x87Types = {
  // x87stack.ts
  /** (cpu) → 1, or 0 after recording #NM or #MF: for when CR0.EM, CR0.TS or the status word's ES is set. */
  x87Ready: signature('i32', 'i32'),
  /** (cpu, flags) → 1 when one of them is unmasked. Sets them, C1 as it is among them, and ES and B. */
  x87Signal: signature('i32 i32', 'i32'),
  /** (cpu, host address of the register, number, flags) → 1 when it was written: no unmasked exception forbids it. */
  x87Result: signature('i32 i32 i64 i32 i32', 'i32'),
  /** (cpu, host address of the register, flags): stack fault; the masked response writes the indefinite there. */
  x87StackFault: signature('i32 i32 i32', 'i32'),
  x87Pop: signature('i32'),
  /** (cpu, number): pushes. */
  x87Push: signature('i32 i64 i32'),
  // x87move.ts
  /** (cpu, number from single or double precision, flags): pushes it, quieting a NaN. */
  x87Load: signature('i32 i64 i32 i32'),
  /** (cpu, position): FLD ST(i). */
  x87LoadRegister: signature('i32 i32'),
  /** (cpu, number of the constant: low three bits of the opcode D9 E8 …). */
  x87LoadConstant: signature('i32 i32'),
  /** (cpu, format) → ST(0) in this format: low 64 bits, the bits above; flags, negative when nothing is to be stored. */
  x87Convert: signature('i32 i32', 'i64 i32 i32'),
  /** (cpu, flags of `x87Convert`, 1 to pop): completes the store. */
  x87Stored: signature('i32 i32 i32'),
  /** (cpu, position, 1 to pop, 2 for `uncheckedPop`): FST ST(i). */
  x87StoreRegister: signature('i32 i32 i32'),
  /** (cpu, position): FXCH. */
  x87Exchange: signature('i32 i32'),
  /** (cpu, position, condition): FCMOVcc. */
  x87ConditionalMove: signature('i32 i32 i32'),
  /** (cpu, position, 1 to pop): FFREE. */
  x87Free: signature('i32 i32 i32'),
  /** (cpu, 1 or −1): FINCSTP, FDECSTP. */
  x87Rotate: signature('i32 i32'),
  // x87arithmetic.ts
  /** (cpu, operation, second operand, options); see `float80Binary`. */
  x87Arithmetic: signature('i32 i32 i64 i32 i32'),
  /** (cpu, operation, position, how): how bit 0: the result goes to ST(i), bit 1: pops. */
  x87ArithmeticRegister: signature('i32 i32 i32 i32'),
  /** (cpu, second operand, options, 1 to pop): FCOM, FCOMP, FICOM, FICOMP with memory. */
  x87Compare: signature('i32 i64 i32 i32 i32'),
  /** (cpu, position, 1 for FUCOM, how often to pop). */
  x87CompareRegister: signature('i32 i32 i32 i32'),
  /** (cpu, position, 1 for FUCOMI, 1 to pop) → ZF, PF, CF at their places. */
  x87CompareFlags: signature('i32 i32 i32 i32', 'i32'),
  /** FTST. */
  x87Test: signature('i32'),
  /** FXAM. */
  x87Examine: signature('i32'),
  /** (cpu, mask, value): FCHS, FABS: the sign bit is cleared by the mask and inverted by the value. */
  x87Sign: signature('i32 i32 i32'),
  /** (cpu, operation): ST(0) becomes a function of it; operations in `x87arithmetic.ts`. */
  x87Unary: signature('i32 i32'),
  /** (cpu, operation): ST(0) becomes a function of ST(0) and ST(1). */
  x87Scale: signature('i32 i32'),
  /** (cpu, operation): ST(0) becomes one function of it, and another one is pushed. */
  x87Pair: signature('i32 i32'),
  /** (cpu, operation): ST(1) becomes a function of ST(0) and ST(1), and ST(0) is popped. */
  x87Combine: signature('i32 i32'),
  // x87state.ts
  /** (cpu): FNINIT. */
  x87Initialize: signature('i32'),
  /** (cpu, control word). */
  x87SetControl: signature('i32 i32'),
  /** (cpu) → status word with TOP. */
  x87Status: signature('i32', 'i32'),
  /** (cpu, status word): sets it and TOP; ES and B follow from the flags and masks. */
  x87SetStatus: signature('i32 i32'),
  /** (cpu) → tag word in two bits a register. */
  x87Tags: signature('i32', 'i32'),
  /** (cpu, size 2 or 4): the environment, then the registers, into the image area. */
  x87SaveImage: signature('i32 i32'),
  /** (cpu, size 2 or 4, 1 for the registers, too): takes them up from the image area. */
  x87LoadImage: signature('i32 i32 i32'),
  // image.ts
  /** (cpu, linear, length, kind of access) → 1 when all these bytes can be accessed, 0 after recording a fault. */
  imageReach: signature('i32 i64 i32 i32', 'i32'),
  /** (cpu, linear, offset in the image, length, kind of access): copies from the image area to memory, which is reached already. */
  imageStore: signature('i32 i64 i32 i32 i32', 'i32'),
  /** Likewise from memory to the image area. */
  imageLoad: signature('i32 i64 i32 i32 i32', 'i32'),
  /**
   * (cpu, offset of the segment's base, offset, mask of offsets, kind of access, length, size of the environment's fields): copies the x87
   * environment, and what follows it in registers, between image area and memory outside of 64-bit mode. An area that leaves the
   * segment is accessed field by field, up to the one that cannot be.
   */
  imageInSegment: signature('i32 i32 i64 i64 i32 i32 i32', 'i32'),
  // xsave.ts
  /** (cpu, 1 for 64-bit pointers): the legacy area of FXSAVE and XSAVE, made in the image area. */
  xsaveLegacy: signature('i32 i32'),
  /** (cpu, 1 for 64-bit pointers): x87 state from the image area's legacy area. */
  xrstorX87: signature('i32 i32'),
  /** (cpu): XMM registers from the image area; 16 in 64-bit mode, otherwise 8. */
  xrstorSse: signature('i32'),
  /** (cpu, linear, kind of access, 1 for 64-bit pointers) → 1, or 0 after recording a fault. */
  fxsave: signature('i32 i64 i32 i32', 'i32'),
  fxrstor: signature('i32 i64 i32 i32', 'i32'),
  /** (cpu, linear, kind of access, 1 for 64-bit pointers, requested components, 1 to leave out what is in its initial state). */
  xsave: signature('i32 i64 i32 i32 i32 i32', 'i32'),
  xrstor: signature('i32 i64 i32 i32 i32', 'i32'),
} as const;
