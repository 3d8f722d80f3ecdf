/** The vCPUs of one guest, and what they share: its memory map and the decoded form of its code. */
import type { AddressSpace } from '../memory/addressspace.ts';
import { pageSize } from '../memory/hostmemory.ts';
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import { xsaveLeaf } from './core/xsave.ts';
import { type CpuidLeaf, cpuid } from './cpuid.ts';
import type { CodeCache } from './decode/codecache.ts';
import type { Kernel } from './decode/kerneltext.ts';
import type { CodeUser, Engine } from './engine.ts';
import * as layout from './layout.ts';
import { CR4, physicalBits } from './mode.ts';
import { type MsrDevice, Msrs } from './msr.ts';
import * as tlb from './tlb.ts';
import { Vcpu, vcpuRoom } from './vcpu.ts';

/** What a vCPU finds outside. */
export interface Devices {
  mmioRead(address: number, size: number): number;
  mmioWrite(address: number, size: number, value: number): void;
  portRead(port: number, size: number): number;
  portWrite(port: number, size: number, value: number): void;
  /** Task priority, CR8. */
  readCr8(): number;
  writeCr8(value: number): void;
  readonly msrs: readonly MsrDevice[];
  /** A CPUID instruction leaves the guest. */
  cpuidExits(): void;
  /** The time-stamp counter was moved by its MSRs. */
  tscChanged(): void;
  /** CPUID leaves from 40000000H on. */
  hypervisorLeaf(leaf: number): CpuidLeaf | undefined;
}

/** A page that was written to so often while it was decoded is taken for one that goes on changing. */
const manyChanges = 64;
/** Changes are counted up to here. */
const mostChanges = 127;
/** Beside the count: the page has changed since the engine's store of changing code was last emptied. */
const changedLately = 128;
/** Virtual time in ns in which the count of a page's changes halves: what has stopped changing is taken for lasting again. */
const changesHalve = 10e9;

/** Room for what the vCPUs share. */
const sharedSize = 64;

/** Room in host memory for `count` vCPUs, in bytes, when it begins at a multiple of the page size. */
export function processorsRoom(count: number): number {
  return count * vcpuRoom + pageSize;
}

/** See the top of this file. */
export class Processors implements Stateful {
  readonly engine: Engine;
  readonly space: AddressSpace;
  readonly vcpus: readonly Vcpu[];
  /** Where the guest's kernel was found to be. */
  readonly #kernel: Kernel = { slide: undefined };
  /** Where the latest time that any vCPU or device has read stands, as an index of 64-bit words. */
  readonly #latest: number;
  /** How often each page was written to while it was decoded, as far as it counts, and {@link changedLately}. */
  readonly #changes: Uint8Array;
  /** How many times {@link changesHalve} had passed when the counts were last halved. */
  #halvings = 0;
  /** Whether code pages may be from the engine's store of changing code. */
  #executesChanging = false;
  readonly #codeUser: CodeUser = {
    visit: (store, onlyInTlbs, visit) => {
      const { space } = this;
      const isChanging = store === this.engine.changingCode;
      for (let page = 0; !onlyInTlbs && this.#mayUse(store) && page < space.pageCount; page++) {
        const decoded = space.codeOf(page);
        if (!store.contains(decoded)) continue;
        // What does not change any more is to come back to where it lasts.
        if (!isChanging || (this.#changes[page]! & changedLately) !== 0) visit(decoded);
      }
      this.#forExecutable(store, (_entry, decoded) => visit(decoded));
    },
    follow: (store, moved) => {
      const { space } = this;
      const { i32 } = this.engine.memory;
      for (let page = 0; this.#mayUse(store) && page < space.pageCount; page++) {
        const decoded = space.codeOf(page);
        if (store.contains(decoded)) space.setCode(page, moved.get(decoded) ?? 0);
      }
      this.#forExecutable(store, (entry, decoded) => {
        const now = moved.get(decoded);
        if (now === undefined) this.#setTag(entry, tlb.executeTag);
        else i32[(entry + tlb.code) >> 2] = (i32[(entry + tlb.code) >> 2]! & ~tlb.codeMask) | now;
      });
      for (const vcpu of this.vcpus)
        if (store.contains(vcpu.get32(layout.codePage))) vcpu.set32(layout.codePage, 0);
      if (store === this.engine.changingCode) this.#forgetChanges(moved.size > 0);
    },
  };

  /** @param devices what each vCPU sees, by its index */
  constructor(engine: Engine, space: AddressSpace, count: number, devices: (index: number) => Devices) {
    this.engine = engine;
    this.space = space;
    this.#changes = new Uint8Array(space.pageCount);
    engine.addCodeUser(this.#codeUser);
    space.onRemap = (frame) => this.mappingChanges(frame);
    const shared = space.memory.allocate(sharedSize, 64);
    this.#latest = shared / 8;
    const { slots, codeMap, pageCount } = space;
    this.vcpus = Array.from({ length: count }, (_, index) => {
      const vcpu = new Vcpu(engine, { room: space.memory, slots, codeMap, pageCount, shared });
      const outside = devices(index);
      vcpu.set32(layout.yields, count > 1 ? 1 : 0);
      const msrs = new Msrs(vcpu, outside.msrs, () => outside.tscChanged());
      vcpu.setNumber(
        engine.register({
          mmioRead: (address, size) => outside.mmioRead(address, size),
          mmioWrite: (address, size, value) => outside.mmioWrite(address, size, value),
          portRead: (port, size) => outside.portRead(port, size),
          portWrite: (port, size, value) => outside.portWrite(port, size, value),
          readCr8: () => outside.readCr8(),
          writeCr8: (value) => outside.writeCr8(value),
          cpuid: (leaf, subleaf) => {
            outside.cpuidExits();
            const result = cpuid(leaf, subleaf, {
              apicId: index,
              cpus: count,
              osxsave: (vcpu.get32(layout.cr4) & CR4.OSXSAVE) !== 0,
              physicalBits,
              extendedState: (each) => {
                const { eax, ebx, ecx, edx } = xsaveLeaf(each);
                return [eax, ebx, ecx, edx];
              },
              hypervisor: (each) => outside.hypervisorLeaf(each),
            });
            result.forEach((value, i) => {
              vcpu.set32(layout.result0 + 4 * i, value);
            });
          },
          readMsr: (number) => {
            const value = msrs.read(number);
            if (value === undefined) return false;
            vcpu.set64(layout.result0, value);
            return true;
          },
          writeMsr: (number, low, high) =>
            msrs.write(number, (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)),
          codePageFor: (page, codeMode, place) => this.#codePageFor(vcpu.now, page, codeMode, place),
          codeWritten: (page) => this.contentsChange(page),
        }),
      );
      return vcpu;
    });
  }

  /**
   * The time that the guest reads at `time` (ns): vCPUs take turns, and none may see a time before one that another has
   * seen.
   */
  readTime(time: number): number {
    const { u64 } = this.engine.memory;
    const latest = Number(u64[this.#latest]!);
    if (time <= latest) return latest;
    u64[this.#latest] = BigInt(time);
    return time;
  }

  #mayUse(store: CodeCache): boolean {
    return store !== this.engine.changingCode || this.#executesChanging;
  }

  /**
   * The store of changing code was emptied: pages that have not changed since the last time are not taken for changing much longer.
   * @param some whether some of it was kept
   */
  #forgetChanges(some: boolean): void {
    if (!this.#executesChanging) return;
    this.#executesChanging = some;
    const changes = this.#changes;
    for (let page = 0; page < changes.length; page++) {
      const count = changes[page]!;
      changes[page] = (count & changedLately) !== 0 ? count & mostChanges : count >> 1;
    }
  }

  #halveChanges(times: number): void {
    const changes = this.#changes;
    for (let page = 0; page < changes.length; page++) {
      const count = changes[page]!;
      changes[page] = (count & changedLately) | ((count & mostChanges) >> times);
    }
  }

  #codePageFor(time: number, page: number, codeMode: number, place: number): number {
    const halvings = Math.floor(time / changesHalve);
    if (halvings > this.#halvings) {
      // A count has seven bits.
      this.#halveChanges(Math.min(7, halvings - this.#halvings));
      this.#halvings = halvings;
    }
    const frame = this.space.frameOf(page);
    const changes = (this.#changes[page]! & mostChanges) >= manyChanges;
    if (changes) this.#executesChanging = true;
    const decoded = this.engine.codePageFor(frame, codeMode, place, this.#kernel, changes);
    if (decoded === 0) return 0;
    const slide = this.#kernel.slide ?? 0;
    for (const vcpu of this.vcpus) vcpu.set64(layout.slide, BigInt(slide));
    this.space.setCode(page, decoded);
    // From now on a write must be told.
    for (const vcpu of this.vcpus) this.engine.core.forgetWrites(vcpu.base, frame);
    return decoded;
  }

  /**
   * The contents of a page change, by a vCPU or a device: its decoded form is dropped. A vCPU that executes from it
   * stops behind the present instruction, so that it goes on with what is there then.
   */
  contentsChange(page: number): void {
    if (this.space.codeOf(page) === 0) return;
    this.#changes[page] = Math.min((this.#changes[page]! & mostChanges) + 1, mostChanges) | changedLately;
    this.contentsReplaced(page);
  }

  /** The same when it is not the guest's doing, and tells nothing of what the page will see: a machine is loaded. */
  contentsReplaced(page: number): void {
    const decoded = this.space.codeOf(page);
    if (decoded === 0) return;
    this.space.setCode(page, 0);
    this.engine.pageDetached(decoded);
    const { i32 } = this.engine.memory;
    this.#forEntries((entry) => {
      if ((i32[(entry + tlb.code) >> 2]! & tlb.codeMask) === decoded) this.#setTag(entry, tlb.executeTag);
    });
    for (const vcpu of this.vcpus) {
      if (vcpu.get32(layout.codePage) === decoded) vcpu.stopSoon();
    }
  }

  /**
   * The host takes back `count` pages from `page` on, in an event of the guest: their contents are gone, and the next touch finds zeros.
   * `why` is what their slots say from then on (`memory/slots.ts`). TLBs are emptied before a vCPU runs again ({@link settle}).
   */
  discard(page: number, count: number, why: number): void {
    const { space } = this;
    for (let each = page; each < page + count; each++) {
      if (space.isPresent(each)) space.shootDown();
      this.contentsChange(each);
      space.release(each, why);
    }
  }

  /** To be called before vCPUs run: makes up for changes of the memory map that were made without telling the TLBs. */
  settle(): void {
    if (!this.space.stale) return;
    this.space.stale = false;
    this.flushTlbs();
  }

  /** Forgets all translations. */
  flushTlbs(): void {
    for (const vcpu of this.vcpus) this.engine.core.flushTlb(vcpu.base, 0);
  }

  /** A page left a frame: no TLB may lead there. What is executed is known by its contents, which a new frame has, too. */
  mappingChanges(frame: number): void {
    for (const vcpu of this.vcpus) this.engine.core.forgetFrame(vcpu.base, frame);
  }

  /** Gives the vCPUs' numbers and room back. They do not run any more. */
  dispose(): void {
    this.engine.removeCodeUser(this.#codeUser);
    for (const vcpu of this.vcpus) vcpu.dispose();
    this.space.memory.release(this.#latest * 8, sharedSize);
  }

  saveState(to: StateWriter): void {
    to.u64(this.engine.memory.u64[this.#latest]!);
  }

  loadState(from: StateReader): void {
    this.engine.memory.u64[this.#latest] = from.u64();
  }

  #setTag(entry: number, tag: number): void {
    const { i32 } = this.engine.memory;
    i32[(entry + tag) >> 2] = -1;
    i32[(entry + tag + 4) >> 2] = -1;
  }

  #forEntries(visit: (entry: number) => void): void {
    const { u32 } = this.engine.memory;
    for (const vcpu of this.vcpus) {
      const list = (vcpu.base + layout.stateSize + tlb.size) >> 2;
      const count = vcpu.get32(layout.tlbUsed);
      for (let i = list; i < list + count; i++) visit(u32[i]!);
    }
  }

  /** Visits the entries with an execute tag whose code pages are in a store. */
  #forExecutable(store: CodeCache, visit: (entry: number, decoded: number) => void): void {
    const { i32 } = this.engine.memory;
    this.#forEntries((entry) => {
      const decoded = i32[(entry + tlb.code) >> 2]! & tlb.codeMask;
      if (i32[(entry + tlb.executeTag) >> 2] !== -1 && store.contains(decoded)) visit(entry, decoded);
    });
  }
}
