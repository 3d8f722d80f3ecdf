/**
 * A learning Ethernet switch between the guests of one host (IEEE 802.1D, clause 7).
 *
 * Guests run side by side in rounds of virtual time, so a frame cannot go straight from one to another. A port
 * collects what its guest sends during a round; {@link EthernetSwitch.exchange}, called between rounds, forwards
 * all of it in the order of virtual time, then port number, then sending. What a guest receives therefore does
 * not depend on the order in which the host ran the guests.
 */
import type { Stateful, StateReader, StateWriter } from '../../state/state.ts';
import { loadCounters, saveCounters } from '../counters.ts';
import { destination, isGroup, source } from './frame.ts';

/** A station's address is forgotten when nothing has come from it for this long: 300 s (IEEE 802.1D, table 7-5), in ns. */
const AGEING_TIME = 300e9;

/** How many addresses are remembered; beyond that the one heard from longest ago goes. */
const MOST_ADDRESSES = 1024;

/** How many frames a port takes in a round; the others are lost, as on a full link. */
const MOST_FRAMES = 1024;

/** Takes the frames that the switch forwards to a guest. */
export interface FrameReceiver {
  /** `frame` arrives at virtual time `due` (ns), or at once when that has passed. The receiver may keep it but not change it. */
  receive(frame: Uint8Array, due: number): void;
}

/** A guest's way to the switch; it belongs to the guest alone until the round is over. */
export interface SwitchPort {
  /** Sends a frame of at least 14 bytes at virtual time `time` (ns). The port keeps it. */
  send(frame: Uint8Array, time: number): void;
}

/** Behind a port that was closed. */
const nobody: FrameReceiver = { receive() {} };

interface SentFrame {
  readonly frame: Uint8Array;
  readonly time: number;
  readonly port: number;
}

interface Port {
  receiver: FrameReceiver;
  readonly sent: SentFrame[];
  lost: number;
}

interface Station {
  readonly port: number;
  readonly heard: number;
}

/** The switch of a host. */
export class EthernetSwitch implements Stateful {
  /** Frames forwarded to the one port of their station, frames sent to all ports, frames whose station is on the port they came from, and frames lost on a full port. */
  readonly counters = { forwarded: 0, flooded: 0, filtered: 0, lost: 0 };
  readonly #delay: number;
  readonly #ports: Port[] = [];
  readonly #byWay = new Map<SwitchPort, Port>();
  /** Stations by address, the one heard from longest ago first. */
  readonly #stations = new Map<number, Station>();

  /** @param delay virtual ns from sending to arrival; a delay of at least a round makes arrival times exact */
  constructor(delay: number) {
    this.#delay = delay;
  }

  /** Gives the next guest a port; guests are connected in the order of their numbers. */
  connect(receiver: FrameReceiver): SwitchPort {
    const number = this.#ports.length;
    const port: Port = { receiver, sent: [], lost: 0 };
    this.#ports.push(port);
    const way: SwitchPort = {
      send: (frame, time) => {
        if (port.sent.length < MOST_FRAMES) port.sent.push({ frame, time, port: number });
        else port.lost++;
      },
    };
    this.#byWay.set(way, port);
    return way;
  }

  /** Nobody is behind a port any more: what comes from there and what goes there is lost. Between rounds. */
  disconnect(way: SwitchPort): void {
    const port = this.#byWay.get(way)!;
    port.receiver = nobody;
    port.sent.length = 0;
    this.#byWay.delete(way);
  }

  /** Forwards everything that was sent since the last call. Called between rounds. */
  exchange(): void {
    // As in nearly every round of guests at rest.
    if (this.#ports.every(({ sent, lost }) => sent.length === 0 && lost === 0)) return;
    const frames = this.#ports.flatMap(({ sent }) => sent);
    // The sort is stable: frames of one port and time stay in the order in which they were sent.
    frames.sort((a, b) => a.time - b.time || a.port - b.port);
    for (const port of this.#ports) {
      this.counters.lost += port.lost;
      port.lost = 0;
      port.sent.length = 0;
    }
    for (const each of frames) this.#forward(each);
  }

  #forward({ frame, time, port: from }: SentFrame): void {
    this.#learn(source(frame), from, time);
    const to = this.#portOf(destination(frame), time);
    const due = time + this.#delay;
    if (to === undefined) {
      this.counters.flooded++;
      this.#ports.forEach(({ receiver }, port) => {
        if (port !== from) receiver.receive(frame, due);
      });
    } else if (to === from) {
      this.counters.filtered++;
    } else {
      this.counters.forwarded++;
      this.#ports[to]!.receiver.receive(frame, due);
    }
  }

  #learn(mac: number, port: number, heard: number): void {
    if (isGroup(mac)) return;
    this.#stations.delete(mac);
    this.#stations.set(mac, { port, heard });
    if (this.#stations.size > MOST_ADDRESSES) this.#stations.delete(this.#stations.keys().next().value!);
  }

  #portOf(mac: number, now: number): number | undefined {
    const station = this.#stations.get(mac);
    return station !== undefined && now - station.heard <= AGEING_TIME ? station.port : undefined;
  }

  saveState(to: StateWriter): void {
    to.list([...this.#stations], ([mac, { port, heard }]) => {
      to.number(mac);
      to.u32(port);
      to.number(heard);
    });
    for (const { sent, lost } of this.#ports) {
      to.number(lost);
      to.list(sent, ({ frame, time }) => {
        to.bytes(frame);
        to.number(time);
      });
    }
    saveCounters(to, this.counters);
  }

  /** Takes up the state of a switch with as many ports. */
  loadState(from: StateReader): void {
    this.#stations.clear();
    from.list(() => {
      const mac = from.number();
      this.#stations.set(mac, { port: from.u32(), heard: from.number() });
    });
    this.#ports.forEach((each, port) => {
      each.lost = from.number();
      each.sent.length = 0;
      each.sent.push(...from.list(() => ({ frame: from.bytes(), time: from.number(), port })));
    });
    loadCounters(from, this.counters);
  }
}
