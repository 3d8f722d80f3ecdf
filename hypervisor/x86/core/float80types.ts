/**
 * The routines of x87 arithmetic (`float80*.ts`), which know numbers but nothing of registers and stack.
 *
 * A number in the double extended-precision format is an i64, the significand, and an i32, the sign in bit 15 and
 * the biased exponent in bits 0 … 14 (SDM vol. 1, 4.2.2). `control` is the x87 control word. Where a result is followed by `flags`, these are the
 * exceptions met, at their places in the status word, with C1 set when the result was rounded up. A result that goes
 * with an unmasked invalid-operation, denormal-operand or zero-divide exception has no meaning.
 *
 * `options` of arithmetic: bit 1 (DE) tells that the second operand was denormal in the format it came from; bit 15, for additions, that the
 * second operand's sign is to be inverted.
 */
import { signature } from './signature.ts';

export const float80Types = {
  // wide.ts
  /** (a, b) → high and low half of the product. */
  multiply64: signature('i64 i64', 'i64 i64'),
  /** (high, low, divisor with bit 63 set and above high) → quotient, remainder. */
  divide128: signature('i64 i64 i64', 'i64 i64'),
  /** (high, low, count from 0 on) → shifted right; bits that fall out leave their trace in bit 0. */
  shiftRight128: signature('i64 i64 i32', 'i64 i64'),
  // wide128.ts
  /** (a, b) → upper 128 bits of the product; the last place may be too low by 3. */
  wideMultiply: signature('i64 i64 i64 i64', 'i64 i64'),
  /** (dividend, divisor), both with the top bit set → quotient as a fraction of 1 with the top bit set, and 1 when it was halved to be one. */
  wideDivide: signature('i64 i64 i64 i64', 'i64 i64 i32'),
  // float80.ts
  /** (control, sign in bit 15, biased exponent without bounds, significand, 64 bits behind it) → number, flags. */
  float80Round: signature('i32 i32 i32 i64 i64', 'i64 i32 i32'),
  /** The general case of it. */
  float80RoundAny: signature('i32 i32 i32 i64 i64', 'i64 i32 i32'),
  /** (a, b) → the result when one is a NaN or of no supported format, and flags; flags −1 when neither is. */
  float80Nan: signature('i64 i32 i64 i32', 'i64 i32 i32'),
  // float80arithmetic.ts
  /** (operation, control, a, b, options): operation as ModRM.reg has it: 0 add, 1 multiply, 4 subtract, 5 reversed, 6 divide, 7 reversed. */
  float80Binary: signature('i32 i32 i64 i32 i64 i32 i32', 'i64 i32 i32'),
  /** (control, a, b, options). */
  float80Add: signature('i32 i64 i32 i64 i32 i32', 'i64 i32 i32'),
  float80Multiply: signature('i32 i64 i32 i64 i32 i32', 'i64 i32 i32'),
  float80Divide: signature('i32 i64 i32 i64 i32 i32', 'i64 i32 i32'),
  /** (control, a). */
  float80SquareRoot: signature('i32 i64 i32', 'i64 i32 i32'),
  // float80compare.ts
  /** (a, b, options, 1 when quiet NaNs are no exception) → C0, C2, C3 at their places, flags. */
  float80Compare: signature('i64 i32 i64 i32 i32 i32', 'i32 i32'),
  // float80convert.ts
  /** (bits) → number, DE when it was denormal. */
  float80FromSingle: signature('i32', 'i64 i32 i32'),
  float80FromDouble: signature('i64', 'i64 i32 i32'),
  /** (integer) → number. */
  float80FromInteger: signature('i64', 'i64 i32'),
  /** (low 16 digits, high 2 digits and sign) → number. */
  float80FromDecimal: signature('i64 i32', 'i64 i32'),
  /** (control, number) → bits, flags. An unmasked overflow or underflow leaves the bits without meaning. */
  float80ToSingle: signature('i32 i64 i32', 'i64 i32'),
  float80ToDouble: signature('i32 i64 i32', 'i64 i32'),
  /** (control, number, significand bits, exponent bits) → bits, flags: the general case of both. */
  float80Narrow: signature('i32 i64 i32 i32 i32', 'i64 i32'),
  /** (control, number, width in bits) → two's complement in the low bits, flags. */
  float80ToInteger: signature('i32 i64 i32 i32', 'i64 i32'),
  /** (control, number) → low 16 digits, high 2 digits and sign, flags. */
  float80ToDecimal: signature('i32 i64 i32', 'i64 i32 i32'),
  /** (control, number) → number rounded to an integer, flags. */
  float80RoundToInteger: signature('i32 i64 i32', 'i64 i32 i32'),
  // float80scale.ts
  /** (control, a, b) → a · 2^b with b cut to an integer. */
  float80Scale: signature('i32 i64 i32 i64 i32', 'i64 i32 i32'),
  /** (control, a) → exponent as a number, significand as a number, flags. */
  float80Extract: signature('i32 i64 i32', 'i64 i32 i64 i32 i32'),
  /** (control, a, b, 1 to round the quotient to nearest) → remainder, flags with C0, C1, C2, C3. */
  float80Remainder: signature('i32 i64 i32 i64 i32 i32', 'i64 i32 i32'),
  // float80trigonometric.ts
  /**
   * (significand, biased exponent from 3FFEH to 403DH) → what is left of the number modulo pi/2, between −pi/4 and pi/4: significand,
   * biased exponent, multiples of pi/2 in bits 0 … 1, sign in bit 15.
   */
  trigonometricReduce: signature('i64 i32', 'i64 i64 i32 i32'),
  /** (angle's significand, biased exponent; up to pi/4) → sine: significand, biased exponent. */
  wideSine: signature('i64 i64 i32', 'i64 i64 i32'),
  wideCosine: signature('i64 i64 i32', 'i64 i64 i32'),
  /** (control, a, quarter turns to add: 0 sine, 1 cosine) → result, flags with C2 when the argument is out of range. */
  float80Sine: signature('i32 i64 i32 i32', 'i64 i32 i32'),
  /** (control, a) → sine, cosine, flags. */
  float80SineCosine: signature('i32 i64 i32', 'i64 i32 i64 i32 i32'),
  /** (control, a) → tangent, 1, flags. */
  float80Tangent: signature('i32 i64 i32', 'i64 i32 i64 i32 i32'),
  // float80arctangent.ts
  /** (control, x, y) → the angle of the point (x, y). */
  float80Arctangent: signature('i32 i64 i32 i64 i32', 'i64 i32 i32'),
  /** (smaller number, larger number; magnitudes) → arctangent of the quotient: significand, biased exponent. */
  wideArctangent: signature('i64 i32 i64 i32', 'i64 i64 i32'),
  // float80logarithm.ts
  /** (control, x) → 2^x − 1. */
  float80PowerLess1: signature('i32 i64 i32', 'i64 i32 i32'),
  /** (control, x, y) → y · log2(x). */
  float80Logarithm: signature('i32 i64 i32 i64 i32', 'i64 i32 i32'),
  /** (control, x, y) → y · log2(x + 1). */
  float80LogarithmPlus1: signature('i32 i64 i32 i64 i32', 'i64 i32 i32'),
  /** (z's significand, biased exponent; below 0.18) → log2((1 + z) / (1 − z)): significand, biased exponent. */
  wideLogarithm: signature('i64 i64 i32', 'i64 i64 i32'),
  /** (significand, biased exponent) → magnitude of log2: significand, biased exponent, sign in bit 15. Not for 1. */
  wideLogarithmOf: signature('i64 i64 i32', 'i64 i64 i32 i32'),
} as const;
