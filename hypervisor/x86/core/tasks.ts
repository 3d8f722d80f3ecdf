/** Task switches (SDM vol. 3, 8.3). */
import type { Variable } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import { BT } from '../debug.ts';
import * as exceptions from '../exceptions.ts';
import { allFlags, NT, RF, VM } from '../flags.ts';
import * as layout from '../layout.ts';
import { system, writes } from '../memoryaccess.ts';
import { CR0 } from '../mode.ts';
import { presentBit, types } from '../segments.ts';
import type { CorePart } from './core.ts';
import { attributesOf, baseOf, limitOf, Routine, selectorError } from './routine.ts';
import { movePresentStack, push, usePresentStack } from './stack.ts';

/** What switches to a task, the third parameter of `taskSwitch`. */
export const taskCauses = { jump: 0, call: 1, return: 2, gate: 3 } as const;
/** Bits of the fourth parameter: EXT in error codes; an error code to push; RF in the old task's flags. */
export const taskOptions = { external: 1, pushesCode: 2, resume: 4 } as const;

/** Where a TSS has what (SDM vol. 3, figures 8-2 and 8-10). */
interface TssForm {
  /** Bytes of each register's place. */
  readonly size: 2 | 4;
  /** Offset of EIP; EFLAGS and the general registers follow, in the order of their numbers. */
  readonly ip: number;
  /** Offset of ES, the first of `segments`. */
  readonly segments: number;
  readonly segmentCount: number;
  readonly ldt: number;
  /** The lowest limit that a TSS may have. */
  readonly limit: number;
}

const tss32: TssForm = { size: 4, ip: 32, segments: 72, segmentCount: 6, ldt: 96, limit: 0x67 };
const tss16: TssForm = { size: 2, ip: 14, segments: 34, segmentCount: 4, ldt: 42, limit: 0x2b };
/** CR3 and the word with the T bit, which only a 32-bit TSS has. */
const cr3Place = 28;
const trapPlace = 100;

/** Bit 1 of a TSS descriptor's type: busy. */
const busy = 2n << 40n;
/** L0 … L3 and LE of DR7. */
const localBreakpoints = 0x155;

export const tasks: CorePart = (define, core) => {
  define('taskSwitch', (fn) => {
    const cpu = fn.parameter(0).get();
    const selector = fn.parameter(1).get();
    const cause = fn.parameter(2).get();
    const backup = cpu.add(layout.beforeTask);
    fn.copy(backup, cpu, layout.architecturalSize);
    const [options, code] = [fn.parameter(3).get(), fn.parameter(4).get()];
    fn.store('i32', cpu, 0, layout.lateFault);
    const done = fn.local('i32', fn.call(core.switchOnce, cpu, selector, cause, options, code));
    const again = done
      .get()
      .eqz()
      .and(fn.load('i32', cpu, layout.faultVector).ltS(0));
    fn.if(again, () => {
      // The host must act: all is as before, and the switch is made again from its start. What it has written to
      // memory it will write again, but the new task must not be busy already.
      const switched = fn.load('i32', cpu, layout.lateFault);
      fn.if(switched.and(cause.ne(taskCauses.return)), () => {
        const at = fn.load('i64', cpu, layout.gdtr).add(selector.and(0xfff8).add(5).extendU());
        const host = fn.local('i32', fn.call(core.access, cpu, at, 1 | system | writes));
        fn.if(host.get(), () => {
          fn.store('i32_8', host.get(), fn.load('i32_8u', host.get()).and(~2));
          fn.callAll(core.commit, cpu);
        });
        fn.store('i32', cpu, -1, layout.faultVector);
      });
      fn.store('i32', cpu, 0, layout.lateFault);
      fn.copy(cpu, backup, layout.architecturalSize);
      fn.callAll(core.updateMode, cpu);
      fn.callAll(core.flushTlb, cpu, 0);
    });
    fn.return(done.get());
  });

  define('switchOnce', (fn) => {
    const r = new Routine(fn, core);
    const selector = fn.parameter(1).get();
    const cause = fn.parameter(2).get();
    const options = fn.parameter(3).get();
    const isReturn = cause.eq(taskCauses.return);
    const external = options.and(taskOptions.external);
    const error = selectorError(selector).or(external);
    const vector = fn.select(isReturn, fn.i32(exceptions.TS), fn.i32(exceptions.GP));
    r.raiseIf(selector.and(4), vector, error);
    r.raiseIf(fn.call(core.locate, r.cpu, selector, 8).eqz(), vector, error);
    const linear = fn.local('i64', r.state64(layout.result0)).get();
    const descriptor = fn.local('i64', r.read(linear, 8)).get();
    const attributes = attributesOf(descriptor);
    // Available, or busy for IRET: S clear and a type of 1 or 9, with the busy bit as wanted.
    const wanted = fn.select(isReturn, fn.i32(types.tss16Busy), fn.i32(types.tss16Available));
    r.raiseIf(attributes.and(0x17).ne(wanted), vector, error);
    r.raiseIf(attributes.and(presentBit).eqz(), exceptions.NP, error);
    const wide = fn.local('i32', attributes.and(8)).get();
    const lowest = fn.select(wide, fn.i32(tss32.limit), fn.i32(tss16.limit));
    r.raiseIf(limitOf(fn, descriptor).ltU(lowest), exceptions.TS, error);

    const next = readTss(r, baseOf(descriptor), wide);
    const oldDescriptor = r
      .state64(layout.gdtr)
      .add(r.state32(r.segment(layout.TR, layout.segmentSelector)).and(0xfff8).extendU());
    const links = cause.eq(taskCauses.call).or(cause.eq(taskCauses.gate));
    // All that may fault is looked at before anything changes.
    probe(r, linear.add(5), 1);
    probe(r, oldDescriptor.add(5), 1);
    fn.if(links, () => probe(r, baseOf(descriptor), 2));
    const image = r.flags().and(fn.select(isReturn, fn.i32(~(NT | RF)), fn.i32(~RF)));
    const saved = image.or(fn.select(options.and(taskOptions.resume), fn.i32(RF), fn.i32(0)));
    saveTask(r, saved);

    const oldSelector = r.state32(r.segment(layout.TR, layout.segmentSelector));
    fn.if(links, () => r.write(baseOf(descriptor), 2, oldSelector));
    fn.if(links.eqz(), () => {
      const at = fn.local('i64', oldDescriptor.add(5));
      r.write(at.get(), 1, r.read(at.get(), 1).and(~2));
    });
    fn.if(isReturn.eqz(), () => r.write(linear.add(5), 1, descriptor.or(busy).shrU(40).wrap()));
    fn.callAll(core.setSegment, r.cpu, layout.TR, selector, descriptor.or(busy));
    r.setState64(layout.cr0, r.state64(layout.cr0).or(CR0.TS));
    // The local breakpoints are the old task's (SDM vol. 3, 17.2.4).
    r.setState32(layout.dr + 8 * 7, r.state32(layout.dr + 8 * 7).and(~localBreakpoints));
    takeUp(r, next, links);
    // From here on faults are the new task's.
    r.setState32(layout.lateFault, 1);
    fn.if(
      wide.ne(0).and(
        r
          .state32(layout.cr0)
          .and(CR0.PG | 0)
          .ne(0),
      ),
      () => {
        r.require(fn.call(core.writeControl, r.cpu, 3, next.cr3.get().extendU()));
      },
    );
    r.require(fn.call(core.loadTaskSegments, r.cpu, next.ldt.get(), external));
    fn.callAll(core.updateMode, r.cpu);
    fn.if(next.trap.get().and(1), () => {
      r.setState32(layout.pendingDebug, r.state32(layout.pendingDebug).or(BT));
    });
    fn.if(options.and(taskOptions.pushesCode), () => {
      usePresentStack(r, 0);
      const size = fn.select(wide, fn.i32(4), fn.i32(2));
      push(r, fn.parameter(4).get(), size, external);
      movePresentStack(r);
    });
    r.setState32(layout.lateFault, 0);
    fn.return(1);
  });
};

/** What a TSS holds of a task. */
interface Task {
  readonly ip: Variable;
  readonly flags: Variable;
  /** By number. */
  readonly general: readonly Variable[];
  /** ES, CS, SS, DS, FS, GS. */
  readonly segments: readonly Variable[];
  readonly ldt: Variable;
  readonly cr3: Variable;
  readonly trap: Variable;
}

function probe(r: Routine, linear: Value, size: number): void {
  r.require(r.fn.call(r.core.access, r.cpu, linear, size | system | writes));
}

/** Reads the task that a TSS at `base` describes; `wide` is not 0 for a 32-bit one. What a 16-bit one lacks is 0. */
function readTss(r: Routine, base: Value, wide: Value): Task {
  const { fn } = r;
  const make = (count: number) => Array.from({ length: count }, () => fn.local('i32', 0));
  const [ip, flags, ldt, cr3, trap] = make(5) as [Variable, Variable, Variable, Variable, Variable];
  const task: Task = { ip, flags, ldt, cr3, trap, general: make(8), segments: make(6) };
  const read = (form: TssForm) => {
    const set = (variable: Variable, offset: number, size: number) =>
      variable.set(r.read(base.add(offset), size));
    set(ip, form.ip, form.size);
    set(flags, form.ip + form.size, form.size);
    task.general.forEach((variable, i) => {
      set(variable, form.ip + (2 + i) * form.size, form.size);
    });
    task.segments.slice(0, form.segmentCount).forEach((variable, i) => {
      set(variable, form.segments + i * form.size, 2);
    });
    set(ldt, form.ldt, 2);
  };
  fn.if(
    wide,
    () => {
      read(tss32);
      cr3.set(r.read(base.add(cr3Place), 4));
      trap.set(r.read(base.add(trapPlace), 2));
    },
    () => read(tss16),
  );
  return task;
}

/** Writes the present task to its TSS, with the given image of the flags. */
function saveTask(r: Routine, flags: Value): void {
  const { fn } = r;
  const base = r.state64(layout.segmentOffset(layout.TR));
  const write = (form: TssForm) => {
    const { ip, size, segments, segmentCount } = form;
    probe(r, base.add(ip), segments + segmentCount * size - ip);
    r.write(base.add(ip), size, r.state32(layout.nextRip));
    r.write(base.add(ip + size), size, flags);
    for (let i = 0; i < 8; i++) {
      r.write(base.add(ip + (2 + i) * size), size, r.state32(layout.gprOffset(i)));
    }
    for (let i = 0; i < segmentCount; i++) {
      r.write(base.add(segments + i * size), 2, r.state32(r.segment(i, layout.segmentSelector)));
    }
  };
  fn.if(
    r.state32(r.segment(layout.TR, layout.segmentAttributes)).and(8),
    () => write(tss32),
    () => write(tss16),
  );
}

/** Loads the registers of a task. The segment registers get their selectors; what these name is not loaded yet. */
function takeUp(r: Routine, task: Task, nested: Value): void {
  const { fn } = r;
  const flags = task.flags.get().or(fn.select(nested, fn.i32(NT), fn.i32(0)));
  r.setFlags(flags, fn.i32(allFlags));
  r.setState32(layout.resumeBudget, r.state32(layout.budget).sub(1));
  r.setState64(layout.rip, task.ip.get().extendU());
  task.general.forEach((variable, i) => {
    r.setState64(layout.gprOffset(i), variable.get().extendU());
  });
  const isVirtual = task.flags.get().and(VM);
  task.segments.forEach((variable, number) => {
    const selector = variable.get();
    fn.if(
      isVirtual,
      () => r.setSegment(number, selector, selector.extendU().shl(4), 0xffff, 0x00f3),
      () => r.setSegment(number, selector, 0, 0, 0),
    );
  });
  // The privilege level, which SS holds, is that of the new CS.
  fn.if(isVirtual.eqz(), () => {
    const level = task.segments[layout.CS]!.get().and(3);
    r.setState32(r.segment(layout.SS, layout.segmentAttributes), level.shl(5));
  });
  fn.callAll(r.core.updateMode, r.cpu);
}
