/**
 * A split virtqueue, the device's side (Virtual I/O Device 1.3, section 2.7): takes buffers that the driver
 * made available, gives them back as used, and knows when the driver wants to hear of it.
 */
import type { GuestMemory } from '../platform/bus.ts';
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import { DESCRIPTOR_BYTES, DescriptorChain } from './chain.ts';
import { DriverError } from './error.ts';

/** Available ring: flags, idx, ring[size], used_event. */
const AVAIL_FLAGS = 0;
const AVAIL_IDX = 2;
const AVAIL_RING = 4;
const AVAIL_ENTRY_BYTES = 2;
const NO_INTERRUPT = 1;

/** Used ring: flags, idx, ring[size] of {id, len}, avail_event. */
const USED_IDX = 2;
const USED_RING = 4;
const USED_ENTRY_BYTES = 8;

/** Bytes of each ring beside its entries: flags, idx and the event field. */
const RING_HEADER_BYTES = 6;

/** The three areas of a queue, with the alignment that each must have (section 2.7, table). */
const AREAS = [
  { name: 'descriptor area', align: 16 },
  { name: 'driver area', align: 2 },
  { name: 'device area', align: 4 },
] as const;

/** A split virtqueue. */
export class Virtqueue implements Stateful {
  /** The largest queue size that the device supports; a power of two. */
  readonly maximum: number;
  readonly #memory: GuestMemory;
  readonly #name: string;
  readonly #chain: DescriptorChain;
  #size: number;
  /** The addresses of descriptor, driver and device area as the driver wrote them: low and high half of each. */
  readonly #addressHalves = new Uint32Array(6);
  #enabled = false;
  #descriptors = 0;
  #avail = 0;
  #used = 0;
  #indirect = false;
  #eventIndex = false;
  /** The index of the next available entry to take. */
  #nextAvailable = 0;
  /** The index where the next used entry goes. */
  #nextUsed = 0;
  /** `#nextUsed` when the driver was last told, or last found not to want it. */
  #signalled = 0;
  /** How many more buffers {@link take} gives in this event. */
  #budget = 0;
  #exhausted = false;

  /** @param name names the queue in reasons, as in "queue 0" */
  constructor(memory: GuestMemory, name: string, maximum: number) {
    this.#memory = memory;
    this.#name = name;
    this.maximum = maximum;
    this.#size = maximum;
    this.#chain = new DescriptorChain(memory, name, maximum);
  }

  /** True from {@link enable} to {@link reset}. */
  get enabled(): boolean {
    return this.#enabled;
  }

  /** Entries. A write is ignored while the queue is enabled, and checked when it is. */
  get size(): number {
    return this.#size;
  }

  set size(entries: number) {
    if (!this.#enabled) this.#size = entries;
  }

  /**
   * Half of an area's address as the driver wrote it.
   * @param half low and high half of the descriptor area (0, 1), the driver area (2, 3) and the device area (4, 5)
   */
  addressHalf(half: number): number {
    return this.#addressHalves[half]!;
  }

  /** Sets half of an area's address; ignored while the queue is enabled. */
  setAddressHalf(half: number, value: number): void {
    if (!this.#enabled) this.#addressHalves[half] = value;
  }

  /**
   * Lets the device use the queue where the driver put it.
   * @throws DriverError when size or place break a rule; then the queue stays disabled
   */
  enable(): void {
    const size = this.#size;
    if (size === 0 || size > this.maximum || (size & (size - 1)) !== 0) {
      throw new DriverError(`${this.#name}: a size of ${size} is no power of two from 1 to ${this.maximum}`);
    }
    const lengths = [
      DESCRIPTOR_BYTES * size,
      RING_HEADER_BYTES + AVAIL_ENTRY_BYTES * size,
      RING_HEADER_BYTES + USED_ENTRY_BYTES * size,
    ];
    AREAS.forEach(({ name, align }, i) => {
      const address = this.#address(i);
      if (address % align !== 0)
        throw new DriverError(`${this.#name}: the ${name} is not aligned to ${align}`);
      if (!Number.isSafeInteger(address) || !this.#memory.contains(address, lengths[i]!)) {
        throw new DriverError(`${this.#name}: the ${name} at 0x${address.toString(16)} is not guest memory`);
      }
    });
    this.#locate();
    this.#enabled = true;
  }

  #address(area: number): number {
    return this.#addressHalves[2 * area + 1]! * 2 ** 32 + this.#addressHalves[2 * area]!;
  }

  #locate(): void {
    this.#descriptors = this.#address(0);
    this.#avail = this.#address(1);
    this.#used = this.#address(2);
  }

  /** Says which of the ring's two optional features the driver negotiated. */
  negotiate(indirect: boolean, eventIndex: boolean): void {
    this.#indirect = indirect;
    this.#eventIndex = eventIndex;
  }

  /** Back to how the device first showed it. */
  reset(): void {
    this.#enabled = false;
    this.#size = this.maximum;
    this.#addressHalves.fill(0);
    this.#nextAvailable = 0;
    this.#nextUsed = 0;
    this.#signalled = 0;
  }

  /**
   * Begins an event, in which {@link take} gives at most as many buffers as the queue has entries: a device may
   * write into the rings themselves, so a hostile driver could otherwise keep one event going for ever.
   */
  beginEvent(): void {
    this.#budget = this.#size;
    this.#exhausted = false;
  }

  /** True when more was available than the event could take. */
  get exhausted(): boolean {
    return this.#exhausted;
  }

  /**
   * Takes the next buffer that the driver made available; undefined when there is none (then the driver is
   * asked to notify when it adds one), when the event took all that it may, when the host has no room for what would be
   * written to the buffer, or when the queue is disabled.
   * @param written false when nothing is written to the buffer, though it is writable
   * @returns the queue's one chain object, valid until the next call of {@link take} or {@link chain}
   * @throws DriverError when ring or chain break a rule
   */
  take(written = true): DescriptorChain | undefined {
    if (!this.#enabled) return undefined;
    const available = this.#memory.readU16(this.#avail + AVAIL_IDX);
    if (available === this.#nextAvailable) {
      if (this.#eventIndex) {
        this.#memory.writeU16(this.#used + USED_RING + USED_ENTRY_BYTES * this.#size, available);
      }
      return undefined;
    }
    const waiting = (available - this.#nextAvailable) & 0xffff;
    if (waiting > this.#size) {
      throw new DriverError(`${this.#name}: ${waiting} buffers are available in a queue of ${this.#size}`);
    }
    if (this.#budget === 0) {
      this.#exhausted = true;
      return undefined;
    }
    this.#budget--;
    const entry = AVAIL_RING + AVAIL_ENTRY_BYTES * (this.#nextAvailable % this.#size);
    const head = this.#memory.readU16(this.#avail + entry);
    const chain = this.chain(head);
    if (written && !chain.prepare()) {
      this.#exhausted = true;
      return undefined;
    }
    this.#nextAvailable = (this.#nextAvailable + 1) & 0xffff;
    return chain;
  }

  /** Takes the last `count` buffers as not taken. */
  giveBack(count: number): void {
    this.#nextAvailable = (this.#nextAvailable - count) & 0xffff;
  }

  /** Reads once more the chain of a buffer that was taken earlier. Throws as {@link take} does. */
  chain(head: number): DescriptorChain {
    this.#chain.walk(head, this.#descriptors, this.#size, this.#indirect);
    return this.#chain;
  }

  /**
   * Gives a taken buffer back to the driver.
   * @param head the chain's {@link DescriptorChain.head}
   * @param written bytes that the device wrote, from the first writable one on
   */
  complete(head: number, written: number): void {
    const entry = this.#used + USED_RING + USED_ENTRY_BYTES * (this.#nextUsed % this.#size);
    this.#memory.writeU32(entry, head);
    this.#memory.writeU32(entry + 4, written);
    this.#nextUsed = (this.#nextUsed + 1) & 0xffff;
    this.#memory.writeU16(this.#used + USED_IDX, this.#nextUsed);
  }

  /** True when buffers were used since the last call and the driver wants to be told (section 2.7.7.2). */
  takeSignal(): boolean {
    const fresh = (this.#nextUsed - this.#signalled) & 0xffff;
    if (fresh === 0) return false;
    this.#signalled = this.#nextUsed;
    if (!this.#eventIndex) return (this.#memory.readU16(this.#avail + AVAIL_FLAGS) & NO_INTERRUPT) === 0;
    const event = this.#memory.readU16(this.#avail + AVAIL_RING + AVAIL_ENTRY_BYTES * this.#size);
    return ((this.#nextUsed - event - 1) & 0xffff) < fresh;
  }

  saveState(to: StateWriter): void {
    to.u16(this.#size);
    to.bool(this.#enabled);
    for (const half of this.#addressHalves) to.u32(half);
    to.bool(this.#indirect);
    to.bool(this.#eventIndex);
    to.u16(this.#nextAvailable);
    to.u16(this.#nextUsed);
    to.u16(this.#signalled);
  }

  loadState(from: StateReader): void {
    this.#size = from.u16();
    this.#enabled = from.bool();
    for (let i = 0; i < this.#addressHalves.length; i++) this.#addressHalves[i] = from.u32();
    this.#indirect = from.bool();
    this.#eventIndex = from.bool();
    this.#nextAvailable = from.u16();
    this.#nextUsed = from.u16();
    this.#signalled = from.u16();
    if (this.#enabled) this.#locate();
  }
}
