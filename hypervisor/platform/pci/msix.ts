/**
 * MSI-X (PCI Local Bus Specification 3.0, section 6.8.2): a table of messages in a BAR, one entry a vector, and
 * a pending bit for each that waits for its mask to be lifted.
 */
import type { Stateful, StateReader, StateWriter } from '../../state/state.ts';
import type { AccessSize, MessageInterrupt } from '../bus.ts';
import type { PciFunction } from './function.ts';
import { allOnes, loadBytes, type RegisterBlock, readLittleEndian, writeLittleEndian } from './registers.ts';

const CAPABILITY_ID = 0x11;

/** Bytes of the capability: ID, next, message control, table and PBA offset. */
const MESSAGE_CONTROL = 2;
const CAPABILITY_BYTES = 12;

/** Message control: bit 14 masks all vectors, bit 15 enables MSI-X. */
const FUNCTION_MASK = 1 << 14;
const ENABLE = 1 << 15;

/** A table entry: message address (low, high), message data, vector control. */
const ENTRY_BYTES = 16;
const MESSAGE_DATA = 8;
const VECTOR_CONTROL = 12;
const MASKED = 1;

/** Where the BAR has its two structures. */
const PBA_OFFSET = 0x800;

/** Size of the BAR that {@link Msix} answers on, in bytes. */
export const MSIX_BAR_SIZE = 0x1000;

/** The most vectors that fit beside the pending bits. */
export const MSIX_MOST_VECTORS = PBA_OFFSET / ENTRY_BYTES;

/** A function's MSI-X table, pending bits and capability. */
export class Msix implements Stateful, RegisterBlock {
  readonly vectors: number;
  readonly #deliver: MessageInterrupt;
  readonly #table: Uint8Array;
  readonly #pending: Uint8Array;
  #function: PciFunction | undefined;
  #capability: Uint8Array = new Uint8Array(CAPABILITY_BYTES);

  /**
   * @param vectors 1 to {@link MSIX_MOST_VECTORS}
   * @param deliver where messages go
   */
  constructor(vectors: number, deliver: MessageInterrupt) {
    if (vectors < 1 || vectors > MSIX_MOST_VECTORS) throw new Error(`MSI-X with ${vectors} vectors`);
    this.vectors = vectors;
    this.#deliver = deliver;
    this.#table = new Uint8Array(vectors * ENTRY_BYTES);
    this.#pending = new Uint8Array(Math.ceil(vectors / 64) * 8);
    this.reset();
  }

  /**
   * Adds the capability to the function whose BAR number `bar` shows this table.
   * @param onChange called when a guest may have enabled or disabled MSI-X
   */
  install(pciFunction: PciFunction, bar: number, onChange: () => void): void {
    const body = new Uint8Array(CAPABILITY_BYTES - 2);
    writeLittleEndian(body, 0, 2, this.vectors - 1);
    writeLittleEndian(body, 2, 4, bar);
    writeLittleEndian(body, 6, 4, PBA_OFFSET + bar);
    const writable = new Uint8Array(body.length);
    writeLittleEndian(writable, 0, 2, ENABLE | FUNCTION_MASK);
    this.#function = pciFunction;
    this.#capability = pciFunction.addCapability({
      id: CAPABILITY_ID,
      body,
      writable,
      afterWrite: () => {
        this.sendPending();
        onChange();
      },
    });
  }

  get #control(): number {
    return readLittleEndian(this.#capability, MESSAGE_CONTROL, 2);
  }

  /** True while the guest uses MSI-X; then the function must not use INTx#. */
  get enabled(): boolean {
    return (this.#control & ENABLE) !== 0;
  }

  /** Requests vector `vector`, while MSI-X is enabled: sends its message, or sets its pending bit while it is masked. */
  request(vector: number): void {
    this.#pending[vector >> 3]! |= 1 << (vector & 7);
    this.#send(vector);
  }

  /** Sends the messages of all pending vectors that nothing holds back any more. */
  sendPending(): void {
    for (let vector = 0; vector < this.vectors; vector++) this.#send(vector);
  }

  #send(vector: number): void {
    const bit = 1 << (vector & 7);
    if ((this.#pending[vector >> 3]! & bit) === 0) return;
    if ((this.#control & (ENABLE | FUNCTION_MASK)) !== ENABLE || !this.#function?.busMaster) return;
    const entry = vector * ENTRY_BYTES;
    if ((this.#table[entry + VECTOR_CONTROL]! & MASKED) !== 0) return;
    this.#pending[vector >> 3]! &= ~bit;
    const low = readLittleEndian(this.#table, entry, 4);
    const high = readLittleEndian(this.#table, entry + 4, 4);
    this.#deliver(high * 2 ** 32 + low, readLittleEndian(this.#table, entry + MESSAGE_DATA, 4));
  }

  readRegister(offset: number, size: AccessSize): number {
    if (offset + size <= this.#table.length) return readLittleEndian(this.#table, offset, size);
    const inPba = offset - PBA_OFFSET;
    if (inPba >= 0 && inPba + size <= this.#pending.length) {
      return readLittleEndian(this.#pending, inPba, size);
    }
    return 0;
  }

  /** Writes to the table; the pending bits are read-only. Reserved bits of the vector control stay zero. */
  writeRegister(offset: number, size: AccessSize, value: number): void {
    if (offset + size > this.#table.length) return;
    writeLittleEndian(this.#table, offset, size, value & allOnes(size));
    const first = offset - (offset % ENTRY_BYTES);
    const last = offset + size - 1 - ((offset + size - 1) % ENTRY_BYTES);
    for (let entry = first; entry <= last; entry += ENTRY_BYTES) {
      this.#table[entry + VECTOR_CONTROL]! &= MASKED;
      this.#table.fill(0, entry + VECTOR_CONTROL + 1, entry + ENTRY_BYTES);
      this.#send(entry / ENTRY_BYTES);
    }
  }

  /** Back to power-on: every vector masked, nothing pending. */
  reset(): void {
    this.#table.fill(0);
    this.#pending.fill(0);
    for (let entry = 0; entry < this.#table.length; entry += ENTRY_BYTES) {
      this.#table[entry + VECTOR_CONTROL] = MASKED;
    }
  }

  saveState(to: StateWriter): void {
    to.bytes(this.#table);
    to.bytes(this.#pending);
  }

  loadState(from: StateReader): void {
    loadBytes(from, this.#table);
    loadBytes(from, this.#pending);
  }
}
