/** The preparations that encoding rows name with `@`: state in which an instruction does something worth recording. */

import { localDescriptors } from '../layout.ts';
import { adversarialInteger } from '../values.ts';
import type { Width } from './addressing.ts';
import {
  codeSegment,
  type Draft,
  extraSegment,
  rax,
  rbp,
  rbx,
  rcx,
  rdi,
  rdx,
  rsi,
  rsp,
  stackSegment,
} from './draft.ts';
import { codeOffset, type Preparation, setOperand } from './instruction.ts';
import { simdPreparations } from './prepare-simd.ts';
import { x87Preparations } from './prepare-x87.ts';
import { legacyTarget, longTarget, regionOf } from './targets.ts';

const mask = (bits: number) => (1n << BigInt(bits)) - 1n;

/**
 * A selector that user code may meet: valid, null, of the kernel, not present, beyond the table, of another ring. Null is always 0: the
 * processor clears null selectors that have an RPL when the kernel returns to the runner (SDM vol. 2, IRET, return to outer privilege).
 */
function anySelector(draft: Draft): number {
  const { random } = draft;
  const locals = Object.keys(localDescriptors).length;
  switch (random.below(8)) {
    case 0:
      return 0;
    case 1:
      return random.pick([0x08, 0x10, 0x18, 0x38, 0x40, 0x48, 0x50]) | random.below(4); // kernel, TSS, LDT, empty
    case 2:
      return random.pick([0x20, 0x28, 0x30]) | random.below(4);
    case 3:
      return ((locals + random.below(8)) * 8) | 4 | random.below(4); // beyond the LDT
    case 4:
      return random.pick([0x80, 0x88, 0x200, 0xfff8]) | random.below(4); // beyond the GDT
    default:
      return (random.below(locals) * 8) | 4 | (random.oneIn(8) ? random.below(4) : 3);
  }
}

/** A linear address in memory that the segment reaches. */
function place(draft: Draft, segment: number, size: number, aligned = false): bigint {
  return draft.mode === 'long'
    ? longTarget(draft.random, size, aligned, 'wild', 64)
    : BigInt(legacyTarget(draft, segment, size, aligned, 'wild'));
}

/** Makes a register point to memory through a segment. */
function pointAt(draft: Draft, register: number, bits: number, segment: number, linear: bigint): void {
  draft.setGprBits(register, bits, BigInt.asUintN(64, linear - draft.segmentBase(segment)));
}

const stackWidth = (draft: Draft) => (draft.mode === 'long' ? 64 : draft.segmentBig(stackSegment) ? 32 : 16);

/** Points RSP into the stack pages, near an end of them now and then; gives the linear address of the top. */
function stackTop(draft: Draft, wild = true): number {
  const { random } = draft;
  const stack = regionOf(draft.mode, 'stack');
  let offset = 64 + random.below(stack.pages * 4096 - 128);
  if (!random.oneIn(4)) offset &= ~7;
  if (wild && random.oneIn(16)) offset = random.pick([0, 1, 2, 4, 7, 8, 15, 16]);
  if (wild && random.oneIn(16)) offset = stack.pages * 4096 - random.pick([0, 1, 2, 4, 7, 8, 15, 16]);
  if (random.oneIn(12)) offset = 4096 + random.below(16) - 8;
  const linear = stack.linear + offset;
  pointAt(draft, rsp, stackWidth(draft), stackSegment, BigInt(linear));
  return linear;
}

function codeTarget(draft: Draft): bigint {
  const { random } = draft;
  const code = regionOf(draft.mode, 'code');
  if (draft.mode === 'long' && random.oneIn(16))
    return random.pick([0x8000_0000_0000n, 0x1_0000_0000_0000n, 0x7a5b_2000_0010n, 0x1234n]);
  for (;;) {
    const linear = code.linear + random.below(0x2000);
    if (linear < draft.codeLinear - 15 || linear > draft.codeLinear + 15) return codeOffset(draft, linear);
  }
}

/** A code selector for far transfers that mostly succeeds, with the code's offset in it. */
function farTarget(draft: Draft): { selector: number; offset: bigint } {
  const { random } = draft;
  const selector = draft.selector(codeSegment);
  if (random.oneIn(3)) return { selector: anySelector(draft), offset: codeTarget(draft) };
  if (random.oneIn(6)) return { selector: (selector & ~3) | random.below(4), offset: codeTarget(draft) };
  return { selector, offset: codeTarget(draft) };
}

/** Puts a dividend into AX, or DX:AX and its wider forms, that gives a quotient of the right size three times in four. */
function division(signed: boolean): Preparation {
  return (draft, instruction) => {
    const { random } = draft;
    if (random.oneIn(4)) return;
    const bits = instruction.operandSize;
    const wide = BigInt(bits);
    const clip = (value: bigint) => (signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value));
    const quotient = clip(adversarialInteger(random));
    let divisor = clip(adversarialInteger(random));
    if (divisor === 0n) divisor = 3n;
    const size = divisor < 0n ? -divisor : divisor;
    let remainder = random.u64() % size;
    if (signed && quotient * divisor < 0n) remainder = -remainder;
    const dividend = quotient * divisor + remainder;
    setOperand(draft, instruction, BigInt.asUintN(bits, divisor));
    if (bits === 8) draft.setGprBits(rax, 16, BigInt.asUintN(16, dividend));
    else {
      draft.setGprBits(rax, bits, dividend);
      draft.setGprBits(rdx, bits, dividend >> wide);
    }
  };
}

function stringPointers(source: boolean, destination: boolean): Preparation {
  return (draft, instruction) => {
    const { random } = draft;
    const { addressSize, memoryBytes } = instruction;
    const long = draft.mode === 'long';
    if (random.oneIn(3)) draft.flags |= 0x400;
    const count = random.oneIn(12) ? 0 : random.oneIn(4) ? random.below(40) : 1 + random.below(6);
    const segment = instruction.dataSegment;
    const linear = (through: number): bigint =>
      long && addressSize === 32
        ? longTarget(random, memoryBytes, false, 'wild', 'zero32')
        : place(draft, through, memoryBytes);
    if (long && segment >= 4)
      draft.setSegmentBase(segment, BigInt(random.below(64)) * (addressSize === 32 ? 0n : 0x1001n));
    if (source) pointAt(draft, rsi, addressSize, segment, linear(segment));
    if (destination) {
      // Overlapping operands now and then.
      const near =
        source && random.oneIn(5)
          ? draft.segmentBase(segment) +
            BigInt.asUintN(addressSize, draft.gpr(rsi)) +
            BigInt(random.below(9) - 4) * BigInt(memoryBytes)
          : linear(extraSegment);
      pointAt(draft, rdi, addressSize, extraSegment, near);
    }
    if (instruction.repeat !== undefined) draft.setGprBits(rcx, addressSize, BigInt(count));
  };
}

/** Makes the memory of a repeated comparison equal for some elements. */
const equalRun: Preparation = (draft, instruction) => {
  const { random } = draft;
  const { addressSize, memoryBytes: size } = instruction;
  if (random.oneIn(5)) return;
  const value = adversarialInteger(random);
  const bits = size * 8;
  const step = (draft.flags & 0x400) !== 0 ? -size : size;
  const run = random.below(5);
  const fill = (register: number, segment: number) => {
    let linear = draft.segmentBase(segment) + BigInt.asUintN(addressSize, draft.gpr(register));
    for (let i = 0; i < run; i++) {
      if (linear > 0n && linear < 0x7fff_ffff_0000n) draft.pokeInteger(Number(linear), size, value);
      linear += BigInt(step);
    }
  };
  fill(rdi, extraSegment);
  if (instruction.encoding.mnemonic.startsWith('cmps')) fill(rsi, instruction.dataSegment);
  else draft.setGprBits(rax, bits, value);
};

/** A value of operand size at the top of the stack. */
function pushed(draft: Draft, slots: readonly { value: bigint; bytes: number }[]): void {
  let at = stackTop(draft);
  for (const { value, bytes } of slots) {
    draft.pokeInteger(at, bytes, value);
    at += bytes;
  }
}

/** RFLAGS as POPF or IRET may find them; the trap flag is left to the trap family. */
function anyFlags({ random }: Draft): bigint {
  return BigInt(random.u32()) & ~0x100n & (random.oneIn(4) ? ~0n : ~0x4_0000n);
}

const farPointerAt = (
  draft: Draft,
  linear: bigint,
  offsetBytes: number,
  pointer: { selector: number; offset: bigint },
) => {
  if (linear >= 0x8000_0000_0000n) return;
  draft.pokeInteger(Number(linear), offsetBytes, pointer.offset);
  draft.pokeInteger(Number(linear) + offsetBytes, 2, BigInt(pointer.selector));
};

export const preparations: Record<string, Preparation> = {
  ...simdPreparations,
  ...x87Preparations,
  /** CL is the count: small, at the operand's size, or anything. */
  shiftCount(draft) {
    const { random } = draft;
    const count = random.oneIn(3)
      ? random.below(256)
      : random.pick([0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, random.below(32)]);
    draft.setGprBits(rcx, 8, BigInt(count));
  },
  /** The immediate is the count. */
  shiftImmediate(draft, { immediates }) {
    const { random } = draft;
    const count = random.oneIn(3)
      ? random.below(256)
      : random.pick([0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, random.below(32)]);
    immediates[0]!.value = BigInt(count);
  },
  /** SHLD and SHRD of 16 bits: counts above 16 leave everything undefined (SDM vol. 2, SHLD). */
  doubleShiftCount(draft, { operandSize, immediates }) {
    const { random } = draft;
    const count = BigInt(operandSize === 16 ? random.below(17) + 32 * random.below(8) : random.below(256));
    if (immediates[0] !== undefined) immediates[0].value = count;
    else draft.setGprBits(rcx, 8, count);
  },
  divideUnsigned: division(false),
  divideSigned: division(true),
  /** A bit offset in a register, whose bit lies near the memory operand. */
  bitOffset(draft, { rm, reg, operandSize }) {
    if (rm?.kind !== 'memory' || draft.random.oneIn(20)) return;
    draft.setGprBits(reg, operandSize, BigInt(draft.random.below(4096) - 2048));
  },
  /** A zero source now and then: BSF and BSR. */
  sparseBits(draft, instruction) {
    const { random } = draft;
    const value = random.oneIn(6)
      ? 0n
      : (1n << BigInt(random.below(64))) | (random.oneIn(2) ? 1n << BigInt(random.below(64)) : 0n);
    setOperand(draft, instruction, value & mask(Math.min(64, instruction.operandSize)));
  },
  /** AL, AX, EAX or RAX equal to the destination half of the time. */
  compareEqual(draft, instruction) {
    const { random } = draft;
    if (random.oneIn(2)) {
      const value = adversarialInteger(random) & mask(instruction.operandSize);
      setOperand(draft, instruction, value);
      draft.setGprBits(rax, instruction.operandSize, value);
    }
  },
  /** EDX:EAX or RDX:RAX equal to memory half of the time. */
  comparePair(draft, { rm, rexW }) {
    const { random } = draft;
    if (rm?.kind !== 'memory' || rm.linear >= 0x8000_0000_0000n || random.oneIn(2)) return;
    const bytes = rexW ? 8 : 4;
    const bits = bytes * 8;
    const linear = Number(rm.linear);
    draft.pokeInteger(linear, bytes, draft.gpr(rax) & mask(bits));
    draft.pokeInteger(linear + bytes, bytes, draft.gpr(rdx) & mask(bits));
  },
  /** The stack pointer points into the stack. */
  stack(draft) {
    stackTop(draft);
  },
  /** RBP points into the stack, too. */
  frame(draft) {
    const linear = stackTop(draft);
    const random = draft.random;
    pointAt(draft, rbp, stackWidth(draft), stackSegment, BigInt(linear + 8 * random.below(64)));
  },
  /** ENTER: levels and sizes within the stack. */
  enter(draft, { immediates }) {
    const { random } = draft;
    immediates[0]!.value = BigInt(random.oneIn(8) ? random.below(0x10000) : random.below(256));
    immediates[1]!.value = BigInt(random.oneIn(3) ? random.below(256) : random.below(4));
  },
  /** RBX or BX such that adding AL stays in a segment. */
  translate(draft, { addressSize, dataSegment }) {
    const long = draft.mode === 'long';
    if (long && dataSegment >= 4) draft.setSegmentBase(dataSegment, 0n);
    const linear =
      long && addressSize === 32
        ? longTarget(draft.random, 1, false, 'tame', 'zero32')
        : place(draft, dataSegment, 1);
    pointAt(draft, rbx, addressSize, dataSegment, linear - (draft.gpr(rax) & 0xffn));
  },
  /** The absolute address of MOV. */
  absolute(draft, { addressSize, immediates, dataSegment, memoryBytes }) {
    const long = draft.mode === 'long';
    if (long && dataSegment >= 4) draft.setSegmentBase(dataSegment, BigInt(draft.random.below(0x10000)));
    const linear =
      long && addressSize === 32
        ? longTarget(draft.random, memoryBytes, false, 'wild', 'zero32')
        : place(draft, dataSegment, memoryBytes);
    immediates[0]!.value = BigInt.asUintN(addressSize, linear - draft.segmentBase(dataSegment));
  },
  source: stringPointers(true, false),
  destination: stringPointers(false, true),
  both: stringPointers(true, true),
  equalRun,
  /** CX, ECX or RCX: zero, one, or more. */
  loopCount(draft, { addressSize }) {
    draft.setGprBits(rcx, addressSize, BigInt(draft.random.pick([0, 1, 2, 3, 0x10000, 5])));
  },
  /** The operand is an address in the code pages. */
  indirectBranch(draft, instruction) {
    stackTop(draft);
    setOperand(draft, instruction, codeTarget(draft));
  },
  /** The stack's top is a return address. */
  returnAddress(draft, { operandSize, immediates }) {
    const bytes = draft.mode === 'long' ? 8 : operandSize / 8;
    if (immediates[0] !== undefined && !draft.random.oneIn(6))
      immediates[0].value = BigInt(draft.random.below(64));
    pushed(draft, [{ value: codeTarget(draft), bytes }]);
  },
  farReturn(draft, { operandSize, immediates }) {
    if (immediates[0] !== undefined && !draft.random.oneIn(6))
      immediates[0].value = BigInt(draft.random.below(64));
    const { selector, offset } = farTarget(draft);
    pushed(draft, [
      { value: offset, bytes: operandSize / 8 },
      { value: BigInt(selector) | (BigInt(draft.random.u32()) << 16n), bytes: operandSize / 8 },
    ]);
  },
  interruptReturn(draft, { operandSize }) {
    const bytes = operandSize / 8;
    const { selector, offset } = farTarget(draft);
    const slots = [
      { value: offset, bytes },
      { value: BigInt(selector), bytes },
      { value: anyFlags(draft) & ~0x2_0000n, bytes },
    ];
    // In 64-bit mode IRET always pops SS:RSP (SDM vol. 3, section 6.14.3).
    if (draft.mode === 'long') {
      const ss = draft.random.oneIn(6) ? anySelector(draft) : draft.selector(stackSegment);
      slots.push({ value: draft.gpr(draft.random.below(4)), bytes }, { value: BigInt(ss), bytes });
    }
    pushed(draft, slots);
  },
  farPointer(draft, { rm, memoryBytes }) {
    stackTop(draft);
    if (rm?.kind === 'memory') farPointerAt(draft, rm.linear, memoryBytes - 2, farTarget(draft));
  },
  farImmediate(draft, { immediates }) {
    stackTop(draft);
    const { selector, offset } = farTarget(draft);
    immediates[0]!.value = BigInt.asUintN(8 * immediates[0]!.length, offset);
    immediates[1]!.value = BigInt(selector);
  },
  /** LDS and its kin: a pointer whose selector may be anything. */
  loadFarPointer(draft, { rm, memoryBytes }) {
    if (rm?.kind === 'memory')
      farPointerAt(draft, rm.linear, memoryBytes - 2, {
        selector: anySelector(draft),
        offset: adversarialInteger(draft.random),
      });
  },
  /** The operand is a selector. */
  selectorOperand(draft, instruction) {
    if (instruction.rm?.kind === 'memory')
      setOperand(draft, { ...instruction, memoryBytes: 2 }, BigInt(anySelector(draft)));
    else setOperand(draft, { ...instruction, operandSize: 16 }, BigInt(anySelector(draft)));
  },
  /** MOV from or to a segment register: marks ModRM.reg as one; CS and numbers 6 and 7 are left to the family of illegal instructions. */
  segmentRegister() {},
  /** The stack's top is a selector. */
  poppedSelector(draft, { operandSize }) {
    pushed(draft, [
      { value: BigInt(anySelector(draft)) | (draft.random.u64() << 16n), bytes: operandSize / 8 },
    ]);
  },
  poppedFlags(draft, { operandSize }) {
    pushed(draft, [{ value: anyFlags(draft), bytes: operandSize / 8 }]);
  },
  /** BOUND: limits around the index. */
  bounds(draft, { rm, reg, operandSize }) {
    const { random } = draft;
    if (rm?.kind !== 'memory') return;
    const index = BigInt.asIntN(operandSize, draft.gpr(reg));
    const bytes = operandSize / 8;
    draft.pokeInteger(Number(rm.linear), bytes, index - BigInt(random.pick([0, 1, 5, -1])));
    draft.pokeInteger(Number(rm.linear) + bytes, bytes, index + BigInt(random.pick([0, 1, 5, -1])));
  },
  /** ARPL: two selectors. */
  selectorPair(draft, instruction) {
    setOperand(draft, instruction, BigInt(anySelector(draft)));
    draft.setGprBits(instruction.reg, 16, BigInt(anySelector(draft)));
  },
  /** BCD: AL and AH as valid or invalid digits. */
  digits(draft) {
    const { random } = draft;
    draft.setGprBits(
      rax,
      16,
      BigInt(
        random.oneIn(2)
          ? random.below(0x10000)
          : random.below(10) | (random.below(10) << 4) | (random.below(10) << 8),
      ),
    );
  },
  /** WRFSBASE and WRGSBASE: canonical and not. */
  baseAddress(draft, instruction) {
    const { random } = draft;
    setOperand(draft, { ...instruction }, random.oneIn(5) ? random.u64() : random.u64() & 0x7fff_ffff_ffffn);
  },
  /** INT n: any vector but 0x80, which is Linux's system call. */
  softwareInterrupt(draft, { immediates }) {
    const { random } = draft;
    const vector = random.pick([0, 1, 2, 3, 4, 5, 6, 8, 13, 14, 0x20, 0x21, 0xff, random.below(256)]);
    immediates[0]!.value = BigInt(vector === 0x80 ? 0x81 : vector);
  },
  /** A low 32-bit or 16-bit count that the operand size keeps: MUL and IMUL near overflow. */
  products(draft, instruction) {
    if (draft.random.oneIn(2))
      setOperand(
        draft,
        instruction,
        BigInt.asUintN(instruction.operandSize as Width, adversarialInteger(draft.random)),
      );
  },
};
