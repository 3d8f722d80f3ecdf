/**
 * The approximations of RCPSS and RSQRTSS: relative error at most 1.5 · 2^−12 (SDM vol. 2). The manual leaves the rest to processors; here the
 * result is the right one, rounded to 12 bits behind the point. No exceptions, and MXCSR plays no part: denormals
 * count as zero, and results that would be denormal are zero.
 */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import type { CorePart } from './core.ts';

const infinity = 0x7f80_0000;
const quiet = 0x0040_0000;
const indefinite = 0xffc0_0000;
const smallestNormal = 0x0080_0000;
const dropped = 23 - 12;

/** Leaves for operands that have no approximation by arithmetic: NaNs, and zeros, which give infinity. */
function special(fn: FunctionBuilder, x: Value): { magnitude: Value; sign: Value } {
  const magnitude = x.and(0x7fff_ffff);
  const sign = x.and(0x8000_0000);
  fn.if(magnitude.gtU(infinity), () => fn.return(x.or(quiet)));
  fn.if(magnitude.ltU(smallestNormal), () => fn.return(sign.or(infinity)));
  return { magnitude, sign };
}

function rounded(bits: Value): Value {
  return bits.add(1 << (dropped - 1)).and(-1 << dropped);
}

export const softapproximate: CorePart = (define) => {
  define('reciprocal', (fn) => {
    const { magnitude, sign } = special(fn, fn.parameter(0).get());
    const number = fn.apply('f32.reinterpret_i32', magnitude);
    const bits = rounded(fn.apply('i32.reinterpret_f32', fn.f32(1).div(number)));
    // Of infinity, too.
    fn.if(bits.ltU(smallestNormal), () => fn.return(sign));
    fn.return(sign.or(bits));
  });
  define('reciprocalRoot', (fn) => {
    const { magnitude, sign } = special(fn, fn.parameter(0).get());
    fn.if(sign, () => fn.return(indefinite));
    const number = fn.apply('f32.reinterpret_i32', magnitude);
    fn.return(rounded(fn.apply('i32.reinterpret_f32', fn.f32(1).div(number.apply('f32.sqrt')))));
  });
};
