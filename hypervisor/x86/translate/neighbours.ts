/** Which code pages are where around code that is executed: what the TLB knows. */
import type { HostMemory } from '../../memory/hostmemory.ts';
import * as layout from '../layout.ts';
import * as tlb from '../tlb.ts';

/** Pages further away than this many bytes are not looked at: distances, and their sums, must fit into 32 bits. */
const farthest = 2 ** 30;
const wordSize = 2 ** 32;

/** Where a vCPU executes. */
export interface Place {
  /** Host address of its present TLB set. */
  readonly set: number;
  /** Linear address of the page: it is canonical, so a number holds it. */
  readonly base: number;
}

/** Where the vCPU executes whose state is at `cpu`. */
export function placeOf({ i32, u32 }: HostMemory, cpu: number): Place {
  const at = cpu + layout.pageBase;
  return { set: u32[(cpu + layout.tlb) >> 2]!, base: i32[(at + 4) >> 2]! * wordSize + u32[at >> 2]! };
}

/** The code page so many bytes further on than a place; 0 when the TLB does not have it. */
export function neighbour({ i32 }: HostMemory, { set, base }: Place, distance: number): number {
  if (Math.abs(distance) >= farthest) return 0;
  const page = base + distance;
  const entry = set + ((page >>> (12 - tlb.entryShift)) & tlb.entryMask);
  const [low, high] = [i32[(entry + tlb.executeTag) >> 2]!, i32[(entry + tlb.executeTag + 4) >> 2]!];
  return low === (page | 0) && high === Math.floor(page / wordSize)
    ? i32[(entry + tlb.code) >> 2]! & tlb.codeMask
    : 0;
}
