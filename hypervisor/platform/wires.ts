/**
 * The interrupt wires of a PC: one for each global system interrupt, which several devices may share.
 */
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import type { InterruptLine } from './bus.ts';
import { IOAPIC_INPUTS } from './ioapic.ts';

/** The most devices on one wire. */
const MAX_SOURCES = 32;

/** Wires 0 … 23. A wire is asserted while any of its sources asserts it. */
export class InterruptWires implements Stateful {
  readonly #changed: (wire: number, asserted: boolean) => void;
  readonly #sources = new Uint32Array(IOAPIC_INPUTS);
  readonly #asserting = new Uint32Array(IOAPIC_INPUTS);

  /** @param changed is told when a wire changes */
  constructor(changed: (wire: number, asserted: boolean) => void) {
    this.#changed = changed;
  }

  /** Connects one more device to `wire`. Throws when there are 32 already. */
  source(wire: number): InterruptLine {
    const index = this.#sources[wire];
    if (index === undefined || index === MAX_SOURCES) {
      throw new RangeError(`interrupt wire ${wire} does not exist or has ${MAX_SOURCES} devices already`);
    }
    this.#sources[wire] = index + 1;
    const bit = (1 << index) >>> 0;
    return (asserted) => {
      const before = this.#asserting[wire]!;
      const after = (asserted ? before | bit : before & ~bit) >>> 0;
      this.#asserting[wire] = after;
      if ((before === 0) !== (after === 0)) this.#changed(wire, after !== 0);
    };
  }

  asserted(wire: number): boolean {
    return this.#asserting[wire] !== 0;
  }

  saveState(to: StateWriter): void {
    for (const sources of this.#asserting) to.u32(sources);
  }

  loadState(from: StateReader): void {
    for (let wire = 0; wire < IOAPIC_INPUTS; wire++) this.#asserting[wire] = from.u32();
  }
}
