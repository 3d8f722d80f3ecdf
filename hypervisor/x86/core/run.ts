/**
 * Running a vCPU: what must happen between instructions. Traps, waiting interrupts and the end of a shadow are found
 * where control leaves the straight line (`attend`) and where the run ends (`run`); code that needs none of them never looks.
 */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import { BS } from '../debug.ts';
import * as exceptions from '../exceptions.ts';
import * as exits from '../exits.ts';
import { IF, RF, TF } from '../flags.ts';
import * as layout from '../layout.ts';
import type { Core, CorePart } from './core.ts';
import { cutBudget, setStatus } from './debug.ts';
import { eventKinds } from './delivery.ts';

export const run: CorePart = (define, core) => {
  define('attend', (fn) => {
    const cpu = fn.parameter(0).get();
    const budget = fn.load('i32', cpu, layout.budget);
    const shadowed = fn.local('i32', fn.load('i32', cpu, layout.shadowBudget).eq(budget));
    const stackShadow = shadowed.get().and(fn.load('i32', cpu, layout.shadow).eq(layout.shadows.stack));
    fn.if(fn.load('i32', cpu, layout.owedException), () => {
      cutBudget(fn, 0);
      fn.return(0);
    });
    fn.if(fn.load('i32', cpu, layout.pendingDebug), () => {
      fn.if(stackShadow.eqz(), () => {
        cutBudget(fn, 0);
        fn.return(0);
      });
      cutBudget(fn, 1);
    });
    const flags = fn.load('i32', cpu, layout.systemFlags);
    const waiting = fn.local('i32', fn.load('i32', cpu, layout.interruptPending));
    const interrupt = waiting.get().and(1).and(flags.and(IF).ne(0));
    const nmi = waiting
      .get()
      .and(2)
      .ne(0)
      .and(fn.load('i32', cpu, layout.nmiBlocked).eqz());
    fn.if(interrupt.or(nmi), () => {
      // In a shadow it is taken behind the next instruction.
      fn.if(
        shadowed.get(),
        () => cutBudget(fn, 1),
        () => cutBudget(fn, 0),
      );
      fn.store('i32', cpu, 0, layout.setAside);
      fn.if(shadowed.get().eqz(), () => fn.return(0));
    });
    fn.if(flags.and(TF), () => {
      fn.store('i32', cpu, 1, layout.stepping);
      cutBudget(fn, 1);
    });
    fn.return(1);
  });

  define('run', (fn) => {
    const cpu = fn.parameter(0).get();
    const budget = fn.local('i32', fn.load('i32', cpu, layout.budget));
    const none = fn.i32(-1);
    const inShadow = fn.load('i32', cpu, layout.shadow);
    fn.store('i32', cpu, fn.select(inShadow, budget.get(), none), layout.shadowBudget);
    const resumes = fn.load('i32', cpu, layout.systemFlags).and(RF);
    fn.store('i32', cpu, fn.select(resumes, budget.get(), none), layout.resumeBudget);
    fn.store('i32', cpu, 0, layout.stepping);
    fn.store('i32', cpu, 0, layout.setAside);
    fn.loop((again) => {
      fn.callAll(core.enter, cpu);
      settle(fn, core);
      payException(fn, core);
      // What was set aside is taken up again.
      const more = fn.local('i32', fn.load('i32', cpu, layout.setAside));
      const goesOn = fn.load('i32', cpu, layout.exit).eq(exits.budget).and(more.get().ne(0));
      fn.if(goesOn, () => {
        giveBack(fn, more.get());
        again.br();
      });
    });
  });
};

/** Puts time that was set aside back into the budget. */
function giveBack(fn: FunctionBuilder, units: Value): void {
  const cpu = fn.parameter(0).get();
  const old = fn.local('i32', fn.load('i32', cpu, layout.budget));
  const start = fn.load('i32', cpu, layout.budgetStart);
  fn.store('i32', cpu, start.add(units), layout.budgetStart);
  fn.store('i32', cpu, old.get().add(units), layout.budget);
  fn.store('i32', cpu, 0, layout.setAside);
  for (const mark of [layout.shadowBudget, layout.resumeBudget]) {
    const at = fn.load('i32', cpu, mark);
    fn.if(at.eq(old.get()), () => fn.store('i32', cpu, at.add(units), mark));
  }
}

/** Delivers the exception that is owed, when the host has nothing to do first. */
function payException(fn: FunctionBuilder, core: Core): void {
  const cpu = fn.parameter(0).get();
  const owed = fn.local('i32', fn.load('i32', cpu, layout.owedException));
  fn.if(
    owed
      .get()
      .ne(0)
      .and(fn.load('i32', cpu, layout.exit).eq(exits.budget)),
    () => {
      fn.store('i32', cpu, 0, layout.owedException);
      const code = fn.load('i32', cpu, layout.owedCode);
      const delivered = fn.call(core.deliver, cpu, owed.get().sub(1), code, eventKinds.fault);
      fn.if(delivered.eqz(), () => fn.store('i32', cpu, owed.get(), layout.owedException));
    },
  );
}

/** Behind a stretch of code: ends what held for one instruction only, and delivers the debug trap that is due. */
function settle(fn: FunctionBuilder, core: Core): void {
  const cpu = fn.parameter(0).get();
  const left = fn.local('i32', fn.load('i32', cpu, layout.budget));
  fn.if(fn.load('i32', cpu, layout.resumeBudget).ne(left.get()), () => {
    fn.store('i32', cpu, fn.load('i32', cpu, layout.systemFlags).and(~RF), layout.systemFlags);
  });
  fn.if(fn.load('i32', cpu, layout.shadowBudget).ne(left.get()), () => {
    fn.store('i32', cpu, 0, layout.shadow);
  });
  // Where the host must make room for code, the instruction has not been executed.
  const executed = fn.load('i32', cpu, layout.exit).ne(exits.codeFull);
  const stepped = fn.load('i32', cpu, layout.stepping).and(executed);
  const step = fn.select(stepped, fn.i32(BS), fn.i32(0));
  const causes = fn.local('i32', fn.load('i32', cpu, layout.pendingDebug).or(step));
  fn.store('i32', cpu, 0, layout.stepping);
  // Behind MOV SS debug traps wait for the next instruction, whose own step they then share.
  const waits = fn.load('i32', cpu, layout.shadow).eq(layout.shadows.stack);
  fn.if(causes.get().ne(0).and(waits.eqz()), () => {
    fn.store('i32', cpu, causes.get(), layout.pendingDebug);
    setStatus(fn, causes.get());
    fn.if(fn.load('i32', cpu, layout.exit).eq(exits.halt), () => {
      fn.store('i32', cpu, exits.budget, layout.exit);
      fn.store('i32', cpu, 0, layout.halted);
    });
    fn.if(fn.call(core.deliver, cpu, exceptions.DB, 0, eventKinds.trap), () => {
      fn.store('i32', cpu, 0, layout.pendingDebug);
    });
  });
}
