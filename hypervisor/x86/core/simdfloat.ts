/**
 * SSE's floating-point instructions as a whole, exact in every case: all lanes of a register, and what becomes of the exceptions
 * (SDM vol. 1, 11.5). The fast ways around these routines are in `isa/`.
 */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import { CR4 } from '../mode.ts';
import * as mxcsr from '../mxcsr.ts';
import type { Core, CorePart } from './core.ts';
import { leaveIfExact } from './exactfloat.ts';
import { none } from './softarithmetic.ts';
import { fromWide, toWide } from './softconvert.ts';
import { double, type Format, fromNative, single, toNative } from './softfloat.ts';

/** Bits of the rounding argument of `convertLanes`, as in the immediate of ROUNDPS (SDM vol. 2, figure 4-24). */
const roundByMxcsr = 4;
const suppressPrecision = 8;

/** Places in the state where the lanes are worked on. */
const first = layout.lanes;
const second = layout.lanes + 16;
const result = layout.lanes + 32;

function defineLanes(fn: FunctionBuilder, core: Core, width: 4 | 8): void {
  const cpu = fn.parameter(0).get();
  const left = fn.local('i32', fn.parameter(1).get());
  const a = fn.parameter(2).get();
  const control = fn.load('i32', cpu, layout.mxcsr);
  const load = width === 4 ? 'i64_32u' : 'i64';
  fn.store('v128', cpu, a, first);
  fn.store('v128', cpu, fn.parameter(3).get(), second);
  fn.store('v128', cpu, a, result);
  const flags = fn.local('i32', 0);
  const at = fn.local('i32', cpu);
  const lane = fn.local('i32', 0);
  fn.loop((again) => {
    const operation = left.get().and(15);
    fn.if(operation.ne(none), () => {
      const [x, y] = [fn.load(load, at.get(), first), fn.load(load, at.get(), second)];
      const routine = width === 4 ? core.float32 : core.float64;
      const [value, raised] = fn.callAll(routine, operation, x, y, control) as [Value, Value];
      fn.store(width === 4 ? 'i64_32' : 'i64', at.get(), value, result);
      flags.set(flags.get().or(raised));
    });
    left.set(left.get().shrU(4));
    at.set(at.get().add(width));
    lane.set(lane.get().add(1));
    again.brIf(lane.get().ltU(16 / width));
  });
  fn.return(fn.load('v128', cpu, result), fn.call(core.simdExceptions, cpu, flags.get()));
}

/** scalar32 and scalar64: (cpu, operation, a, b) → result, and 1 or 0 as `simdExceptions`. */
function defineScalar(fn: FunctionBuilder, core: Core, format: Format): void {
  const cpu = fn.parameter(0).get();
  const [a, b] = [fn.parameter(2).get(), fn.parameter(3).get()];
  const operation = fn.parameter(1).get();
  const control = fn.load('i32', cpu, layout.mxcsr);
  fn.if(control.and(mxcsr.exactMask).eq(mxcsr.initial), () => leaveIfExact({ fn, format, a, b }, operation));
  const [value, raised] = fn.callAll(
    format.bits === 32 ? core.float32 : core.float64,
    operation,
    fromNative(format, a),
    fromNative(format, b),
    control,
  ) as [Value, Value];
  fn.return(toNative(fn, format, value), fn.call(core.simdExceptions, cpu, raised));
}

/** MXCSR with the rounding mode that `rounding`, as in the immediate of ROUNDPS, asks for. */
function roundedBy(fn: FunctionBuilder, control: Value, rounding: Value): Value {
  const mode = rounding.and(3).shl(mxcsr.roundingShift);
  const replaced = control.and(~(3 << mxcsr.roundingShift)).or(mode);
  return fn.select(rounding.and(roundByMxcsr), control, replaced);
}

/** Takes the precision exception from those found, if `rounding` says so. */
function toldOf(fn: FunctionBuilder, found: Value, rounding: Value): Value {
  return fn.select(rounding.and(suppressPrecision), found.and(~mxcsr.PE), found);
}

export const simdfloat: CorePart = (define, core) => {
  define('simdExceptions', (fn) => {
    const cpu = fn.parameter(0).get();
    const found = fn.parameter(1);
    const control = fn.load('i32', cpu, layout.mxcsr);
    const masks = control.shrU(mxcsr.maskShift);
    const unmasked = found.get().and(masks.not());
    fn.if(unmasked.and(mxcsr.beforeComputing), () => found.set(found.get().and(mxcsr.beforeComputing)));
    fn.store('i32', cpu, control.or(found.get()), layout.mxcsr);
    fn.if(unmasked.eqz(), () => fn.return(1));
    const announced = fn.load('i32', cpu, layout.cr4).and(CR4.OSXMMEXCPT);
    fn.store('i32', cpu, fn.select(announced, fn.i32(exceptions.XM), exceptions.UD), layout.faultVector);
    fn.store('i32', cpu, 0, layout.faultCode);
    fn.return(0);
  });
  define('lanes32', (fn) => defineLanes(fn, core, 4));
  define('lanes64', (fn) => defineLanes(fn, core, 8));

  define('scalar32', (fn) => defineScalar(fn, core, single));
  define('scalar64', (fn) => defineScalar(fn, core, double));

  define('convertScalar', (fn) => {
    const cpu = fn.parameter(0).get();
    const rounding = fn.parameter(2).get();
    const control = roundedBy(fn, fn.load('i32', cpu, layout.mxcsr), rounding);
    const [value, raised] = fn.callAll(
      core.convert,
      fn.parameter(1).get(),
      fn.parameter(3).get(),
      control,
    ) as [Value, Value];
    fn.return(value, fn.call(core.simdExceptions, cpu, toldOf(fn, raised, rounding)));
  });

  define('convertLanes', (fn) => {
    const cpu = fn.parameter(0).get();
    const operation = fn.parameter(1).get();
    const left = fn.parameter(2);
    const rounding = fn.parameter(3).get();
    const control = roundedBy(fn, fn.load('i32', cpu, layout.mxcsr), rounding);
    fn.store('v128', cpu, fn.parameter(4).get(), first);
    fn.store('v128', cpu, fn.v128(new Array<number>(16).fill(0)), result);
    const widthOf = (wide: number) => fn.i32(4).shl(fn.i32(wide).shrU(operation).and(1));
    const [fromWidth, toWidth] = [widthOf(fromWide), widthOf(toWide)];
    const [from, to] = [fn.local('i32', cpu), fn.local('i32', cpu)];
    const flags = fn.local('i32', 0);
    fn.loop((again) => {
      const x = fn.local('i64', fn.load('i64_32u', from.get(), first));
      fn.if(fromWidth.eq(8), () => x.set(fn.load('i64', from.get(), first)));
      const [value, raised] = fn.callAll(core.convert, operation, x.get(), control) as [Value, Value];
      fn.if(
        toWidth.eq(8),
        () => fn.store('i64', to.get(), value, result),
        () => fn.store('i64_32', to.get(), value, result),
      );
      flags.set(flags.get().or(raised));
      from.set(from.get().add(fromWidth));
      to.set(to.get().add(toWidth));
      left.set(left.get().sub(1));
      again.brIf(left.get());
    });
    const told = toldOf(fn, flags.get(), rounding);
    fn.return(fn.load('v128', cpu, result), fn.call(core.simdExceptions, cpu, told));
  });
};
