/**
 * The local vector table (SDM vol. 3, "Local Vector Table"): one entry for each source of interrupts inside or
 * at the pins of a local APIC.
 */
import type { Stateful, StateReader, StateWriter } from '../../state/state.ts';
import { LVT, REGISTER } from './registers.ts';

/** Bits that each entry has, besides the read-only remote IRR of the pins; thermal and performance have a delivery mode. */
const WRITABLE = [0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff] as const;

/** The six entries, by their register numbers from `REGISTER.lvtTimer` to `REGISTER.lvtError`. */
export class LocalVectorTable implements Stateful {
  readonly #entries = new Uint32Array(WRITABLE.length);

  constructor() {
    this.reset();
  }

  /** True for the registers of the table. */
  static has(register: number): boolean {
    return register >= REGISTER.lvtTimer && register <= REGISTER.lvtError;
  }

  /** Bits that software may set in an entry. */
  static writable(register: number): number {
    return WRITABLE[register - REGISTER.lvtTimer]!;
  }

  get(register: number): number {
    return this.#entries[register - REGISTER.lvtTimer]!;
  }

  /** Writes an entry; while the APIC is disabled by software, it stays masked. An edge-triggered one has no remote IRR. */
  set(register: number, value: number, enabled: boolean): void {
    const remoteIrr = value & LVT.levelTriggered ? this.get(register) & LVT.remoteIrr : 0;
    const mask = enabled ? 0 : LVT.masked;
    this.#entries[register - REGISTER.lvtTimer] =
      (value & LocalVectorTable.writable(register)) | remoteIrr | mask;
  }

  /** The remote IRR of a level-triggered pin: an interrupt has been accepted and not yet ended. */
  setRemoteIrr(register: number, waiting: boolean): void {
    const index = register - REGISTER.lvtTimer;
    if (waiting) this.#entries[index]! |= LVT.remoteIrr;
    else this.#entries[index]! &= ~LVT.remoteIrr;
  }

  masked(register: number): boolean {
    return (this.get(register) & LVT.masked) !== 0;
  }

  vector(register: number): number {
    return this.get(register) & 0xff;
  }

  delivery(register: number): number {
    return (this.get(register) >> 8) & 7;
  }

  /** What disabling the APIC by software does: every entry is masked. */
  maskAll(): void {
    for (let index = 0; index < this.#entries.length; index++) this.#entries[index]! |= LVT.masked;
  }

  /** Back to the state after reset. */
  reset(): void {
    this.#entries.fill(LVT.masked);
  }

  saveState(to: StateWriter): void {
    for (const entry of this.#entries) to.u32(entry);
  }

  loadState(from: StateReader): void {
    for (let index = 0; index < this.#entries.length; index++) this.#entries[index] = from.u32();
  }
}
