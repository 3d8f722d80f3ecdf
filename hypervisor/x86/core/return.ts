/** What RETF and IRET have in common: the checks of the segments returned to, and loading them (SDM vol. 2, RET, IRET). */
import type { Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import { longMode } from '../mode.ts';
import { bigBit, conforming, isCode, longBit, notSystem, presentBit, readWrite } from '../segments.ts';
import { attributesOf, dplOf, limitOf, type Routine, selectorError } from './routine.ts';
import { markAccessed, readDescriptor } from './segments.ts';

/** A code segment that control may go to. */
export interface TargetCode {
  /** Its descriptor (i64), with the accessed bit set. */
  readonly descriptor: Value;
  /** Not 0 when it is 64-bit code. */
  readonly code64: Value;
}

/** Not 0 (i32) when the attributes are those of 64-bit code. */
export function isCode64(r: Routine, attributes: Value): Value {
  return r.state32(layout.mode).and(longMode).ne(0).and(attributes.and(longBit).ne(0));
}

/** Reads and checks the code segment that a return goes to; its RPL is the new privilege level. */
export function readReturnCode(r: Routine, selector: Value): TargetCode {
  const { fn } = r;
  r.raiseIf(selector.and(0xfffc).eqz(), exceptions.GP);
  const { descriptor, linear } = readDescriptor(r, selector);
  const attributes = attributesOf(descriptor);
  const error = selectorError(selector);
  const rpl = selector.and(3);
  const dpl = dplOf(attributes);
  r.raiseIf(attributes.and(notSystem | isCode).ne(notSystem | isCode), exceptions.GP, error);
  r.raiseIf(rpl.ltU(r.state32(layout.cpl)), exceptions.GP, error);
  const levels = fn.select(attributes.and(conforming), dpl.gtU(rpl), dpl.ne(rpl));
  r.raiseIf(levels, exceptions.GP, error);
  const code64 = fn.local('i32', isCode64(r, attributes));
  r.raiseIf(code64.get().and(attributes.and(bigBit).ne(0)), exceptions.GP, error);
  r.raiseIf(attributes.and(presentBit).eqz(), exceptions.NP, error);
  markAccessed(r, descriptor, linear);
  return { descriptor: descriptor.or(1n << 40n), code64: code64.get() };
}

/**
 * Checks `ip` (i64) as a target in a code segment: #GP(0) when it is not canonical or, outside of 64-bit mode, beyond the
 * limit. Gives the RIP to set, which has 32 bits outside of 64-bit mode.
 */
export function checkTarget(r: Routine, ip: Value, descriptor: Value): Value {
  const { fn } = r;
  const target = fn.local('i64', ip);
  fn.if(
    isCode64(r, attributesOf(descriptor)),
    () => r.raiseIf(ip.shl(16).shrS(16).ne(ip), exceptions.GP),
    () => {
      target.set(ip.and(0xffff_ffff));
      r.raiseIf(target.get().gtU(limitOf(fn, descriptor).extendU()), exceptions.GP);
    },
  );
  return target.get();
}

/** A stack segment that a return loads. */
export interface ReturnStack {
  readonly selector: Value;
  /** Its descriptor (i64), with the accessed bit set; 0 for a null selector. */
  readonly descriptor: Value;
}

/** Reads and checks the stack segment that is popped for privilege level `level`. */
export function readReturnStack(r: Routine, selector: Value, level: Value, code: TargetCode): ReturnStack {
  const { fn } = r;
  const result = fn.local('i64', 0);
  fn.if(
    selector.and(0xfffc).eqz(),
    // Null only for 64-bit code below privilege level 3.
    () => r.raiseIf(code.code64.eqz().or(level.eq(3)), exceptions.GP),
    () => {
      const { descriptor, linear } = readDescriptor(r, selector);
      const attributes = attributesOf(descriptor);
      const error = selectorError(selector);
      r.raiseIf(selector.and(3).ne(level).or(dplOf(attributes).ne(level)), exceptions.GP, error);
      const kind = attributes.and(notSystem | isCode | readWrite);
      r.raiseIf(kind.ne(notSystem | readWrite), exceptions.GP, error);
      r.raiseIf(attributes.and(presentBit).eqz(), exceptions.SS, error);
      markAccessed(r, descriptor, linear);
      result.set(descriptor.or(1n << 40n));
    },
  );
  return { selector, descriptor: result.get() };
}

/** Loads SS and RSP, and clears the data segments that the new privilege level may not use. */
export function loadReturnStack(
  r: Routine,
  { selector, descriptor }: ReturnStack,
  pointer: Value,
  level: Value,
  code: TargetCode,
): void {
  const { fn } = r;
  fn.if(
    descriptor.eqz(),
    () => r.setSegment(layout.SS, selector, 0, 0, level.shl(5)),
    () => fn.callAll(r.core.setSegment, r.cpu, layout.SS, selector, descriptor),
  );
  // On a 16-bit stack only SP is loaded.
  const old = r.state64(layout.gprOffset(4));
  const merged = old.and(0xffff_0000n).or(pointer.and(0xffff));
  const big = attributesOf(descriptor).and(bigBit);
  const segmented = fn.select(big, pointer.and(0xffff_ffff), merged);
  r.setState64(layout.gprOffset(4), fn.select(code.code64, pointer, segmented));
  fn.if(level.gtU(r.state32(layout.cpl)), () => {
    for (const number of [layout.ES, layout.DS, layout.FS, layout.GS]) {
      const attributes = r.state32(r.segment(number, layout.segmentAttributes));
      const open = attributes.and(isCode | conforming).eq(isCode | conforming);
      const tooInner = dplOf(attributes).ltU(level).and(open.eqz());
      fn.if(attributes.and(presentBit).ne(0).and(tooInner), () => r.setSegment(number, 0, 0, 0, 0));
    }
  });
}
