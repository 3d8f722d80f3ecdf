/**
 * A 16550A serial port, as COM1 of a PC. Names and bits are those of National Semiconductor's PC16550D data
 * sheet, section 8.
 *
 * Transmission takes no time: a byte written to THR is on the wire at once. The far end is a terminal that is
 * always ready (CTS, DSR and DCD are asserted) and whose bytes wait on the wire until the receiver has room, so
 * that none is lost. The time-out that reports a FIFO below its trigger level comes at once.
 */
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import type { InterruptLine } from './bus.ts';
import type { ByteDevice } from './isa.ts';

const IER = { receivedData: 1, transmitterEmpty: 2, lineStatus: 4, modemStatus: 8 } as const;
/** Interrupt identification (IIR bits 3:0), highest priority first. */
const IIR = {
  lineStatus: 6,
  receivedData: 4,
  timeout: 12,
  transmitterEmpty: 2,
  modemStatus: 0,
  none: 1,
} as const;
const IIR_FIFOS_ENABLED = 0xc0;
const FCR = { enable: 1, clearReceiver: 2 } as const;
const LCR_DLAB = 0x80;
const MCR = { dtr: 1, rts: 2, out1: 4, out2: 8, loop: 16 } as const;
const LSR = { dataReady: 1, overrun: 2, transmitterIdle: 0x60 } as const;
const MSR = { cts: 0x10, dsr: 0x20, ri: 0x40, dcd: 0x80 } as const;
const FIFO_DEPTH = 16;
const TRIGGER_LEVELS = [1, 4, 8, 14] as const;

/** A 16550A on eight consecutive ports. */
export class Uart implements ByteDevice, Stateful {
  readonly #line: InterruptLine;
  readonly #transmit: (byte: number) => void;
  #ier = 0;
  #lcr = 0;
  #mcr = 0;
  #msr: number = MSR.cts | MSR.dsr | MSR.dcd;
  #scratch = 0;
  #divisor = 0;
  #fifoControl = 0;
  #overrun = false;
  /** The transmitter has become empty, and no read of IIR has cleared that interrupt. */
  #transmitterEmpty = false;
  readonly #fifo = new Uint8Array(FIFO_DEPTH);
  #fifoHead = 0;
  #fifoCount = 0;
  #wire: Uint8Array = new Uint8Array(0);
  #wireAt = 0;

  /**
   * @param line the interrupt request
   * @param transmit takes each byte that the guest sends
   */
  constructor(line: InterruptLine, transmit: (byte: number) => void) {
    this.#line = line;
    this.#transmit = transmit;
  }

  /** Puts bytes for the guest on the wire. */
  receive(bytes: Uint8Array): void {
    const waiting = this.#wire.subarray(this.#wireAt);
    const wire = new Uint8Array(waiting.length + bytes.length);
    wire.set(waiting);
    wire.set(bytes, waiting.length);
    this.#wire = wire;
    this.#wireAt = 0;
    this.#takeFromWire();
    this.#update();
  }

  readByte(port: number): number {
    switch (port & 7) {
      case 0:
        return this.#lcr & LCR_DLAB ? this.#divisor & 0xff : this.#readReceiver();
      case 1:
        return this.#lcr & LCR_DLAB ? this.#divisor >> 8 : this.#ier;
      case 2:
        return this.#readInterruptIdentification();
      case 3:
        return this.#lcr;
      case 4:
        return this.#mcr;
      case 5:
        return this.#readLineStatus();
      case 6:
        return this.#readModemStatus();
      default:
        return this.#scratch;
    }
  }

  writeByte(port: number, byte: number): void {
    switch (port & 7) {
      case 0:
        if (this.#lcr & LCR_DLAB) this.#divisor = (this.#divisor & 0xff00) | byte;
        else this.#send(byte);
        break;
      case 1:
        if (this.#lcr & LCR_DLAB) this.#divisor = (this.#divisor & 0xff) | (byte << 8);
        else this.#writeInterruptEnable(byte & 0x0f);
        break;
      case 2:
        this.#writeFifoControl(byte);
        break;
      case 3:
        this.#lcr = byte;
        break;
      case 4:
        this.#writeModemControl(byte & 0x1f);
        break;
      case 7:
        this.#scratch = byte;
        break;
      default: // LSR and MSR are for reading only
        break;
    }
    this.#update();
  }

  get #loop(): boolean {
    return (this.#mcr & MCR.loop) !== 0;
  }

  #readReceiver(): number {
    const byte = this.#fifoCount > 0 ? this.#fifo[this.#fifoHead]! : 0;
    if (this.#fifoCount > 0) {
      this.#fifoHead = (this.#fifoHead + 1) % FIFO_DEPTH;
      this.#fifoCount--;
    }
    this.#takeFromWire();
    this.#update();
    return byte;
  }

  #readInterruptIdentification(): number {
    const source = this.#interrupt();
    if (source === IIR.transmitterEmpty) {
      this.#transmitterEmpty = false;
      this.#update();
    }
    return source | (this.#fifoControl & FCR.enable ? IIR_FIFOS_ENABLED : 0);
  }

  #readLineStatus(): number {
    const status =
      LSR.transmitterIdle | (this.#fifoCount > 0 ? LSR.dataReady : 0) | (this.#overrun ? LSR.overrun : 0);
    this.#overrun = false;
    this.#update();
    return status;
  }

  #readModemStatus(): number {
    const status = this.#msr;
    this.#msr &= 0xf0;
    this.#update();
    return status;
  }

  #send(byte: number): void {
    const character = byte & (0xff >> (3 - (this.#lcr & 3)));
    if (!this.#loop) this.#transmit(character);
    else if (this.#fifoCount < this.#depth) this.#push(character);
    else this.#overrun = true;
    this.#transmitterEmpty = true;
  }

  #writeInterruptEnable(value: number): void {
    // The transmitter is always empty, so enabling its interrupt raises it (data sheet 8.6, 8.7).
    const enabled = value & IER.transmitterEmpty;
    if (enabled && !(this.#ier & IER.transmitterEmpty)) this.#transmitterEmpty = true;
    this.#ier = value;
  }

  #writeFifoControl(value: number): void {
    const toggled = ((value ^ this.#fifoControl) & FCR.enable) !== 0;
    if (toggled || (value & (FCR.enable | FCR.clearReceiver)) === (FCR.enable | FCR.clearReceiver)) {
      this.#fifoHead = 0;
      this.#fifoCount = 0;
    }
    this.#fifoControl = value & FCR.enable ? value & 0xc9 : 0;
    this.#takeFromWire();
  }

  #writeModemControl(value: number): void {
    this.#mcr = value;
    let inputs: number = MSR.cts | MSR.dsr | MSR.dcd;
    if (this.#loop) {
      inputs =
        (value & MCR.rts ? MSR.cts : 0) |
        (value & MCR.dtr ? MSR.dsr : 0) |
        (value & MCR.out1 ? MSR.ri : 0) |
        (value & MCR.out2 ? MSR.dcd : 0);
    }
    const before = this.#msr & 0xf0;
    // CTS, DSR and DCD report any change, RI only its end (data sheet 8.9).
    const changed = (before ^ inputs) & ~(inputs & MSR.ri);
    this.#msr = inputs | (this.#msr & 0x0f) | (changed >> 4);
    this.#takeFromWire();
  }

  get #depth(): number {
    return this.#fifoControl & FCR.enable ? FIFO_DEPTH : 1;
  }

  #push(byte: number): void {
    this.#fifo[(this.#fifoHead + this.#fifoCount) % FIFO_DEPTH] = byte;
    this.#fifoCount++;
  }

  #takeFromWire(): void {
    if (this.#loop) return;
    while (this.#fifoCount < this.#depth && this.#wireAt < this.#wire.length) {
      this.#push(this.#wire[this.#wireAt++]!);
    }
  }

  #interrupt(): number {
    if (this.#ier & IER.lineStatus && this.#overrun) return IIR.lineStatus;
    if (this.#ier & IER.receivedData && this.#fifoCount > 0) {
      const fifos = (this.#fifoControl & FCR.enable) !== 0;
      return fifos && this.#fifoCount < TRIGGER_LEVELS[this.#fifoControl >> 6]!
        ? IIR.timeout
        : IIR.receivedData;
    }
    if (this.#ier & IER.transmitterEmpty && this.#transmitterEmpty) return IIR.transmitterEmpty;
    if (this.#ier & IER.modemStatus && this.#msr & 0x0f) return IIR.modemStatus;
    return IIR.none;
  }

  /** On a PC, OUT2 gates the interrupt to the bus; in loopback the output pins are inactive. */
  #update(): void {
    const gate = (this.#mcr & (MCR.out2 | MCR.loop)) === MCR.out2;
    this.#line(gate && this.#interrupt() !== IIR.none);
  }

  saveState(to: StateWriter): void {
    to.u8(this.#ier);
    to.u8(this.#lcr);
    to.u8(this.#mcr);
    to.u8(this.#msr);
    to.u8(this.#scratch);
    to.u16(this.#divisor);
    to.u8(this.#fifoControl);
    to.bool(this.#overrun);
    to.bool(this.#transmitterEmpty);
    to.bytes(
      Uint8Array.from({ length: this.#fifoCount }, (_, i) => this.#fifo[(this.#fifoHead + i) % FIFO_DEPTH]!),
    );
    to.bytes(this.#wire.subarray(this.#wireAt));
  }

  loadState(from: StateReader): void {
    this.#ier = from.u8();
    this.#lcr = from.u8();
    this.#mcr = from.u8();
    this.#msr = from.u8();
    this.#scratch = from.u8();
    this.#divisor = from.u16();
    this.#fifoControl = from.u8();
    this.#overrun = from.bool();
    this.#transmitterEmpty = from.bool();
    const fifo = from.bytes().subarray(0, FIFO_DEPTH);
    this.#fifo.set(fifo);
    this.#fifoHead = 0;
    this.#fifoCount = fifo.length;
    this.#wire = from.bytes();
    this.#wireAt = 0;
  }
}
