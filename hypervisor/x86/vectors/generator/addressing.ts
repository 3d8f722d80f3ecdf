/**
 * The addressing forms of ModRM and SIB (SDM vol. 2, tables 2-1 to 2-3): picks one at random and sets its registers such that the address is
 * one that targets.ts chose.
 */
import type { Random } from '../random.ts';
import { type Draft, dataSegment, rbp, rbx, rsp, stackSegment } from './draft.ts';
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

/** How an instruction may be made. */
export interface Options {
  manners: Manners;
  /** Registers that must not be written: for sequences. */
  reserved?: readonly number[];
  /** Picks memory operands of sequences: base registers whose value is known. */
  knownBases?: readonly { register: number; linear: number; bytes: number }[];
}

/** A ModRM byte's memory form. */
export interface Addressing {
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
export function address32(
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

export function address16(
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
export function addressKnown(
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
  const linear = BigInt(Math.ceil((known.linear + random.below(known.bytes - size - 15)) / step) * step);
  const segment = override ?? (known.register === rsp || known.register === rbp ? stackSegment : dataSegment);
  if (override !== undefined && (mode !== 'long' || override >= 4)) return undefined;
  const offset = BigInt.asIntN(addressSize, linear - draft.segmentBase(segment) - draft.gpr(known.register));
  const operand: MemoryOperand = { kind: 'memory', linear, segment };
  if (mode === 'long' && known.register === rbx && random.oneIn(3)) {
    const displacement = { value: linear, length: 4 };
    return {
      mod: 0,
      modrmLow: 5,
      sib: undefined,
      rexX: 0,
      rexB: 0,
      ripRelative: true,
      displacement,
      operand,
    };
  }
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
