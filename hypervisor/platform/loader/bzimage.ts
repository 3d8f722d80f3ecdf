/**
 * Reads a Linux bzImage: the setup header that describes it and the protected-mode code that runs.
 * Offsets and meanings are those of the Linux/x86 boot protocol ("The Real-Mode Kernel Header").
 */
import { BootError } from './booterror.ts';

/** Offset of the setup header in the file, and in the zero page. */
export const SETUP_HEADER = 0x1f1;

/** What the setup header says of a kernel. */
export interface BzImage {
  /** The setup header as the file has it, from {@link SETUP_HEADER}. */
  readonly setupHeader: Uint8Array;
  /** The protected-mode code: everything behind the setup sectors. */
  readonly code: Uint8Array;
  /** Protocol version, major << 8 | minor. */
  readonly protocol: number;
  /** The kernel has a 64-bit entry point 0x200 behind its start (XLF_KERNEL_64). */
  readonly entry64: boolean;
  /** Where the code wants to be loaded: the kernel's pref_address, from which it also runs unless it moves by KASLR. */
  readonly loadAddress: number;
  /** Contiguous bytes from {@link loadAddress} that the kernel needs before it reads its memory map. */
  readonly initSize: number;
  /** The highest address that the initial RAM disk may occupy. */
  readonly initrdAddressMax: number;
  /** The most bytes that the command line may have, not counting the terminating zero. */
  readonly commandLineMax: number;
}

const SECTOR = 512;
const BOOT_FLAG = 0xaa55;
const HDRS = 0x5372_6448;
const LOADED_HIGH = 1 << 0;
const XLF_KERNEL_64 = 1 << 0;
/** Where a kernel without a preferred address is loaded. */
export const HIGH_LOAD_ADDRESS = 0x10_0000;
/** Protocol 2.10 (Linux 2.6.31) brought the last fields that this loader needs: pref_address and init_size. */
const OLDEST_PROTOCOL = 0x020a;
const INIT_SIZE_END = 0x264;

const WRONG_FILE = 'give the file that Debian installs as /boot/vmlinuz-*, a bzImage';
const CUT_SHORT = 'fetch or copy the file again';

/**
 * Reads the header of `file`.
 * @throws BootError when it is no bzImage, is truncated, or speaks a protocol older than 2.10
 */
export function readBzImage(file: Uint8Array): BzImage {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 0x202) {
    throw new BootError('kernel', `the file of ${file.length} bytes ends within the boot sector`, CUT_SHORT);
  }
  if (view.getUint16(0x1fe, true) !== BOOT_FLAG) {
    throw new BootError('kernel', 'the file is no Linux kernel (no 0xAA55 at 0x1FE)', WRONG_FILE);
  }
  const headerEnd = 0x202 + file[0x201]!;
  if (file.length < Math.max(headerEnd, 0x208)) {
    throw new BootError('kernel', `the file of ${file.length} bytes ends within the setup header`, CUT_SHORT);
  }
  if (view.getUint32(0x202, true) !== HDRS) {
    throw new BootError('kernel', 'the file is no bzImage (no "HdrS" at 0x202)', WRONG_FILE);
  }
  const protocol = view.getUint16(0x206, true);
  if (protocol < OLDEST_PROTOCOL) {
    const version = `${protocol >> 8}.${String(protocol & 0xff).padStart(2, '0')}`;
    throw new BootError('kernel', `boot protocol ${version} is older than 2.10`, 'use Linux 2.6.31 or newer');
  }
  if (headerEnd < INIT_SIZE_END) {
    throw new BootError(
      'kernel',
      `the setup header ends at 0x${headerEnd.toString(16)}, not behind 0x263`,
      WRONG_FILE,
    );
  }
  if ((file[0x211]! & LOADED_HIGH) === 0) {
    throw new BootError('kernel', 'the file is a zImage, which loads below 640 KiB', WRONG_FILE);
  }
  const codeStart = ((file[0x1f1]! || 4) + 1) * SECTOR;
  const codeSize = view.getUint32(0x1f4, true) * 16;
  if (codeSize === 0) throw new BootError('kernel', 'its header says that it has no code', WRONG_FILE);
  if (file.length < codeStart + codeSize) {
    throw new BootError(
      'kernel',
      `the file has ${file.length} bytes of the ${codeStart + codeSize} that its header announces`,
      CUT_SHORT,
    );
  }
  const loadAddress = Number(view.getBigUint64(0x258, true)) || HIGH_LOAD_ADDRESS;
  if (loadAddress < HIGH_LOAD_ADDRESS) {
    throw new BootError(
      'kernel',
      `it prefers address 0x${loadAddress.toString(16)}, below 1 MiB`,
      WRONG_FILE,
    );
  }
  return {
    setupHeader: file.slice(SETUP_HEADER, headerEnd),
    code: file.subarray(codeStart),
    protocol,
    entry64: protocol >= 0x020c && (view.getUint16(0x236, true) & XLF_KERNEL_64) !== 0,
    loadAddress,
    initSize: Math.max(view.getUint32(0x260, true), file.length - codeStart),
    initrdAddressMax: view.getUint32(0x22c, true),
    commandLineMax: view.getUint32(0x238, true),
  };
}
