/**
 * The policy of oVirt's Memory Overcommitment Manager (MOM 0.6.5, `balloon.rules`), by its rules and constants.
 *
 * While the host has little free memory, guests shrink; otherwise they grow back. How much free memory a guest may keep when it shrinks goes
 * down with the host's own, and is less than nothing when the host is about to run out: then the guest has to swap. No guest shrinks by more than
 * a twentieth of its size at once. It grows by that, too, or to what it needs if that is more. Changes too small to
 * be worth it are left out. All decisions are by averages over the last samples.
 */
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import type { Ask, BalloonPolicy, PolicyGuest, PolicyView } from './policy.ts';

/** MOM's constants, as shares of 1. */
export const MOM = {
  /** Below this share of free memory, the host is under pressure. */
  pressureThreshold: 0.2,
  /** At this share or below, pressure is critical. */
  pressureCritical: 0.05,
  /** What a guest would like to have free. */
  minGuestFree: 0.2,
  /** The largest change at once, of a guest's size. */
  maxChange: 0.05,
  /** Smaller changes of a guest's size are not worth it. */
  minChange: 0.0025,
  /** Samples that averages are of. */
  history: 10,
} as const;

/** The average of the last samples. */
class Average implements Stateful {
  readonly #samples = new Float64Array(MOM.history);
  #count = 0;

  add(value: number): void {
    this.#samples[this.#count++ % MOM.history] = value;
  }

  get empty(): boolean {
    return this.#count === 0;
  }

  get value(): number {
    const count = Math.min(this.#count, MOM.history);
    let sum = 0;
    for (let i = 0; i < count; i++) sum += this.#samples[i]!;
    return sum / count;
  }

  saveState(to: StateWriter): void {
    to.u32(this.#count);
    for (const sample of this.#samples) to.number(sample);
  }

  loadState(from: StateReader): void {
    this.#count = from.u32();
    for (let i = 0; i < MOM.history; i++) this.#samples[i] = from.number();
  }
}

/** What is remembered of a guest. */
class GuestAverages implements Stateful {
  readonly size = new Average();
  readonly free = new Average();

  saveState(to: StateWriter): void {
    this.size.saveState(to);
    this.free.saveState(to);
  }

  loadState(from: StateReader): void {
    this.size.loadState(from);
    this.free.loadState(from);
  }
}

/** See the top of this file. */
export class MomPolicy implements BalloonPolicy {
  readonly name = 'mom';
  readonly sampleInterval = 5_000_000_000;
  readonly decisionInterval = 10_000_000_000;
  #hostFree = new Average();
  #guests = new Map<number, GuestAverages>();

  sample(view: PolicyView): void {
    this.#hostFree.add(view.free);
    const present = new Map<number, GuestAverages>();
    for (const { id, size, stats } of view.guests) {
      const known = this.#guests.get(id);
      if (known !== undefined) present.set(id, known);
      const free = stats?.free_memory;
      if (free === undefined) continue;
      const averages = known ?? new GuestAverages();
      averages.size.add(size);
      averages.free.add(free);
      present.set(id, averages);
    }
    this.#guests = present;
  }

  decide(view: PolicyView, ask: Ask): void {
    if (this.#hostFree.empty) return;
    const hostFree = this.#hostFree.value / view.memory;
    for (const guest of view.guests) {
      const averages = this.#guests.get(guest.id);
      // Nothing is known of what it uses.
      if (averages === undefined) continue;
      const used = averages.size.value - averages.free.value;
      if (hostFree < MOM.pressureThreshold) shrink(guest, used, hostFree, ask);
      else grow(guest, used, ask);
    }
  }

  saveState(to: StateWriter): void {
    to.part('host', this.#hostFree);
    to.list([...this.#guests], ([id, averages]) => {
      to.u32(id);
      to.part('guest', averages);
    });
  }

  loadState(from: StateReader): void {
    from.part('host', this.#hostFree);
    this.#guests = new Map(
      from.list(() => {
        const id = from.u32();
        const averages = new GuestAverages();
        from.part('guest', averages);
        return [id, averages] as const;
      }),
    );
  }
}

function shrink(guest: PolicyGuest, used: number, hostFree: number, ask: Ask): void {
  const { size, minimum } = guest;
  const mayKeep =
    hostFree <= MOM.pressureCritical
      ? hostFree - MOM.pressureCritical
      : MOM.minGuestFree * (hostFree / MOM.pressureThreshold);
  const least = Math.max(minimum, used + mayKeep * size);
  const target = Math.max(least, size * (1 - MOM.maxChange));
  if (target <= size && isWorthIt(size, target)) ask(guest, target);
}

function grow(guest: PolicyGuest, used: number, ask: Ask): void {
  const { size, maximum } = guest;
  if (size >= maximum) return;
  const needed = used + MOM.minGuestFree * maximum;
  const target = Math.min(maximum, Math.max(needed, size * (1 + MOM.maxChange)));
  if (isWorthIt(size, target)) ask(guest, target);
}

function isWorthIt(size: number, target: number): boolean {
  return Math.abs(target - size) > MOM.minChange * size;
}
