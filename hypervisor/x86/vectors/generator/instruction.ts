/** Makes one instruction from a row of the tables: picks prefixes, registers, addressing form and immediates, and prepares the state. */
import type { Random } from '../random.ts';
import { adversarialInteger } from '../values.ts';
import { codeSegment, type Draft, dataSegment, rbp, rsp, stackSegment } from './draft.ts';
import type { Encoding } from './encoding.ts';
import { legacyTarget, longTarget, type Manners, regionOf } from './targets.ts';

/** Bits of an operand or address. */
export type Width = 8 | 16 | 32 | 64;

/** A memory operand. */
export interface MemoryOperand {
  kind: 'memory';
  /** Linear address; non-canonical or unmapped ones occur. */
  linear: bigint;
  segment: number;
}

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
  locked: boolean;
  /** Immediates in order, as unsigned integers with their length in bytes. */
  immediates: { value: bigint; length: number }[];
  /** A preparation's wish for the target of a relative branch. */
  branchTarget: number | undefined;
}

/** How an instruction may be made. */
export interface Options {
  manners: Manners;
  /** Registers that must not be written: for sequences. */
  reserved?: readonly number[];
  /** Picks memory operands of sequences: base registers whose value is known. */
  knownBases?: readonly { register: number; linear: number; bytes: number }[];
}

const segmentPrefixes = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];

interface Addressing {
  modrmLow: number;
  mod: number;
  sib: number | undefined;
  displacement: { value: bigint; length: number } | undefined;
  ripRelative: boolean;
  rexX: number;
  rexB: number;
  operand: MemoryOperand;
}

const signExtend = (value: bigint, bits: number) => BigInt.asUintN(64, BigInt.asIntN(bits, value));

function pickDisplacement(random: Random, lengths: readonly number[]): { value: bigint; length: number } {
  const length = random.pick(lengths);
  if (length === 0) return { value: 0n, length };
  const value = random.oneIn(3) ? BigInt(random.below(128)) : random.u64();
  return { value: BigInt.asUintN(8 * length, value), length };
}

/** A memory operand with 32- or 64-bit addressing (SDM vol. 2, tables 2-2 and 2-3). */
function address32(
  draft: Draft,
  size: number,
  aligned: boolean,
  override: number | undefined,
  addressSize: Width,
  options: Options,
): Addressing {
  const { random, mode } = draft;
  const long = mode === 'long';
  const registers = long ? 16 : 8;
  const addressMask = addressSize === 64 ? 64 : 32;
  const target = (segment: number, reach: 64 | 32 | 'zero32') =>
    long
      ? longTarget(random, size, aligned, options.manners, reach)
      : BigInt(legacyTarget(draft, segment, size, aligned, options.manners));
  // Makes the segment's base such that segment + offset is the target; only FS and GS in 64-bit mode are free to move.
  const withSegment = (linear: bigint, segment: number, offset: bigint | undefined): bigint => {
    if (long && segment >= 4 && offset !== undefined) {
      const base = BigInt.asUintN(64, linear - offset);
      draft.setSegmentBase(segment, BigInt.asUintN(64, BigInt.asIntN(48, base)));
    } else if (long && segment >= 4)
      draft.setSegmentBase(segment, BigInt(random.below(0x7fff_ffff)) * BigInt(random.pick([0, 1, 4096])));
    return BigInt.asUintN(addressMask, linear - draft.segmentBase(segment));
  };
  const form = random.below(20);
  if (form < 3) {
    // No base: disp32 alone, or RIP-relative in 64-bit mode.
    const segment = override ?? dataSegment;
    if (long && form < 2) {
      const linear = longTarget(random, size, aligned, options.manners, 64);
      const inReach = linear >> 32n === BigInt(draft.codeLinear) >> 32n;
      const reached = inReach ? linear : BigInt(regionOf(mode, 'data').linear + 16 * random.below(500));
      if (segment >= 4) draft.setSegmentBase(segment, 0n);
      return {
        mod: 0,
        modrmLow: 5,
        sib: undefined,
        rexX: random.below(2),
        rexB: random.below(2),
        ripRelative: true,
        displacement: { value: reached, length: 4 },
        operand: { kind: 'memory', linear: reached, segment },
      };
    }
    const reach = addressSize === 64 ? 32 : 'zero32';
    const linear = target(segment, reach);
    let value: bigint;
    if (long && segment >= 4) {
      const free = longTarget(random, size, aligned, options.manners, 64);
      value = BigInt(random.u32());
      const offset = addressSize === 64 ? signExtend(value, 32) : value;
      withSegment(free, segment, offset);
      const operand: MemoryOperand = {
        kind: 'memory',
        linear: BigInt.asUintN(64, draft.segmentBase(segment) + offset),
        segment,
      };
      return {
        mod: 0,
        modrmLow: 4,
        sib: 0x25,
        rexX: 0,
        rexB: random.below(2),
        ripRelative: false,
        displacement: { value, length: 4 },
        operand,
      };
    }
    value = withSegment(linear, segment, undefined);
    const operand: MemoryOperand = { kind: 'memory', linear, segment };
    const displacement = { value: BigInt.asUintN(32, value), length: 4 };
    return long || random.oneIn(3)
      ? {
          mod: 0,
          modrmLow: 4,
          sib: 0x25 | (random.below(4) << 6),
          rexX: 0,
          rexB: random.below(2),
          ripRelative: false,
          displacement,
          operand,
        }
      : { mod: 0, modrmLow: 5, sib: undefined, rexX: 0, rexB: 0, ripRelative: false, displacement, operand };
  }
  if (form < 5) {
    // Index and disp32 without base.
    let index = random.below(registers);
    if (index === rsp) index = rbp;
    const scale = random.below(4);
    const segment = override ?? dataSegment;
    if (long && segment >= 4) draft.setSegmentBase(segment, 0n);
    const displacement = { value: BigInt(random.u32()), length: 4 };
    const linear = target(segment, 64);
    const offset = withSegment(linear, segment, undefined);
    const extended = addressMask === 64 ? signExtend(displacement.value, 32) : displacement.value;
    const wanted = BigInt.asUintN(addressMask, offset - extended);
    const value = wanted >> BigInt(scale);
    // Bits that the shift drops may be anything; what it cannot express goes into the displacement.
    const rest = wanted - (value << BigInt(scale));
    displacement.value = BigInt.asUintN(32, displacement.value + rest);
    const shifted = BigInt.asUintN(addressMask, value << BigInt(scale));
    const reached = BigInt.asUintN(
      addressMask,
      shifted + (addressMask === 64 ? signExtend(displacement.value, 32) : displacement.value),
    );
    draft.setGprBits(
      index,
      addressMask,
      value |
        (random.oneIn(2) && scale > 0 ? BigInt(random.below(1 << scale)) << BigInt(addressMask - scale) : 0n),
    );
    return {
      mod: 0,
      modrmLow: 4,
      sib: (scale << 6) | ((index & 7) << 3) | 5,
      rexX: index >> 3,
      rexB: random.below(2),
      ripRelative: false,
      displacement,
      operand: { kind: 'memory', linear: linearOf(draft, segment, reached), segment },
    };
  }
  const base = random.below(registers);
  const segment = override ?? (base === rsp || base === rbp ? stackSegment : dataSegment);
  const lengths = (base & 7) === 5 ? [1, 4] : [0, 0, 1, 1, 4];
  const displacement = pickDisplacement(random, lengths);
  const mod = displacement.length === 0 ? 0 : displacement.length === 1 ? 1 : 2;
  const linear = target(segment, 64);
  const offset = withSegment(linear, segment, undefined);
  let rest = offset - signExtend(displacement.value, 8 * displacement.length || 8);
  let index: number | undefined;
  let scale = 0;
  if (random.oneIn(2)) {
    index = random.below(registers);
    scale = random.below(4);
    if (index === rsp || index === base) index = undefined;
    else rest -= draft.gpr(index) << BigInt(scale);
  }
  draft.setGprBits(base, addressMask, BigInt.asUintN(addressMask, rest));
  const reached = BigInt.asUintN(addressMask, offset);
  const needsSib = index !== undefined || (base & 7) === 4 || random.oneIn(12);
  return {
    mod,
    modrmLow: needsSib ? 4 : base & 7,
    sib: needsSib ? (scale << 6) | (((index ?? 4) & 7) << 3) | (base & 7) : undefined,
    rexX: (index ?? 0) >> 3,
    rexB: base >> 3,
    ripRelative: false,
    displacement: displacement.length === 0 ? undefined : displacement,
    operand: { kind: 'memory', linear: linearOf(draft, segment, reached), segment },
  };
}

function linearOf(draft: Draft, segment: number, offset: bigint): bigint {
  return BigInt.asUintN(draft.mode === 'long' ? 64 : 32, draft.segmentBase(segment) + offset);
}

// Base and index of the eight 16-bit forms (SDM vol. 2, table 2-1): BX SI, BX DI, BP SI, BP DI, SI, DI, BP, BX.
const forms16: readonly (readonly [number, number | undefined])[] = [
  [3, 6],
  [3, 7],
  [5, 6],
  [5, 7],
  [6, undefined],
  [7, undefined],
  [5, undefined],
  [3, undefined],
];

function address16(
  draft: Draft,
  size: number,
  aligned: boolean,
  override: number | undefined,
  options: Options,
): Addressing {
  const { random } = draft;
  const form = random.below(9);
  const common = { sib: undefined, rexX: 0, rexB: 0, ripRelative: false };
  const pair = forms16[form];
  const [base, index] = pair ?? [undefined, undefined];
  const segment = override ?? (base === rbp ? stackSegment : dataSegment);
  const linear = BigInt(legacyTarget(draft, segment, size, aligned, options.manners));
  const offset = BigInt.asUintN(16, linear - draft.segmentBase(segment));
  const operand: MemoryOperand = { kind: 'memory', linear: linearOf(draft, segment, offset), segment };
  if (base === undefined) {
    return { ...common, mod: 0, modrmLow: 6, displacement: { value: offset, length: 2 }, operand };
  }
  const lengths = form === 6 ? [1, 2] : [0, 1, 2];
  const displacement = pickDisplacement(random, lengths);
  let rest = offset - signExtend(displacement.value, 8 * displacement.length || 8);
  if (index !== undefined) rest -= draft.gpr(index);
  draft.setGprBits(base, 16, BigInt.asUintN(16, rest));
  return {
    ...common,
    mod: displacement.length,
    modrmLow: form,
    displacement: displacement.length === 0 ? undefined : displacement,
    operand,
  };
}

/** Base plus displacement from a register that a sequence keeps. */
function addressKnown(
  draft: Draft,
  size: number,
  aligned: boolean,
  override: number | undefined,
  addressSize: Width,
  options: Options,
): Addressing | undefined {
  const { random, mode } = draft;
  const known = random.pick(options.knownBases!);
  const step = aligned ? 16 : random.oneIn(4) ? 1 : Math.min(size, 8);
  const place = Math.floor(random.below(known.bytes - size + 1) / step) * step;
  const linear = BigInt(known.linear + place);
  const segment = override ?? (known.register === rsp || known.register === rbp ? stackSegment : dataSegment);
  if (override !== undefined && (mode !== 'long' || override >= 4)) return undefined;
  const offset = BigInt.asIntN(addressSize, linear - draft.segmentBase(segment) - draft.gpr(known.register));
  const operand: MemoryOperand = { kind: 'memory', linear, segment };
  const short = offset >= -128n && offset <= 127n;
  if (addressSize === 16) {
    const form = forms16.findIndex(([base, index]) => base === known.register && index === undefined);
    if (form < 0) return undefined;
    const length = short ? 1 : 2;
    return {
      mod: length,
      modrmLow: form,
      sib: undefined,
      rexX: 0,
      rexB: 0,
      ripRelative: false,
      displacement: { value: BigInt.asUintN(8 * length, offset), length },
      operand,
    };
  }
  const length = short ? 1 : 4;
  const needsSib = (known.register & 7) === 4;
  return {
    mod: short ? 1 : 2,
    modrmLow: needsSib ? 4 : known.register & 7,
    sib: needsSib ? 0x20 | (known.register & 7) : undefined,
    rexX: 0,
    rexB: known.register >> 3,
    ripRelative: false,
    displacement: { value: BigInt.asUintN(8 * length, offset), length },
    operand,
  };
}

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
    locked: lockPrefix,
    immediates: encoding.immediates.flatMap((token) =>
      immediateFor(token, branch && long ? 64 : operandSize, addressSize, random),
    ),
    branchTarget: undefined,
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
    const target = instruction.branchTarget ?? branchTarget(draft, at, bytes.length, length);
    bytes.splice(
      immediateAt,
      length,
      ...littleEndian(BigInt.asUintN(8 * length, BigInt(target) - next), length),
    );
  }
  return { bytes: Uint8Array.from(bytes), instruction };
}

/** A place in the code pages, outside of the instruction, that a displacement of `length` bytes reaches; seldom one that is not mapped. */
export function branchTarget(draft: Draft, at: number, instructionLength: number, length: number): number {
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
