/**
 * The DSDT: what an operating system cannot find out by itself. A PCI host bridge with its windows and interrupt
 * routing, the fixed devices of a PC, the processors, and the soft-off state.
 */
import { IOAPIC_LENGTH } from '../ioapic.ts';
import { type AddressRange, IOAPIC_BASE, LOCAL_APIC_BASE, PCI_WINDOW } from '../memorymap.ts';
import { PM_PORTS, S5_SLEEP_TYPE } from '../pm.ts';
import {
  type Aml,
  arg0,
  device,
  eisaId,
  ifThen,
  integer,
  method,
  name,
  pkg,
  reference,
  returnValue,
  scope,
  store,
  string,
} from './aml.ts';
import {
  busNumbers,
  fixedMemory,
  ioPorts,
  ioWindow,
  isaIrq,
  memoryWindow,
  resourceTemplate,
} from './resources.ts';

/** Ports that the host bridge passes on to the PCI bus. */
export const PCI_IO_WINDOW: AddressRange = { start: 0xc000, end: 0xf000 };

/**
 * The global system interrupt of a PCI interrupt pin: 16 … 23.
 * @param slot the device number, 0 … 31
 * @param pin 0 for INTA# to 3 for INTD#
 */
export function pciGsi(slot: number, pin: number): number {
  return 16 + ((slot + pin) % 8);
}

/** The 8259A input that a PCI interrupt reaches as well, for kernels without the I/O APIC: 10 or 11. */
export function pciIsaIrq(gsi: number): number {
  return 10 + (gsi % 2);
}

/** A _PRT value: for all functions and pins of each slot, an interrupt that cannot be configured (6.2.13). */
function routingTable(interrupt: (slot: number, pin: number) => number): Aml {
  const entries: Aml[] = [];
  for (let slot = 0; slot < 32; slot++) {
    for (let pin = 0; pin < 4; pin++) {
      const address = slot * 0x1_0000 + 0xffff;
      entries.push(pkg(integer(address), integer(pin), integer(0), integer(interrupt(slot, pin))));
    }
  }
  return pkg(...entries);
}

const APIC_MODE = 'PICM';

const hostBridge = device(
  'PCI0',
  name('_HID', eisaId('PNP0A03')),
  name('_UID', integer(0)),
  name(
    '_CRS',
    resourceTemplate(
      busNumbers({ start: 0, end: 256 }),
      ioPorts(0xcf8, 8),
      ioWindow(PCI_IO_WINDOW),
      memoryWindow(PCI_WINDOW),
    ),
  ),
  name(
    'PRTP',
    routingTable((slot, pin) => pciIsaIrq(pciGsi(slot, pin))),
  ),
  name('PRTA', routingTable(pciGsi)),
  method(
    '_PRT',
    0,
    ifThen(reference(`\\${APIC_MODE}`), returnValue(reference('PRTA'))),
    returnValue(reference('PRTP')),
  ),
);

/** A device at fixed resources that needs no configuration. */
function fixedDevice(path: string, id: string, ...resources: readonly Aml[]): Aml {
  return device(path, name('_HID', eisaId(id)), name('_CRS', resourceTemplate(...resources)));
}

const fixedDevices: readonly Aml[] = [
  fixedDevice('PIC', 'PNP0000', ioPorts(0x20, 2), ioPorts(0xa0, 2), ioPorts(0x4d0, 2), isaIrq(2)),
  fixedDevice('TMR', 'PNP0100', ioPorts(0x40, 4), isaIrq(0)),
  fixedDevice('RTC', 'PNP0B00', ioPorts(0x70, 2), isaIrq(8)),
  device(
    'COM1',
    name('_HID', eisaId('PNP0501')),
    name('_UID', integer(1)),
    name('_CRS', resourceTemplate(ioPorts(0x3f8, 8), isaIrq(4))),
  ),
  // Ports and memory of the board itself, so that nothing else is put there.
  fixedDevice(
    'MBRD',
    'PNP0C02',
    ioPorts(0x61, 1),
    ioPorts(0x80, 1),
    ioPorts(0x92, 1),
    ioPorts(PM_PORTS.smiCommand, 1),
    ioPorts(PM_PORTS.event, PM_PORTS.count),
    fixedMemory(IOAPIC_BASE, IOAPIC_LENGTH),
    fixedMemory(LOCAL_APIC_BASE, 0x1000),
  ),
];

function processor(index: number): Aml {
  const path = `C${index.toString(16).toUpperCase().padStart(3, '0')}`;
  return device(path, name('_HID', string('ACPI0007')), name('_UID', integer(index)));
}

/** The AML of the DSDT of a machine with `cpus` processors. */
export function dsdtAml(cpus: number): Aml {
  const processors = Array.from({ length: cpus }, (_, index) => processor(index));
  return [
    // The operating system tells by _PIC (5.8.1) that it uses the I/O APIC (1) or the 8259As (0).
    ...name(APIC_MODE, integer(0)),
    ...method('_PIC', 1, store(arg0, reference(APIC_MODE))),
    ...name('_S5', pkg(integer(S5_SLEEP_TYPE), integer(S5_SLEEP_TYPE), integer(0), integer(0))),
    ...scope('\\_SB', hostBridge, ...fixedDevices, ...processors),
  ];
}
