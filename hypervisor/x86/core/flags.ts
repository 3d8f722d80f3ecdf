/** Flags and conditions of lazy flags whose kind is known only when the code runs. */
import type { FunctionBuilder } from '../../wasm/function.ts';
import { allOf, byKind, carryOf, conditionOf, type LazyFlags } from '../flags.ts';
import * as layout from '../layout.ts';
import type { CorePart } from './core.ts';

function lazyFlags(fn: FunctionBuilder): LazyFlags {
  const cpu = fn.parameter(0).get();
  return {
    op: fn.load('i32', cpu, layout.ccOp),
    dst: fn.load('i64', cpu, layout.ccDst),
    src: fn.load('i64', cpu, layout.ccSrc),
  };
}

export const flags: CorePart = (define) => {
  define('carry', (fn) => {
    const flags = lazyFlags(fn);
    fn.return(byKind(fn, flags, (kind) => carryOf(kind, flags)));
  });
  define('allFlags', (fn) => {
    const flags = lazyFlags(fn);
    fn.return(byKind(fn, flags, (kind) => allOf(kind, flags)));
  });
  for (let code = 0; code < 8; code++) {
    define(`condition${code}`, (fn) => {
      const flags = lazyFlags(fn);
      fn.return(byKind(fn, flags, (kind) => conditionOf(2 * code, kind, flags)));
    });
  }
};
