/**
 * What a CPU under test implements to be held against the recorded vectors.
 *
 * A vector is a whole machine state, and what a real processor made of it. Every vector is user code (CPL 3)
 * with IA-32e paging active, in 64-bit or compatibility mode, and every run ends with an exception: either one
 * that the code raises, or the #GP(0) of the HLT instruction that follows the code and fills all code pages.
 */

/** A segment register: the visible selector and the hidden part that a load took from the descriptor. */
export interface SegmentState {
  selector: number;
  /** Linear base address; only FS and GS have more than 32 bits. */
  base: bigint;
  /** Limit in bytes, the granularity bit already applied (0 … 2^32 − 1). */
  limit: number;
  /**
   * Bits 8 to 23 of the descriptor's second doubleword, moved to bits 0 to 15: type, S, DPL and P in bits 0 to 7,
   * AVL, L, D/B and G in bits 12 to 15, zeros between. 0 for a segment register that holds a null selector.
   */
  attributes: number;
}

/** The order of {@link CpuState.segments}: the encoding of segment registers in ModRM.reg. */
export const segmentNames = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const;

/** Linear base and limit of a descriptor table. */
export interface TableRegister {
  base: bigint;
  limit: number;
}

/** The registers that user code can change. */
export interface UserState {
  /** RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 … R15. */
  gpr: BigUint64Array;
  rip: bigint;
  /** All of RFLAGS; its bits 22 and up are zero. */
  rflags: number;
  /** ES, CS, SS, DS, FS, GS. */
  segments: readonly SegmentState[];
  /**
   * x87, MMX, SSE and MXCSR as the 512 bytes that FXSAVE64 writes (SDM vol. 1, table 10-2); MXCSR_MASK is 0xffff and the
   * unused bytes from 416 on are zero.
   */
  fxsave: Uint8Array;
}

/** All registers that a vector starts from. */
export interface CpuState extends UserState {
  ldtr: SegmentState;
  tr: SegmentState;
  gdtr: TableRegister;
  idtr: TableRegister;
  cr0: number;
  cr3: number;
  cr4: number;
  efer: number;
  xcr0: number;
}

/** Bytes of physical memory. */
export interface MemoryBytes {
  /** Physical address. */
  address: number;
  bytes: Uint8Array;
}

/** A machine's state before a vector's code runs. */
export interface VectorState {
  cpu: CpuState;
  /**
   * Physical memory in whole pages: page tables, descriptor tables, code and data. The same array object for all
   * vectors of one layout, so a machine may keep the pages and put back only what a run changed.
   * Page tables have all accessed and dirty bits set and descriptors their accessed bit, so a right run leaves them as they are.
   */
  pages: readonly MemoryBytes[];
  /** What this vector changes in these pages: its code first, then data. */
  patches: readonly MemoryBytes[];
}

/** The exception (or software interrupt, or debug trap) that ended a run, before its delivery. */
export interface RaisedException {
  vector: number;
  /** 0 for a vector that pushes no error code. */
  errorCode: number;
  /** The faulting linear address of a page fault; 0n for all others. */
  cr2: bigint;
}

/** A machine's state where a run ended. */
export interface VectorOutcome {
  /** With RIP and CS as the exception would push them: of the faulting instruction, or after a trapping one. */
  cpu: UserState;
  /** `undefined` when `maxInstructions` passed without an exception: that is never right. */
  exception: RaisedException | undefined;
}

/** A CPU with memory that can be put into a vector's state and run to its first exception. */
export interface VectorMachine {
  /**
   * Takes up `state`, executes until the first exception, software interrupt or debug trap, and reports it without delivering it
   * (reading the IDT's gate where the instruction itself does: INT n from CPL 3 checks the gate's DPL).
   * Gives up after `maxInstructions` instructions; every iteration of a repeated string instruction may count as one.
   */
  run(state: VectorState, maxInstructions: number): VectorOutcome;
  /** Physical memory as the last run left it. May be a view that the next run changes. */
  memory(address: number, length: number): Uint8Array;
}
