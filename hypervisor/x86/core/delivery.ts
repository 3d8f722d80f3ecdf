/** Delivery of exceptions and interrupts through the IDT (SDM vol. 3, chapter 6; pseudo-code: vol. 2, INT n). */
import type { Value } from '../../wasm/value.ts';
import { DR7 } from '../debug.ts';
import * as exceptions from '../exceptions.ts';
import * as exits from '../exits.ts';
import { IF, NT, RF, TF, VM } from '../flags.ts';
import * as layout from '../layout.ts';
import { longMode, protectedMode, virtual8086 } from '../mode.ts';
import { bigBit, conforming, isCode, longBit, notSystem, presentBit, types } from '../segments.ts';
import * as tlb from '../tlb.ts';
import { setAddress } from './access.ts';
import type { CorePart } from './core.ts';
import { legacyFrame, longFrame, realModeFrame } from './frames.ts';
import { attributesOf, dplOf, limitOf, Routine, selectorError } from './routine.ts';
import { markAccessed, readDescriptor } from './segments.ts';
import { taskCauses, taskOptions } from './tasks.ts';

/** Kinds of events, the last parameter of `deliver`. */
export const eventKinds = {
  /** An exception of the instruction at RIP, which is to be executed again. */
  fault: 0,
  /** An external interrupt or NMI. */
  external: 1,
  /** INT n: checked against the gate's DPL. Like the next two it returns to `nextRip`. */
  software: 2,
  /** INT3 and INTO: checked likewise. */
  softwareException: 3,
  /** INT1: not checked. */
  privilegedException: 4,
  /** A debug exception between instructions: behind one, or at a breakpoint before one. It returns to RIP. */
  trap: 5,
} as const;

/** Bit `kind` is set for the kinds for which a property holds. */
const mask = (...kinds: (keyof typeof eventKinds)[]) =>
  kinds.reduce((all, kind) => all | (1 << eventKinds[kind]), 0);
const checksGate = mask('software', 'softwareException');
const returnsBehind = mask('software', 'softwareException', 'privilegedException');
const isException = mask('fault', 'softwareException', 'privilegedException', 'trap');
/** These leave RFLAGS.RF as it is in the image they push. */
const keepsResume = mask('external', 'trap');

/** Exceptions with an error code: 8, 10-14, 17 (SDM vol. 3, table 6-1). */
const withErrorCode = (1 << 8) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13) | (1 << 14) | (1 << 17);
/** Contributory exceptions: 0, 10-13 (SDM vol. 3, table 6-4). */
const contributory = (1 << 0) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13);

/** True (i32, 0 or 1) when bit `number` (modulo 32) of a constant is set. */
function has(bits: number, number: Value): Value {
  return number.fn.i32(bits).shrU(number).and(1);
}

export const delivery: CorePart = (define, core) => {
  define('deliver', (fn) => {
    const cpu = fn.parameter(0).get();
    const [vector, code, kind] = [fn.parameter(1), fn.parameter(2), fn.parameter(3)];
    /** Whether the event comes from an instruction that is not executed again. */
    const late = fn.local('i32', 0);
    fn.loop((again) => {
      late.set(late.get().or(fn.load('i32', cpu, layout.lateFault)));
      fn.if(fn.call(core.deliverOnce, cpu, vector.get(), code.get(), kind.get()), () => {
        // The handler's first instruction is not stepped, and the event has ended a HLT.
        fn.store('i32', cpu, 0, layout.stepping);
        fn.store('i32', cpu, 0, layout.halted);
        fn.store('i32', cpu, 0, layout.lateFault);
        fn.if(vector.get().eq(exceptions.DB).and(has(isException, kind.get())), () => {
          const control = fn.load('i32', cpu, layout.dr + 8 * 7);
          fn.store('i32', cpu, control.and(~DR7.GD), layout.dr + 8 * 7);
        });
        fn.callAll(core.updateMode, cpu);
        fn.return(1);
      });
      const second = fn.load('i32', cpu, layout.faultVector);
      fn.callAll(core.updateMode, cpu);
      // The host must act first, and the event is delivered again; what a task switch has found meanwhile is owed instead.
      fn.if(second.ltS(0), () => {
        fn.if(late.get().eqz(), () => fn.return(0));
        fn.store('i32', cpu, 0, layout.lateFault);
        fn.store('i32', cpu, vector.get().add(1), layout.owedException);
        fn.store('i32', cpu, code.get(), layout.owedCode);
        fn.return(1);
      });
      const first = vector.get();
      const firstIsException = has(isException, kind.get());
      fn.if(firstIsException.and(first.eq(exceptions.DF)), () => {
        fn.store('i32', cpu, exits.shutdown, layout.exit);
        fn.store('i32', cpu, -1, layout.faultVector);
        fn.return(0);
      });
      // When two exceptions make a double fault: SDM vol. 3, table 6-5.
      const secondContributes = has(contributory, second);
      const secondIsPageFault = second.eq(exceptions.PF);
      const afterContributory = has(contributory, first).and(secondContributes);
      const afterPageFault = first.eq(exceptions.PF).and(secondContributes.or(secondIsPageFault));
      const double = afterContributory.or(afterPageFault).and(firstIsException);
      fn.if(secondIsPageFault, () => {
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
    const code = fn.parameter(2).get();
    const kind = fn.parameter(3).get();
    const mode = r.state32(layout.mode);
    const checked = has(checksGate, kind);
    /** EXT of error codes: set unless the program asked for the event (SDM vol. 3, 6.13). */
    const external = checked.eqz();
    // Pushes of events are not checked for alignment: #AC could follow #AC for ever.
    fn.if(r.state32(layout.tlb).eq(setAddress(r.cpu, tlb.alignmentCheckSet)), () => {
      r.setState32(layout.tlb, setAddress(r.cpu, tlb.userSet));
    });
    const returnIp = fn.local('i64', r.state64(layout.rip));
    fn.if(has(returnsBehind, kind), () => returnIp.set(r.state64(layout.nextRip)));
    // Tests see events here; what asks for an interrupt is checked against its gate first.
    fn.if(r.state32(layout.intercept).and(external), () => intercepted(r, vector, returnIp.get()));
    const flags = fn.local('i32', r.flags());
    // Faults are pushed with RF set, so that their instruction does not meet its breakpoint again (SDM vol. 3, 17.3.1.1).
    fn.if(has(keepsResume, kind).eqz(), () => flags.set(flags.get().and(~RF)));
    fn.if(kind.eq(eventKinds.fault), () => flags.set(flags.get().or(RF)));
    fn.if(mode.and(protectedMode).eqz(), () => realModeFrame(r, vector, flags.get(), returnIp.get()));

    const isLong = mode.and(longMode);
    const idtError = vector.shl(3).or(2).or(external);
    const gateSize = fn.select(isLong, fn.i64(16), fn.i64(8));
    const at = vector.extendU().mul(gateSize);
    const limit = fn.load('i64_16u', r.cpu, layout.idtr + 8);
    r.raiseIf(at.add(gateSize).sub(1).gtU(limit), exceptions.GP, idtError);
    const linear = r.state64(layout.idtr).add(at);
    const gate = fn.local('i64', r.read(linear, 8));
    const gateAttributes = attributesOf(gate.get());
    const type = fn.local('i32', gateAttributes.and(0x1f));
    const longGate = type.get().eq(types.interruptGate32).or(type.get().eq(types.trapGate32));
    const shortGate = type.get().eq(types.interruptGate16).or(type.get().eq(types.trapGate16));
    const allowed = longGate.or(isLong.eqz().and(shortGate.or(type.get().eq(types.taskGate))));
    r.raiseIf(allowed.eqz(), exceptions.GP, idtError);
    r.raiseIf(checked.and(dplOf(gateAttributes).ltU(r.state32(layout.cpl))), exceptions.GP, idtError);
    r.raiseIf(gateAttributes.and(presentBit).eqz(), exceptions.NP, idtError);
    fn.if(r.state32(layout.intercept), () => intercepted(r, vector, returnIp.get()));
    const pushesCode = kind.eq(eventKinds.fault).and(has(withErrorCode, vector)).and(vector.ltU(32));
    const selector = fn.local('i32', gate.get().shrU(16).wrap().and(0xffff));
    fn.if(type.get().eq(types.taskGate), () => {
      const options = fn
        .select(external, fn.i32(taskOptions.external), fn.i32(0))
        .or(fn.select(pushesCode, fn.i32(taskOptions.pushesCode), fn.i32(0)))
        .or(fn.select(flags.get().and(RF), fn.i32(taskOptions.resume), fn.i32(0)));
      r.setState64(layout.nextRip, returnIp.get());
      fn.return(fn.call(core.taskSwitch, r.cpu, selector.get(), taskCauses.gate, options, code));
    });

    r.raiseIf(selector.get().and(0xfffc).eqz(), exceptions.GP, external);
    const { descriptor, linear: where } = readDescriptor(r, selector.get(), exceptions.GP, external);
    const attributes = attributesOf(descriptor);
    const error = selectorError(selector.get()).or(external);
    const cpl = r.state32(layout.cpl);
    const dpl = dplOf(attributes);
    r.raiseIf(attributes.and(notSystem | isCode).ne(notSystem | isCode), exceptions.GP, error);
    r.raiseIf(dpl.gtU(cpl), exceptions.GP, error);
    r.raiseIf(isLong.ne(0).and(attributes.and(longBit | bigBit).ne(longBit)), exceptions.GP, error);
    r.raiseIf(attributes.and(presentBit).eqz(), exceptions.NP, error);
    const inner = fn.local('i32', attributes.and(conforming).eqz().and(dpl.ltU(cpl)));
    const level = fn.local('i32', fn.select(inner.get(), dpl, cpl));
    // From virtual-8086 mode only to level 0.
    const fromVirtual = mode.and(virtual8086);
    r.raiseIf(fromVirtual.ne(0).and(level.get().ne(0)), exceptions.GP, error);
    markAccessed(r, descriptor, where);

    const event = {
      gate: gate.get(),
      inner: inner.get(),
      level: level.get(),
      flags: flags.get(),
      returnIp: returnIp.get(),
      pushesCode,
      code,
      external,
    };
    fn.if(
      isLong,
      () => longFrame(r, event, linear),
      () => legacyFrame(r, event, type.get().and(8), fromVirtual, limitOf(fn, descriptor)),
    );
    const newSelector = selector.get().and(0xfffc).or(level.get());
    fn.callAll(core.setSegment, r.cpu, layout.CS, newSelector, descriptor.or(1n << 40n));
    const isInterruptGate = type.get().and(1).eqz();
    const cleared = fn.select(isInterruptGate, fn.i32(TF | NT | RF | VM | IF), fn.i32(TF | NT | RF | VM));
    r.setState32(layout.systemFlags, r.state32(layout.systemFlags).and(cleared.not()));
    fn.return(1);
  });
};

/** Leaves with the event reported by an exit, at the RIP that it would push. */
function intercepted(r: Routine, vector: Value, returnIp: Value): void {
  r.setState64(layout.rip, returnIp);
  r.setState32(layout.exit, exits.exception);
  r.setState64(layout.exitInfo, vector.extendU());
  r.setState32(layout.faultCode, r.fn.parameter(2).get());
  r.setState32(layout.faultVector, -1);
  r.fn.return(0);
}
