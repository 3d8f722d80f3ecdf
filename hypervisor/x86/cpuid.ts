/** What CPUID tells (SDM vol. 2, CPUID). Every feature bit that is shown works; none is shown that does not. */

/** EAX, EBX, ECX, EDX of a leaf. */
export type CpuidLeaf = readonly [eax: number, ebx: number, ecx: number, edx: number];

/** What CPUID tells beyond the fixed part. */
export interface CpuidOptions {
  /** Local APIC identifier of this vCPU. */
  readonly apicId: number;
  /** Number of vCPUs of the guest. */
  readonly cpus: number;
  /** CR4.OSXSAVE at this moment. */
  readonly osxsave: boolean;
  /** Physical address width in bits. */
  readonly physicalBits: number;
  /** Leaf 0DH. */
  readonly extendedState: (subleaf: number) => CpuidLeaf;
  /** Leaves from 40000000H on: the hypervisor's. */
  readonly hypervisor: (leaf: number) => CpuidLeaf | undefined;
}

const bits = (...numbers: number[]) => numbers.reduce((all, bit) => all | (1 << bit), 0);

/** Leaf 1, ECX: SSE3, SSSE3, CX16, PCID, SSE4.1, SSE4.2, x2APIC, POPCNT, TSC deadline, XSAVE, RDRAND, hypervisor. */
const features1Ecx = bits(0, 9, 13, 17, 19, 20, 21, 23, 24, 26, 30, 31);
const osxsaveBit = 27;
/**
 * Leaf 1, EDX: FPU, DE, PSE, TSC, MSR, PAE, MCE, CX8, APIC, SEP, MTRR, PGE, MCA, CMOV, PAT, PSE-36, CLFSH, MMX, FXSR, SSE,
 * SSE2.
 */
const features1Edx = bits(0, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 19, 23, 24, 25, 26);
const threadsBit = 28;
/** Leaf 7, EBX: FSGSBASE, TSC_ADJUST, SMEP, ERMS, RDSEED, SMAP. */
const features7Ebx = bits(0, 1, 7, 9, 18, 20);
/** Leaf 7, ECX: UMIP. */
const features7Ecx = bits(2);
/** Leaf 7, EDX: ARCH_CAPABILITIES, by which the CPU says what it does not suffer from. */
const features7Edx = bits(29);
/** Leaf 80000001H, EDX: SYSCALL, NX, 1-GiB pages, RDTSCP, 64-bit mode. ECX: LAHF in 64-bit mode. */
const featuresExtendedEdx = bits(11, 20, 26, 27, 29);
const featuresExtendedEcx = bits(0);

/** Four characters in a register. */
function text(value: string, at: number): number {
  return [0, 1, 2, 3].reduce((word, i) => word | ((value.charCodeAt(at + i) || 0) << (8 * i)), 0);
}

const brand = 'pagefold virtual x86-64 processor';
/** Family 6, a model number that no product has, stepping 1. */
const signature = (6 << 8) | (0xf << 16) | (0xe << 4) | 1;
const highestLeaf = 0x15;
const highestExtended = 0x8000_0008;
/** Frequency of the time-stamp counter, in Hz: one tick a virtual nanosecond. */
const tscFrequency = 1_000_000_000;

/** The contents of a leaf. A leaf beyond the highest reads as the highest basic one (SDM vol. 2, CPUID). */
export function cpuid(leaf: number, subleaf: number, options: CpuidOptions): CpuidLeaf {
  if (leaf >= 0x4000_0000 && leaf < 0x4000_0100) return options.hypervisor(leaf) ?? [0, 0, 0, 0];
  if (leaf >= 0x8000_0000 && leaf <= highestExtended) return extendedLeaf(leaf, options);
  return basicLeaf(Math.min(leaf, highestLeaf), subleaf, options);
}

function basicLeaf(leaf: number, subleaf: number, options: CpuidOptions): CpuidLeaf {
  const { apicId, cpus, osxsave } = options;
  switch (leaf) {
    case 0:
      return [highestLeaf, text('Genu', 0), text('ntel', 0), text('ineI', 0)];
    case 1: {
      // EBX: CLFLUSH line of 64 bytes, logical processors, initial APIC identifier.
      const ebx = (apicId << 24) | (Math.min(cpus, 255) << 16) | (8 << 8);
      const ecx = features1Ecx | (osxsave ? 1 << osxsaveBit : 0);
      return [signature, ebx, ecx, features1Edx | (cpus > 1 ? 1 << threadsBit : 0)];
    }
    case 2:
      // Cache descriptors: FFH, see leaf 4.
      return [0x00ff_ff01 | 0, 0, 0, 0];
    case 4:
      return cacheLeaf(subleaf, cpus);
    case 7:
      return subleaf === 0 ? [0, features7Ebx, features7Ecx, features7Edx] : [0, 0, 0, 0];
    case 0xb:
      return topologyLeaf(subleaf, options);
    case 0xd:
      return options.extendedState(subleaf);
    case 0x15:
      // Crystal of 1 GHz, TSC 1 : 1.
      return [1, 1, tscFrequency, 0];
    default:
      return [0, 0, 0, 0];
  }
}

/** Caches as a small server core has them; they have no effect on anything here. Level, type, size in KiB, ways. */
const caches: readonly [level: number, type: number, kib: number, ways: number][] = [
  [1, 1, 32, 8],
  [1, 2, 32, 8],
  [2, 3, 1024, 16],
  [3, 3, 16384, 16],
];

function cacheLeaf(subleaf: number, cpus: number): CpuidLeaf {
  const cache = caches[subleaf];
  if (cache === undefined) return [0, 0, 0, 0];
  const [level, type, kib, ways] = cache;
  const sets = (kib * 1024) / (ways * 64);
  const sharing = level === 3 ? cpus - 1 : 0;
  return [
    type | (level << 5) | (1 << 8) | (sharing << 14) | ((cpus - 1) << 26),
    63 | ((ways - 1) << 22),
    sets - 1,
    0,
  ];
}

/** Extended topology: one thread a core, all cores in one package. */
function topologyLeaf(subleaf: number, { apicId, cpus }: CpuidOptions): CpuidLeaf {
  const coreBits = Math.ceil(Math.log2(cpus));
  if (subleaf === 0) return [0, 1, 0x100, apicId];
  if (subleaf === 1) return [coreBits, cpus, 0x201, apicId];
  return [0, 0, subleaf & 0xff, apicId];
}

function extendedLeaf(leaf: number, { physicalBits }: CpuidOptions): CpuidLeaf {
  switch (leaf) {
    case 0x8000_0000:
      return [highestExtended | 0, 0, 0, 0];
    case 0x8000_0001:
      return [0, 0, featuresExtendedEcx, featuresExtendedEdx];
    case 0x8000_0002:
    case 0x8000_0003:
    case 0x8000_0004: {
      const at = (leaf - 0x8000_0002) * 16;
      return [text(brand, at), text(brand, at + 4), text(brand, at + 8), text(brand, at + 12)];
    }
    case 0x8000_0006:
      // L2: 1 MiB, 16 ways, lines of 64 bytes.
      return [0, 0, (1024 << 16) | (8 << 12) | 64, 0];
    case 0x8000_0007:
      // Invariant TSC.
      return [0, 0, 0, 1 << 8];
    case 0x8000_0008:
      return [physicalBits | (48 << 8), 0, 0, 0];
    default:
      return [0, 0, 0, 0];
  }
}
