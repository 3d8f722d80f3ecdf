/** The balloons of a run: who decides how large they are, and what comes of it. */
import { BalloonController, type BalloonEvent } from '../../hypervisor/balloon/controller.ts';
import { MomPolicy } from '../../hypervisor/balloon/mom.ts';
import { defaultBounds } from '../../hypervisor/balloon/settings.ts';
import { StaticPolicy } from '../../hypervisor/balloon/static.ts';
import type { Host } from '../../hypervisor/host.ts';
import { pageSize } from '../../hypervisor/memory/hostmemory.ts';
import type { HostedGuest } from '../../hypervisor/threads/hostedguest.ts';
import type { RunEvent } from '../../reports/format/lines.ts';
import type { Scenario } from '../scenario/resolve.ts';
import { Hints } from './hints.ts';

/** Guests are asked for balloon statistics so often, in virtual ns: as often as MOM looks, or oftener. */
const statisticsInterval = 1e9;

/** See the top of this file. */
export class Balloons {
  readonly #scenario: Scenario['host']['balloon'];
  /** Undefined when nobody decides: then a balloon is as large as a phase of the scenario says. */
  readonly #controller: BalloonController | undefined;
  readonly #hints: Hints | undefined;

  /** `names` are those of the guests by the ids of their memory; `tell` takes events. */
  constructor(
    scenario: Scenario['host']['balloon'],
    host: Host,
    names: ReadonlyMap<number, string>,
    tell: (event: RunEvent) => void,
  ) {
    this.#scenario = scenario;
    const { free_page_hinting: interval } = scenario;
    if (interval !== undefined) this.#hints = new Hints(interval);
    if (scenario.policy === 'none') return;
    const policy = scenario.policy === 'mom' ? new MomPolicy() : new StaticPolicy();
    this.#controller = new BalloonController(policy, {
      memory: host.pages.books.frames.count * pageSize,
      free: () => host.pages.classes.free * pageSize,
      onEvent: (event, now) => tell(eventOf(event, now, names)),
    });
  }

  /** A guest was switched on, at virtual time `now`. */
  add(guest: HostedGuest, memory: number, now: number): void {
    const { space, balloon } = guest;
    this.#hints?.add(guest);
    balloon.setStatsInterval(statisticsInterval);
    const { target } = this.#scenario;
    const bounds = defaultBounds(memory);
    const size = target === undefined ? {} : { size: Math.max(bounds.minimum, memory - target) };
    this.#controller?.add({ id: space.id, memory, bounds: { ...bounds, ...size }, balloon }, now);
  }

  /** A guest has ended or is removed. */
  remove(guest: HostedGuest): void {
    this.#hints?.remove(guest);
    this.#controller?.remove(guest.space.id);
  }

  /** A guest's balloon shall have so many bytes, as far as the policy lets it. */
  set({ space, balloon }: HostedGuest, memory: number, bytes: number): void {
    if (this.#controller === undefined) balloon.setTarget(Math.floor(bytes / pageSize));
    else this.#controller.configure(space.id, memory - bytes);
  }

  /** When there is something to do, in virtual ns. */
  get next(): number {
    const never = Number.POSITIVE_INFINITY;
    return Math.min(this.#controller?.next ?? never, this.#hints?.next ?? never);
  }

  /** Does what is due at virtual time `now`. */
  run(now: number): void {
    if (this.#controller !== undefined && now >= this.#controller.next) this.#controller.run(now);
    if (this.#hints !== undefined && now >= this.#hints.next) this.#hints.run(now);
  }
}

function eventOf(event: BalloonEvent, now: number, names: ReadonlyMap<number, string>): RunEvent {
  const guest = names.get(event.guest)!;
  const { target, size, driven } = event;
  return event.event === 'balloon follows'
    ? { time_ns: now, event: 'balloon_followed', guest }
    : {
        time_ns: now,
        event: 'balloon_not_followed',
        guest,
        target_bytes: target,
        size_bytes: size,
        for_ns: now - event.since,
        driven,
      };
}
