/**
 * A small machine for tests of what operating systems do: memory with descriptor tables, TSSs and stacks at fixed
 * places, and for each vector a handler that halts. A test puts a program in, runs, and looks at where it halted and
 * what is on the stack.
 */

import type { AddressSpace } from '../../memory/addressspace.ts';
import { Books } from '../../memory/books.ts';
import { HostMemory, pageSize } from '../../memory/hostmemory.ts';
import { hashPage } from '../../memory/pagehash.ts';
import { StateWriter } from '../../state/state.ts';
import { Engine } from '../engine.ts';
import * as exits from '../exits.ts';
import * as layout from '../layout.ts';
import { type Devices, Processors } from '../processors.ts';
import { usualTranslation } from '../translate/options.ts';
import type { Segment, Vcpu } from '../vcpu.ts';
import { gate, gateHigh, segment, type } from './descriptors.ts';

/** Where things are: physical addresses, and linear ones unless a test changes the page tables. All below 64 KiB but page tables and IST stacks. */
export const places = {
  gdt: 0x1000,
  idt: 0x2000,
  tss: 0x3000,
  tss16: 0x3100,
  otherTss: 0x3200,
  otherTss16: 0x3300,
  ldt: 0x4000,
  /** The handler of vector v is at `handlers + 16 * v`. */
  handlers: 0x8000,
  code: 0xa000,
  data: 0xc000,
  /** Tops of the stacks of privilege levels 0 … 3. */
  stacks: [0xf000, 0xec00, 0xe800, 0xe000],
  pml4: 0x1_0000,
  pdpt: 0x1_1000,
  pd: 0x1_2000,
  pt: 0x1_3000,
  /** Tops of IST stacks 1 … 7 are at `ist + 0x1000 * n`. */
  ist: 0x1_8000,
} as const;

/** Selectors of the GDT's first entries. Levels are in the names; selectors have the RPL of their level. */
export const selectors = {
  code0: 0x08,
  data0: 0x10,
  code1: 0x19,
  data1: 0x21,
  code2: 0x2a,
  data2: 0x32,
  code3: 0x3b,
  data3: 0x43,
  code0x16: 0x48,
  data0x16: 0x50,
  /** 64-bit code. */
  long0: 0x58,
  long3: 0x63,
  /** Conforming code of level 0. */
  conforming0: 0x68,
  tss: 0x70,
  ldt: 0x80,
} as const;
/** First GDT entry that is free for a test. */
const firstFree = 0x90;
/** Entries of the IDT. */
const vectors = 256;

const flat = { limit: 0xfffff, pages: true, big: true } as const;

/** Modes in which a machine starts. */
export type StartMode = 'real' | 'protected' | 'long';

const memorySize = 4 << 20;

/** A write to this port ends a run. */
const endPort = 0xf4;
/** OUT to that port: the end of a program that cannot halt. */
export const END = [0xe6, endPort];
/** What `run` gives when the program came to {@link END}. */
export const ended = -1;

/** Where a program came to a halt in a handler. */
export interface Halt {
  readonly vector: number;
  /** What is on the handler's stack, from its top: items of 2, 4 or 8 bytes by the mode. */
  readonly frame: readonly number[];
}

/**
 * All machines run on one engine, so that handlers are made once. What has been executed is translated when a test asks for it:
 * another machine with the same code then executes the translation.
 */
const codeBytes = 64 << 20;
const memory = new HostMemory(256 << 20, codeBytes + (1 << 30));
export const engine = new Engine(memory, hashPage(memory), codeBytes, {
  ...usualTranslation,
  hotAfter: 1,
  cold: 1,
});
const books = new Books(memory);

/** See the top of this file. */
export class TestMachine {
  readonly vcpu: Vcpu;
  readonly space: AddressSpace;
  readonly processors: Processors;
  readonly mode: StartMode;
  /** What the program wrote to ports: [port, value]. */
  readonly written: [number, number][] = [];
  /** Called when the program writes a port. */
  onPortWrite: (port: number, value: number) => void = () => {};
  /** Called when the program reads where there is no memory. */
  onMmioRead: () => void = () => {};
  #nextGdt = firstFree;
  #ended = false;

  constructor(mode: StartMode) {
    this.mode = mode;
    this.space = books.add([{ start: 0, length: memorySize }]);
    const devices: Devices = {
      mmioRead: () => {
        this.onMmioRead();
        return 0x5a5a_5a5a;
      },
      mmioWrite: () => {},
      portRead: () => 0xa5,
      portWrite: (port, _size, value) => {
        if (port === endPort) {
          this.#ended = true;
          this.vcpu.stopSoon();
          return;
        }
        this.written.push([port, value]);
        this.onPortWrite(port, value);
      },
      readCr8: () => 0,
      writeCr8: () => {},
      msrs: [],
      cpuidExits: () => {},
      tscChanged: () => {},
      hypervisorLeaf: () => undefined,
    };
    this.processors = new Processors(engine, this.space, 1, () => devices);
    this.vcpu = this.processors.vcpus[0]!;
    this.#tables();
    this.#start();
  }

  /** Gives all pages below the IST stacks' end a frame, so that a run is not interrupted by the host. */
  touch(): void {
    for (let page = 0; page < 0x20; page++) this.space.touch(page);
  }

  /** All that the machine is, as bytes: the CPU's state, and the memory that programs and tables are in. */
  get state(): Buffer {
    const writer = new StateWriter();
    this.vcpu.saveState(writer);
    for (let page = 0; page < 0x20; page++) {
      writer.bytes(this.space.isPresent(page) ? this.#content(page) : new Uint8Array(0));
    }
    return Buffer.from(writer.finish());
  }

  #content(page: number): Uint8Array {
    const frame = this.space.touch(page);
    return memory.u8.subarray(frame, frame + pageSize);
  }

  /** Gives the machine's memory back; it does not run any more. */
  free(): void {
    for (let page = 0; page < memorySize >> 12; page++) {
      this.processors.contentsChange(page);
      this.space.release(page, 0);
    }
    this.processors.dispose();
  }

  // Memory, by physical addresses.

  write(address: number, bytes: ArrayLike<number>): void {
    for (let i = 0; i < bytes.length; i++) {
      const at = address + i;
      this.processors.contentsChange(at >> 12);
      memory.u8[this.space.touch(at >> 12) + (at & 0xfff)] = bytes[i]!;
    }
  }

  put(address: number, size: 2 | 4 | 8, value: number | bigint): void {
    let left = BigInt.asUintN(64, BigInt(value));
    const bytes = Array.from({ length: size }, () => {
      const byte = Number(left & 0xffn);
      left >>= 8n;
      return byte;
    });
    this.write(address, bytes);
  }

  get64(address: number): bigint {
    let value = 0n;
    for (let i = 7; i >= 0; i--) {
      const at = address + i;
      value = (value << 8n) | BigInt(memory.u8[this.space.touch(at >> 12) + (at & 0xfff)]!);
    }
    return value;
  }

  get(address: number, size: 1 | 2 | 4): number {
    return Number(BigInt.asUintN(8 * size, this.get64(address)));
  }

  // Tables.

  #tables(): void {
    const level = (dpl: number) => [
      segment({ ...flat, type: type.code, dpl }),
      segment({ ...flat, type: type.data, dpl }),
    ];
    const fixed = [
      0n,
      ...[0, 1, 2, 3].flatMap(level),
      segment({ type: type.code, limit: 0xffff, pages: false }),
      segment({ type: type.data, limit: 0xffff, pages: false }),
      segment({ ...flat, type: type.code, big: false, long: true }),
      segment({ ...flat, type: type.code, big: false, long: true, dpl: 3 }),
      segment({ ...flat, type: type.conforming }),
      segment({ type: 9, system: true, base: places.tss, limit: 0x67, pages: false }),
      0n,
      segment({ type: 2, system: true, base: places.ldt, limit: 0xfff, pages: false }),
      0n,
    ];
    fixed.forEach((descriptor, i) => {
      this.put(places.gdt + 8 * i, 8, descriptor);
    });
    const gateSelector = this.mode === 'long' ? selectors.long0 : selectors.code0;
    for (let vector = 0; vector < vectors; vector++) {
      const offset = places.handlers + 16 * vector;
      this.write(offset, [0xf4]);
      if (this.mode === 'real') {
        this.put(4 * vector, 2, offset);
        this.put(4 * vector + 2, 2, 0);
      } else this.gate(vector, { selector: gateSelector, offset, type: 14 });
    }
    this.#taskState();
    if (this.mode === 'long') this.#pageTables();
  }

  #taskState(): void {
    for (let level = 0; level < 3; level++) {
      if (this.mode === 'long') this.put(places.tss + 4 + 8 * level, 8, places.stacks[level]!);
      else {
        this.put(places.tss + 4 + 8 * level, 4, places.stacks[level]!);
        this.put(places.tss + 8 + 8 * level, 2, selectors.data0 + 0x11 * level);
      }
    }
    if (this.mode === 'long') {
      for (let n = 1; n <= 7; n++) this.put(places.tss + 28 + 8 * n, 8, places.ist + 0x1000 * n);
    }
    // No permission map.
    this.put(places.tss + 102, 2, 0x68);
  }

  /** Maps the first 2 MiB one to one, in pages that everybody may use. */
  #pageTables(): void {
    this.put(places.pml4, 8, places.pdpt | 7);
    this.put(places.pdpt, 8, places.pd | 7);
    this.put(places.pd, 8, places.pt | 7);
    for (let page = 0; page < 512; page++) this.put(places.pt + 8 * page, 8, (page << 12) | 7);
  }

  /** Changes the last page-table entry for a linear address of the first 2 MiB (long mode). */
  mapPage(linear: number, entry: bigint | number): void {
    this.put(places.pt + 8 * (linear >> 12), 8, entry);
    this.vcpu.stateChanged();
  }

  /** Puts descriptors into the GDT, one behind the other; gives the selector of the first. */
  describe(...descriptors: bigint[]): number {
    const selector = this.#nextGdt;
    for (const descriptor of descriptors) {
      this.put(places.gdt + this.#nextGdt, 8, descriptor);
      this.#nextGdt += 8;
    }
    return selector;
  }

  /** Replaces the descriptor that a selector names in the GDT. */
  redescribe(selector: number, descriptor: bigint): void {
    this.put(places.gdt + (selector & 0xfff8), 8, descriptor);
  }

  /** The descriptor that a selector names in the GDT. */
  descriptor(selector: number): bigint {
    return this.get64(places.gdt + (selector & 0xfff8));
  }

  /** Sets an entry of the IDT. */
  gate(vector: number, fields: Parameters<typeof gate>[0]): void {
    if (this.mode === 'long') {
      this.put(places.idt + 16 * vector, 8, gate(fields));
      this.put(places.idt + 16 * vector + 8, 8, gateHigh(fields));
    } else this.put(places.idt + 8 * vector, 8, gate(fields));
  }

  // State.

  #start(): void {
    const { vcpu } = this;
    vcpu.reset();
    vcpu.set64(layout.rip, BigInt(places.code));
    vcpu.setGpr(4, BigInt(places.stacks[0]));
    vcpu.rflags = 2;
    if (this.mode === 'real') {
      for (const number of [layout.ES, layout.CS, layout.SS, layout.DS, layout.FS, layout.GS])
        vcpu.setSegment(number, {
          selector: 0,
          base: 0n,
          limit: 0xffff,
          attributes: number === layout.CS ? 0x9b : 0x93,
        });
      vcpu.set64(layout.idtr + 8, 0x3ffn);
      vcpu.stateChanged();
      return;
    }
    vcpu.set64(layout.gdtr, BigInt(places.gdt));
    vcpu.set64(layout.gdtr + 8, 0xfffn);
    vcpu.set64(layout.idtr, BigInt(places.idt));
    vcpu.set64(layout.idtr + 8, BigInt(vectors * (this.mode === 'long' ? 16 : 8) - 1));
    vcpu.set64(layout.cr0, 0x11n);
    if (this.mode === 'long') {
      vcpu.set64(layout.cr3, BigInt(places.pml4));
      vcpu.set64(layout.cr4, 0x20n);
      vcpu.set64(layout.efer, 0x500n);
      vcpu.set64(layout.cr0, 0x8000_0011n);
    }
    this.load(layout.TR, selectors.tss);
    this.load(layout.LDTR, selectors.ldt);
    this.atLevel(0);
  }

  /** Fills a segment register from the descriptor that a selector names, without any check. */
  load(number: number, selector: number): void {
    const inLdt = (selector & 4) !== 0;
    const at = (inLdt ? places.ldt : places.gdt) + (selector & 0xfff8);
    this.vcpu.setSegment(
      number,
      selector < 4 ? { selector, base: 0n, limit: 0, attributes: 0 } : this.#parse(at, selector),
    );
    if (number === layout.TR) this.put(at, 8, this.get64(at) | (2n << 40n));
  }

  #parse(at: number, selector: number): Segment {
    const raw = this.get64(at);
    const attributes = Number((raw >> 40n) & 0xf0ffn);
    const limit = Number((raw & 0xffffn) | ((raw >> 32n) & 0xf0000n));
    const base = ((raw >> 16n) & 0xff_ffffn) | ((raw >> 56n) << 24n);
    const isBusyTss = (attributes & 0x17) === 1;
    return {
      selector,
      base,
      limit: (attributes & 0x8000) !== 0 ? limit * 4096 + 4095 : limit,
      attributes: isBusyTss ? attributes | 2 : attributes,
    };
  }

  /** Goes to a privilege level: flat segments of it and its stack. In long mode 64-bit code for levels 0 and 3. */
  atLevel(level: 0 | 1 | 2 | 3): void {
    const step = 0x11 * level;
    const long = level === 0 ? selectors.long0 : selectors.long3;
    this.load(layout.CS, this.mode === 'long' && level % 3 === 0 ? long : selectors.code0 + step);
    for (const number of [layout.ES, layout.SS, layout.DS, layout.FS, layout.GS])
      this.load(number, selectors.data0 + step);
    this.vcpu.setGpr(4, BigInt(places.stacks[level]!));
    this.vcpu.stateChanged();
  }

  /** Goes to virtual-8086 mode with all segments at 0 and the stack of level 3; code at `places.code`. */
  atVirtual(iopl = 3): void {
    this.vcpu.rflags = 0x2_0002 | (iopl << 12);
    for (const number of [layout.ES, layout.CS, layout.SS, layout.DS, layout.FS, layout.GS])
      this.vcpu.setSegment(number, { selector: 0, base: 0n, limit: 0xffff, attributes: 0xf3 });
    this.vcpu.setGpr(4, BigInt(places.stacks[3]));
    this.vcpu.stateChanged();
  }

  // Running.

  /** Puts a program at `places.code`, or at RIP when it was set elsewhere. */
  program(...bytes: number[]): void {
    this.write(Number(this.vcpu.segment(layout.CS).base + this.vcpu.get64(layout.rip)), bytes);
  }

  /** Runs up to `limit` units of time; gives the reason for the end (`exits.ts`), or {@link ended}. */
  run(limit = 1000): number {
    this.#ended = false;
    for (let left = limit; left > 0; ) {
      const exit = this.vcpu.run(0, left);
      left -= this.vcpu.elapsed;
      if (this.#ended) return ended;
      if (exit === exits.hostFault) {
        this.#serve();
        continue;
      }
      if (exit === exits.codeFull) {
        engine.makeRoom();
        continue;
      }
      if (exit !== exits.budget) return exit;
    }
    return exits.budget;
  }

  /** Delivers an event as the host does between runs; see `eventKinds`. */
  deliver(vector: number, code: number, kind: number): void {
    const { vcpu } = this;
    while (vcpu.engine.core.deliver(vcpu.base, vector, code, kind) === 0) this.#serve();
  }

  /** Gives the page that the host was asked for a frame. */
  #serve(): void {
    this.space.touch(Number(this.vcpu.get64(layout.exitInfo) & 0xffff_ffffn));
  }

  /** Runs a program until it halts in a handler. Throws when it halts elsewhere or not at all. */
  runToHandler(...bytes: number[]): Halt {
    if (bytes.length > 0) this.program(...bytes);
    const exit = this.run();
    const { vcpu } = this;
    const linear = Number(vcpu.segment(layout.CS).base + vcpu.get64(layout.rip));
    const vector = (linear - 1 - places.handlers) / 16;
    if (exit !== exits.halt || !Number.isInteger(vector) || vector < 0 || vector >= vectors)
      throw new Error(`stopped for reason ${exit} at ${linear.toString(16)}, not in a handler`);
    return { vector, frame: this.stack(12) };
  }

  /** The topmost items of the present stack: of 8 bytes in 64-bit mode, else of `size`, or as wide as the code segment. */
  stack(count: number, size?: 2 | 4 | 8): number[] {
    const { attributes } = this.vcpu.segment(layout.CS);
    const isLong = this.mode === 'long' && (attributes & 0x2000) !== 0;
    const step = size ?? (isLong ? 8 : (attributes & 0x4000) !== 0 ? 4 : 2);
    const { base, attributes: ss } = this.vcpu.segment(layout.SS);
    const mask = isLong ? -1n : (ss & 0x4000) !== 0 ? 0xffff_ffffn : 0xffffn;
    const top = Number((isLong ? 0n : base) + (this.vcpu.gpr(4) & mask));
    return Array.from({ length: count }, (_, i) => {
      const at = top + i * step;
      return step === 8 ? Number(this.get64(at)) : this.get(at, step);
    });
  }
}
