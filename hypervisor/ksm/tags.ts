/** The ksm frames of a memory by their tags, for a scanner that takes up a state. */
import type { MergeMemory } from '../memory/merge.ts';
import * as slots from '../memory/slots.ts';

/** Calls `visit` with the tag of each ksm frame, once for each page that maps it. */
export function eachTag(memory: MergeMemory, visit: (tag: number, frame: number) => void): void {
  const { i32 } = memory.memory;
  for (const { pageCount, slots: first } of memory.spaces) {
    for (let page = 0; page < pageCount; page++) {
      const slot = i32[(first >> 2) + page]!;
      if ((slot & (slots.present | slots.writable)) !== slots.present) continue;
      const frame = (slot & slots.frameMask) >>> 0;
      const tag = memory.tagOf(frame);
      if (tag !== 0) visit(tag, frame);
    }
  }
}
