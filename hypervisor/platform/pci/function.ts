/**
 * One PCI function: its 256 bytes of configuration space (PCI Local Bus Specification 3.0, chapter 6).
 *
 * The space is an array of bytes beside an array of masks that say which bits a guest can write. That is all
 * it takes to size and move a BAR: the address bits below the BAR's size are not writable, so all ones read
 * back as the size's complement (section 6.2.5.1).
 */
import type { Stateful, StateReader, StateWriter } from '../../state/state.ts';
import type { AccessSize } from '../bus.ts';
import { loadBytes, type RegisterBlock, readLittleEndian, writeLittleEndian } from './registers.ts';

/** Offsets in the type 00h header (section 6.1). */
const VENDOR_ID = 0x00;
const DEVICE_ID = 0x02;
const COMMAND = 0x04;
const STATUS = 0x06;
const REVISION_ID = 0x08;
const CLASS_CODE = 0x09;
const BASE_ADDRESS = 0x10;
const SUBSYSTEM_VENDOR_ID = 0x2c;
const SUBSYSTEM_ID = 0x2e;
const CAPABILITIES_POINTER = 0x34;
const INTERRUPT_LINE = 0x3c;
const INTERRUPT_PIN = 0x3d;
const FIRST_CAPABILITY = 0x40;
const SPACE = 256;

/** Bits of the command register (section 6.2.2). */
const IO_SPACE = 1 << 0;
const MEMORY_SPACE = 1 << 1;
const BUS_MASTER = 1 << 2;
const INTERRUPT_DISABLE = 1 << 10;

/** Bits of the status register (section 6.2.3). */
const INTERRUPT_STATUS = 1 << 3;
const CAPABILITIES_LIST = 1 << 4;

/** Bit 0 of a BAR tells I/O from memory (section 6.2.5.1). */
const BAR_IS_IO = 1;

/** The largest BAR of each kind: a quarter of memory space, and 256 ports (section 6.2.5.1). */
const LARGEST_MEMORY_BAR = 2 ** 30;
const LARGEST_IO_BAR = 256;

/** Interrupt line 255: not connected to the interrupt controllers of the ISA bus (section 6.2.4). */
const NOT_CONNECTED = 0xff;

/** The registers that tell a driver what a function is (section 6.2.1). */
export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  readonly revision: number;
  /** Base class, sub-class and programming interface, as in 0x060000. */
  readonly classCode: number;
  /** 0 where there is none. */
  readonly subsystemVendor: number;
  readonly subsystem: number;
}

/** One base address register and the registers it shows. */
export interface BaseAddressRegister {
  readonly kind: 'memory' | 'io';
  /** Bytes; a power of two, at least 16 in memory and 4 in I/O space. */
  readonly size: number;
  readonly registers: RegisterBlock;
}

/** What a function needs to know of the bus it sits on. */
export interface PciSlot {
  /** The command register or a base address changed: decode anew. */
  decodeChanged(): void;
  /** The function's INTx# pin may have changed. */
  interruptChanged(): void;
}

/** One entry of the capabilities list (section 6.7). Offsets count from the capability's ID byte. */
export interface Capability {
  /** Capability ID (PCI-SIG's list; 09h is vendor-specific, 11h MSI-X). */
  readonly id: number;
  /** What follows the ID and the next pointer. */
  readonly body: Uint8Array;
  /** Which bits of `body` a guest can write; none where it is left out. */
  readonly writable?: Uint8Array;
  /** Called before the bytes from `offset` on are read, so that they can be brought up to date. */
  beforeRead?(offset: number, length: number): void;
  /** Called after a guest wrote the bytes from `offset` on. */
  afterWrite?(offset: number, length: number): void;
}

interface PlacedCapability {
  readonly at: number;
  readonly length: number;
  readonly capability: Capability;
}

/** What a function is made of; see {@link PciFunction}. */
export interface PciFunctionParts {
  /** Names the function's ranges on the buses, in messages and in saved state. */
  readonly name: string;
  readonly identity: PciIdentity;
  /** Up to six; the index is the BAR's number. */
  readonly bars?: readonly BaseAddressRegister[];
  /** INTx# pin, 1 (INTA#) to 4 (INTD#); none where it is left out. */
  readonly interruptPin?: number;
  /** Called by {@link PciFunction.reset} for the device behind the function. */
  readonly onReset?: () => void;
  /** Called when a guest allowed the function to be a bus master. */
  readonly onBusMaster?: () => void;
}

/** A PCI function. It answers configuration accesses, and tells its slot when decoding or INTx# changes. */
export class PciFunction implements Stateful {
  readonly name: string;
  readonly bars: readonly BaseAddressRegister[];
  readonly interruptPin: number;
  readonly #onReset: () => void;
  readonly #onBusMaster: () => void;
  readonly #space = new Uint8Array(SPACE);
  readonly #writable = new Uint8Array(SPACE);
  readonly #capabilities: PlacedCapability[] = [];
  #nextCapability = FIRST_CAPABILITY;
  #lastPointer = CAPABILITIES_POINTER;
  #powerOn = new Uint8Array(SPACE);
  #slot: PciSlot | undefined;

  constructor(parts: PciFunctionParts) {
    this.name = parts.name;
    this.bars = parts.bars ?? [];
    this.interruptPin = parts.interruptPin ?? 0;
    this.#onReset = parts.onReset ?? (() => {});
    this.#onBusMaster = parts.onBusMaster ?? (() => {});
    this.#writeIdentity(parts.identity);
    this.bars.forEach((bar, index) => {
      this.#makeBar(bar, index);
    });
    let command = BUS_MASTER;
    if (this.bars.some((bar) => bar.kind === 'io')) command |= IO_SPACE;
    if (this.bars.some((bar) => bar.kind === 'memory')) command |= MEMORY_SPACE;
    if (this.interruptPin > 0) {
      command |= INTERRUPT_DISABLE;
      this.#space[INTERRUPT_PIN] = this.interruptPin;
      this.#space[INTERRUPT_LINE] = NOT_CONNECTED;
      this.#writable[INTERRUPT_LINE] = 0xff;
    }
    writeLittleEndian(this.#writable, COMMAND, 2, command);
    this.#powerOn.set(this.#space);
  }

  #writeIdentity(identity: PciIdentity): void {
    writeLittleEndian(this.#space, VENDOR_ID, 2, identity.vendor);
    writeLittleEndian(this.#space, DEVICE_ID, 2, identity.device);
    this.#space[REVISION_ID] = identity.revision;
    writeLittleEndian(this.#space, CLASS_CODE, 2, identity.classCode);
    this.#space[CLASS_CODE + 2] = identity.classCode >>> 16;
    writeLittleEndian(this.#space, SUBSYSTEM_VENDOR_ID, 2, identity.subsystemVendor);
    writeLittleEndian(this.#space, SUBSYSTEM_ID, 2, identity.subsystem);
  }

  #makeBar(bar: BaseAddressRegister, index: number): void {
    const smallest = bar.kind === 'io' ? 4 : 16;
    const largest = bar.kind === 'io' ? LARGEST_IO_BAR : LARGEST_MEMORY_BAR;
    if (index > 5 || bar.size < smallest || bar.size > largest || (bar.size & (bar.size - 1)) !== 0) {
      throw new Error(`${this.name}: BAR ${index} cannot have ${bar.size} bytes of ${bar.kind} space`);
    }
    writeLittleEndian(this.#writable, BASE_ADDRESS + 4 * index, 4, -bar.size);
  }

  /**
   * Puts a capability at the end of the list, while the machine is built.
   * @returns the capability's bytes in configuration space from its ID on, live
   */
  addCapability(capability: Capability): Uint8Array {
    const at = this.#nextCapability;
    const length = 2 + capability.body.length;
    if (at + length > SPACE) throw new Error(`${this.name}: no room for capability ${capability.id}`);
    this.#space[this.#lastPointer] = at;
    this.#space[at] = capability.id;
    this.#space.set(capability.body, at + 2);
    if (capability.writable !== undefined) this.#writable.set(capability.writable, at + 2);
    writeLittleEndian(this.#space, STATUS, 2, CAPABILITIES_LIST);
    this.#lastPointer = at + 1;
    this.#nextCapability = (at + length + 3) & ~3;
    this.#capabilities.push({ at, length, capability });
    this.#powerOn.set(this.#space);
    return this.#space.subarray(at, at + length);
  }

  /**
   * Connects the function to its slot with the base addresses that firmware would have given it, decoding on.
   * @param addresses one for each BAR, each a multiple of the BAR's size
   */
  plug(slot: PciSlot, addresses: readonly number[]): void {
    this.#slot = slot;
    let command = 0;
    this.bars.forEach((bar, index) => {
      const flags = bar.kind === 'io' ? BAR_IS_IO : 0;
      command |= bar.kind === 'io' ? IO_SPACE : MEMORY_SPACE;
      writeLittleEndian(this.#powerOn, BASE_ADDRESS + 4 * index, 4, addresses[index]! + flags);
    });
    writeLittleEndian(this.#powerOn, COMMAND, 2, command);
    this.#space.set(this.#powerOn);
  }

  /** Where BAR `index` begins now; undefined while the function does not decode its kind of space. */
  decodedAddress(index: number): number | undefined {
    const bar = this.bars[index]!;
    const enable = bar.kind === 'io' ? IO_SPACE : MEMORY_SPACE;
    if ((this.#command & enable) === 0) return undefined;
    const address = readLittleEndian(this.#space, BASE_ADDRESS + 4 * index, 4);
    return bar.kind === 'io' ? address - BAR_IS_IO : address;
  }

  get #command(): number {
    return readLittleEndian(this.#space, COMMAND, 2);
  }

  /** True while the guest allows the function to reach memory and to send messages. */
  get busMaster(): boolean {
    return (this.#command & BUS_MASTER) !== 0;
  }

  /** What the function wants of its INTx# pin, kept in the status register whether or not the pin is disabled. */
  set interruptStatus(wanted: boolean) {
    const status = readLittleEndian(this.#space, STATUS, 2);
    const now = wanted ? status | INTERRUPT_STATUS : status & ~INTERRUPT_STATUS;
    if (now === status) return;
    writeLittleEndian(this.#space, STATUS, 2, now);
    this.#slot?.interruptChanged();
  }

  /** True while the function asserts its INTx# pin. */
  get interruptAsserted(): boolean {
    return (
      (readLittleEndian(this.#space, STATUS, 2) & INTERRUPT_STATUS) !== 0 &&
      (this.#command & INTERRUPT_DISABLE) === 0
    );
  }

  /** Reads `size` bytes of configuration space; `offset + size` must not pass 256. */
  readConfig(offset: number, size: AccessSize): number {
    for (const { at, length, capability } of this.#capabilities) {
      if (offset < at + length && at < offset + size) capability.beforeRead?.(offset - at, size);
    }
    return readLittleEndian(this.#space, offset, size);
  }

  /** Writes to configuration space; bits that are not writable keep their value. */
  writeConfig(offset: number, size: AccessSize, value: number): void {
    const command = this.#command;
    for (let i = 0; i < size; i++) {
      const mask = this.#writable[offset + i]!;
      this.#space[offset + i] = (this.#space[offset + i]! & ~mask) | ((value >>> (8 * i)) & mask);
    }
    for (const { at, length, capability } of this.#capabilities) {
      if (offset < at + length && at < offset + size) capability.afterWrite?.(offset - at, size);
    }
    const touchesCommand = offset < COMMAND + 2 && COMMAND < offset + size;
    if (touchesCommand) this.#slot?.interruptChanged();
    if (touchesCommand || (offset < BASE_ADDRESS + 24 && BASE_ADDRESS < offset + size)) {
      this.#slot?.decodeChanged();
    }
    if ((this.#command & ~command & BUS_MASTER) !== 0) this.#onBusMaster();
  }

  /** Back to power-on (RST# asserted, section 2.2.1), with the base addresses that the function was plugged in with. */
  reset(): void {
    this.#space.set(this.#powerOn);
    this.#onReset();
    this.#slot?.interruptChanged();
    this.#slot?.decodeChanged();
  }

  saveState(to: StateWriter): void {
    to.bytes(this.#space);
  }

  /** Takes up configuration space; {@link PciBus.loadState} then decodes anew. */
  loadState(from: StateReader): void {
    loadBytes(from, this.#space);
  }
}
