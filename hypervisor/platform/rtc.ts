/**
 * The MC146818 real-time clock of a PC with its battery-backed memory (CMOS). Names are those of Motorola's
 * MC146818 data sheet.
 *
 * The calendar is the epoch that the machine was given plus virtual time plus what the guest has set. The weekday
 * follows the date. Register 0x32 is the century.
 */
import type { Clock, Timer, TimerQueue } from '../clock/timers.ts';
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import type { InterruptLine } from './bus.ts';
import { type CalendarFormat, calendarBytes, calendarSeconds, FIELDS } from './calendar.ts';
import { cyclesAt, timeOfCycle } from './frequency.ts';
import type { ByteDevice } from './isa.ts';

/** The CMOS register of the century, which the FADT names. */
export const CENTURY_REGISTER = 0x32;

const REGISTER = { a: 10, b: 11, c: 12, d: 13 } as const;
const ALARM = { second: 1, minute: 3, hour: 5 } as const;
/** The calendar's registers, in the order of the calendar's bytes. */
const CALENDAR_REGISTERS: readonly number[] = [0, 2, 4, 6, 7, 8, 9, CENTURY_REGISTER];
const A = { updateInProgress: 0x80, writable: 0x7f } as const;
const B = { set: 0x80, periodic: 0x40, alarm: 0x20, update: 0x10, binary: 0x04, hours24: 0x02 } as const;
/** Flags of register C, which stand where register B enables their interrupts. */
const C = { request: 0x80, periodic: 0x40, alarm: 0x20, update: 0x10 } as const;
const VALID_RAM_AND_TIME = 0x80;

const CRYSTAL_HZ = 32_768;
/** Register A bits 6:4 for a crystal of 32.768 kHz; the divider does not run otherwise. */
const DIVIDER_RUNS = 0b010;
const SECOND = 1e9;
/** From UIP to the end of the update cycle: 244 µs + 1984 µs. */
const UPDATE_CYCLE = 2_228_000;
/** From the start of the divider to its first update. */
const FIRST_UPDATE = SECOND / 2;
/** An alarm byte from 0xC0 matches everything. */
const ANY = 0xc0;

/** Ports 0x70 and 0x71. */
export class Rtc implements ByteDevice, Stateful {
  readonly #clock: Clock;
  readonly #irq: InterruptLine;
  readonly #updateAlarm: Timer;
  readonly #periodicAlarm: Timer;
  #index = 0;
  readonly #memory = new Uint8Array(128);
  #a = 0x26;
  #b: number = B.hours24;
  #c = 0;
  /** A moment at which a second began; the divider counts from it. */
  #secondBegan = 0;
  /** The calendar at {@link #secondBegan} while it advances, else the calendar itself. In seconds since 1970. */
  #calendar: number;
  /** The calendar's registers while SET lets software write them. */
  readonly #set = new Uint8Array(FIELDS);
  /** Periodic edges up to this number have been noticed. */
  #edgesSeen = 0;
  /** Updates up to this time have been noticed. */
  #drivenAt: number;

  /**
   * @param epoch seconds since 1970-01-01 00:00 UTC at virtual time 0
   * @param irq IRQ 8
   */
  constructor(epoch: number, clock: Clock, timers: TimerQueue, irq: InterruptLine) {
    this.#calendar = epoch;
    this.#clock = clock;
    this.#irq = irq;
    this.#updateAlarm = timers.timer('rtc-update', (time) => this.#update(time));
    this.#periodicAlarm = timers.timer('rtc-periodic', (time) => this.#drive(time));
    this.#drivenAt = clock.now();
    this.#schedule();
  }

  /** Bit 7 of port 0x70: NMI does not reach the CPUs. */
  get nmiMasked(): boolean {
    return (this.#index & 0x80) !== 0;
  }

  /** A reset of the machine takes back the enabled interrupts and their flags; time and memory have a battery. */
  reset(): void {
    this.#b &= ~(B.periodic | B.alarm | B.update);
    this.#c = 0;
    this.#drive(this.#clock.now());
  }

  readByte(port: number): number {
    this.#catchUp();
    return port & 1 ? this.#readRegister(this.#index & 0x7f) : 0xff; // the index is for writing only
  }

  writeByte(port: number, value: number): void {
    this.#catchUp();
    if ((port & 1) === 0) this.#index = value;
    else this.#writeRegister(this.#index & 0x7f, value);
  }

  #readRegister(register: number): number {
    const now = this.#clock.now();
    const field = CALENDAR_REGISTERS.indexOf(register);
    if (field >= 0) return this.#registers(now)[field]!;
    switch (register) {
      case REGISTER.a:
        return this.#a | (this.#updating(now) ? A.updateInProgress : 0);
      case REGISTER.b:
        return this.#b;
      case REGISTER.c:
        return this.#readFlags(now);
      case REGISTER.d:
        return VALID_RAM_AND_TIME;
      default:
        return this.#memory[register]!;
    }
  }

  #writeRegister(register: number, value: number): void {
    const now = this.#clock.now();
    const field = CALENDAR_REGISTERS.indexOf(register);
    if (field >= 0) this.#writeCalendar(field, value, now);
    else if (register === REGISTER.a) this.#writeA(value & A.writable, now);
    else if (register === REGISTER.b) this.#writeB(value, now);
    else if (register !== REGISTER.c && register !== REGISTER.d) this.#memory[register] = value;
    this.#drive(now);
  }

  // The calendar.

  get #format(): CalendarFormat {
    return { binary: (this.#b & B.binary) !== 0, hours24: (this.#b & B.hours24) !== 0 };
  }

  get #dividerRuns(): boolean {
    return this.#a >> 4 === DIVIDER_RUNS;
  }

  get #advances(): boolean {
    return this.#dividerRuns && (this.#b & B.set) === 0;
  }

  #seconds(now: number): number {
    return this.#advances ? this.#calendar + Math.floor((now - this.#secondBegan) / SECOND) : this.#calendar;
  }

  #registers(now: number): Uint8Array {
    return this.#b & B.set ? this.#set : calendarBytes(this.#seconds(now), this.#format);
  }

  /** Lets the calendar go on from `seconds`, in step with the divider. */
  #setSeconds(seconds: number, now: number): void {
    this.#countEdges(now);
    this.#calendar = seconds;
    if (this.#dividerRuns) this.#secondBegan = now - ((now - this.#secondBegan) % SECOND);
    this.#edgesSeen = this.#edges(now);
  }

  #writeCalendar(field: number, value: number, now: number): void {
    const registers = this.#registers(now);
    registers[field] = value;
    if ((this.#b & B.set) === 0) this.#setSeconds(calendarSeconds(registers, this.#format), now);
  }

  #updating(now: number): boolean {
    return this.#advances && (now - this.#secondBegan) % SECOND >= SECOND - UPDATE_CYCLE;
  }

  #writeA(value: number, now: number): void {
    const ran = this.#dividerRuns;
    const seconds = this.#seconds(now);
    this.#countEdges(now);
    this.#a = value;
    if (ran !== this.#dividerRuns) {
      this.#calendar = seconds;
      this.#secondBegan = now + FIRST_UPDATE - SECOND;
    }
    this.#edgesSeen = this.#edges(now);
  }

  #writeB(value: number, now: number): void {
    const seconds = this.#seconds(now);
    const was = this.#b & B.set;
    const registers = this.#registers(now);
    this.#b = (value & B.set) === 0 ? value : value & ~B.update; // SET clears UIE
    if (!was && value & B.set) {
      this.#set.set(registers);
      this.#calendar = seconds;
    } else if (was && !(value & B.set)) this.#setSeconds(calendarSeconds(this.#set, this.#format), now);
  }

  // The interrupts.

  /** The end of an update cycle. */
  #update(time: number): void {
    this.#c |= C.update;
    const registers = this.#registers(time);
    const alarm = [ALARM.second, ALARM.minute, ALARM.hour].map((register) => this.#memory[register]!);
    if (alarm.every((byte, field) => byte >= ANY || byte === registers[field])) this.#c |= C.alarm;
    this.#drive(time);
  }

  /** Crystal cycles between two periodic edges; 0 for none. */
  get #period(): number {
    const rate = this.#a & 15;
    if (rate === 0 || !this.#dividerRuns) return 0;
    return 1 << (rate < 3 ? rate + 6 : rate - 1);
  }

  /** Periodic edges since {@link #secondBegan}. */
  #edges(now: number): number {
    return this.#period === 0 ? 0 : Math.floor(cyclesAt(now - this.#secondBegan, CRYSTAL_HZ) / this.#period);
  }

  #countEdges(now: number): void {
    const edges = this.#edges(now);
    if (edges <= this.#edgesSeen) return;
    this.#c |= C.periodic;
    this.#edgesSeen = edges;
  }

  #readFlags(now: number): number {
    this.#countEdges(now);
    const flags = this.#c | (this.#requests ? C.request : 0);
    this.#c = 0;
    this.#drive(now);
    return flags;
  }

  get #requests(): boolean {
    return (this.#c & this.#b & (C.periodic | C.alarm | C.update)) !== 0;
  }

  #drive(now: number): void {
    this.#countEdges(now);
    this.#drivenAt = now;
    this.#irq(this.#requests);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#advances) {
      const seconds = Math.floor((this.#drivenAt - this.#secondBegan) / SECOND) + 1;
      this.#updateAlarm.arm(this.#secondBegan + seconds * SECOND);
    } else this.#updateAlarm.disarm();
    // A periodic flag that is set already need not be set again until it is read.
    if (this.#period > 0 && this.#b & B.periodic && !(this.#c & C.periodic)) {
      const cycle = (this.#edgesSeen + 1) * this.#period;
      this.#periodicAlarm.arm(this.#secondBegan + timeOfCycle(cycle, CRYSTAL_HZ));
    } else this.#periodicAlarm.disarm();
  }

  /** Lets updates happen that are due but were not yet noticed. */
  #catchUp(): void {
    while (this.#updateAlarm.deadline <= this.#clock.now()) this.#update(this.#updateAlarm.deadline);
  }

  saveState(to: StateWriter): void {
    to.u8(this.#index);
    to.bytes(this.#memory);
    to.u8(this.#a);
    to.u8(this.#b);
    to.u8(this.#c);
    to.number(this.#secondBegan);
    to.number(this.#calendar);
    to.bytes(this.#set);
    to.number(this.#edgesSeen);
    to.number(this.#drivenAt);
  }

  loadState(from: StateReader): void {
    this.#index = from.u8();
    this.#memory.set(from.bytes());
    this.#a = from.u8();
    this.#b = from.u8();
    this.#c = from.u8();
    this.#secondBegan = from.number();
    this.#calendar = from.number();
    this.#set.set(from.bytes());
    this.#edgesSeen = from.number();
    this.#drivenAt = from.number();
    this.#schedule();
  }
}
