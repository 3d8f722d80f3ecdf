/**
 * The ACPI fixed hardware: power management event and control registers, the power management timer, the
 * switch between legacy and ACPI mode, and the power button (ACPI specification 6.5, 4.8 "ACPI Register Model").
 */
import type { Clock, Timer, TimerQueue } from '../clock/timers.ts';
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import type { InterruptLine } from './bus.ts';
import { cyclesAt, timeOfCycle } from './frequency.ts';
import type { ByteDevice } from './isa.ts';

/** Ports of the fixed hardware, which the FADT names: `count` ports from `event`, and the SMI command port. */
export const PM_PORTS = { event: 0x600, control: 0x604, timer: 0x608, count: 12, smiCommand: 0xb2 } as const;
/** What to write to the SMI command port to enter and to leave ACPI mode. */
export const ACPI_ENABLE = 0xe1;
export const ACPI_DISABLE = 0xe0;
/** The value of SLP_TYP for soft-off, which the object \_S5 gives. */
export const S5_SLEEP_TYPE = 5;

/** The power management timer counts 3.579545 MHz in 32 bits. */
export const PM_TIMER_HZ = 3_579_545;
/** TIMER_STS is set whenever the timer's highest bit changes. */
const TIMER_HALF = 2 ** 31;

/** Bits of the status and enable registers. */
const EVENT = { timer: 1 << 0, globalLock: 1 << 5, powerButton: 1 << 8, realTimeClock: 1 << 10 } as const;
/** The clock's alarm never comes this way (the FADT says so), but systems set its enable bit and look whether it stays. */
const EVENTS = EVENT.timer | EVENT.globalLock | EVENT.powerButton | EVENT.realTimeClock;
/** Bits of the control register. */
const CONTROL = { sciEnable: 1 << 0, sleepType: 7 << 10, sleepEnable: 1 << 13 } as const;

/** What the power management asks of the machine. */
export interface PowerHooks {
  /** The system control interrupt. */
  readonly sci: InterruptLine;
  /** The guest has entered soft-off (S5). Called inside the write that does it. */
  readonly powerOff: () => void;
}

/** Ports 0x600 … 0x60B and 0xB2. */
export class PowerManagement implements ByteDevice, Stateful {
  readonly #clock: Clock;
  readonly #hooks: PowerHooks;
  readonly #alarm: Timer;
  #status = 0;
  #enable = 0;
  #control = 0;
  /** Changes of the timer's highest bit up to this number have been noticed. */
  #changesSeen = 0;

  constructor(clock: Clock, timers: TimerQueue, hooks: PowerHooks) {
    this.#clock = clock;
    this.#hooks = hooks;
    this.#alarm = timers.timer('pm-timer', () => this.#drive());
  }

  /** Somebody pushes the power button: in ACPI mode the guest's operating system is asked to shut down. */
  pressPowerButton(): void {
    this.#status |= EVENT.powerButton;
    this.#drive();
  }

  readByte(port: number): number {
    if (port === PM_PORTS.smiCommand) return 0;
    const offset = port - PM_PORTS.event;
    const shift = 8 * (offset & 3);
    if (port >= PM_PORTS.timer) return (this.#cycles >>> shift) & 0xff;
    this.#noticeTimer();
    const word = port >= PM_PORTS.control ? this.#control : this.#status + this.#enable * 0x1_0000;
    return (word >>> shift) & 0xff;
  }

  writeByte(port: number, value: number): void {
    if (port === PM_PORTS.smiCommand) this.#command(value);
    else if (port >= PM_PORTS.timer) return;
    else if (port >= PM_PORTS.control) this.#writeControl(port - PM_PORTS.control, value);
    else this.#writeEvent(port - PM_PORTS.event, value);
    this.#drive();
  }

  #command(value: number): void {
    if (value === ACPI_ENABLE) this.#control |= CONTROL.sciEnable;
    if (value === ACPI_DISABLE) this.#control &= ~CONTROL.sciEnable;
  }

  #writeEvent(offset: number, value: number): void {
    this.#noticeTimer();
    const shift = 8 * (offset & 1);
    if (offset < 2)
      this.#status &= ~(value << shift); // writing 1 clears
    else this.#enable = ((this.#enable & ~(0xff << shift)) | (value << shift)) & EVENTS;
  }

  /** SCI_EN is the firmware's; SLP_EN and the rest read as 0. */
  #writeControl(offset: number, value: number): void {
    if (offset !== 1) return;
    const word = value << 8;
    this.#control = (this.#control & CONTROL.sciEnable) | (word & CONTROL.sleepType);
    if (word & CONTROL.sleepEnable && (word & CONTROL.sleepType) >> 10 === S5_SLEEP_TYPE)
      this.#hooks.powerOff();
  }

  /** The timer's 32 bits. */
  get #cycles(): number {
    return cyclesAt(this.#clock.now(), PM_TIMER_HZ) % (2 * TIMER_HALF);
  }

  #noticeTimer(): void {
    const changes = Math.floor(cyclesAt(this.#clock.now(), PM_TIMER_HZ) / TIMER_HALF);
    if (changes === this.#changesSeen) return;
    this.#changesSeen = changes;
    this.#status |= EVENT.timer;
  }

  #drive(): void {
    this.#noticeTimer();
    const acpi = (this.#control & CONTROL.sciEnable) !== 0;
    this.#hooks.sci(acpi && (this.#status & this.#enable) !== 0);
    this.#schedule();
  }

  /** The alarm is needed only while the timer's status would interrupt and is not set yet. */
  #schedule(): void {
    if ((this.#enable & ~this.#status & EVENT.timer) === 0) this.#alarm.disarm();
    else this.#alarm.arm(timeOfCycle((this.#changesSeen + 1) * TIMER_HALF, PM_TIMER_HZ));
  }

  saveState(to: StateWriter): void {
    to.u16(this.#status);
    to.u16(this.#enable);
    to.u16(this.#control);
    to.number(this.#changesSeen);
  }

  loadState(from: StateReader): void {
    this.#status = from.u16();
    this.#enable = from.u16();
    this.#control = from.u16();
    this.#changesSeen = from.number();
    this.#schedule();
  }
}
