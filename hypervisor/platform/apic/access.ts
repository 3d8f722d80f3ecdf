/**
 * How a CPU reaches its local APIC: by a page at 0xFEE00000 in xAPIC mode, by MSRs 0x800 … 0x8FF in x2APIC
 * mode, and by the MSRs IA32_APIC_BASE and IA32_TSC_DEADLINE (SDM vol. 3, "Local APIC Register Address Map",
 * "Extended xAPIC (x2APIC)").
 *
 * The page cannot be moved: writing another base to IA32_APIC_BASE faults, as reserved bits do.
 */
import type { AccessSize } from '../bus.ts';
import { LOCAL_APIC_BASE } from '../memorymap.ts';
import type { ApicMode, LocalApic } from './localapic.ts';
import { LocalVectorTable } from './localvectors.ts';
import { APIC_BASE, ESR, MSR, REGISTER, SVR } from './registers.ts';

/** Bits that a write may set in each register of x2APIC mode; another bit faults. Other registers are for reading only. */
const X2APIC_WRITABLE: Readonly<Record<number, bigint>> = {
  [REGISTER.taskPriority]: 0xffn,
  [REGISTER.eoi]: 0n,
  [REGISTER.spurious]: BigInt(0xff | SVR.enable | SVR.suppressEoiBroadcast),
  [REGISTER.errorStatus]: 0n,
  [REGISTER.icrLow]: 0xffff_ffff_000c_cfffn,
  [REGISTER.initialCount]: 0xffff_ffffn,
  [REGISTER.divide]: 0b1011n,
  [REGISTER.selfIpi]: 0xffn,
};
/** Delivery status and remote IRR: read-only bits of a local vector table entry, not reserved ones. */
const LVT_READ_ONLY = 0x5000;

/** Reads a register's bytes from the page; what is not in xAPIC mode reads as all ones, like no device. */
export function readMmio(apic: LocalApic, offset: number, size: AccessSize): number {
  const all = size === 4 ? 0xffff_ffff : 2 ** (8 * size) - 1;
  if (apic.mode !== 'xapic') return all;
  const byte = offset & 15;
  if (byte + size > 4) return 0;
  const value = apic.readRegister(offset >> 4);
  if (value === undefined) {
    if (offset >> 4 !== REGISTER.eoi) apic.error(ESR.illegalRegister);
    return 0;
  }
  return ((value >>> (8 * byte)) & all) >>> 0;
}

/** Writes a register through the page. Only aligned accesses of four bytes are defined; others do nothing. */
export function writeMmio(apic: LocalApic, offset: number, size: AccessSize, value: number): void {
  if (apic.mode !== 'xapic' || size !== 4 || (offset & 15) !== 0) return;
  const register = offset >> 4;
  if (apic.writeRegister(register, value)) return;
  if (apic.readRegister(register) === undefined) apic.error(ESR.illegalRegister);
}

/** Reads an MSR of the local APIC; undefined when that faults. */
export function readMsr(apic: LocalApic, index: number): bigint | undefined {
  if (index === MSR.apicBase) return apicBase(apic);
  if (index === MSR.tscDeadline) return apic.tscDeadline;
  const register = index - MSR.x2apic;
  if (apic.mode !== 'x2apic' || register === REGISTER.icrHigh || register === REGISTER.destinationFormat) {
    return undefined;
  }
  const low = apic.readRegister(register);
  if (register !== REGISTER.icrLow || low === undefined) return low === undefined ? undefined : BigInt(low);
  return (BigInt(apic.readRegister(REGISTER.icrHigh)!) << 32n) | BigInt(low);
}

/** Writes an MSR of the local APIC; false when that faults. `value` has 64 bits. */
export function writeMsr(apic: LocalApic, index: number, value: bigint): boolean {
  if (index === MSR.apicBase) return writeApicBase(apic, value);
  if (index === MSR.tscDeadline) {
    apic.tscDeadline = value;
    return true;
  }
  const register = index - MSR.x2apic;
  const writable = x2apicWritable(register);
  if (apic.mode !== 'x2apic' || writable === undefined || (value & ~writable) !== 0n) return false;
  if (register === REGISTER.selfIpi) {
    apic.selfIpi(Number(value));
    return true;
  }
  if (register === REGISTER.icrLow) apic.writeRegister(REGISTER.icrHigh, Number(value >> 32n));
  return apic.writeRegister(register, Number(value & 0xffff_ffffn));
}

/** The bits that may be written; undefined for a register that must not be. */
function x2apicWritable(register: number): bigint | undefined {
  if (LocalVectorTable.has(register)) return BigInt(LocalVectorTable.writable(register) | LVT_READ_ONLY);
  return X2APIC_WRITABLE[register];
}

const MODE_BITS: Readonly<Record<ApicMode, bigint>> = {
  disabled: 0n,
  xapic: APIC_BASE.enable,
  x2apic: APIC_BASE.enable | APIC_BASE.x2apic,
};
/** SDM vol. 3, "x2APIC State Transitions": each mode can be left for these alone. */
const TRANSITIONS: Readonly<Record<ApicMode, readonly ApicMode[]>> = {
  disabled: ['disabled', 'xapic'],
  xapic: ['disabled', 'xapic', 'x2apic'],
  x2apic: ['disabled', 'x2apic'],
};

function apicBase(apic: LocalApic): bigint {
  return BigInt(LOCAL_APIC_BASE) | MODE_BITS[apic.mode] | (apic.id === 0 ? APIC_BASE.bootstrap : 0n);
}

/** The bootstrap flag stays what it is. */
function writeApicBase(apic: LocalApic, value: bigint): boolean {
  const requested = value & ~APIC_BASE.bootstrap;
  const mode = TRANSITIONS[apic.mode].find(
    (each) => requested === (BigInt(LOCAL_APIC_BASE) | MODE_BITS[each]),
  );
  if (mode === undefined) return false;
  if (mode !== apic.mode) apic.mode = mode;
  return true;
}
