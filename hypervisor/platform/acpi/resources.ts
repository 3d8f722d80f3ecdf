/**
 * Resource descriptors, of which _CRS objects are made (ACPI specification 6.5, 6.4 "Resource Data Types for
 * ACPI").
 */
import type { AddressRange } from '../memorymap.ts';
import { type Aml, buffer, littleEndian } from './aml.ts';

/** A _CRS value: the descriptors and the end tag, whose checksum 0 means that there is none. */
export function resourceTemplate(...descriptors: readonly Aml[]): Aml {
  return buffer([...descriptors.flat(), 0x79, 0x00]);
}

/** Ports that a device decodes at a fixed place, all 16 address bits (6.4.2.5). */
export function ioPorts(first: number, count: number): Aml {
  return [0x47, 1, ...littleEndian(first, 2), ...littleEndian(first, 2), 1, count];
}

/** An edge-triggered interrupt of the 8259As, active high and not shared (6.4.2.1). */
export function isaIrq(irq: number): Aml {
  return [0x22, ...littleEndian(1 << irq, 2)];
}

/** Memory that a device decodes at a fixed place (6.4.3.4). */
export function fixedMemory(start: number, length: number): Aml {
  return [0x86, ...littleEndian(9, 2), 1, ...littleEndian(start, 4), ...littleEndian(length, 4)];
}

const RESOURCE_TYPE = { memory: 0, io: 1, busNumber: 2 } as const;
/** Produced by a bridge, with fixed minimum and maximum (6.4.3.5). */
const FIXED_WINDOW = 0x0c;

function window(tag: number, width: number, type: number, flags: number, { start, end }: AddressRange): Aml {
  const fields = [0, start, end - 1, 0, end - start].flatMap((value) => littleEndian(value, width));
  return [tag, ...littleEndian(3 + fields.length, 2), type, FIXED_WINDOW, flags, ...fields];
}

/** Bus numbers behind a host bridge. */
export function busNumbers(range: AddressRange): Aml {
  return window(0x88, 2, RESOURCE_TYPE.busNumber, 0, range);
}

/** Ports that a host bridge passes on (the entire range, no ISA aliases). */
export function ioWindow(range: AddressRange): Aml {
  return window(0x88, 2, RESOURCE_TYPE.io, 3, range);
}

/** Memory addresses below 4 GiB that a host bridge passes on: read and write, not cacheable. */
export function memoryWindow(range: AddressRange): Aml {
  return window(0x87, 4, RESOURCE_TYPE.memory, 1, range);
}
