/** The vCPUs of one guest, and what they share: its memory map and the decoded form of its code. */
import type { AddressSpace } from '../memory/addressspace.ts';
import { pageSize } from '../memory/hostmemory.ts';
import type { Engine, VcpuHost } from './engine.ts';
import * as layout from './layout.ts';
import * as tlb from './tlb.ts';
import { Vcpu } from './vcpu.ts';

/** What vCPU `index` of a guest finds outside: ports and device registers. */
export type Devices = Pick<VcpuHost, 'mmioRead' | 'mmioWrite' | 'portRead' | 'portWrite'>;

/** See the top of this file. */
export class Processors {
  readonly engine: Engine;
  readonly space: AddressSpace;
  readonly vcpus: readonly Vcpu[];

  /** @param devices what each vCPU sees, by its index */
  constructor(engine: Engine, space: AddressSpace, count: number, devices: (index: number) => Devices) {
    this.engine = engine;
    this.space = space;
    this.vcpus = Array.from({ length: count }, (_, index) => {
      const vcpu = new Vcpu(engine, space);
      const outside = devices(index);
      vcpu.setNumber(
        engine.register({
          mmioRead: (address, size) => outside.mmioRead(address, size),
          mmioWrite: (address, size, value) => outside.mmioWrite(address, size, value),
          portRead: (port, size) => outside.portRead(port, size),
          portWrite: (port, size, value) => outside.portWrite(port, size, value),
          codePageFor: (page, codeSize) => this.#codePageFor(page, codeSize),
          codeWritten: (page) => this.contentsChange(page),
        }),
      );
      return vcpu;
    });
  }

  #codePageFor(page: number, codeSize: number): number {
    const frame = this.space.touch(page);
    const decoded = this.engine.code.pageFor(frame, codeSize);
    this.space.setCode(page, decoded);
    // From now on a write must be told.
    this.#forEntries((entry) => {
      if (this.#frameOf(entry, tlb.writeTag) === frame) this.#setTag(entry, tlb.writeTag);
    });
    return decoded;
  }

  /**
   * The contents of a page change, by a vCPU or a device: its decoded form is dropped. A vCPU that executes from it
   * stops behind the present instruction, so that it goes on with what is there then.
   */
  contentsChange(page: number): void {
    const decoded = this.space.codeOf(page);
    if (decoded === 0) return;
    this.space.setCode(page, 0);
    const { i32 } = this.engine.memory;
    this.#forEntries((entry) => {
      if ((i32[(entry + tlb.code) >> 2]! & -2) === decoded) this.#setTag(entry, tlb.executeTag);
    });
    for (const vcpu of this.vcpus) {
      if (vcpu.get32(layout.codePage) !== decoded) continue;
      const cut = vcpu.get32(layout.budget) - 1;
      if (cut <= 0) continue;
      vcpu.set32(layout.budgetStart, vcpu.get32(layout.budgetStart) - cut);
      vcpu.set32(layout.budget, 1);
    }
  }

  /** A page got another frame, or lost its own, or its permission to be written: no TLB may use the old one. */
  mappingChanges(frame: number): void {
    this.#forEntries((entry) => {
      if (this.#frameOf(entry, tlb.readTag) === frame || this.#frameOf(entry, tlb.writeTag) === frame) {
        this.#setTag(entry, tlb.readTag);
        this.#setTag(entry, tlb.writeTag);
      }
    });
  }

  /** Host address of the frame that an entry leads to, -1 when its tag is empty. */
  #frameOf(entry: number, tag: number): number {
    const { i32 } = this.engine.memory;
    // An empty tag is -1; a page's low word ends in zeros.
    const low = i32[(entry + tag) >> 2]!;
    if ((low & (pageSize - 1)) !== 0) return -1;
    return (low + i32[(entry + tlb.addend) >> 2]!) >>> 0;
  }

  #setTag(entry: number, tag: number): void {
    const { i32 } = this.engine.memory;
    i32[(entry + tag) >> 2] = -1;
    i32[(entry + tag + 4) >> 2] = -1;
  }

  #forEntries(visit: (entry: number) => void): void {
    for (const vcpu of this.vcpus) {
      const start = vcpu.base + layout.stateSize;
      for (let entry = start; entry < start + tlb.size; entry += 1 << tlb.entryShift) visit(entry);
    }
  }
}
