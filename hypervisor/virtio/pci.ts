/**
 * Virtio over PCI (Virtual I/O Device 1.3, section 4.1), without the legacy interface: a PCI function whose
 * vendor capabilities say where its BARs hold the device's registers.
 *
 * BAR 0 has a page for each structure; BAR 1 holds the MSI-X table.
 */
import type { AccessExit, AccessSize, MessageInterrupt } from '../platform/bus.ts';
import { PciFunction } from '../platform/pci/function.ts';
import { MSIX_BAR_SIZE, Msix } from '../platform/pci/msix.ts';
import { type RegisterBlock, readLittleEndian, writeLittleEndian } from '../platform/pci/registers.ts';
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import { COMMON_CONFIG_BYTES, CommonConfig, NO_VECTOR } from './commonconfig.ts';
import type { DeviceTransport, VirtioDevice } from './device.ts';

/** Section 4.1.2.1: the vendor, and the device ID of a device of type 0. */
const VENDOR = 0x1af4;
const FIRST_DEVICE = 0x1040;

/** Non-transitional devices have at least revision 1 and subsystem device ID 40h (section 4.1.2.1). */
const REVISION = 1;
const FIRST_SUBSYSTEM = 0x40;

/** Class codes by virtio device type (PCI Local Bus Specification 3.0, appendix D); FFh is for what fits no class. */
const CLASS_CODES: Readonly<Record<number, number>> = { 1: 0x020000, 2: 0x018000, 3: 0x078000 };
const NO_CLASS = 0xff0000;

/** Vendor capability and the kinds of structure it can tell of (section 4.1.4). */
const VENDOR_CAPABILITY = 0x09;
const COMMON_CFG = 1;
const NOTIFY_CFG = 2;
const ISR_CFG = 3;
const DEVICE_CFG = 4;
const PCI_CFG = 5;

/** Where BAR 0 has each structure. */
const REGISTERS_BAR = 0;
const MSIX_BAR = 1;
const COMMON_OFFSET = 0x0000;
const ISR_OFFSET = 0x1000;
const DEVICE_OFFSET = 0x2000;
const NOTIFY_OFFSET = 0x3000;
const STRUCTURE_BYTES = 0x1000;
const BAR_BYTES = 0x4000;

/** Each queue has a notification register of its own, this many bytes apart. */
const NOTIFY_OFF_MULTIPLIER = 4;

/** Bits of the ISR status. */
const QUEUE_INTERRUPT = 1;
const CONFIG_INTERRUPT = 2;

/** Offsets in the capability structure; the window's data follow it (section 4.1.4.9). */
const CAP_BAR = 4;
const CAP_OFFSET = 8;
const CAP_LENGTH = 12;
const CAP_BYTES = 16;
const CAP_DATA = 16;

/** INTx# pin of a device that sits alone in its slot. */
const INTA = 1;

/** The body of a capability that tells where a structure is; `extra` bytes follow it. */
function structureCapability(type: number, offset: number, length: number, extra: number): Uint8Array {
  const whole = new Uint8Array(CAP_BYTES + extra);
  whole[2] = whole.length;
  whole[3] = type;
  whole[CAP_BAR] = REGISTERS_BAR;
  writeLittleEndian(whole, CAP_OFFSET, 4, offset);
  writeLittleEndian(whole, CAP_LENGTH, 4, length);
  return whole.subarray(2);
}

/** A virtio device as a PCI function; a machine plugs {@link pciFunction} into a slot. */
export class VirtioPci implements DeviceTransport, RegisterBlock, Stateful {
  readonly device: VirtioDevice;
  readonly pciFunction: PciFunction;
  readonly #msix: Msix;
  readonly #common: CommonConfig;
  readonly #window: Uint8Array;
  #isr = 0;

  /** @param deliver where MSI-X messages go */
  constructor(device: VirtioDevice, deliver: MessageInterrupt) {
    const { type, name, config } = device.model;
    this.device = device;
    this.#msix = new Msix(device.queues.length + 1, deliver);
    this.#common = new CommonConfig(device, this.#msix.vectors, () => this.#setIsr(0));
    this.pciFunction = new PciFunction({
      name,
      identity: {
        vendor: VENDOR,
        device: FIRST_DEVICE + type,
        revision: REVISION,
        classCode: CLASS_CODES[type] ?? NO_CLASS,
        subsystemVendor: VENDOR,
        subsystem: FIRST_SUBSYSTEM + type,
      },
      bars: [
        { kind: 'memory', size: BAR_BYTES, registers: this },
        { kind: 'memory', size: MSIX_BAR_SIZE, registers: this.#msix },
      ],
      interruptPin: INTA,
      onReset: () => {
        this.#msix.reset();
        this.device.reset();
        this.#common.reset();
      },
      onBusMaster: () => {
        this.#msix.sendPending();
        this.device.resume();
      },
    });
    this.#addStructure(COMMON_CFG, COMMON_OFFSET, COMMON_CONFIG_BYTES);
    this.#addStructure(ISR_CFG, ISR_OFFSET, 1);
    if (config.length > 0) this.#addStructure(DEVICE_CFG, DEVICE_OFFSET, config.length);
    const notify = structureCapability(
      NOTIFY_CFG,
      NOTIFY_OFFSET,
      device.queues.length * NOTIFY_OFF_MULTIPLIER,
      4,
    );
    writeLittleEndian(notify, CAP_BYTES - 2, 4, NOTIFY_OFF_MULTIPLIER);
    this.pciFunction.addCapability({ id: VENDOR_CAPABILITY, body: notify });
    this.#window = this.#addWindow();
    this.#msix.install(this.pciFunction, MSIX_BAR, () => this.#setIsr(this.#isr));
    device.transport = this;
  }

  #addStructure(type: number, offset: number, length: number): void {
    this.pciFunction.addCapability({
      id: VENDOR_CAPABILITY,
      body: structureCapability(type, offset, length, 0),
    });
  }

  /** The window through which configuration space reaches the registers of BAR 0. */
  #addWindow(): Uint8Array {
    const writable = new Uint8Array(CAP_BYTES + 2).fill(0xff);
    writable.fill(0, 0, CAP_BAR - 2);
    writable.fill(0, CAP_BAR - 1, CAP_OFFSET - 2);
    return this.pciFunction.addCapability({
      id: VENDOR_CAPABILITY,
      body: structureCapability(PCI_CFG, 0, 0, 4),
      writable,
      beforeRead: (offset, length) => {
        if (offset + length > CAP_DATA) this.#throughWindow(false);
      },
      afterWrite: (offset, length) => {
        if (offset + length > CAP_DATA) this.#throughWindow(true);
      },
    });
  }

  #throughWindow(write: boolean): void {
    const offset = readLittleEndian(this.#window, CAP_OFFSET, 4);
    const length = readLittleEndian(this.#window, CAP_LENGTH, 4);
    if (this.#window[CAP_BAR] !== REGISTERS_BAR || (length !== 1 && length !== 2 && length !== 4)) return;
    if (offset % length !== 0 || offset + length > BAR_BYTES) return;
    if (write) this.writeRegister(offset, length, readLittleEndian(this.#window, CAP_DATA, length));
    else writeLittleEndian(this.#window, CAP_DATA, length, this.readRegister(offset, length));
  }

  /** A notification is a signal (`ioeventfd`). */
  exitAt(offset: number, write: boolean): AccessExit {
    return write && offset >= NOTIFY_OFFSET ? 'signal' : 'user';
  }

  /** Reads BAR 0. */
  readRegister(offset: number, size: AccessSize): number {
    const within = offset % STRUCTURE_BYTES;
    switch (offset - within) {
      case COMMON_OFFSET:
        return this.#common.readRegister(within, size);
      case ISR_OFFSET:
        return within === 0 ? this.#takeIsr() : 0;
      case DEVICE_OFFSET:
        return this.device.readConfig(within, size);
      default:
        return 0;
    }
  }

  /** Writes BAR 0. */
  writeRegister(offset: number, size: AccessSize, value: number): void {
    const within = offset % STRUCTURE_BYTES;
    switch (offset - within) {
      case COMMON_OFFSET:
        this.#common.writeRegister(within, size, value);
        break;
      case DEVICE_OFFSET:
        this.device.writeConfig(within, size, value);
        break;
      case NOTIFY_OFFSET:
        if (size === 2 && within % NOTIFY_OFF_MULTIPLIER === 0)
          this.device.kick(within / NOTIFY_OFF_MULTIPLIER);
        break;
    }
  }

  /** A read of the ISR status clears it and takes INTx# back (section 4.1.4.5). */
  #takeIsr(): number {
    const isr = this.#isr;
    this.#setIsr(0);
    return isr;
  }

  #setIsr(isr: number): void {
    this.#isr = isr;
    this.pciFunction.interruptStatus = isr !== 0 && !this.#msix.enabled;
  }

  get busMaster(): boolean {
    return this.pciFunction.busMaster;
  }

  queueInterrupt(queue: number): void {
    if (this.#msix.enabled) this.#request(this.#common.queueVector(queue));
    else this.#setIsr(this.#isr | QUEUE_INTERRUPT);
  }

  configInterrupt(): void {
    this.#setIsr(this.#isr | CONFIG_INTERRUPT);
    if (this.#msix.enabled) this.#request(this.#common.configVector);
  }

  #request(vector: number): void {
    if (vector !== NO_VECTOR) this.#msix.request(vector);
  }

  /** Writes the device and its registers; configuration space is saved with the PCI bus. */
  saveState(to: StateWriter): void {
    to.u8(this.#isr);
    this.#msix.saveState(to);
    this.#common.saveState(to);
    this.device.saveState(to);
  }

  loadState(from: StateReader): void {
    this.#isr = from.u8();
    this.#msix.loadState(from);
    this.#common.loadState(from);
    this.device.loadState(from);
  }
}
