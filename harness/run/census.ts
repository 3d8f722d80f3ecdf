/** Where each page of a guest is, counted. */
import type { AddressSpace } from '../../hypervisor/memory/addressspace.ts';
import type { Books } from '../../hypervisor/memory/books.ts';
import { frameClass } from '../../hypervisor/memory/frames.ts';
import * as slots from '../../hypervisor/memory/slots.ts';

/** Numbers of a guest's pages; every page of its RAM is in one of them. */
export interface Census {
  /** Has a frame of its own. */
  own: number;
  /** Maps a merged frame. */
  shared: number;
  /** Maps the shared zero page. */
  zero: number;
  swapped: number;
  ballooned: number;
  /** Was reported free, and has no frame since. */
  reported: number;
  /** Has nothing: it was never used, or not since it left the balloon. */
  untouched: number;
}

/** Counts a guest's pages. Between rounds. */
export function census(space: AddressSpace, { frames, zeroFrame, memory }: Books): Census {
  const counts: Census = { own: 0, shared: 0, zero: 0, swapped: 0, ballooned: 0, reported: 0, untouched: 0 };
  const first = space.slots >>> 2;
  for (let page = 0; page < space.pageCount; page++) {
    const slot = memory.i32[first + page]!;
    if ((slot & slots.hole) !== 0) continue;
    if ((slot & slots.present) !== 0) {
      const frame = (slot & slots.frameMask) >>> 0;
      if (frame === zeroFrame) counts.zero++;
      else if (frames.classOf(frame) === frameClass.ksm) counts.shared++;
      else counts.own++;
    } else if ((slot & slots.swapped) !== 0) counts.swapped++;
    else if ((slot & slots.ballooned) !== 0) counts.ballooned++;
    else if ((slot & slots.reported) !== 0) counts.reported++;
    else counts.untouched++;
  }
  return counts;
}
