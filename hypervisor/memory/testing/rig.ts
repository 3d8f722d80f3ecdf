/** A host's memory with guests that have no CPU: tests read and write their pages as a vCPU would, in rounds. */
import { type AddressSpace, mustWait, satisfied } from '../addressspace.ts';
import { checkLogs } from '../checklog.ts';
import type { FaultCause } from '../faults.ts';
import { HostMemory, pageSize } from '../hostmemory.ts';
import { HostPages, type HostPagesOptions, type MemoryEvent } from '../hostpages.ts';
import { hashPage } from '../pagehash.ts';
import * as slots from '../slots.ts';
import { type DeviceProfile, SwapDevice } from '../swap/device.ts';
import type { SwapFile } from '../swap/file.ts';
import { Swap } from '../swap/swap.ts';

/** Length of a round, in virtual ns. */
export const round = 100_000;

/** A fast disk. */
export const fastDevice: DeviceProfile = {
  readLatency: 90_000,
  writeLatency: 20_000,
  queueDepth: 64,
  bandwidth: 3e9,
};

/** A swap file in memory, which can be spoilt. */
export class MemoryFile implements SwapFile {
  readonly name = 'memory';
  readonly bytes: Uint8Array;
  /** Bytes that the disk has room for. */
  room = Number.POSITIVE_INFINITY;
  /** Calls of each kind. */
  reads = 0;
  writes = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }

  read(position: number, target: Uint8Array): void {
    this.reads++;
    target.set(this.bytes.subarray(position, position + target.length));
  }

  write(position: number, parts: readonly Uint8Array[]): void {
    this.writes++;
    let at = position;
    for (const part of parts) {
      if (at + part.length > this.room) throw new Error('ENOSPC: no space left on device, write');
      this.bytes.set(part, at);
      at += part.length;
    }
  }

  close(): void {}
}

/** What a rig is made of. */
export interface RigOptions extends Partial<HostPagesOptions> {
  /** Frames of the host. */
  readonly frames: number;
  /** Pages of swap; none when 0. */
  readonly swapPages?: number;
  readonly file?: SwapFile;
  readonly device?: DeviceProfile;
}

/** A vCPU that waited: for how long, and why. */
export interface Wait {
  readonly guest: number;
  readonly since: number;
  readonly time: number;
}

/** See the top of this file. */
export class Rig {
  readonly memory: HostMemory;
  readonly pages: HostPages;
  readonly file: MemoryFile;
  readonly waits: Wait[] = [];
  readonly events: MemoryEvent[] = [];
  /** Latencies of faults, in the order in which they were told. */
  readonly faults: { guest: number; cause: FaultCause; latency: number }[] = [];
  /** Guests that were ended, and why. */
  readonly stopped = new Map<AddressSpace, string>();
  time = 0;
  /** Guests that do not run until they are accessed. */
  readonly idle = new Set<AddressSpace>();
  /** Whether kswapd works. */
  kswapd = true;
  #running = false;
  readonly #resumed = new Set<AddressSpace>();

  constructor({ frames, swapPages = 0, file, device = fastDevice, ...options }: RigOptions) {
    this.memory = new HostMemory(frames * pageSize, 16 << 20);
    this.file = new MemoryFile(swapPages * pageSize);
    const swap =
      swapPages === 0
        ? undefined
        : new Swap(this.memory, swapPages, file ?? this.file, new SwapDevice(device), hashPage(this.memory));
    this.pages = new HostPages(
      this.memory,
      {
        costs: { firstTouch: 3600, cowBreak: 4000, swapInCpu: 4000, swapOutCpu: 4000, reclaimPage: 200 },
        swap,
        ...options,
      },
      {
        resume: (space, _cpu, time, since, cause) => {
          this.waits.push({ guest: space.id, since, time });
          this.faults.push({ guest: space.id, cause, latency: time - since });
          this.#resumed.add(space);
        },
        stop: (space, reason) => {
          this.stopped.set(space, reason);
        },
        event: (event) => {
          this.events.push(event);
        },
      },
    );
  }

  /** Adds a guest. */
  guest(pages: number): AddressSpace {
    this.endRound();
    const space = this.pages.add([{ start: 0, length: pages * pageSize }], true);
    space.listener = {
      fault: (cause, latency) => {
        this.faults.push({ guest: space.id, cause, latency });
      },
    };
    return space;
  }

  /** Begins a round, if none is on. */
  beginRound(): void {
    if (this.#running) return;
    this.#running = true;
    const spaces = this.pages.books.spaces.filter(
      (space) => !this.stopped.has(space) && !this.idle.has(space),
    );
    this.pages.beginRound(
      spaces.map((space) => ({ space, cpus: 1 })),
      this.time,
    );
  }

  /** Ends the round that is on, with everything that lies between rounds, and proves logs and books. */
  endRound(): void {
    if (!this.#running) return;
    this.#running = false;
    checkLogs(this.pages.books);
    this.time += round;
    this.pages.endRound(this.time);
    this.pages.serve(this.time, this.time + round);
    if (this.kswapd && this.pages.kswapd.next <= this.time) this.pages.kswapd.run(this.time, round);
    // What TLBs hold is gone, as when a guest begins to run.
    for (const space of this.pages.books.spaces) space.stale = false;
    this.pages.check();
  }

  /** Lets rounds pass. */
  rounds(count: number): void {
    for (let i = 0; i < count; i++) {
      this.beginRound();
      this.endRound();
    }
  }

  /** A guest's vCPU comes to a page, waiting as long as it must. Gives the frame; 0 when the guest ended. */
  access(space: AddressSpace, page: number, write: boolean): number {
    if (this.idle.delete(space)) this.endRound();
    for (let attempt = 0; attempt < 10_000; attempt++) {
      this.beginRound();
      if (this.stopped.has(space)) return 0;
      if (!space.inRound) {
        this.endRound();
        continue;
      }
      const slot = space.slot(page);
      if (satisfied(slot, write)) {
        // As the page walk does.
        space.setSlot(page, slot | slots.accessed | (write ? slots.dirty : 0));
        return space.frameOf(page);
      }
      if (space.fault(0, page, write, this.time) !== mustWait) continue;
      this.#resumed.delete(space);
      while (!this.#resumed.has(space) && !this.stopped.has(space)) this.#pass();
    }
    throw new Error(`page ${page} of guest ${space.id} never came`);
  }

  #pass(): void {
    this.endRound();
    this.beginRound();
    if (this.time > 1e12) throw new Error('a vCPU waits for ever');
  }

  /** Writes a word, and fills the page with what follows from it, so that the page's contents are known by it. */
  write(space: AddressSpace, page: number, word: number): void {
    const frame = this.access(space, page, true);
    if (frame !== 0) fill(this.memory, frame, word);
  }

  /** The same for the upper half of the page alone. */
  writeUpper(space: AddressSpace, page: number, word: number): void {
    const frame = this.access(space, page, true);
    if (frame !== 0) fill(this.memory, frame + pageSize / 2, word, pageSize / 2);
  }

  /** Reads a page: its word. Throws when the page is not wholly what follows from that. */
  read(space: AddressSpace, page: number): number {
    const [lower, upper] = this.readHalves(space, page);
    if (lower !== upper) throw new Error(`the halves of page ${page} are ${lower} and ${upper}`);
    return lower;
  }

  /** Reads a page whose halves may differ. */
  readHalves(space: AddressSpace, page: number): readonly [lower: number, upper: number] {
    const frame = this.access(space, page, false);
    return frame === 0 ? [0, 0] : halvesOf(this.memory, frame);
  }
}

/** Fills a frame, or a part of it, with what follows from a word; 0 gives zeros. */
export function fill(memory: HostMemory, at: number, word: number, bytes = pageSize): void {
  for (let i = 0; i < bytes / 4; i++) {
    memory.u32[at / 4 + i] = Math.imul(word, 2 * (i % (pageSize / 8)) + 1) >>> 0;
  }
}

/** The words that the halves of a frame were filled from. Throws when it holds anything else. */
export function halvesOf(memory: HostMemory, frame: number): readonly [lower: number, upper: number] {
  const half = pageSize / 2;
  const [lower, upper] = [frame, frame + half].map((at) => {
    const word = memory.u32[at / 4]!;
    for (let i = 1; i < half / 4; i++) {
      const wanted = Math.imul(word, 2 * i + 1) >>> 0;
      if (memory.u32[at / 4 + i] !== wanted) throw new Error(`word ${i} of a page is not what was written`);
    }
    return word;
  });
  return [lower!, upper!];
}
