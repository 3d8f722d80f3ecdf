/** Breakpoints and the debug registers (SDM vol. 3, chapter 17). */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Operand, Value } from '../../wasm/value.ts';
import { BD, DR7, fixedDr6, fixedDr7, writableDr6, writableDr7 } from '../debug.ts';
import * as exceptions from '../exceptions.ts';
import { RF } from '../flags.ts';
import * as layout from '../layout.ts';
import { CR4 } from '../mode.ts';
import type { CorePart } from './core.ts';
import { Routine } from './routine.ts';

const DR6_OFFSET = layout.dr + 8 * 6;
const DR7_OFFSET = layout.dr + 8 * 7;

/** Types of breakpoints, as masks of the R/W codes in DR7. */
export const breakpointTypes = { execute: 1, write: 2 | 8, port: 4, read: 8, data: 2 | 8 } as const;

/** Not 0 (i32) when any breakpoint is enabled: without one, nothing costs more than this. */
export function anyBreakpoint(fn: FunctionBuilder): Value {
  return fn.load('i32', fn.parameter(0).get(), DR7_OFFSET).and(0xff);
}

/**
 * Cuts the budget in the state to `left`, so that control comes back to `run` after so many instructions. The start is moved
 * as well: no time passes by it. What is known by the budget's value goes with it. `run` then goes on with what was cut off;
 * whoever wants the whole run to end clears `setAside`.
 */
export function cutBudget(fn: FunctionBuilder, left: Operand): void {
  const cpu = fn.parameter(0).get();
  const old = fn.local('i32', fn.load('i32', cpu, layout.budget));
  const cut = old.get().sub(left);
  fn.if(cut.gtS(0), () => {
    fn.store('i32', cpu, fn.load('i32', cpu, layout.budgetStart).sub(cut), layout.budgetStart);
    fn.store('i32', cpu, left, layout.budget);
    fn.store('i32', cpu, fn.load('i32', cpu, layout.setAside).add(cut), layout.setAside);
    for (const mark of [layout.shadowBudget, layout.resumeBudget]) {
      fn.if(fn.load('i32', cpu, mark).eq(old.get()), () => fn.store('i32', cpu, left, mark));
    }
  });
}

/** Puts the causes of a debug exception into DR6. B0 … B3 tell about this one; the others stay until the program clears them. */
export function setStatus(fn: FunctionBuilder, causes: Value): void {
  const cpu = fn.parameter(0).get();
  fn.store('i32', cpu, fn.load('i32', cpu, DR6_OFFSET).and(~15).or(causes), DR6_OFFSET);
}

/** Makes the breakpoints (B0 … B3) that an access meets a trap behind the present instruction. */
export function trapBehind(fn: FunctionBuilder, causes: Value): void {
  const cpu = fn.parameter(0).get();
  fn.if(causes, () => {
    fn.store('i32', cpu, fn.load('i32', cpu, layout.pendingDebug).or(causes), layout.pendingDebug);
    cutBudget(fn, 1);
  });
}

export const debug: CorePart = (define, core) => {
  define('breakpoints', (fn) => {
    const cpu = fn.parameter(0).get();
    const first = fn.parameter(1).get();
    const last = first.add(fn.parameter(2).get().sub(1).extendU());
    const types = fn.parameter(3).get();
    const control = fn.load('i32', cpu, DR7_OFFSET);
    const found = fn.local('i32', 0);
    for (let i = 0; i < 4; i++) {
      const enabled = control.and(3 << (2 * i));
      const type = control.shrU(16 + 4 * i).and(3);
      fn.if(enabled.ne(0).and(types.shrU(type).and(1)), () => {
        // LEN: 1, 2, 8 or 4 bytes, aligned; 1 for instructions (SDM vol. 3, 17.2.5).
        const length = control.shrU(18 + 4 * i).and(3);
        const rest = fn.select(length.eq(2), fn.i32(7), length).extendU();
        const start = fn.load('i64', cpu, layout.dr + 8 * i).and(rest.not());
        const meets = start.leU(last).and(start.add(rest).geU(first));
        fn.if(meets, () => found.set(found.get().or(1 << i)));
      });
    }
    fn.return(found.get());
  });

  define('stopsAt', (fn) => {
    const cpu = fn.parameter(0).get();
    const linear = fn.parameter(1).get();
    const { execute } = breakpointTypes;
    const inPage = fn.call(core.breakpoints, cpu, linear.and(-4096), 4096, execute);
    fn.if(inPage.eqz(), () => fn.return(0));
    // In such a page instructions are executed one by one, each coming through here.
    const budget = fn.local('i32', fn.load('i32', cpu, layout.budget));
    const inForce = (mark: number) => fn.load('i32', cpu, mark).eq(budget.get());
    const resumes = fn.load('i32', cpu, layout.systemFlags).and(RF).ne(0).and(inForce(layout.resumeBudget));
    const shadowed = fn
      .load('i32', cpu, layout.shadow)
      .eq(layout.shadows.stack)
      .and(inForce(layout.shadowBudget));
    const passes = fn.local('i32', resumes.or(shadowed));
    cutBudget(fn, 1);
    fn.if(passes.get(), () => fn.return(0));
    const met = fn.local('i32', fn.call(core.breakpoints, cpu, linear, 1, execute));
    fn.if(met.get().eqz(), () => fn.return(0));
    setStatus(fn, met.get());
    // A stale RF must not get into the image that is pushed.
    fn.store('i32', cpu, fn.load('i32', cpu, layout.systemFlags).and(~RF), layout.systemFlags);
    fn.return(1);
  });

  define('debugAllowed', (fn) => {
    const r = new Routine(fn, core);
    const number = fn.parameter(1).get();
    // DR4 and DR5 are DR6 and DR7, or nothing with CR4.DE.
    const alias = number.and(6).eq(4);
    r.raiseIf(alias.and(r.state32(layout.cr4).and(CR4.DE).ne(0)), exceptions.UD);
    r.raiseIf(r.state32(layout.cpl), exceptions.GP);
    fn.if(r.state32(DR7_OFFSET).and(DR7.GD), () => {
      r.setState32(DR6_OFFSET, r.state32(DR6_OFFSET).or(BD));
      r.raise(exceptions.DB);
    });
    fn.return(1);
  });

  define('writeDebug', (fn) => {
    const r = new Routine(fn, core);
    const number = fn.parameter(1).get();
    const value = fn.parameter(2).get();
    r.require(fn.call(core.debugAllowed, r.cpu, number));
    // Reserved bits read as they do on processors; the upper halves of DR6 and DR7 must be zero.
    r.raiseIf(number.geU(4).and(value.shrU(32).ne(0)), exceptions.GP);
    fn.if(
      number.ltU(4),
      () => fn.store('i64', r.cpu.add(number.shl(3)), value, layout.dr),
      () =>
        fn.if(
          number.and(1),
          () => r.setState32(DR7_OFFSET, value.wrap().and(writableDr7).or(fixedDr7)),
          () => r.setState32(DR6_OFFSET, value.wrap().and(writableDr6).or(fixedDr6)),
        ),
    );
    // Pages with breakpoints are never in the TLB: see `page` and `fetch` in `access.ts`.
    fn.callAll(core.flushTlb, r.cpu, 0);
    fn.return(1);
  });
};
