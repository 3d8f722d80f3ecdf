/** Far JMP, CALL and RET (SDM vol. 2, JMP, CALL, RET; vol. 3, 5.8 and 8.3). */
import type { Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import { longMode, protectedMode, virtual8086 } from '../mode.ts';
import { bigBit, conforming, isCode, longBit, notSystem, presentBit, types } from '../segments.ts';
import type { CorePart } from './core.ts';
import { checkTarget, isCode64, loadReturnStack, readReturnCode, readReturnStack } from './return.ts';
import { attributesOf, dplOf, Routine, selectorError } from './routine.ts';
import { markAccessed, readDescriptor } from './segments.ts';
import {
  loadInnerStack,
  movePresentStack,
  moveStack,
  push,
  useInnerStack,
  usePresentStack,
} from './stack.ts';
import { taskCauses } from './tasks.ts';

const RSP = layout.gprOffset(4);

type Transfer = 'jump' | 'call';

export const far: CorePart = (define, core) => {
  define('farJump', (fn) => transfer(new Routine(fn, core), 'jump', fn.i32(0)));
  define('farCall', (fn) => transfer(new Routine(fn, core), 'call', fn.parameter(3).get()));

  define('farReturn', (fn) => {
    const r = new Routine(fn, core);
    const size = fn.parameter(1).get();
    const release = fn.parameter(2).get();
    // Processors read the selector first, and of its item nothing else.
    const selector = item(r, size, fn.i32(2)).wrap();
    const ip = item(r, fn.i32(0), size);
    fn.if(isUnprotected(r), () => {
      moveWithin(r, selector, ip, () => moveStack(r, size.shl(1).add(release).extendU()));
    });
    const code = readReturnCode(r, selector);
    const level = selector.and(3);
    const finish = (target: Value) => {
      r.setState64(layout.rip, target);
      fn.callAll(core.setSegment, r.cpu, layout.CS, selector, code.descriptor);
      fn.callAll(core.updateMode, r.cpu);
    };
    fn.if(
      level.gtU(r.state32(layout.cpl)),
      () => {
        const pointer = item(r, size.shl(1).add(release), size);
        const stack = item(r, size.mul(3).add(release), fn.i32(2)).wrap();
        const segment = readReturnStack(r, stack, level, code);
        const target = checkTarget(r, ip, code.descriptor);
        loadReturnStack(r, segment, pointer, level, code);
        finish(target);
        // The caller's stack has the parameters as well.
        moveStack(r, release.extendU());
      },
      () => {
        // RSP moves in the mode that is returned to.
        finish(checkTarget(r, ip, code.descriptor));
        moveStack(r, size.shl(1).add(release).extendU());
      },
    );
    fn.return(1);
  });
};

/** True (i32) in real-address and virtual-8086 mode. */
function isUnprotected(r: Routine): Value {
  const mode = r.state32(layout.mode);
  return mode.and(protectedMode).eqz().or(mode.and(virtual8086).ne(0));
}

/** `size` bytes (i32: 2, 4 or 8) at a distance from the top of the present stack (i64). */
function item(r: Routine, distance: Value, size: Value): Value {
  const { fn } = r;
  const at = fn.local('i32', fn.call(r.core.stackItem, r.cpu, distance, size));
  r.require(at.get());
  const value = fn.local('i64', fn.load('i64_16u', at.get()));
  fn.if(size.eq(4), () => value.set(fn.load('i64_32u', at.get())));
  fn.if(size.eq(8), () => value.set(fn.load('i64', at.get())));
  return value.get();
}

/** Goes to selector:ip in real-address and virtual-8086 mode, where segments have no descriptors. Leaves the routine. */
function moveWithin(r: Routine, selector: Value, ip: Value, stack: () => void): void {
  const limit = r.fn.load('i64_32u', r.cpu, r.segment(layout.CS, layout.segmentLimit));
  r.raiseIf(ip.gtU(limit), exceptions.GP);
  stack();
  r.setState64(layout.rip, ip);
  r.setState64(layout.segmentOffset(layout.CS), selector.extendU().shl(4));
  r.setState32(r.segment(layout.CS, layout.segmentSelector), selector);
  r.fn.return(1);
}

function selectorOf(r: Routine, number: number): Value {
  return r.state32(r.segment(number, layout.segmentSelector));
}

/** Pushes the return address on the new stack: CS, and the offset of the next instruction. */
function pushReturn(r: Routine, size: Value, error: Value): void {
  push(r, selectorOf(r, layout.CS), size, error);
  push(r, r.state64(layout.nextRip), size, error);
}

/** Loads CS and RIP with privilege level `level`. Leaves the routine. */
function loadCode(r: Routine, selector: Value, descriptor: Value, level: Value, target: Value): void {
  const { fn } = r;
  const loaded = selector.and(0xfffc).or(level);
  fn.callAll(r.core.setSegment, r.cpu, layout.CS, loaded, descriptor.or(1n << 40n));
  r.setState64(layout.rip, target);
  fn.callAll(r.core.updateMode, r.cpu);
  // Compatibility mode has a stack pointer of 32 bits.
  const mode = r.state32(layout.mode);
  fn.if(mode.and(longMode).ne(0).and(mode.and(2).eqz()), () => {
    r.setState64(RSP, r.state64(RSP).and(0xffff_ffff));
  });
  fn.return(1);
}

/** Far JMP and CALL. */
function transfer(r: Routine, kind: Transfer, size: Value): void {
  const { fn } = r;
  const selector = fn.parameter(1).get();
  const offset = fn.parameter(2).get();
  const none = fn.i32(0);
  const pushOnPresentStack = (code64: Value) => {
    usePresentStack(r, code64);
    pushReturn(r, size, none);
  };
  fn.if(isUnprotected(r), () => {
    if (kind === 'call') pushOnPresentStack(none);
    moveWithin(r, selector, offset, () => {
      if (kind === 'call') movePresentStack(r);
    });
  });
  r.raiseIf(selector.and(0xfffc).eqz(), exceptions.GP);
  const { descriptor, linear } = readDescriptor(r, selector);
  const attributes = attributesOf(descriptor);
  const error = selectorError(selector);
  const cpl = r.state32(layout.cpl);
  const rpl = selector.and(3);
  const dpl = dplOf(attributes);
  fn.if(attributes.and(notSystem).eqz(), () => throughSystem(r, kind, selector, descriptor, linear));
  r.raiseIf(attributes.and(isCode).eqz(), exceptions.GP, error);
  const levels = fn.select(attributes.and(conforming), dpl.gtU(cpl), rpl.gtU(cpl).or(dpl.ne(cpl)));
  r.raiseIf(levels, exceptions.GP, error);
  r.raiseIf(isCode64(r, attributes).and(attributes.and(bigBit).ne(0)), exceptions.GP, error);
  r.raiseIf(attributes.and(presentBit).eqz(), exceptions.NP, error);
  markAccessed(r, descriptor, linear);
  // Processors push before they check the offset.
  if (kind === 'call') pushOnPresentStack(isCode64(r, attributes));
  const target = checkTarget(r, offset, descriptor);
  if (kind === 'call') movePresentStack(r);
  loadCode(r, selector, descriptor, cpl, target);
}

/** Through a gate or to a TSS. Leaves the routine. */
function throughSystem(r: Routine, kind: Transfer, selector: Value, descriptor: Value, linear: Value): void {
  const { fn } = r;
  const attributes = attributesOf(descriptor);
  const error = selectorError(selector);
  const type = attributes.and(15);
  const isLong = r.state32(layout.mode).and(longMode).ne(0);
  const is = (number: number) => type.eq(number);
  const isGate = is(types.callGate32).or(is(types.callGate16).and(isLong.eqz()));
  const isTss = is(types.tss16Available).or(is(types.tss32Available));
  const isTask = isTss.or(is(types.taskGate)).and(isLong.eqz());
  r.raiseIf(isGate.or(isTask).eqz(), exceptions.GP, error);
  const dpl = dplOf(attributes);
  r.raiseIf(dpl.ltU(r.state32(layout.cpl)).or(dpl.ltU(selector.and(3))), exceptions.GP, error);
  r.raiseIf(attributes.and(presentBit).eqz(), exceptions.NP, error);
  fn.if(isTask, () => {
    const named = descriptor.shrU(16).wrap().and(0xffff);
    const task = fn.select(is(types.taskGate), named, selector);
    fn.return(fn.call(r.core.taskSwitch, r.cpu, task, taskCauses[kind], 0, 0));
  });
  throughGate(r, kind, selector, descriptor, linear);
}

/** Through a call gate. Leaves the routine. */
function throughGate(r: Routine, kind: Transfer, selector: Value, gate: Value, linear: Value): void {
  const { fn } = r;
  const isLong = r.state32(layout.mode).and(longMode);
  const wide = attributesOf(gate).and(8);
  const offset = fn.local('i64', gate.and(0xffff));
  fn.if(wide, () => offset.set(offset.get().or(gate.shrU(32).and(0xffff_0000n))));
  fn.if(isLong, () => {
    // 16 bytes; the type field of the second half is 0 (SDM vol. 3, figure 5-9).
    const whole = fn.call(r.core.locate, r.cpu, selector, 16);
    r.raiseIf(whole.eqz(), exceptions.GP, selectorError(selector));
    const high = fn.local('i64', r.read(linear.add(8), 8));
    r.raiseIf(
      high
        .get()
        .and(0x1f00n << 32n)
        .ne(0),
      exceptions.GP,
      selectorError(selector),
    );
    offset.set(offset.get().or(high.get().shl(32)));
  });
  const target = gate.shrU(16).wrap().and(0xffff);
  r.raiseIf(target.and(0xfffc).eqz(), exceptions.GP);
  const { descriptor, linear: where } = readDescriptor(r, target);
  const attributes = attributesOf(descriptor);
  const error = selectorError(target);
  const cpl = r.state32(layout.cpl);
  const dpl = dplOf(attributes);
  r.raiseIf(attributes.and(notSystem | isCode).ne(notSystem | isCode), exceptions.GP, error);
  const isConforming = attributes.and(conforming).ne(0);
  const levels = kind === 'call' ? dpl.gtU(cpl) : fn.select(isConforming, dpl.gtU(cpl), dpl.ne(cpl));
  r.raiseIf(levels, exceptions.GP, error);
  r.raiseIf(isLong.ne(0).and(attributes.and(longBit | bigBit).ne(longBit)), exceptions.GP, error);
  r.raiseIf(attributes.and(presentBit).eqz(), exceptions.NP, error);
  markAccessed(r, descriptor, where);
  if (kind === 'call') {
    const size = fn.local('i32', fn.select(isLong, fn.i32(8), fn.select(wide, fn.i32(4), fn.i32(2)))).get();
    fn.if(isConforming.eqz().and(dpl.ltU(cpl)), () => {
      callInner(r, gate, target, descriptor, dpl, offset.get(), size);
    });
    const ip = checkTarget(r, offset.get(), descriptor);
    usePresentStack(r, isLong);
    pushReturn(r, size, fn.i32(0));
    movePresentStack(r);
    loadCode(r, target, descriptor, cpl, ip);
  } else loadCode(r, target, descriptor, cpl, checkTarget(r, offset.get(), descriptor));
}

/** A call to an inner privilege level: on its own stack, with the parameters copied. Leaves the routine. */
function callInner(
  r: Routine,
  gate: Value,
  selector: Value,
  descriptor: Value,
  level: Value,
  offset: Value,
  size: Value,
): void {
  const { fn } = r;
  const stack = useInnerStack(r, level, 0);
  const error = selectorError(stack.selector);
  const target = checkTarget(r, offset, descriptor);
  push(r, selectorOf(r, layout.SS), size, error);
  push(r, r.state64(RSP), size, error);
  // The count of parameters; a 64-bit gate has none (SDM vol. 3, figures 5-8 and 5-9).
  const count = fn.select(r.state32(layout.mode).and(longMode), fn.i32(0), gate.shrU(32).wrap().and(31));
  const left = fn.local('i32', count);
  fn.loop((again) => {
    fn.if(left.get(), () => {
      left.set(left.get().sub(1));
      push(r, item(r, left.get().mul(size), size), size, error);
      again.br();
    });
  });
  pushReturn(r, size, error);
  loadInnerStack(r, level, stack);
  loadCode(r, selector, descriptor, level, target);
}
