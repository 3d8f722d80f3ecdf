/**
 * A CPU in its socket: the vCPU that executes, and what the platform does to it between instructions: interrupts, NMI,
 * INIT and start-up IPIs, waking from HLT.
 */
import type { Costs } from '../clock/costs.ts';
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import * as exits from '../x86/exits.ts';
import { IF } from '../x86/flags.ts';
import * as layout from '../x86/layout.ts';
import { physicalBits } from '../x86/mode.ts';
import type { Vcpu } from '../x86/vcpu.ts';
import type { EntryState } from './loader/load.ts';
import type { PcCpu } from './pc.ts';

/** The part of a local APIC that its CPU asks. */
export interface InterruptSource {
  /** Moves the highest pending interrupt into service and gives its vector. */
  acknowledge(): number;
}

/** Why a CPU cannot go on. */
export type CpuStop =
  | { readonly kind: 'shutdown' }
  | { readonly kind: 'no memory'; readonly address: number };

/**
 * Gives a guest page a frame that the CPU can use, for a fault at virtual time `now`. Gives the virtual ns that it takes, or a negative number
 * when the CPU must wait until the host has served it.
 */
export type ServeFault = (page: number, write: boolean, now: number) => number;

/** Longest run in units of time: with what may be charged at its end (`clock/costs.ts`), it fits 31 bits. */
const longestRun = 1_000_000_000;
const nmiVector = 2;
/** Kind of event `deliver` takes for interrupts. */
const external = 1;

/** See the top of this file. */
export class Cpu implements PcCpu, Stateful {
  readonly vcpu: Vcpu;
  /** Virtual time up to which it has executed, in ns. */
  time = 0;
  /** Instructions retired since power-on, deliveries of exceptions and interrupts included. */
  retired = 0;
  /** Time in ns that it has used of a physical CPU since the host last took account of it. */
  executed = 0;
  /** Whether it has a physical CPU now; without one it executes nothing. */
  hasCpu = true;
  /** Time in ns since it last had a physical CPU for which it had something to execute. */
  stolen = 0;
  /** True after INIT, until the start-up IPI. */
  waitsForStartup: boolean;
  /** It waits for the host to serve a fault, up to this virtual time in ns; Infinity while the host does not know yet. */
  blockedUntil = 0;
  #interrupt = false;
  #nmi = false;
  #running = false;
  /** An event that has been taken but could not be delivered yet: its vector. */
  #event: number | undefined;
  readonly #isBootstrap: boolean;
  readonly #source: () => InterruptSource;
  readonly #fault: ServeFault;
  readonly #costs: Costs;

  /** @param source its local APIC */
  constructor(
    vcpu: Vcpu,
    isBootstrap: boolean,
    source: () => InterruptSource,
    fault: ServeFault,
    costs: Costs,
  ) {
    this.vcpu = vcpu;
    this.#isBootstrap = isBootstrap;
    this.waitsForStartup = !isBootstrap;
    this.#source = source;
    this.#fault = fault;
    this.#costs = costs;
  }

  /** Virtual time now, in ns: while it executes, that of the instruction. */
  get now(): number {
    return this.#running ? this.vcpu.now : this.time;
  }

  /** True while {@link run} is in progress. */
  get running(): boolean {
    return this.#running;
  }

  /** True when there is nothing for it to execute. */
  get idle(): boolean {
    if (this.waitsForStartup) return true;
    if (this.#event !== undefined) return false;
    return this.vcpu.get32(layout.halted) !== 0 && !this.#nmi && !(this.#interrupt && this.#accepts());
  }

  #accepts(): boolean {
    return (this.vcpu.get32(layout.systemFlags) & IF) !== 0;
  }

  /** Lets `duration` ns pass for what the host does inside an access of this CPU. */
  charge(duration: number): void {
    if (this.#running) this.vcpu.charge(duration);
  }

  setInterruptPending(pending: boolean): void {
    this.#interrupt = pending;
    this.#showWaiting();
    if (pending && this.#running) this.vcpu.stopSoon();
  }

  /** Lets code see what waits, so that it stops when it makes it possible. */
  #showWaiting(): void {
    this.vcpu.set32(layout.interruptPending, (this.#interrupt ? 1 : 0) | (this.#nmi ? 2 : 0));
  }

  nmi(): void {
    this.#nmi = true;
    this.#showWaiting();
    if (this.#running) this.vcpu.stopSoon();
  }

  init(): void {
    this.vcpu.reset();
    this.#nmi = false;
    this.#showWaiting();
    this.waitsForStartup = !this.#isBootstrap;
    if (this.#running) this.vcpu.stopSoon();
  }

  startup(vector: number): void {
    if (!this.waitsForStartup) return;
    this.waitsForStartup = false;
    this.vcpu.setSegment(layout.CS, {
      selector: vector << 8,
      base: BigInt(vector << 12),
      limit: 0xffff,
      attributes: 0x9b,
    });
    this.vcpu.set64(layout.rip, 0n);
    this.vcpu.stateChanged();
  }

  tsc(): bigint {
    return BigInt(this.now) + BigInt.asIntN(64, this.vcpu.get64(layout.tscOffset));
  }

  timeOfTsc(tsc: bigint): number {
    return Number(tsc - BigInt.asIntN(64, this.vcpu.get64(layout.tscOffset)));
  }

  /** Puts the CPU into the state in which a boot loader enters a kernel. */
  enterKernel(entry: EntryState): void {
    const { vcpu } = this;
    vcpu.reset();
    vcpu.rflags = 0;
    const code = {
      selector: entry.selectors.code,
      base: 0n,
      limit: 0xffff_ffff,
      attributes: entry.mode === 'long' ? 0xa09b : 0xc09b,
    };
    vcpu.setSegment(layout.CS, code);
    for (const number of [layout.DS, layout.ES, layout.SS]) {
      vcpu.setSegment(number, {
        selector: entry.selectors.data,
        base: 0n,
        limit: 0xffff_ffff,
        attributes: 0xc093,
      });
    }
    vcpu.set64(layout.gdtr, BigInt(entry.gdt.base));
    vcpu.set64(layout.gdtr + 8, BigInt(entry.gdt.limit));
    vcpu.set64(layout.rip, BigInt(entry.rip));
    vcpu.setGpr(4, BigInt(entry.rsp));
    vcpu.setGpr(6, BigInt(entry.rsi));
    if (entry.mode === 'long') {
      vcpu.set64(layout.cr3, BigInt(entry.cr3));
      vcpu.set64(layout.cr4, 0x20n);
      vcpu.set64(layout.efer, 0x500n);
      vcpu.set64(layout.cr0, 0x8000_0011n);
    } else vcpu.set64(layout.cr0, 0x11n);
    // Memory types as firmware sets them: write-back, but for the devices' gigabyte below 4 GiB.
    vcpu.set64(layout.mtrr, 0xc000_0000n);
    vcpu.set64(layout.mtrr + 8, ((1n << BigInt(physicalBits)) - 0x4000_0000n) | 0x800n);
    vcpu.set64(layout.mtrr + 8 * 16, 0x806n);
    vcpu.stateChanged();
  }

  /**
   * Executes up to virtual time `until()`, which is asked anew as devices bring events nearer; less when it has nothing to
   * do, then its time is set to `until()` as well.
   * @param alone whether no other CPU of the guest could make use of the time that a PAUSE waits
   */
  run(until: () => number, alone: boolean): CpuStop | undefined {
    const { vcpu } = this;
    for (;;) {
      const end = until();
      if (this.time >= end) return undefined;
      if (this.blockedUntil > this.time) {
        this.time = Math.min(end, this.blockedUntil);
        continue;
      }
      if (this.idle) {
        this.time = end;
        return undefined;
      }
      const inShadow = !vcpu.takesEvents;
      if (!inShadow && this.#deliver() === 'fault') {
        this.#serveFault();
        continue;
      }
      const exit = this.#execute(inShadow ? 1 : Math.min(end - this.time, longestRun));
      this.#spend(vcpu.elapsed);
      this.retired += vcpu.retired;
      switch (exit) {
        case exits.halt:
          this.#spend(this.#costs.exitLight);
          break;
        case exits.hostFault:
          this.#serveFault();
          break;
        case exits.codeFull:
          vcpu.engine.makeRoom();
          break;
        case exits.shutdown:
          return { kind: 'shutdown' };
        case exits.noMemory:
          return { kind: 'no memory', address: Number(vcpu.get64(layout.exitInfo)) };
        case exits.pause:
          if (!alone) this.#spend(Math.max(0, until() - this.time));
          break;
      }
    }
  }

  #execute(budget: number): number {
    this.#running = true;
    try {
      return this.vcpu.run(this.time, budget);
    } finally {
      this.#running = false;
    }
  }

  /** What serving a fault costs passes before the instruction is executed again, whatever executes it. */
  #serveFault(): void {
    const info = this.vcpu.get64(layout.exitInfo);
    const cost = this.#fault(Number(info & 0xffff_ffffn), info >> 63n !== 0n, this.time);
    if (cost < 0) this.blockedUntil = Number.POSITIVE_INFINITY;
    else this.#spend(cost);
  }

  /** The host interrupts it to empty its TLB, if it executes; one that does not empties it when it goes on, for nothing. */
  shootDown(): void {
    if (!this.idle && this.blockedUntil <= this.time) this.#spend(this.#costs.shootdown);
  }

  #spend(duration: number): void {
    this.time += duration;
    this.executed += duration;
  }

  /** Lets its time pass up to `until` (ns) without a physical CPU. */
  passBy(until: number): void {
    if (this.time < this.blockedUntil) this.time = Math.min(this.blockedUntil, Math.max(this.time, until));
    if (this.time >= until) return;
    if (!this.idle) this.stolen += until - this.time;
    this.time = until;
  }

  /** Delivers an NMI or interrupt that may be taken now. */
  #deliver(): 'none' | 'done' | 'fault' {
    const { vcpu } = this;
    const event = this.#event ?? this.#nextEvent();
    if (event === undefined) return 'none';
    vcpu.set32(layout.halted, 0);
    vcpu.set32(layout.exit, exits.budget);
    if (vcpu.engine.core.deliver(vcpu.base, event, 0, external) === 0) {
      // The stack or a table has no frame: the same event again once it has one.
      this.#event = event;
      return 'fault';
    }
    this.#event = undefined;
    this.#spend(1 + this.#costs.interrupt);
    this.retired++;
    return 'done';
  }

  /** Takes the event that is due: NMI first. */
  #nextEvent(): number | undefined {
    const { vcpu } = this;
    if (this.#nmi && vcpu.get32(layout.nmiBlocked) === 0) {
      this.#nmi = false;
      this.#showWaiting();
      vcpu.set32(layout.nmiBlocked, 1);
      return nmiVector;
    }
    return this.#interrupt && this.#accepts() ? this.#source().acknowledge() : undefined;
  }

  saveState(to: StateWriter): void {
    to.part('vcpu', this.vcpu);
    to.number(this.time);
    to.number(this.retired);
    to.number(this.executed);
    to.bool(this.hasCpu);
    to.number(this.stolen);
    to.bool(this.waitsForStartup);
    to.number(this.blockedUntil);
    to.bool(this.#interrupt);
    to.bool(this.#nmi);
    to.u32(this.#event ?? 0xffff_ffff);
  }

  loadState(from: StateReader): void {
    from.part('vcpu', this.vcpu);
    this.time = from.number();
    this.retired = from.number();
    this.executed = from.number();
    this.hasCpu = from.bool();
    this.stolen = from.number();
    this.waitsForStartup = from.bool();
    this.blockedUntil = from.number();
    this.setInterruptPending(from.bool());
    this.#nmi = from.bool();
    this.#showWaiting();
    const event = from.u32();
    this.#event = event === 0xffff_ffff ? undefined : event;
  }
}
