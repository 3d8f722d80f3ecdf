/**
 * Builds the "zero page", `struct boot_params`: what a boot loader tells the kernel.
 * Offsets are those of the Linux/x86 boot protocol ("Zero Page").
 */
import type { E820Entry } from '../memorymap.ts';
import { SETUP_HEADER } from './bzimage.ts';

/** What the zero page says besides the kernel's own setup header. All addresses are guest-physical. */
export interface BootParameters {
  readonly setupHeader: Uint8Array;
  readonly e820: readonly E820Entry[];
  readonly commandLine: number;
  readonly initrd: { readonly start: number; readonly size: number };
  /** First `struct setup_data` of the list; 0 when there is none. */
  readonly setupData: number;
  /** The ACPI RSDP. */
  readonly rsdp: number;
}

/** Size of the zero page in bytes. */
export const ZERO_PAGE_SIZE = 4096;

/** The loader type of a boot loader without an assigned number. */
const LOADER_UNDEFINED = 0xff;
const E820_TYPE = { ram: 1, reserved: 2 } as const;

/** The zero page's bytes. */
export function zeroPage(parameters: BootParameters): Uint8Array {
  const page = new Uint8Array(ZERO_PAGE_SIZE);
  const view = new DataView(page.buffer);
  page.set(parameters.setupHeader, SETUP_HEADER);
  view.setBigUint64(0x070, BigInt(parameters.rsdp), true); // acpi_rsdp_addr
  view.setUint8(0x1e8, parameters.e820.length); // e820_entries
  view.setUint8(0x210, LOADER_UNDEFINED); // type_of_loader
  view.setUint32(0x218, parameters.initrd.start, true); // ramdisk_image
  view.setUint32(0x21c, parameters.initrd.size, true); // ramdisk_size
  view.setUint32(0x228, parameters.commandLine, true); // cmd_line_ptr
  view.setBigUint64(0x250, BigInt(parameters.setupData), true); // setup_data
  let at = 0x2d0; // e820_table: 20 bytes an entry
  for (const { start, end, type } of parameters.e820) {
    view.setBigUint64(at, BigInt(start), true);
    view.setBigUint64(at + 8, BigInt(end - start), true);
    view.setUint32(at + 16, E820_TYPE[type], true);
    at += 20;
  }
  return page;
}
