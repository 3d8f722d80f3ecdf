/** IRET, IRETD, IRETQ (SDM vol. 2, IRET). */
import type { Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import { AC, arithmeticFlags, DF, ID, IF, IOPL, NT, RF, TF, VIF, VIP, VM } from '../flags.ts';
import * as layout from '../layout.ts';
import { stack } from '../memoryaccess.ts';
import { longMode, protectedMode, virtual8086 } from '../mode.ts';
import type { CorePart } from './core.ts';
import { checkTarget, loadReturnStack, readReturnCode, readReturnStack } from './return.ts';
import { Routine } from './routine.ts';
import { moveStack } from './stack.ts';
import { taskCauses } from './tasks.ts';

const RSP = layout.gprOffset(4);

/** Bytes of the frame of IRETQ that are read: RIP, CS, RFLAGS, RSP and, of the last item, the selector. */
const frameSize = 34;

/** Flags that any IRET loads. */
const always = arithmeticFlags | TF | DF | NT;
/** Flags that IRETD and IRETQ load as well. */
const wideOnly = RF | AC | ID;

export const interruptReturn: CorePart = (define, core) => {
  define('interruptReturn', (fn) => {
    const cpu = fn.parameter(0).get();
    const size = fn.parameter(1).get();
    // NMIs are no longer blocked even when the instruction faults (SDM vol. 3, 6.7.1), unless it is to be executed again.
    const blocked = fn.local('i32', fn.load('i32', cpu, layout.nmiBlocked));
    fn.store('i32', cpu, 0, layout.nmiBlocked);
    const done = fn.local('i32');
    fn.if(
      size.eq(8),
      () => done.set(fn.call(core.interruptReturn64, cpu)),
      () =>
        fn.if(
          size.eq(4),
          () => done.set(fn.call(core.interruptReturn32, cpu)),
          () => done.set(fn.call(core.interruptReturn16, cpu)),
        ),
    );
    const again = done
      .get()
      .eqz()
      .and(fn.load('i32', cpu, layout.faultVector).ltS(0));
    fn.if(again, () => fn.store('i32', cpu, blocked.get(), layout.nmiBlocked));
    fn.return(done.get());
  });

  define('interruptReturn64', (fn) => {
    const r = new Routine(fn, core);
    r.raiseIf(r.state32(layout.systemFlags).and(NT), exceptions.GP);
    // The whole frame as one access; when it faults, processors have looked at the flags first.
    const at = fn.local('i32', fn.call(core.access, r.cpu, r.state64(RSP), frameSize | stack));
    fn.if(at.get().eqz(), () => {
      r.require(fn.call(core.access, r.cpu, r.state64(RSP).add(16), 8 | stack));
      r.require(fn.call(core.access, r.cpu, r.state64(RSP), frameSize | stack));
    });
    const wide = (i: number) => fn.local('i64', fn.load('i64', at.get(), 8 * i)).get();
    const word = (i: number) => fn.local('i32', fn.load('i32_16u', at.get(), 8 * i)).get();
    const frame = { ip: wide(0), selector: word(1), flags: wide(2).wrap() };
    const [pointer, selector] = [wide(3), word(4)];
    returnTo(r, 8, frame, () => ({ pointer, selector }));
  });

  for (const size of [2, 4] as const) {
    define(`interruptReturn${size === 2 ? 16 : 32}`, (fn) => {
      const r = new Routine(fn, core);
      const mode = r.state32(layout.mode);
      const legacy = mode.and(longMode).eqz();
      const nested = r.state32(layout.systemFlags).and(NT).ne(0);
      const isVirtual = mode.and(virtual8086).ne(0);
      r.raiseIf(nested.and(legacy.eqz()), exceptions.GP);
      const iopl = r.state32(layout.systemFlags).and(IOPL);
      r.raiseIf(isVirtual.and(iopl.ne(IOPL)), exceptions.GP);
      const isProtected = mode.and(protectedMode).ne(0).and(isVirtual.eqz());
      fn.if(isProtected.and(nested), () => returnToTask(r));

      const item = (i: number) => item16or32(r, size, i);
      // Processors read the flags first.
      const flags = item(2);
      const frame = { ip: item(0).extendU(), selector: selectorItem(r, size, 1), flags };
      fn.if(isProtected.eqz(), () => returnUnprotected(r, size, frame, isVirtual));
      if (size === 4) {
        const toVirtual = legacy.and(frame.flags.and(VM).ne(0)).and(r.state32(layout.cpl).eqz());
        fn.if(toVirtual, () => returnToVirtual(r, frame));
      }
      returnTo(r, size, frame, () => ({
        pointer: item(3).extendU(),
        selector: selectorItem(r, size, 4),
      }));
    });
  }
};

/** What every IRET pops. */
interface Frame {
  /** Offset in the code segment (i64). */
  readonly ip: Value;
  readonly selector: Value;
  readonly flags: Value;
}

/** Item number `i` of a frame of 2- or 4-byte items (i32). */
function item16or32(r: Routine, size: 2 | 4, i: number): Value {
  const { fn } = r;
  const at = fn.local('i32', fn.call(r.core.stackItem, r.cpu, i * size, size));
  r.require(at.get());
  return fn.local('i32', fn.load(size === 2 ? 'i32_16u' : 'i32', at.get())).get();
}

/** The selector in item number `i`: of its bytes no others are read. */
function selectorItem(r: Routine, size: 2 | 4, i: number): Value {
  const { fn } = r;
  const at = fn.local('i32', fn.call(r.core.stackItem, r.cpu, i * size, 2));
  r.require(at.get());
  return fn.local('i32', fn.load('i32_16u', at.get())).get();
}

/** Sets the flags that an IRET may change; `extra` (i32) are those that the privilege allows beyond the common ones. */
function setFlags(r: Routine, size: number, image: Value, extra: Value): void {
  r.setFlags(image, extra.or(size === 2 ? always : always | wideOnly));
  // RF holds for the next instruction only; see `run.ts`.
  r.setState32(layout.resumeBudget, r.state32(layout.budget).sub(1));
}

/** Real-address and virtual-8086 mode. Leaves the routine. */
function returnUnprotected(r: Routine, size: 2 | 4, frame: Frame, isVirtual: Value): void {
  const { fn } = r;
  const limit = fn.load('i64_32u', r.cpu, r.segment(layout.CS, layout.segmentLimit));
  r.raiseIf(frame.ip.gtU(limit), exceptions.GP);
  r.setState64(layout.rip, frame.ip);
  r.setState64(layout.segmentOffset(layout.CS), frame.selector.extendU().shl(4));
  r.setState32(r.segment(layout.CS, layout.segmentSelector), frame.selector);
  moveStack(r, 3 * size);
  setFlags(r, size, frame.flags, fn.select(isVirtual, fn.i32(IF), fn.i32(IF | IOPL)));
  fn.callAll(r.core.updateMode, r.cpu);
  fn.return(1);
}

/** From a nested task to the one it was called by. Leaves the routine. */
function returnToTask(r: Routine): void {
  const { fn } = r;
  const link = r.read(r.state64(layout.segmentOffset(layout.TR)), 2);
  fn.return(fn.call(r.core.taskSwitch, r.cpu, link, taskCauses.return, 0, 0));
}

/** To virtual-8086 mode, from privilege level 0. Leaves the routine. */
function returnToVirtual(r: Routine, frame: Frame): void {
  const { fn } = r;
  const item = (i: number) => item16or32(r, 4, i);
  const pointer = item(3);
  const order = [layout.SS, layout.ES, layout.DS, layout.FS, layout.GS];
  const selectors = order.map((_, i) => selectorItem(r, 4, 4 + i));
  r.raiseIf(frame.ip.gtU(0xffff), exceptions.GP);
  setFlags(r, 4, frame.flags, fn.i32(IF | IOPL | VIF | VIP | VM));
  r.setState64(layout.rip, frame.ip);
  r.setState64(RSP, pointer.extendU());
  const load = (number: number, selector: Value) =>
    r.setSegment(number, selector, selector.extendU().shl(4), 0xffff, 0x00f3);
  load(layout.CS, frame.selector);
  order.forEach((number, i) => {
    load(number, selectors[i]!);
  });
  fn.callAll(r.core.updateMode, r.cpu);
  fn.return(1);
}

/** To a code segment of the same or an outer privilege level. Leaves the routine. */
function returnTo(
  r: Routine,
  size: 2 | 4 | 8,
  frame: Frame,
  popStack: () => { pointer: Value; selector: Value },
): void {
  const { fn } = r;
  const code = readReturnCode(r, frame.selector);
  const cpl = fn.local('i32', r.state32(layout.cpl)).get();
  const level = frame.selector.and(3);
  const flags = r.state32(layout.systemFlags);
  const ioplAllows = cpl.leU(flags.shrU(12).and(3));
  const system = size === 2 ? IOPL : IOPL | VIF | VIP;
  const extra = fn.local(
    'i32',
    fn.select(ioplAllows, fn.i32(IF), fn.i32(0)).or(fn.select(cpl, fn.i32(0), fn.i32(system))),
  );
  const finish = (target: Value) => {
    setFlags(r, size, frame.flags, extra.get());
    r.setState64(layout.rip, target);
    fn.callAll(r.core.setSegment, r.cpu, layout.CS, frame.selector, code.descriptor);
    fn.callAll(r.core.updateMode, r.cpu);
    fn.return(1);
  };
  const withStack = () => {
    const { pointer, selector } = popStack();
    const segment = readReturnStack(r, selector, level, code);
    const target = checkTarget(r, frame.ip, code.descriptor);
    loadReturnStack(r, segment, pointer, level, code);
    finish(target);
  };
  // In 64-bit mode SS and RSP are popped always, elsewhere when the privilege level changes.
  if (size === 8) withStack();
  else {
    const changes = level.ne(cpl).or(r.state32(layout.mode).and(2));
    fn.if(changes, withStack, () => {
      const target = checkTarget(r, frame.ip, code.descriptor);
      moveStack(r, 3 * size);
      finish(target);
    });
  }
}
