/**
 * The two 8259A interrupt controllers of a PC, the second on input 2 of the first, and the edge/level control
 * registers (ELCR) that later chipsets added. Names are those of Intel's 8259A data sheet; the ELCR is described
 * in the PIIX3 data sheet.
 */
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import type { InterruptLine } from './bus.ts';
import type { ByteDevice } from './isa.ts';

const ICW1 = { icw4Needed: 1, single: 2 } as const;
const ICW4 = { autoEoi: 2, specialFullyNested: 16 } as const;
const NONE = -1;
/** Which control word a write to the data port is. */
const EXPECT = { ocw1: 0, icw2: 2, icw3: 3, icw4: 4 } as const;

/** One 8259A in 8086 mode. */
class Pic8259 implements Stateful {
  readonly #interrupt: InterruptLine;
  /** Inputs that another 8259A drives. */
  readonly #cascaded: number;
  #lines = 0;
  /** Rising edges seen on edge-triggered inputs that are still high. */
  #edges = 0;
  #levelTriggered = 0;
  #mask = 0;
  #inService = 0;
  #vectorBase = 0;
  #icw1 = 0;
  #icw4 = 0;
  #expect: number = EXPECT.ocw1;
  #lowestPriority = 7;
  #rotateOnAutoEoi = false;
  #specialMask = false;
  #readInService = false;
  #poll = false;

  constructor(interrupt: InterruptLine, cascaded: number) {
    this.#interrupt = interrupt;
    this.#cascaded = cascaded;
  }

  get levelTriggered(): number {
    return this.#levelTriggered;
  }

  set levelTriggered(inputs: number) {
    this.#levelTriggered = inputs;
    this.#edges &= ~inputs;
    this.#update();
  }

  setLine(input: number, asserted: boolean): void {
    const bit = 1 << input;
    if (asserted === ((this.#lines & bit) !== 0)) return;
    this.#lines ^= bit;
    // A request that is withdrawn before it is acknowledged is gone (data sheet, "Edge and level triggered modes").
    if (asserted) this.#edges |= bit & ~this.#levelTriggered;
    else this.#edges &= ~bit;
    this.#update();
  }

  /** The input that the chip would acknowledge now, or {@link NONE}. */
  get request(): number {
    const requests = this.#requests & ~this.#mask;
    if (requests === 0) return NONE;
    let blocking = this.#inService;
    if (this.#specialMask) blocking &= ~this.#mask;
    if (this.#icw4 & ICW4.specialFullyNested) blocking &= ~this.#cascaded;
    for (let i = 1; i <= 8; i++) {
      const input = (this.#lowestPriority + i) & 7;
      if (blocking & (1 << input)) return NONE;
      if (requests & (1 << input)) return input;
    }
    return NONE;
  }

  /** The vector of an input; of input 7 when there is no request (the default of an INTA cycle). */
  vector(input: number): number {
    return this.#vectorBase | (input === NONE ? 7 : input);
  }

  /** An INTA cycle: takes the request into service and says which input it is, or {@link NONE}. */
  acknowledge(): number {
    const input = this.request;
    if (input === NONE) return NONE;
    const bit = 1 << input;
    this.#interrupt(false); // INT falls in every INTA cycle, so that a further request is an edge for a master
    this.#edges &= ~bit;
    if ((this.#icw4 & ICW4.autoEoi) === 0) this.#inService |= bit;
    else if (this.#rotateOnAutoEoi) this.#lowestPriority = input;
    this.#update();
    return input;
  }

  readCommand(): number {
    if (!this.#poll) return this.#readInService ? this.#inService : this.#requests;
    return this.#readPoll();
  }

  readData(): number {
    return this.#poll ? this.#readPoll() : this.#mask;
  }

  #readPoll(): number {
    this.#poll = false;
    const input = this.acknowledge();
    return input === NONE ? 0 : 0x80 | input;
  }

  writeCommand(value: number): void {
    if (value & 0x10) this.#initialize(value);
    else if (value & 0x08) this.#writeOcw3(value);
    else this.#writeOcw2(value);
    this.#update();
  }

  writeData(value: number): void {
    switch (this.#expect) {
      case EXPECT.icw2:
        this.#vectorBase = value & 0xf8;
        this.#expect = this.#icw1 & ICW1.single ? this.#afterIcw3 : EXPECT.icw3;
        break;
      case EXPECT.icw3: // the wiring of a PC is fixed, so what it says of it changes nothing
        this.#expect = this.#afterIcw3;
        break;
      case EXPECT.icw4:
        this.#icw4 = value;
        this.#expect = EXPECT.ocw1;
        break;
      default:
        this.#mask = value;
    }
    this.#update();
  }

  get #requests(): number {
    return this.#edges | (this.#lines & this.#levelTriggered);
  }

  get #afterIcw3(): number {
    return this.#icw1 & ICW1.icw4Needed ? EXPECT.icw4 : EXPECT.ocw1;
  }

  #initialize(icw1: number): void {
    this.#icw1 = icw1;
    this.#icw4 = 0;
    this.#edges = 0;
    this.#mask = 0;
    this.#inService = 0;
    this.#lowestPriority = 7;
    this.#rotateOnAutoEoi = false;
    this.#specialMask = false;
    this.#readInService = false;
    this.#poll = false;
    this.#expect = EXPECT.icw2;
  }

  #writeOcw2(value: number): void {
    const level = value & 7;
    switch (value >> 5) {
      case 0b001:
        this.#endOfInterrupt(this.#highestInService, false);
        break;
      case 0b011:
        this.#endOfInterrupt(level, false);
        break;
      case 0b101:
        this.#endOfInterrupt(this.#highestInService, true);
        break;
      case 0b111:
        this.#endOfInterrupt(level, true);
        break;
      case 0b100:
        this.#rotateOnAutoEoi = true;
        break;
      case 0b000:
        this.#rotateOnAutoEoi = false;
        break;
      case 0b110:
        this.#lowestPriority = level;
        break;
      default: // 0b010 is no operation
        break;
    }
  }

  #endOfInterrupt(input: number, rotate: boolean): void {
    if (input === NONE) return;
    this.#inService &= ~(1 << input);
    if (rotate) this.#lowestPriority = input;
  }

  /** What a non-specific EOI ends: in special mask mode, a masked input is passed over. */
  get #highestInService(): number {
    const candidates = this.#specialMask ? this.#inService & ~this.#mask : this.#inService;
    for (let i = 1; i <= 8; i++) {
      const input = (this.#lowestPriority + i) & 7;
      if (candidates & (1 << input)) return input;
    }
    return NONE;
  }

  #writeOcw3(value: number): void {
    if (value & 0x40) this.#specialMask = (value & 0x20) !== 0;
    if (value & 0x02) this.#readInService = (value & 0x01) !== 0;
    this.#poll = (value & 0x04) !== 0;
  }

  #update(): void {
    this.#interrupt(this.request !== NONE);
  }

  saveState(to: StateWriter): void {
    to.u8(this.#lines);
    to.u8(this.#edges);
    to.u8(this.#levelTriggered);
    to.u8(this.#mask);
    to.u8(this.#inService);
    to.u8(this.#vectorBase);
    to.u8(this.#icw1);
    to.u8(this.#icw4);
    to.u8(this.#expect);
    to.u8(this.#lowestPriority);
    to.bool(this.#rotateOnAutoEoi);
    to.bool(this.#specialMask);
    to.bool(this.#readInService);
    to.bool(this.#poll);
  }

  loadState(from: StateReader): void {
    this.#lines = from.u8();
    this.#edges = from.u8();
    this.#levelTriggered = from.u8();
    this.#mask = from.u8();
    this.#inService = from.u8();
    this.#vectorBase = from.u8();
    this.#icw1 = from.u8();
    this.#icw4 = from.u8();
    this.#expect = from.u8();
    this.#lowestPriority = from.u8() & 7;
    this.#rotateOnAutoEoi = from.bool();
    this.#specialMask = from.bool();
    this.#readInService = from.bool();
    this.#poll = from.bool();
    this.#update();
  }
}

const CASCADE = 2;
/** IRQ 0, 1, 2, 8 and 13 are edge-triggered always. */
const ELCR_MASK = [0xf8, 0xde] as const;

/** The pair: ports 0x20, 0x21, 0xA0, 0xA1, and the ELCR at 0x4D0 and 0x4D1. */
export class Pic implements ByteDevice, Stateful {
  readonly exit = 'kernel';
  readonly #master: Pic8259;
  readonly #slave: Pic8259;

  /** @param interrupt the INTR wire to the local APICs' LINT0 */
  constructor(interrupt: InterruptLine) {
    this.#master = new Pic8259(interrupt, 1 << CASCADE);
    this.#slave = new Pic8259((asserted) => this.#master.setLine(CASCADE, asserted), 0);
  }

  /** Drives IRQ 0 … 15. IRQ 2 is the cascade and has no wire. */
  setLine(irq: number, asserted: boolean): void {
    if (irq >= 8) this.#slave.setLine(irq - 8, asserted);
    else if (irq !== CASCADE) this.#master.setLine(irq, asserted);
  }

  /** The CPU's INTA cycle: takes the highest request into service and returns its vector. */
  acknowledge(): number {
    const input = this.#master.acknowledge();
    if (input !== CASCADE) return this.#master.vector(input);
    return this.#slave.vector(this.#slave.acknowledge());
  }

  /** The vector that {@link acknowledge} would return. */
  get nextVector(): number {
    const input = this.#master.request;
    return input === CASCADE ? this.#slave.vector(this.#slave.request) : this.#master.vector(input);
  }

  readByte(port: number): number {
    switch (port) {
      case 0x20:
        return this.#master.readCommand();
      case 0x21:
        return this.#master.readData();
      case 0xa0:
        return this.#slave.readCommand();
      case 0xa1:
        return this.#slave.readData();
      case 0x4d0:
        return this.#master.levelTriggered;
      default:
        return this.#slave.levelTriggered;
    }
  }

  writeByte(port: number, value: number): void {
    switch (port) {
      case 0x20:
        this.#master.writeCommand(value);
        break;
      case 0x21:
        this.#master.writeData(value);
        break;
      case 0xa0:
        this.#slave.writeCommand(value);
        break;
      case 0xa1:
        this.#slave.writeData(value);
        break;
      case 0x4d0:
        this.#master.levelTriggered = value & ELCR_MASK[0];
        break;
      default:
        this.#slave.levelTriggered = value & ELCR_MASK[1];
    }
  }

  saveState(to: StateWriter): void {
    to.part('master', this.#master);
    to.part('slave', this.#slave);
  }

  loadState(from: StateReader): void {
    from.part('master', this.#master);
    from.part('slave', this.#slave);
  }
}
