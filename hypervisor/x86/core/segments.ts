/** Segment checks and loads (SDM vol. 3, 3.4 and 5.2 … 5.7). */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import { protectedMode, virtual8086 } from '../mode.ts';
import {
  accessed,
  bigBit,
  conforming,
  expandDown,
  isCode,
  notSystem,
  presentBit,
  readWrite,
} from '../segments.ts';
import type { Core, CorePart } from './core.ts';
import { attributesOf, baseOf, dplOf, limitOf, Routine, selectorError } from './routine.ts';

export const segments: CorePart = (define, core) => {
  define('segmentLinear', (fn) => {
    const cpu = fn.parameter(0).get();
    const segment = fn.parameter(1).get();
    const offset = fn.parameter(2).get();
    const size = fn.parameter(3).get();
    const write = fn.parameter(4).get();
    const at = cpu.add(segment);
    const attributes = fn.load('i32', at, layout.segmentAttributes);
    const limit = fn.load('i64_32u', at, layout.segmentLimit);
    const refuse = () => {
      const inStack = segment.eq(layout.segmentOffset(layout.SS));
      fn.store(
        'i32',
        cpu,
        fn.select(inStack, fn.i32(exceptions.SS), fn.i32(exceptions.GP)),
        layout.faultVector,
      );
      fn.store('i32', cpu, 0, layout.faultCode);
      fn.return(-1);
    };
    // Present; written: a writable data segment; read: any data segment or a readable code segment.
    const code = attributes.and(isCode);
    const mayRead = code.eqz().or(attributes.and(readWrite));
    const mayWrite = attributes.and(isCode | readWrite).eq(readWrite);
    fn.if(fn.select(write, mayWrite, mayRead).eqz().or(attributes.and(presentBit).eqz()), refuse);
    const last = offset.add(size.sub(1).extendU());
    const down = attributes.and(isCode | expandDown).eq(expandDown);
    fn.if(
      down,
      () => {
        const top = fn.select(attributes.and(bigBit), fn.i64(0xffff_ffff), fn.i64(0xffff));
        fn.if(offset.leU(limit).or(last.gtU(top)), refuse);
      },
      // A segment of 4 GiB has no end: offsets wrap.
      () => fn.if(last.gtU(limit).and(limit.ne(0xffff_ffff)), refuse),
    );
    fn.return(fn.load('i64', at).add(offset).and(0xffff_ffff));
  });

  define('readDescriptor', (fn) => {
    const r = new Routine(fn, core);
    const selector = fn.parameter(1).get();
    const index = selector.and(0xfff8).extendU();
    const inLdt = selector.and(4);
    const ldtLimit = fn.load('i64_32u', r.cpu, r.segment(layout.LDTR, layout.segmentLimit));
    const ldtPresent = r.state32(r.segment(layout.LDTR, layout.segmentAttributes)).and(presentBit).ne(0);
    const gdtLimit = fn.load('i64_16u', r.cpu, layout.gdtr + 8);
    r.raiseIf(inLdt.ne(0).and(ldtPresent.eqz()), exceptions.GP, selectorError(selector));
    r.raiseIf(index.add(7).gtU(fn.select(inLdt, ldtLimit, gdtLimit)), exceptions.GP, selectorError(selector));
    const base = fn.select(inLdt, r.state64(layout.segmentOffset(layout.LDTR)), r.state64(layout.gdtr));
    const linear = base.add(index);
    r.setState64(layout.result0, r.read(linear, 8));
    r.setState64(layout.result1, linear);
    fn.return(1);
  });

  define('setSegment', (fn) => {
    const cpu = fn.parameter(0).get();
    const at = cpu.add(fn.parameter(1).get().mul(layout.segmentSize)).add(layout.segments);
    const descriptor = fn.parameter(3).get();
    fn.store('i64', at, baseOf(descriptor));
    fn.store('i32', at, limitOf(fn, descriptor), layout.segmentLimit);
    fn.store('i32', at, attributesOf(descriptor), layout.segmentAttributes);
    fn.store('i32', at, fn.parameter(2).get(), layout.segmentSelector);
  });

  define('loadSegment', (fn) => {
    const r = new Routine(fn, core);
    const number = fn.parameter(1).get();
    const selector = fn.parameter(2).get();
    const mode = r.state32(layout.mode);
    const at = r.cpu.add(number.mul(layout.segmentSize)).add(layout.segments);
    fn.if(mode.and(protectedMode).eqz().or(mode.and(virtual8086).ne(0)), () => {
      fn.store('i64', at, selector.extendU().shl(4));
      fn.store('i32', at, selector, layout.segmentSelector);
      fn.if(mode.and(virtual8086), () => {
        fn.store('i32', at, 0xffff, layout.segmentLimit);
        fn.store('i32', at, 0x00f3, layout.segmentAttributes);
      });
      fn.return(1);
    });
    const cpl = r.state32(layout.cpl);
    const isStack = number.eq(layout.SS);
    fn.if(selector.and(0xfffc).eqz(), () => {
      // A null selector: in SS only in 64-bit mode below privilege level 3.
      fn.if(isStack, () => {
        const allowed = mode.and(2).ne(0).and(cpl.ne(3)).and(selector.and(3).eq(cpl));
        r.raiseIf(allowed.eqz(), exceptions.GP, 0);
      });
      fn.store('i64', at, 0);
      fn.store('i32', at, 0, layout.segmentLimit);
      // SS keeps the privilege level in its DPL.
      fn.store('i32', at, fn.select(isStack, cpl.shl(5), fn.i32(0)), layout.segmentAttributes);
      fn.store('i32', at, selector, layout.segmentSelector);
      fn.return(1);
    });
    r.require(fn.call(core.readDescriptor, r.cpu, selector));
    const descriptor = fn.local('i64', r.state64(layout.result0));
    const where = fn.local('i64', r.state64(layout.result1));
    const attributes = attributesOf(descriptor.get());
    const error = selectorError(selector);
    const rpl = selector.and(3);
    const dpl = dplOf(attributes);
    r.raiseIf(attributes.and(notSystem).eqz(), exceptions.GP, error);
    fn.if(
      isStack,
      () => {
        r.raiseIf(attributes.and(isCode | readWrite).ne(readWrite), exceptions.GP, error);
        r.raiseIf(rpl.ne(cpl).or(dpl.ne(cpl)), exceptions.GP, error);
        r.raiseIf(attributes.and(presentBit).eqz(), exceptions.SS, error);
      },
      () => {
        r.raiseIf(attributes.and(isCode | readWrite).eq(isCode), exceptions.GP, error);
        const conformingCode = attributes.and(isCode | conforming).eq(isCode | conforming);
        const outside = rpl.gtU(dpl).or(cpl.gtU(dpl));
        r.raiseIf(conformingCode.eqz().and(outside), exceptions.GP, error);
        r.raiseIf(attributes.and(presentBit).eqz(), exceptions.NP, error);
      },
    );
    markAccessed(r, descriptor.get(), where.get());
    fn.callAll(core.setSegment, r.cpu, number, selector, descriptor.get().or(BigInt(accessed) << 40n));
    fn.return(1);
  });
};

/** Sets the accessed bit of a code or data descriptor in memory when it is clear. */
export function markAccessed(r: Routine, descriptor: Value, linear: Value): void {
  const { fn } = r;
  const bit = BigInt(accessed) << 40n;
  fn.if(descriptor.and(bit).eqz(), () => r.write(linear.add(5), 1, descriptor.or(bit).shrU(40).wrap()));
}

/** A routine of the core that loads descriptors; shared by `delivery.ts` and the far transfers. */
export function readCodeDescriptor(
  fn: FunctionBuilder,
  core: Core,
  r: Routine,
  selector: Value,
): { descriptor: Value; linear: Value } {
  r.require(fn.call(core.readDescriptor, r.cpu, selector));
  const descriptor = fn.local('i64', r.state64(layout.result0));
  const linear = fn.local('i64', r.state64(layout.result1));
  return { descriptor: descriptor.get(), linear: linear.get() };
}
