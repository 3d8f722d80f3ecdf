/**
 * The cost model: what the host's actions cost in virtual time.
 *
 * An instruction of a guest takes 1 ns whatever it does; that is fixed, since the time-stamp counter counts the same
 * nanoseconds. Everything that a real host does besides executing instructions costs what stands here. Each constant
 * can be set anew for a run, and says where its value comes from, so that a report can print which were used.
 */

/** Where the value of a constant comes from. */
export type CostBasis =
  /** The source says it. */
  | 'read'
  /** Computed from figures that the source gives. */
  | 'derived'
  /** An estimate of the field without a source; vary it before anything is concluded from it. */
  | 'estimate';

/** A named constant of the cost model. */
export interface CostConstant {
  /** In ns of virtual time. */
  readonly value: number;
  /** What costs so much, and how often. */
  readonly meaning: string;
  readonly basis: CostBasis;
  readonly source: string;
}

const exits = 'Linux kernel mailing list, 2012-02, no. 00527: AMD, 2.2 GHz';
const hyperAlloc = 'HyperAlloc (EuroSys 2025), raw data of the benchmark: Xeon Gold 6252 at 2.1 GHz';

/** The constants with their defaults. */
export const COSTS = {
  exitLight: {
    value: 600,
    meaning: 'an exit that the hypervisor serves in the kernel: interrupt controllers, timers, CPUID, HLT',
    basis: 'derived',
    source: `${exits}, 1,360 cycles from VMRUN to the exit`,
  },
  exitUser: {
    value: 1200,
    meaning: 'an exit that the device model in user space serves: a register of a device',
    basis: 'derived',
    source: `${exits}, 2,528 cycles from ioctl to ioctl`,
  },
  firstTouch: {
    value: 3600,
    meaning: 'a page of 4 KiB that is touched for the first time: nested page fault and a zeroed frame',
    basis: 'derived',
    source: `${hyperAlloc}, 3,935 ns for the first touch of a page less 363 ns for the second`,
  },
  cowBreak: {
    value: 4000,
    meaning: 'a write to a shared page: nested page fault and a copied frame',
    basis: 'derived',
    source: `${hyperAlloc}, a first touch with a copy in place of zeroing; 25 µs in Difference Engine (2008)`,
  },
  shootdown: {
    value: 1500,
    meaning: 'a mapping is taken from all TLBs, for each vCPU that runs; those of a round count once',
    basis: 'estimate',
    source: 'an inter-processor interrupt and its acknowledgement',
  },
  ksmChecksum: {
    value: 470,
    meaning: "ksmd's checksum of a page that is in the cache",
    basis: 'read',
    source: 'xxh64 at 8,770 MB/s on a Xeon E5-2420 v2; 1,413 ns a page were measured inside KSM',
  },
  ksmPage: {
    value: 500,
    meaning: 'ksmd finds the next page, takes and returns its locks',
    basis: 'estimate',
    source: 'a page-table look-up and two locks',
  },
  ksmCompareStep: {
    value: 100,
    meaning: 'a step down a tree of pages, which differ early',
    basis: 'estimate',
    source: 'a cache miss or two for each page',
  },
  ksmCompareEqual: {
    value: 300,
    meaning: 'two equal pages are compared to their end',
    basis: 'estimate',
    source: '8 KiB at about 27 GB/s',
  },
  ksmMerge: {
    value: 3000,
    meaning: 'a page is write-protected, compared again and replaced',
    basis: 'estimate',
    source: 'two page-table changes with their flushes; 6.2 µs in Difference Engine (2008)',
  },
  balloonInflate: {
    value: 2500,
    meaning: 'the host takes a page of 4 KiB that entered the balloon',
    basis: 'derived',
    source: `${hyperAlloc}, 11.97 s for 18 GiB that were not touched before`,
  },
  balloonDeflate: {
    value: 1800,
    meaning: 'the host gives a page of 4 KiB that left the balloon',
    basis: 'derived',
    source: `${hyperAlloc}, 8.54 s for 18 GiB`,
  },
  virtioKick: {
    value: 700,
    meaning: 'a driver notifies a virtio device: an exit that signals an eventfd',
    basis: 'estimate',
    source: 'a light exit and the signal',
  },
  virtioService: {
    value: 4000,
    meaning: 'from the notification until the device looks into its queue',
    basis: 'estimate',
    source: "the wake-up of the device's thread",
  },
  interrupt: {
    value: 2000,
    meaning: 'a vCPU takes an interrupt (0.5 µs with posted interrupts)',
    basis: 'estimate',
    source: 'an exit, the injection and the entry',
  },
  swapOutCpu: {
    value: 4000,
    meaning: 'the CPU time to write a page to swap; the write itself is asynchronous',
    basis: 'estimate',
    source: 'unmapping, a flush and a request; 49 µs in Difference Engine (2008)',
  },
  reclaimPage: {
    value: 200,
    meaning: 'reclaim looks at a page of its lists: reverse map and accessed bit',
    basis: 'estimate',
    source: 'a cache miss or two for the frame, and for each page that maps it',
  },
  swapInCpu: {
    value: 4000,
    meaning: "the CPU time to read a page from swap; the device's latency comes on top",
    basis: 'estimate',
    source: 'the fault, a request and its completion',
  },
} as const satisfies Record<string, CostConstant>;

/** The name of a constant. */
export type CostName = keyof typeof COSTS;

/** What everything costs in a run, in ns of virtual time. */
export type Costs = Readonly<Record<CostName, number>>;

/** A constant was named that does not exist, or a value given that is no cost. The message names the remedy. */
export class CostError extends Error {
  override name = 'CostError';
}

/** A single action never takes longer, so that a vCPU's time within one run fits 31 bits. */
const longest = 100_000_000;

/** The names in the order of {@link COSTS}. */
export const costNames = Object.keys(COSTS) as readonly CostName[];

function isCostName(name: string): name is CostName {
  return Object.hasOwn(COSTS, name);
}

/**
 * The cost model with some constants set anew.
 * @throws CostError for an unknown name, or a value that is no whole number of ns from 0 to 100,000,000
 */
export function costs(overrides: Readonly<Record<string, unknown>> = {}): Costs {
  const values = Object.fromEntries(costNames.map((name) => [name, COSTS[name].value])) as Record<
    CostName,
    number
  >;
  for (const [name, value] of Object.entries(overrides)) {
    if (!isCostName(name)) {
      throw new CostError(`there is no cost '${name}'; the costs are ${costNames.join(', ')}`);
    }
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > longest) {
      throw new CostError(
        `cost ${name} is ${String(value)}; give a whole number of nanoseconds from 0 to ${longest}`,
      );
    }
    values[name] = value;
  }
  return values;
}
