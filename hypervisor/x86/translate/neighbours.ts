/** Which code pages are where around the one that executes: what the TLB knows. */
import type { HostMemory } from '../../memory/hostmemory.ts';
import * as layout from '../layout.ts';
import * as tlb from '../tlb.ts';

/** Pages further away than this many bytes are not looked at: distances, and their sums, must fit into 32 bits. */
const farthest = 2 ** 30;

/** The code pages in the present TLB set of the vCPU whose state is at `cpu`, by distance in bytes from the page that executes. */
export function neighbours({ i32, u32 }: HostMemory, cpu: number): Map<number, number> {
  /** An address as a number: it is canonical, so it fits. */
  const address = (at: number) => i32[(at + 4) >> 2]! * 0x1_0000_0000 + u32[at >> 2]!;
  const base = address(cpu + layout.pageBase);
  const set = u32[(cpu + layout.tlb) >> 2]!;
  const list = (cpu + layout.stateSize + tlb.size) >> 2;
  const end = list + u32[(cpu + layout.tlbUsed) >> 2]!;
  const found = new Map<number, number>();
  for (let place = list; place < end; place++) {
    const entry = u32[place]!;
    if (entry < set || entry >= set + tlb.setSize || i32[(entry + tlb.executeTag) >> 2] === -1) continue;
    const distance = address(entry + tlb.executeTag) - base;
    if (Math.abs(distance) < farthest) found.set(distance, i32[(entry + tlb.code) >> 2]! & tlb.codeMask);
  }
  return found;
}
