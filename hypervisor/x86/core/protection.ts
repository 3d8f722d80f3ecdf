/** LAR, LSL, VERR, VERW, and the loads of LDTR and TR (SDM vol. 2; vol. 3, 5.10). */
import type { Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import { longMode } from '../mode.ts';
import { conforming, isCode, notSystem, presentBit, readWrite, types } from '../segments.ts';
import type { CorePart } from './core.ts';
import { attributesOf, dplOf, limitOf, Routine, selectorError } from './routine.ts';

/** What `inspect` finds out, its third parameter. */
export const inspections = { rights: 0, limit: 1, read: 2, write: 3 } as const;

const bits = (...numbers: number[]) => numbers.reduce((all, number) => all | (1 << number), 0);
const { ldt, tss16Available, tss16Busy, tss32Available, tss32Busy, callGate16, callGate32, taskGate } = types;
/** System types that have a limit, and those that have rights only, outside of IA-32e mode and in it. */
const withLimit = bits(ldt, tss16Available, tss16Busy, tss32Available, tss32Busy);
const withRights = withLimit | bits(callGate16, callGate32, taskGate);
const longWithLimit = bits(ldt, tss32Available, tss32Busy);
const longWithRights = longWithLimit | bits(callGate32);

export const protection: CorePart = (define, core) => {
  define('inspect', (fn) => {
    const r = new Routine(fn, core);
    const selector = fn.parameter(1).get();
    const what = fn.parameter(2).get();
    fn.if(selector.and(0xfffc).eqz(), () => fn.return(0));
    fn.if(fn.call(core.locate, r.cpu, selector, 8).eqz(), () => fn.return(0));
    const host = fn.call(core.access, r.cpu, r.state64(layout.result0), 8 | 0x800);
    fn.if(host.eqz(), () => fn.return(-1));
    const descriptor = fn.local('i64', fn.load('i64', host));
    const attributes = fn.local('i32', attributesOf(descriptor.get())).get();
    const code = attributes.and(isCode).ne(0);
    const dpl = dplOf(attributes);
    const open = attributes.and(notSystem | isCode | conforming).eq(notSystem | isCode | conforming);
    const tooInner = dpl.ltU(r.state32(layout.cpl)).or(dpl.ltU(selector.and(3)));
    fn.if(open.eqz().and(tooInner), () => fn.return(0));
    const isSystem = attributes.and(notSystem).eqz();
    const isLong = r.state32(layout.mode).and(longMode);
    const allows = (legacy: number, long: number) =>
      isSystem.eqz().or(fn.select(isLong, fn.i32(long), fn.i32(legacy)).shrU(attributes.and(15)).and(1));
    const permission = attributes.and(readWrite).ne(0);
    const allowed = fn.local('i32');
    fn.switch(
      what,
      [
        () => {
          allowed.set(allows(withRights, longWithRights));
          r.setState64(layout.result0, descriptor.get().shrU(32).and(0xff_ff00));
        },
        () => {
          allowed.set(allows(withLimit, longWithLimit));
          r.setState64(layout.result0, limitOf(fn, descriptor.get()).extendU());
        },
        () => allowed.set(isSystem.eqz().and(code.eqz().or(permission))),
      ],
      () => allowed.set(isSystem.eqz().and(code.eqz()).and(permission)),
    );
    fn.return(allowed.get());
  });

  define('loadLdtr', (fn) => {
    const r = new Routine(fn, core);
    const selector = fn.parameter(1).get();
    fn.if(selector.and(0xfffc).eqz(), () => {
      r.setSegment(layout.LDTR, selector, 0, 0, 0);
      fn.return(1);
    });
    const { descriptor, high } = readSystemDescriptor(r, selector);
    const attributes = attributesOf(descriptor);
    const error = selectorError(selector);
    r.raiseIf(attributes.and(0x1f).ne(types.ldt), exceptions.GP, error);
    r.raiseIf(attributes.and(presentBit).eqz(), exceptions.NP, error);
    loadSystem(r, layout.LDTR, selector, descriptor, high);
    fn.return(1);
  });

  define('loadTr', (fn) => {
    const r = new Routine(fn, core);
    const selector = fn.parameter(1).get();
    r.raiseIf(selector.and(0xfffc).eqz(), exceptions.GP);
    const { descriptor, high, linear } = readSystemDescriptor(r, selector);
    const attributes = attributesOf(descriptor);
    const error = selectorError(selector);
    const type = attributes.and(0x1f);
    const is16 = type.eq(types.tss16Available).and(r.state32(layout.mode).and(longMode).eqz());
    r.raiseIf(type.eq(types.tss32Available).or(is16).eqz(), exceptions.GP, error);
    r.raiseIf(attributes.and(presentBit).eqz(), exceptions.NP, error);
    const busy = descriptor.or(2n << 40n);
    r.write(linear.add(5), 1, busy.shrU(40).wrap());
    loadSystem(r, layout.TR, selector, busy, high);
    fn.return(1);
  });
};

/**
 * Reads a descriptor for LDTR or TR from the GDT: in IA-32e mode one of 16 bytes, whose upper half is otherwise 0 (i64).
 * Leaves the routine with #GP(selector) when the selector is outside.
 */
function readSystemDescriptor(
  r: Routine,
  selector: Value,
): { descriptor: Value; high: Value; linear: Value } {
  const { fn } = r;
  const isLong = r.state32(layout.mode).and(longMode);
  const error = selectorError(selector);
  r.raiseIf(selector.and(4), exceptions.GP, error);
  const size = fn.select(isLong, fn.i32(16), fn.i32(8));
  r.raiseIf(fn.call(r.core.locate, r.cpu, selector, size).eqz(), exceptions.GP, error);
  const linear = fn.local('i64', r.state64(layout.result0));
  const descriptor = fn.local('i64', r.read(linear.get(), 8));
  const high = fn.local('i64', 0);
  fn.if(isLong, () => {
    high.set(r.read(linear.get().add(8), 8));
    // The second half has a type of 0, and the base is canonical (SDM vol. 3, 8.2.3).
    const base = high.get().shl(32);
    const wrong = high
      .get()
      .and(0x1f00n << 32n)
      .ne(0)
      .or(base.shl(16).shrS(16).ne(base));
    r.raiseIf(wrong, exceptions.GP, error);
  });
  return { descriptor: descriptor.get(), high: high.get(), linear: linear.get() };
}

/** Fills LDTR or TR. */
function loadSystem(r: Routine, number: number, selector: Value, descriptor: Value, high: Value): void {
  r.fn.callAll(r.core.setSegment, r.cpu, number, selector, descriptor);
  const base = layout.segmentOffset(number);
  r.setState64(base, r.state64(base).or(high.shl(32)));
}
