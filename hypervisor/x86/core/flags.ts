/** Flags and conditions of lazy flags whose kind is known only when the code runs. */
import type { FunctionBuilder } from '../../wasm/function.ts';
import { allOf, byKind, carryOf, conditionOf, type LazyFlags } from '../flags.ts';
import * as layout from '../layout.ts';
import type { CorePart } from './core.ts';

function given(fn: FunctionBuilder): LazyFlags {
  return { op: fn.parameter(0).get(), dst: fn.parameter(1).get(), src: fn.parameter(2).get() };
}

export const flags: CorePart = (define, core) => {
  define('carryOf', (fn) => {
    const flags = given(fn);
    fn.return(byKind(fn, flags, (kind) => carryOf(kind, flags)));
  });
  define('allFlagsOf', (fn) => {
    const flags = given(fn);
    fn.return(byKind(fn, flags, (kind) => allOf(kind, flags)));
  });
  define('allFlags', (fn) => {
    const cpu = fn.parameter(0).get();
    const [dst, src] = [fn.load('i64', cpu, layout.ccDst), fn.load('i64', cpu, layout.ccSrc)];
    fn.returnCall(core.allFlagsOf, fn.load('i32', cpu, layout.ccOp), dst, src);
  });
  for (let code = 0; code < 8; code++) {
    define(`condition${code}`, (fn) => {
      const flags = given(fn);
      fn.return(byKind(fn, flags, (kind) => conditionOf(2 * code, kind, flags)));
    });
  }
};
