/** Makes one instruction from a row of the tables: picks prefixes, registers, addressing form and immediates, and prepares the state. */
import type { Random } from '../random.ts';
import { adversarialInteger } from '../values.ts';
import {
  type Addressing,
  address16,
  address32,
  addressKnown,
  type MemoryOperand,
  type Options,
  type Width,
} from './addressing.ts';
import { codeSegment, type Draft, dataSegment } from './draft.ts';
import type { Encoding } from './encoding.ts';
import { regionOf } from './targets.ts';

/** A register operand in ModRM.rm, by its number with REX.B. */
export interface RegisterOperand {
  kind: 'register';
  register: number;
}

/** An instruction while it is made. */
export interface Instruction {
  encoding: Encoding;
  operandSize: Width;
  addressSize: Width;
  /** Bytes of a memory operand. */
  memoryBytes: number;
  hasRex: boolean;
  rexW: boolean;
  /** The ModRM.reg operand with REX.R; for a `+r` opcode its register with REX.B. */
  reg: number;
  rm: MemoryOperand | RegisterOperand | undefined;
  /** Segment that string and moffs operands use in place of DS. */
  dataSegment: number;
  repeat: 0xf2 | 0xf3 | undefined;
  /** Immediates in order, as unsigned integers with their length in bytes. */
  immediates: { value: bigint; length: number }[];
}

const segmentPrefixes = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];

function operandWidth(encoding: Encoding, draft: Draft, rexW: boolean, prefix66: boolean): Width {
  const { size } = encoding;
  if (size === 'b') return 8;
  if (draft.mode !== 'long') {
    if (size === 'y') return 32;
    return (draft.mode === 'compat16') === prefix66 ? 32 : 16;
  }
  if (rexW) return 64;
  if (size === 'y') return 32;
  if (prefix66) return 16;
  return size === 'q' ? 64 : 32;
}

/** An instruction's bytes, and what it is. */
export interface Made {
  bytes: Uint8Array;
  instruction: Instruction;
}

const littleEndian = (value: bigint, length: number) =>
  Array.from({ length }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));

function shuffle<T>(values: T[], random: Random): T[] {
  for (let i = values.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [values[i], values[j]] = [values[j]!, values[i]!];
  }
  return values;
}

function immediateFor(
  token: string,
  operandSize: Width,
  addressSize: Width,
  random: Random,
): { value: bigint; length: number }[] {
  const one = (length: number) => [{ value: BigInt.asUintN(8 * length, adversarialInteger(random)), length }];
  switch (token) {
    case 'ib':
    case 'rel8':
      return one(1);
    case 'iw':
      return one(2);
    case 'iv':
      return one(operandSize / 8);
    case 'moffs':
      return one(addressSize / 8);
    case 'ptr':
      return [...one(operandSize / 8), ...one(2)];
    default:
      return one(operandSize === 16 ? 2 : 4);
  }
}

/** Prepares the state for an instruction; may change its immediates, never its length. */
export type Preparation = (draft: Draft, instruction: Instruction) => void;

/**
 * Makes an instruction at linear address `at` from a row, or `undefined` when the picks do not fit it (then pick again).
 */
export function makeInstruction(
  encoding: Encoding,
  draft: Draft,
  at: number,
  options: Options,
  preparations: Record<string, Preparation>,
): Made | undefined {
  const { random, mode } = draft;
  const long = mode === 'long';
  const wild = options.manners === 'wild';
  const sized = encoding.size === 'v' || encoding.size === 'q';
  const branch = encoding.near || encoding.immediates.includes('relz');
  const rexW =
    long &&
    (encoding.rexW ??
      (encoding.size === 'none'
        ? random.oneIn(24)
        : encoding.size === 'b'
          ? random.oneIn(16)
          : random.below(5) < 2));
  const mayHave66 = encoding.mandatoryPrefix === undefined && !encoding.noPrefix;
  // A 66 prefix on a near branch in 64-bit mode is ignored by one vendor's processors and obeyed by the other's.
  const prefix66 =
    mayHave66 &&
    !(long && branch) &&
    (sized ? random.oneIn(4) : wild && encoding.size === 'b' && random.oneIn(16));
  const operandSize = operandWidth(encoding, draft, rexW, prefix66);
  // A sequence's base registers are good for the default address size, and for 32 bits in 16-bit code.
  const fixed = options.knownBases !== undefined;
  const prefix67 = random.oneIn(mode === 'compat16' ? 4 : 10) && (!fixed || mode === 'compat16');
  const addressSize: Width = long ? (prefix67 ? 32 : 64) : (mode === 'compat16') === prefix67 ? 32 : 16;
  const memoryBytes = encoding.memoryBytes ?? operandSize / 8 + (encoding.far ? 2 : 0);

  const usesMemory =
    encoding.modrm !== undefined &&
    encoding.form !== 'reg' &&
    (encoding.form === 'mem' || random.below(5) < 3);
  const repeat = encoding.repeat && random.below(5) < 3 ? (random.oneIn(3) ? 0xf2 : 0xf3) : undefined;
  // XCHG with memory locks by itself; LOCK where it is not allowed is #UD.
  const lockPrefix =
    encoding.lock && usesMemory
      ? random.oneIn(6)
      : wild && random.oneIn(150) && mayHave66 && !encoding.repeat;
  const locked = lockPrefix || (usesMemory && encoding.mnemonic === 'xchg');

  const plainOverride = !fixed && random.oneIn(10) ? random.below(6) : undefined;
  // The last segment prefix wins, and CS, DS, ES and SS are ignored in 64-bit mode (SDM vol. 1, section 3.3.7.1).
  const override = long && plainOverride !== undefined && plainOverride < 4 ? undefined : plainOverride;

  let addressing: Addressing | undefined;
  let rm: MemoryOperand | RegisterOperand | undefined;
  const registers = long && random.oneIn(2) ? 16 : 8;
  if (usesMemory) {
    const aligned = locked || (encoding.aligned && (!wild || !random.oneIn(12)));
    // Locked accesses stay within a cache line: processors may stop the whole machine for others.
    const gentle: Options = locked ? { ...options, manners: 'tame' } : options;
    if (fixed) addressing = addressKnown(draft, memoryBytes, aligned, override, addressSize, gentle);
    else if (addressSize === 16) addressing = address16(draft, memoryBytes, aligned, override, gentle);
    else addressing = address32(draft, memoryBytes, aligned, override, addressSize, gentle);
    if (addressing === undefined) return undefined;
    rm = addressing.operand;
  } else if (encoding.modrm !== undefined) rm = { kind: 'register', register: random.below(registers) };

  let reg = typeof encoding.modrm === 'number' ? encoding.modrm : random.below(registers);
  if (encoding.preparations.includes('segmentRegister')) reg = random.pick([0, 3, 4, 5, 0, 3, 4, 5, 2]);
  const rexR =
    typeof encoding.modrm === 'number'
      ? long && wild && random.oneIn(16)
        ? 1
        : 0
      : encoding.modrm === 'r'
        ? reg >> 3
        : 0;
  const rexX = addressing?.rexX ?? 0;
  const rexB = encoding.plusRegister
    ? reg >> 3
    : (addressing?.rexB ?? (rm?.kind === 'register' ? rm.register >> 3 : 0));
  const needsRex = rexW || rexR !== 0 || rexX !== 0 || rexB !== 0;
  const hasRex = long && (needsRex || random.oneIn(8));

  const instruction: Instruction = {
    encoding,
    operandSize,
    addressSize,
    memoryBytes,
    hasRex,
    rexW,
    reg,
    rm,
    dataSegment: override ?? dataSegment,
    repeat,
    immediates: encoding.immediates.flatMap((token) =>
      immediateFor(token, branch && long ? 64 : operandSize, addressSize, random),
    ),
  };
  if (long && override !== undefined && override >= 4 && !usesMemory) draft.setSegmentBase(override, 0n);
  for (const name of encoding.preparations) {
    const prepare = preparations[name];
    if (prepare === undefined)
      throw new Error(`row '${encoding.id}' names the unknown preparation '${name}'`);
    prepare(draft, instruction);
  }

  const prefixes: number[] = [];
  if (plainOverride !== undefined) prefixes.push(segmentPrefixes[plainOverride]!);
  if (prefix66) prefixes.push(0x66);
  if (prefix67) prefixes.push(0x67);
  if (repeat !== undefined) prefixes.push(repeat);
  if (lockPrefix) prefixes.push(0xf0);
  if (encoding.mandatoryPrefix !== undefined) prefixes.push(encoding.mandatoryPrefix);
  const bytes = shuffle(prefixes, random);
  if (hasRex) bytes.push(0x40 | (rexW ? 8 : 0) | (rexR << 2) | (rexX << 1) | rexB);
  bytes.push(...encoding.opcode);
  if (encoding.plusRegister) bytes[bytes.length - 1]! += reg & 7;
  let ripAt = -1;
  if (encoding.modrm !== undefined) {
    const middle = (reg & 7) << 3;
    if (addressing === undefined) bytes.push(0xc0 | middle | ((rm as RegisterOperand).register & 7));
    else {
      bytes.push((addressing.mod << 6) | middle | addressing.modrmLow);
      if (addressing.sib !== undefined) bytes.push(addressing.sib);
      if (addressing.displacement !== undefined) {
        if (addressing.ripRelative) ripAt = bytes.length;
        bytes.push(...littleEndian(addressing.displacement.value, addressing.displacement.length));
      }
    }
  }
  const immediateAt = bytes.length;
  for (const { value, length } of instruction.immediates) bytes.push(...littleEndian(value, length));
  const next = BigInt(at + bytes.length);
  if (ripAt >= 0) {
    bytes.splice(ripAt, 4, ...littleEndian(BigInt.asUintN(32, (rm as MemoryOperand).linear - next), 4));
  }
  if (encoding.immediates.some((token) => token.startsWith('rel'))) {
    const { length } = instruction.immediates[0]!;
    const target = branchTarget(draft, at, bytes.length, length);
    bytes.splice(
      immediateAt,
      length,
      ...littleEndian(BigInt.asUintN(8 * length, BigInt(target) - next), length),
    );
  }
  return { bytes: Uint8Array.from(bytes), instruction };
}

/** A place in the code pages, outside of the instruction, that a displacement of `length` bytes reaches; seldom one that is not mapped. */
function branchTarget(draft: Draft, at: number, instructionLength: number, length: number): number {
  const { random } = draft;
  const code = regionOf(draft.mode, 'code');
  for (;;) {
    const target =
      length === 1
        ? at + instructionLength + random.below(256) - 128
        : random.oneIn(20)
          ? code.linear + 0x2000 + random.below(0x1000)
          : code.linear + random.below(0x2000);
    if (target < at - 15 || target >= at + instructionLength) return target;
  }
}

/** Offset of a linear address in the code segment. */
export function codeOffset(draft: Draft, linear: number): bigint {
  return BigInt.asUintN(draft.mode === 'long' ? 64 : 32, BigInt(linear) - draft.segmentBase(codeSegment));
}

/** Sets the operand in ModRM.rm: its register (AH to BH where the encoding means these) or its memory. */
export function setOperand(
  draft: Draft,
  { rm, operandSize, hasRex, memoryBytes }: Instruction,
  value: bigint,
): void {
  if (rm === undefined) return;
  if (rm.kind === 'memory') {
    if (rm.linear < 0x8000_0000_0000n) draft.pokeInteger(Number(rm.linear), memoryBytes, value);
  } else if (operandSize === 8 && !hasRex && rm.register >= 4 && rm.register < 8) {
    const old = draft.gpr(rm.register - 4);
    draft.setGpr(rm.register - 4, (old & ~0xff00n) | ((value & 0xffn) << 8n));
  } else draft.setGprBits(rm.register, operandSize, value);
}
