/** One virtual CPU: its state block in host memory, and running it. */

import { type HostMemory, pageSize } from '../memory/hostmemory.ts';
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import type { Engine } from './engine.ts';
import * as exits from './exits.ts';
import { arithmeticFlags, FIXED } from './flags.ts';
import * as layout from './layout.ts';
import { CR0 } from './mode.ts';
import * as tlb from './tlb.ts';

/** A segment register with its hidden part. */
export interface Segment {
  readonly selector: number;
  readonly base: bigint;
  /** In bytes, granularity applied. */
  readonly limit: number;
  /** As `segments.ts` describes them. */
  readonly attributes: number;
}

/** Where a vCPU finds its guest's memory. */
export interface VcpuMemory {
  /** Gives the room for the vCPU's own state. */
  readonly room: HostMemory;
  /** Where the vCPUs of the guest share the latest time read (`layout.shared`). */
  readonly shared: number;
  readonly slots: number;
  readonly codeMap: number;
  readonly pageCount: number;
}

/** Room for a vCPU: its state, its TLB, and the list of entries in use. */
const vcpuBytes = layout.stateSize + tlb.size + tlb.listSize;
/** The same in whole pages: it begins at one. */
export const vcpuRoom = Math.ceil(vcpuBytes / pageSize) * pageSize;

/** See the top of this file. */
export class Vcpu implements Stateful {
  readonly engine: Engine;
  /** Host address of the state block. */
  readonly base: number;
  readonly #room: HostMemory;

  constructor(engine: Engine, memory: VcpuMemory) {
    this.engine = engine;
    this.#room = memory.room;
    this.base = memory.room.allocate(vcpuBytes, pageSize);
    this.#emptyTlb();
    this.set32(layout.leaderCache, engine.leaderCache);
    this.set32(layout.slots, memory.slots);
    this.set32(layout.codeMap, memory.codeMap);
    this.set32(layout.slotCount, memory.pageCount);
    this.set32(layout.shared, memory.shared);
    this.reset();
  }

  /**
   * Makes the entries hold nothing that zeros would be a tag for: that of page 0, and of the last page, from which an access may reach
   * into page 0. All are in no list: flushes only go through the list.
   */
  #emptyTlb(): void {
    const { i32 } = this.engine.memory;
    for (let set = 0; set < tlb.setCount; set++) {
      const first = this.base + tlb.setOffset(set, layout.stateSize);
      for (const entry of [first, first + tlb.entryMask]) i32.fill(-1, entry >> 2, (entry + tlb.addend) >> 2);
    }
  }

  /** Tells the vCPU the number by which code calls its host (`Engine.register`). */
  setNumber(number: number): void {
    this.set32(layout.number, number);
  }

  /** Gives its number and its room back; it does not run any more. */
  dispose(): void {
    this.engine.unregister(this.get32(layout.number));
    this.#room.release(this.base, vcpuBytes);
  }

  // Fields of the state, by their offsets in `layout.ts`.

  get32(offset: number): number {
    return this.engine.memory.i32[(this.base + offset) >> 2]!;
  }

  set32(offset: number, value: number): void {
    this.engine.memory.i32[(this.base + offset) >> 2] = value;
  }

  get64(offset: number): bigint {
    return this.engine.memory.u64[(this.base + offset) / 8]!;
  }

  set64(offset: number, value: bigint): void {
    this.engine.memory.u64[(this.base + offset) / 8] = value;
  }

  /** Bytes of the state, as a view. */
  bytes(offset: number, length: number): Uint8Array {
    return this.engine.memory.u8.subarray(this.base + offset, this.base + offset + length);
  }

  /** General register `number`. */
  gpr(number: number): bigint {
    return this.get64(layout.gprOffset(number));
  }

  setGpr(number: number, value: bigint): void {
    this.set64(layout.gprOffset(number), value);
  }

  /** All of RFLAGS. */
  get rflags(): number {
    return this.get32(layout.systemFlags) | this.engine.core.allFlags(this.base) | FIXED;
  }

  set rflags(value: number) {
    this.set32(layout.systemFlags, value & ~arithmeticFlags & ~FIXED);
    this.set32(layout.ccOp, 0);
    this.set64(layout.ccDst, 0n);
    this.set64(layout.ccSrc, BigInt(value & arithmeticFlags));
  }

  segment(number: number): Segment {
    const at = layout.segmentOffset(number);
    return {
      selector: this.get32(at + layout.segmentSelector),
      base: this.get64(at),
      limit: this.get32(at + layout.segmentLimit) >>> 0,
      attributes: this.get32(at + layout.segmentAttributes),
    };
  }

  setSegment(number: number, segment: Segment): void {
    const at = layout.segmentOffset(number);
    this.set32(at + layout.segmentSelector, segment.selector);
    this.set64(at, segment.base);
    this.set32(at + layout.segmentLimit, segment.limit);
    this.set32(at + layout.segmentAttributes, segment.attributes);
  }

  /** Starts the generator behind RDRAND and RDSEED from 32 bytes. */
  seedRandom(seed: Uint8Array): void {
    this.bytes(layout.random, 32).set(seed.subarray(0, 32));
  }

  /** After state was set from outside: brings what is derived from it up to date and forgets all translations. */
  stateChanged(): void {
    this.engine.core.updateMode(this.base);
    this.engine.core.flushTlb(this.base, 0);
  }

  /** Puts the vCPU into the state after power-on (SDM vol. 3, table 9-1). */
  reset(): void {
    // INIT and reset leave the random generator where it is.
    const random = this.bytes(layout.random, 32).slice();
    this.bytes(0, layout.architecturalSize).fill(0);
    this.bytes(layout.random, 32).set(random);
    this.set64(layout.rip, 0xfff0n);
    this.rflags = 0;
    for (let number = 0; number < 8; number++) {
      const attributes =
        number === layout.LDTR ? 0x82 : number === layout.TR ? 0x8b : number === layout.CS ? 0x9b : 0x93;
      const isCode = number === layout.CS;
      this.setSegment(number, {
        selector: isCode ? 0xf000 : 0,
        base: isCode ? 0xffff_0000n : 0n,
        limit: 0xffff,
        attributes,
      });
    }
    this.set64(layout.gdtr + 8, 0xffffn);
    this.set64(layout.idtr + 8, 0xffffn);
    this.set64(layout.cr0, BigInt(CR0.CD | CR0.NW | CR0.ET) & 0xffff_ffffn);
    this.set64(layout.dr + 48, 0xffff_0ff0n);
    this.set64(layout.dr + 56, 0x400n);
    this.set64(layout.xcr0, 1n);
    this.set64(layout.pat, 0x0007_0406_0007_0406n);
    // Fast strings on (SDM vol. 4, IA32_MISC_ENABLE).
    this.set64(layout.miscEnable, 1n);
    this.set32(layout.mxcsr, 0x1f80);
    this.set32(layout.fcw, 0x40);
    this.stateChanged();
  }

  /**
   * Runs from virtual time `now` (ns) for `budget` units of time at most (1 … 2^31 − 1). Returns why it stopped (`exits.ts`);
   * `now`, `elapsed` and `retired` tell how far it got.
   */
  run(now: number, budget: number): number {
    this.set64(layout.timeBase, BigInt(now));
    this.set32(layout.budget, budget);
    this.set32(layout.budgetStart, budget);
    this.set32(layout.charged, 0);
    this.set32(layout.exit, exits.budget);
    this.engine.core.run(this.base);
    this.engine.work(this.elapsed);
    return this.get32(layout.exit);
  }

  /** The vCPU's virtual time in ns, also while it runs. */
  get now(): number {
    return Number(this.get64(layout.timeBase)) + this.elapsed;
  }

  /**
   * Whether an interrupt or NMI may be delivered now: not in a shadow (`layout.shadows`), and not before an exception that has
   * been found already.
   */
  get takesEvents(): boolean {
    return (
      this.get32(layout.shadow) === 0 &&
      this.get32(layout.pendingDebug) === 0 &&
      this.get32(layout.owedException) === 0
    );
  }

  /** Makes the run in progress stop behind the present instruction; no time passes by it. */
  stopSoon(): void {
    this.set32(layout.setAside, 0);
    const cut = this.get32(layout.budget) - 1;
    if (cut <= 0) return;
    this.set32(layout.budgetStart, this.get32(layout.budgetStart) - cut);
    this.set32(layout.budget, 1);
  }

  /**
   * Lets `units` of time pass (0 or more) before the present instruction retires, besides its own: for what the host does inside a call
   * that has come from it. A run that has no more of its budget left stops behind the instruction, later than it should by the rest.
   */
  charge(units: number): void {
    this.set32(layout.charged, this.get32(layout.charged) + units);
    const setAside = Math.min(this.get32(layout.setAside), units);
    this.set32(layout.setAside, this.get32(layout.setAside) - setAside);
    const budget = this.get32(layout.budget);
    const cut = Math.max(0, Math.min(units - setAside, budget - 1));
    this.set32(layout.budgetStart, this.get32(layout.budgetStart) + units - cut);
    this.set32(layout.budget, budget - cut);
    // What held for the instruction that starts at this budget still does.
    for (const mark of [layout.shadowBudget, layout.resumeBudget]) {
      if (this.get32(mark) === budget) this.set32(mark, budget - cut);
    }
  }

  /** Units of time that have passed in this run. */
  get elapsed(): number {
    return this.get32(layout.budgetStart) - this.get32(layout.budget);
  }

  /** Instructions retired in this run, deliveries of exceptions included. */
  get retired(): number {
    return this.elapsed - this.get32(layout.charged);
  }

  /** Instructions executed as translated code since power-on. */
  get translatedInstructions(): number {
    return Number(this.get64(layout.translated));
  }

  saveState(to: StateWriter): void {
    // Lazy flags in their one explicit form: equal states give equal bytes whatever led to them.
    const flags = this.rflags;
    this.rflags = flags;
    for (const { name, offset, size } of layout.architecturalFields) {
      to.section(name, () => to.bytes(this.bytes(offset, size)));
    }
  }

  loadState(from: StateReader): void {
    for (const { name, offset, size } of layout.architecturalFields) {
      from.section(name, () => this.bytes(offset, size).set(from.bytes()));
    }
    this.stateChanged();
  }
}
