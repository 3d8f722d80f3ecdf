/**
 * What a guest sees of KVM: the paravirtual clock and the accounting of stolen time. Leaves, MSRs and structures
 * are those of Linux's documentation of KVM ("KVM CPUID bits", "KVM-specific MSRs", "Timekeeping Virtualization for
 * X86-Based Architectures").
 *
 * The time-stamp counter runs at 1 GHz and never stops, so a guest's clock is its counter plus a constant: the
 * structure of a CPU changes only when its counter is written.
 */
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import { APIC_BUS_HZ } from './apic/timer.ts';
import type { GuestMemory } from './bus.ts';

/** The time-stamp counter's frequency: one count a nanosecond of virtual time. */
export const TSC_HZ = 1_000_000_000;

/** The four registers that CPUID returns. */
export interface CpuidResult {
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

const FIRST_LEAF = 0x4000_0000;
const FEATURE_LEAF = 0x4000_0001;
const FREQUENCY_LEAF = 0x4000_0010;
/** Feature bits of leaf 0x40000001. */
const FEATURE = {
  noIoDelay: 1 << 1,
  clockSource2: 1 << 3,
  stealTime: 1 << 5,
  clockSourceStable: 1 << 24,
} as const;

/** The leaves 0x40000000 … 0x40000010; undefined for all others. */
export function kvmCpuid(leaf: number): CpuidResult | undefined {
  switch (leaf) {
    case FIRST_LEAF: // the highest leaf, and 'KVMKVMKVM'
      return { eax: FREQUENCY_LEAF, ebx: 0x4b4d_564b, ecx: 0x564b_4d56, edx: 0x4d };
    case FEATURE_LEAF: {
      const features = Object.values(FEATURE).reduce((all, bit) => all | bit, 0);
      return { eax: features, ebx: 0, ecx: 0, edx: 0 };
    }
    case FREQUENCY_LEAF: // in kHz
      return { eax: TSC_HZ / 1000, ebx: APIC_BUS_HZ / 1000, ecx: 0, edx: 0 };
    default:
      return leaf > FEATURE_LEAF && leaf < FREQUENCY_LEAF ? { eax: 0, ebx: 0, ecx: 0, edx: 0 } : undefined;
  }
}

/** The MSRs that the features offer. */
export const KVM_MSR = { wallClock: 0x4b56_4d00, systemTime: 0x4b56_4d01, stealTime: 0x4b56_4d03 } as const;

const ENABLE = 1n;
/** Bits 5:1 of the steal time MSR are reserved: its structure is aligned to 64 bytes. */
const STEAL_RESERVED = 0x3en;
const WALL_CLOCK_LENGTH = 12;
const SYSTEM_TIME_LENGTH = 32;
const STEAL_TIME_LENGTH = 64;
/** Where the structure of stolen time tells, in a byte, that the CPU does not run. */
const PREEMPTED_OFFSET = 16;
const preempted = Uint8Array.of(1);
/** All CPUs' clocks can be compared. */
const TSC_STABLE = 1;

/**
 * How a guest scales counts to nanoseconds: (count << shift) · multiplier / 2^32. At 1 GHz the product must be 1,
 * which the 32-bit multiplier reaches as 2^31 with a shift of 1.
 */
export const CLOCK_SCALE = { shift: 1, multiplier: 0x8000_0000 } as const;

/** What the MSRs of one CPU need. */
export interface KvmWiring {
  readonly memory: GuestMemory;
  /** Seconds since 1970-01-01 00:00 UTC at virtual time 0; may have a fraction. */
  readonly epoch: number;
  /** The virtual time in ns and the CPU's time-stamp counter at one moment: now. */
  readonly now: () => { readonly time: number; readonly tsc: bigint };
}

/** KVM's MSRs of one CPU. */
export class KvmMsrs implements Stateful {
  readonly #wiring: KvmWiring;
  #wallClock = 0n;
  #systemTime = 0n;
  #stealTime = 0n;
  #wallClockVersion = 0;
  #systemTimeVersion = 0;
  #stealVersion = 0;
  /** Stolen time in ns. */
  #stolen = 0;
  /** The steal time structure, kept to be filled in without making it anew. */
  readonly #stealBytes = new Uint8Array(STEAL_TIME_LENGTH);
  readonly #stealView = new DataView(this.#stealBytes.buffer);

  constructor(wiring: KvmWiring) {
    this.#wiring = wiring;
  }

  /** Reads an MSR of {@link KVM_MSR}; undefined, which is a general-protection fault, for any other. */
  readMsr(index: number): bigint | undefined {
    switch (index) {
      case KVM_MSR.wallClock:
        return this.#wallClock;
      case KVM_MSR.systemTime:
        return this.#systemTime;
      case KVM_MSR.stealTime:
        return this.#stealTime;
      default:
        return undefined;
    }
  }

  /** Writes an MSR of {@link KVM_MSR}; false, which is a general-protection fault, for any other or a bad address. */
  writeMsr(index: number, value: bigint): boolean {
    switch (index) {
      case KVM_MSR.wallClock:
        if (!this.#isRam(value, WALL_CLOCK_LENGTH)) return false;
        this.#wallClock = value;
        this.#writeWallClock(Number(value));
        return true;
      case KVM_MSR.systemTime:
        if (value & ENABLE && !this.#isRam(value - ENABLE, SYSTEM_TIME_LENGTH)) return false;
        this.#systemTime = value;
        this.tscChanged();
        return true;
      case KVM_MSR.stealTime:
        if (value & STEAL_RESERVED) return false;
        if (value & ENABLE && !this.#isRam(value - ENABLE, STEAL_TIME_LENGTH)) return false;
        this.#stealTime = value;
        this.#writeStealTime();
        return true;
      default:
        return false;
    }
  }

  /** To be called when the CPU's time-stamp counter was written: writes the clock's structure anew. */
  tscChanged(): void {
    if ((this.#systemTime & ENABLE) === 0n) return;
    const { time, tsc } = this.#wiring.now();
    this.#systemTimeVersion = nextVersion(this.#systemTimeVersion);
    const bytes = new Uint8Array(SYSTEM_TIME_LENGTH);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, this.#systemTimeVersion, true);
    view.setBigUint64(8, tsc, true);
    view.setBigUint64(16, BigInt(time), true);
    view.setUint32(24, CLOCK_SCALE.multiplier, true);
    view.setInt8(28, CLOCK_SCALE.shift);
    view.setUint8(29, TSC_STABLE);
    this.#wiring.memory.write(Number(this.#systemTime - ENABLE), bytes);
  }

  /** The CPU has something to execute, but lost its physical CPU: the guest's other CPUs can see that it does not run. */
  scheduledOut(): void {
    if ((this.#stealTime & ENABLE) === 0n) return;
    this.#wiring.memory.write(Number(this.#stealTime - ENABLE) + PREEMPTED_OFFSET, preempted);
  }

  /**
   * The CPU has a physical CPU again. For `stolen` ns it had something to execute and was not let; that counts only while the guest
   * has asked for it.
   */
  scheduledIn(stolen: number): void {
    if ((this.#stealTime & ENABLE) === 0n) return;
    this.#stolen += stolen;
    this.#writeStealTime();
  }

  #isRam(address: bigint, length: number): boolean {
    return address < 2n ** 52n && this.#wiring.memory.contains(Number(address), length);
  }

  #writeWallClock(address: number): void {
    const { epoch, memory } = this.#wiring;
    this.#wallClockVersion = nextVersion(this.#wallClockVersion);
    const seconds = Math.floor(epoch);
    memory.writeU32(address + 4, seconds);
    memory.writeU32(address + 8, Math.round((epoch - seconds) * 1e9));
    memory.writeU32(address, this.#wallClockVersion);
  }

  #writeStealTime(): void {
    if ((this.#stealTime & ENABLE) === 0n) return;
    this.#stealVersion = nextVersion(this.#stealVersion);
    this.#stealView.setUint32(0, this.#stolen % 2 ** 32, true);
    this.#stealView.setUint32(4, Math.floor(this.#stolen / 2 ** 32), true);
    this.#stealView.setUint32(8, this.#stealVersion, true);
    // What follows, among it PREEMPTED_OFFSET, stays 0.
    this.#wiring.memory.write(Number(this.#stealTime - ENABLE), this.#stealBytes);
  }

  saveState(to: StateWriter): void {
    to.u64(this.#wallClock);
    to.u64(this.#systemTime);
    to.u64(this.#stealTime);
    to.u32(this.#wallClockVersion);
    to.u32(this.#systemTimeVersion);
    to.u32(this.#stealVersion);
    to.number(this.#stolen);
  }

  loadState(from: StateReader): void {
    this.#wallClock = from.u64();
    this.#systemTime = from.u64();
    this.#stealTime = from.u64();
    this.#wallClockVersion = from.u32();
    this.#systemTimeVersion = from.u32();
    this.#stealVersion = from.u32();
    this.#stolen = from.number();
  }
}

/** Even versions tell that a structure is whole; the guest never sees the odd ones, since it does not run meanwhile. */
function nextVersion(version: number): number {
  return (version + 2) >>> 0;
}
