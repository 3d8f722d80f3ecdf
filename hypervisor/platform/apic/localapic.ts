/**
 * A CPU's local APIC (SDM vol. 3, chapter "Advanced Programmable Interrupt Controller (APIC)"): which
 * interrupts it accepts, what it offers to the CPU, and what its registers do. How the CPU reaches the
 * registers (a page or MSRs) is in `access.ts`.
 *
 * There is no SMI and no CMCI. The delivery status bits read as idle, since a message arrives at once.
 */
import type { Clock, TimerQueue } from '../../clock/timers.ts';
import type { Stateful, StateReader, StateWriter } from '../../state/state.ts';
import type { ApicCpu, ApicTime } from './cpu.ts';
import { AcceptedInterrupts } from './interrupts.ts';
import { LocalVectorTable } from './localvectors.ts';
import { BROADCAST, type InterruptNetwork, type MessageReceiver } from './network.ts';
import { DELIVERY, ESR, LVT, REGISTER, SVR, VERSION } from './registers.ts';
import { ApicTimer } from './timer.ts';

/** The interrupt controller behind LINT0: the 8259As. */
export interface ExternalController {
  /** The INTA cycle: takes the highest request into service and returns its vector. */
  acknowledge(): number;
  /** The vector that {@link acknowledge} would return. */
  readonly nextVector: number;
}

/** What a local APIC is connected to. */
export interface ApicWiring {
  /** The initial APIC ID, 0 … 254; 0 is the bootstrap processor. */
  readonly id: number;
  readonly cpu: ApicCpu;
  readonly time: ApicTime;
  readonly clock: Clock;
  readonly timers: TimerQueue;
  readonly network: InterruptNetwork;
  readonly external: ExternalController;
}

/** How the CPU reaches the registers: IA32_APIC_BASE bits 11 and 10. */
export type ApicMode = 'disabled' | 'xapic' | 'x2apic';

const ICR = { logical: 1 << 11, assert: 1 << 14, levelTriggered: 1 << 15 } as const;
const SHORTHAND = { none: 0, self: 1, all: 2, others: 3 } as const;
const PINS = [REGISTER.lvtLint0, REGISTER.lvtLint1] as const;
const FIRST_LEGAL_VECTOR = 16;
const FLAT_MODEL = 0xf;

/** One local APIC. */
export class LocalApic implements MessageReceiver, Stateful {
  readonly id: number;
  readonly #wiring: ApicWiring;
  readonly #interrupts = new AcceptedInterrupts();
  readonly #lvt = new LocalVectorTable();
  readonly #timer: ApicTimer;
  #mode: ApicMode = 'xapic';
  #logicalDestination = 0;
  #destinationModel = FLAT_MODEL;
  #spurious = 0xff;
  #icrLow = 0;
  #icrHigh = 0;
  #errorStatus = 0;
  /** Errors since the last write of the error status register. */
  #errors = 0;
  #lint0 = false;
  #lint1 = false;
  #pending = false;

  constructor(wiring: ApicWiring) {
    this.id = wiring.id;
    this.#wiring = wiring;
    this.#timer = new ApicTimer(
      `apic${wiring.id}`,
      wiring.clock,
      wiring.timers,
      wiring.time,
      () => this.#raise(REGISTER.lvtTimer),
      () => this.#timerWaits,
    );
    wiring.network.attach(this);
  }

  // What the CPU asks.

  /** The vector that {@link acknowledge} would return; −1 when there is nothing to deliver. */
  pendingVector(): number {
    return this.#externalPending ? this.#wiring.external.nextVector : this.#interrupts.deliverable;
  }

  /**
   * Hands the CPU its interrupt: from the 8259As where LINT0 is ExtINT and asserted, else the highest of IRR,
   * which goes into service; the spurious vector when neither is there any more.
   */
  acknowledge(): number {
    if (this.#externalPending) return this.#wiring.external.acknowledge();
    const vector = this.#interrupts.deliverable;
    if (vector < 0) return this.#spurious & 0xff;
    this.#interrupts.serve(vector);
    if (vector === this.#lvt.vector(REGISTER.lvtTimer)) this.#timer.reschedule();
    this.#update();
    return vector;
  }

  /** CR8: the task priority's class, 0 … 15. */
  get cr8(): number {
    return this.#interrupts.taskPriority >> 4;
  }

  set cr8(value: number) {
    this.#interrupts.taskPriority = (value & 15) << 4;
    this.#update();
  }

  /** The MSR IA32_TSC_DEADLINE. */
  get tscDeadline(): bigint {
    return this.#timer.tscDeadline;
  }

  set tscDeadline(value: bigint) {
    this.#timer.tscDeadline = value;
  }

  /** To be called when the CPU's time-stamp counter was written. */
  tscChanged(): void {
    this.#timer.tscChanged();
  }

  get mode(): ApicMode {
    return this.#mode;
  }

  /** A disabled local APIC loses its state; LINT0 and LINT1 are then the CPU's own INTR and NMI. */
  set mode(mode: ApicMode) {
    if (mode === 'disabled') this.#resetRegisters();
    this.#mode = mode;
    this.#update();
  }

  // Pins and messages.

  /** Drives LINT0. */
  setLint0(asserted: boolean): void {
    if (asserted === this.#lint0) return;
    this.#lint0 = asserted;
    this.#pinChanged(REGISTER.lvtLint0, asserted);
    this.#update();
  }

  /** Drives LINT1. */
  setLint1(asserted: boolean): void {
    if (asserted === this.#lint1) return;
    this.#lint1 = asserted;
    if (this.#mode !== 'disabled') this.#pinChanged(REGISTER.lvtLint1, asserted);
    else if (asserted) this.#wiring.cpu.nmi();
  }

  matches(destination: number, logical: boolean): boolean {
    if (!logical) return destination === this.id;
    if (this.#mode === 'x2apic') {
      return destination >>> 16 === this.id >> 4 && (destination & (1 << (this.id & 15))) !== 0;
    }
    const own = this.#logicalDestination;
    if (destination > 0xff) return false;
    if (this.#destinationModel === FLAT_MODEL) return (destination & own) !== 0;
    return destination >> 4 === own >> 4 && (destination & own & 15) !== 0;
  }

  get arbitrationPriority(): number {
    return this.#enabled ? this.#interrupts.processorPriority : Number.POSITIVE_INFINITY;
  }

  accept(delivery: number, vector: number, levelTriggered: boolean): boolean {
    if (this.#mode === 'disabled') return false;
    switch (delivery) {
      case DELIVERY.fixed:
      case DELIVERY.lowestPriority:
        if (!this.#enabled) return false;
        this.#request(vector, levelTriggered);
        return true;
      case DELIVERY.nmi:
        this.#wiring.cpu.nmi();
        return true;
      case DELIVERY.init:
        this.#resetRegisters();
        this.#wiring.cpu.init();
        return true;
      case DELIVERY.startup:
        this.#wiring.cpu.startup(vector);
        return true;
      default:
        return false;
    }
  }

  // Registers.

  /** Reads a register by its number; undefined when there is none to read. */
  readRegister(register: number): number | undefined {
    if (LocalVectorTable.has(register)) return this.#lvt.get(register);
    if (register >= REGISTER.inService && register < REGISTER.errorStatus) return this.#readVectors(register);
    switch (register) {
      case REGISTER.id:
        return this.#mode === 'x2apic' ? this.id : this.id * 2 ** 24;
      case REGISTER.version:
        return VERSION;
      case REGISTER.taskPriority:
        return this.#interrupts.taskPriority;
      case REGISTER.processorPriority:
        return this.#interrupts.processorPriority;
      case REGISTER.logicalDestination:
        return this.#mode === 'x2apic' ? this.#x2apicLogicalId : this.#logicalDestination * 2 ** 24;
      case REGISTER.destinationFormat:
        return this.#destinationModel * 2 ** 28 + 0x0fff_ffff;
      case REGISTER.spurious:
        return this.#spurious;
      case REGISTER.errorStatus:
        return this.#errorStatus;
      case REGISTER.icrLow:
        return this.#icrLow;
      case REGISTER.icrHigh:
        return this.#icrHigh;
      case REGISTER.initialCount:
        return this.#timer.initialCount;
      case REGISTER.currentCount:
        return this.#timer.currentCount;
      case REGISTER.divide:
        return this.#timer.divide;
      default:
        return undefined;
    }
  }

  /** Writes a register by its number; false when there is none to write. */
  writeRegister(register: number, value: number): boolean {
    if (LocalVectorTable.has(register)) {
      this.#writeLocalVector(register, value);
      return true;
    }
    switch (register) {
      case REGISTER.taskPriority:
        this.#interrupts.taskPriority = value & 0xff;
        break;
      case REGISTER.eoi:
        this.#endOfInterrupt();
        break;
      case REGISTER.logicalDestination:
        this.#logicalDestination = value >>> 24;
        break;
      case REGISTER.destinationFormat:
        this.#destinationModel = value >>> 28;
        break;
      case REGISTER.spurious:
        this.#writeSpurious(value);
        break;
      case REGISTER.errorStatus:
        this.#errorStatus = this.#errors;
        this.#errors = 0;
        this.#timer.reschedule();
        break;
      case REGISTER.icrLow:
        this.#icrLow = value & 0xc_cfff;
        this.#sendIpi();
        break;
      case REGISTER.icrHigh:
        this.#icrHigh = this.#mode === 'x2apic' ? value : (value & 0xff00_0000) >>> 0;
        break;
      case REGISTER.initialCount:
        this.#timer.initialCount = value;
        break;
      case REGISTER.divide:
        this.#timer.divide = value;
        break;
      default:
        return false;
    }
    this.#update();
    return true;
  }

  /** Sends `vector` to this CPU (the SELF IPI register of x2APIC mode). */
  selfIpi(vector: number): void {
    if (this.#enabled) this.#request(vector, false);
  }

  /** Notes an error of the error status register, with its interrupt unless masked. */
  error(bit: number): void {
    this.#errors |= bit;
    const vector = this.#lvt.vector(REGISTER.lvtError);
    if (this.#lvt.masked(REGISTER.lvtError) || vector < FIRST_LEGAL_VECTOR) return;
    this.#interrupts.request(vector, false);
    this.#update();
  }

  /** The state after INIT: IA32_APIC_BASE stays. */
  #resetRegisters(): void {
    this.#interrupts.reset();
    this.#lvt.reset();
    this.#timer.reset();
    this.#logicalDestination = 0;
    this.#destinationModel = FLAT_MODEL;
    this.#spurious = 0xff;
    this.#icrLow = 0;
    this.#icrHigh = 0;
    this.#errorStatus = 0;
    this.#errors = 0;
    this.#update();
  }

  get #enabled(): boolean {
    return this.#mode !== 'disabled' && (this.#spurious & SVR.enable) !== 0;
  }

  get #x2apicLogicalId(): number {
    return (this.id >> 4) * 2 ** 16 + (1 << (this.id & 15));
  }

  get #externalPending(): boolean {
    if (!this.#lint0) return false;
    if (this.#mode === 'disabled') return true;
    return !this.#lvt.masked(REGISTER.lvtLint0) && this.#lvt.delivery(REGISTER.lvtLint0) === DELIVERY.extInt;
  }

  /** Whether a further expiry of the timer would change nothing. */
  get #timerWaits(): boolean {
    const vector = this.#lvt.vector(REGISTER.lvtTimer);
    if (vector < FIRST_LEGAL_VECTOR) return (this.#errors & ESR.receivedIllegalVector) !== 0;
    return this.#interrupts.requested.has(vector);
  }

  #update(): void {
    const pending = this.#externalPending || (this.#mode !== 'disabled' && this.#interrupts.deliverable >= 0);
    if (pending === this.#pending) return;
    this.#pending = pending;
    this.#wiring.cpu.setInterruptPending(pending);
  }

  #request(vector: number, levelTriggered: boolean): void {
    if (vector < FIRST_LEGAL_VECTOR) {
      this.error(ESR.receivedIllegalVector);
      return;
    }
    this.#interrupts.request(vector, levelTriggered);
    this.#update();
  }

  /** The interrupt of a local vector table entry. */
  #raise(register: number): void {
    if (this.#lvt.masked(register)) return;
    const delivery = this.#lvt.delivery(register);
    if (delivery === DELIVERY.fixed) this.#request(this.#lvt.vector(register), false);
    else this.accept(delivery, 0, false);
  }

  #pinChanged(register: number, asserted: boolean): void {
    const entry = this.#lvt.get(register);
    if (this.#lvt.delivery(register) === DELIVERY.fixed && entry & LVT.levelTriggered)
      this.#sampleLevel(register);
    else if (asserted) this.#raise(register);
  }

  /** A level-triggered pin with fixed delivery is accepted once, until its EOI. */
  #sampleLevel(register: number): void {
    const asserted = register === REGISTER.lvtLint0 ? this.#lint0 : this.#lint1;
    const entry = this.#lvt.get(register);
    const open = (entry & (LVT.levelTriggered | LVT.masked | LVT.remoteIrr)) === LVT.levelTriggered;
    if (!asserted || !open || this.#lvt.delivery(register) !== DELIVERY.fixed) return;
    if (this.#lvt.vector(register) >= FIRST_LEGAL_VECTOR) this.#lvt.setRemoteIrr(register, true);
    this.#request(this.#lvt.vector(register), true);
  }

  #endOfInterrupt(): void {
    const vector = this.#interrupts.finish();
    if (vector < 0 || !this.#interrupts.triggerMode.has(vector)) return;
    for (const register of PINS) {
      if (this.#lvt.vector(register) !== vector) continue;
      this.#lvt.setRemoteIrr(register, false);
      this.#sampleLevel(register);
    }
    if ((this.#spurious & SVR.suppressEoiBroadcast) === 0) this.#wiring.network.endOfInterrupt(vector);
  }

  #writeSpurious(value: number): void {
    this.#spurious = value & (0xff | SVR.enable | SVR.suppressEoiBroadcast);
    if (this.#enabled) return;
    this.#timer.reschedule();
    this.#lvt.maskAll();
    this.#configureTimer();
  }

  #writeLocalVector(register: number, value: number): void {
    if (register === REGISTER.lvtTimer) this.#timer.reschedule(); // what is due comes under the old entry
    this.#lvt.set(register, value, this.#enabled);
    if (register === REGISTER.lvtTimer) this.#configureTimer();
    if (register === REGISTER.lvtLint0 || register === REGISTER.lvtLint1) this.#sampleLevel(register);
    this.#update();
  }

  #configureTimer(): void {
    const entry = this.#lvt.get(REGISTER.lvtTimer);
    this.#timer.configure((entry >> 17) & 3, (entry & LVT.masked) !== 0);
  }

  #readVectors(register: number): number {
    const { inService, triggerMode, requested } = this.#interrupts;
    if (register < REGISTER.triggerMode) return inService.word(register - REGISTER.inService);
    if (register < REGISTER.interruptRequest) return triggerMode.word(register - REGISTER.triggerMode);
    return requested.word(register - REGISTER.interruptRequest);
  }

  /** Sends what the interrupt command register says. All but INIT are edge-triggered, and its deassertion does nothing. */
  #sendIpi(): void {
    const icr = this.#icrLow;
    const delivery = (icr >> 8) & 7;
    const vector = icr & 0xff;
    if (delivery === DELIVERY.init && (icr & (ICR.assert | ICR.levelTriggered)) === ICR.levelTriggered)
      return;
    if (delivery <= DELIVERY.lowestPriority && vector < FIRST_LEGAL_VECTOR) {
      this.error(ESR.sendIllegalVector);
      return;
    }
    const { network } = this.#wiring;
    switch ((icr >> 18) & 3) {
      case SHORTHAND.self:
        this.accept(delivery, vector, false);
        break;
      case SHORTHAND.all:
        network.send(BROADCAST, false, delivery, vector, false);
        break;
      case SHORTHAND.others:
        network.send(BROADCAST, false, delivery, vector, false, this);
        break;
      default:
        network.send(this.#icrDestination, (icr & ICR.logical) !== 0, delivery, vector, false);
    }
  }

  get #icrDestination(): number {
    const wide = this.#mode === 'x2apic';
    const destination = wide ? this.#icrHigh : this.#icrHigh >>> 24;
    return destination === (wide ? 0xffff_ffff : 0xff) ? BROADCAST : destination;
  }

  saveState(to: StateWriter): void {
    to.string(this.#mode);
    this.#interrupts.saveState(to);
    this.#lvt.saveState(to);
    to.u8(this.#logicalDestination);
    to.u8(this.#destinationModel);
    to.u32(this.#spurious);
    to.u32(this.#icrLow);
    to.u32(this.#icrHigh);
    to.u32(this.#errorStatus);
    to.u32(this.#errors);
    to.bool(this.#lint0);
    to.bool(this.#lint1);
    this.#timer.saveState(to);
  }

  loadState(from: StateReader): void {
    this.#mode = from.string() as ApicMode;
    this.#interrupts.loadState(from);
    this.#lvt.loadState(from);
    this.#logicalDestination = from.u8();
    this.#destinationModel = from.u8();
    this.#spurious = from.u32();
    this.#icrLow = from.u32();
    this.#icrHigh = from.u32();
    this.#errorStatus = from.u32();
    this.#errors = from.u32();
    this.#lint0 = from.bool();
    this.#lint1 = from.bool();
    this.#timer.loadState(from);
    this.#update();
  }
}
