/**
 * Which frames a network card receives, and the control commands that say so (Virtual I/O Device 1.3, sections
 * 5.1.6.5.1 and 5.1.6.5.2). Until the driver says otherwise, everything is received.
 */
import type { Stateful, StateReader, StateWriter } from '../../state/state.ts';
import { BROADCAST, destination, isGroup, MAC_BYTES, macAt } from './frame.ts';

/** Command classes. */
const CLASS_RX = 0;
const CLASS_MAC = 1;

/** Commands of class RX; their data is a byte, on or off. */
const RX_PROMISC = 0;
const RX_ALLMULTI = 1;

/** Commands of class MAC: two tables (unicast, multicast), or the card's own address. */
const MAC_TABLE_SET = 0;
const MAC_ADDR_SET = 1;

/** A table holds at most this many addresses. */
const MOST_ADDRESSES = 256;

/** The longest command: class, command, and two full tables with their le32 numbers of entries. */
export const LONGEST_COMMAND = 2 + 2 * (4 + MOST_ADDRESSES * MAC_BYTES);

/** A network card's receive filter. */
export class ReceiveFilter implements Stateful {
  /** The card's own address, six bytes, live. */
  readonly #own: Uint8Array;
  #promiscuous = true;
  #allMulticast = false;
  /** Addresses received beside the card's own. */
  #table: number[] = [];

  /** @param own where the card keeps its address */
  constructor(own: Uint8Array) {
    this.#own = own;
  }

  /** True when the card receives a frame. */
  accepts(frame: Uint8Array): boolean {
    const mac = destination(frame);
    if (this.#promiscuous || mac === BROADCAST || mac === macAt(this.#own, 0)) return true;
    return (this.#allMulticast && isGroup(mac)) || this.#table.includes(mac);
  }

  /**
   * Carries out a control command: class, command and data. Gives false, and changes nothing, when there is no
   * such command or its data does not fit it.
   */
  command(bytes: Uint8Array): boolean {
    const data = bytes.subarray(2);
    if (bytes[0] === CLASS_RX && data.length === 1 && data[0]! <= 1) {
      return this.#setMode(bytes[1]!, data[0] === 1);
    }
    if (bytes[0] !== CLASS_MAC) return false;
    if (bytes[1] === MAC_TABLE_SET) return this.#setTables(data);
    if (bytes[1] !== MAC_ADDR_SET || data.length !== MAC_BYTES) return false;
    this.#own.set(data);
    return true;
  }

  #setMode(command: number, on: boolean): boolean {
    if (command === RX_PROMISC) this.#promiscuous = on;
    else if (command === RX_ALLMULTI) this.#allMulticast = on;
    else return false;
    return true;
  }

  #setTables(data: Uint8Array): boolean {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    const table: number[] = [];
    let at = 0;
    for (let which = 0; which < 2; which++) {
      if (at + 4 > data.length) return false;
      const entries = view.getUint32(at, true);
      at += 4;
      if (entries > MOST_ADDRESSES || at + entries * MAC_BYTES > data.length) return false;
      for (let i = 0; i < entries; i++, at += MAC_BYTES) table.push(macAt(data, at));
    }
    if (at !== data.length) return false;
    this.#table = table;
    return true;
  }

  /** Back to receiving everything. */
  reset(): void {
    this.#promiscuous = true;
    this.#allMulticast = false;
    this.#table = [];
  }

  saveState(to: StateWriter): void {
    to.bool(this.#promiscuous);
    to.bool(this.#allMulticast);
    to.list(this.#table, (mac) => to.number(mac));
  }

  loadState(from: StateReader): void {
    this.#promiscuous = from.bool();
    this.#allMulticast = from.bool();
    this.#table = from.list(() => from.number());
  }
}
