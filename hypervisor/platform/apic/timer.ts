/**
 * The local APIC's timer (SDM vol. 3, "APIC Timer"). It counts at {@link APIC_BUS_HZ} divided by the divide
 * configuration register: one count takes as many nanoseconds as the divisor says.
 *
 * The count is a function of virtual time; an alarm is set only while its expiry can have an effect. While the
 * interrupt of a periodic timer still waits in IRR, further expiries would be merged into it, so the alarm is
 * set again when it has been acknowledged. A guest that lets its timer run wild costs nothing that way.
 */
import type { Clock, Timer, TimerQueue } from '../../clock/timers.ts';
import type { Stateful, StateReader, StateWriter } from '../../state/state.ts';
import type { ApicTime } from './cpu.ts';

/** What the timer counts before the divider: 1 GHz. */
export const APIC_BUS_HZ = 1_000_000_000;

/** Bits 18:17 of the timer's local vector table entry; 3 is reserved, and the timer does not run then. */
export const TIMER_MODE = { oneShot: 0, periodic: 1, tscDeadline: 2 } as const;

const NEVER = Number.POSITIVE_INFINITY;

/** The timer without its local vector table entry, which the local APIC keeps. */
export class ApicTimer implements Stateful {
  readonly #clock: Clock;
  readonly #time: ApicTime;
  readonly #alarm: Timer;
  readonly #deliver: () => void;
  readonly #waiting: () => boolean;
  #mode: number = TIMER_MODE.oneShot;
  #masked = true;
  #divide = 0;
  #initialCount = 0;
  /** When the count reaches 0, in virtual ns; Infinity when it does not run. */
  #expiry = NEVER;
  #tscDeadline = 0n;

  /**
   * @param name unique within the queue
   * @param deliver raises the interrupt of the local vector table entry
   * @param waiting whether that interrupt already waits to be acknowledged
   */
  constructor(
    name: string,
    clock: Clock,
    timers: TimerQueue,
    time: ApicTime,
    deliver: () => void,
    waiting: () => boolean,
  ) {
    this.#clock = clock;
    this.#time = time;
    this.#deliver = deliver;
    this.#waiting = waiting;
    this.#alarm = timers.timer(name, (deadline) => this.#expire(Math.max(deadline, clock.now()), true));
  }

  /** Takes up the mode and the mask of the local vector table entry. */
  configure(mode: number, masked: boolean): void {
    this.#catchUp();
    // Entering or leaving TSC-deadline mode disarms the timer.
    if (mode !== this.#mode && Math.max(mode, this.#mode) >= TIMER_MODE.tscDeadline) this.#stop();
    this.#mode = mode;
    this.#masked = masked;
    this.#arm();
  }

  /** The divide configuration register: bits 3, 1 and 0. */
  get divide(): number {
    return this.#divide;
  }

  /** The count goes on from where it is, at the new rate. */
  set divide(value: number) {
    const count = this.currentCount;
    this.#divide = value & 0b1011;
    if (count > 0) this.#expiry = this.#clock.now() + count * this.#divisor;
    this.#arm();
  }

  get initialCount(): number {
    return this.#initialCount;
  }

  /** Starts the count, or stops it with 0; ignored in TSC-deadline mode. */
  set initialCount(value: number) {
    if (this.#mode >= TIMER_MODE.tscDeadline) return;
    this.#catchUp();
    this.#initialCount = value;
    this.#expiry = value === 0 ? NEVER : this.#clock.now() + this.#period;
    this.#arm();
  }

  /** 0 when the timer does not run, and in TSC-deadline mode. */
  get currentCount(): number {
    this.#catchUp();
    if (this.#mode >= TIMER_MODE.tscDeadline || this.#expiry === NEVER) return 0;
    return Math.ceil((this.#expiry - this.#clock.now()) / this.#divisor);
  }

  /** The MSR IA32_TSC_DEADLINE: 0 when not armed. */
  get tscDeadline(): bigint {
    this.#catchUp();
    return this.#tscDeadline;
  }

  /** Arms the timer for a time-stamp, one that has passed for at once, or disarms it with 0; ignored in the other modes. */
  set tscDeadline(value: bigint) {
    if (this.#mode !== TIMER_MODE.tscDeadline) return;
    this.#catchUp();
    this.#tscDeadline = value;
    this.tscChanged();
  }

  /** To be called when the relation of the time-stamp counter to virtual time has changed. */
  tscChanged(): void {
    if (this.#tscDeadline === 0n) {
      if (this.#mode === TIMER_MODE.tscDeadline) this.#stop();
    } else this.#expiry = this.#time.timeOfTsc(this.#tscDeadline);
    this.#arm();
  }

  /** To be called when the timer's interrupt has left IRR or its vector has changed. */
  reschedule(): void {
    this.#catchUp();
    this.#arm();
  }

  /** Back to the state after reset. */
  reset(): void {
    this.#mode = TIMER_MODE.oneShot;
    this.#masked = true;
    this.#divide = 0;
    this.#initialCount = 0;
    this.#stop();
    this.#arm();
  }

  get #divisor(): number {
    const code = (this.#divide & 3) | ((this.#divide & 8) >> 1);
    return code === 7 ? 1 : 2 << code;
  }

  get #period(): number {
    return this.#initialCount * this.#divisor;
  }

  #stop(): void {
    this.#expiry = NEVER;
    this.#tscDeadline = 0n;
  }

  /** Lets an expiry that has passed happen: with its interrupt when an alarm was set for it. */
  #catchUp(): void {
    const now = this.#clock.now();
    if (this.#expiry <= now) this.#expire(now, this.#alarm.deadline <= now);
  }

  #expire(now: number, alarmed: boolean): void {
    if (this.#mode === TIMER_MODE.periodic) {
      this.#expiry += (Math.floor((now - this.#expiry) / this.#period) + 1) * this.#period;
    } else this.#stop();
    if (alarmed) this.#deliver();
    this.#arm();
  }

  #arm(): void {
    const merged = this.#mode === TIMER_MODE.periodic && this.#waiting();
    if (this.#masked || merged || this.#expiry === NEVER) this.#alarm.disarm();
    else this.#alarm.arm(this.#expiry);
  }

  saveState(to: StateWriter): void {
    to.u8(this.#mode);
    to.bool(this.#masked);
    to.u8(this.#divide);
    to.u32(this.#initialCount);
    to.number(this.#expiry);
    to.u64(this.#tscDeadline);
  }

  loadState(from: StateReader): void {
    this.#mode = from.u8();
    this.#masked = from.bool();
    this.#divide = from.u8();
    this.#initialCount = from.u32();
    this.#expiry = from.number();
    this.#tscDeadline = from.u64();
    this.#arm();
  }
}
