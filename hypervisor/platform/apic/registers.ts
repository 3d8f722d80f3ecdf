/**
 * The local APIC's registers by number: the MMIO offset divided by 16, which is also the MSR index less 0x800
 * in x2APIC mode (SDM vol. 3, tables "Local APIC Register Address Map" and "Local APIC Register Address Map
 * Supported by x2APIC").
 */
export const REGISTER = {
  id: 0x02,
  version: 0x03,
  taskPriority: 0x08,
  processorPriority: 0x0a,
  eoi: 0x0b,
  logicalDestination: 0x0d,
  destinationFormat: 0x0e,
  spurious: 0x0f,
  inService: 0x10,
  triggerMode: 0x18,
  interruptRequest: 0x20,
  errorStatus: 0x28,
  icrLow: 0x30,
  icrHigh: 0x31,
  lvtTimer: 0x32,
  lvtThermal: 0x33,
  lvtPerformance: 0x34,
  lvtLint0: 0x35,
  lvtLint1: 0x36,
  lvtError: 0x37,
  initialCount: 0x38,
  currentCount: 0x39,
  divide: 0x3e,
  selfIpi: 0x3f,
} as const;

/** How an interrupt message or a local vector table entry is delivered (SDM vol. 3, "Interrupt Command Register"). */
export const DELIVERY = {
  fixed: 0,
  lowestPriority: 1,
  smi: 2,
  nmi: 4,
  init: 5,
  startup: 6,
  extInt: 7,
} as const;

/** Bits of a local vector table entry (SDM vol. 3, "Local Vector Table"). */
export const LVT = { remoteIrr: 1 << 14, levelTriggered: 1 << 15, masked: 1 << 16 } as const;

/** Bits of the spurious-interrupt vector register. */
export const SVR = { enable: 1 << 8, suppressEoiBroadcast: 1 << 12 } as const;

/** Bits of the error status register. */
export const ESR = {
  sendIllegalVector: 1 << 5,
  receivedIllegalVector: 1 << 6,
  illegalRegister: 1 << 7,
} as const;

/** Bits of the MSR IA32_APIC_BASE. */
export const APIC_BASE = { bootstrap: 1n << 8n, x2apic: 1n << 10n, enable: 1n << 11n } as const;

/** MSR numbers. */
export const MSR = { apicBase: 0x1b, tscDeadline: 0x6e0, x2apic: 0x800 } as const;

/** Version 0x14, six local vector table entries, suppression of EOI broadcasts. */
export const VERSION = 0x0105_0014;
