/**
 * The console device (Virtual I/O Device 1.3, section 5.3): port 0 is a console (hvc0 in Linux), the others are
 * named byte channels between guest and host (/dev/virtio-ports/NAME).
 *
 * Input waits here until the guest has opened its port and given buffers for it. What the host does takes effect
 * a kick delay later, as what the guest does.
 */
import type { StateReader, StateWriter } from '../../state/state.ts';
import { loadCounters, saveCounters } from '../counters.ts';
import { type DeviceModel, VirtioDevice, type VirtioEnvironment } from '../device.ts';
import { DriverError } from '../error.ts';
import { ByteQueue } from './bytequeue.ts';
import {
  CONSOLE_PORT,
  CONTROL_BYTES,
  controlMessage,
  DEVICE_ADD,
  DEVICE_READY,
  PORT_NAME,
  PORT_OPEN,
  PORT_READY,
  resizeMessage,
} from './control.ts';

const F_SIZE = 0;
const F_MULTIPORT = 1;

/** Queues: port 0, control, then the other ports (section 5.3.2). */
const CONTROL_RECEIVE = 2;
const CONTROL_TRANSMIT = 3;

/** Queue sizes. Linux fills a receive queue with a page for each entry, so they are no larger than they need be. */
const DATA_QUEUE_SIZE = 64;
const CONTROL_QUEUE_SIZE = 32;

/** Bytes given to {@link ConsolePort.onOutput} at once, and the longest buffer that a driver may transmit. */
const OUTPUT_CHUNK = 4096;
const LONGEST_OUTPUT = 4 << 20;

/** Configuration space: le16 cols, le16 rows, le32 max_nr_ports. */
const CONFIG_BYTES = 8;

/** The host's end of a port. */
export interface ConsolePort {
  /** The port's name in the guest; the console has none. */
  readonly name?: string;
  /** The guest wrote `bytes`, which are valid during the call only. */
  onOutput(bytes: Uint8Array): void;
  /** The guest opened or closed its end. */
  onGuestOpen?(open: boolean): void;
}

interface PortState {
  readonly host: ConsolePort;
  readonly input: ByteQueue;
  /** The driver has set the port up. */
  ready: boolean;
  guestOpen: boolean;
  hostOpen: boolean;
}

/** What a console is made of. */
export interface ConsoleOptions {
  /** Unique within the machine. */
  readonly name: string;
  /** At least one: the console. */
  readonly ports: readonly ConsolePort[];
  /** Size of the console in characters, 1 to 65535. */
  readonly columns: number;
  readonly rows: number;
}

/** The queue that carries a port's input; its output has the next. */
function receiveQueue(port: number): number {
  return port === 0 ? 0 : 2 * port + 2;
}

/** A virtio console. The host's end of the console is open from the start, that of the other ports is closed. */
export class VirtioConsole implements DeviceModel {
  readonly type = 3;
  readonly name: string;
  readonly features = [F_SIZE, F_MULTIPORT];
  readonly queueSizes: readonly number[];
  readonly config = new Uint8Array(CONFIG_BYTES);
  readonly device: VirtioDevice;
  /** Bytes passed in each direction, control messages in each direction, and bytes written to a port that the host had closed. */
  readonly counters = {
    bytesFromGuest: 0,
    bytesToGuest: 0,
    controlFromGuest: 0,
    controlToGuest: 0,
    bytesDropped: 0,
  };
  readonly #ports: readonly PortState[];
  readonly #configView = new DataView(this.config.buffer);
  readonly #scratch = new Uint8Array(OUTPUT_CHUNK);
  /** Messages to the driver that wait for buffers. */
  #control: Uint8Array[] = [];
  #announced = false;

  constructor(environment: VirtioEnvironment, { name, ports, columns, rows }: ConsoleOptions) {
    this.name = name;
    this.#ports = ports.map((host, i) => ({
      host,
      input: new ByteQueue(),
      ready: false,
      guestOpen: false,
      hostOpen: i === 0,
    }));
    this.queueSizes = Array.from({ length: 2 * (ports.length + 1) }, (_, i) =>
      i === CONTROL_RECEIVE || i === CONTROL_TRANSMIT ? CONTROL_QUEUE_SIZE : DATA_QUEUE_SIZE,
    );
    this.#configView.setUint16(0, columns, true);
    this.#configView.setUint16(2, rows, true);
    this.#configView.setUint32(4, ports.length, true);
    this.device = new VirtioDevice(this, environment);
  }

  /** Queues input for a port; it is copied. The guest gets it when it has opened the port and has room. */
  input(port: number, bytes: Uint8Array): void {
    this.#ports[port]!.input.push(bytes);
    this.device.kick(receiveQueue(port));
  }

  /** Bytes of input that wait for the guest: a host that produces much holds back while there are some. */
  waitingInput(port: number): number {
    return this.#ports[port]!.input.length;
  }

  /** True while the guest has the port open. */
  guestOpen(port: number): boolean {
    return this.#ports[port]!.guestOpen;
  }

  /** Opens or closes the host's end of a port. */
  setOpen(port: number, open: boolean): void {
    const state = this.#ports[port]!;
    if (state.hostOpen === open) return;
    state.hostOpen = open;
    if (state.ready) this.#tellLater(controlMessage(port, PORT_OPEN, open ? 1 : 0));
  }

  /** Gives the console a new size in characters. */
  resize(columns: number, rows: number): void {
    this.#configView.setUint16(0, columns, true);
    this.#configView.setUint16(2, rows, true);
    this.device.configChanged();
    if (this.#ports[0]!.ready) this.#tellLater(resizeMessage(0, columns, rows));
  }

  #tellLater(message: Uint8Array): void {
    this.#control.push(message);
    this.device.kick(CONTROL_RECEIVE);
  }

  process(queue: number): void {
    if (queue === CONTROL_RECEIVE) this.#sendControl();
    else if (queue === CONTROL_TRANSMIT) this.#receiveControl();
    else {
      const port = queue < CONTROL_RECEIVE ? 0 : (queue >> 1) - 1;
      if ((queue & 1) === 0) this.#giveInput(port);
      else this.#takeOutput(this.#ports[port]!, queue);
    }
  }

  #giveInput(port: number): void {
    const { input, guestOpen } = this.#ports[port]!;
    if (this.device.negotiated(F_MULTIPORT) && !guestOpen) return;
    const queue = this.device.queues[receiveQueue(port)]!;
    while (input.length > 0) {
      const chain = queue.take();
      if (chain === undefined) return;
      if (chain.readableCount > 0 || chain.writableBytes === 0) {
        throw new DriverError(`port ${port}: a receive buffer must be writable only`);
      }
      const count = chain.write(0, input.first(chain.writableBytes));
      input.drop(count);
      queue.complete(chain.head, count);
      this.counters.bytesToGuest += count;
    }
  }

  #takeOutput({ host, hostOpen }: PortState, index: number): void {
    const queue = this.device.queues[index]!;
    for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
      const length = chain.readableBytes;
      if (chain.writableBytes > 0 || length > LONGEST_OUTPUT) {
        throw new DriverError(
          `queue ${index}: a transmit buffer must be readable only and have at most ${LONGEST_OUTPUT} bytes`,
        );
      }
      for (let at = 0; hostOpen && at < length; at += OUTPUT_CHUNK) {
        host.onOutput(this.#scratch.subarray(0, chain.read(at, this.#scratch)));
      }
      if (hostOpen) this.counters.bytesFromGuest += length;
      else this.counters.bytesDropped += length;
      queue.complete(chain.head, 0);
    }
  }

  #receiveControl(): void {
    const queue = this.device.queues[CONTROL_TRANSMIT]!;
    const view = new DataView(this.#scratch.buffer);
    for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
      if (chain.read(0, this.#scratch.subarray(0, CONTROL_BYTES)) < CONTROL_BYTES) {
        throw new DriverError(`a control message of ${chain.readableBytes} bytes`);
      }
      this.counters.controlFromGuest++;
      this.#obey(view.getUint32(0, true), view.getUint16(4, true), view.getUint16(6, true) !== 0);
      queue.complete(chain.head, 0);
    }
    this.#sendControl();
  }

  /** What the driver says; kinds that only the device sends, and unknown ones, mean nothing. */
  #obey(port: number, event: number, yes: boolean): void {
    if (event === DEVICE_READY) {
      if (yes) this.#announcePorts();
      return;
    }
    if (event !== PORT_READY && event !== PORT_OPEN) return;
    const state = this.#ports[port];
    if (state === undefined) throw new DriverError(`there is no port ${port}`);
    if (event === PORT_READY) {
      if (yes) this.#describePort(port, state);
    } else {
      this.#setGuestOpen(state, yes);
      this.device.kick(receiveQueue(port));
    }
  }

  #announcePorts(): void {
    if (this.#announced) return;
    this.#announced = true;
    this.#ports.forEach((_, port) => {
      this.#control.push(controlMessage(port, DEVICE_ADD, 0));
    });
  }

  #describePort(port: number, state: PortState): void {
    if (state.ready) return;
    state.ready = true;
    if (port === 0) {
      const columns = this.#configView.getUint16(0, true);
      const rows = this.#configView.getUint16(2, true);
      this.#control.push(controlMessage(port, CONSOLE_PORT, 1), resizeMessage(port, columns, rows));
    }
    const { name } = state.host;
    if (name !== undefined) {
      this.#control.push(controlMessage(port, PORT_NAME, 0, new TextEncoder().encode(name)));
    }
    if (state.hostOpen) this.#control.push(controlMessage(port, PORT_OPEN, 1));
  }

  #setGuestOpen(state: PortState, open: boolean): void {
    if (state.guestOpen === open) return;
    state.guestOpen = open;
    state.host.onGuestOpen?.(open);
  }

  #sendControl(): void {
    const queue = this.device.queues[CONTROL_RECEIVE]!;
    while (this.#control.length > 0) {
      const chain = queue.take();
      if (chain === undefined) return;
      const message = this.#control.shift()!;
      if (chain.write(0, message) < message.length) {
        throw new DriverError(`a control buffer has room for ${chain.writableBytes} bytes only`);
      }
      queue.complete(chain.head, message.length);
      this.counters.controlToGuest++;
    }
  }

  /** Forgets the driver. Input that it has not taken waits for the next one. */
  reset(): void {
    this.#control = [];
    this.#announced = false;
    for (const state of this.#ports) {
      state.ready = false;
      this.#setGuestOpen(state, false);
    }
  }

  saveState(to: StateWriter): void {
    to.bytes(this.config);
    to.list(this.#control, (message) => to.bytes(message));
    to.bool(this.#announced);
    for (const { input, ready, guestOpen, hostOpen } of this.#ports) {
      input.saveState(to);
      to.bool(ready);
      to.bool(guestOpen);
      to.bool(hostOpen);
    }
    saveCounters(to, this.counters);
  }

  loadState(from: StateReader): void {
    this.config.set(from.bytes());
    this.#control = from.list(() => from.bytes());
    this.#announced = from.bool();
    for (const state of this.#ports) {
      state.input.loadState(from);
      state.ready = from.bool();
      state.guestOpen = from.bool();
      state.hostOpen = from.bool();
    }
    loadCounters(from, this.counters);
  }
}
