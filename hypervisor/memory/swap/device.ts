/** The device that the swap file is on, in virtual time: how long its requests take, and how they wait for each other. */
import { StateError, type Stateful, type StateReader, type StateWriter } from '../../state/state.ts';

/** What a storage device can do. */
export interface DeviceProfile {
  /** Virtual ns from a request to its completion on an idle device. */
  readonly readLatency: number;
  readonly writeLatency: number;
  /** Requests that are served at once; the others wait. */
  readonly queueDepth: number;
  /** Bytes that pass in a second. */
  readonly bandwidth: number;
}

/** Kind of a request. */
export type Transfer = 'read' | 'write';

/**
 * A queue in front of a number of servers, and one line through which all bytes pass. Requests are served in the order in
 * which they are submitted; a request of many bytes in a row takes one latency.
 */
export class SwapDevice implements Stateful {
  readonly profile: DeviceProfile;
  /** When each server is done with what it was given. */
  readonly #servers: Float64Array;
  #lineFree = 0;
  /** Requests, bytes, and the sum of their times from submission to completion in ns. */
  readonly counters = { reads: 0, writes: 0, bytesRead: 0, bytesWritten: 0, readTime: 0, writeTime: 0 };

  constructor(profile: DeviceProfile) {
    this.profile = profile;
    this.#servers = new Float64Array(profile.queueDepth);
  }

  /** Submits a request for `bytes` bytes in a row at virtual time `now`, and gives the time at which it is done. */
  submit(transfer: Transfer, bytes: number, now: number): number {
    let server = 0;
    for (let i = 1; i < this.#servers.length; i++) {
      if (this.#servers[i]! < this.#servers[server]!) server = i;
    }
    const start = Math.max(now, this.#servers[server]!);
    this.#lineFree = Math.max(this.#lineFree, start) + (bytes * 1e9) / this.profile.bandwidth;
    const latency = transfer === 'read' ? this.profile.readLatency : this.profile.writeLatency;
    const done = Math.ceil(Math.max(start + latency, this.#lineFree));
    this.#servers[server] = done;
    const { counters } = this;
    if (transfer === 'read') {
      counters.reads++;
      counters.bytesRead += bytes;
      counters.readTime += done - now;
    } else {
      counters.writes++;
      counters.bytesWritten += bytes;
      counters.writeTime += done - now;
    }
    return done;
  }

  saveState(to: StateWriter): void {
    to.list([...this.#servers], (time) => to.number(time));
    to.number(this.#lineFree);
    for (const value of Object.values(this.counters)) to.number(value);
  }

  loadState(from: StateReader): void {
    const servers = from.list(() => from.number());
    if (servers.length !== this.#servers.length) {
      throw new StateError(
        `the state is of a swap device with queue depth ${servers.length}, not ${this.#servers.length}`,
      );
    }
    this.#servers.set(servers);
    this.#lineFree = from.number();
    for (const name of Object.keys(this.counters) as (keyof typeof this.counters)[]) {
      this.counters[name] = from.number();
    }
  }
}
