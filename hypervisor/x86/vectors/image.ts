/**
 * The register image: every register that a vector sets or that user code can change, in one flat array of bytes. Files
 * store states as differences between images, and the native runner (`native/runner.c`) has the same layout as a C structure.
 */
import type { Random } from './random.ts';
import { seededRandom } from './random.ts';
import { adversarialDouble, adversarialExtended, adversarialInteger, adversarialSingle } from './values.ts';

/** Offsets in the image. All fields are little-endian. */
export const imageOffset = {
  /** Sixteen 64-bit registers in encoding order, RAX first. */
  gpr: 0,
  rip: 128,
  /** RFLAGS, 8 bytes. */
  rflags: 136,
  /** The selectors of ES, CS, SS, DS, FS and GS, 2 bytes each, and 4 bytes of zeros. */
  selectors: 144,
  fsBase: 160,
  gsBase: 168,
  /** 16 bytes of zeros, then the FXSAVE64 image. */
  fxsave: 192,
} as const;

/** Bytes of a register image. */
export const imageBytes = imageOffset.fxsave + 512;

/** Offsets in the FXSAVE64 image (SDM vol. 1, table 10-2). */
export const fxOffset = {
  fcw: 0,
  fsw: 2,
  /** Abridged tag word: bit i is set when physical register i is not empty. */
  ftw: 4,
  fop: 6,
  fip: 8,
  fdp: 16,
  mxcsr: 24,
  mxcsrMask: 28,
  /** ST(0) to ST(7), 16 bytes each, of which 10 are used. */
  st: 32,
  /** XMM0 to XMM15. */
  xmm: 160,
} as const;

/** What a vector's random registers are full of, apart from the general ones. */
export const flavours = ['plain', 'x87', 'mmx', 'integers', 'singles', 'doubles'] as const;
/** `plain` leaves x87 and SSE registers as after FNINIT and zero; `x87` fills ST, `mmx` fills MM and XMM, the others fill XMM. */
export type Flavour = (typeof flavours)[number];

function writeLane(
  view: DataView,
  at: number,
  kind: 'integers' | 'singles' | 'doubles',
  random: Random,
): void {
  if (kind === 'integers') view.setBigUint64(at, adversarialInteger(random), true);
  else if (kind === 'doubles') view.setBigUint64(at, adversarialDouble(random), true);
  else {
    view.setUint32(at, adversarialSingle(random), true);
    view.setUint32(at + 4, adversarialSingle(random), true);
  }
}

/**
 * The image that a vector's own differences start from. It depends on seed and flavour alone, and the files depend on it:
 * changing anything here means recording them anew.
 *
 * RIP, RSP and selectors are zero until the vector sets them. RFLAGS has random status flags, IF and bit 1.
 */
export function baseImage(seed: number, flavour: Flavour): Uint8Array {
  const random = seededRandom(seed);
  const image = new Uint8Array(imageBytes);
  const view = new DataView(image.buffer);
  for (let register = 0; register < 16; register++) {
    const value =
      register > 0 && random.oneIn(12)
        ? view.getBigUint64(8 * random.below(register), true) // equal to another register
        : adversarialInteger(random);
    view.setBigUint64(imageOffset.gpr + 8 * register, value, true);
  }
  view.setBigUint64(imageOffset.gpr + 8 * 4, 0n, true);
  view.setUint32(imageOffset.rflags, 0x202 | (random.u32() & 0x8d5), true);
  const fx = imageOffset.fxsave;
  view.setUint16(fx + fxOffset.fcw, 0x037f, true);
  view.setUint32(fx + fxOffset.mxcsr, 0x1f80, true);
  view.setUint32(fx + fxOffset.mxcsrMask, 0xffff, true);
  if (flavour === 'x87') {
    view.setUint16(fx + fxOffset.fsw, random.below(8) << 11, true);
    view.setUint32(fx + fxOffset.fip, random.u32(), true);
    view.setUint8(fx + fxOffset.ftw, random.oneIn(4) ? random.below(256) : 0xff);
    for (let i = 0; i < 8; i++) {
      const value = adversarialExtended(random);
      view.setBigUint64(fx + fxOffset.st + 16 * i, value.significand, true);
      view.setUint16(fx + fxOffset.st + 16 * i + 8, value.exponent, true);
    }
  } else if (flavour === 'mmx') {
    view.setUint8(fx + fxOffset.ftw, random.oneIn(4) ? random.below(256) : 0xff);
    for (let i = 0; i < 8; i++) {
      view.setBigUint64(fx + fxOffset.st + 16 * i, adversarialInteger(random), true);
      view.setUint16(fx + fxOffset.st + 16 * i + 8, 0xffff, true);
    }
  }
  if (flavour !== 'plain' && flavour !== 'x87') {
    for (let register = 0; register < 16; register++) {
      const at = fx + fxOffset.xmm + 16 * register;
      if (register > 0 && random.oneIn(8)) {
        image.copyWithin(at, fx + fxOffset.xmm, fx + fxOffset.xmm + 16); // equal to XMM0
        continue;
      }
      const kind =
        flavour === 'mmx' || random.oneIn(16)
          ? random.pick(['integers', 'singles', 'doubles'] as const)
          : flavour;
      writeLane(view, at, kind, random);
      if (random.oneIn(8)) view.setBigUint64(at + 8, view.getBigUint64(at, true), true);
      else writeLane(view, at + 8, kind, random);
    }
  }
  return image;
}
