/**
 * The common configuration structure (Virtual I/O Device 1.3, section 4.1.4.3): where a driver negotiates
 * features and sets up queues. A field answers accesses of its own width only, as the specification asks of
 * drivers; any other access reads as zero and is ignored.
 */
import type { AccessSize } from '../platform/bus.ts';
import type { RegisterBlock } from '../platform/pci/registers.ts';
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import type { VirtioDevice } from './device.ts';
import type { Virtqueue } from './queue.ts';

/** Offsets of the fields. */
const DEVICE_FEATURE_SELECT = 0x00;
const DEVICE_FEATURE = 0x04;
const DRIVER_FEATURE_SELECT = 0x08;
const DRIVER_FEATURE = 0x0c;
const CONFIG_MSIX_VECTOR = 0x10;
const NUM_QUEUES = 0x12;
const DEVICE_STATUS = 0x14;
const CONFIG_GENERATION = 0x15;
const QUEUE_SELECT = 0x16;
const QUEUE_SIZE = 0x18;
const QUEUE_MSIX_VECTOR = 0x1a;
const QUEUE_ENABLE = 0x1c;
const QUEUE_NOTIFY_OFF = 0x1e;
const QUEUE_DESC = 0x20;
const QUEUE_DEVICE_END = 0x38;
const QUEUE_RESET = 0x3a;

/** Bytes of the structure, without the fields of the administration virtqueue, which no device here has. */
export const COMMON_CONFIG_BYTES = 0x3c;

/** Width of the field that begins at each offset; 0 where none does. The queue addresses are two halves each. */
const WIDTHS = new Uint8Array(COMMON_CONFIG_BYTES);
for (const offset of [DEVICE_FEATURE_SELECT, DEVICE_FEATURE, DRIVER_FEATURE_SELECT, DRIVER_FEATURE]) {
  WIDTHS[offset] = 4;
}
for (let offset = CONFIG_MSIX_VECTOR; offset < QUEUE_DESC; offset += 2) WIDTHS[offset] = 2;
WIDTHS[DEVICE_STATUS] = 1;
WIDTHS[CONFIG_GENERATION] = 1;
for (let offset = QUEUE_DESC; offset < QUEUE_DEVICE_END; offset += 4) WIDTHS[offset] = 4;
WIDTHS[QUEUE_RESET] = 2;

/** The vector that stands for none. */
export const NO_VECTOR = 0xffff;

/** The common configuration structure of one device, with the MSI-X vectors that the driver gave its events. */
export class CommonConfig implements RegisterBlock, Stateful {
  readonly #device: VirtioDevice;
  readonly #vectors: number;
  readonly #onReset: () => void;
  readonly #queueVectors: Uint16Array;
  #configVector = NO_VECTOR;
  #deviceFeatureSelect = 0;
  #driverFeatureSelect = 0;
  #queueSelect = 0;

  /**
   * @param vectors size of the MSI-X table
   * @param onReset called after the driver reset the device
   */
  constructor(device: VirtioDevice, vectors: number, onReset: () => void) {
    this.#device = device;
    this.#vectors = vectors;
    this.#onReset = onReset;
    this.#queueVectors = new Uint16Array(device.queues.length).fill(NO_VECTOR);
  }

  /** Vector of configuration changes, or {@link NO_VECTOR}. */
  get configVector(): number {
    return this.#configVector;
  }

  /** Vector of a queue, or {@link NO_VECTOR}. */
  queueVector(index: number): number {
    return this.#queueVectors[index]!;
  }

  get #queue(): Virtqueue | undefined {
    return this.#device.queues[this.#queueSelect];
  }

  readRegister(offset: number, size: AccessSize): number {
    if (WIDTHS[offset] !== size) return 0;
    if (offset >= QUEUE_DESC && offset < QUEUE_DEVICE_END) {
      return this.#queue?.addressHalf((offset - QUEUE_DESC) / 4) ?? 0;
    }
    switch (offset) {
      case DEVICE_FEATURE_SELECT:
        return this.#deviceFeatureSelect;
      case DEVICE_FEATURE:
        return this.#device.offeredWord(this.#deviceFeatureSelect);
      case DRIVER_FEATURE_SELECT:
        return this.#driverFeatureSelect;
      case DRIVER_FEATURE:
        return this.#device.acceptedWord(this.#driverFeatureSelect);
      case CONFIG_MSIX_VECTOR:
        return this.#configVector;
      case NUM_QUEUES:
        return this.#device.queues.length;
      case DEVICE_STATUS:
        return this.#device.status;
      case CONFIG_GENERATION:
        return this.#device.configGeneration;
      case QUEUE_SELECT:
        return this.#queueSelect;
      case QUEUE_SIZE:
        return this.#queue?.size ?? 0;
      case QUEUE_MSIX_VECTOR:
        return this.#queueVectors[this.#queueSelect] ?? NO_VECTOR;
      case QUEUE_ENABLE:
        return this.#queue?.enabled ? 1 : 0;
      case QUEUE_NOTIFY_OFF:
        return this.#queue === undefined ? 0 : this.#queueSelect;
      default:
        return 0;
    }
  }

  writeRegister(offset: number, size: AccessSize, value: number): void {
    if (WIDTHS[offset] !== size) return;
    if (offset >= QUEUE_DESC && offset < QUEUE_DEVICE_END) {
      this.#queue?.setAddressHalf((offset - QUEUE_DESC) / 4, value);
      return;
    }
    switch (offset) {
      case DEVICE_FEATURE_SELECT:
        this.#deviceFeatureSelect = value;
        break;
      case DRIVER_FEATURE_SELECT:
        this.#driverFeatureSelect = value;
        break;
      case DRIVER_FEATURE:
        this.#device.accept(this.#driverFeatureSelect, value);
        break;
      case CONFIG_MSIX_VECTOR:
        this.#configVector = this.#validVector(value);
        break;
      case DEVICE_STATUS:
        this.#device.writeStatus(value);
        if (value === 0) this.reset();
        break;
      case QUEUE_SELECT:
        this.#queueSelect = value;
        break;
      case QUEUE_SIZE:
        if (this.#queue !== undefined) this.#queue.size = value;
        break;
      case QUEUE_MSIX_VECTOR:
        if (this.#queue !== undefined) this.#queueVectors[this.#queueSelect] = this.#validVector(value);
        break;
      case QUEUE_ENABLE:
        if (value === 1) this.#device.enableQueue(this.#queueSelect);
        break;
      case QUEUE_RESET:
        if (value === 1) this.#device.resetQueue(this.#queueSelect);
        break;
    }
  }

  /** A vector outside the table cannot be mapped; the driver reads that back (section 4.1.5.1.2.1). */
  #validVector(vector: number): number {
    return vector < this.#vectors ? vector : NO_VECTOR;
  }

  /** The device was reset: no event is mapped to a vector any more. */
  reset(): void {
    this.#configVector = NO_VECTOR;
    this.#queueVectors.fill(NO_VECTOR);
    this.#deviceFeatureSelect = 0;
    this.#driverFeatureSelect = 0;
    this.#queueSelect = 0;
    this.#onReset();
  }

  saveState(to: StateWriter): void {
    to.u16(this.#configVector);
    for (const vector of this.#queueVectors) to.u16(vector);
    to.u32(this.#deviceFeatureSelect);
    to.u32(this.#driverFeatureSelect);
    to.u16(this.#queueSelect);
  }

  loadState(from: StateReader): void {
    this.#configVector = from.u16();
    for (let i = 0; i < this.#queueVectors.length; i++) this.#queueVectors[i] = from.u16();
    this.#deviceFeatureSelect = from.u32();
    this.#driverFeatureSelect = from.u32();
    this.#queueSelect = from.u16();
  }
}
