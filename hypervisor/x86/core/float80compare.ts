/** Comparison of numbers (SDM vol. 2, FCOM, FUCOM, FTST). */
import type { CorePart } from './core.ts';
import {
  C0,
  C2,
  C3,
  DE,
  exponentOf,
  IE,
  isDenormal,
  isNan,
  isSpecial,
  isUnsupported,
  parameterNumber,
  quietBit,
  signOf,
} from './float80.ts';

/** The condition codes of an unordered comparison. */
export const unordered = C0 | C2 | C3;

export const float80Compare: CorePart = (define) => {
  define('float80Compare', (fn) => {
    const a = parameterNumber(fn, 0);
    const b = parameterNumber(fn, 2);
    const options = fn.parameter(4).get();
    const quiet = fn.parameter(5).get();
    fn.if(isUnsupported(a).or(isUnsupported(b)), () => fn.return(unordered, IE));
    fn.if(isSpecial(a).or(isSpecial(b)), () => {
      fn.if(isNan(a).or(isNan(b)), () => {
        const signals = (x: typeof a) => isNan(x).and(x.significand.and(quietBit).eqz());
        const invalid = quiet.eqz().or(signals(a)).or(signals(b));
        fn.return(unordered, fn.select(invalid, fn.i32(IE), fn.i32(0)));
      });
    });
    const flags = isDenormal(a).or(isDenormal(b)).shl(1).or(options.and(DE));
    fn.if(a.significand.or(b.significand).eqz(), () => fn.return(C3, flags));
    fn.if(signOf(a).ne(signOf(b)), () => {
      fn.return(fn.select(signOf(a), fn.i32(C0), fn.i32(0)), flags);
    });
    // Pseudo-denormals have the exponent of the lowest normal numbers.
    const place = (x: typeof a) => exponentOf(x).add(exponentOf(x).eqz());
    const sameExponent = place(a).eq(place(b));
    fn.if(sameExponent.and(a.significand.eq(b.significand)), () => fn.return(C3, flags));
    const below = fn.select(sameExponent, a.significand.ltU(b.significand), place(a).ltU(place(b)));
    // Of two negative numbers the one with the lower magnitude is greater.
    fn.return(fn.select(below.ne(signOf(a).ne(0)), fn.i32(C0), fn.i32(0)), flags);
  });
};
