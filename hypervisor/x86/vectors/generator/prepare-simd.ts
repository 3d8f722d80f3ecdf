/** Preparations for MMX and SSE: operands of the right kind, related operands, counts, predicates, strings. */
import type { Random } from '../random.ts';
import { adversarialDouble, adversarialInteger, adversarialSingle } from '../values.ts';
import { type Draft, rax, rdi, rdx } from './draft.ts';
import type { Instruction, Preparation } from './instruction.ts';
import { legacyTarget, longTarget } from './targets.ts';

const singles = (random: Random) =>
  (BigInt(adversarialSingle(random)) << 32n) | BigInt(adversarialSingle(random));

/** Writes 64-bit lanes over the memory operand. */
function fillMemory(lane: (random: Random) => bigint): Preparation {
  return (draft, { rm, memoryBytes }) => {
    if (rm?.kind !== 'memory' || rm.linear >= 0x8000_0000_0000n || draft.random.oneIn(8)) return;
    for (let at = 0; at < memoryBytes; at += 8) {
      draft.pokeInteger(Number(rm.linear) + at, Math.min(8, memoryBytes - at), lane(draft.random));
    }
  };
}

const usesMmx = ({ encoding }: Instruction) => encoding.mandatoryPrefix === undefined;

/** Sets the vector operand in ModRM.rm. */
function setVector(draft: Draft, instruction: Instruction, low: bigint, high: bigint): void {
  const { rm, memoryBytes } = instruction;
  if (rm === undefined) return;
  if (rm.kind === 'memory') {
    if (rm.linear >= 0x8000_0000_0000n) return;
    draft.pokeInteger(Number(rm.linear), Math.min(8, memoryBytes), low);
    if (memoryBytes > 8) draft.pokeInteger(Number(rm.linear) + 8, 8, high);
  } else if (usesMmx(instruction) && memoryBytes <= 8) draft.setMm(rm.register & 7, low);
  else {
    draft.setXmm(rm.register, 0, low);
    draft.setXmm(rm.register, 1, high);
  }
}

/** A 16-byte string over a small alphabet of bytes or words, ended early now and then. */
function shortString({ random }: Draft, words: boolean): [bigint, bigint] {
  const letters = words ? [0x41, 0x141, 0xff41, 0x8041, 0] : [0x41, 0x42, 0xc3, 0x7f, 0];
  const lane = () => {
    let value = 0n;
    const bits = words ? 16 : 8;
    for (let at = 0; at < 64; at += bits)
      value |= BigInt(letters[random.below(random.oneIn(3) ? 5 : 4)]!) << BigInt(at);
    return value;
  };
  return [lane(), lane()];
}

/** A new MXCSR: random rounding, FTZ, DAZ, masks and flags; all exceptions masked three times in four. */
export function anyMxcsr(random: Random): number {
  const masks = random.oneIn(4) ? random.below(64) << 7 : 0x1f80;
  const flags = random.oneIn(3) ? random.below(64) : 0;
  const modes = (random.below(4) << 13) | (random.oneIn(4) ? 0x8000 : 0) | (random.oneIn(4) ? 0x40 : 0);
  return masks | flags | modes;
}

export const simdPreparations: Record<string, Preparation> = {
  integers: fillMemory(adversarialInteger),
  singles: fillMemory(singles),
  doubles: fillMemory(adversarialDouble),
  /** PSLLW and its kin: the count is small, or just too large, or has bits far up. */
  packedCount(draft, instruction) {
    const { random } = draft;
    const count = random.pick([
      0n,
      1n,
      7n,
      8n,
      15n,
      16n,
      31n,
      32n,
      63n,
      64n,
      0x100n,
      0x1_0000_0000n,
      BigInt(random.below(64)),
    ]);
    if (!random.oneIn(6)) setVector(draft, instruction, count, random.u64());
  },
  packedImmediate(draft, { immediates }) {
    immediates[0]!.value = BigInt(draft.random.oneIn(5) ? draft.random.below(256) : draft.random.below(34));
  },
  /** RDI points to where MASKMOVQ stores. */
  maskedStore(draft, { addressSize, dataSegment, memoryBytes }) {
    const long = draft.mode === 'long';
    if (long && dataSegment >= 4) draft.setSegmentBase(dataSegment, 0n);
    const linear = long
      ? longTarget(draft.random, memoryBytes, false, 'tame', addressSize === 64 ? 64 : 'zero32')
      : BigInt(legacyTarget(draft, dataSegment, memoryBytes, false, 'tame'));
    draft.setGprBits(rdi, addressSize, linear - draft.segmentBase(dataSegment));
  },
  /** Both operands equal, opposite or one unit apart now and then: cancellation, comparison. */
  floatPair(draft, instruction) {
    const { random } = draft;
    if (!random.oneIn(4)) return;
    const change = random.pick([0n, 1n, 0x8000_0000_8000_0000n, 0x8000_0000_0000_0000n, 0x1_0000_0001n]);
    setVector(
      draft,
      instruction,
      draft.xmm(instruction.reg, 0) ^ change,
      draft.xmm(instruction.reg, 1) ^ change,
    );
  },
  /** CMPPS and its kin use three bits; the others are reserved. */
  predicate(_draft, { immediates }) {
    immediates[0]!.value &= 7n;
  },
  roundingImmediate(_draft, { immediates }) {
    immediates[0]!.value &= 15n;
  },
  /** PCMPESTRI and its kin: strings that match in part, lengths about the string's. */
  strings(draft, instruction) {
    const { random } = draft;
    const control = Number(instruction.immediates[0]!.value) & 0x7f;
    instruction.immediates[0]!.value = BigInt(control);
    const words = (control & 1) !== 0;
    const [low, high] = shortString(draft, words);
    draft.setXmm(instruction.reg, 0, low);
    draft.setXmm(instruction.reg, 1, high);
    if (random.oneIn(4)) setVector(draft, instruction, low, high);
    else setVector(draft, instruction, ...shortString(draft, words));
    const length = () => (random.oneIn(6) ? adversarialInteger(random) : BigInt(random.below(37) - 18));
    const bits = instruction.rexW ? 64 : 32;
    draft.setGprBits(rax, bits, BigInt.asUintN(64, length()));
    draft.setGprBits(rdx, bits, BigInt.asUintN(64, length()));
  },
  /** LDMXCSR: valid, or with reserved bits. */
  newMxcsr(draft, { rm }) {
    if (rm?.kind !== 'memory' || rm.linear >= 0x8000_0000_0000n) return;
    const value = draft.random.oneIn(6) ? draft.random.u32() : anyMxcsr(draft.random);
    draft.pokeInteger(Number(rm.linear), 4, BigInt(value));
  },
};
