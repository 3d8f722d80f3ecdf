/** The machine that holds the guests: its memory, the engine that executes them, and the network between them. */

import { Guest, type GuestOptions } from './guest.ts';
import { FramePool } from './memory/frames.ts';
import { HostMemory } from './memory/hostmemory.ts';
import { EthernetSwitch } from './virtio/net/switch.ts';
import { hashPage } from './memory/pagehash.ts';
import { Engine } from './x86/engine.ts';

/** What a host is made of. */
export interface HostOptions {
  /** Memory for the guests' pages in bytes; a multiple of 64 KiB. */
  readonly memory: number;
  /** Whether hot code is translated; otherwise all is interpreted, with the same results. */
  readonly translate: boolean;
}

/** Room for vCPU state, memory maps and decoded code, in bytes. It is reserved, and used as needed. */
const arenaBytes = 1 << 30;
/** Of it, the store of decoded code. */
const codeBytes = 512 << 20;
/** Length of a round in virtual ns: guests run so long by themselves, then what lies between them is done. */
const round = 100_000;
/** Virtual ns that a frame takes between guests. No less than a round, so that it arrives exactly when it should. */
const networkDelay = round;

/** See the top of this file. */
export class Host {
  readonly memory: HostMemory;
  readonly frames: FramePool;
  readonly engine: Engine;
  readonly guests: Guest[] = [];
  readonly #network = new EthernetSwitch(networkDelay);
  #time = 0;

  constructor({ memory, translate }: HostOptions) {
    this.memory = new HostMemory(memory, arenaBytes);
    this.frames = new FramePool(this.memory);
    this.engine = new Engine(this.memory, hashPage(this.memory), codeBytes, translate);
  }

  /**
   * Lets all guests run up to virtual time `until` (ns), in rounds: in each, every guest runs by itself, in the order of their
   * numbers; then frames between them are exchanged. Guests that have ended stay as they are.
   */
  run(until: number): void {
    while (this.#time < until) {
      this.#time = Math.min(this.#time + round, until);
      for (const guest of this.guests) guest.run(this.#time);
      this.#network.exchange();
    }
  }

  /** Virtual time in ns since the host was switched on. */
  get time(): number {
    return this.#time;
  }

  /** Makes a guest, powered off: `Guest.boot` starts it. */
  addGuest(options: Omit<GuestOptions, 'network'>): Guest {
    const network = { connect: this.#network, station: this.guests.length + 1 };
    const guest = new Guest(this.engine, this.memory, this.frames, { ...options, network });
    this.guests.push(guest);
    return guest;
  }
}
