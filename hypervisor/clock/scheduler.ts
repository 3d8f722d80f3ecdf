/**
 * The host's CPU scheduler: who has a physical CPU in a round.
 *
 * What competes are *entities*: the vCPUs of all guests and the host's own threads. Between rounds it is known
 * who wants to execute, and a decision holds for the whole round, so that guests can execute it independently of each other.
 *
 * Fairness is by virtual runtime, as in Linux's fair classes: what an entity has executed, divided by its weight. Those who have
 * least have a CPU, but one keeps its CPU until somebody who waits is behind by more than the granularity. Nobody can
 * use more than one CPU, so a weight that would give more is cut to that (Chandra et al., Surplus Fair Scheduling, OSDI
 * 2000, "infeasible weights"); without it the virtual runtimes of the others would run away, and whoever came later
 * would starve them.
 *
 * Sleepers get the CPUs that are left over, the earliest expected to wake first, and execute from the instant they wake. Is none left
 * over, a waking entity waits for the next decision, less than a round, where what it did not use while it slept puts it before the others.
 *
 * Time that chosen entities leave unused while others wait is not lost to the length of a round: as soon as it makes up a
 * round, one entity more than there are CPUs has its turn; what even that cannot use up is for the host's own threads, which work when the
 * round is over ({@link Scheduler.spare}): else they would wait for ever behind vCPUs that wake often and wait for swap. In all, no more is
 * executed than the CPUs have.
 */
import { StateError, type Stateful, type StateReader, type StateWriter } from '../state/state.ts';

/** An entity's weight when nothing else is said, as cgroup v2's `cpu.weight` has it; 1 to 10,000 are possible. */
export const DEFAULT_WEIGHT = 100;
const LARGEST_WEIGHT = 10_000;

/**
 * How far (ns) the one who has a CPU may be ahead of one who waits. Two entities on one CPU take turns of twice this, 3 ms: the base
 * slice of Linux's fair scheduler on eight CPUs.
 */
export const GRANULARITY = 1_500_000;
/** How far behind the others (ns) one who wakes may be, however long it slept: far enough to have a CPU at once. */
export const SLEEPER_CREDIT = 2 * GRANULARITY;

/** What an entity can do in the next round. */
const NOTHING = 0;
const SLEEP = 1;
const EXECUTE = 2;

/** See the top of this file. */
export class Scheduler implements Stateful {
  readonly cpus: number;
  readonly #round: number;
  /** Entities 0 … count − 1 are there or were. */
  #count = 0;
  /** 0 where an entity was removed. */
  #weight = new Float64Array(16);
  #state = new Uint8Array(16);
  #virtualRuntime = new Float64Array(16);
  #executed = new Float64Array(16);
  #hasCpu = new Uint8Array(16);
  /** When a sleeper expects to wake. */
  #wake = new Float64Array(16);
  /** The candidates that come first, and their keys. */
  readonly #first: Int32Array;
  readonly #keys: Float64Array;
  /** The least virtual runtime of those who want to execute; never decreases. */
  #floor = 0;
  /** Whether more want to execute than there are CPUs. */
  #contended = false;
  /** Weight that gives a whole CPU; more does not count. */
  #cap = Number.POSITIVE_INFINITY;
  /** CPU time left unused in rounds in which somebody waited, in ns. */
  #unused = 0;

  /**
   * @param cpus physical CPUs
   * @param round length of a round in virtual ns
   */
  constructor(cpus: number, round: number) {
    if (!Number.isInteger(cpus) || cpus < 1) {
      throw new RangeError(`a host has 1 CPU or more, a whole number, not ${cpus}`);
    }
    this.cpus = cpus;
    this.#round = round;
    this.#first = new Int32Array(2 * cpus);
    this.#keys = new Float64Array(2 * cpus);
  }

  /** Adds an entity and gives its number. The number of one that was removed is given again. */
  add(weight = DEFAULT_WEIGHT): number {
    if (!Number.isInteger(weight) || weight < 1 || weight > LARGEST_WEIGHT) {
      throw new RangeError(`a CPU weight is a whole number from 1 to ${LARGEST_WEIGHT}, not ${weight}`);
    }
    let entity = 0;
    while (entity < this.#count && this.#weight[entity] !== 0) entity++;
    if (entity === this.#count) this.#makeRoom(++this.#count);
    this.#weight[entity] = weight;
    this.#state[entity] = NOTHING;
    this.#virtualRuntime[entity] = this.#floor;
    this.#executed[entity] = 0;
    this.#hasCpu[entity] = 0;
    this.#wake[entity] = Number.POSITIVE_INFINITY;
    return entity;
  }

  /** Takes an entity out. */
  remove(entity: number): void {
    this.#weight[entity] = 0;
    this.rests(entity);
    this.#hasCpu[entity] = 0;
  }

  #makeRoom(count: number): void {
    if (count <= this.#weight.length) return;
    const length = 2 * this.#weight.length;
    const longer = <A extends Float64Array | Uint8Array>(grown: A, old: A): A => {
      grown.set(old);
      return grown;
    };
    this.#weight = longer(new Float64Array(length), this.#weight);
    this.#state = longer(new Uint8Array(length), this.#state);
    this.#virtualRuntime = longer(new Float64Array(length), this.#virtualRuntime);
    this.#executed = longer(new Float64Array(length), this.#executed);
    this.#hasCpu = longer(new Uint8Array(length), this.#hasCpu);
    this.#wake = longer(new Float64Array(length), this.#wake);
  }

  // What each entity can do in the next round, said before the decision; it holds until something else is said.

  /** The entity has something to execute. */
  wantsCpu(entity: number): void {
    if (this.#state[entity] !== EXECUTE) {
      const least = this.#floor - SLEEPER_CREDIT;
      if (this.#virtualRuntime[entity]! < least) this.#virtualRuntime[entity] = least;
    }
    this.#state[entity] = EXECUTE;
  }

  /** The entity has nothing to execute, and expects to wake at virtual time `wake` (ns), if not earlier; Infinity: not by itself. */
  sleeps(entity: number, wake: number): void {
    this.#state[entity] = SLEEP;
    this.#wake[entity] = wake;
  }

  /** The entity cannot execute before the next decision, whatever happens. */
  rests(entity: number): void {
    this.#state[entity] = NOTHING;
  }

  /** Decides who has a CPU in the next round. */
  decide(): void {
    this.#contended = this.#survey() > this.cpus;
    if (this.#count <= this.cpus) {
      for (let i = 0; i < this.#count; i++) this.#hasCpu[i] = this.#state[i] === NOTHING ? 0 : 1;
      return;
    }
    let room = this.cpus;
    this.#unused = Math.min(this.#unused, this.cpus * this.#round);
    if (this.#contended) {
      const more = Math.min(this.cpus, Math.floor(this.#unused / this.#round));
      this.#unused -= more * this.#round;
      room += more;
    } else this.#unused = 0;
    const chosen = this.#take(EXECUTE, room, 0);
    const all = this.#take(SLEEP, room, chosen);
    this.#hasCpu.fill(0);
    for (let i = 0; i < all; i++) this.#hasCpu[this.#first[i]!] = 1;
  }

  /** Whether the entity has a CPU in this round; one that sleeps executes from the instant it wakes. */
  hasCpu(entity: number): boolean {
    return this.#hasCpu[entity] !== 0;
  }

  /** The entity, which had a CPU, has executed for `duration` ns of the round. Said once for each of them before the next decision. */
  ran(entity: number, duration: number): void {
    this.#virtualRuntime[entity]! += this.#scaled(entity, duration);
    this.#executed[entity]! += duration;
    if (!this.#contended) return;
    this.#unused += this.#round - Math.min(duration, this.#round);
  }

  /** CPU time in ns that was left unused in the round that is over, and that no later one can use. */
  get spare(): number {
    return Math.max(0, this.#unused - this.cpus * this.#round);
  }

  /** An entity without a CPU has executed for `duration` ns of {@link spare}; it took that from nobody. */
  ranSpare(entity: number, duration: number): void {
    this.#unused -= duration;
    this.#executed[entity]! += duration;
  }

  /** CPU time that the entity has had since it was added, in ns. */
  executed(entity: number): number {
    return this.#executed[entity]!;
  }

  /** `duration` on a CPU as virtual runtime. Where nobody waits, time passes alike for all: there is nothing to share out. */
  #scaled(entity: number, duration: number): number {
    if (!this.#contended) return duration;
    return (duration * DEFAULT_WEIGHT) / Math.min(this.#weight[entity]!, this.#cap);
  }

  /** Counts those who want to execute, raises the floor to their least virtual runtime and finds the cap of weights. */
  #survey(): number {
    let count = 0;
    let sum = 0;
    let heaviest = 0;
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.#count; i++) {
      if (this.#state[i] !== EXECUTE) continue;
      const weight = this.#weight[i]!;
      count++;
      sum += weight;
      if (weight > heaviest) heaviest = weight;
      if (this.#virtualRuntime[i]! < least) least = this.#virtualRuntime[i]!;
    }
    if (count > 0 && least > this.#floor) this.#floor = least;
    this.#cap = Number.POSITIVE_INFINITY;
    if (count > this.cpus && heaviest > sum / this.cpus) this.#cutWeights(sum / this.cpus);
    return count;
  }

  /** Those above the cap have a CPU each and the rest share what remains, which lowers the cap, until nobody more is above it. */
  #cutWeights(share: number): void {
    let cap = share;
    for (let cut = 0; ; ) {
      let above = 0;
      let rest = 0;
      for (let i = 0; i < this.#count; i++) {
        if (this.#state[i] !== EXECUTE) continue;
        if (this.#weight[i]! > cap) above++;
        else rest += this.#weight[i]!;
      }
      if (above === cut) break;
      cut = above;
      cap = rest / (this.cpus - cut);
    }
    this.#cap = cap;
  }

  /** Puts into places `from` … `room` − 1 of the list those in a state whose keys are least, and gives the list's length. */
  #take(state: number, room: number, from: number): number {
    let end = from;
    for (let i = 0; i < this.#count; i++) {
      if (this.#state[i] !== state) continue;
      const key = state === SLEEP ? this.#wake[i]! : this.#rank(i);
      let at = end;
      while (at > from && this.#keys[at - 1]! > key) at--;
      if (at >= room) continue;
      if (end < room) end++;
      this.#first.copyWithin(at + 1, at, end - 1);
      this.#keys.copyWithin(at + 1, at, end - 1);
      this.#first[at] = i;
      this.#keys[at] = key;
    }
    return end;
  }

  /** Virtual runtime; less for one who has a CPU, so that it is kept for a while. A heavy one is ahead by real time. */
  #rank(entity: number): number {
    const virtualRuntime = this.#virtualRuntime[entity]!;
    if (this.#hasCpu[entity] === 0) return virtualRuntime;
    return virtualRuntime - GRANULARITY * Math.min(1, DEFAULT_WEIGHT / this.#weight[entity]!);
  }

  saveState(to: StateWriter): void {
    to.u32(this.cpus);
    to.number(this.#floor);
    to.number(this.#unused);
    to.bool(this.#contended);
    to.number(this.#cap);
    to.u32(this.#count);
    for (let i = 0; i < this.#count; i++) {
      to.number(this.#weight[i]!);
      to.u8(this.#state[i]!);
      to.number(this.#virtualRuntime[i]!);
      to.number(this.#executed[i]!);
      to.u8(this.#hasCpu[i]!);
      to.number(this.#wake[i]!);
    }
  }

  loadState(from: StateReader): void {
    const cpus = from.u32();
    if (cpus !== this.cpus)
      throw new StateError(`the state is of a host with ${cpus} CPUs, not ${this.cpus}`);
    this.#floor = from.number();
    this.#unused = from.number();
    this.#contended = from.bool();
    this.#cap = from.number();
    this.#count = from.u32();
    while (this.#weight.length < this.#count) this.#makeRoom(this.#weight.length + 1);
    this.#hasCpu.fill(0);
    for (let i = 0; i < this.#count; i++) {
      this.#weight[i] = from.number();
      this.#state[i] = from.u8();
      this.#virtualRuntime[i] = from.number();
      this.#executed[i] = from.number();
      this.#hasCpu[i] = from.u8();
      this.#wake[i] = from.number();
    }
  }
}
