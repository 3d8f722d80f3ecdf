/**
 * Where the leaders are that jumps went to lately. A code page has an entry for each byte, so those that are in use lie far apart, each
 * in a cache line of its own and few in a page of memory. This table has the leaders together, by the linear addresses of jumps:
 * a jump mostly finds its leader here. The leader says which entry names it (`leaderOf`), so a slot may hold any leader there is; when leaders
 * are no more, as a store of decoded code is emptied, so is the table.
 */
import type { FunctionBuilder } from '../wasm/function.ts';
import type { Value } from '../wasm/value.ts';
import * as codepage from './codepage.ts';
import * as layout from './layout.ts';

/** log2 of its number of slots. */
const slotBits = 15;
/** Slots, of 4 bytes: a leader's host address, or 0. */
const slotShift = 2;
export const leaderCacheBytes = 1 << (slotBits + slotShift);

/** Multiplier of Fibonacci hashing (Donald E. Knuth, The Art of Computer Programming, vol. 3, 6.4): 2^32 divided by the golden ratio. */
export const leaderCacheMultiplier = 0x9e3779b1 | 0;
/** Of the product, the bits that are an offset in the table. */
export const leaderCacheShift = 32 - slotBits - slotShift;
export const leaderCacheMask = leaderCacheBytes - (1 << slotShift);

/**
 * The leader that a code page's entry names; not above 0 when it names none.
 * @param linear low 32 bits of the linear address that is jumped to
 * @param entry the entry's host address
 */
export function leaderAt(fn: FunctionBuilder, cpu: Value, linear: Value, entry: Value): Value {
  const slot = fn
    .load('i32', cpu, layout.leaderCache)
    .add(linear.mul(leaderCacheMultiplier).shrU(leaderCacheShift).and(leaderCacheMask));
  const leader = fn.local('i32', fn.load('i32', slot));
  fn.rarely(fn.load('i32', leader.get(), codepage.leaderOf).ne(entry), () => {
    leader.set(fn.load('i32', entry));
    fn.if(leader.get().gtS(0), () => fn.store('i32', slot, leader.get()));
  });
  return leader.get();
}
