/** The threads that a host's guests run on: its own, and workers beside it. */
import { Guest, type GuestHost } from '../guest.ts';
import { openDisks } from './disks.ts';
import { GuestThread, type ThreadSetup } from './guestthread.ts';
import type { HostedGuest, HostedPort, PlainOptions } from './hostedguest.ts';
import { Outputs, type Written } from './outputs.ts';
import { RemoteGuest, type RemoteHost } from './remoteguest.ts';

/** A guest that has been given a thread. */
export interface HousedGuest {
  readonly guest: HostedGuest;
  /** Takes what it has written in the last part of a round; undefined when that is nothing. */
  takeWritten(): Written | undefined;
  /** Gives up what it has opened; it was disposed of. */
  close(): void;
}

/** See the top of this file. */
export class GuestThreads {
  readonly #host: GuestHost & RemoteHost;
  readonly #workers: readonly GuestThread[];
  readonly #homes = new Map<HostedGuest, GuestThread>();
  readonly #byNumber = new Map<number, RemoteGuest>();

  /**
   * @param workers number of threads beside this one
   * @param codeBytes size of the store of decoded code of each
   */
  constructor(host: GuestHost & RemoteHost, setup: ThreadSetup, workers: number, codeBytes: number) {
    this.#host = host;
    this.#workers = Array.from({ length: workers }, () => new GuestThread(host.memory, setup, codeBytes));
  }

  /** Makes a guest; its place on the network, from 1 on, decides on which thread. */
  add(options: PlainOptions, ports: readonly HostedPort[], station: number): HousedGuest {
    const worker = this.#workers[((station - 1) % (this.#workers.length + 1)) - 1];
    if (worker === undefined) return this.#addHere(options, ports, station);
    const names = ports.map(({ name }) => name);
    const guest = new RemoteGuest(this.#host, worker, options, names, station);
    this.#homes.set(guest, worker);
    this.#byNumber.set(guest.space.id, guest);
    const close = () => {
      this.#homes.delete(guest);
      this.#byNumber.delete(guest.space.id);
    };
    return { guest, takeWritten: () => guest.takeWritten(), close };
  }

  #addHere(options: PlainOptions, ports: readonly HostedPort[], station: number): HousedGuest {
    const outputs = new Outputs();
    const disks = openDisks(options.disks);
    const guest: Guest = new Guest(this.#host, {
      ...options,
      disks,
      serialOutput: (byte) => outputs.serial(byte),
      ports: ports.map(({ name }, port) => ({
        ...(name === undefined ? {} : { name }),
        onOutput: (bytes) => outputs.port(port, bytes, guest.time),
      })),
      network: { connect: this.#host.network, station },
    });
    const close = () => {
      for (const disk of disks) disk.close();
    };
    return { guest, takeWritten: () => outputs.take(), close };
  }

  /** Lets guests that are in the round run from virtual time `from` to `until`, each on its thread. Throws what goes wrong first. */
  run(guests: readonly HostedGuest[], from: number, until: number): void {
    const workers = new Set<GuestThread>();
    for (const guest of guests) {
      if (!(guest instanceof RemoteGuest)) continue;
      guest.runs();
      workers.add(this.#homes.get(guest)!);
    }
    for (const worker of workers) worker.begin(from, until);
    const failures: unknown[] = [];
    const attempt = (action: () => void) => {
      try {
        action();
      } catch (error) {
        failures.push(error);
      }
    };
    attempt(() => {
      for (const guest of guests) if (guest instanceof Guest) guest.run(until);
    });
    // Whatever has gone wrong, none of them may still be running.
    for (const worker of workers) {
      attempt(() => {
        for (const news of worker.finish()) this.#byNumber.get(news.guest)!.take(news);
      });
    }
    if (failures.length > 0) throw failures[0];
  }

  /** Gives guests on workers the frames that came for them, at virtual time `now`. */
  deliver(now: number): void {
    for (const worker of this.#workers) worker.deliver(now);
  }

  /** Ends the workers. */
  end(): void {
    for (const worker of this.#workers) worker.end();
  }
}
