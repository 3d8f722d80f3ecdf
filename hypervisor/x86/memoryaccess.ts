/**
 * A memory access as code: the TLB's fast path in line, everything else behind one call of the core.
 *
 * The slow path gives the host address where the bytes are, or 0 when the access faults. For device registers and for
 * accesses across a page end that address is the state's scratch area: a read has its bytes there; a write goes there
 * first and is then committed.
 */
import type { Value } from '../wasm/value.ts';
import * as layout from './layout.ts';
import type { Semantics } from './semantics.ts';
import * as tlb from './tlb.ts';

/** Read, write, or read and write. */
export type Access = 'r' | 'w' | 'rw';

/** The kind of an access as the slow path takes it: size in the low byte, then these bits. */
export const writes = 0x100;
/** Together with `writes`: the old contents are wanted as well. */
export const reads = 0x200;
/** In the stack segment: a non-canonical address is #SS, not #GP. */
export const stack = 0x400;
/** An implicit access of the system (descriptor tables, TSS): as supervisor, whatever the privilege level. */
export const system = 0x800;

/** An access as at a privilege level below 3, which the processor is about to take: the stack of an inner level. */
export const supervisor = 0x1000;

/** Where an access goes. */
export interface Probe {
  /** Host address (i32). */
  readonly host: Value;
  /** 1 when the slow path was taken (i32); undefined for reads, and where only plain memory is accessed. */
  readonly slow: Value | undefined;
}

/** Emits the search for an access of `size` bytes at `linear` (i64). Faults when it may not be made. */
export function probe(
  c: Semantics,
  linear: Value,
  size: number,
  access: Access,
  inStack: Value | boolean,
): Probe {
  const { fn } = c;
  const host = fn.local('i32');
  const slow = access === 'r' ? undefined : fn.local('i32', 0);
  const entry = tlbEntry(c, linear);
  const tag = fn.load('i64', entry, access === 'r' ? tlb.readTag : tlb.writeTag);
  const page = linear.add(size - 1).and(-4096);
  fn.if(
    tag.eq(page),
    () => host.set(linear.wrap().add(fn.load('i32', entry, tlb.addend))),
    () => {
      let kind: Value = fn.i32(size | (access === 'r' ? 0 : access === 'w' ? writes : writes | reads));
      if (inStack === true) kind = kind.or(stack);
      else if (inStack !== false) kind = kind.or(inStack);
      c.beforeCall();
      const found = fn.call(c.core.access, c.cpu, linear, kind);
      c.afterCall();
      host.set(found);
      fn.if(host.get().eqz(), () => c.fault());
      slow?.set(1);
    },
    'likely',
  );
  return { host: host.get(), slow: slow?.get() };
}

/** Address of the TLB entry for a linear address. */
export function tlbEntry(c: Semantics, linear: Value): Value {
  return c.state32(layout.tlb).add(
    linear
      .shrU(12 - tlb.entryShift)
      .wrap()
      .and(tlb.entryMask),
  );
}

/** Behind the store to a probed address: completes a write that the slow path took. */
export function commitPending(c: Semantics, target: Probe): void {
  if (target.slow === undefined) return;
  c.fn.rarely(target.slow, () => {
    c.beforeCall();
    c.fn.callAll(c.core.commit, c.cpu);
    c.afterCall();
  });
}
