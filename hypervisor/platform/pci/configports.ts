/**
 * Configuration mechanism 1 (PCI Local Bus Specification 3.0, section 3.2.2.3.2): CONFIG_ADDRESS at port CF8h
 * names a dword of a function's configuration space, CONFIG_DATA at CFCh reads and writes it. The byte at CF9h
 * is the reset control register of Intel's chip sets (ICH and 82371SB data sheets, "RC: Reset Control Register").
 */
import type { Stateful, StateReader, StateWriter } from '../../state/state.ts';
import type { AccessSize, PortBus } from '../bus.ts';
import type { PciBus } from './bus.ts';
import { allOnes } from './registers.ts';

const CONFIG_ADDRESS = 0xcf8;
const RESET_CONTROL = 0xcf9;
const CONFIG_DATA = 0xcfc;

/** CONFIG_ADDRESS: enable, bus, device, function and register; bits 30:24 and 1:0 are read-only zeros. */
const ADDRESS_BITS = 0x80fffffc;
const ENABLE = 0x80000000;

/** Reset control: bit 1 says hard (1) or soft (0), a rise of bit 2 starts the reset. */
const SYSTEM_RESET = 1 << 1;
const RESET_CPU = 1 << 2;

/** Which reset a guest asked for at port CF9h: of the whole platform, or INIT# to the processors alone. */
export type ResetKind = 'hard' | 'soft';

/** Ports CF8h to CFFh. */
export class PciConfigPorts implements Stateful {
  readonly #bus: PciBus;
  readonly #onResetControl: (kind: ResetKind) => void;
  #address = 0;
  #resetControl = 0;

  /** @param onResetControl called inside the guest's write that asks for a reset */
  constructor(ports: PortBus, bus: PciBus, onResetControl: (kind: ResetKind) => void) {
    this.#bus = bus;
    this.#onResetControl = onResetControl;
    ports.attach('PCI configuration address', CONFIG_ADDRESS, 4, {
      readPort: (port, size) => this.#readAddress(port, size),
      writePort: (port, size, value) => this.#writeAddress(port, size, value),
    });
    ports.attach('PCI configuration data', CONFIG_DATA, 4, {
      readPort: (port, size) => this.#readData(port, size),
      writePort: (port, size, value) => this.#writeData(port, size, value),
    });
  }

  /** Only a dword reaches CONFIG_ADDRESS; smaller accesses are to other registers at these ports. */
  #readAddress(port: number, size: AccessSize): number {
    if (size === 4) return this.#address;
    return port === RESET_CONTROL && size === 1 ? this.#resetControl : allOnes(size);
  }

  #writeAddress(port: number, size: AccessSize, value: number): void {
    if (size === 4) this.#address = (value & ADDRESS_BITS) >>> 0;
    else if (port === RESET_CONTROL && size === 1) this.#writeResetControl(value);
  }

  #writeResetControl(value: number): void {
    const rises = (value & ~this.#resetControl & RESET_CPU) !== 0;
    this.#resetControl = value & (SYSTEM_RESET | RESET_CPU);
    if (rises) this.#onResetControl((value & SYSTEM_RESET) !== 0 ? 'hard' : 'soft');
  }

  /** True when CONFIG_ADDRESS names a function of bus 0, the only bus. */
  get #selected(): boolean {
    return this.#address >= ENABLE && ((this.#address >>> 16) & 0xff) === 0;
  }

  #readData(port: number, size: AccessSize): number {
    if (!this.#selected) return allOnes(size);
    const offset = (this.#address & 0xfc) + (port - CONFIG_DATA);
    return this.#bus.readConfig((this.#address >>> 11) & 31, (this.#address >>> 8) & 7, offset, size);
  }

  #writeData(port: number, size: AccessSize, value: number): void {
    if (!this.#selected) return;
    const offset = (this.#address & 0xfc) + (port - CONFIG_DATA);
    this.#bus.writeConfig((this.#address >>> 11) & 31, (this.#address >>> 8) & 7, offset, size, value);
  }

  /** Both registers to zero, as a platform reset does. */
  reset(): void {
    this.#address = 0;
    this.#resetControl = 0;
  }

  saveState(to: StateWriter): void {
    to.u32(this.#address);
    to.u8(this.#resetControl);
  }

  loadState(from: StateReader): void {
    this.#address = from.u32();
    this.#resetControl = from.u8();
  }
}
