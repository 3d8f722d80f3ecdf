/** How control gets from one instruction to the next when it is not simply the next record: jumps, faults, stops. */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import * as record from '../codepage.ts';
import * as exceptions from '../exceptions.ts';
import * as exits from '../exits.ts';
import { AC, TF, VM } from '../flags.ts';
import * as layout from '../layout.ts';
import { leaderAt } from '../leadercache.ts';
import { CR0, CR4, codeSizeMask, EFER, longMode, protectedMode, virtual8086 } from '../mode.ts';
import * as tlb from '../tlb.ts';
import { countTranslated, noteLeader } from '../translatedcount.ts';
import { supervisorSetOf } from './access.ts';
import { type CorePart, handlerType } from './core.ts';
import { anyBreakpoint } from './debug.ts';
import { eventKinds } from './delivery.ts';

const csBase = layout.segmentOffset(layout.CS);
/** Attributes of a segment: D/B and L (SDM vol. 3, 3.4.5), as kept in the state. */
const big = 0x4000;
const long = 0x2000;

/** Offset in CS of a record's instruction. */
function ipOf(fn: FunctionBuilder, cpu: Value, at: Value): Value {
  const linear = fn.load('i64', cpu, layout.pageBase).add(fn.load('i64_16u', at, record.offset));
  return linear.sub(fn.load('i64', cpu, csBase));
}

/** The instruction pointer wraps with the code segment's size. */
export function cutIp(fn: FunctionBuilder, cpu: Value, ip: Value): Value {
  const code64 = fn.load('i32', cpu, layout.mode).and(2);
  return fn.select(code64, ip, ip.and(0xffff_ffff));
}

/** The record of an instruction of the present page that has been decoded: not its leader, which would start its translation. */
function recordAt(fn: FunctionBuilder, cpu: Value, offset: Value): Value {
  const code = fn.load('i32', cpu, layout.codePage);
  const entry = fn.load('i32', code.add(offset.shl(2)), record.entriesOffset);
  const at = fn.local('i32', entry.negate());
  fn.if(entry.gtS(0), () => at.set(fn.load('i32', entry, record.link)));
  return at.get();
}

/** Leaves before the instruction at `linear`, since the store of decoded code is full. The budget is in the state. */
function stopForCode(fn: FunctionBuilder, cpu: Value, linear: Value): void {
  fn.store('i64', cpu, cutIp(fn, cpu, linear.sub(fn.load('i64', cpu, csBase))), layout.rip);
  fn.store('i32', cpu, exits.codeFull, layout.exit);
  fn.return();
}

export const control: CorePart = (define, core, host) => {
  define('jump', (fn) => {
    const cpu = fn.parameter(0).get();
    const linear = fn.parameter(1).get();
    const budget = fn.parameter(2);
    const page = linear.and(-4096);
    const entry = fn.load('i32', cpu, layout.tlb).add(
      linear
        .shrU(12 - tlb.entryShift)
        .wrap()
        .and(tlb.entryMask),
    );
    const code = fn.local('i32');
    fn.if(
      fn.load('i64', entry, tlb.executeTag).eq(page),
      () => code.set(fn.load('i32', entry, tlb.code).and(tlb.codeMask)),
      () => {
        fn.store('i32', cpu, budget.get(), layout.budget);
        code.set(fn.call(core.fetch, cpu, linear));
        fn.if(code.get().eqz(), () => {
          fn.store('i64', cpu, cutIp(fn, cpu, linear.sub(fn.load('i64', cpu, csBase))), layout.rip);
          fn.returnCall(core.exception, cpu);
        });
        fn.if(anyBreakpoint(fn), () => {
          fn.if(fn.call(core.stopsAt, cpu, linear), () => {
            fn.store('i64', cpu, cutIp(fn, cpu, linear.sub(fn.load('i64', cpu, csBase))), layout.rip);
            fn.returnCall(core.atBreakpoint, cpu);
          });
          budget.set(fn.load('i32', cpu, layout.budget));
        });
      },
      'likely',
    );
    fn.store('i64', cpu, page, layout.pageBase);
    fn.store('i32', cpu, code.get(), layout.codePage);
    const offset = linear.wrap().and(0xfff);
    const entryAt = code.get().add(offset.shl(2)).add(record.entriesOffset);
    const at = fn.local('i32', leaderAt(fn, cpu, linear.wrap(), entryAt));
    fn.rarely(at.get().leS(0), () => {
      fn.store('i32', cpu, budget.get(), layout.budget);
      at.set(fn.call(host.decode, fn.load('i32', cpu, layout.number), code.get(), offset));
      fn.if(at.get().eqz(), () => stopForCode(fn, cpu, linear));
    });
    noteLeader(fn, cpu, budget.get());
    fn.returnCallIndirect(handlerType, fn.load('i32', at.get(), record.handler), cpu, at.get(), budget.get());
  });

  define('goOn', (fn) => {
    const cpu = fn.parameter(0).get();
    const linear = fn.parameter(1).get();
    const budget = fn.parameter(2).get();
    countTranslated(fn, cpu, budget);
    fn.rarely(budget.leS(0), () => {
      fn.store('i64', cpu, cutIp(fn, cpu, linear.sub(fn.load('i64', cpu, csBase))), layout.rip);
      fn.store('i32', cpu, budget, layout.budget);
      fn.return();
    });
    fn.returnCall(core.jump, cpu, linear, budget);
  });

  define('within', (fn) => {
    const cpu = fn.parameter(0).get();
    const offset = fn.parameter(1).get();
    const budget = fn.parameter(2).get();
    fn.if(budget.gtS(0).and(offset.ltU(4096)), () => {
      const code = fn.load('i32', cpu, layout.codePage);
      const at = fn.local('i32', fn.load('i32', code.add(offset.shl(2)), record.entriesOffset));
      fn.if(at.get().gtS(0), () => {
        fn.returnCallIndirect(handlerType, fn.load('i32', at.get(), record.handler), cpu, at.get(), budget);
      });
    });
    fn.returnCall(core.goOn, cpu, fn.load('i64', cpu, layout.pageBase).add(offset.extendU()), budget);
  });

  define('busy', (fn) => {
    const cpu = fn.parameter(0).get();
    const offset = fn.load('i32_16u', fn.parameter(1).get(), record.offset);
    fn.callAll(host.hot, cpu, fn.load('i32', cpu, layout.codePage), offset);
  });

  define('interpret', (fn) => {
    const cpu = fn.parameter(0).get();
    const offset = fn.parameter(1).get();
    const budget = fn.parameter(2).get();
    countTranslated(fn, cpu, budget);
    const at = recordAt(fn, cpu, offset);
    fn.rarely(budget.leS(0), () => fn.returnCall(core.stop, cpu, at, budget));
    fn.returnCallIndirect(handlerType, fn.load('i32', at, record.handler), cpu, at, budget);
  });

  define('missed', (fn) => {
    const cpu = fn.parameter(0).get();
    const offset = fn.parameter(1).get();
    const budget = fn.parameter(2).get();
    const inTwoPages = fn.parameter(3).get().and(0x1000).ne(0);
    const region = fn.parameter(4).get();
    fn.if(inTwoPages, () => {
      const at = recordAt(fn, cpu, offset);
      const flags = fn.load('i32_8u', at, record.addressFlags);
      fn.if(
        flags.shrU(record.failuresShift).ltU(record.mostFailures),
        () => fn.store('i32_8', at, flags.add(1 << record.failuresShift), record.addressFlags),
        () => fn.callAll(host.givenUp, region),
      );
    });
    fn.returnCall(core.interpret, cpu, offset, budget);
  });

  define('link', (fn) => {
    const cpu = fn.parameter(0).get();
    const from = fn.parameter(1).get();
    const budget = fn.parameter(2).get();
    const code = fn.load('i32', cpu, layout.codePage);
    const offset = fn.load('i32', from, record.immediate);
    const at = fn.local('i32', fn.load('i32', code.add(offset.shl(2)), record.entriesOffset));
    fn.rarely(at.get().leS(0), () => {
      fn.store('i32', cpu, budget, layout.budget);
      at.set(fn.call(host.decode, fn.load('i32', cpu, layout.number), code, offset));
      fn.if(at.get().eqz(), () =>
        stopForCode(fn, cpu, fn.load('i64', cpu, layout.pageBase).add(offset.extendU())),
      );
    });
    fn.store('i32', from, at.get(), record.link);
    noteLeader(fn, cpu, budget);
    fn.returnCallIndirect(handlerType, fn.load('i32', at.get(), record.handler), cpu, at.get(), budget);
  });

  define('crossing', (fn) => {
    const cpu = fn.parameter(0).get();
    const from = fn.parameter(1).get();
    const budget = fn.parameter(2).get();
    fn.store('i32', cpu, budget, layout.budget);
    const linear = fn.load('i64', cpu, layout.pageBase).add(4096);
    const entry = fn.load('i32', cpu, layout.tlb).add(
      linear
        .shrU(12 - tlb.entryShift)
        .wrap()
        .and(tlb.entryMask),
    );
    const next = fn.local('i32');
    fn.if(
      fn.load('i64', entry, tlb.executeTag).eq(linear),
      () => next.set(fn.load('i32', entry, tlb.code).and(tlb.codeMask)),
      () => {
        next.set(fn.call(core.fetch, cpu, linear));
        fn.if(next.get().eqz(), () => fn.returnCall(core.fault, cpu, from));
      },
    );
    const alternative = fn.local('i32', fn.load('i32', from, record.link));
    const at = fn.local('i32');
    fn.block((found) => {
      fn.loop((again) => {
        fn.if(alternative.get(), () => {
          fn.if(fn.load('i32', alternative.get(), record.alternativePage).eq(next.get()), () => {
            at.set(alternative.get().add(record.recordSize));
            found.br();
          });
          alternative.set(fn.load('i32', alternative.get(), record.link));
          again.br();
        });
      });
      const slide = fn.load('i32', cpu, layout.slide);
      at.set(fn.call(host.decodeCrossing, slide, from, fn.load('i32', cpu, layout.codePage), next.get()));
      const here = fn.load('i64', cpu, layout.pageBase).add(fn.load('i64_16u', from, record.offset));
      fn.if(at.get().eqz(), () => stopForCode(fn, cpu, here));
    });
    fn.returnCallIndirect(handlerType, fn.load('i32', at.get(), record.handler), cpu, at.get(), budget);
  });

  define('stop', (fn) => {
    const cpu = fn.parameter(0).get();
    fn.store('i64', cpu, cutIp(fn, cpu, ipOf(fn, cpu, fn.parameter(1).get())), layout.rip);
    fn.store('i32', cpu, fn.parameter(2).get(), layout.budget);
    fn.return();
  });

  define('fault', (fn) => {
    const cpu = fn.parameter(0).get();
    fn.store('i64', cpu, cutIp(fn, cpu, ipOf(fn, cpu, fn.parameter(1).get())), layout.rip);
    fn.returnCall(core.exception, cpu);
  });

  define('exception', (fn) => {
    const cpu = fn.parameter(0).get();
    const vector = fn.load('i32', cpu, layout.faultVector);
    fn.store('i32', cpu, 0, layout.stepping);
    // The host must act first: the exit says how. The instruction is executed again afterwards.
    fn.if(vector.ltS(0), () => fn.return());
    // Traps that the instruction caused before it faulted are lost; executed again, it causes them again.
    fn.store('i32', cpu, 0, layout.pendingDebug);
    const code = fn.load('i32', cpu, layout.faultCode);
    fn.if(vector.eq(exceptions.PF), () => {
      fn.store('i64', cpu, fn.load('i64', cpu, layout.faultAddress), layout.cr2);
    });
    fn.returnCall(core.afterEvent, cpu, fn.call(core.deliver, cpu, vector, code, eventKinds.fault));
  });

  define('atBreakpoint', (fn) => {
    const cpu = fn.parameter(0).get();
    fn.store('i32', cpu, 0, layout.stepping);
    fn.returnCall(core.afterEvent, cpu, fn.call(core.deliver, cpu, exceptions.DB, 0, eventKinds.trap));
  });

  define('afterEvent', (fn) => {
    const cpu = fn.parameter(0).get();
    fn.if(fn.parameter(1).get().eqz(), () => fn.return());
    // A delivery takes a unit of time, and is no instruction.
    fn.store('i32', cpu, fn.load('i32', cpu, layout.budget).sub(1), layout.budget);
    fn.store('i32', cpu, fn.load('i32', cpu, layout.charged).add(1), layout.charged);
    fn.returnCall(core.enter, cpu);
  });

  define('enter', (fn) => {
    const cpu = fn.parameter(0).get();
    fn.if(fn.load('i32', cpu, layout.budget).leS(0), () => fn.return());
    const traps = fn
      .load('i32', cpu, layout.systemFlags)
      .and(TF)
      .or(fn.load('i32', cpu, layout.pendingDebug));
    const owed = fn.load('i32', cpu, layout.owedException);
    fn.if(traps.or(owed).or(fn.load('i32', cpu, layout.interruptPending)), () => {
      fn.if(fn.call(core.attend, cpu).eqz(), () => fn.return());
    });
    const budget = fn.load('i32', cpu, layout.budget);
    const linear = fn.load('i64', cpu, csBase).add(fn.load('i64', cpu, layout.rip));
    const code64 = fn.load('i32', cpu, layout.mode).and(2);
    fn.if(code64.eqz(), () => {
      const limit = fn.load('i64_32u', cpu, csBase + layout.segmentLimit);
      fn.if(fn.load('i64', cpu, layout.rip).gtU(limit), () => {
        fn.store('i32', cpu, exceptions.GP, layout.faultVector);
        fn.store('i32', cpu, 0, layout.faultCode);
        fn.returnCall(core.exception, cpu);
      });
    });
    fn.returnCall(core.jump, cpu, fn.select(code64, linear, linear.and(0xffff_ffff)), budget);
  });

  define('reenter', (fn) => {
    const cpu = fn.parameter(0).get();
    const budget = fn.parameter(1).get();
    countTranslated(fn, cpu, budget);
    fn.store('i32', cpu, budget, layout.budget);
    fn.returnCall(core.enter, cpu);
  });

  define('updateMode', (fn) => {
    const cpu = fn.parameter(0).get();
    const cr0 = fn.load('i32', cpu, layout.cr0);
    const cr4 = fn.load('i32', cpu, layout.cr4);
    const flags = fn.load('i32', cpu, layout.systemFlags);
    const csAttributes = fn.load('i32', cpu, csBase + layout.segmentAttributes);
    const isLong = fn.load('i32', cpu, layout.efer).and(EFER.LMA).ne(0);
    const isProtected = cr0.and(CR0.PE);
    const isVirtual = isProtected.and(flags.and(VM).ne(0));
    const code64 = isLong.and(csAttributes.and(long).ne(0));
    const code32 = csAttributes.and(big).ne(0);
    const mode = fn
      .select(code64, fn.i32(2), code32)
      .or(isProtected.mul(protectedMode))
      .or(isVirtual.mul(virtual8086))
      .or(isLong.mul(longMode));
    const oldSize = fn.load('i32', cpu, layout.mode).and(codeSizeMask);
    fn.store('i32', cpu, mode, layout.mode);
    // The TLB leads to code decoded for the old size.
    fn.if(oldSize.ne(mode.and(codeSizeMask)), () => fn.callAll(core.flushTlb, cpu, 0));
    const unavailable = fn.select(cr0.and(CR0.TS), fn.i32(exceptions.NM), 0);
    const mmxBlocked = fn.select(cr0.and(CR0.EM), fn.i32(exceptions.UD), unavailable);
    fn.store('i32', cpu, mmxBlocked, layout.mmxBlocked);
    const sseBlocked = fn.select(cr4.and(CR4.OSFXSR), mmxBlocked, exceptions.UD);
    fn.store('i32', cpu, sseBlocked, layout.sseBlocked);
    // The privilege level is SS's (SDM vol. 3, 5.5: CS's and SS's agree); 3 in virtual-8086 mode, 0 in real mode.
    const ssLevel = fn
      .load('i32', cpu, layout.segmentOffset(layout.SS) + layout.segmentAttributes)
      .shrU(5)
      .and(3);
    const cpl = fn.select(isVirtual, fn.i32(3), fn.select(isProtected, ssLevel, fn.i32(0)));
    fn.store('i32', cpu, cpl, layout.cpl);
    const checksAlignment = flags.and(AC).ne(0).and(cr0.and(CR0.AM).ne(0));
    const userSet = fn.select(checksAlignment, fn.i32(tlb.alignmentCheckSet), fn.i32(tlb.userSet));
    const userAddress = cpu.add(layout.stateSize).add(userSet.mul(tlb.setOffset(1, 0)));
    fn.store('i32', cpu, fn.select(cpl.eq(3), userAddress, supervisorSetOf(fn, cpu)), layout.tlb);
    fn.return();
  });
};
