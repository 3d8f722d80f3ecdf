/** Segment checks and loads (SDM vol. 3, 3.4 and 5.2 … 5.7). */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Operand, Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import { longMode, protectedMode, virtual8086 } from '../mode.ts';
import {
  accessed,
  bigBit,
  conforming,
  expandDown,
  isCode,
  longBit,
  notSystem,
  presentBit,
  readWrite,
} from '../segments.ts';
import type { CorePart } from './core.ts';
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
    const limit = fn.load('i32', at, layout.segmentLimit);
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
    fn.if(insideData(fn, { attributes, limit }, offset, size).eqz(), refuse);
    fn.return(fn.load('i64', at).add(offset).and(0xffff_ffff));
  });

  define('locate', (fn) => {
    const r = new Routine(fn, core);
    const selector = fn.parameter(1).get();
    const last = selector.and(0xfff8).add(fn.parameter(2).get()).sub(1);
    const limit = fn.local('i32');
    const base = fn.local('i64');
    fn.if(
      selector.and(4),
      () => {
        const present = r.state32(r.segment(layout.LDTR, layout.segmentAttributes)).and(presentBit);
        fn.if(present.eqz(), () => fn.return(0));
        limit.set(r.state32(r.segment(layout.LDTR, layout.segmentLimit)));
        base.set(r.state64(layout.segmentOffset(layout.LDTR)));
      },
      () => {
        limit.set(fn.load('i32_16u', r.cpu, layout.gdtr + 8));
        base.set(r.state64(layout.gdtr));
      },
    );
    fn.if(last.gtU(limit.get()), () => fn.return(0));
    r.setState64(layout.result0, base.get().add(selector.and(0xfff8).extendU()));
    fn.return(1);
  });

  define('setSegment', (fn) => {
    const cpu = fn.parameter(0).get();
    const at = cpu.add(fn.parameter(1).get().mul(layout.segmentSize)).add(layout.segments);
    const descriptor = fn.parameter(3).get();
    const attributes = attributesOf(descriptor);
    // 64-bit code has no base.
    const isLong = fn.load('i32', cpu, layout.mode).and(longMode);
    const code64 = attributes.and(notSystem | isCode | longBit).eq(notSystem | isCode | longBit);
    fn.store('i64', at, fn.select(isLong.ne(0).and(code64), fn.i64(0), baseOf(descriptor)));
    fn.store('i32', at, limitOf(fn, descriptor), layout.segmentLimit);
    fn.store('i32', at, attributes, layout.segmentAttributes);
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
    const { descriptor, linear: where } = readDescriptor(r, selector);
    const attributes = attributesOf(descriptor);
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
    markAccessed(r, descriptor, where);
    fn.callAll(core.setSegment, r.cpu, number, selector, descriptor.or(BigInt(accessed) << 40n));
    fn.return(1);
  });
};

/** True (i32) when `size` bytes at `offset` (i64) lie inside a segment. */
export function insideData(
  fn: FunctionBuilder,
  segment: { attributes: Value; limit: Value },
  offset: Value,
  size: Operand,
): Value {
  const last = offset.add(fn.value(size, 'i32').sub(1).extendU());
  const end = segment.limit.extendU();
  const top = fn.select(segment.attributes.and(bigBit), fn.i64(0xffff_ffff), fn.i64(0xffff));
  const down = offset.gtU(end).and(last.leU(top));
  // A segment of 4 GiB has no end: offsets wrap.
  const up = last.leU(end).or(end.eq(0xffff_ffff));
  return fn.select(segment.attributes.and(isCode | expandDown).eq(expandDown), down, up);
}

/** Sets the accessed bit of a code or data descriptor in memory when it is clear. */
export function markAccessed(r: Routine, descriptor: Value, linear: Value): void {
  const { fn } = r;
  const bit = BigInt(accessed) << 40n;
  fn.if(descriptor.and(bit).eqz(), () => r.write(linear.add(5), 1, descriptor.or(bit).shrU(40).wrap()));
}

/** A descriptor of 8 bytes with its linear address. */
export interface Descriptor {
  readonly descriptor: Value;
  readonly linear: Value;
}

/**
 * Reads the descriptor that a selector names. Leaves the routine with exception `vector` when it is outside its
 * table; the error code is the selector with `external` (the EXT bit) as its bit 0.
 */
export function readDescriptor(
  r: Routine,
  selector: Value,
  vector: number = exceptions.GP,
  external: Operand = 0,
): Descriptor {
  const { fn } = r;
  const found = fn.call(r.core.locate, r.cpu, selector, 8);
  r.raiseIf(found.eqz(), vector, selectorError(selector).or(external));
  const linear = fn.local('i64', r.state64(layout.result0));
  const descriptor = fn.local('i64', r.read(linear.get(), 8));
  return { descriptor: descriptor.get(), linear: linear.get() };
}
