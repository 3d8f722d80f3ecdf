/** Toy guests on a toy host, for tests of policies. */
import type { BalloonStats } from '../../virtio/balloon/stats.ts';
import type { Balloon, BalloonEvent, BalloonMember } from '../controller.ts';
import { BalloonController } from '../controller.ts';
import type { BalloonPolicy } from '../policy.ts';
import { type BalloonBounds, defaultBounds } from '../settings.ts';

const PAGE = 4096;
export const MIB = 1 << 20;
export const SECOND = 1_000_000_000;

/** How a toy guest behaves. */
export interface ToyOptions {
  readonly memory: number;
  /** Bytes that it needs at a time (ns). It never gives them to the balloon. */
  readonly used: (now: number) => number;
  /** Bytes a second by which its balloon follows. */
  readonly speed?: number;
  /** Whether it answers requests for statistics. */
  readonly answers?: boolean;
  readonly bounds?: Partial<BalloonBounds>;
}

/** A guest that uses memory and has a balloon, without anything else of a machine. */
export class ToyGuest implements Balloon, BalloonMember {
  readonly id: number;
  readonly memory: number;
  readonly bounds: BalloonBounds;
  readonly balloon: Balloon = this;
  readonly driven = true;
  target = 0;
  actual = 0;
  stats: BalloonStats | undefined;
  readonly #options: ToyOptions;

  constructor(id: number, options: ToyOptions) {
    this.id = id;
    this.memory = options.memory;
    this.bounds = { ...defaultBounds(options.memory), ...options.bounds };
    this.#options = options;
  }

  setTarget(pages: number): void {
    this.target = pages;
  }

  /** Bytes left to it. */
  get size(): number {
    return this.memory - this.actual * PAGE;
  }

  /** Lets `duration` ns pass up to `now`. */
  advance(now: number, duration: number): void {
    const { speed = 256 * MIB, used, answers = true } = this.#options;
    const step = Math.floor((speed * duration) / SECOND / PAGE);
    const most = Math.max(0, Math.floor((this.memory - used(now)) / PAGE));
    const aim = Math.min(this.target, most);
    this.actual += Math.sign(aim - this.actual) * Math.min(step, Math.abs(aim - this.actual));
    if (answers) {
      const free = Math.max(0, this.size - used(now));
      this.stats = { time: now, values: { free_memory: free, total_memory: this.size } };
    }
  }
}

/** A host of toy guests, which has free what they have not. */
export class ToyHost {
  readonly memory: number;
  readonly guests: readonly ToyGuest[];
  readonly events: (BalloonEvent & { readonly now: number })[] = [];
  readonly controller: BalloonController;
  time = 0;

  constructor(memory: number, policy: BalloonPolicy, guests: readonly ToyOptions[]) {
    this.memory = memory;
    this.guests = guests.map((options, id) => new ToyGuest(id + 1, options));
    this.controller = new BalloonController(policy, {
      memory,
      free: () => this.free,
      onEvent: (event, now) => this.events.push({ ...event, now }),
    });
    for (const guest of this.guests) this.controller.add(guest, 0);
  }

  get free(): number {
    return Math.max(0, this.memory - this.guests.reduce((sum, guest) => sum + guest.size, 0));
  }

  /** Lets `duration` ns pass, in steps of a tenth of a second. */
  run(duration: number): void {
    const step = SECOND / 10;
    for (const end = this.time + duration; this.time < end; ) {
      this.time += step;
      for (const guest of this.guests) guest.advance(this.time, step);
      if (this.time >= this.controller.next) this.controller.run(this.time);
    }
  }
}
