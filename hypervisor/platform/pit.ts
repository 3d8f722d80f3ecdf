/**
 * The 8254 programmable interval timer of a PC and port 0x61, which gates its counter 2 and shows that counter's
 * output. Counter 0 drives IRQ 0. Nothing is connected to counter 1 nor to the speaker.
 */
import type { Clock, Timer, TimerQueue } from '../clock/timers.ts';
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import type { InterruptLine } from './bus.ts';
import { cyclesAt, timeOfCycle } from './frequency.ts';
import type { ByteDevice } from './isa.ts';
import { PitCounter } from './pitcounter.ts';

/** The 8254's clock in a PC: 14.31818 MHz / 12. */
export const PIT_HZ = 1_193_182;

const CONTROL = 0x43;
const SYSTEM_CONTROL = 0x61;
/** Bits of port 0x61 (ICH data sheets, "NMI Status and Control Register"). */
const NMI_SC = { gate2: 1, writable: 0x0f, refreshToggle: 0x10, output2: 0x20 } as const;
/** Pulses between two refresh cycles, at 15.1 µs. */
const REFRESH_PULSES = 18;

/** Ports 0x40 … 0x43 and 0x61. */
export class Pit implements ByteDevice, Stateful {
  readonly exit = 'kernel';
  readonly #clock: Clock;
  readonly #irq: InterruptLine;
  readonly #alarm: Timer;
  readonly #counters = [new PitCounter(true), new PitCounter(true), new PitCounter(false)] as const;
  #systemControl = 0;
  /** Counter 0's output has been put on IRQ 0 up to this pulse. */
  #drivenAt = 0;

  constructor(clock: Clock, timers: TimerQueue, irq: InterruptLine) {
    this.#clock = clock;
    this.#irq = irq;
    this.#alarm = timers.timer('pit', (deadline) => this.#changeOutput(deadline));
  }

  readByte(port: number): number {
    const now = this.#pulses;
    if (port === SYSTEM_CONTROL) {
      return (
        this.#systemControl |
        (Math.floor(now / REFRESH_PULSES) % 2 === 1 ? NMI_SC.refreshToggle : 0) |
        (this.#counters[2].output(now) ? NMI_SC.output2 : 0)
      );
    }
    return this.#counters[port & 3]?.readByte(now) ?? 0xff; // the control word cannot be read
  }

  writeByte(port: number, value: number): void {
    this.#catchUp();
    const now = this.#pulses;
    if (port === SYSTEM_CONTROL) {
      this.#systemControl = value & NMI_SC.writable;
      this.#counters[2].setGate((value & NMI_SC.gate2) !== 0, now);
    } else if (port === CONTROL) this.#writeControl(value, now);
    else this.#counters[port & 3]!.writeByte(value, now);
    this.#drive(now);
  }

  #writeControl(value: number, now: number): void {
    const select = value >> 6;
    if (select < 3) this.#counters[select]!.control(value, now);
    else {
      // The read-back command latches counts and statuses of any of the three.
      this.#counters.forEach((counter, index) => {
        if ((value & (2 << index)) === 0) return;
        if ((value & 0x20) === 0) counter.latchCount(now);
        if ((value & 0x10) === 0) counter.latchStatus(now);
      });
    }
  }

  get #pulses(): number {
    return cyclesAt(this.#clock.now(), PIT_HZ);
  }

  /** Puts counter 0's output on IRQ 0 and sets the alarm for its next change. */
  #drive(now: number): void {
    this.#drivenAt = now;
    this.#irq(this.#counters[0].output(now));
    this.#schedule();
  }

  #schedule(): void {
    const next = this.#counters[0].nextChange(this.#drivenAt);
    if (next === Number.POSITIVE_INFINITY) this.#alarm.disarm();
    else this.#alarm.arm(timeOfCycle(next, PIT_HZ));
  }

  #changeOutput(time: number): void {
    this.#drive(cyclesAt(time, PIT_HZ));
  }

  /** Lets changes happen that are due but were not yet noticed. */
  #catchUp(): void {
    while (this.#alarm.deadline <= this.#clock.now()) this.#changeOutput(this.#alarm.deadline);
  }

  saveState(to: StateWriter): void {
    for (const counter of this.#counters) counter.saveState(to);
    to.u8(this.#systemControl);
    to.number(this.#drivenAt);
  }

  loadState(from: StateReader): void {
    for (const counter of this.#counters) counter.loadState(from);
    this.#systemControl = from.u8();
    this.#drivenAt = from.number();
    this.#schedule();
  }
}
