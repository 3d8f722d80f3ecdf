/**
 * The lists by which the host finds frames that it may take back: frames in use, and frames that have not been used for a while
 * (active and inactive). Each list is in order: frames come to its front and are looked at from its end.
 */
import type { HostMemory } from './hostmemory.ts';

/** Numbers of the lists. A frame on none is free, never taken back, or busy. */
export const lists = { none: 0, active: 1, inactive: 2 } as const;

/** One of {@link lists}. */
export type List = (typeof lists)[keyof typeof lists];

/** See the top of this file. Frames are named by their index, 0 … count − 1. */
export class FrameLists {
  /** The frame's list, and its neighbours' indices + 1. */
  readonly #list: Uint8Array;
  readonly #toFront: Uint32Array;
  readonly #toEnd: Uint32Array;
  readonly #front: [number, number, number] = [0, 0, 0];
  readonly #end: [number, number, number] = [0, 0, 0];
  readonly #length: [number, number, number] = [0, 0, 0];

  constructor(memory: HostMemory, count: number) {
    const words = () => {
      const at = memory.allocate(4 * count) / 4;
      return memory.u32.subarray(at, at + count);
    };
    this.#toFront = words();
    this.#toEnd = words();
    const at = memory.allocate(count);
    this.#list = memory.u8.subarray(at, at + count);
  }

  /** Number of frames on a list. */
  length(list: List): number {
    return this.#length[list];
  }

  /** The list that a frame is on. */
  of(frame: number): List {
    return this.#list[frame] as List;
  }

  /** The frame at the end of a list, −1 when it is empty. */
  last(list: List): number {
    return this.#end[list] - 1;
  }

  /** The frame before another in its list, towards the front; −1 at the front. */
  before(frame: number): number {
    return this.#toFront[frame]! - 1;
  }

  /** Puts a frame at the front of a list, off the one that it is on. */
  put(frame: number, list: List): void {
    this.take(frame);
    if (list === lists.none) return;
    const first = this.#front[list];
    this.#list[frame] = list;
    this.#toFront[frame] = 0;
    this.#toEnd[frame] = first;
    if (first === 0) this.#end[list] = frame + 1;
    else this.#toFront[first - 1] = frame + 1;
    this.#front[list] = frame + 1;
    this.#length[list]++;
  }

  /** Takes a frame off its list, if it is on one. */
  take(frame: number): void {
    const list = this.of(frame);
    if (list === lists.none) return;
    const before = this.#toFront[frame]!;
    const after = this.#toEnd[frame]!;
    if (before === 0) this.#front[list] = after;
    else this.#toEnd[before - 1] = after;
    if (after === 0) this.#end[list] = before;
    else this.#toFront[after - 1] = before;
    this.#list[frame] = lists.none;
    this.#length[list]--;
  }
}
