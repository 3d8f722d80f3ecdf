/**
 * How the instructions are counted that are executed in translated code (`layout.translated`). Regions lead to regions, and do not count: the
 * interpreter notes the budget wherever it goes on at a leader, which may lead to one, and where control comes back to it, what
 * the budget has fallen by since then is what was executed in between.
 */
import type { FunctionBuilder } from '../wasm/function.ts';
import type { Value } from '../wasm/value.ts';
import * as layout from './layout.ts';

/** Interpreted code goes on at a leader with this budget. */
export function noteLeader(fn: FunctionBuilder, cpu: Value, budget: Value): void {
  fn.store('i32', cpu, budget, layout.noted);
}

/** Control has come from regions, with this budget: counts what they have executed. */
export function countTranslated(fn: FunctionBuilder, cpu: Value, budget: Value): void {
  const executed = fn.load('i32', cpu, layout.noted).sub(budget).extendU();
  fn.store('i64', cpu, fn.load('i64', cpu, layout.translated).add(executed), layout.translated);
}
