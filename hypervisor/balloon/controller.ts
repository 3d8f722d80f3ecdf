/**
 * Carries a balloon policy out: shows it the host and its guests at its own intervals, passes on what it asks for, and sees whether the
 * guests follow. It acts between rounds.
 */
import { StateError, type Stateful, type StateReader, type StateWriter } from '../state/state.ts';
import { BALLOON_PAGE } from '../virtio/balloon/balloon.ts';
import type { BalloonStats } from '../virtio/balloon/stats.ts';
import type { BalloonPolicy, PolicyGuest, PolicyView } from './policy.ts';
import type { BalloonBounds } from './settings.ts';
import { BalloonWatch } from './watch.ts';

/** A guest's balloon as the controller reaches it: the device of `virtio/balloon/` is one. */
export interface Balloon {
  /** Pages of 4 KiB that are asked for, and that are in it. */
  readonly target: number;
  readonly actual: number;
  readonly stats: BalloonStats | undefined;
  /** Whether a driver serves it. */
  readonly driven: boolean;
  setTarget(pages: number): void;
}

/** A guest under a policy. */
export interface BalloonMember {
  readonly id: number;
  /** Bytes of RAM. */
  readonly memory: number;
  readonly bounds: BalloonBounds;
  readonly balloon: Balloon;
}

/** A guest's balloon came no nearer to its target for longer than may be, or does so again. Sizes are in bytes. */
export interface BalloonEvent {
  readonly event: 'balloon stalled' | 'balloon follows';
  /** Its id. */
  readonly guest: number;
  /** What was asked to be left to it, and what is. */
  readonly target: number;
  readonly size: number;
  /** When it last came nearer, in virtual ns. */
  readonly since: number;
  /** Whether it has a driver for its balloon. */
  readonly driven: boolean;
}

/** What the controller needs of the host. */
export interface BalloonHost {
  /** Memory for guests' pages, in bytes. */
  readonly memory: number;
  /** Bytes that are free of it now. */
  free(): number;
  /** Takes events; called between rounds. */
  onEvent(event: BalloonEvent, now: number): void;
}

/** Virtual ns between looks whether guests follow. */
const watchInterval = 1_000_000_000;
/** Virtual ns for which a balloon may come no nearer to its target: as long as squeezed of XCP-ng waits for a guest. */
export const balloonPatience = 5_000_000_000;

interface Entry {
  readonly member: BalloonMember;
  readonly watch: BalloonWatch;
  /** The size that its owner has set. */
  size: number;
}

/** See the top of this file. */
export class BalloonController implements Stateful {
  readonly policy: BalloonPolicy;
  readonly #host: BalloonHost;
  /** In the order of their ids. */
  readonly #entries: Entry[] = [];
  #nextSample: number;
  #nextDecision: number;
  #nextWatch = watchInterval;

  constructor(policy: BalloonPolicy, host: BalloonHost) {
    this.policy = policy;
    this.#host = host;
    this.#nextSample = policy.sampleInterval;
    this.#nextDecision = policy.decisionInterval;
  }

  /** Takes a guest under the policy, at virtual time `now`. */
  add(member: BalloonMember, now: number): void {
    const size = member.bounds.size ?? member.memory;
    const entry = { member, watch: new BalloonWatch(now, balloonPatience), size };
    const before = this.#entries.findIndex((each) => each.member.id > member.id);
    this.#entries.splice(before < 0 ? this.#entries.length : before, 0, entry);
  }

  /** Forgets a guest. */
  remove(id: number): void {
    const index = this.#entries.findIndex(({ member }) => member.id === id);
    if (index >= 0) this.#entries.splice(index, 1);
  }

  /** A guest's owner sets its size, in bytes; what comes of it is the policy's business. */
  configure(id: number, size: number): void {
    this.#entry(id).size = size;
  }

  /** When it acts next, in virtual ns. */
  get next(): number {
    return this.#entries.length === 0
      ? Number.POSITIVE_INFINITY
      : Math.min(this.#nextSample, this.#nextDecision, this.#nextWatch);
  }

  /** Does what is due at virtual time `now`. What was due while there was no guest is left out. */
  run(now: number): void {
    const watch = now >= this.#nextWatch;
    const sample = now >= this.#nextSample;
    const decide = now >= this.#nextDecision;
    if (watch) this.#watch(now);
    if (sample) this.policy.sample(this.#view(now));
    if (decide) {
      const view = this.#view(now);
      this.policy.decide(view, (guest, size) => this.#ask(guest.id, size));
    }
    if (watch) this.#nextWatch = following(this.#nextWatch, watchInterval, now);
    if (sample) this.#nextSample = following(this.#nextSample, this.policy.sampleInterval, now);
    if (decide) this.#nextDecision = following(this.#nextDecision, this.policy.decisionInterval, now);
  }

  /** Whether a guest approaches what is asked of it. */
  follows(id: number): boolean {
    return this.#entry(id).watch.follows;
  }

  #entry(id: number): Entry {
    const entry = this.#entries.find(({ member }) => member.id === id);
    if (entry === undefined) throw new Error(`guest ${id} is under no balloon policy`);
    return entry;
  }

  #ask(id: number, size: number): void {
    const { member } = this.#entry(id);
    if (Number.isNaN(size))
      throw new Error(`policy ${this.policy.name} asks guest ${id} for no number of bytes`);
    const { minimum, maximum } = limits(member);
    const bounded = Math.min(maximum, Math.max(minimum, size));
    // Whole pages: the guest keeps what is left of one.
    member.balloon.setTarget(Math.floor((member.memory - bounded) / BALLOON_PAGE));
  }

  #view(now: number): PolicyView {
    return {
      now,
      memory: this.#host.memory,
      free: this.#host.free(),
      guests: this.#entries.map(({ member, watch, size }): PolicyGuest => {
        const { target, actual, stats } = member.balloon;
        const { minimum, maximum } = limits(member);
        return {
          id: member.id,
          minimum,
          maximum,
          configured: Math.min(maximum, Math.max(minimum, size)),
          size: left(member, actual),
          target: left(member, target),
          stats: stats?.values,
          statsAge: stats === undefined ? Number.POSITIVE_INFINITY : now - stats.time,
          follows: watch.follows,
        };
      }),
    };
  }

  #watch(now: number): void {
    for (const { member, watch } of this.#entries) {
      const { target, actual, driven } = member.balloon;
      const change = watch.look(now, target, actual);
      if (change === undefined) continue;
      this.#host.onEvent(
        {
          event: change === 'stalled' ? 'balloon stalled' : 'balloon follows',
          guest: member.id,
          target: left(member, target),
          size: left(member, actual),
          since: watch.since,
          driven,
        },
        now,
      );
    }
  }

  saveState(to: StateWriter): void {
    to.number(this.#nextSample);
    to.number(this.#nextDecision);
    to.number(this.#nextWatch);
    to.part(this.policy.name, this.policy);
    to.list(this.#entries, ({ member, watch, size }) => {
      to.u32(member.id);
      to.number(size);
      watch.saveState(to);
    });
  }

  /** Takes up a state with the same policy, whose guests are all here; others are forgotten. */
  loadState(from: StateReader): void {
    this.#nextSample = from.number();
    this.#nextDecision = from.number();
    this.#nextWatch = from.number();
    from.part(this.policy.name, this.policy);
    const present = from.list(() => {
      const id = from.u32();
      const entry = this.#entries.find(({ member }) => member.id === id);
      if (entry === undefined)
        throw new StateError(`the state has guest ${id} under a balloon policy, which is not here`);
      entry.size = from.number();
      entry.watch.loadState(from);
      return entry;
    });
    this.#entries.splice(0, this.#entries.length, ...present);
  }
}

/** The multiple of an interval behind `now`, counted on from one that has passed. */
function following(passed: number, interval: number, now: number): number {
  return passed + interval * (Math.floor((now - passed) / interval) + 1);
}

/** Bytes that are left to a guest when so many pages are in its balloon. */
function left(member: BalloonMember, pages: number): number {
  return Math.max(0, member.memory - pages * BALLOON_PAGE);
}

function limits({ memory, bounds }: BalloonMember): { minimum: number; maximum: number } {
  return { minimum: Math.min(bounds.minimum, memory), maximum: memory };
}
