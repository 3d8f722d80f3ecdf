/** The part of a PC that tests of PCI devices need: the buses, the PCI bus with its ports, and what reached the interrupt controllers. */
import { type AccessSize, MmioBus, PortBus } from '../../bus.ts';
import { PCI_GSIS, PciBus } from '../bus.ts';
import { PciConfigPorts, type ResetKind } from '../configports.ts';
import { hostBridge } from '../hostbridge.ts';

/** A PC with nothing but PCI, seen from its guest. */
export class TestPc {
  readonly ports = new PortBus();
  readonly mmio = new MmioBus();
  /** Messages that arrived, in order. */
  readonly messages: { address: number; data: number }[] = [];
  /** Levels of GSIs 16 to 23. */
  readonly lines = Array.from({ length: PCI_GSIS }, () => false);
  readonly resets: ResetKind[] = [];
  readonly bus = new PciBus(
    this.ports,
    this.mmio,
    this.lines.map((_, i) => (asserted) => {
      this.lines[i] = asserted;
    }),
  );
  readonly configPorts = new PciConfigPorts(this.ports, this.bus, (kind) => this.resets.push(kind));

  constructor() {
    this.bus.plug(0, hostBridge());
  }

  /** Where an MSI-X table sends to. */
  readonly deliver = (address: number, data: number): void => {
    this.messages.push({ address, data });
  };

  /** Reads configuration space as a guest does. */
  readConfig(device: number, offset: number, size: AccessSize): number {
    this.ports.write(0xcf8, 4, (0x80000000 | (device << 11) | (offset & 0xfc)) >>> 0);
    return this.ports.read(0xcfc + (offset & 3), size);
  }

  /** Writes configuration space as a guest does. */
  writeConfig(device: number, offset: number, size: AccessSize, value: number): void {
    this.ports.write(0xcf8, 4, (0x80000000 | (device << 11) | (offset & 0xfc)) >>> 0);
    this.ports.write(0xcfc + (offset & 3), size, value);
  }

  /** Offsets of the capabilities with the given ID, in list order. */
  capabilities(device: number, id: number): number[] {
    const found: number[] = [];
    for (let at = this.readConfig(device, 0x34, 1); at !== 0; at = this.readConfig(device, at + 1, 1)) {
      if (this.readConfig(device, at, 1) === id) found.push(at);
    }
    return found;
  }

  /** The base address of a memory BAR. */
  bar(device: number, index: number): number {
    return (this.readConfig(device, 0x10 + 4 * index, 4) & ~0xf) >>> 0;
  }
}
