/**
 * Loads a Linux kernel the way a boot loader does, and says in which state the CPU enters it: the 64-bit boot
 * protocol where the kernel offers it, else the 32-bit one.
 */
import type { GuestMemory } from '../bus.ts';
import type { MemoryMap } from '../memorymap.ts';
import { BootError, sizeText } from './booterror.ts';
import { type BzImage, HIGH_LOAD_ADDRESS, readBzImage } from './bzimage.ts';
import { BOOT_CS, BOOT_DS, bootGdt, identityPageTables, LOW, rngSeedData } from './lowmemory.ts';
import { zeroPage } from './zeropage.ts';

/** What to boot. */
export interface BootFiles {
  /** A bzImage. */
  readonly kernel: Uint8Array;
  /** The initial RAM disk; empty for none. */
  readonly initrd: Uint8Array;
  /** The kernel's command line, without a terminating zero. */
  readonly commandLine: string;
  /** Entropy that the kernel mixes into its random number generator at start; at most 512 bytes, empty for none. */
  readonly rngSeed: Uint8Array;
  /**
   * Where the kernel is loaded: at the address that it prefers, as GRUB does, or at 1 MiB, as QEMU's firmware does; there the image stays
   * behind in memory when the kernel has unpacked itself. `preferred` when not given.
   */
  readonly kernelAt?: 'preferred' | 'low';
}

/**
 * The CPU's state on entry. Interrupts are off; CS is `selectors.code`, DS, ES and SS are `selectors.data`;
 * RBP, RDI and RBX are 0. In mode 'long', paging is on with `cr3`; in mode 'protected', it is off.
 */
export interface EntryState {
  readonly mode: 'long' | 'protected';
  readonly rip: number;
  /** The zero page. */
  readonly rsi: number;
  readonly rsp: number;
  readonly cr3: number;
  readonly gdt: { readonly base: number; readonly limit: number };
  readonly selectors: { readonly code: number; readonly data: number };
}

const PAGE = 4096;
const ENTRY_64 = 0x200;

/**
 * Writes kernel, initial RAM disk, command line and boot parameters into guest memory.
 * @param rsdp guest-physical address of the ACPI RSDP
 * @throws BootError when the files do not fit each other or the memory; then nothing was written
 */
export function loadLinux(files: BootFiles, map: MemoryMap, rsdp: number, memory: GuestMemory): EntryState {
  const image = readBzImage(files.kernel);
  checkKernelFits(image, map);
  const commandLine = encodeCommandLine(files.commandLine, image);
  const initrd = placeInitrd(files.initrd.length, image, map);
  const mode = image.entry64 ? 'long' : 'protected';
  const loadAddress = files.kernelAt === 'low' ? HIGH_LOAD_ADDRESS : image.loadAddress;
  const seeded = files.rngSeed.length > 0;
  const gdt = bootGdt(mode);

  memory.write(loadAddress, image.code);
  memory.write(initrd, files.initrd);
  memory.write(LOW.commandLine, commandLine);
  memory.write(LOW.gdt, gdt);
  if (mode === 'long') memory.write(LOW.pageTables, identityPageTables(LOW.pageTables));
  if (seeded) memory.write(LOW.setupData, rngSeedData(files.rngSeed));
  memory.write(
    LOW.zeroPage,
    zeroPage({
      setupHeader: image.setupHeader,
      e820: map.e820,
      commandLine: LOW.commandLine,
      initrd: { start: initrd, size: files.initrd.length },
      setupData: seeded ? LOW.setupData : 0,
      rsdp,
    }),
  );
  return {
    mode,
    rip: loadAddress + (mode === 'long' ? ENTRY_64 : 0),
    rsi: LOW.zeroPage,
    rsp: LOW.stackTop,
    cr3: mode === 'long' ? LOW.pageTables : 0,
    gdt: { base: LOW.gdt, limit: gdt.length - 1 },
    selectors: { code: BOOT_CS, data: BOOT_DS },
  };
}

/** End of the memory that the kernel needs before it reads its memory map; one that is loaded below its preferred address moves up there. */
function kernelEnd(image: BzImage): number {
  return image.loadAddress + image.initSize;
}

function checkKernelFits(image: BzImage, map: MemoryMap): void {
  if (kernelEnd(image) <= map.lowEnd) return;
  throw new BootError(
    'memory',
    `the kernel starts at 0x${image.loadAddress.toString(16)} and needs ${sizeText(image.initSize)} there, ` +
      `but memory below 4 GiB ends at ${sizeText(map.lowEnd)}`,
    `give the machine at least ${sizeText(kernelEnd(image))}`,
  );
}

function encodeCommandLine(text: string, image: BzImage): Uint8Array {
  if (text.includes('\0')) throw new BootError('command line', 'it contains a zero character', 'remove it');
  const bytes = new TextEncoder().encode(`${text}\0`);
  const most = Math.min(image.commandLineMax, LOW.commandLineEnd - LOW.commandLine - 1);
  if (bytes.length - 1 > most) {
    throw new BootError(
      'command line',
      `it has ${bytes.length - 1} bytes, and this kernel takes at most ${most}`,
      'shorten it',
    );
  }
  return bytes;
}

/** The highest page-aligned address at which the initial RAM disk fits; 0 when there is none. */
function placeInitrd(size: number, image: BzImage, map: MemoryMap): number {
  if (size === 0) return 0;
  const end = Math.min(map.lowEnd, image.initrdAddressMax + 1);
  const start = Math.floor((end - size) / PAGE) * PAGE;
  if (start >= kernelEnd(image)) return start;
  const needed = Math.ceil((kernelEnd(image) + size) / PAGE) * PAGE;
  const room = Math.max(0, end - kernelEnd(image));
  throw new BootError(
    'initrd',
    `its ${sizeText(size)} do not fit into the ${sizeText(room)} behind the kernel`,
    needed > map.lowEnd && needed <= image.initrdAddressMax
      ? `give the machine at least ${sizeText(needed)}`
      : 'use a smaller one',
  );
}
