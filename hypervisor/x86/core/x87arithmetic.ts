/** Arithmetic and comparison with x87 registers (SDM vol. 1, 8.3.5 and 8.3.6). */
import type { FunctionBuilder, FunctionRef } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import { CF, PF, ZF } from '../flags.ts';
import * as layout from '../layout.ts';
import type { Core, CorePart } from './core.ts';
import {
  C0,
  C1,
  C2,
  C3,
  DE,
  IE,
  isDenormal,
  isNan,
  isSpecial,
  isUnsupported,
  isZero,
  type NumberAndFlags,
  parameterNumber,
  signOf,
} from './float80.ts';
import { unordered } from './float80compare.ts';
import { SF, Stack } from './x87stack.ts';

/** Operations of `x87Unary`; the last two set C2. */
export const unaryOperations = ['FSQRT', 'FRNDINT', 'F2XM1', 'FSIN', 'FCOS'] as const;
/** Operations of `x87Pair`. */
export const pairOperations = ['FXTRACT', 'FSINCOS', 'FPTAN'] as const;
/** Operations of `x87Combine`. */
export const combineOperations = ['FPATAN', 'FYL2X', 'FYL2XP1'] as const;
/** Operations of `x87Scale`. */
export const scaleOperations = ['FSCALE', 'FPREM', 'FPREM1'] as const;

/** The condition codes of a comparison. */
const comparison = C0 | C2 | C3;

/** A comparison's condition codes and exceptions: sets them, and gives 1 when none is unmasked. */
function compared(s: Stack, codes: Value, flags: Value): Value {
  const unmasked = s.signal(flags);
  s.setCodes(comparison, codes);
  return unmasked.eqz();
}

/** `a` compared with `b` when both registers are in use, else unordered with a stack fault; gives codes and flags as variables. */
function compareUsed(s: Stack, used: Value, compare: () => Value[]) {
  const codes = s.fn.local('i32', unordered);
  const flags = s.fn.local('i32', IE | SF);
  s.fn.if(used, () => {
    const [found, exceptions] = compare() as [Value, Value];
    codes.set(found);
    flags.set(exceptions);
  });
  return { codes: codes.get(), flags: flags.get() };
}

function compareRegisters(s: Stack, position: Value, quiet: Value) {
  const top = s.number(0);
  const other = s.number(position);
  return compareUsed(s, s.used(top).and(s.used(other)), () => {
    const a = s.register(s.address(top));
    const b = s.register(s.address(other));
    return s.fn.callAll(
      s.core.float80Compare,
      a.significand,
      a.signExponent,
      b.significand,
      b.signExponent,
      0,
      quiet,
    );
  });
}

function popTimes(s: Stack, times: Value): void {
  s.fn.if(times, () => {
    s.pop();
    s.fn.if(times.eq(2), () => s.pop());
  });
}

function examine(fn: FunctionBuilder, core: Core): void {
  const s = new Stack(fn, core);
  const top = s.number(0);
  const x = s.register(s.address(top));
  const codes = fn.local('i32', C2);
  fn.if(isZero(x), () => codes.set(C3));
  fn.if(isDenormal(x), () => codes.set(C3 | C2));
  fn.if(isSpecial(x), () => codes.set(C2 | C0));
  fn.if(isNan(x), () => codes.set(C0));
  fn.if(isUnsupported(x), () => codes.set(0));
  fn.if(s.used(top).eqz(), () => codes.set(C3 | C0));
  s.setCodes(comparison | C1, codes.get().or(signOf(x).shrU(6)));
}

export const x87Arithmetic: CorePart = (define, core) => {
  define('x87Arithmetic', (fn) => {
    const s = new Stack(fn, core);
    const operation = fn.parameter(1).get();
    const b = parameterNumber(fn, 2);
    const top = s.number(0);
    const address = s.address(top);
    fn.if(s.used(top).eqz(), () => {
      s.underflow(address);
      fn.return();
    });
    const a = s.register(address);
    const result = fn.callAll(
      core.float80Binary,
      operation,
      s.control,
      a.significand,
      a.signExponent,
      b.significand,
      b.signExponent,
      fn.parameter(4).get(),
    ) as NumberAndFlags;
    fn.callAll(core.x87Result, s.cpu, address, ...result);
  });

  define('x87ArithmeticRegister', (fn) => {
    const s = new Stack(fn, core);
    const operation = fn.parameter(1).get();
    const how = fn.parameter(3).get();
    const top = s.number(0);
    const other = s.number(fn.parameter(2).get());
    const target = s.address(fn.select(how.and(1), other, top));
    const done = fn.local('i32');
    fn.if(
      s.used(top).and(s.used(other)),
      () => {
        const a = s.register(s.address(top));
        const b = s.register(s.address(other));
        const result = fn.callAll(
          core.float80Binary,
          operation,
          s.control,
          a.significand,
          a.signExponent,
          b.significand,
          b.signExponent,
          0,
        ) as NumberAndFlags;
        done.set(fn.call(core.x87Result, s.cpu, target, ...result));
      },
      () => done.set(s.underflow(target)),
    );
    fn.if(how.shrU(1).and(done.get()), () => s.pop());
  });

  define('x87Compare', (fn) => {
    const s = new Stack(fn, core);
    const b = parameterNumber(fn, 1);
    const top = s.number(0);
    const { codes, flags } = compareUsed(s, s.used(top), () => {
      const a = s.register(s.address(top));
      return fn.callAll(
        core.float80Compare,
        a.significand,
        a.signExponent,
        b.significand,
        b.signExponent,
        fn.parameter(3).get(),
        0,
      );
    });
    const done = compared(s, codes, flags);
    fn.if(done.and(fn.parameter(4).get()), () => s.pop());
  });

  define('x87CompareRegister', (fn) => {
    const s = new Stack(fn, core);
    const { codes, flags } = compareRegisters(s, fn.parameter(1).get(), fn.parameter(2).get());
    fn.if(compared(s, codes, flags), () => popTimes(s, fn.parameter(3).get()));
  });

  define('x87CompareFlags', (fn) => {
    const s = new Stack(fn, core);
    const { codes, flags } = compareRegisters(s, fn.parameter(1).get(), fn.parameter(2).get());
    // C1 is changed by a stack fault alone.
    const pops = fn.local('i32', fn.parameter(3).get());
    fn.if(flags, () => {
      const old = fn.select(flags.and(SF), fn.i32(0), s.status.and(C1));
      // EFLAGS are set even when the exception is unmasked.
      fn.if(s.signal(flags.or(old)), () => pops.set(0));
    });
    fn.if(pops.get(), () => s.pop());
    const bit = (code: number, flag: number) => fn.select(codes.and(code), fn.i32(flag), fn.i32(0));
    fn.return(bit(C3, ZF).or(bit(C2, PF)).or(bit(C0, CF)));
  });

  define('x87Test', (fn) => {
    const s = new Stack(fn, core);
    fn.callAll(core.x87Compare, s.cpu, 0, 0, 0, 0);
  });

  define('x87Examine', (fn) => examine(fn, core));

  define('x87Sign', (fn) => {
    const s = new Stack(fn, core);
    const top = s.number(0);
    const address = s.address(top);
    fn.if(s.used(top).eqz(), () => {
      s.underflow(address);
      fn.return();
    });
    s.clearC1();
    const { signExponent } = s.register(address);
    const changed = signExponent.and(fn.parameter(1).get()).xor(fn.parameter(2).get());
    fn.store('i32_16', address, changed, 8);
  });

  define('x87Unary', (fn) => {
    const s = new Stack(fn, core);
    const top = s.number(0);
    const address = s.address(top);
    fn.if(fn.parameter(1).get().geU(unaryOperations.indexOf('FSIN')), () => s.setCodes(C2, 0));
    fn.if(s.used(top).eqz(), () => {
      s.underflow(address);
      fn.return();
    });
    const { significand, signExponent } = s.register(address);
    const apply = (routine: FunctionRef, ...more: number[]) => {
      const result = fn.callAll(routine, s.control, significand, signExponent, ...more) as NumberAndFlags;
      fn.callAll(core.x87Result, s.cpu, address, ...result);
    };
    const operations = {
      FSQRT: () => apply(core.float80SquareRoot),
      FRNDINT: () => apply(core.float80RoundToInteger),
      F2XM1: () => apply(core.float80PowerLess1),
      FSIN: () => apply(core.float80Sine, 0),
      FCOS: () => apply(core.float80Sine, 1),
    } satisfies Record<(typeof unaryOperations)[number], () => void>;
    fn.switch(
      fn.parameter(1).get(),
      unaryOperations.map((name) => operations[name]),
      () => fn.unreachable(),
    );
  });

  define('x87Scale', (fn) => {
    const s = new Stack(fn, core);
    const operation = fn.parameter(1).get();
    const top = s.number(0);
    const other = s.number(1);
    const address = s.address(top);
    fn.if(s.used(top).and(s.used(other)).eqz(), () => {
      fn.if(operation, () => s.setCodes(C2, 0));
      s.underflow(address);
      fn.return();
    });
    const a = s.register(address);
    const b = s.register(s.address(other));
    const operands = [s.control, a.significand, a.signExponent, b.significand, b.signExponent];
    fn.if(operation.eqz(), () => {
      const result = fn.callAll(core.float80Scale, ...operands) as NumberAndFlags;
      fn.callAll(core.x87Result, s.cpu, address, ...result);
      fn.return();
    });
    const result = fn.callAll(core.float80Remainder, ...operands, operation.eq(2)) as NumberAndFlags;
    // Where nothing is computed the bits of the quotient stay: NaNs, invalid operations, an unmasked DE.
    const [significand, signExponent, flags] = result;
    const kept = flags
      .and(IE)
      .or(flags.and(s.control.not()).and(DE))
      .or(isSpecial({ significand, signExponent }));
    const changed = fn.select(kept, fn.i32(C2), fn.i32(comparison));
    s.setState32(layout.fsw, s.status.and(changed.not()));
    fn.callAll(core.x87Result, s.cpu, address, ...result);
  });

  define('x87Combine', (fn) => {
    const s = new Stack(fn, core);
    const top = s.number(0);
    const other = s.number(1);
    const address = s.address(other);
    fn.if(s.used(top).and(s.used(other)).eqz(), () => {
      fn.if(s.underflow(address), () => s.pop());
      fn.return();
    });
    const x = s.register(s.address(top));
    const y = s.register(address);
    const routines = [core.float80Arctangent, core.float80Logarithm, core.float80LogarithmPlus1];
    fn.switch(
      fn.parameter(1).get(),
      routines.map((routine) => () => {
        const result = fn.callAll(
          routine,
          s.control,
          x.significand,
          x.signExponent,
          y.significand,
          y.signExponent,
        ) as NumberAndFlags;
        fn.if(fn.call(core.x87Result, s.cpu, address, ...result), () => s.pop());
      }),
      () => fn.unreachable(),
    );
  });

  define('x87Pair', (fn) => {
    const s = new Stack(fn, core);
    const operation = fn.parameter(1).get();
    const top = s.number(0);
    const above = s.number(-1);
    const address = s.address(top);
    fn.if(operation, () => s.setCodes(C2, 0));
    // A stack fault either way; masked, both registers get the indefinite.
    const empty = s.used(top).eqz();
    fn.if(empty.or(s.used(above)), () => {
      const flags = fn.select(empty, fn.i32(IE | SF), fn.i32(IE | SF | C1));
      fn.if(fn.call(core.x87StackFault, s.cpu, address, flags), () => {
        fn.call(core.x87StackFault, s.cpu, s.address(above), flags);
        s.setState32(layout.ftop, above);
      });
      fn.return();
    });
    const a = s.register(address);
    const routines = [core.float80Extract, core.float80SineCosine, core.float80Tangent];
    fn.switch(
      operation,
      routines.map((routine) => () => {
        const [first, firstExponent, second, secondExponent, flags] = fn.callAll(
          routine,
          s.control,
          a.significand,
          a.signExponent,
        ) as [Value, Value, Value, Value, Value];
        const done = fn.call(core.x87Result, s.cpu, address, first, firstExponent, flags);
        // C2: out of range, and nothing is pushed.
        fn.if(done.and(flags.and(C2).eqz()), () => {
          s.setRegister(s.address(above), second, secondExponent);
          s.use(above);
          s.setState32(layout.ftop, above);
        });
      }),
      () => fn.unreachable(),
    );
  });
};
