/** Preparations for the x87: operands in memory, environments and state images, arguments of transcendental functions. */
import { baseImage, fxOffset, imageOffset } from '../image.ts';
import type { Random } from '../random.ts';
import { adversarialDouble, adversarialExtended, adversarialInteger, adversarialSingle } from '../values.ts';
import { type Draft, rax, rdx } from './draft.ts';
import type { Instruction, Preparation } from './instruction.ts';
import { anyMxcsr } from './prepare-simd.ts';

/** The linear address of the memory operand, unless it is out of the user half. */
function memoryOf({ rm }: Instruction): number | undefined {
  return rm?.kind === 'memory' && rm.linear < 0x7fff_ffff_0000n ? Number(rm.linear) : undefined;
}

/** A control word with the reserved bits as they always read; precision control 1 is reserved (SDM vol. 1, table 8-2). */
export function anyControlWord(random: Random): number {
  const masks = random.oneIn(3) ? random.below(64) : 0x3f;
  return (
    0x40 |
    masks |
    (random.pick([0, 2, 3, 3, 3]) << 8) |
    (random.below(4) << 10) |
    (random.oneIn(8) ? 0x1000 : 0)
  );
}

/** A status word that goes with a control word: ES and B are set exactly when a flag is unmasked. */
export function statusWord(random: Random, control: number, pending: boolean): number {
  const masks = control & 0x3f;
  let flags = random.oneIn(3) ? random.below(128) : 0;
  if (!pending) flags &= masks | 0x40;
  const summary = (flags & 0x3f & ~masks) !== 0 ? 0x8080 : 0;
  return flags | summary | (random.below(8) << 11) | (random.u32() & 0x4700);
}

/** Gives the x87 a random control word, flags and condition codes; an exception is pending one time in 24. */
export function anyX87(draft: Draft): void {
  const { random, fx } = draft;
  const control = anyControlWord(random);
  fx.setUint16(fxOffset.fcw, control, true);
  fx.setUint16(fxOffset.fsw, statusWord(random, control, random.oneIn(24)), true);
}

const bias = 0x3fff;
const integerBit = 1n << 63n;

/** A normal number with an exponent in a range. */
function normal(random: Random, low: number, high: number, sign = random.below(2)) {
  const significand = random.oneIn(5) ? integerBit : integerBit | (random.u64() >> 1n);
  return { exponent: (sign << 15) | (bias + low + random.below(high - low + 1)), significand };
}

/** One time in six, any value at all. */
function mostly(draft: Draft, i: number, value: { exponent: number; significand: bigint }): void {
  if (!draft.random.oneIn(6)) draft.setSt(i, value);
}

const isSpecial = ({ exponent, significand }: { exponent: number; significand: bigint }) =>
  (exponent & 0x7fff) === 0x7fff
    ? significand << 1n !== integerBit << 1n
    : significand === 0n || (significand & integerBit) === 0n;

/** One time in six a NaN, zero, denormal or unsupported value; otherwise the given one: where other arguments give undefined results. */
function onlySpecialOr(draft: Draft, i: number, value: { exponent: number; significand: bigint }): void {
  if (draft.random.oneIn(6) && isSpecial(draft.st(i))) return;
  draft.setSt(i, value);
}

function bothFlags(draft: Draft): void {
  draft.fx.setUint8(fxOffset.ftw, draft.random.oneIn(10) ? draft.random.below(256) : 0xff);
}

export const x87Preparations: Record<string, Preparation> = {
  float(draft, instruction) {
    const linear = memoryOf(instruction);
    if (linear === undefined) return;
    const { memoryBytes } = instruction;
    const { random } = draft;
    if (memoryBytes === 4) draft.pokeInteger(linear, 4, BigInt(adversarialSingle(random)));
    else if (memoryBytes === 8) draft.pokeInteger(linear, 8, adversarialDouble(random));
    else {
      const { exponent, significand } = adversarialExtended(random);
      draft.pokeInteger(linear, 8, significand);
      draft.pokeInteger(linear + 8, 2, BigInt(exponent));
    }
  },
  integer(draft, instruction) {
    const linear = memoryOf(instruction);
    if (linear !== undefined)
      draft.pokeInteger(linear, instruction.memoryBytes, adversarialInteger(draft.random));
  },
  /** FBLD: 18 decimal digits; the result of others is undefined. The seven low bits of the sign's byte are ignored. */
  packedDecimal(draft, instruction) {
    const linear = memoryOf(instruction);
    if (linear === undefined) return;
    const { random } = draft;
    const count = random.below(19);
    for (let i = 0; i < 9; i++) {
      const digit = (place: number) => (place < count ? random.below(10) : 0);
      draft.pokeInteger(linear + i, 1, BigInt(digit(2 * i) | (digit(2 * i + 1) << 4)));
    }
    draft.pokeInteger(linear + 9, 1, BigInt(random.pick([0, 0x80])));
  },
  /** FBSTP: mostly below 10^18. */
  smallTop(draft) {
    mostly(draft, 0, normal(draft.random, -3, 61));
  },
  /** FPREM: exponents that are not far apart. */
  sameScale(draft) {
    const { random } = draft;
    const low = random.below(0x7f00) - 0x3f80;
    draft.setSt(1, normal(random, low, low));
    draft.setSt(0, normal(random, low - 4, low + random.pick([2, 62, 63, 64, 70])));
  },
  /** FSCALE by an amount that matters. */
  smallScale(draft) {
    mostly(draft, 1, normal(draft.random, -2, 15));
  },
  controlWord(draft, instruction) {
    const linear = memoryOf(instruction);
    if (linear !== undefined) draft.pokeInteger(linear, 2, BigInt(anyControlWord(draft.random)));
  },
  /** FLDENV and FRSTOR: the protected-mode formats (SDM vol. 1, figures 8-9 and 8-11), then the registers. */
  environment(draft, instruction) {
    const linear = memoryOf(instruction);
    if (linear === undefined) return;
    const { random } = draft;
    const control = anyControlWord(random);
    const slot = instruction.operandSize === 16 ? 2 : 4;
    draft.pokeInteger(linear, slot, BigInt(control));
    draft.pokeInteger(linear + slot, slot, BigInt(statusWord(random, control, random.oneIn(6))));
    draft.pokeInteger(linear + 2 * slot, slot, BigInt(random.below(0x10000)));
    draft.pokeInteger(linear + 3 * slot, slot, BigInt(random.u32()));
    for (let i = 4; i < 7; i++) draft.pokeInteger(linear + i * slot, slot, 0n);
    if (instruction.encoding.mnemonic !== 'frstor') return;
    for (let i = 0; i < 8; i++) {
      const { exponent, significand } = adversarialExtended(random);
      draft.pokeInteger(linear + 7 * slot + 10 * i, 8, significand);
      draft.pokeInteger(linear + 7 * slot + 10 * i + 8, 2, BigInt(exponent));
    }
  },
  /** FSTENV and FSAVE: the opcode, the data pointer and the selectors are not compared (see compare.ts). */
  environmentStore(draft, instruction) {
    const linear = memoryOf(instruction);
    if (linear === undefined) return;
    if (instruction.operandSize === 16) draft.ignoreMemory(linear + 8, 6);
    else draft.ignoreMemory(linear + 16, 12);
  },
  /** FXSAVE and XSAVE: likewise. */
  fxStore(draft, instruction) {
    const linear = memoryOf(instruction);
    if (linear === undefined) return;
    draft.ignoreMemory(linear + fxOffset.fop, 2);
    draft.ignoreMemory(linear + fxOffset.fdp, 8);
    if (!instruction.rexW) draft.ignoreMemory(linear + fxOffset.fip + 4, 2);
  },
  /** FXRSTOR and XRSTOR: an image of other registers. */
  fxImage(draft, instruction) {
    const linear = memoryOf(instruction);
    if (linear === undefined) return;
    const { random } = draft;
    const other = baseImage(random.u32(), random.pick(['x87', 'mmx', 'singles']));
    const image = other.slice(imageOffset.fxsave, imageOffset.fxsave + 512);
    const view = new DataView(image.buffer);
    const control = anyControlWord(random);
    view.setUint16(fxOffset.fcw, control, true);
    view.setUint16(fxOffset.fsw, statusWord(random, control, random.oneIn(8)), true);
    view.setUint32(fxOffset.mxcsr, random.oneIn(8) ? random.u32() : anyMxcsr(random), true);
    for (let i = 416; i < 512; i++) image[i] = random.below(256);
    draft.poke(linear, image);
  },
  /** EDX:EAX names x87, SSE, both or none. */
  xsaveMask(draft) {
    draft.setGprBits(rax, 32, BigInt(draft.random.pick([0, 1, 2, 3, 3, 3])));
    draft.setGprBits(rdx, 32, 0n);
  },
  /**
   * XSAVE: whether XSTATE_BV names a component that holds its initial values is the processor's choice (SDM vol. 1, section 13.6, XINUSE).
   */
  xsaveStore(draft, instruction) {
    const linear = memoryOf(instruction);
    if (linear === undefined) return;
    // RFBM's other bits of the header are kept, so they must be what an XRSTOR would take.
    for (let i = 0; i < 8; i++) draft.pokeInteger(linear + 512 + 8 * i, 8, 0n);
    draft.pokeInteger(linear + 512, 1, BigInt(draft.random.below(4)));
    const initial = { x87: 2, mmx: 0, singles: 1, doubles: 1, integers: 1, plain: 3 }[draft.flavour];
    if (initial !== 0) draft.ignoreMemory(linear + 512, 1, initial);
  },
  /** XRSTOR: the header, seldom with reserved bits, which raise #GP. */
  xsaveImage(draft, instruction) {
    const linear = memoryOf(instruction);
    if (linear === undefined) return;
    const { random } = draft;
    for (let i = 0; i < 8; i++) draft.pokeInteger(linear + 512 + 8 * i, 8, 0n);
    draft.pokeInteger(linear + 512, 1, BigInt(random.below(4)));
    if (random.oneIn(8))
      draft.pokeInteger(linear + random.pick([512, 520, 528]) + random.pick([7, 5]), 1, 0x40n);
  },
  /** F2XM1: an argument from −1 to +1; the result for others is undefined. */
  unitTop(draft) {
    bothFlags(draft);
    onlySpecialOr(
      draft,
      0,
      draft.random.oneIn(10)
        ? { exponent: bias | (draft.random.below(2) << 15), significand: integerBit }
        : normal(draft.random, -70, -1),
    );
  },
  positiveTop(draft) {
    bothFlags(draft);
    mostly(draft, 0, normal(draft.random, -70, 70, 0));
  },
  /** FYL2XP1: an argument within ±(1 − √2/2); the result for others is undefined. */
  logTop(draft) {
    bothFlags(draft);
    onlySpecialOr(draft, 0, normal(draft.random, -70, -3));
  },
  /** Arguments of trigonometric functions: small and large, and some that are out of range. */
  angle(draft) {
    bothFlags(draft);
    mostly(draft, 0, normal(draft.random, draft.random.oneIn(3) ? -64 : -4, draft.random.pick([4, 20, 64])));
  },
};
