/**
 * PCI bus 0: who sits in which slot, where their BARs lie on the machine's buses, and which global system
 * interrupts their INTx# pins reach.
 *
 * There is no firmware, so the bus gives every BAR its first address itself. Guests may move them. The host
 * bridge passes on only its two windows, so a BAR that a guest puts elsewhere answers nowhere; where two BARs
 * overlap, the one in the lower slot (then of the lower number) answers. So what is decoded is a function of
 * configuration space alone.
 */
import { StateError, type Stateful, type StateReader, type StateWriter } from '../../state/state.ts';
import type { AccessSize, InterruptLine, MmioBus, PortBus } from '../bus.ts';
import type { BaseAddressRegister, PciFunction } from './function.ts';
import { allOnes } from './registers.ts';

/** Guest-physical addresses that the host bridge passes on to the PCI bus, up to the IOAPIC's page; `end` is exclusive. */
export const PCI_MEMORY_WINDOW = { start: 0xc0000000, end: 0xfec00000 } as const;

/** I/O ports that the host bridge passes on to the PCI bus; `end` is exclusive. */
export const PCI_IO_WINDOW = { start: 0xc000, end: 0xf000 } as const;

/** The first global system interrupt that INTx# pins reach; there are eight, 16 to 23. */
export const FIRST_PCI_GSI = 16;

/** How many global system interrupts INTx# pins reach. */
export const PCI_GSIS = 8;

/** Slots of a bus: the device number has five bits (section 3.2.2.3.2). */
const SLOTS = 32;

/**
 * The global system interrupt of an INTx# pin. The ACPI tables' _PRT says the same.
 * @param device slot, 0 to 31
 * @param pin 0 for INTA# to 3 for INTD#
 */
export function interruptRoute(device: number, pin: number): number {
  return FIRST_PCI_GSI + ((device + pin) % PCI_GSIS);
}

interface Decoded {
  readonly kind: 'memory' | 'io';
  readonly start: number;
  readonly end: number;
}

/** The first multiple of `size` at or after `address`. */
function align(address: number, size: number): number {
  return Math.ceil(address / size) * size;
}

/** PCI bus 0 of a machine. */
export class PciBus implements Stateful {
  readonly #ports: PortBus;
  readonly #mmio: MmioBus;
  readonly #lines: readonly InterruptLine[];
  readonly #slots: (PciFunction | undefined)[] = Array.from({ length: SLOTS }, () => undefined);
  /** What is on the machine's buses now. */
  readonly #decoded: Decoded[] = [];
  /** Which of `#lines` are asserted, a bit each. */
  #asserted = 0;
  #nextMemory: number = PCI_MEMORY_WINDOW.start;
  #nextPort: number = PCI_IO_WINDOW.start;

  /** @param lines the inputs of global system interrupts 16 to 23, in order */
  constructor(ports: PortBus, mmio: MmioBus, lines: readonly InterruptLine[]) {
    if (lines.length !== PCI_GSIS) throw new Error(`a PCI bus has ${PCI_GSIS} interrupt lines`);
    this.#ports = ports;
    this.#mmio = mmio;
    this.#lines = lines;
  }

  /**
   * Puts a function into slot `device` (0 to 31), as its function 0, and gives its BARs their first addresses.
   * Throws when the slot is taken or a window is full.
   */
  plug(device: number, pciFunction: PciFunction): void {
    if (device < 0 || device >= SLOTS || this.#slots[device] !== undefined) {
      throw new Error(`${pciFunction.name}: PCI slot ${device} is taken or does not exist`);
    }
    const addresses = pciFunction.bars.map((bar) => this.#place(pciFunction.name, bar));
    pciFunction.plug(
      { decodeChanged: () => this.#decode(), interruptChanged: () => this.#drive() },
      addresses,
    );
    this.#slots[device] = pciFunction;
    this.#decode();
  }

  #place(name: string, bar: BaseAddressRegister): number {
    const memory = bar.kind === 'memory';
    const address = align(memory ? this.#nextMemory : this.#nextPort, bar.size);
    const end = address + bar.size;
    if (end > (memory ? PCI_MEMORY_WINDOW : PCI_IO_WINDOW).end) {
      throw new Error(`${name}: the PCI ${bar.kind} window has no room for ${bar.size} bytes more`);
    }
    if (memory) this.#nextMemory = end;
    else this.#nextPort = end;
    return address;
  }

  /** Reads configuration space of slot `device`; all ones where nobody sits (section 3.2.2.3.4, "master abort"). */
  readConfig(device: number, func: number, offset: number, size: AccessSize): number {
    const found = func === 0 ? this.#slots[device] : undefined;
    return found === undefined ? allOnes(size) : found.readConfig(offset, size);
  }

  /** Writes configuration space of slot `device`; nothing happens where nobody sits. */
  writeConfig(device: number, func: number, offset: number, size: AccessSize, value: number): void {
    if (func === 0) this.#slots[device]?.writeConfig(offset, size, value);
  }

  /** Resets every function, as a platform reset does (RST#). */
  reset(): void {
    for (const each of this.#slots) each?.reset();
  }

  #decode(): void {
    for (const { kind, start } of this.#decoded) (kind === 'memory' ? this.#mmio : this.#ports).detach(start);
    this.#decoded.length = 0;
    for (const each of this.#slots) {
      each?.bars.forEach((bar, index) => {
        const start = each.decodedAddress(index);
        if (start !== undefined) this.#attach(`${each.name} BAR ${index}`, bar, start);
      });
    }
  }

  #attach(name: string, { kind, size, registers }: BaseAddressRegister, start: number): void {
    const end = start + size;
    const window = kind === 'memory' ? PCI_MEMORY_WINDOW : PCI_IO_WINDOW;
    if (start < window.start || end > window.end) return;
    if (this.#decoded.some((other) => other.kind === kind && start < other.end && other.start < end)) return;
    this.#decoded.push({ kind, start, end });
    if (kind === 'memory') {
      this.#mmio.attach(name, start, size, {
        exitAt: (offset, write) => registers.exitAt?.(offset, write) ?? 'user',
        readMmio: (offset, width) => registers.readRegister(offset, width),
        writeMmio: (offset, width, value) => registers.writeRegister(offset, width, value),
      });
    } else {
      this.#ports.attach(name, start, size, {
        readPort: (port, width) => registers.readRegister(port - start, width),
        writePort: (port, width, value) => registers.writeRegister(port - start, width, value),
      });
    }
  }

  /** INTx# is wired-or: a line is asserted while any function that shares it asserts its pin (section 2.2.6). */
  #wanted(): number {
    let wanted = 0;
    this.#slots.forEach((each, device) => {
      if (each?.interruptAsserted) {
        wanted |= 1 << (interruptRoute(device, each.interruptPin - 1) - FIRST_PCI_GSI);
      }
    });
    return wanted;
  }

  #drive(): void {
    const changed = this.#asserted ^ this.#wanted();
    this.#asserted ^= changed;
    for (let i = 0; i < PCI_GSIS; i++) {
      if ((changed & (1 << i)) !== 0) this.#lines[i]!((this.#asserted & (1 << i)) !== 0);
    }
  }

  saveState(to: StateWriter): void {
    const plugged = this.#slots.filter((each) => each !== undefined);
    to.u32(plugged.length);
    for (const each of plugged) to.part(each.name, each);
  }

  /** Takes up every function's configuration. The interrupt controller keeps its inputs' levels itself: no line is driven. */
  loadState(from: StateReader): void {
    const plugged = this.#slots.filter((each) => each !== undefined);
    const count = from.u32();
    if (count !== plugged.length) {
      throw new StateError(`saved state has ${count} PCI functions, this machine has ${plugged.length}`);
    }
    for (const each of plugged) from.part(each.name, each);
    this.#asserted = this.#wanted();
    this.#decode();
  }
}
