/** Values on which arithmetic goes wrong first: boundaries, special floating-point numbers, and random ones between. */
import type { Random } from './random.ts';

/** A 64-bit integer, often at the edge of an 8-, 16-, 32- or 64-bit range. */
export function adversarialInteger(random: Random): bigint {
  const kind = random.below(16);
  if (kind < 5) return random.u64();
  if (kind < 7) return BigInt(random.below(16));
  if (kind === 7) return BigInt.asUintN(64, -BigInt(random.below(16) + 1));
  if (kind === 8) return BigInt(random.u32());
  if (kind === 9) return BigInt.asUintN(64, BigInt(random.u32() | 0));
  if (kind === 10) return BigInt(random.below(0x10000));
  if (kind === 11) {
    // The same byte in all places: equal halves, equal lanes.
    return BigInt(random.pick([0x00, 0x01, 0x7f, 0x80, 0xff, 0x55, 0xaa])) * 0x0101_0101_0101_0101n;
  }
  // A power of two or one beside it, alone or under random upper bits.
  const bit = BigInt(random.pick([7, 8, 15, 16, 31, 32, 63, random.below(64)]));
  const edge = (1n << bit) + BigInt(random.below(3) - 1);
  if (kind < 15) return BigInt.asUintN(64, edge);
  return BigInt.asUintN(64, (random.u64() << (bit + 1n)) | edge);
}

/** A 32-bit IEEE 754 pattern; special values, values near 1 and near integers are frequent. */
export function adversarialSingle(random: Random): number {
  const sign = random.below(2) * 0x8000_0000;
  const fraction = random.oneIn(3)
    ? random.pick([0, 1, 0x400000, 0x7fffff, 0x3fffff])
    : random.below(0x800000);
  switch (random.below(16)) {
    case 0:
      return sign; // zero
    case 1:
      return sign + 0x7f80_0000; // infinity
    case 2:
      return sign + 0x7fc0_0000 + random.below(0x400000); // quiet NaN
    case 3:
      return sign + 0x7f80_0000 + 1 + random.below(0x3fffff); // signalling NaN
    case 4:
      return sign + 1 + random.below(0x7fffff); // denormal
    case 5:
      return sign + 0x0080_0000 + fraction; // smallest normal numbers
    case 6:
      return sign + 0x7f00_0000 + fraction; // largest
    case 7:
    case 8:
      return sign + (random.below(254) + 1) * 0x80_0000 + fraction; // any exponent
    case 9:
      return sign + (127 + 20 + random.below(14)) * 0x80_0000 + fraction; // near the ends of the 32-bit integers
    default:
      return sign + (127 - 8 + random.below(16)) * 0x80_0000 + fraction; // near one
  }
}

/** A 64-bit IEEE 754 pattern, distributed like {@link adversarialSingle}. */
export function adversarialDouble(random: Random): bigint {
  const sign = BigInt(random.below(2)) << 63n;
  const low = random.u64() & 0xf_ffff_ffff_ffffn;
  const fraction = random.oneIn(3)
    ? random.pick([
        0n,
        1n,
        0x8_0000_0000_0000n,
        0xf_ffff_ffff_ffffn,
        0xf_ffff_e000_0000n,
        0xf_ffff_f000_0000n,
      ])
    : random.oneIn(3)
      ? low & 0xf_ffff_e000_0000n // a value that fits single precision
      : low;
  const exponent = (value: number) => sign | (BigInt(value) << 52n) | fraction;
  switch (random.below(16)) {
    case 0:
      return sign;
    case 1:
      return sign | 0x7ff0_0000_0000_0000n;
    case 2:
      return sign | 0x7ff8_0000_0000_0000n | low;
    case 3:
      return sign | 0x7ff0_0000_0000_0000n | (low & 0x7_ffff_ffff_ffffn) | 1n;
    case 4:
      return sign | low;
    case 5:
      return exponent(1);
    case 6:
      return exponent(0x7fe);
    case 7:
      return exponent(1 + random.below(0x7fe));
    case 8:
      return exponent(random.pick([0x380, 0x381, 0x369, 0x47e, 0x47f])); // the ends of single precision
    case 9:
      return exponent(1023 + random.pick([14, 15, 30, 31, 32, 51, 52, 62, 63, 64])); // the ends of the integers
    default:
      return exponent(1023 - 8 + random.below(16));
  }
}

/** An 80-bit extended-precision pattern as sign and exponent (16 bits) and significand, unsupported encodings included. */
export function adversarialExtended(random: Random): { exponent: number; significand: bigint } {
  const sign = random.below(2) << 15;
  const integerBit = 1n << 63n;
  const low = random.u64() & (integerBit - 1n);
  const fraction = random.oneIn(3)
    ? random.pick([0n, 1n, integerBit >> 1n, integerBit - 1n, 0x7fff_ff00_0000_0000n, 0x7fff_ffff_ffff_f800n])
    : random.oneIn(3)
      ? low & random.pick([0x7fff_ff00_0000_0000n, 0x7fff_ffff_ffff_f800n]) // fits single or double precision
      : low;
  const normal = (exponent: number) => ({ exponent: sign | exponent, significand: integerBit | fraction });
  switch (random.below(24)) {
    case 0:
    case 1:
      return { exponent: sign, significand: 0n }; // zero
    case 2:
      return { exponent: sign | 0x7fff, significand: integerBit }; // infinity
    case 3:
      return { exponent: sign | 0x7fff, significand: integerBit | (integerBit >> 1n) | low }; // quiet NaN
    case 4:
      return { exponent: sign | 0x7fff, significand: integerBit | (low >> 1n) | 1n }; // signalling NaN
    case 5:
      return { exponent: sign, significand: low | 1n }; // denormal
    case 6:
      return { exponent: sign, significand: integerBit | low }; // pseudo-denormal
    case 7:
      return random.oneIn(2)
        ? { exponent: sign | (1 + random.below(0x7ffe)), significand: low } // unnormal
        : { exponent: sign | 0x7fff, significand: random.oneIn(2) ? 0n : low }; // pseudo-infinity, pseudo-NaN
    case 8:
      return normal(random.pick([1, 2, 0x7ffe, 0x7ffd]));
    case 9:
      return normal(1 + random.below(0x7ffe));
    case 10:
      return normal(0x3fff + random.pick([-1023, -1022, 1023, 1024, -127, -126, 127, 128, -150, -1075])); // the ends of double and single
    case 11:
    case 12:
      return normal(0x3fff + random.pick([14, 15, 16, 30, 31, 32, 52, 53, 62, 63, 64, 65])); // the ends of the integers
    default:
      return normal(0x3fff - 8 + random.below(16));
  }
}
