/** Delivery of exceptions and interrupts through the IDT (SDM vol. 3, chapter 6). */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import * as exits from '../exits.ts';
import { AC, FIXED, IF, NT, RF, TF, VM } from '../flags.ts';
import * as layout from '../layout.ts';
import { longMode, protectedMode, virtual8086 } from '../mode.ts';
import { bigBit, conforming, isCode, longBit, notSystem, presentBit, readWrite, types } from '../segments.ts';
import type { CorePart } from './core.ts';
import { attributesOf, dplOf, Routine, selectorError } from './routine.ts';
import { markAccessed, readCodeDescriptor } from './segments.ts';

/** Kinds of events, the last parameter of `deliver`. */
export const eventKinds = {
  /** An exception: a fault of the present instruction. */
  fault: 0,
  /** An external interrupt or NMI. */
  external: 1,
  /** INT n: checked against the gate's DPL. */
  software: 2,
  /** INT3 and INTO: checked likewise. */
  softwareException: 3,
  /** A debug trap or INT1: an exception behind an instruction. */
  trap: 4,
} as const;

/** Exceptions with an error code: 8, 10-14, 17 (SDM vol. 3, table 6-1). */
const withErrorCode = (1 << 8) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13) | (1 << 14) | (1 << 17);
/** Contributory exceptions: 0, 10-13 (SDM vol. 3, table 6-4). */
const contributory = (1 << 0) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13);

export const delivery: CorePart = (define, core) => {
  define('deliver', (fn) => {
    const cpu = fn.parameter(0).get();
    const [vector, code, kind] = [fn.parameter(1), fn.parameter(2), fn.parameter(3)];
    fn.loop((again) => {
      fn.if(fn.call(core.deliverOnce, cpu, vector.get(), code.get(), kind.get()), () => {
        fn.callAll(core.updateMode, cpu);
        fn.return(1);
      });
      const second = fn.load('i32', cpu, layout.faultVector);
      // The host must act first, or a task switch has taken the event.
      fn.if(second.ltS(0), () => fn.return(0));
      const isException = kind.get().eqz().or(kind.get().geS(eventKinds.softwareException));
      fn.if(isException.and(vector.get().eq(exceptions.DF)), () => {
        fn.store('i32', cpu, exits.shutdown, layout.exit);
        fn.return(0);
      });
      const has = (mask: number, bit: Value) => fn.i32(mask).shrU(bit).and(1);
      const firstContributes = has(contributory, vector.get());
      const secondContributes = has(contributory, second);
      const firstIsPageFault = vector.get().eq(exceptions.PF);
      const secondIsPageFault = second.eq(exceptions.PF);
      const double = firstContributes
        .and(secondContributes)
        .or(firstIsPageFault.and(secondContributes.or(secondIsPageFault)))
        .and(isException);
      fn.if(secondIsPageFault.and(double.eqz()), () => {
        fn.store('i64', cpu, fn.load('i64', cpu, layout.faultAddress), layout.cr2);
      });
      vector.set(fn.select(double, fn.i32(exceptions.DF), second));
      code.set(fn.select(double, fn.i32(0), fn.load('i32', cpu, layout.faultCode)));
      kind.set(eventKinds.fault);
      again.br();
    });
  });

  define('deliverOnce', (fn) => {
    const r = new Routine(fn, core);
    const vector = fn.parameter(1).get();
    const mode = r.state32(layout.mode);
    fn.if(mode.and(protectedMode).eqz(), () => realMode(fn, r, vector));
    const kind = fn.parameter(3).get();
    const isLong = mode.and(longMode);
    const software = kind.eq(eventKinds.software).or(kind.eq(eventKinds.softwareException));
    /** Error code of faults found on the way: the vector's IDT entry; EXT unless a program asked for the event. */
    const idtError = vector.shl(3).or(2).or(software.eqz());

    fn.if(r.state32(layout.intercept), () => {
      // An instruction that asks for an interrupt is checked against the gate first.
      fn.if(software.eqz(), () => intercepted(r, vector));
    });
    const gateSize = fn.select(isLong, fn.i64(16), fn.i64(8));
    const at = vector.extendU().mul(gateSize);
    const limit = fn.load('i64_16u', r.cpu, layout.idtr + 8);
    r.raiseIf(at.add(gateSize).sub(1).gtU(limit), exceptions.GP, idtError);
    const linear = r.state64(layout.idtr).add(at);
    const gate = fn.local('i64', r.read(linear, 8));
    const gateAttributes = attributesOf(gate.get());
    const type = gateAttributes.and(0x1f);
    const longGate = type.eq(types.interruptGate32).or(type.eq(types.trapGate32));
    const shortGate = type.eq(types.interruptGate16).or(type.eq(types.trapGate16));
    const allowed = longGate.or(isLong.eqz().and(shortGate.or(type.eq(types.taskGate))));
    r.raiseIf(allowed.eqz(), exceptions.GP, idtError);
    r.raiseIf(software.and(dplOf(gateAttributes).ltU(r.state32(layout.cpl))), exceptions.GP, idtError);
    r.raiseIf(gateAttributes.and(presentBit).eqz(), exceptions.NP, idtError);
    fn.if(r.state32(layout.intercept), () => intercepted(r, vector));
    const hasError = kind.eqz().and(fn.i32(withErrorCode).shrU(vector).and(1)).and(vector.ltU(32));
    fn.if(type.eq(types.taskGate), () => {
      const selector = gate.get().shrU(16).wrap().and(0xffff);
      fn.return(
        fn.call(
          core.taskSwitch,
          r.cpu,
          selector,
          3,
          software.eqz().or(hasError.shl(1)),
          fn.parameter(2).get(),
        ),
      );
    });

    const external = software.eqz();
    const selector = gate.get().shrU(16).wrap().and(0xffff);
    r.raiseIf(selector.and(0xfffc).eqz(), exceptions.GP, external);
    const { descriptor, linear: where } = readCodeDescriptor(fn, core, r, selector);
    const attributes = attributesOf(descriptor);
    const error = selectorError(selector).or(external);
    const cpl = r.state32(layout.cpl);
    const dpl = dplOf(attributes);
    r.raiseIf(attributes.and(notSystem | isCode).ne(notSystem | isCode), exceptions.GP, error);
    r.raiseIf(dpl.gtU(cpl), exceptions.GP, error);
    r.raiseIf(isLong.ne(0).and(attributes.and(longBit | bigBit).ne(longBit)), exceptions.GP, error);
    r.raiseIf(attributes.and(presentBit).eqz(), exceptions.NP, error);
    const inner = attributes.and(conforming).eqz().and(dpl.ltU(cpl));
    const newCpl = fn.local('i32', fn.select(inner, dpl, cpl));
    const isVirtual = mode.and(virtual8086);
    r.raiseIf(isVirtual.ne(0).and(newCpl.get().ne(0)), exceptions.GP, error);
    markAccessed(r, descriptor, where);

    const flags = fn.local('i32', r.state32(layout.systemFlags).or(fn.call(core.allFlags, r.cpu)).or(FIXED));
    // A fault's image has RF set, so that its instruction is not stopped at a breakpoint again (SDM vol. 3, 17.3.1.1).
    const pushed = fn.local('i32', fn.select(kind.eqz(), flags.get().or(RF), flags.get()));
    const code = fn.parameter(2).get();
    fn.if(
      isLong,
      () => longFrame(r, linear, gate.get(), inner, newCpl.get(), pushed.get(), hasError, code),
      () =>
        legacyFrame(
          r,
          gate.get(),
          type,
          inner,
          newCpl.get(),
          pushed.get(),
          hasError,
          code,
          isVirtual,
          external,
        ),
    );

    const rplSelector = selector.and(0xfffc).or(newCpl.get());
    fn.callAll(core.setSegment, r.cpu, layout.CS, rplSelector, descriptor.or(1n << 40n));
    const isInterruptGate = type.and(1).eqz();
    const cleared = fn.select(isInterruptGate, fn.i32(TF | NT | RF | VM | IF), fn.i32(TF | NT | RF | VM));
    r.setState32(layout.systemFlags, r.state32(layout.systemFlags).and(cleared.not()));
    fn.return(1);
  });
};

/** Leaves with the exception in the fault fields. */
function intercepted(r: Routine, vector: Value): void {
  r.setState32(layout.exit, exits.exception);
  r.setState64(layout.exitInfo, vector.extendU());
  r.setState32(layout.faultCode, r.fn.parameter(2).get());
  r.setState32(layout.faultVector, -1);
  r.fn.return(0);
}

/** Delivery in real mode: a vector table of far pointers, a frame of three words (SDM vol. 3, 20.1.4). */
function realMode(fn: FunctionBuilder, r: Routine, vector: Value): void {
  const at = vector.shl(2).extendU();
  r.raiseIf(at.add(3).gtU(fn.load('i64_16u', r.cpu, layout.idtr + 8)), exceptions.GP, 0);
  const target = fn.local('i32', r.read(r.state64(layout.idtr).add(at), 4));
  const flags = fn.local('i32', r.state32(layout.systemFlags).or(fn.call(r.core.allFlags, r.cpu)).or(FIXED));
  const base = r.state64(layout.segmentOffset(layout.SS));
  const sp = fn.local('i64', r.state64(layout.gprOffset(4)));
  const push = (value: Value) => {
    sp.set(sp.get().sub(2).and(0xffff));
    r.write(base.add(sp.get()), 2, value);
  };
  push(flags.get());
  push(r.state32(r.segment(layout.CS, layout.segmentSelector)));
  push(r.state32(layout.rip));
  const old = r.state64(layout.gprOffset(4));
  r.setState64(layout.gprOffset(4), old.and(-65536).or(sp.get()));
  r.setState32(layout.systemFlags, r.state32(layout.systemFlags).and(~(IF | TF | AC)));
  const selector = target.get().shrU(16);
  r.setState32(r.segment(layout.CS, layout.segmentSelector), selector);
  r.setState64(layout.segmentOffset(layout.CS), selector.extendU().shl(4));
  r.setState64(layout.rip, target.get().and(0xffff).extendU());
  fn.return(1);
}

/** Pushes the frame of 64-bit delivery and sets RSP, SS and RIP (SDM vol. 3, 6.14). */
function longFrame(
  r: Routine,
  gateAddress: Value,
  gate: Value,
  inner: Value,
  newCpl: Value,
  flags: Value,
  hasError: Value,
  code: Value,
): void {
  const { fn, cpu } = r;
  const high = fn.local('i64', r.read(gateAddress.add(8), 8));
  const ist = gate.shrU(32).wrap().and(7);
  const oldSp = r.state64(layout.gprOffset(4));
  const sp = fn.local('i64', oldSp);
  const tss = r.state64(layout.segmentOffset(layout.TR));
  const limit = r.state32(r.segment(layout.TR, layout.segmentLimit));
  const tssSelector = r.state32(r.segment(layout.TR, layout.segmentSelector));
  // RSP0 … 2 at 4, IST1 … 7 at 36 (SDM vol. 3, figure 8-11).
  const fromTss = (offset: Value) => {
    r.raiseIf(offset.add(7).gtU(limit), exceptions.TS, selectorError(tssSelector));
    sp.set(r.read(tss.add(offset.extendU()), 8));
  };
  fn.if(
    ist,
    () => fromTss(ist.shl(3).add(28)),
    () => fn.if(inner, () => fromTss(newCpl.shl(3).add(4))),
  );
  sp.set(sp.get().and(-16));
  const push = (value: Value) => {
    sp.set(sp.get().sub(8));
    const host = fn.call(r.core.access, cpu, sp.get(), 8 | 0x100 | 0x400 | 0x800);
    r.require(host);
    fn.store('i64', host, value);
    fn.callAll(r.core.commit, cpu);
  };
  push(r.state32(r.segment(layout.SS, layout.segmentSelector)).extendU());
  push(oldSp);
  push(flags.extendU());
  push(r.state32(r.segment(layout.CS, layout.segmentSelector)).extendU());
  push(r.state64(layout.rip));
  fn.if(hasError, () => push(code.extendU()));
  r.setState64(layout.gprOffset(4), sp.get());
  fn.if(inner, () => r.setSegment(layout.SS, newCpl, 0, 0, newCpl.shl(5)));
  r.setState64(layout.rip, gate.and(0xffff).or(gate.shrU(32).and(0xffff_0000n)).or(high.get().shl(32)));
}

/** Pushes the frame of 16- and 32-bit protected-mode delivery (SDM vol. 3, 6.12.1) and sets ESP, SS and EIP. */
function legacyFrame(
  r: Routine,
  gate: Value,
  type: Value,
  inner: Value,
  newCpl: Value,
  flags: Value,
  hasError: Value,
  code: Value,
  isVirtual: Value,
  external: Value,
): void {
  const { fn } = r;
  const wide = type.and(8);
  const oldSp = r.state64(layout.gprOffset(4));
  const oldSs = fn.local('i32', r.state32(r.segment(layout.SS, layout.segmentSelector)));
  const sp = fn.local('i64', oldSp);
  const base = fn.local('i64', r.state64(layout.segmentOffset(layout.SS)));
  const ssAttributes = fn.local('i32', r.state32(r.segment(layout.SS, layout.segmentAttributes)));
  const newSs = fn.local('i32');
  const descriptor = fn.local('i64');
  const where = fn.local('i64');
  fn.if(inner, () => {
    const { selector, pointer } = innerStack(r, newCpl, external);
    newSs.set(selector);
    sp.set(pointer);
    const error = selectorError(newSs.get()).or(external);
    r.raiseIf(newSs.get().and(0xfffc).eqz(), exceptions.TS, external);
    fn.if(fn.call(r.core.readDescriptor, r.cpu, newSs.get()).eqz(), () => {
      // A selector outside its table is an invalid TSS here.
      fn.if(r.state32(layout.faultVector).eq(exceptions.GP), () => r.raise(exceptions.TS, error));
      fn.return(0);
    });
    descriptor.set(r.state64(layout.result0));
    where.set(r.state64(layout.result1));
    const attributes = attributesOf(descriptor.get());
    const levels = newSs.get().and(3).ne(newCpl).or(dplOf(attributes).ne(newCpl));
    const writableData = attributes.and(notSystem | isCode | readWrite).eq(notSystem | readWrite);
    r.raiseIf(levels.or(writableData.eqz()), exceptions.TS, error);
    r.raiseIf(attributes.and(presentBit).eqz(), exceptions.SS, error);
    markAccessed(r, descriptor.get(), where.get());
    ssAttributes.set(attributes);
    base.set(descriptor.get().shrU(16).and(0xff_ffff).or(descriptor.get().shrU(56).shl(24)));
  });
  const mask = fn.select(ssAttributes.get().and(bigBit), fn.i64(0xffff_ffff), fn.i64(0xffff));
  const push = (value: Value) => {
    const size = fn.select(wide, fn.i64(4), fn.i64(2));
    sp.set(sp.get().sub(size).and(mask));
    const linear = base.get().add(sp.get()).and(0xffff_ffff);
    fn.if(
      wide,
      () => r.write(linear, 4, value),
      () => r.write(linear, 2, value),
    );
  };
  const selectorOf = (number: number) => r.state32(r.segment(number, layout.segmentSelector));
  fn.if(inner, () => {
    fn.if(isVirtual, () => {
      for (const number of [layout.GS, layout.FS, layout.DS, layout.ES]) push(selectorOf(number));
    });
    push(oldSs.get());
    push(oldSp.wrap());
  });
  push(flags);
  push(selectorOf(layout.CS));
  push(r.state32(layout.rip));
  fn.if(hasError, () => push(code));
  fn.if(
    inner,
    () => {
      fn.callAll(r.core.setSegment, r.cpu, layout.SS, newSs.get(), descriptor.get().or(1n << 40n));
      r.setState64(layout.gprOffset(4), sp.get());
      fn.if(isVirtual, () => {
        for (const number of [layout.GS, layout.FS, layout.DS, layout.ES]) r.setSegment(number, 0, 0, 0, 0);
      });
    },
    () => r.setState64(layout.gprOffset(4), oldSp.and(mask.not()).or(sp.get().and(mask))),
  );
  const offset = fn.select(wide, gate.and(0xffff).or(gate.shrU(32).and(0xffff_0000n)), gate.and(0xffff));
  r.setState64(layout.rip, offset);
}

/** Stack of an inner privilege level, from a 32- or 16-bit TSS (SDM vol. 3, figures 8-2 and 8-10). */
export function innerStack(r: Routine, level: Value, external: Value): { selector: Value; pointer: Value } {
  const { fn } = r;
  const wide = r.state32(r.segment(layout.TR, layout.segmentAttributes)).and(8);
  const tss = r.state64(layout.segmentOffset(layout.TR));
  const limit = r.state32(r.segment(layout.TR, layout.segmentLimit));
  const error = selectorError(r.state32(r.segment(layout.TR, layout.segmentSelector))).or(external);
  const selector = fn.local('i32');
  const pointer = fn.local('i64');
  fn.if(
    wide,
    () => {
      const offset = level.shl(3).add(4);
      r.raiseIf(offset.add(5).gtU(limit), exceptions.TS, error);
      pointer.set(r.read(tss.add(offset.extendU()), 4).extendU());
      selector.set(r.read(tss.add(offset.extendU()).add(4), 2));
    },
    () => {
      const offset = level.shl(2).add(2);
      r.raiseIf(offset.add(3).gtU(limit), exceptions.TS, error);
      pointer.set(r.read(tss.add(offset.extendU()), 2).extendU());
      selector.set(r.read(tss.add(offset.extendU()).add(2), 2));
    },
  );
  return { selector: selector.get(), pointer: pointer.get() };
}
