/** Records that are no instruction: they cost nothing and only lead on, or raise an exception. */
import type { FunctionBuilder } from '../../wasm/function.ts';
import * as record from '../codepage.ts';
import { type Core, type Host, handlerType } from '../core/core.ts';
import * as layout from '../layout.ts';
import { countTranslated, noteLeader } from '../translatedcount.ts';

/** A handler that belongs to no instruction. */
export interface Special {
  readonly name: string;
  readonly build: (fn: FunctionBuilder, core: Core, host: Host) => void;
}

function parameters(fn: FunctionBuilder) {
  return { cpu: fn.parameter(0).get(), at: fn.parameter(1).get(), budget: fn.parameter(2).get() };
}

/** Goes on at the record named by the link, which may be a leader: code that had been decoded from there before. */
export const goTo: Special = {
  name: 'goTo',
  build: (fn) => {
    const { cpu, at, budget } = parameters(fn);
    noteLeader(fn, cpu, budget);
    const to = fn.load('i32', at, record.link);
    fn.returnCallIndirect(handlerType, fn.load('i32', to, record.handler), cpu, to, budget);
  },
};

/** Counts an arrival, tells the translator of that which makes the code worth its work, and goes on at the instruction. */
export function leader(hotAfter: number): Special {
  return {
    name: 'leader',
    build: (fn, _core, host) => {
      const { cpu, at, budget } = parameters(fn);
      // It is the same where control has come from interpreted code.
      fn.rarely(fn.load('i32', cpu, layout.noted).ne(budget), () => countTranslated(fn, cpu, budget));
      const heat = fn.local('i32', fn.load('i32', at, record.heat).add(1));
      fn.store('i32', at, heat.get(), record.heat);
      fn.if(heat.get().eq(hotAfter), () => {
        const code = fn.load('i32', cpu, layout.codePage);
        fn.callAll(host.hot, cpu, code, fn.load('i32_16u', at, record.offset));
      });
      const to = fn.load('i32', at, record.link);
      fn.returnCallIndirect(handlerType, fn.load('i32', to, record.handler), cpu, to, budget);
    },
  };
}

/** Goes on at the record's offset, which is in the next page. */
export const continueAt: Special = {
  name: 'continueAt',
  build: (fn, core) => {
    const { cpu, at, budget } = parameters(fn);
    const linear = fn.load('i64', cpu, layout.pageBase).add(fn.load('i64_16u', at, record.offset));
    const code64 = fn.load('i32', cpu, layout.mode).and(2);
    fn.returnCall(core.jump, cpu, fn.select(code64, linear, linear.and(0xffff_ffff)), budget);
  },
};

/** An instruction that reaches into the next page. */
export const crossing: Special = {
  name: 'crossing',
  build: (fn, core) => {
    const { cpu, at, budget } = parameters(fn);
    fn.returnCall(core.crossing, cpu, at, budget);
  },
};

/** Bytes that are no instruction. */
export function raise(vector: number): Special {
  return {
    name: `raise${vector}`,
    build: (fn, core) => {
      const { cpu, at, budget } = parameters(fn);
      fn.store('i32', cpu, budget, layout.budget);
      fn.store('i32', cpu, vector, layout.faultVector);
      fn.store('i32', cpu, 0, layout.faultCode);
      fn.returnCall(core.fault, cpu, at);
    },
  };
}
