/** Stacks of far transfers and events: items of the present one, and pushes on one that is yet to be loaded. */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Operand, Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import * as kinds from '../memoryaccess.ts';
import { longMode } from '../mode.ts';
import { bigBit, isCode, notSystem, presentBit, readWrite } from '../segments.ts';
import type { CorePart } from './core.ts';
import { attributesOf, baseOf, dplOf, limitOf, Routine, selectorError } from './routine.ts';
import { insideData, markAccessed, readDescriptor } from './segments.ts';

// The new stack, in the state's field of this name.
const base = layout.newStack;
const pointer = layout.newStack + 8;
const limit = layout.newStack + 16;
const attributes = layout.newStack + 20;
/** Bits of the kind of access: those of the privilege level that the stack is for. */
const access = layout.newStack + 24;
/** 1 when it is a stack of 64-bit mode: no base, no limit. */
const flat = layout.newStack + 28;

export const stack: CorePart = (define, core) => {
  define('stackItem', (fn) => {
    const r = new Routine(fn, core);
    const distance = fn.parameter(1).get().extendU();
    const size = fn.parameter(2).get();
    const at = fn.local('i64', r.state64(layout.gprOffset(4)).add(distance));
    fn.if(r.state32(layout.mode).and(2).eqz(), () => {
      const segment = layout.segmentOffset(layout.SS);
      const mask = stackMask(fn, r.state32(segment + layout.segmentAttributes));
      at.set(fn.call(core.segmentLinear, r.cpu, segment, at.get().and(mask), size, 0));
      fn.if(at.get().ltS(0), () => fn.return(0));
    });
    fn.return(fn.call(core.access, r.cpu, at.get(), size.or(kinds.stack)));
  });

  define('stackPush', (fn) => {
    const r = new Routine(fn, core);
    const value = fn.parameter(1).get();
    const size = fn.parameter(2).get();
    const error = fn.parameter(3).get();
    const at = fn.local('i64', r.state64(pointer).sub(size.extendU()));
    const linear = fn.local('i64', at.get());
    fn.if(r.state32(flat).eqz(), () => {
      const segment = { attributes: r.state32(attributes), limit: r.state32(limit) };
      at.set(at.get().and(stackMask(fn, segment.attributes)));
      r.raiseIf(insideData(fn, segment, at.get(), size).eqz(), exceptions.SS, error);
      linear.set(r.state64(base).add(at.get()).and(0xffff_ffff));
    });
    const kind = size.or(kinds.writes | kinds.stack).or(r.state32(access));
    const host = fn.local('i32', fn.call(core.access, r.cpu, linear.get(), kind));
    fn.if(host.get().eqz(), () => {
      fn.if(r.state32(layout.faultVector).eq(exceptions.SS), () => r.setState32(layout.faultCode, error));
      fn.return(0);
    });
    fn.switch(
      size,
      [
        undefined,
        undefined,
        () => fn.store('i32_16', host.get(), value.wrap()),
        undefined,
        () => fn.store('i32', host.get(), value.wrap()),
      ],
      () => fn.store('i64', host.get(), value),
    );
    fn.callAll(core.commit, r.cpu);
    r.setState64(pointer, at.get());
    fn.return(1);
  });
};

/** What of the stack pointer counts (i64), by the stack segment's attributes. */
function stackMask(fn: FunctionBuilder, segmentAttributes: Value): Value {
  return fn.select(segmentAttributes.and(bigBit), fn.i64(0xffff_ffff), fn.i64(0xffff));
}

/** RSP after a move outside of 64-bit mode: SP alone on a 16-bit stack, else ESP, zero-extended. */
function segmentedPointer(fn: FunctionBuilder, ss: Value, old: Value, moved: Value): Value {
  const narrow = old.and(~0xffffn).or(moved.and(0xffff));
  return fn.select(ss.and(bigBit), moved.and(0xffff_ffff), narrow);
}

/** Makes the present stack the one to push on, as that of 64-bit mode when `code64` (i32) is not 0. */
export function usePresentStack(r: Routine, code64: Operand): void {
  r.setState64(base, r.state64(layout.segmentOffset(layout.SS)));
  r.setState64(pointer, r.state64(layout.gprOffset(4)));
  r.setState32(limit, r.state32(r.segment(layout.SS, layout.segmentLimit)));
  r.setState32(attributes, r.state32(r.segment(layout.SS, layout.segmentAttributes)));
  r.setState32(access, 0);
  r.setState32(flat, code64);
}

/** The stack segment of an inner privilege level, ready to be loaded. */
export interface InnerStack {
  readonly selector: Value;
  readonly descriptor: Value;
}

/**
 * Finds the stack of privilege level `level` in the TSS and makes it the one to push on (SDM vol. 3, 5.8.5); the
 * present one stays loaded. `external` is the EXT bit of error codes.
 */
export function useInnerStack(r: Routine, level: Value, external: Operand): InnerStack {
  const { fn } = r;
  const tss = r.state64(layout.segmentOffset(layout.TR));
  const end = r.state32(r.segment(layout.TR, layout.segmentLimit));
  const error = selectorError(r.state32(r.segment(layout.TR, layout.segmentSelector))).or(external);
  const selector = fn.local('i32');
  const descriptor = fn.local('i64');
  r.setState32(access, kinds.supervisor);
  const isLong = r.state32(layout.mode).and(longMode);
  fn.if(
    isLong,
    () => {
      const offset = level.shl(3).add(4);
      r.raiseIf(offset.add(7).gtU(end), exceptions.TS, error);
      r.setState64(pointer, r.read(tss.add(offset.extendU()), 8));
      r.setState32(flat, 1);
      selector.set(level);
    },
    () => {
      r.setState32(flat, 0);
      // SS:ESP in a 32-bit TSS, SS:SP in a 16-bit one (SDM vol. 3, figures 8-2 and 8-10).
      fn.if(
        r.state32(r.segment(layout.TR, layout.segmentAttributes)).and(8),
        () => {
          const offset = level.shl(3).add(4);
          r.raiseIf(offset.add(5).gtU(end), exceptions.TS, error);
          r.setState64(pointer, r.read(tss.add(offset.extendU()), 4).extendU());
          selector.set(r.read(tss.add(offset.add(4).extendU()), 2));
        },
        () => {
          const offset = level.shl(2).add(2);
          r.raiseIf(offset.add(3).gtU(end), exceptions.TS, error);
          r.setState64(pointer, r.read(tss.add(offset.extendU()), 2).extendU());
          selector.set(r.read(tss.add(offset.add(2).extendU()), 2));
        },
      );
      const found = innerSegment(r, selector.get(), level, external);
      descriptor.set(found);
      r.setState64(base, baseOf(found));
      r.setState32(limit, limitOf(fn, found));
      r.setState32(attributes, attributesOf(found));
    },
  );
  return { selector: selector.get(), descriptor: descriptor.get() };
}

/** Checks the stack segment that a TSS gives for an inner privilege level; gives its descriptor. */
function innerSegment(r: Routine, selector: Value, level: Value, external: Operand): Value {
  r.raiseIf(selector.and(0xfffc).eqz(), exceptions.TS, external);
  const { descriptor, linear } = readDescriptor(r, selector, exceptions.TS, external);
  const error = selectorError(selector).or(external);
  const found = attributesOf(descriptor);
  r.raiseIf(selector.and(3).ne(level).or(dplOf(found).ne(level)), exceptions.TS, error);
  r.raiseIf(found.and(notSystem | isCode | readWrite).ne(notSystem | readWrite), exceptions.TS, error);
  r.raiseIf(found.and(presentBit).eqz(), exceptions.SS, error);
  markAccessed(r, descriptor, linear);
  return descriptor.or(1n << 40n);
}

/** Pushes on the new stack. `error` is the error code when it has no room. */
export function push(r: Routine, value: Value, size: Operand, error: Operand): void {
  const wide = value.type === 'i64' ? value : value.extendU();
  r.require(r.fn.call(r.core.stackPush, r.cpu, wide, size, error));
}

/** Loads an inner level's stack, after the pushes: SS and RSP. */
export function loadInnerStack(r: Routine, level: Value, { selector, descriptor }: InnerStack): void {
  r.fn.if(
    r.state32(flat),
    () => r.setSegment(layout.SS, level, 0, 0, level.shl(5)),
    () => r.fn.callAll(r.core.setSegment, r.cpu, layout.SS, selector, descriptor),
  );
  r.setState64(layout.gprOffset(4), r.state64(pointer));
}

/** Moves RSP to where the pushes on the present stack have come to. */
export function movePresentStack(r: Routine): void {
  const { fn } = r;
  const old = r.state64(layout.gprOffset(4));
  const moved = r.state64(pointer);
  const segmented = segmentedPointer(fn, r.state32(attributes), old, moved);
  r.setState64(layout.gprOffset(4), fn.select(r.state32(flat), moved, segmented));
}

/** Moves RSP by `bytes` within the present stack segment's size. */
export function moveStack(r: Routine, bytes: Operand): void {
  const { fn } = r;
  const old = r.state64(layout.gprOffset(4));
  const moved = old.add(bytes);
  const ss = r.state32(r.segment(layout.SS, layout.segmentAttributes));
  const segmented = segmentedPointer(fn, ss, old, moved);
  r.setState64(layout.gprOffset(4), fn.select(r.state32(layout.mode).and(2), moved, segmented));
}
