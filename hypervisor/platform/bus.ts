/**
 * The buses that connect a CPU to the devices around it: I/O ports, memory-mapped registers, interrupt lines
 * and the devices' own access to guest memory.
 *
 * Values are unsigned: a read gives 0 … 2^(8·size) − 1, and a write receives the same. Accesses of 8 bytes are
 * split into two of 4, low half first, before they reach a device.
 */

/** Width of a device access in bytes. */
export type AccessSize = 1 | 2 | 4;

/**
 * How a real host serves an access, which decides what it costs the CPU: by the hypervisor in the kernel, by the device
 * model in user space, or by a signal that the kernel gives while the CPU goes on.
 */
export type AccessExit = 'kernel' | 'user' | 'signal';

/** A device that answers on a range of I/O ports. `port` is the absolute port number. */
export interface PortDevice {
  readPort(port: number, size: AccessSize): number;
  writePort(port: number, size: AccessSize, value: number): void;
  /** How accesses are served; by user space where it is left out. */
  readonly exit?: AccessExit | undefined;
}

/** A device that answers on a range of guest-physical addresses. `offset` counts from the range's start. */
export interface MmioDevice {
  readMmio(offset: number, size: AccessSize): number;
  writeMmio(offset: number, size: AccessSize, value: number): void;
  /** How an access is served; by user space where it is left out. */
  exitAt?(offset: number, write: boolean): AccessExit;
}

/** A wire from a device to an interrupt controller's input; `true` asserts it. Setting it to what it is does nothing. */
export type InterruptLine = (asserted: boolean) => void;

/** Delivers a message-signalled interrupt: a 32-bit write of `data` to `address` (SDM vol. 3, "Message Signalled Interrupts"). */
export type MessageInterrupt = (address: number, data: number) => void;

/** A guest's device named an address that is not guest RAM. The device decides what that means; it never crashes. */
export class BadGuestAddress extends Error {
  override name = 'BadGuestAddress';
  constructor(address: number, length: number) {
    super(`guest-physical 0x${address.toString(16)} + ${length} is not guest memory`);
  }
}

/**
 * A device's view of guest-physical memory. Ranges may cross pages. Every method throws
 * {@link BadGuestAddress} when any byte of the range is not RAM; then nothing was written.
 */
export interface GuestMemory {
  /** Copies guest memory at `address` into `target`. */
  read(address: number, target: Uint8Array): void;
  /** Copies `source` into guest memory at `address`. */
  write(address: number, source: Uint8Array): void;
  readU16(address: number): number;
  readU32(address: number): number;
  /** Reads 64 bits as a number; a value above 2^53 throws {@link BadGuestAddress}, since it can be no address or length. */
  readU64(address: number): number;
  writeU16(address: number, value: number): void;
  writeU32(address: number, value: number): void;
  /** True when the whole range is RAM. */
  contains(address: number, length: number): boolean;
  /**
   * Makes sure, in an event, that the range can be written in it. False when the host has no room for that now: then the device leaves it for a
   * later event. A few bytes here and there need no such care.
   */
  prepare(address: number, length: number): boolean;
}

interface Range<Device> {
  start: number;
  end: number;
  device: Device;
  name: string;
}

function claim<Device>(ranges: Range<Device>[], range: Range<Device>): void {
  const other = ranges.find((each) => range.start < each.end && each.start < range.end);
  if (other !== undefined) throw new Error(`${range.name} and ${other.name} claim the same addresses`);
  ranges.push(range);
  ranges.sort((a, b) => a.start - b.start);
}

function find<Device>(ranges: Range<Device>[], address: number): Range<Device> | undefined {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle]!;
    if (address < range.start) high = middle - 1;
    else if (address >= range.end) low = middle + 1;
    else return range;
  }
  return undefined;
}

/** The 64 KiB of I/O ports. A port without a device reads as all ones and ignores writes, as on a PC. */
export class PortBus {
  readonly #ranges: Range<PortDevice>[] = [];
  readonly #onExit: (exit: AccessExit) => void;

  /** @param onExit called before each access reaches its device */
  constructor(onExit: (exit: AccessExit) => void = () => {}) {
    this.#onExit = onExit;
  }

  /** Lets `device` answer on `count` ports from `first`. Throws when another device has one of them. */
  attach(name: string, first: number, count: number, device: PortDevice): void {
    claim(this.#ranges, { name, start: first, end: first + count, device });
  }

  /** Takes a device's range that starts at `first` off the bus. */
  detach(first: number): void {
    const index = this.#ranges.findIndex((range) => range.start === first);
    if (index >= 0) this.#ranges.splice(index, 1);
  }

  /** Reads from a port. An access that reaches past the device's last port is split into bytes. */
  read(port: number, size: AccessSize): number {
    const range = find(this.#ranges, port);
    this.#onExit(range?.device.exit ?? 'user');
    return this.#read(range, port, size);
  }

  #read(range: Range<PortDevice> | undefined, port: number, size: AccessSize): number {
    if (range !== undefined && port + size <= range.end) return range.device.readPort(port, size);
    if (size === 1) return 0xff;
    let value = 0;
    for (let i = size - 1; i >= 0; i--) {
      const each = (port + i) & 0xffff;
      value = value * 256 + this.#read(find(this.#ranges, each), each, 1);
    }
    return value;
  }

  /** Writes to a port, split as {@link read} does. */
  write(port: number, size: AccessSize, value: number): void {
    const range = find(this.#ranges, port);
    this.#onExit(range?.device.exit ?? 'user');
    this.#write(range, port, size, value);
  }

  #write(range: Range<PortDevice> | undefined, port: number, size: AccessSize, value: number): void {
    if (range !== undefined && port + size <= range.end) range.device.writePort(port, size, value);
    else if (size > 1) {
      for (let i = 0; i < size; i++) {
        const each = (port + i) & 0xffff;
        this.#write(find(this.#ranges, each), each, 1, (value >>> (8 * i)) & 0xff);
      }
    }
  }
}

/** The guest-physical addresses that are not RAM. One without a device reads as all ones and ignores writes. */
export class MmioBus {
  readonly #ranges: Range<MmioDevice>[] = [];
  readonly #onExit: (exit: AccessExit) => void;

  /** @param onExit called before each access reaches its device */
  constructor(onExit: (exit: AccessExit) => void = () => {}) {
    this.#onExit = onExit;
  }

  #exit(range: Range<MmioDevice> | undefined, address: number, write: boolean): void {
    this.#onExit(range?.device.exitAt?.(address - range.start, write) ?? 'user');
  }

  /** Lets `device` answer on `length` bytes from `start`. Throws when another device has one of them. */
  attach(name: string, start: number, length: number, device: MmioDevice): void {
    claim(this.#ranges, { name, start, end: start + length, device });
  }

  /** Takes a device's range that starts at `start` off the bus. */
  detach(start: number): void {
    const index = this.#ranges.findIndex((range) => range.start === start);
    if (index >= 0) this.#ranges.splice(index, 1);
  }

  /** Reads from a register. An access that reaches past the device's end is split into bytes. */
  read(address: number, size: AccessSize): number {
    const range = find(this.#ranges, address);
    this.#exit(range, address, false);
    return this.#read(range, address, size);
  }

  #read(range: Range<MmioDevice> | undefined, address: number, size: AccessSize): number {
    if (range !== undefined && address + size <= range.end) {
      return range.device.readMmio(address - range.start, size);
    }
    if (size === 1) return 0xff;
    let value = 0;
    for (let i = size - 1; i >= 0; i--) {
      value = value * 256 + this.#read(find(this.#ranges, address + i), address + i, 1);
    }
    return value;
  }

  /** Writes to a register, split as {@link read} does. */
  write(address: number, size: AccessSize, value: number): void {
    const range = find(this.#ranges, address);
    this.#exit(range, address, true);
    this.#write(range, address, size, value);
  }

  #write(range: Range<MmioDevice> | undefined, address: number, size: AccessSize, value: number): void {
    if (range !== undefined && address + size <= range.end) {
      range.device.writeMmio(address - range.start, size, value);
    } else if (size > 1) {
      for (let i = 0; i < size; i++) {
        this.#write(find(this.#ranges, address + i), address + i, 1, (value >>> (8 * i)) & 0xff);
      }
    }
  }
}
