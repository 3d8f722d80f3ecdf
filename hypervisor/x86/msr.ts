/** Model-specific registers (SDM vol. 4), as far as operating systems use them. */
import * as layout from './layout.ts';
import { CR0, EFER } from './mode.ts';
import type { Vcpu } from './vcpu.ts';

/** Registers that belong to a device beside the CPU: the local APIC, the paravirtual clock. */
export interface MsrDevice {
  /** The register's value, or undefined when it is not one of this device's. */
  readMsr(index: number): bigint | undefined;
  /** False when it is not one of this device's, or the value is refused. */
  writeMsr(index: number, value: bigint): boolean;
}

const canonical = (value: bigint) => BigInt.asUintN(64, BigInt.asIntN(48, value)) === value;
const any = () => true;

/** Registers that are a field of the state: what may be written to them. */
const fields = new Map<number, { offset: number; allows: (value: bigint) => boolean }>([
  [0x174, { offset: layout.sysenterCs, allows: any }],
  [0x175, { offset: layout.sysenterEsp, allows: canonical }],
  [0x176, { offset: layout.sysenterEip, allows: canonical }],
  [0x1a0, { offset: layout.miscEnable, allows: any }],
  [0x277, { offset: layout.pat, allows: isMemoryTypes }],
  [0xc000_0081, { offset: layout.star, allows: any }],
  [0xc000_0082, { offset: layout.lstar, allows: canonical }],
  [0xc000_0083, { offset: layout.cstar, allows: canonical }],
  [0xc000_0084, { offset: layout.sfmask, allows: (value) => value >> 32n === 0n }],
  [0xc000_0100, { offset: layout.segmentOffset(layout.FS), allows: canonical }],
  [0xc000_0101, { offset: layout.segmentOffset(layout.GS), allows: canonical }],
  [0xc000_0102, { offset: layout.kernelGsBase, allows: canonical }],
  [0xc000_0103, { offset: layout.tscAux, allows: (value) => value >> 32n === 0n }],
]);

/** PAT entries are memory types: 0, 1, 4, 5, 6, 7 (SDM vol. 3, table 11-10). */
function isMemoryTypes(value: bigint): boolean {
  for (let i = 0n; i < 8n; i++) {
    const type = Number((value >> (8n * i)) & 0xffn);
    if (type > 7 || type === 2 || type === 3) return false;
  }
  return true;
}

/** Registers that always read the same, and whose writes are refused (undefined) or ignored. */
const constants = new Map<number, { value: bigint; writable: boolean }>([
  // IA32_PLATFORM_ID, microcode revision.
  [0x17, { value: 0n, writable: false }],
  [0x8b, { value: 1n << 32n, writable: true }],
  // IA32_FEATURE_CONTROL: locked.
  [0x3a, { value: 1n, writable: false }],
  // IA32_ARCH_CAPABILITIES: an interpreter of instructions does not speculate, so it has none of these faults:
  // RDCL, L1D flush on entry, SSB, MDS, page size change, TAA, SBDR and SSDP, FBSDP, PSDP, BHI, PBRSB, GDS, RFDS, ITS.
  [
    0x10a,
    {
      value: [0, 3, 4, 5, 6, 8, 13, 14, 15, 20, 24, 26, 27, 62].reduce(
        (all, bit) => all | (1n << BigInt(bit)),
        0n,
      ),
      writable: false,
    },
  ],
  // Machine check: no banks, no errors.
  [0x179, { value: 0n, writable: false }],
  [0x17a, { value: 0n, writable: true }],
]);

/** IA32_MTRRCAP: 8 variable ranges, fixed ranges, write combining. */
const mtrrCapabilities = 0x508n;
/** The fixed-range registers, in the order in which they are kept behind the 16 of the variable ranges and the default type. */
const fixedRanges = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];

/** Offset into the state of a memory-type range register, or undefined. */
function mtrrField(index: number): number | undefined {
  if (index >= 0x200 && index < 0x210) return layout.mtrr + 8 * (index - 0x200);
  if (index === 0x2ff) return layout.mtrr + 8 * 16;
  const fixed = fixedRanges.indexOf(index);
  return fixed < 0 ? undefined : layout.mtrr + 8 * (17 + fixed);
}

const tsc = 0x10;
const tscAdjust = 0x3b;
const extendedFeatures = 0xc000_0080;

/** Reads and writes the MSRs of one vCPU. */
export class Msrs {
  readonly #vcpu: Vcpu;
  readonly #devices: readonly MsrDevice[];
  readonly #tscChanged: () => void;

  /** @param tscChanged called when the time-stamp counter was moved */
  constructor(vcpu: Vcpu, devices: readonly MsrDevice[], tscChanged: () => void) {
    this.#vcpu = vcpu;
    this.#devices = devices;
    this.#tscChanged = tscChanged;
  }

  /** The value of a register, or undefined when there is no such register. */
  read(index: number): bigint | undefined {
    const vcpu = this.#vcpu;
    const field = fields.get(index);
    if (field !== undefined) return vcpu.get64(field.offset);
    const constant = constants.get(index);
    if (constant !== undefined) return constant.value;
    const mtrr = mtrrField(index);
    if (mtrr !== undefined) return vcpu.get64(mtrr);
    switch (index) {
      case tsc:
        return BigInt.asUintN(64, BigInt(vcpu.now) + BigInt.asIntN(64, vcpu.get64(layout.tscOffset)));
      case tscAdjust:
        return vcpu.get64(layout.tscOffset);
      case 0xfe:
        return mtrrCapabilities;
      case extendedFeatures:
        return vcpu.get64(layout.efer);
    }
    for (const device of this.#devices) {
      const value = device.readMsr(index);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  /** Writes a register. False when there is none, or it does not take the value: the instruction raises #GP. */
  write(index: number, value: bigint): boolean {
    const vcpu = this.#vcpu;
    const field = fields.get(index);
    if (field !== undefined) {
      if (!field.allows(value)) return false;
      vcpu.set64(field.offset, value);
      return true;
    }
    const constant = constants.get(index);
    if (constant !== undefined) return constant.writable;
    const mtrr = mtrrField(index);
    if (mtrr !== undefined) {
      vcpu.set64(mtrr, value);
      return true;
    }
    switch (index) {
      case tsc:
        vcpu.set64(layout.tscOffset, BigInt.asUintN(64, value - BigInt(vcpu.now)));
        this.#tscChanged();
        return true;
      case tscAdjust:
        vcpu.set64(layout.tscOffset, value);
        this.#tscChanged();
        return true;
      case extendedFeatures:
        return this.#writeEfer(value);
    }
    return this.#devices.some((device) => device.writeMsr(index, value));
  }

  #writeEfer(value: bigint): boolean {
    const vcpu = this.#vcpu;
    const known = BigInt(EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE);
    if ((value & ~known) !== 0n) return false;
    const old = vcpu.get64(layout.efer);
    const paging = (vcpu.get64(layout.cr0) & BigInt(CR0.PG)) !== 0n;
    const changed = Number(value ^ old);
    if (paging && (changed & EFER.LME) !== 0) return false;
    // LMA follows LME and CR0.PG; it cannot be written.
    vcpu.set64(layout.efer, (value & ~BigInt(EFER.LMA)) | (old & BigInt(EFER.LMA)));
    if ((changed & EFER.NXE) !== 0) vcpu.engine.core.flushTlb(vcpu.base, 0);
    vcpu.engine.core.updateMode(vcpu.base);
    return true;
  }
}
