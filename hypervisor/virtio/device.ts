/**
 * What every virtio device has (Virtual I/O Device 1.3, chapter 2): status, features, configuration space and
 * virtqueues, and the events in which the device serves them. The transport shows it to the driver; a
 * {@link DeviceModel} says what is particular to a device type.
 *
 * A driver's notification is never served inside the guest's store: it arms a timer, and the timer's event, a
 * modelled delay later, serves the queue and raises the interrupts. A driver that breaks a rule puts its device
 * into DEVICE_NEEDS_RESET, with a named reason; the device then leaves its queues alone until it is reset.
 */
import type { Clock, Timer, TimerQueue } from '../clock/timers.ts';
import { type AccessSize, BadGuestAddress, type GuestMemory } from '../platform/bus.ts';
import { loadBytes, readLittleEndian } from '../platform/pci/registers.ts';
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import { DriverError } from './error.ts';
import { Virtqueue } from './queue.ts';

/** Bits of the device status field (section 2.1). */
export const ACKNOWLEDGE = 1;
export const DRIVER = 2;
export const DRIVER_OK = 4;
export const FEATURES_OK = 8;
export const DEVICE_NEEDS_RESET = 64;
export const FAILED = 128;

/** Feature bits that do not depend on the device type (chapter 6). */
export const F_INDIRECT_DESC = 28;
export const F_EVENT_IDX = 29;
export const F_VERSION_1 = 32;
export const F_RING_RESET = 40;

const COMMON_FEATURES = [F_INDIRECT_DESC, F_EVENT_IDX, F_VERSION_1, F_RING_RESET];

/** The machine around a device. */
export interface VirtioEnvironment {
  readonly clock: Clock;
  readonly timers: TimerQueue;
  readonly memory: GuestMemory;
  /** Virtual ns from a driver's notification to the device's service; at least 1. */
  readonly kickDelay: number;
}

/** What a device type adds to the common part. */
export interface DeviceModel extends Stateful {
  /** Device ID (chapter 5): 1 network, 2 block, 3 console, 4 entropy, 5 balloon. */
  readonly type: number;
  /** Unique within the machine; it names the device in reasons, timers and saved state. */
  readonly name: string;
  /** Feature bits of the device type that are offered. */
  readonly features: readonly number[];
  /** The largest size of each virtqueue; powers of two. */
  readonly queueSizes: readonly number[];
  /** Device configuration space as the driver reads it, live; empty where the type has none. */
  readonly config: Uint8Array;
  /** Whether the accepted features go together; asked when the driver sets FEATURES_OK. */
  acceptable?(accepted: (feature: number) => boolean): boolean;
  /** The driver wrote to configuration space; `offset + size` is within it. */
  writeConfig?(offset: number, size: AccessSize, value: number): void;
  /**
   * Serves a virtqueue: the driver notified it, or the model asked for it. It runs in an event at virtual time
   * `now`, while the device is live. What it throws as {@link DriverError} or BadGuestAddress breaks the device.
   */
  process(queue: number, now: number): void;
  /** The driver reset one queue: forget the buffers taken from it. */
  queueReset?(queue: number): void;
  /** The driver reset the device: forget everything that it set up. */
  reset(): void;
}

/** How a device reaches its driver, and whether it may; the transport implements it. */
export interface DeviceTransport {
  /** Sends a used buffer notification for a queue. */
  queueInterrupt(queue: number): void;
  /** Sends a configuration change notification. */
  configInterrupt(): void;
  /** True while the device may reach guest memory. */
  readonly busMaster: boolean;
}

const NO_TRANSPORT: DeviceTransport = { queueInterrupt() {}, configInterrupt() {}, busMaster: false };

/** The common part of a virtio device. */
export class VirtioDevice implements Stateful {
  readonly model: DeviceModel;
  readonly queues: readonly Virtqueue[];
  /** Set by the transport when it takes the device up. */
  transport: DeviceTransport = NO_TRANSPORT;
  readonly #environment: VirtioEnvironment;
  readonly #kickTimer: Timer;
  readonly #offered = new Uint32Array(2);
  readonly #accepted = new Uint32Array(2);
  /** Queues that wait for the kick timer, a byte each. */
  readonly #pending: Uint8Array;
  #status = 0;
  #reason = '';
  #generation = 0;
  /** Configuration space changed since the driver last read of it. */
  #configStale = false;

  constructor(model: DeviceModel, environment: VirtioEnvironment) {
    if (environment.kickDelay < 1) throw new Error(`${model.name}: the kick delay must be at least 1 ns`);
    this.model = model;
    this.#environment = environment;
    this.queues = model.queueSizes.map((size, i) => new Virtqueue(environment.memory, `queue ${i}`, size));
    this.#pending = new Uint8Array(this.queues.length);
    for (const bit of [...model.features, ...COMMON_FEATURES]) this.#offered[bit >> 5]! |= 1 << (bit & 31);
    this.#kickTimer = environment.timers.timer(`${model.name} kick`, (now) => this.#serveKicked(now));
  }

  /** Device status as the driver reads it. */
  get status(): number {
    return this.#status;
  }

  /** Why the device needs a reset; empty while it does not. */
  get reason(): string {
    return this.#reason;
  }

  /** True while the device may serve its queues. */
  get live(): boolean {
    return (this.#status & (DRIVER_OK | DEVICE_NEEDS_RESET)) === DRIVER_OK && this.transport.busMaster;
  }

  /** The driver wrote device status. Zero resets; bits cannot be cleared otherwise. */
  writeStatus(value: number): void {
    if (value === 0) {
      this.reset();
      return;
    }
    const rises = value & ~this.#status;
    this.#status |= value & (ACKNOWLEDGE | DRIVER | FAILED);
    if ((rises & FEATURES_OK) !== 0 && this.#featuresFit()) {
      this.#status |= FEATURES_OK;
      for (const queue of this.queues) {
        queue.negotiate(this.negotiated(F_INDIRECT_DESC), this.negotiated(F_EVENT_IDX));
      }
    }
    if ((rises & DRIVER_OK) !== 0 && (this.#status & FEATURES_OK) !== 0) {
      this.#status |= DRIVER_OK;
      this.#pending.fill(1);
      this.resume();
    }
  }

  /** Features offered: bits 0 to 31 as word 0, 32 to 63 as word 1; no other exist. */
  offeredWord(word: number): number {
    return this.#offered[word] ?? 0;
  }

  /** Features that the driver accepted, as {@link offeredWord}. */
  acceptedWord(word: number): number {
    return this.#accepted[word] ?? 0;
  }

  /** The driver accepts a word of features; ignored once FEATURES_OK is set. */
  accept(word: number, bits: number): void {
    if (word < this.#accepted.length && (this.#status & FEATURES_OK) === 0) this.#accepted[word] = bits;
  }

  /** True when the driver accepted feature bit `feature`. */
  negotiated(feature: number): boolean {
    return ((this.#accepted[feature >> 5]! >>> (feature & 31)) & 1) !== 0;
  }

  #featuresFit(): boolean {
    const offered = this.#accepted.every((bits, word) => (bits & ~this.#offered[word]!) === 0);
    const fits = this.model.acceptable?.((feature) => this.negotiated(feature)) ?? true;
    return offered && fits && this.negotiated(F_VERSION_1);
  }

  /** Atomicity value of the configuration space. */
  get configGeneration(): number {
    return this.#generation;
  }

  /** Reads device configuration space; beyond its end it reads as zero. */
  readConfig(offset: number, size: AccessSize): number {
    if (this.#configStale) {
      this.#configStale = false;
      this.#generation = (this.#generation + 1) & 0xff;
    }
    if (offset + size > this.model.config.length) return 0;
    return readLittleEndian(this.model.config, offset, size);
  }

  /** Writes device configuration space, where the model allows it. */
  writeConfig(offset: number, size: AccessSize, value: number): void {
    if (offset + size <= this.model.config.length) this.model.writeConfig?.(offset, size, value);
  }

  /** The model changed its configuration space: tells the driver. */
  configChanged(): void {
    this.#configStale = true;
    if ((this.#status & DRIVER_OK) !== 0) this.transport.configInterrupt();
  }

  /** The driver wrote 1 to queue_enable. */
  enableQueue(index: number): void {
    const queue = this.queues[index];
    if (queue === undefined || queue.enabled || (this.#status & FEATURES_OK) === 0) return;
    try {
      queue.enable();
    } catch (error) {
      this.#break(error);
    }
  }

  /** The driver wrote 1 to queue_reset. */
  resetQueue(index: number): void {
    const queue = this.queues[index];
    if (queue === undefined || !this.negotiated(F_RING_RESET)) return;
    queue.reset();
    this.model.queueReset?.(index);
  }

  /**
   * Has queue `index` served after the kick delay, or sooner, together with a queue that was kicked before: the
   * driver notified it, or its model has something for it.
   */
  kick(index: number): void {
    if (index >= this.queues.length) return;
    this.#pending[index] = 1;
    this.resume();
  }

  /** Sees to kicked queues, now that the device may have become live. */
  resume(): void {
    if (!this.live || this.#kickTimer.deadline !== Number.POSITIVE_INFINITY || !this.#pending.includes(1))
      return;
    this.#kickTimer.arm(this.#environment.clock.now() + this.#environment.kickDelay);
  }

  #serveKicked(now: number): void {
    for (let i = 0; i < this.#pending.length; i++) {
      if (this.#pending[i] === 0 || !this.live) continue;
      this.#pending[i] = 0;
      this.#serve(i, now);
    }
    this.#kickTimer.disarm();
    this.resume();
  }

  /** Serves queue `index` in an event at virtual time `now`, and raises the interrupts that this calls for. */
  serve(index: number, now: number): void {
    this.#serve(index, now);
    this.resume();
  }

  #serve(index: number, now: number): void {
    if (!this.live) this.#pending[index] = 1;
    if (!this.live || !this.queues[index]!.enabled) return;
    for (const queue of this.queues) queue.beginEvent();
    try {
      this.model.process(index, now);
    } catch (error) {
      this.#break(error);
    }
    for (let i = 0; i < this.queues.length; i++) {
      if (this.queues[i]!.exhausted) this.#pending[i] = 1;
      if (this.queues[i]!.takeSignal()) this.transport.queueInterrupt(i);
    }
  }

  #break(error: unknown): void {
    if (!(error instanceof DriverError) && !(error instanceof BadGuestAddress)) throw error;
    this.#reason = `${this.model.name}: ${error.message}`;
    this.#status |= DEVICE_NEEDS_RESET;
    if ((this.#status & DRIVER_OK) !== 0) this.transport.configInterrupt();
  }

  /** Back to how the device first showed itself (section 2.4). */
  reset(): void {
    this.#status = 0;
    this.#reason = '';
    this.#accepted.fill(0);
    this.#pending.fill(0);
    this.#kickTimer.disarm();
    for (const queue of this.queues) {
      queue.reset();
      queue.negotiate(false, false);
    }
    this.model.reset();
  }

  /** Writes the common part and the model's. Timers are saved with their queue. */
  saveState(to: StateWriter): void {
    to.u8(this.#status);
    to.string(this.#reason);
    for (const bits of this.#accepted) to.u32(bits);
    to.bytes(this.#pending);
    to.u8(this.#generation);
    to.bool(this.#configStale);
    for (const queue of this.queues) queue.saveState(to);
    to.part(this.model.name, this.model);
  }

  loadState(from: StateReader): void {
    this.#status = from.u8();
    this.#reason = from.string();
    for (let i = 0; i < this.#accepted.length; i++) this.#accepted[i] = from.u32();
    loadBytes(from, this.#pending);
    this.#generation = from.u8();
    this.#configStale = from.bool();
    for (const queue of this.queues) queue.loadState(from);
    from.part(this.model.name, this.model);
  }
}
