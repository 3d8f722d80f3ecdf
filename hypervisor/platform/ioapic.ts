/**
 * The I/O APIC: 24 interrupt inputs, each with a redirection entry that says which message it becomes. Names
 * are those of Intel's 82093AA data sheet; version 0x20 adds the EOI register (ICH data sheets).
 *
 * Inputs are asserted or not; the polarity bit is kept but means nothing here. The ID and arbitration
 * registers are kept as well: messages need no arbitration.
 */
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import { BROADCAST, type InterruptNetwork } from './apic/network.ts';
import { DELIVERY } from './apic/registers.ts';
import type { AccessExit, AccessSize, MmioDevice } from './bus.ts';

/** Inputs, which are the global system interrupts 0 … 23. */
export const IOAPIC_INPUTS = 24;
/** Bytes of registers that the I/O APIC decodes. */
export const IOAPIC_LENGTH = 0x1000;

const IOREGSEL = 0x00;
const IOWIN = 0x10;
const EOI = 0x40;
const INDEX = { id: 0, version: 1, arbitration: 2, redirection: 0x10 } as const;
const VERSION = ((IOAPIC_INPUTS - 1) << 16) | 0x20;
/** Bits of a redirection entry's low half. */
const ENTRY = { logical: 1 << 11, remoteIrr: 1 << 14, levelTriggered: 1 << 15, masked: 1 << 16 } as const;
/** Low half without the read-only delivery status (which is always idle) and remote IRR. */
const WRITABLE = 0x1_afff;
const DESTINATION = 0xff00_0000;

/** One I/O APIC on {@link IOAPIC_LENGTH} bytes of MMIO. */
export class IoApic implements MmioDevice, Stateful {
  readonly #network: InterruptNetwork;
  #select = 0;
  #id = 0;
  #lines = 0;
  readonly #low = new Uint32Array(IOAPIC_INPUTS).fill(ENTRY.masked);
  readonly #high = new Uint32Array(IOAPIC_INPUTS);

  constructor(network: InterruptNetwork) {
    this.#network = network;
    network.onEndOfInterrupt((vector) => this.#endOfInterrupt(vector));
  }

  /** Drives an input, 0 … 23. */
  setLine(input: number, asserted: boolean): void {
    const bit = 1 << input;
    if (asserted === ((this.#lines & bit) !== 0)) return;
    this.#lines ^= bit;
    if (!asserted) return;
    // An edge at a masked input is lost (data sheet 3.2.4, "Interrupt Mask").
    if (this.#low[input]! & ENTRY.levelTriggered) this.#sampleLevel(input);
    else if ((this.#low[input]! & ENTRY.masked) === 0) this.#send(input);
  }

  exitAt(): AccessExit {
    return 'kernel';
  }

  readMmio(offset: number, size: AccessSize): number {
    if (size !== 4) return 0;
    if (offset === IOREGSEL) return this.#select;
    return offset === IOWIN ? this.#readRegister() : 0;
  }

  writeMmio(offset: number, size: AccessSize, value: number): void {
    if (offset === IOREGSEL) this.#select = value & 0xff;
    else if (offset === IOWIN && size === 4) this.#writeRegister(value);
    else if (offset === EOI) this.#endOfInterrupt(value & 0xff);
  }

  #readRegister(): number {
    switch (this.#select) {
      case INDEX.id:
      case INDEX.arbitration:
        return this.#id;
      case INDEX.version:
        return VERSION;
    }
    const input = (this.#select - INDEX.redirection) >> 1;
    if (input < 0 || input >= IOAPIC_INPUTS) return 0;
    return this.#select & 1 ? this.#high[input]! : this.#low[input]!;
  }

  #writeRegister(value: number): void {
    if (this.#select === INDEX.id) this.#id = value & 0x0f00_0000;
    const input = (this.#select - INDEX.redirection) >> 1;
    if (input < 0 || input >= IOAPIC_INPUTS) return;
    if (this.#select & 1) this.#high[input] = value & DESTINATION;
    else {
      // An edge-triggered entry has no remote IRR; a change to level and back is how software clears one.
      const remoteIrr = value & ENTRY.levelTriggered ? this.#low[input]! & ENTRY.remoteIrr : 0;
      this.#low[input] = (value & WRITABLE) | remoteIrr;
      this.#sampleLevel(input);
    }
  }

  /** A level-triggered input that is asserted is sent once, until its EOI. */
  #sampleLevel(input: number): void {
    const state = this.#low[input]! & (ENTRY.levelTriggered | ENTRY.masked | ENTRY.remoteIrr);
    if (state !== ENTRY.levelTriggered || (this.#lines & (1 << input)) === 0) return;
    if (this.#send(input)) this.#low[input]! |= ENTRY.remoteIrr;
  }

  /** Sends an entry's message; true when it now waits for an EOI. */
  #send(input: number): boolean {
    const low = this.#low[input]!;
    const delivery = (low >> 8) & 7;
    const fixed = delivery === DELIVERY.fixed || delivery === DELIVERY.lowestPriority;
    const destination = this.#high[input]! >>> 24;
    const accepted = this.#network.send(
      destination === 0xff ? BROADCAST : destination,
      (low & ENTRY.logical) !== 0,
      delivery,
      low & 0xff,
      fixed && (low & ENTRY.levelTriggered) !== 0,
    );
    return accepted && fixed;
  }

  #endOfInterrupt(vector: number): void {
    for (let input = 0; input < IOAPIC_INPUTS; input++) {
      if ((this.#low[input]! & (0xff | ENTRY.remoteIrr)) !== (vector | ENTRY.remoteIrr)) continue;
      this.#low[input]! &= ~ENTRY.remoteIrr;
      this.#sampleLevel(input);
    }
  }

  saveState(to: StateWriter): void {
    to.u8(this.#select);
    to.u32(this.#id);
    to.u32(this.#lines);
    for (let input = 0; input < IOAPIC_INPUTS; input++) {
      to.u32(this.#low[input]!);
      to.u32(this.#high[input]!);
    }
  }

  loadState(from: StateReader): void {
    this.#select = from.u8();
    this.#id = from.u32();
    this.#lines = from.u32();
    for (let input = 0; input < IOAPIC_INPUTS; input++) {
      this.#low[input] = from.u32();
      this.#high[input] = from.u32();
    }
  }
}
