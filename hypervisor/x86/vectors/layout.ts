/**
 * The memory that vectors run in: which linear pages exist with which rights, what they hold, the descriptor tables, and the
 * page tables that give exactly this to an emulated CPU. The native runner maps the same pages at the same
 * addresses of a Linux process and puts the same descriptors into its LDT.
 */

import { fxOffset, imageOffset } from './image.ts';
import type { CpuState, MemoryBytes, SegmentState } from './machine.ts';
import { seededRandom } from './random.ts';

const pageBytes = 4096;

/** What user code may do with a region: read and write, read, or read and execute. */
export type Rights = 'rw' | 'r' | 'rx';

/** A run of mapped user pages. The pages before and after are not mapped. */
export interface Region {
  name: string;
  /** Linear address of the first page. */
  linear: number;
  pages: number;
  rights: Rights;
}

/**
 * The user pages of the two layouts. `long` is for 64-bit code: its addresses need 47, 32 and 31 bits. `legacy` is
 * for compatibility mode, where the segments of {@link localDescriptors} lie over it. `wrapLow` and `wrapHigh` are the two ends of one 64 KiB segment.
 */
export const layouts = {
  long: [
    { name: 'code', linear: 0x3c5a_1000_0000, pages: 2, rights: 'rx' },
    { name: 'data', linear: 0x3c5a_1001_0000, pages: 3, rights: 'rw' },
    { name: 'constant', linear: 0x3c5a_1002_0000, pages: 1, rights: 'r' },
    { name: 'stack', linear: 0x7a5b_2000_0000, pages: 2, rights: 'rw' },
    { name: 'low', linear: 0x4765_4000, pages: 2, rights: 'rw' },
    { name: 'middle', linear: 0xa765_4000, pages: 2, rights: 'rw' },
  ],
  legacy: [
    { name: 'code', linear: 0x0041_0000, pages: 2, rights: 'rx' },
    { name: 'data', linear: 0x0051_0000, pages: 3, rights: 'rw' },
    { name: 'constant', linear: 0x0052_0000, pages: 1, rights: 'r' },
    { name: 'stack', linear: 0x0061_0000, pages: 2, rights: 'rw' },
    { name: 'wrapLow', linear: 0x0071_0000, pages: 1, rights: 'rw' },
    { name: 'wrapHigh', linear: 0x0071_f000, pages: 1, rights: 'rw' },
  ],
} as const satisfies Record<string, readonly Region[]>;

/** Which pages and which kind of code a vector has. */
export type LayoutName = keyof typeof layouts;

/** A segment descriptor in the terms of SDM vol. 3, section 3.4.5; DPL is 3 throughout. */
export interface Descriptor {
  base: number;
  /** The 20-bit limit field. */
  limit: number;
  /** Type field with the accessed bit set, as Linux writes it (bits 0 to 3). */
  type: number;
  /** Default size (D/B): 32 bits when true. */
  big: boolean;
  /** Granularity (G): the limit counts 4 KiB pages when true. */
  pages: boolean;
  present: boolean;
}

const readWrite = 0x3;
const readOnly = 0x1;
const expandDown = 0x7;
const codeReadable = 0xb;
const codeOnly = 0x9;
const conforming = 0xf;

const descriptor = (
  type: number,
  base: number,
  limit: number,
  options: { big?: boolean; pages?: boolean; present?: boolean } = {},
): Descriptor => ({ type, base, limit, big: false, pages: false, present: true, ...options });

/** The LDT: `undefined` is an empty entry. Names say what each is for; the selector of entry i is 8·i + 7. */
export const localDescriptors = {
  code32: descriptor(codeReadable, 0, 0xfffff, { big: true, pages: true }),
  data32: descriptor(readWrite, 0, 0xfffff, { big: true, pages: true }),
  /** 16-bit code whose offsets 0x2000 to 0x3fff are the code pages. */
  code16: descriptor(codeReadable, 0x0040_e000, 0xffff),
  /** 16-bit data: offsets 0x4000 to 0x6fff are the data pages, 0x5000 page-aligned inside. */
  data16: descriptor(readWrite, 0x0050_c000, 0xffff),
  /** 16-bit stack: offsets 0x1000 to 0x2fff are the stack pages. */
  stack16: descriptor(readWrite, 0x0060_f000, 0xffff),
  /** 64 KiB of which only the first and last page are mapped: 16-bit addresses wrap in it. */
  wrap16: descriptor(readWrite, 0x0071_0000, 0xffff),
  /** 32-bit code with a base and a limit that ends inside its second page. */
  code32based: descriptor(codeReadable, 0x0040_0000, 0x1_17ff, { big: true }),
  /** 32-bit data with a base and a limit that ends inside the third data page. */
  data32limited: descriptor(readWrite, 0x0050_0000, 0x1_27ff, { big: true }),
  readOnly: descriptor(readOnly, 0x0051_0000, 0x2fff, { big: true }),
  /** Offsets above 0xffff up to 4 GiB; the base makes offset 0x1_0000 the first data page. */
  expandDown32: descriptor(expandDown, 0x0050_0000, 0xffff, { big: true }),
  /** Offsets 0x5000 to 0xffff; the base makes offset 0x5000 the second data page. */
  expandDown16: descriptor(expandDown, 0x0050_c000, 0x4fff),
  codeOnly: descriptor(codeOnly, 0, 0xfffff, { big: true, pages: true }),
  conformingAbsent: descriptor(conforming, 0, 0xfffff, { big: true, pages: true, present: false }),
  dataAbsent: descriptor(readWrite, 0, 0xfffff, { big: true, pages: true, present: false }),
  codeAbsent: descriptor(codeReadable, 0, 0xfffff, { big: true, pages: true, present: false }),
  /** One byte long. */
  tiny: descriptor(readWrite, 0x0051_0000, 0, { big: true }),
  stack32based: descriptor(readWrite, 0x0060_0000, 0x1_1fff, { big: true }),
} as const satisfies Record<string, Descriptor>;

/** Name of an LDT entry. */
export type LocalName = keyof typeof localDescriptors;

/** The selector, with RPL 3, of an LDT entry. */
export function localSelector(name: LocalName): number {
  return Object.keys(localDescriptors).indexOf(name) * 8 + 7;
}

/** The selectors that Linux gives to user code on x86-64: 64-bit code, data, 32-bit code. */
export const userSelectors = { code64: 0x33, data: 0x2b, code32: 0x23 } as const;

/** A descriptor's eight bytes (SDM vol. 3, figure 3-8). */
export function descriptorBits({ type, base, limit, big, pages, present }: Descriptor): bigint {
  const low = ((base & 0xffff) << 16) | (limit & 0xffff);
  const high =
    (base & 0xff00_0000) |
    (pages ? 1 << 23 : 0) |
    (big ? 1 << 22 : 0) |
    (limit & 0xf_0000) |
    (present ? 1 << 15 : 0) |
    (3 << 13) | // DPL
    (1 << 12) | // code or data
    (type << 8) |
    ((base >>> 16) & 0xff);
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

// Linear address of the supervisor pages that hold the descriptor tables, as a kernel has them: in the upper half.
const kernelLinear = 0xffff_8000_0000_0000n;
const gdtPage = 0;
const idtPage = 1;
const ldtPage = 2;
const tssPage = 3;
const tableLinear = (page: number) => kernelLinear + BigInt(page * pageBytes);
const gdtLimit = 16 * 8 - 1;
const ldtLimit = Object.keys(localDescriptors).length * 8 - 1;
const tssLimit = 103; // No I/O permission bitmap: port instructions fault at CPL 3 with IOPL 0.

/** The GDT of x86-64 Linux; entry 15 (the CPU's number) is left out, and no vector looks at it. */
function gdt(): BigUint64Array {
  const entries = new BigUint64Array(16);
  entries[1] = 0x00cf_9b00_0000_ffffn; // kernel 32-bit code
  entries[2] = 0x00af_9b00_0000_ffffn; // kernel code
  entries[3] = 0x00cf_9300_0000_ffffn; // kernel data
  entries[4] = 0x00cf_fb00_0000_ffffn; // user 32-bit code
  entries[5] = 0x00cf_f300_0000_ffffn; // user data
  entries[6] = 0x00af_fb00_0000_ffffn; // user code
  const system = (at: number, type: bigint, linear: bigint, limit: number) => {
    entries[at] =
      BigInt(limit) |
      ((linear & 0xff_ffffn) << 16n) |
      (((type << 8n) | 0x8000n) << 32n) |
      (((linear >> 24n) & 0xffn) << 56n);
    entries[at + 1] = linear >> 32n;
  };
  system(8, 0xbn, tableLinear(tssPage), tssLimit);
  system(10, 0x2n, tableLinear(ldtPage), ldtLimit);
  return entries;
}

/** 256 interrupt gates; user code may call 3 and 4 alone (Linux opens 0x80 too, but no vector calls it). */
function idt(): BigUint64Array {
  const entries = new BigUint64Array(512);
  for (let vector = 0; vector < 256; vector++) {
    const dpl = vector === 3 || vector === 4 ? 3n : 0n;
    const offset = BigInt(vector * 16); // In the kernel's first page: no handler is ever run.
    entries[vector * 2] = offset | (0x10n << 16n) | ((0x8e00n | (dpl << 13n)) << 32n);
    entries[vector * 2 + 1] = kernelLinear >> 32n;
  }
  return entries;
}

function ldt(): BigUint64Array {
  return BigUint64Array.from(Object.values(localDescriptors), descriptorBits);
}

/** What a region holds before a vector's patches: HLT in code pages, the same random bytes in all others for every layout. */
export function regionContent(region: Region): Uint8Array {
  const content = new Uint8Array(region.pages * pageBytes);
  if (region.rights === 'rx') return content.fill(0xf4);
  const random = seededRandom(region.linear >>> 12);
  const words = new Uint32Array(content.buffer);
  for (let i = 0; i < words.length; i++) words[i] = random.u32();
  return content;
}

// Physical memory: page tables from 0x1000 on, then the descriptor tables, then the regions one after the other.
const rootTable = 0x1000;
const present = 1n;
const writable = 2n;
const user = 4n;
const accessedDirty = 0x60n;
const noExecute = 1n << 63n;

/** A layout as physical memory, and where each region's bytes are in it. */
export interface PhysicalLayout {
  pages: readonly MemoryBytes[];
  /** Physical address of each region's first page, in the order of the layout. */
  regions: readonly { region: Region; physical: number }[];
}

function buildLayout(name: LayoutName): PhysicalLayout {
  const pages: MemoryBytes[] = [];
  let nextFree = rootTable;
  const allocate = (bytes: Uint8Array = new Uint8Array(pageBytes)) => {
    const page = { address: nextFree, bytes };
    nextFree += pageBytes;
    pages.push(page);
    return page;
  };
  const tables = new Map<number, DataView>();
  const table = () => {
    const page = allocate();
    tables.set(page.address, new DataView(page.bytes.buffer));
    return page.address;
  };
  table();
  const map = (linear: bigint, physical: number, flags: bigint) => {
    let at = rootTable;
    for (const shift of [39n, 30n, 21n]) {
      const view = tables.get(at)!;
      const slot = Number((linear >> shift) & 511n) * 8;
      let entry = view.getBigUint64(slot, true);
      if (entry === 0n) {
        entry = BigInt(table()) | present | writable | accessedDirty | (flags & user);
        view.setBigUint64(slot, entry, true);
      }
      at = Number(entry & 0xffff_f000n);
    }
    const slot = Number((linear >> 12n) & 511n) * 8;
    tables.get(at)!.setBigUint64(slot, BigInt(physical) | flags | present | accessedDirty, true);
  };
  const tss = new Uint8Array(pageBytes);
  new DataView(tss.buffer).setUint16(102, tssLimit + 1, true);
  for (const [index, content] of [gdt(), idt(), ldt(), tss].entries()) {
    const bytes = new Uint8Array(pageBytes);
    bytes.set(new Uint8Array(content.buffer));
    map(tableLinear(index), allocate(bytes).address, writable | noExecute);
  }
  const regions = layouts[name].map((region) => {
    const content = regionContent(region);
    const physical = nextFree;
    const first = Array.from({ length: region.pages }, (_, page) =>
      allocate(content.subarray(page * pageBytes, (page + 1) * pageBytes)),
    );
    return { region, physical, first };
  });
  for (const { region, physical } of regions) {
    const flags = user | (region.rights === 'rw' ? writable : 0n) | (region.rights === 'rx' ? 0n : noExecute);
    for (let page = 0; page < region.pages; page++) {
      map(BigInt(region.linear + page * pageBytes), physical + page * pageBytes, flags);
    }
  }
  return { pages, regions };
}

const built = new Map<LayoutName, PhysicalLayout>();

/** The physical memory of a layout: the same object at every call. */
export function physicalLayout(name: LayoutName): PhysicalLayout {
  const known = built.get(name);
  if (known !== undefined) return known;
  const made = buildLayout(name);
  built.set(name, made);
  return made;
}

/** The region and the physical address of a linear address; throws when it is in no region. */
export function locate(name: LayoutName, linear: number): { region: Region; physical: number } {
  for (const { region, physical } of physicalLayout(name).regions) {
    const offset = linear - region.linear;
    if (offset >= 0 && offset < region.pages * pageBytes) return { region, physical: physical + offset };
  }
  throw new RangeError(`linear address 0x${linear.toString(16)} is in no region of layout '${name}'`);
}

/** The hidden part that loading `selector` gives, from {@link localDescriptors} or the GDT above. */
export function segmentState(selector: number): SegmentState {
  if (selector < 4) return { selector, base: 0n, limit: 0, attributes: 0 };
  const table = (selector & 4) !== 0 ? ldt() : gdt();
  const bits = table[selector >> 3] ?? 0n;
  const high = Number(bits >> 32n);
  const field = Number(bits & 0xffffn) | (high & 0xf_0000);
  return {
    selector,
    base: ((bits >> 16n) & 0xff_ffffn) | ((bits >> 56n) << 24n),
    limit: (high & (1 << 23)) !== 0 ? field * 4096 + 4095 : field,
    attributes: (high >>> 8) & 0xf0ff,
  };
}

const segmentCache = new Map<number, SegmentState>();
function cachedSegment(selector: number): SegmentState {
  let state = segmentCache.get(selector);
  if (state === undefined) {
    state = segmentState(selector);
    segmentCache.set(selector, state);
  }
  return state;
}

/** The whole CPU state that a register image stands for. */
export function cpuState(image: Uint8Array): CpuState {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const segments = Array.from({ length: 6 }, (_, index) =>
    cachedSegment(view.getUint16(imageOffset.selectors + 2 * index, true)),
  );
  const withBase = (index: number, base: bigint) => {
    segments[index] = { ...segments[index]!, base };
  };
  withBase(4, view.getBigUint64(imageOffset.fsBase, true));
  withBase(5, view.getBigUint64(imageOffset.gsBase, true));
  const gpr = new BigUint64Array(16);
  for (let i = 0; i < 16; i++) gpr[i] = view.getBigUint64(imageOffset.gpr + 8 * i, true);
  const fxsave = image.slice(imageOffset.fxsave, imageOffset.fxsave + 512);
  fxsave.fill(0, fxOffset.xmm + 256);
  return {
    gpr,
    rip: view.getBigUint64(imageOffset.rip, true),
    rflags: view.getUint32(imageOffset.rflags, true),
    segments,
    fxsave,
    ldtr: { selector: 0x50, base: tableLinear(ldtPage), limit: ldtLimit, attributes: 0x82 },
    tr: { selector: 0x40, base: tableLinear(tssPage), limit: tssLimit, attributes: 0x8b },
    gdtr: { base: tableLinear(gdtPage), limit: gdtLimit },
    idtr: { base: tableLinear(idtPage), limit: 4095 },
    cr0: 0x8005_0033, // PG, AM, WP, NE, ET, MP, PE
    cr3: rootTable,
    cr4: 0x0005_0620, // PAE, OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE
    efer: 0xd01, // NXE, LMA, LME, SCE
    xcr0: 3,
  };
}
