/** The host's page frames: who has which, and which are free. */
import type { HostMemory } from './hostmemory.ts';
import { pageSize } from './hostmemory.ts';

/** Hands out zeroed frames and takes them back. Frames are named by their host address. */
export class FramePool {
  readonly #memory: HostMemory;
  /** Frames that were given back, last in, first out. */
  readonly #returned: number[] = [];
  /** Frames from here on have never been used, so they are zero. */
  #fresh: number;
  readonly #end: number;

  constructor(memory: HostMemory) {
    this.#memory = memory;
    this.#fresh = memory.framesStart;
    this.#end = memory.framesStart + memory.frameCount * pageSize;
  }

  /** Number of free frames. */
  get free(): number {
    return this.#returned.length + (this.#end - this.#fresh) / pageSize;
  }

  /** A frame of zeros, or 0 when there is none left. */
  allocate(): number {
    const returned = this.#returned.pop();
    if (returned !== undefined) {
      this.#memory.u8.fill(0, returned, returned + pageSize);
      return returned;
    }
    if (this.#fresh === this.#end) return 0;
    const frame = this.#fresh;
    this.#fresh += pageSize;
    return frame;
  }

  /** Takes a frame back. */
  release(frame: number): void {
    this.#returned.push(frame);
  }
}
