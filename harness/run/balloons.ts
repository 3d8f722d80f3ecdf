/** The balloons of a run: who decides how large they are, and what comes of it. */
import type { BalloonController, BalloonEvent } from '../../hypervisor/balloon/controller.ts';
import { MomPolicy } from '../../hypervisor/balloon/mom.ts';
import { defaultBounds } from '../../hypervisor/balloon/settings.ts';
import { StaticPolicy } from '../../hypervisor/balloon/static.ts';
import type { Host, HostOptions } from '../../hypervisor/host.ts';
import { pageSize } from '../../hypervisor/memory/hostmemory.ts';
import type { HostedGuest } from '../../hypervisor/threads/hostedguest.ts';
import type { RunEvent } from '../../reports/format/lines.ts';
import type { Scenario } from '../scenario/resolve.ts';
import { Hints } from './hints.ts';

/** Guests are asked for balloon statistics so often, in virtual ns: as often as MOM looks, or oftener. */
const statisticsInterval = 1e9;

/** What a scenario says of balloons, as a host takes it: who decides, and who hears of guests that do not follow. `names` are by the ids of memories. */
export function balloonOptions(
  { policy }: Scenario['host']['balloon'],
  names: ReadonlyMap<number, string>,
  tell: (event: RunEvent) => void,
): Pick<HostOptions, 'balloonPolicy' | 'onBalloonEvent'> {
  if (policy === 'none') return {};
  return {
    balloonPolicy: policy === 'mom' ? new MomPolicy() : new StaticPolicy(),
    onBalloonEvent: (event, now) => tell(eventOf(event, now, names)),
  };
}

/** See the top of this file. */
export class Balloons {
  readonly #scenario: Scenario['host']['balloon'];
  /** Undefined when nobody decides: then a balloon is as large as a phase of the scenario says. */
  readonly #controller: BalloonController | undefined;
  readonly #hints: Hints | undefined;

  constructor(scenario: Scenario['host']['balloon'], host: Host) {
    this.#scenario = scenario;
    this.#controller = host.balloons;
    const { free_page_hinting: interval } = scenario;
    if (interval !== undefined) this.#hints = new Hints(interval);
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

  /** When there is something to do between runs of the host, in virtual ns. */
  get next(): number {
    return this.#hints?.next ?? Number.POSITIVE_INFINITY;
  }

  /** Does what is due at virtual time `now`. */
  run(now: number): void {
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
