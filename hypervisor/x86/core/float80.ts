/**
 * Numbers in the double extended-precision format: their kinds, NaNs, and rounding (SDM vol. 1, 4.2.2, 4.8 and 8.2).
 * See `float80types.ts` for how they are passed.
 */
import type { FunctionBuilder, Variable } from '../../wasm/function.ts';
import type { Operand, Value } from '../../wasm/value.ts';
import type { CorePart } from './core.ts';

/** Exceptions, as bits of the status word; the control word masks them with the same bits. */
export const IE = 0x01;
export const DE = 0x02;
export const ZE = 0x04;
export const OE = 0x08;
export const UE = 0x10;
export const PE = 0x20;
/** Condition code bits of the status word. C1 tells that a result was rounded up. */
export const C0 = 0x0100;
export const C1 = 0x0200;
export const C2 = 0x0400;
export const C3 = 0x4000;

export const signBit = 0x8000;
export const maximumExponent = 0x7fff;
/** Of the biased exponent: that of numbers from 1 to 2. */
export const bias = 0x3fff;
/** The explicit integer bit. */
export const integerBit = 1n << 63n;
/** Of a NaN: quiet. */
export const quietBit = 1n << 62n;
/** The real indefinite, the QNaN that stands for the result of an invalid operation (SDM vol. 1, table 4-3). */
export const indefinite = { significand: 3n << 62n, signExponent: 0xffff } as const;
/** What unmasked overflow takes off the exponent, and underflow adds (SDM vol. 1, 8.5.4 and 8.5.5). */
export const exponentAdjustment = 24576;

/** The rounding control (SDM vol. 1, table 4-8) in the control word. */
export const roundingShift = 10;
export const nearest = 0;
export const down = 1;
export const up = 2;
export const truncate = 3;
/** The precision control (SDM vol. 1, table 8-2). */
const precisionShift = 8;
const fullPrecision = 3;
/** A control word with this set rounds to 64 bits: what other than the basic operations does (SDM vol. 1, 8.1.5.2). */
export const extendedPrecision = fullPrecision << precisionShift;

/** A number: significand (i64), sign and exponent (i32). */
export interface Float80 {
  readonly significand: Value;
  readonly signExponent: Value;
}

/** The number in two parameters of a function. */
export function parameterNumber(fn: FunctionBuilder, first: number): Float80 {
  return { significand: fn.parameter(first).get(), signExponent: fn.parameter(first + 1).get() };
}

/** The biased exponent. */
export function exponentOf({ signExponent }: Float80): Value {
  return signExponent.and(maximumExponent);
}

/** The sign, in bit 15. */
export function signOf({ signExponent }: Float80): Value {
  return signExponent.and(signBit);
}

/** 1 for a normal number: integer bit set, exponent neither lowest nor highest. */
export function isNormal(x: Float80): Value {
  return exponentOf(x)
    .sub(1)
    .ltU(maximumExponent - 1)
    .and(x.significand.ltS(0));
}

/** 1 for a zero. */
export function isZero(x: Float80): Value {
  return exponentOf(x).eqz().and(x.significand.eqz());
}

/** 1 for a denormal or pseudo-denormal number, when zero and unsupported formats are excluded. */
export function isDenormal(x: Float80): Value {
  return exponentOf(x).eqz().and(x.significand.ne(0));
}

/** 1 for an infinity, a NaN, or an unsupported format with the highest exponent. */
export function isSpecial(x: Float80): Value {
  return exponentOf(x).eq(maximumExponent);
}

/** 1 for an unsupported format: pseudo-NaN, pseudo-infinity, unnormal (SDM vol. 1, 8.2.2). */
export function isUnsupported(x: Float80): Value {
  return exponentOf(x).ne(0).and(x.significand.geS(0));
}

/** 1 for a NaN with the integer bit. */
export function isNan(x: Float80): Value {
  return isSpecial(x).and(x.significand.gtU(integerBit));
}

/** 1 for a NaN's significand when it signals. */
function signals(significand: Value): Value {
  return significand.and(quietBit).eqz();
}

/** Significand with the integer bit set, and the biased exponent that goes with it, as variables. Not for zero. */
export function normalized(fn: FunctionBuilder, x: Float80): { significand: Variable; exponent: Variable } {
  const significand = fn.local('i64', x.significand);
  const exponent = fn.local('i32', exponentOf(x));
  fn.if(exponent.get().eqz(), () => {
    const shift = significand.get().clz();
    exponent.set(fn.i32(1).sub(shift.wrap()));
    significand.set(significand.get().shl(shift));
  });
  return { significand, exponent };
}

/** Leaves with the real indefinite and the given flags. */
export function returnIndefinite(fn: FunctionBuilder, flags: Operand): void {
  fn.return(indefinite.significand, indefinite.signExponent, flags);
}

/** The three results of a routine that gives a number and flags. */
export type NumberAndFlags = [Value, Value, Value];

/** 1 when the fraction `half` of a unit (i64, in 2^-64) is rounded up to nearest; `odd` is the unit's low bit (i32). */
export function nearestEven(half: Value, odd: Value): Value {
  // Above one half, or one half itself with an odd last place.
  return half.ltS(0).and(half.shl(1).ne(0).or(odd));
}

export const float80: CorePart = (define, core) => {
  define('float80Nan', (fn) => {
    const a = parameterNumber(fn, 0);
    const b = parameterNumber(fn, 2);
    fn.if(isUnsupported(a).or(isUnsupported(b)), () => returnIndefinite(fn, IE));
    const aIsNan = isNan(a);
    const bIsNan = isNan(b);
    fn.if(aIsNan.or(bIsNan).eqz(), () => fn.return(0, 0, -1));
    const aSignals = aIsNan.and(signals(a.significand));
    const bSignals = bIsNan.and(signals(b.significand));
    // Table 4-7 of SDM vol. 1: the only NaN; the only quiet one; else the larger significand, and of equal ones the positive.
    const larger = a.significand
      .gtU(b.significand)
      .or(a.significand.eq(b.significand).and(a.signExponent.leU(b.signExponent)));
    const both = fn.select(aSignals.eq(bSignals), larger, bSignals);
    const takeA = fn.select(aIsNan.and(bIsNan), both, aIsNan);
    const significand = fn.select(takeA, a.significand, b.significand).or(quietBit);
    fn.return(
      significand,
      fn.select(takeA, a.signExponent, b.signExponent),
      fn.select(aSignals.or(bSignals), fn.i32(IE), fn.i32(0)),
    );
  });

  define('float80Round', (fn) => {
    const control = fn.parameter(0).get();
    const sign = fn.parameter(1).get();
    const exponent = fn.parameter(2).get();
    const high = fn.parameter(3).get();
    const low = fn.parameter(4).get();
    const usual = control.and((3 << roundingShift) | extendedPrecision).eq(extendedPrecision);
    // A carry cannot make this exponent overflow.
    fn.if(usual.and(exponent.sub(1).ltU(maximumExponent - 2)), () => {
      fn.if(low.eqz(), () => fn.return(high, sign.or(exponent), 0));
      const roundUp = nearestEven(low, high.wrap().and(1));
      const rounded = high.add(roundUp.extendU());
      const carry = rounded.eqz();
      fn.return(
        rounded.or(carry.extendU().shl(63)),
        sign.or(exponent.add(carry)),
        fn.select(roundUp, fn.i32(PE | C1), fn.i32(PE)),
      );
    });
    fn.returnCall(core.float80RoundAny, control, sign, exponent, high, low);
  });

  define('float80RoundAny', (fn) => {
    const control = fn.parameter(0).get();
    const sign = fn.parameter(1).get();
    const exponent = fn.local('i32', fn.parameter(2).get());
    const high = fn.local('i64', fn.parameter(3).get());
    const low = fn.local('i64', fn.parameter(4).get());
    /** How many low bits of the significand the precision control leaves out: 40, 11 or none. */
    const precision = control.shrU(precisionShift).and(3);
    const dropped = fn.select(
      precision.eq(fullPrecision),
      fn.i64(0),
      fn.select(precision.eqz(), fn.i64(40), fn.i64(11)),
    );
    const unit = fn.i64(1).shl(dropped);
    const mode = control.shrU(roundingShift).and(3);
    const roundUp = fn.local('i32');
    const rest = fn.local('i64');
    const rounded = fn.local('i64');
    const carry = fn.local('i32');
    const round = () => {
      // What is left out, as a fraction of the unit.
      rest.set(low.get());
      fn.if(dropped.ne(0), () => {
        rest.set(high.get().shl(fn.i64(64).sub(dropped)).or(low.get().ne(0).extendU()));
      });
      fn.if(
        mode.eq(nearest),
        () => roundUp.set(nearestEven(rest.get(), high.get().shrU(dropped).wrap().and(1))),
        () => {
          const away = mode.eq(fn.select(sign, fn.i32(down), fn.i32(up)));
          roundUp.set(away.and(rest.get().ne(0)));
        },
      );
      const base = high.get().and(unit.negate());
      rounded.set(base.add(fn.select(roundUp.get(), unit, fn.i64(0))));
      carry.set(rounded.get().eqz().and(roundUp.get()));
    };
    const flagsOf = () =>
      fn.select(rest.get().ne(0), fn.i32(PE), fn.i32(0)).or(fn.select(roundUp.get(), fn.i32(C1), fn.i32(0)));
    const extra = fn.local('i32', 0);
    round();
    // Tiny: below the lowest normal number even after rounding to a significand without bounds on the exponent.
    const tiny = exponent.get().leS(0).and(exponent.get().eqz().and(carry.get()).eqz());
    fn.if(tiny, () => {
      fn.if(
        control.and(UE),
        () => {
          const [shiftedHigh, shiftedLow] = fn.callAll(
            core.shiftRight128,
            high.get(),
            low.get(),
            fn.i32(1).sub(exponent.get()),
          ) as [Value, Value];
          high.set(shiftedHigh);
          low.set(shiftedLow);
          round();
          const flags = flagsOf();
          const lost = fn.select(rest.get().ne(0), fn.i32(UE), fn.i32(0));
          // Rounding may have made it the lowest normal number.
          const lowest = rounded.get().ltS(0);
          fn.return(rounded.get(), sign.or(lowest), flags.or(lost));
        },
        () => {
          exponent.set(exponent.get().add(exponentAdjustment));
          extra.set(UE);
        },
      );
    });
    fn.if(carry.get(), () => {
      rounded.set(integerBit);
      exponent.set(exponent.get().add(1));
    });
    fn.if(exponent.get().geS(maximumExponent), () => {
      fn.if(
        control.and(OE),
        () => {
          const toInfinity = mode.eq(nearest).or(mode.eq(fn.select(sign, fn.i32(down), fn.i32(up))));
          fn.if(toInfinity, () => fn.return(integerBit, sign.or(maximumExponent), OE | PE | C1));
          fn.return(unit.negate(), sign.or(maximumExponent - 1), OE | PE);
        },
        () => {
          exponent.set(exponent.get().sub(exponentAdjustment));
          extra.set(OE);
        },
      );
    });
    fn.return(rounded.get(), sign.or(exponent.get().and(maximumExponent)), flagsOf().or(extra.get()));
  });
};
