/**
 * Templates: the WebAssembly of one instruction, made once from its meaning and used wherever the instruction occurs.
 *
 * A template is for a form and a *shape*: what the code depends on besides numbers that can be filled in. Registers are
 * not part of it: they are locals, whose numbers are filled in. Nor are displacements, most immediates and places.
 * What the lazy flags are before the instruction, and whether anybody sees those it sets, makes variants.
 */
import type { BranchHint } from '../../wasm/emit.ts';
import type { ValueType } from '../../wasm/opcodes.ts';
import type { FlagState } from './flagstate.ts';

/** Numbers of the locals that templates name; a region maps them to its own. */
export const locals = {
  cpu: 0,
  record: 1,
  budget: 2,
  /** General registers 0 … 15. */
  gpr: 3,
  /** The general register in ModRM.reg, in ModRM.rm (or the address's base) and the address's index. */
  reg: 19,
  rm: 20,
  index: 21,
  pageBase: 22,
  tlb: 23,
  ccOp: 24,
  ccDst: 25,
  ccSrc: 26,
  /** The second operand of the subtraction that set the flags, sign-extended: only where it is known to be that. */
  ccOther: 27,
  exitCode: 28,
  exitValue: 29,
  /** Host address of the lowest byte that the accesses of a group go to (`groups.ts`). */
  group: 30,
  /** First of the template's own. */
  scratch: 31,
} as const;

/** Types of the locals that templates name, in order. */
export const localTypes: readonly ValueType[] = Array.from({ length: locals.scratch }, (_, number) =>
  number <= locals.budget ||
  number === locals.tlb ||
  number === locals.ccOp ||
  number === locals.exitCode ||
  number === locals.group
    ? 'i32'
    : 'i64',
);

/** Most locals of a template: their numbers take one byte. */
export const mostLocals = 128;

/** Value types in the order in which a region's function declares its locals. */
export const typeOrder: readonly ValueType[] = ['i64', 'i32', 'f64', 'f32', 'v128'];

/** What is filled into a constant: the instruction's numbers. */
export const numbers = {
  displacement: 0,
  immediate: 1,
  offset: 2,
  nextOffset: 3,
  target: 4,
  /** Of a group of accesses: distance of this one from the lowest byte, and of the lowest and the highest byte from this access. */
  groupOffset: 5,
  groupFirst: 6,
  groupLast: 7,
  /** From here on: {@link Template.codes}. */
  code: 8,
} as const;

/** Labels outside a template. */
export const labels = { exit: -1, taken: -2, jump: -3 } as const;

/** A constant that depends on where in its block the instruction stands. */
export type Code =
  /** A packed exit (`exitcode.ts`): `at` names the offset, `refund` is added to the instructions left; `op` undefined stands for the flags before the instruction. */
  | {
      readonly kind: 'exit';
      readonly leave: number;
      readonly at: 'offset' | 'nextOffset';
      readonly refund: number;
      readonly op: number | undefined;
    }
  /** Instructions of the block from this one on, plus `add`; or the negative of that. */
  | { readonly kind: 'left'; readonly add: number }
  | { readonly kind: 'minusLeft'; readonly add: number };

/** An instruction's only access to memory, where its address is one that others may be compared with (`groups.ts`). */
export interface MemoryAccess {
  /** At the memory operand's address, or at a distance from RSP. */
  readonly at: 'operand' | 'stack';
  readonly distance: number;
  readonly size: number;
  readonly writes: boolean;
}

/** What an access is within a group: the first one looks into the TLB, for reading alone or for writing as well, the others do not. */
export type GroupRole = 'alone' | 'firstToRead' | 'firstToWrite' | 'member';

/** Code of one instruction with holes. */
export interface Template {
  readonly bytes: Uint8Array;
  /** Places of numbers of locals in `bytes`. */
  readonly localsAt: Uint16Array;
  /** Places where LEB128 numbers belong, ascending; with each what belongs there: see {@link holeKinds}. */
  readonly holes: Int32Array;
  readonly codes: readonly Code[];
  /** Ascending, by places in `bytes`. */
  readonly hints: readonly BranchHint[];
  /** Types of its own locals, from `locals.scratch` on, by place in {@link typeOrder}; and the how-manieth of its type each is. */
  readonly scratchTypes: Uint8Array;
  readonly scratchOrdinals: Uint8Array;
  /** General registers that it reads or writes by number, as masks. */
  readonly gprRead: number;
  readonly gprWritten: number;
  /**
   * Whether it writes the registers in ModRM.reg and ModRM.rm, and whether it takes what they and the index held before, as it does with
   * what it writes only perhaps.
   */
  readonly writesReg: boolean;
  readonly writesRm: boolean;
  readonly readsReg: boolean;
  readonly readsRm: boolean;
  readonly readsIndex: boolean;
  readonly access: MemoryAccess | undefined;
  /** Whether it calls a routine of the core that may change the TLB other than by an access. */
  readonly calls: boolean;
  /** Whether it may change the budget by something else than its own execution: cut it, or charge it with time. */
  readonly stopsSoon: boolean;
  /** By how much it moves RSP; undefined when it sets RSP to something else. */
  readonly stackMove: number | undefined;
  /** Whether it can leave the region at its start, or behind it. */
  readonly exits: boolean;
  /** Whether it can leave by a jump. */
  readonly jumps: boolean;
  /** Whether it can leave once its flags are set. */
  readonly exitsBehind: boolean;
  /** Whether it can leave, or jump, when it has written a general register. */
  readonly exitsLate: boolean;
  readonly readsFlags: boolean;
  /** Whether some of the flags that it sets are those before it. */
  readonly keepsFlags: boolean;
  readonly writesFlags: 'never' | 'maybe' | 'always';
  /** The flags behind it, when it writes them. */
  readonly flagsAfter: FlagState;
}

/** A hole is three numbers: place in the bytes, kind, and what: a number of `numbers`, or a label and the constructs inside. */
export const holeKinds = {
  constant32: 0,
  constant64: 1,
  exitLabel: 2,
  takenLabel: 3,
  jumpLabel: 4,
  offset: 5,
} as const;
