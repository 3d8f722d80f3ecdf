/** Loads, stores and moves of x87 registers (SDM vol. 1, 8.3.3 and 8.3.4). */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import * as layout from '../layout.ts';
import type { Core, CorePart } from './core.ts';
import { bias, IE, indefinite, integerBit, isNan, OE, parameterNumber, quietBit, UE } from './float80.ts';
import { roundsUp, truncating } from './float80convert.ts';
import { SF, Stack } from './x87stack.ts';

/** Formats of operands in memory, as `x87Convert` takes them. */
export const formats = {
  int16: 0,
  int32: 1,
  int64: 2,
  single: 3,
  double: 4,
  decimal: 5,
  extended: 6,
} as const;
/** Name of a memory format. */
export type Format = keyof typeof formats;
/** Added to an integer format: truncates whatever the rounding control says (FISTTP). */
export const truncated = 8;

/** For `x87StoreRegister`: pops even an empty register, without a stack fault (D9 D8 … DF). */
export const uncheckedPop = 2;

/** Among the flags of `x87Convert`: the sign bit, set when an unmasked exception keeps the result from being stored. */
const notStored = -0x8000_0000;
/** Exceptions that do so. */
const preventStore = IE | OE | UE;

/**
 * The constants of FLD1 … FLDZ by the low bits of their opcodes: significand, its exponent, and what follows the
 * significand, in 2^-64, for the rounding control (SDM vol. 1, 8.3.8).
 */
const constants = [
  { name: '1', significand: integerBit, exponent: bias, fraction: 0n },
  {
    name: 'log2(10)',
    significand: 0xd49a_784b_cd1b_8afen,
    exponent: bias + 1,
    fraction: 0x492b_f6ff_4daf_db4cn,
  },
  { name: 'log2(e)', significand: 0xb8aa_3b29_5c17_f0bbn, exponent: bias, fraction: 0xbe87_fed0_691d_3e88n },
  { name: 'pi', significand: 0xc90f_daa2_2168_c234n, exponent: bias + 1, fraction: 0xc4c6_628b_80dc_1cd1n },
  {
    name: 'log10(2)',
    significand: 0x9a20_9a84_fbcf_f798n,
    exponent: bias - 2,
    fraction: 0x8f89_59ac_0b7c_9178n,
  },
  {
    name: 'ln(2)',
    significand: 0xb172_17f7_d1cf_79abn,
    exponent: bias - 1,
    fraction: 0xc9e3_b398_03f2_f6afn,
  },
  { name: '0', significand: 0n, exponent: 0, fraction: 0n },
] as const;

/** What a store of an empty register gives when that is masked: the indefinite of the format. */
const indefinites: Record<Format, readonly [bigint, number]> = {
  int16: [0x8000n, 0],
  int32: [0x8000_0000n, 0],
  int64: [integerBit, 0],
  single: [0xffc0_0000n, 0],
  double: [0xfff8n << 48n, 0],
  decimal: [0xc000n << 48n, 0xffff],
  extended: [indefinite.significand, indefinite.signExponent],
};

function convert(fn: FunctionBuilder, core: Core): void {
  const s = new Stack(fn, core);
  const format = fn.parameter(1).get();
  const low = fn.local('i64');
  const high = fn.local('i32', 0);
  const flags = fn.local('i32', 0);
  const top = s.number(0);
  fn.if(
    s.used(top),
    () => {
      const { significand, signExponent } = s.register(s.address(top));
      const control = fn.local('i32', s.control);
      fn.if(format.and(truncated), () => control.set(truncating(control.get())));
      const into = ([first, ...others]: Value[]) => {
        low.set(first!);
        const last = others.pop()!;
        if (others.length > 0) high.set(others[0]!);
        flags.set(last);
      };
      const integer = (width: number) => () =>
        into(fn.callAll(core.float80ToInteger, control.get(), significand, signExponent, width));
      const conversions = {
        int16: integer(16),
        int32: integer(32),
        int64: integer(64),
        single: () => into(fn.callAll(core.float80ToSingle, control.get(), significand, signExponent)),
        double: () => into(fn.callAll(core.float80ToDouble, control.get(), significand, signExponent)),
        decimal: () => into(fn.callAll(core.float80ToDecimal, control.get(), significand, signExponent)),
        extended: () => into([significand, signExponent, fn.i32(0)]),
      } satisfies Record<Format, () => void>;
      fn.switch(format.and(truncated - 1), Object.values(conversions), () => fn.unreachable());
    },
    () => {
      fn.switch(
        format.and(truncated - 1),
        Object.values(indefinites).map(([bits, above]) => () => {
          low.set(bits);
          high.set(above);
        }),
        () => fn.unreachable(),
      );
      flags.set(IE | SF);
    },
  );
  const prevented = flags.get().and(s.control.not()).and(preventStore);
  fn.return(low.get(), high.get(), flags.get().or(fn.select(prevented, fn.i32(notStored), fn.i32(0))));
}

export const x87Move: CorePart = (define, core) => {
  define('x87Load', (fn) => {
    const s = new Stack(fn, core);
    const x = parameterNumber(fn, 1);
    const flags = fn.local('i32', fn.parameter(3).get());
    const significand = fn.local('i64', x.significand);
    fn.if(isNan(x).and(x.significand.and(quietBit).eqz()), () => {
      flags.set(IE);
      significand.set(x.significand.or(quietBit));
    });
    // A full stack is found before the operand is looked at.
    fn.if(
      flags
        .get()
        .ne(0)
        .and(s.used(s.number(-1)).eqz()),
      () => {
        // A denormal is loaded even when the exception is unmasked.
        fn.if(s.signal(flags.get()).and(flags.get()).and(IE), () => fn.return());
      },
    );
    fn.callAll(core.x87Push, s.cpu, significand.get(), x.signExponent);
  });

  define('x87LoadRegister', (fn) => {
    const s = new Stack(fn, core);
    const source = s.number(fn.parameter(1).get());
    const target = s.number(-1);
    fn.if(s.used(source).eqz(), () => {
      fn.if(s.underflow(s.address(target)), () => s.setState32(layout.ftop, target));
      fn.return();
    });
    const { significand, signExponent } = s.register(s.address(source));
    fn.callAll(core.x87Push, s.cpu, significand, signExponent);
  });

  define('x87LoadConstant', (fn) => {
    const s = new Stack(fn, core);
    const number = fn.parameter(1).get();
    const significand = fn.local('i64');
    const exponent = fn.local('i32');
    const fraction = fn.local('i64');
    fn.switch(
      number,
      constants.map((each) => () => {
        significand.set(each.significand);
        exponent.set(each.exponent);
        fraction.set(each.fraction);
      }),
      () => fn.unreachable(),
    );
    const odd = significand.get().wrap().and(1);
    const roundUp = roundsUp(fn, s.control, fn.i32(0), fraction.get(), odd);
    fn.callAll(core.x87Push, s.cpu, significand.get().add(roundUp.extendU()), exponent.get());
  });

  define('x87Convert', (fn) => convert(fn, core));

  define('x87Stored', (fn) => {
    const s = new Stack(fn, core);
    const flags = fn.parameter(1).get();
    s.signal(flags.and(~notStored));
    fn.if(flags.geS(0).and(fn.parameter(2).get()), () => s.pop());
  });

  define('x87StoreRegister', (fn) => {
    const s = new Stack(fn, core);
    const top = s.number(0);
    const target = s.number(fn.parameter(1).get());
    const pops = fn.parameter(2).get();
    fn.if(s.used(top).eqz().and(pops.eq(uncheckedPop)), () => {
      s.clearC1();
      s.pop();
      fn.return();
    });
    fn.if(
      s.used(top),
      () => {
        const { significand, signExponent } = s.register(s.address(top));
        s.clearC1();
        s.setRegister(s.address(target), significand, signExponent);
        s.use(target);
      },
      () => {
        fn.if(s.underflow(s.address(target)).eqz(), () => fn.return());
      },
    );
    fn.if(pops, () => s.pop());
  });

  define('x87Exchange', (fn) => {
    const s = new Stack(fn, core);
    const top = s.number(0);
    const other = s.number(fn.parameter(1).get());
    s.clearC1();
    // Each empty register is filled with the indefinite first.
    for (const each of [top, other]) {
      fn.if(s.used(each).eqz(), () => {
        fn.if(s.underflow(s.address(each)).eqz(), () => fn.return());
      });
    }
    const first = s.register(s.address(top));
    const second = s.register(s.address(other));
    const firstSignificand = fn.local('i64', first.significand);
    const firstExponent = fn.local('i32', first.signExponent);
    s.setRegister(s.address(top), second.significand, second.signExponent);
    s.setRegister(s.address(other), firstSignificand.get(), firstExponent.get());
  });

  define('x87ConditionalMove', (fn) => {
    const s = new Stack(fn, core);
    const top = s.number(0);
    const source = s.number(fn.parameter(1).get());
    fn.if(s.used(top).and(s.used(source)).eqz(), () => {
      s.underflow(s.address(top));
      fn.return();
    });
    fn.if(fn.parameter(2).get(), () => {
      const { significand, signExponent } = s.register(s.address(source));
      s.setRegister(s.address(top), significand, signExponent);
    });
  });

  define('x87Free', (fn) => {
    const s = new Stack(fn, core);
    s.clearC1();
    s.free(s.number(fn.parameter(1).get()));
    fn.if(fn.parameter(2).get(), () => s.pop());
  });

  define('x87Rotate', (fn) => {
    const s = new Stack(fn, core);
    s.clearC1();
    s.setState32(layout.ftop, s.number(fn.parameter(1).get()));
  });
};
