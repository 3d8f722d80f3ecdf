/**
 * The ACPI tables of a machine, as one block of bytes (ACPI specification 6.5, 5.2 "ACPI System Description
 * Tables"): RSDP, XSDT, FADT, FACS, MADT and DSDT.
 */
import { ACPI_TABLES, IOAPIC_BASE, LOCAL_APIC_BASE } from '../memorymap.ts';
import { ACPI_DISABLE, ACPI_ENABLE, PM_PORTS } from '../pm.ts';
import { RESET_CONTROL } from '../reset.ts';
import { CENTURY_REGISTER } from '../rtc.ts';
import { ascii, littleEndian } from './aml.ts';
import { dsdtAml } from './dsdt.ts';

/** The most processors that a machine can have. */
export const MAX_CPUS = 64;
/** The interrupt of the power management: ISA IRQ 9, level-triggered. */
export const SCI_IRQ = 9;

const OEM_ID = 'PGFOLD';
const OEM_TABLE_ID = 'PAGEFOLD';
const HEADER_LENGTH = 36;
const ALIGNMENT = 64;

function sum(bytes: readonly number[]): number {
  return bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
}

/** Puts the header that all tables share before `body` (5.2.6); all bytes add up to 0. */
function table(signature: string, revision: number, body: readonly number[]): number[] {
  const bytes = [
    ...ascii(signature),
    ...littleEndian(HEADER_LENGTH + body.length, 4),
    revision,
    0, // checksum
    ...ascii(OEM_ID),
    ...ascii(OEM_TABLE_ID),
    ...littleEndian(1, 4), // OEM revision
    ...ascii('PGFD'), // creator
    ...littleEndian(1, 4),
    ...body,
  ];
  bytes[9] = (256 - sum(bytes)) & 0xff;
  return bytes;
}

/** 5.2.5.3: a checksum over the first 20 bytes and one over all 36. */
function rsdp(xsdt: number): number[] {
  const bytes = [
    ...ascii('RSD PTR '),
    0,
    ...ascii(OEM_ID),
    2,
    ...littleEndian(0, 4), // no RSDT
    ...littleEndian(36, 4),
    ...littleEndian(xsdt, 8),
    0,
    0,
    0,
    0,
  ];
  bytes[8] = (256 - sum(bytes.slice(0, 20))) & 0xff;
  bytes[32] = (256 - sum(bytes)) & 0xff;
  return bytes;
}

/** 5.2.10: 64 bytes at a multiple of 64, without a checksum. */
function facs(): number[] {
  const bytes = [...ascii('FACS'), ...littleEndian(64, 4), ...littleEndian(0, 24), 2];
  return [...bytes, ...littleEndian(0, 64 - bytes.length)];
}

/** A generic address in system I/O space (5.2.3.2); the access size is 1 for bytes, 2 for words, 3 for dwords. */
function ioAddress(port: number, bits: number, accessSize: number): number[] {
  return [1, bits, 0, accessSize, ...littleEndian(port, 8)];
}

const NO_ADDRESS = littleEndian(0, 12);
const IA_PC_BOOT_FLAGS = { legacyDevices: 1 << 0, vgaNotPresent: 1 << 2 } as const;
const FADT_FLAGS = {
  wbinvd: 1 << 0,
  c1OnAllProcessors: 1 << 2,
  noFixedSleepButton: 1 << 5,
  noFixedRtcWake: 1 << 6,
  timer32Bit: 1 << 8,
  resetRegister: 1 << 10,
} as const;
/** Latencies above 100 and 1000 µs say that there is no C2 and no C3. */
const NO_C2 = 101;
const NO_C3 = 1001;
const DESKTOP_PROFILE = 1;

/** 5.2.9. There is no keyboard controller (IA-PC boot flag 1 clear) and no VGA; power button and PM timer are fixed hardware. */
function fadt(facsAddress: number, dsdt: number): number[] {
  const flags = Object.values(FADT_FLAGS).reduce((all, flag) => all | flag, 0);
  const bootFlags = IA_PC_BOOT_FLAGS.legacyDevices | IA_PC_BOOT_FLAGS.vgaNotPresent;
  return table('FACP', 6, [
    ...littleEndian(facsAddress, 4),
    ...littleEndian(dsdt, 4),
    0,
    DESKTOP_PROFILE,
    ...littleEndian(SCI_IRQ, 2),
    ...littleEndian(PM_PORTS.smiCommand, 4),
    ACPI_ENABLE,
    ACPI_DISABLE,
    0, // S4BIOS_REQ
    0, // PSTATE_CNT
    ...littleEndian(PM_PORTS.event, 4),
    ...littleEndian(0, 4), // PM1b_EVT_BLK
    ...littleEndian(PM_PORTS.control, 4),
    ...littleEndian(0, 4), // PM1b_CNT_BLK
    ...littleEndian(0, 4), // PM2_CNT_BLK
    ...littleEndian(PM_PORTS.timer, 4),
    ...littleEndian(0, 8), // GPE0_BLK, GPE1_BLK
    4, // PM1_EVT_LEN
    2, // PM1_CNT_LEN
    0, // PM2_CNT_LEN
    4, // PM_TMR_LEN
    ...littleEndian(0, 4), // lengths and base of the GPE blocks, CST_CNT
    ...littleEndian(NO_C2, 2),
    ...littleEndian(NO_C3, 2),
    ...littleEndian(0, 6), // FLUSH_SIZE, FLUSH_STRIDE, DUTY_OFFSET, DUTY_WIDTH
    ...littleEndian(0, 2), // DAY_ALRM, MON_ALRM
    CENTURY_REGISTER,
    ...littleEndian(bootFlags, 2),
    0,
    ...littleEndian(flags, 4),
    ...ioAddress(RESET_CONTROL.port, 8, 1),
    RESET_CONTROL.hardReset,
    ...littleEndian(0, 2), // ARM_BOOT_ARCH
    5, // minor version
    ...littleEndian(0, 8), // X_FIRMWARE_CTRL: the 32-bit field is used
    ...littleEndian(dsdt, 8),
    ...ioAddress(PM_PORTS.event, 32, 2),
    ...NO_ADDRESS,
    ...ioAddress(PM_PORTS.control, 16, 2),
    ...NO_ADDRESS,
    ...NO_ADDRESS,
    ...ioAddress(PM_PORTS.timer, 32, 3),
    ...NO_ADDRESS, // GPE0
    ...NO_ADDRESS, // GPE1
    ...NO_ADDRESS, // sleep control
    ...NO_ADDRESS, // sleep status
    ...littleEndian(0, 8), // hypervisor vendor
  ]);
}

const ENABLED = 1;
const DUAL_8259 = 1;
/** MPS INTI flags (table 5.25): active high and level-triggered; or as the bus has it. */
const ACTIVE_HIGH_LEVEL = 0b1101;
const AS_THE_BUS = 0;
const ALL_PROCESSORS = 0xff;

/** A redirection of an ISA interrupt to another input or mode (5.2.12.5). */
function sourceOverride(irq: number, gsi: number, flags: number): number[] {
  return [2, 10, 0, irq, ...littleEndian(gsi, 4), ...littleEndian(flags, 2)];
}

/** 5.2.12: the local APICs, whose IDs are the processors' numbers, the I/O APIC, and how ISA interrupts reach it. */
function madt(cpus: number): number[] {
  const localApics = Array.from({ length: cpus }, (_, id) => [0, 8, id, id, ...littleEndian(ENABLED, 4)]);
  const ioApic = [1, 12, 0, 0, ...littleEndian(IOAPIC_BASE, 4), ...littleEndian(0, 4)];
  const nmi = [4, 6, ALL_PROCESSORS, ...littleEndian(AS_THE_BUS, 2), 1];
  return table('APIC', 5, [
    ...littleEndian(LOCAL_APIC_BASE, 4),
    ...littleEndian(DUAL_8259, 4),
    ...localApics.flat(),
    ...ioApic,
    ...sourceOverride(0, TIMER_GSI, AS_THE_BUS),
    ...sourceOverride(SCI_IRQ, SCI_IRQ, ACTIVE_HIGH_LEVEL),
    ...nmi,
  ]);
}

/** The I/O APIC input that ISA IRQ 0 is wired to. */
export const TIMER_GSI = 2;

/** The tables' bytes and where they belong. */
export interface AcpiTables {
  /** Guest-physical address of the bytes, which is the RSDP's. */
  readonly address: number;
  readonly bytes: Uint8Array;
}

/**
 * Makes the tables of a machine.
 * @param cpus 1 … {@link MAX_CPUS}
 */
export function acpiTables(cpus: number): AcpiTables {
  const address = ACPI_TABLES.start;
  const bytes = new Uint8Array(ACPI_TABLES.end - address);
  let end = 0;
  const place = (content: readonly number[]): number => {
    const at = end;
    bytes.set(content, at);
    end = Math.ceil((at + content.length) / ALIGNMENT) * ALIGNMENT;
    return address + at;
  };
  place(littleEndian(0, 36)); // room for the RSDP, which needs the others' addresses
  const dsdt = place(table('DSDT', 2, dsdtAml(cpus)));
  const tables = [place(fadt(place(facs()), dsdt)), place(madt(cpus))];
  const xsdt = place(
    table(
      'XSDT',
      1,
      tables.flatMap((each) => littleEndian(each, 8)),
    ),
  );
  bytes.set(rsdp(xsdt));
  return { address, bytes: bytes.slice(0, end) };
}
