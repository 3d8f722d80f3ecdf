/**
 * The ways in which a guest resets a PC by a port: the reset control register at 0xCF9, which shares its place
 * with the PCI configuration address (ICH data sheets, "RST_CNT"), and port 0x92.
 */
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import type { ByteDevice } from './isa.ts';

/** The reset control register: its port, and what the FADT has an operating system write there. */
export const RESET_CONTROL = { port: 0xcf9, hardReset: 0x06 } as const;

/** Of the whole machine, or of the processors alone (INIT). */
export type ResetKind = 'hard' | 'soft';

const PORT_92 = { fastReset: 1 << 0, a20: 1 << 1 } as const;

/** Port 0x92: the A20 gate, which is always open, and a reset of the processors by a rise of bit 0. */
export class Port92 implements ByteDevice, Stateful {
  readonly #onReset: (kind: ResetKind) => void;
  #value = 0;

  /** @param onReset called inside the guest's write */
  constructor(onReset: (kind: ResetKind) => void) {
    this.#onReset = onReset;
  }

  readByte(_port: number): number {
    return this.#value | PORT_92.a20;
  }

  writeByte(_port: number, value: number): void {
    const rises = (value & ~this.#value & PORT_92.fastReset) !== 0;
    this.#value = value & PORT_92.fastReset;
    if (rises) this.#onReset('soft');
  }

  saveState(to: StateWriter): void {
    to.u8(this.#value);
  }

  loadState(from: StateReader): void {
    this.#value = from.u8();
  }
}
