/**
 * The network device (Virtual I/O Device 1.3, section 5.1) with one pair of queues and a control queue, and
 * without offloads: it passes whole Ethernet frames.
 */
import type { Timer } from '../../clock/timers.ts';
import { loadBytes } from '../../platform/pci/registers.ts';
import type { StateReader, StateWriter } from '../../state/state.ts';
import type { DescriptorChain } from '../chain.ts';
import { loadCounters, saveCounters } from '../counters.ts';
import { type DeviceModel, VirtioDevice, type VirtioEnvironment } from '../device.ts';
import { DriverError } from '../error.ts';
import type { Virtqueue } from '../queue.ts';
import { LONGEST_COMMAND, ReceiveFilter } from './filter.ts';
import { ETHERNET_HEADER_BYTES, isGroup, MAC_BYTES, macAt, VLAN_TAG_BYTES } from './frame.ts';
import type { FrameReceiver, SwitchPort } from './switch.ts';

/** Feature bits. */
export const F_MTU = 3;
export const F_MAC = 5;
export const F_MRG_RXBUF = 15;
export const F_STATUS = 16;
export const F_CTRL_VQ = 17;
export const F_CTRL_RX = 18;
export const F_CTRL_MAC_ADDR = 23;

/** Virtqueues; the third is for control. */
const RECEIVE = 0;
const TRANSMIT = 1;
const DATA_QUEUE_SIZE = 256;
const CONTROL_QUEUE_SIZE = 64;

/** Configuration space: mac, le16 status, le16 max_virtqueue_pairs, le16 mtu. */
const CONFIG_STATUS = 6;
const CONFIG_MTU = 10;
const CONFIG_BYTES = 12;
const LINK_UP = 1;

/** The header before each frame: u8 flags, u8 gso_type, le16 hdr_len, gso_size, csum_start, csum_offset, num_buffers. */
const HEADER_BYTES = 12;
const NUM_BUFFERS = 10;

/** Answers to a control command. */
const ACK_OK = 0;
const ACK_ERR = 1;

/** How many frames wait for the guest; the others are lost. */
const MOST_WAITING = 256;

/** The MTU that can be offered: 68 to 65535 (section 5.1.4.1). */
const SMALLEST_MTU = 68;
const LARGEST_MTU = 65535;

/** What a network device is made of. */
export interface NetOptions {
  /** Unique within the machine. */
  readonly name: string;
  /** Six bytes: an address of one station, unique on its switch. */
  readonly mac: Uint8Array;
  /** Largest payload of a frame in bytes. */
  readonly mtu: number;
  /** Gives the device its port; called once, by the constructor. */
  connect(receiver: FrameReceiver): SwitchPort;
}

interface WaitingFrame {
  readonly frame: Uint8Array;
  /** When it arrives, in virtual ns. */
  readonly due: number;
}

/** A virtio network device. */
export class VirtioNet implements DeviceModel, FrameReceiver {
  readonly type = 1;
  readonly name: string;
  readonly features = [F_MTU, F_MAC, F_MRG_RXBUF, F_STATUS, F_CTRL_VQ, F_CTRL_RX, F_CTRL_MAC_ADDR];
  readonly queueSizes = [DATA_QUEUE_SIZE, DATA_QUEUE_SIZE, CONTROL_QUEUE_SIZE];
  readonly config = new Uint8Array(CONFIG_BYTES);
  readonly device: VirtioDevice;
  /** Frames and bytes in each direction as the guest sees them; frames dropped, and arrivals that were not for the guest. */
  readonly counters = {
    framesSent: 0,
    bytesSent: 0,
    sendsDropped: 0,
    framesReceived: 0,
    bytesReceived: 0,
    receivesDropped: 0,
    receivesFiltered: 0,
  };
  readonly #mac: Uint8Array;
  readonly #port: SwitchPort;
  readonly #configView = new DataView(this.config.buffer);
  readonly #filter = new ReceiveFilter(this.config.subarray(0, MAC_BYTES));
  readonly #timer: Timer;
  readonly #longest: number;
  readonly #header = new Uint8Array(HEADER_BYTES);
  readonly #command = new Uint8Array(LONGEST_COMMAND);
  readonly #ack = new Uint8Array(1);
  readonly #heads = new Uint16Array(DATA_QUEUE_SIZE);
  /** Frames on their way to the guest, in order of arrival. */
  #waiting: WaitingFrame[] = [];

  constructor(environment: VirtioEnvironment, { name, mac, mtu, connect }: NetOptions) {
    this.name = name;
    if (mac.length !== MAC_BYTES || isGroup(macAt(mac, 0))) {
      throw new Error(`${name}: the MAC address must be six bytes that address one station`);
    }
    if (mtu < SMALLEST_MTU || mtu > LARGEST_MTU) {
      throw new Error(`${name}: an MTU of ${mtu} is not between ${SMALLEST_MTU} and ${LARGEST_MTU}`);
    }
    this.#mac = mac.slice();
    this.#longest = mtu + ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES;
    this.config.set(mac);
    this.#configView.setUint16(CONFIG_STATUS, LINK_UP, true);
    this.#configView.setUint16(CONFIG_MTU, mtu, true);
    this.device = new VirtioDevice(this, environment);
    this.#timer = environment.timers.timer(`${name} arrival`, (now) => this.#arrive(now));
    this.#port = connect(this);
  }

  /** Control commands need the control queue. */
  acceptable(accepted: (feature: number) => boolean): boolean {
    return accepted(F_CTRL_VQ) || !(accepted(F_CTRL_RX) || accepted(F_CTRL_MAC_ADDR));
  }

  /** True while the cable is plugged in. */
  get linkUp(): boolean {
    return (this.#configView.getUint16(CONFIG_STATUS, true) & LINK_UP) !== 0;
  }

  /** Plugs the cable in or out. */
  setLink(up: boolean): void {
    if (up === this.linkUp) return;
    this.#configView.setUint16(CONFIG_STATUS, up ? LINK_UP : 0, true);
    this.device.configChanged();
  }

  receive(frame: Uint8Array, due: number): void {
    if (this.#waiting.length === MOST_WAITING) {
      this.counters.receivesDropped++;
      return;
    }
    let at = this.#waiting.length;
    while (at > 0 && this.#waiting[at - 1]!.due > due) at--;
    this.#waiting.splice(at, 0, { frame, due });
    if (due < this.#timer.deadline) this.#timer.arm(due);
  }

  #arrive(now: number): void {
    if (this.device.live && this.linkUp) this.device.serve(RECEIVE, now);
    else this.#dropArrived(now);
    const next = this.#waiting.find(({ due }) => due > now);
    if (next !== undefined) this.#timer.arm(next.due);
  }

  /** Nobody is there to receive what has arrived. */
  #dropArrived(now: number): void {
    while (this.#waiting.length > 0 && this.#waiting[0]!.due <= now) {
      this.#waiting.shift();
      this.counters.receivesDropped++;
    }
  }

  process(index: number, now: number): void {
    const queue = this.device.queues[index]!;
    if (index === RECEIVE) this.#giveArrived(queue, now);
    else if (index === TRANSMIT) this.#transmit(queue, now);
    else this.#control(queue);
  }

  #giveArrived(queue: Virtqueue, now: number): void {
    while (this.#waiting.length > 0 && this.#waiting[0]!.due <= now) {
      const { frame } = this.#waiting[0]!;
      if (this.#wants(frame) && !this.#give(queue, frame)) return;
      this.#waiting.shift();
    }
  }

  #wants(frame: Uint8Array): boolean {
    if (frame.length > this.#longest) {
      this.counters.receivesDropped++;
      return false;
    }
    const wanted = this.#filter.accepts(frame);
    if (!wanted) this.counters.receivesFiltered++;
    return wanted;
  }

  /** Puts a frame into receive buffers; gives false, and takes none, while there are too few of them. */
  #give(queue: Virtqueue, frame: Uint8Array): boolean {
    const merge = this.device.negotiated(F_MRG_RXBUF);
    const needed = HEADER_BYTES + frame.length;
    let room = 0;
    let buffers = 0;
    while (room < needed) {
      const chain = queue.take();
      if (chain === undefined) {
        queue.giveBack(buffers);
        return false;
      }
      if (chain.readableCount > 0 || chain.writableBytes < (merge ? HEADER_BYTES : needed)) {
        throw new DriverError('a receive buffer must be writable only and have room for what it is to hold');
      }
      this.#heads[buffers++] = chain.head;
      room += chain.writableBytes;
    }
    this.#fill(queue, frame, buffers);
    this.counters.framesReceived++;
    this.counters.bytesReceived += frame.length;
    return true;
  }

  #fill(queue: Virtqueue, frame: Uint8Array, buffers: number): void {
    this.#header.fill(0);
    this.#header[NUM_BUFFERS] = buffers;
    this.#header[NUM_BUFFERS + 1] = buffers >> 8;
    for (let i = 0, at = 0; i < buffers; i++) {
      const chain = queue.chain(this.#heads[i]!);
      const before = i === 0 ? chain.write(0, this.#header) : 0;
      const count = chain.write(before, frame.subarray(at));
      at += count;
      queue.complete(chain.head, before + count);
    }
  }

  #transmit(queue: Virtqueue, now: number): void {
    for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
      const length = chain.readableBytes - HEADER_BYTES;
      if (length < 0 || chain.writableBytes > 0) {
        throw new DriverError('a transmit buffer must be readable only and begin with a header of 12 bytes');
      }
      chain.read(0, this.#header);
      if (this.#header[0] !== 0 || this.#header[1] !== 0) {
        throw new DriverError('a transmit header asks for an offload that was not negotiated');
      }
      if (length < ETHERNET_HEADER_BYTES || length > this.#longest || !this.linkUp)
        this.counters.sendsDropped++;
      else this.#send(chain, length, now);
      queue.complete(chain.head, 0);
    }
  }

  #send(chain: DescriptorChain, length: number, now: number): void {
    const frame = new Uint8Array(length);
    chain.read(HEADER_BYTES, frame);
    this.#port.send(frame, now);
    this.counters.framesSent++;
    this.counters.bytesSent += length;
  }

  #control(queue: Virtqueue): void {
    for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
      if (chain.readableBytes < 2 || chain.writableBytes < 1) {
        throw new DriverError('a control command needs two readable bytes and a writable one for the answer');
      }
      const fits = chain.readableBytes <= LONGEST_COMMAND;
      const done = fits && this.#filter.command(this.#command.subarray(0, chain.read(0, this.#command)));
      this.#ack[0] = done ? ACK_OK : ACK_ERR;
      queue.complete(chain.head, chain.write(0, this.#ack));
    }
  }

  /** Forgets what the driver set; frames on their way still arrive. */
  reset(): void {
    this.config.set(this.#mac);
    this.#filter.reset();
  }

  saveState(to: StateWriter): void {
    to.bytes(this.config);
    to.part('filter', this.#filter);
    to.list(this.#waiting, ({ frame, due }) => {
      to.bytes(frame);
      to.number(due);
    });
    saveCounters(to, this.counters);
  }

  loadState(from: StateReader): void {
    loadBytes(from, this.config);
    from.part('filter', this.#filter);
    this.#waiting = from.list(() => ({ frame: from.bytes(), due: from.number() }));
    loadCounters(from, this.counters);
  }
}
