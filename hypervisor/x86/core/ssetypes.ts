/** The routines behind SSE's floating-point and string instructions. Those that say so take no vCPU: they only compute. */
import { signature } from './signature.ts';

export const sseTypes = {
  // comparestrings.ts
  /** (a, b, elements of a, of b, immediate of PCMPESTRI) → IntRes2: a bit for each element of b. No vCPU. */
  compareStrings: signature('v128 v128 i32 i32 i32', 'i32'),
  // softfloat.ts
  /** (sign, exponent, significand, MXCSR, exceptions so far) → single-precision number, exceptions. No vCPU. */
  round32: signature('i32 i32 i64 i32 i32', 'i64 i32'),
  /** The same for double precision. */
  round64: signature('i32 i32 i64 i32 i32', 'i64 i32'),
  // softarithmetic.ts
  /** (operation, a, b, MXCSR) → single-precision result, exceptions. No vCPU. */
  float32: signature('i32 i64 i64 i32', 'i64 i32'),
  /** The same for double precision. */
  float64: signature('i32 i64 i64 i32', 'i64 i32'),
  // softconvert.ts
  /** (conversion, operand, MXCSR) → result, exceptions. No vCPU. */
  convert: signature('i32 i64 i32', 'i64 i32'),
  // softapproximate.ts
  /** (single-precision number) → about 1 / x. No vCPU. */
  reciprocal: signature('i32', 'i32'),
  /** (single-precision number) → about 1 / √x. No vCPU. */
  reciprocalRoot: signature('i32', 'i32'),
  // simdfloat.ts
  /** (cpu, exceptions found) → 1, or 0 after recording #XM: sets MXCSR's flags. */
  simdExceptions: signature('i32 i32', 'i32'),
  /** (cpu, an operation for each lane in 4 bits, a, b) → four results, and 1 or 0 as `simdExceptions`. */
  lanes32: signature('i32 i32 v128 v128', 'v128 i32'),
  /** The same for two lanes. */
  lanes64: signature('i32 i32 v128 v128', 'v128 i32'),
  /** (cpu, operation, a, b) → result, and 1 or 0 as `simdExceptions`. */
  scalar32: signature('i32 i32 f32 f32', 'f32 i32'),
  scalar64: signature('i32 i32 f64 f64', 'f64 i32'),
  /** (cpu, conversion, rounding as in ROUNDPS's immediate, operand) → result, and 1 or 0 as `simdExceptions`. */
  convertScalar: signature('i32 i32 i32 i64', 'i64 i32'),
  /** (cpu, conversion, lanes, rounding as in ROUNDPS's immediate, operand) → results, and 1 or 0 as `simdExceptions`. */
  convertLanes: signature('i32 i32 i32 i32 v128', 'v128 i32'),
} as const;
