/**
 * One buffer that a driver offers: a chain of descriptors (Virtual I/O Device 1.3, section 2.7.5), read from
 * guest memory and checked before a device touches any of it.
 */
import type { GuestMemory } from '../platform/bus.ts';
import { DriverError } from './error.ts';

/** Flags of a descriptor. */
const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

/** Bytes of a descriptor: le64 address, le32 length, le16 flags, le16 next. */
export const DESCRIPTOR_BYTES = 16;

/** A chain holds at most this many bytes (section 2.7.5.2, driver requirements). */
const LONGEST = 2 ** 32;

/** Addresses at or above 2^53 are no numbers here, and no PC has memory there. */
const HIGH_LIMIT = 2 ** 21;

/**
 * A descriptor chain: elements that the device reads, then elements that it writes. One object serves all
 * chains of a queue, one at a time; {@link walk} takes up the next.
 */
export class DescriptorChain {
  /** The descriptor that begins the chain: its name in the used ring. */
  head = 0;
  /** How many elements the chain has. */
  count = 0;
  /** How many of them the device reads; the others it writes. */
  readableCount = 0;
  /** Bytes that the device may read. */
  readableBytes = 0;
  /** Bytes that the device may write. */
  writableBytes = 0;
  readonly #memory: GuestMemory;
  readonly #queue: string;
  readonly #most: number;
  readonly #addresses: Float64Array;
  readonly #lengths: Uint32Array;
  readonly #descriptor = new Uint8Array(DESCRIPTOR_BYTES);
  readonly #view = new DataView(this.#descriptor.buffer);

  /**
   * @param queue names the queue in reasons
   * @param most the device's queue size, which no chain may exceed (section 2.7.5.3.1)
   */
  constructor(memory: GuestMemory, queue: string, most: number) {
    this.#memory = memory;
    this.#queue = queue;
    this.#most = most;
    this.#addresses = new Float64Array(most);
    this.#lengths = new Uint32Array(most);
  }

  /** Guest-physical address of element `index`. */
  address(index: number): number {
    return this.#addresses[index]!;
  }

  /** Bytes of element `index`. */
  length(index: number): number {
    return this.#lengths[index]!;
  }

  /**
   * Takes up the chain that begins at descriptor `head`.
   * @param table address of the descriptor table
   * @param size number of its descriptors
   * @param indirectAllowed whether VIRTIO_F_INDIRECT_DESC was negotiated
   * @throws DriverError when the chain breaks a rule
   */
  walk(head: number, table: number, size: number, indirectAllowed: boolean): void {
    this.head = head;
    this.count = 0;
    this.readableCount = 0;
    this.readableBytes = 0;
    this.writableBytes = 0;
    let inIndirect = false;
    let flags = NEXT;
    let index = head;
    while ((flags & NEXT) !== 0) {
      if (index >= size) this.#refuse(`descriptor ${index} is outside its table of ${size}`);
      this.#memory.read(table + DESCRIPTOR_BYTES * index, this.#descriptor);
      flags = this.#view.getUint16(12, true);
      index = this.#view.getUint16(14, true);
      if ((flags & INDIRECT) !== 0) {
        if (!indirectAllowed) this.#refuse('an indirect descriptor was not negotiated');
        if (inIndirect) this.#refuse('an indirect table refers to another');
        if ((flags & NEXT) !== 0) this.#refuse('a descriptor is both indirect and chained');
        const bytes = this.#view.getUint32(8, true);
        if (bytes === 0 || bytes % DESCRIPTOR_BYTES !== 0) {
          this.#refuse(`an indirect table has ${bytes} bytes`);
        }
        table = this.#checkedAddress(bytes);
        size = bytes / DESCRIPTOR_BYTES;
        inIndirect = true;
        flags = NEXT;
        index = 0;
      } else {
        this.#add((flags & WRITE) !== 0);
      }
    }
  }

  #checkedAddress(length: number): number {
    const low = this.#view.getUint32(0, true);
    const high = this.#view.getUint32(4, true);
    const address = high * 2 ** 32 + low;
    if (high >= HIGH_LIMIT || !this.#memory.contains(address, length)) {
      const hex = `0x${((BigInt(high) << 32n) | BigInt(low)).toString(16)}`;
      this.#refuse(`${hex} + ${length} is not guest memory`);
    }
    return address;
  }

  #add(writable: boolean): void {
    if (this.count === this.#most) this.#refuse(`the chain has more than ${this.#most} descriptors`);
    const length = this.#view.getUint32(8, true);
    this.#addresses[this.count] = length === 0 ? 0 : this.#checkedAddress(length);
    this.#lengths[this.count++] = length;
    if (writable) {
      this.writableBytes += length;
    } else {
      if (this.readableCount + 1 < this.count) this.#refuse('a readable descriptor follows a writable one');
      this.readableCount++;
      this.readableBytes += length;
    }
    if (this.readableBytes + this.writableBytes > LONGEST) this.#refuse('the chain is longer than 4 GiB');
  }

  #refuse(reason: string): never {
    throw new DriverError(`${this.#queue}, descriptor chain ${this.head}: ${reason}`);
  }

  /** Makes sure that the chain can be written in this event; see {@link GuestMemory.prepare}. */
  prepare(): boolean {
    for (let i = this.readableCount; i < this.count; i++) {
      const length = this.#lengths[i]!;
      if (length > 0 && !this.#memory.prepare(this.#addresses[i]!, length)) return false;
    }
    return true;
  }

  /**
   * Copies from the chain's readable bytes, `offset` bytes in, to `target`.
   * @returns how many bytes there were, at most `target`'s length
   */
  read(offset: number, target: Uint8Array): number {
    return this.#copy(0, this.readableCount, offset, target, false);
  }

  /**
   * Copies `source` into the chain's writable bytes, `offset` bytes in.
   * @returns how many bytes had room
   */
  write(offset: number, source: Uint8Array): number {
    return this.#copy(this.readableCount, this.count, offset, source, true);
  }

  #copy(first: number, end: number, offset: number, bytes: Uint8Array, toGuest: boolean): number {
    let done = 0;
    for (let i = first; i < end && done < bytes.length; i++) {
      const length = this.#lengths[i]!;
      if (offset >= length) {
        offset -= length;
        continue;
      }
      const count = Math.min(length - offset, bytes.length - done);
      const part = count === bytes.length ? bytes : bytes.subarray(done, done + count);
      if (toGuest) this.#memory.write(this.#addresses[i]! + offset, part);
      else this.#memory.read(this.#addresses[i]! + offset, part);
      done += count;
      offset = 0;
    }
    return done;
  }
}
