/**
 * Where everything lies in guest-physical memory, and how the firmware reports it.
 *
 * RAM fills the addresses from 0 up to {@link LOW_RAM_LIMIT}; what does not fit below continues at 4 GiB. The
 * last gigabyte below 4 GiB belongs to devices. The 384 KiB below 1 MiB, where a PC has its video memory and
 * ROMs, are backed by RAM here (the ACPI tables lie there) but reported as reserved.
 */

/** End of the conventional memory (640 KiB) that a kernel may use below 1 MiB. */
export const CONVENTIONAL_END = 0xa_0000;
/** The ACPI tables: within the area that the ACPI specification, 5.2.5.1, has searched for the RSDP. */
export const ACPI_TABLES = { start: 0xe_0000, end: 0x10_0000 } as const;
/** Start of the RAM above the first megabyte. */
export const EXTENDED_START = 0x10_0000;
/** RAM below 4 GiB ends here at the latest (3 GiB). */
export const LOW_RAM_LIMIT = 0xc000_0000;
/** Addresses that the PCI host bridge decodes for the BARs of PCI functions. */
export const PCI_WINDOW = { start: 0xc000_0000, end: 0xfec0_0000 } as const;
/** The I/O APIC's registers. */
export const IOAPIC_BASE = 0xfec0_0000;
/** Each CPU's local APIC registers, and where message-signalled interrupts are written to. */
export const LOCAL_APIC_BASE = 0xfee0_0000;
/** RAM that does not fit below {@link LOW_RAM_LIMIT} continues here (4 GiB). */
export const HIGH_RAM_START = 0x1_0000_0000;

/** The smallest memory of a machine, in bytes (16 MiB). */
export const MIN_MEMORY = 16 * 2 ** 20;
/** The largest memory of a machine, in bytes (64 GiB). */
export const MAX_MEMORY = 64 * 2 ** 30;

/** A range of guest-physical addresses; `end` is the first address behind it. */
export interface AddressRange {
  readonly start: number;
  readonly end: number;
}

/** One line of the memory map that firmware hands to a kernel (ACPI specification, 15.1: address range types). */
export interface E820Entry extends AddressRange {
  readonly type: 'ram' | 'reserved';
}

/** The RAM of a machine and what its firmware says of it. */
export interface MemoryMap {
  /** All RAM in ascending order: one range, or two when some of it lies above 4 GiB. */
  readonly ram: readonly AddressRange[];
  /** End of the RAM below 4 GiB. */
  readonly lowEnd: number;
  /** The firmware's memory map, in ascending order and without overlaps. */
  readonly e820: readonly E820Entry[];
}

/**
 * Lays out `memory` bytes of RAM.
 * @param memory a multiple of 4096 from {@link MIN_MEMORY} to {@link MAX_MEMORY}
 * @throws RangeError when it is not
 */
export function memoryMap(memory: number): MemoryMap {
  if (!Number.isInteger(memory / 4096) || memory < MIN_MEMORY || memory > MAX_MEMORY) {
    throw new RangeError(
      `memory of ${memory} bytes: a machine has 16 MiB to 64 GiB in whole pages of 4096 bytes; give such a size`,
    );
  }
  const lowEnd = Math.min(memory, LOW_RAM_LIMIT);
  const ram: AddressRange[] = [{ start: 0, end: lowEnd }];
  const e820: E820Entry[] = [
    { start: 0, end: CONVENTIONAL_END, type: 'ram' },
    { start: CONVENTIONAL_END, end: EXTENDED_START, type: 'reserved' },
    { start: EXTENDED_START, end: lowEnd, type: 'ram' },
    { start: IOAPIC_BASE, end: HIGH_RAM_START, type: 'reserved' },
  ];
  if (memory > lowEnd) {
    const high = { start: HIGH_RAM_START, end: HIGH_RAM_START + memory - lowEnd };
    ram.push(high);
    e820.push({ ...high, type: 'ram' });
  }
  return { ram, lowEnd, e820 };
}
