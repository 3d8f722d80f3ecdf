/**
 * The host's books as a guest on a worker sees them in a round: the tables that nobody changes then. What lies outside of rounds is done by
 * the host's thread.
 */
import type { SpaceBooks } from '../memory/addressspace.ts';
import { type FrameTables, frameTables } from '../memory/frames.ts';
import { type HostMemory, pageSize } from '../memory/hostmemory.ts';
import type { PageHash } from '../memory/pagehash.ts';
import { readFileAt } from '../memory/swap/file.ts';
import { swapTables } from '../memory/swap/slots.ts';
import { type SharedSwap, SwapReader } from '../memory/swap/swap.ts';

/** Reads the swap of a host that another thread has made. */
export function swapReader(memory: HostMemory, swap: SharedSwap, hash: PageHash): SwapReader {
  const { name, descriptor, size, tables } = swap;
  const { frames, checksums } = swapTables(memory, size, tables);
  const slots = {
    frameOf: (slot: number) => frames[slot]!,
    checksum: (slot: number) => checksums[slot]!,
  };
  const file = {
    name,
    read: (position: number, target: Uint8Array) => readFileAt(descriptor, position, target),
  };
  return new SwapReader(memory, slots, file, hash);
}

/** See the top of this file. */
export class GuestBooks implements SpaceBooks {
  readonly memory: HostMemory;
  readonly zeroFrame: number;
  readonly swap: SwapReader | undefined;
  readonly frames: SpaceBooks['frames'];

  /**
   * @param memory gives the guest's own room
   * @param tables host address of the tables of frames
   */
  constructor(memory: HostMemory, tables: number, zeroFrame: number, swap: SwapReader | undefined) {
    this.memory = memory;
    this.zeroFrame = zeroFrame;
    this.swap = swap;
    const { free, classes, ready }: FrameTables = frameTables(memory, tables);
    const index = (frame: number) => (frame - memory.framesStart) / pageSize;
    this.frames = {
      inStack: (place) => free[place]!,
      classOf: (frame) => classes[index(frame)]!,
      readyAt: (frame) => ready[index(frame)]!,
    };
  }

  take(): number {
    return this.#refuse();
  }

  giveBack(): void {
    this.#refuse();
  }

  written(): void {
    this.#refuse();
  }

  apply(): void {
    this.#refuse();
  }

  #refuse(): never {
    throw new Error('a guest’s memory is changed outside of a round on a worker thread');
  }
}
