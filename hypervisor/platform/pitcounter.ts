/**
 * One counter of an 8254 programmable interval timer. Names and modes are those of Intel's 8254 data sheet.
 *
 * Nothing happens while a counter counts: its count and its output are functions of the clock pulses since the
 * counting element was loaded. Times are whole clock pulses since power-on.
 */
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';

const ACCESS = { low: 1, high: 2, both: 3 } as const;
const NOT_LOADED = Number.POSITIVE_INFINITY;

/** A 16-bit counter with its gate, modes 0 to 5. */
export class PitCounter implements Stateful {
  #mode = 0;
  #access: number = ACCESS.both;
  #bcd = false;
  #gate: boolean;
  /** What the counting element was loaded with, 1 … 65536. */
  #count = 65536;
  /** The clock pulse that loaded the counting element: the one after the count was written or the gate triggered. */
  #loadedAt = NOT_LOADED;
  /** A count that will be loaded later; 0 when there is none. Modes 2 and 3: at `nextAt`; 1 and 5: at a trigger. */
  #next = 0;
  #nextAt = NOT_LOADED;
  /** Pulses counted when the gate went low (modes 0, 2, 3 and 4). */
  #heldAt = 0;
  /** The low byte of a count of which the high byte is still to come. */
  #lowByte = 0;
  #writeHigh = false;
  #readHigh = false;
  /** Latched bytes still to be read, lowest first; −1 when nothing is latched. */
  #latchedCount = -1;
  #latchedStatus = -1;

  /** @param gate the level of the gate at power-on */
  constructor(gate: boolean) {
    this.#gate = gate;
  }

  /** A control word for this counter. */
  control(word: number, now: number): void {
    const access = (word >> 4) & 3;
    if (access === 0) {
      this.latchCount(now);
      return;
    }
    this.#access = access;
    const mode = (word >> 1) & 7;
    this.#mode = mode >= 6 ? mode - 4 : mode;
    this.#bcd = (word & 1) !== 0;
    this.#loadedAt = NOT_LOADED;
    this.#next = 0;
    this.#writeHigh = false;
    this.#readHigh = false;
    this.#latchedCount = -1;
    this.#latchedStatus = -1;
  }

  latchCount(now: number): void {
    if (this.#latchedCount < 0) this.#latchedCount = this.#read(now);
  }

  latchStatus(now: number): void {
    if (this.#latchedStatus >= 0) return;
    this.#settle(now);
    const nullCount = this.#next !== 0 || this.#elapsed(now) < 0;
    this.#latchedStatus =
      (this.output(now) ? 0x80 : 0) |
      (nullCount ? 0x40 : 0) |
      (this.#access << 4) |
      (this.#mode << 1) |
      (this.#bcd ? 1 : 0);
  }

  readByte(now: number): number {
    if (this.#latchedStatus >= 0) {
      const status = this.#latchedStatus;
      this.#latchedStatus = -1;
      return status;
    }
    const count = this.#latchedCount >= 0 ? this.#latchedCount : this.#read(now);
    const high = this.#access === ACCESS.high || this.#readHigh;
    if (this.#access === ACCESS.both) this.#readHigh = !this.#readHigh;
    if (!this.#readHigh) this.#latchedCount = -1;
    return high ? count >> 8 : count & 0xff;
  }

  writeByte(value: number, now: number): void {
    if (this.#access === ACCESS.low) this.#write(value, now);
    else if (this.#access === ACCESS.high) this.#write(value << 8, now);
    else if (this.#writeHigh) {
      this.#writeHigh = false;
      this.#write(this.#lowByte | (value << 8), now);
    } else {
      this.#writeHigh = true;
      this.#lowByte = value;
      if (this.#mode === 0) this.#loadedAt = NOT_LOADED; // the first byte stops the counting
    }
  }

  setGate(gate: boolean, now: number): void {
    if (gate === this.#gate) return;
    this.#settle(now);
    if (!gate) this.#heldAt = Math.max(this.#elapsed(now), 0);
    this.#gate = gate;
    if (!gate) return;
    switch (this.#mode) {
      case 0:
      case 4:
        if (this.#loadedAt !== NOT_LOADED) this.#loadedAt = now - this.#heldAt;
        break;
      case 1:
      case 5: // a trigger; without a count there is nothing to start
        if (this.#next === 0 && this.#loadedAt === NOT_LOADED) break;
        this.#load(this.#next === 0 ? this.#count : this.#next, now);
        break;
      default:
        if (this.#loadedAt !== NOT_LOADED) this.#load(this.#next === 0 ? this.#count : this.#next, now);
    }
  }

  /** The level of OUT. */
  output(now: number): boolean {
    this.#settle(now);
    const elapsed = this.#elapsed(now);
    switch (this.#mode) {
      case 0:
        return elapsed >= this.#count;
      case 1:
        return elapsed < 0 || elapsed >= this.#count;
      case 2:
        return elapsed < 0 || !this.#gate || elapsed % this.#count !== this.#count - 1;
      case 3:
        return elapsed < 0 || !this.#gate || elapsed % this.#count < this.#highPulses;
      default:
        return elapsed !== this.#count;
    }
  }

  /** The next clock pulse after `now` at which OUT may change if nothing is written; Infinity when it stays. */
  nextChange(now: number): number {
    this.#settle(now);
    const held = !this.#gate && this.#mode !== 1 && this.#mode !== 5;
    if (this.#loadedAt === NOT_LOADED || held) return Number.POSITIVE_INFINITY;
    const elapsed = this.#elapsed(now);
    switch (this.#mode) {
      case 2:
      case 3: {
        if (this.#count === 1 && this.#next === 0) {
          return elapsed < 0 ? this.#loadedAt : Number.POSITIVE_INFINITY; // not allowed: OUT is constant
        }
        const cycle = elapsed < 0 ? 0 : elapsed - (elapsed % this.#count);
        const half = cycle + (this.#mode === 2 ? this.#count - 1 : this.#highPulses);
        const change = this.#loadedAt + (elapsed < half ? half : cycle + this.#count);
        return this.#next === 0 ? change : Math.min(change, this.#nextAt);
      }
      default: {
        const changes = [0, this.#count, this.#count + 1];
        const change = changes.find((each) => each > elapsed);
        return change === undefined ? Number.POSITIVE_INFINITY : this.#loadedAt + change;
      }
    }
  }

  #elapsed(now: number): number {
    if (this.#loadedAt === NOT_LOADED) return Number.NEGATIVE_INFINITY;
    const holds = this.#mode !== 1 && this.#mode !== 5;
    return holds && !this.#gate ? this.#heldAt : now - this.#loadedAt;
  }

  /** Mode 3: pulses for which OUT is high in a cycle. An odd count is high for one more than low. */
  get #highPulses(): number {
    return Math.ceil(this.#count / 2);
  }

  #load(count: number, now: number): void {
    this.#count = count;
    this.#next = 0;
    this.#loadedAt = now + 1;
    this.#heldAt = 0;
  }

  #write(value: number, now: number): void {
    this.#settle(now);
    const count = (this.#bcd ? fromBcd(value) : value) || (this.#bcd ? 10_000 : 65_536);
    if (this.#mode === 1 || this.#mode === 5) {
      this.#next = count;
      return;
    }
    const elapsed = this.#elapsed(now);
    if (this.#mode === 0 || this.#mode === 4 || elapsed < 0 || !this.#gate) {
      this.#load(count, now);
      return;
    }
    const phase = elapsed % this.#count;
    const end = this.#mode === 3 && phase < this.#highPulses ? this.#highPulses : this.#count;
    this.#next = count;
    this.#nextAt = now + end - phase;
  }

  /** Modes 2 and 3: takes up a new count at the end of the cycle, or half cycle, in which it was written. */
  #settle(now: number): void {
    if (this.#next === 0 || this.#nextAt > now || (this.#mode !== 2 && this.#mode !== 3)) return;
    const phase = (this.#nextAt - this.#loadedAt) % this.#count;
    this.#count = this.#next;
    this.#next = 0;
    this.#loadedAt = this.#nextAt - (phase === 0 ? 0 : this.#highPulses);
  }

  /** The counting element as it is read: 16 bits, in BCD where that was chosen. */
  #read(now: number): number {
    this.#settle(now);
    const elapsed = Math.max(this.#elapsed(now), 0);
    const modulus = this.#bcd ? 10_000 : 65_536;
    let value: number;
    if (this.#mode === 2) value = this.#count - (elapsed % this.#count);
    else if (this.#mode === 3) {
      const phase = elapsed % this.#count;
      const pulses = phase < this.#highPulses ? phase : phase - this.#highPulses;
      value = this.#count - (this.#count % 2) - 2 * pulses;
    } else value = modulus + ((this.#count - elapsed) % modulus);
    return this.#bcd ? toBcd(value % modulus) : value % modulus;
  }

  saveState(to: StateWriter): void {
    to.u8(this.#mode);
    to.u8(this.#access);
    to.bool(this.#bcd);
    to.bool(this.#gate);
    to.u32(this.#count);
    to.number(this.#loadedAt);
    to.u32(this.#next);
    to.number(this.#nextAt);
    to.number(this.#heldAt);
    to.u8(this.#lowByte);
    to.bool(this.#writeHigh);
    to.bool(this.#readHigh);
    to.number(this.#latchedCount);
    to.number(this.#latchedStatus);
  }

  loadState(from: StateReader): void {
    this.#mode = from.u8();
    this.#access = from.u8();
    this.#bcd = from.bool();
    this.#gate = from.bool();
    this.#count = from.u32();
    this.#loadedAt = from.number();
    this.#next = from.u32();
    this.#nextAt = from.number();
    this.#heldAt = from.number();
    this.#lowByte = from.u8();
    this.#writeHigh = from.bool();
    this.#readHigh = from.bool();
    this.#latchedCount = from.number();
    this.#latchedStatus = from.number();
  }
}

function fromBcd(value: number): number {
  return (value >> 12) * 1000 + ((value >> 8) & 15) * 100 + ((value >> 4) & 15) * 10 + (value & 15);
}

function toBcd(value: number): number {
  const digit = (weight: number): number => Math.floor(value / weight) % 10;
  return (digit(1000) << 12) | (digit(100) << 8) | (digit(10) << 4) | digit(1);
}
