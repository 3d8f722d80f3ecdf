/** For tests: a vCPU at privilege level 0 in flat 32-bit protected mode or 64-bit code, with memory and one device's register. */
import type { AddressSpace } from '../../memory/addressspace.ts';
import { Books } from '../../memory/books.ts';
import { HostMemory, pageSize } from '../../memory/hostmemory.ts';
import { hashPage } from '../../memory/pagehash.ts';
import { Engine } from '../engine.ts';
import * as exits from '../exits.ts';
import * as layout from '../layout.ts';
import { CR0, CR4, EFER } from '../mode.ts';
import { Processors } from '../processors.ts';
import type { TranslationOptions } from '../translate/options.ts';
import type { Vcpu } from '../vcpu.ts';

const memoryBytes = 16 << 20;
/** Where programs and their data stand. */
export const codeAt = 0x10_000;
export const dataAt = 0x20_000;
/** Guest-physical addresses from here on are devices'. */
export const deviceAt = memoryBytes;
const pageTables = 0x1000;
const present = 3n;

/** See the top of this file. */
export class FlatMachine {
  readonly vcpu: Vcpu;
  readonly vcpus: readonly Vcpu[];
  readonly engine: Engine;
  readonly #memory: HostMemory;
  readonly #space: AddressSpace;
  readonly #processors: Processors;
  /** What was written to the device, byte addresses and values. */
  readonly deviceWrites: [address: number, value: number][] = [];

  /**
   * @param translate how hot code is translated
   * @param codeBytes size of the stores of decoded code
   */
  constructor(translate: false | TranslationOptions = false, cpus = 1, codeBytes = 64 << 20) {
    this.#memory = new HostMemory(2 * memoryBytes, codeBytes + (64 << 20));
    this.engine = new Engine(this.#memory, hashPage(this.#memory), codeBytes, translate);
    this.#space = new Books(this.#memory).add([{ start: 0, length: memoryBytes }]);
    this.#processors = new Processors(this.engine, this.#space, cpus, () => ({
      mmioRead: () => 0x5a5a_5a5a,
      mmioWrite: (address: number, _size: number, value: number) => {
        this.deviceWrites.push([address, value]);
      },
      portRead: () => -1,
      portWrite: () => {},
      readCr8: () => 0,
      writeCr8: () => {},
      msrs: [],
      cpuidExits: () => {},
      tscChanged: () => {},
      hypervisorLeaf: () => undefined,
    }));
    this.vcpus = this.#processors.vcpus;
    this.vcpu = this.vcpus[0]!;
    // From the end on, so that neighbouring pages do not have neighbouring frames.
    for (let page = memoryBytes / pageSize; page > 0; page--) this.#space.touch(page - 1);
    this.reset();
  }

  /** Puts the CPU in order: flat segments, all masked, no pending exceptions; 64-bit code when asked for. */
  reset(code64 = false, vcpu = this.vcpu): void {
    vcpu.reset();
    const type = code64 ? 0xa09b : 0xc09b;
    for (const number of [layout.ES, layout.CS, layout.SS, layout.DS, layout.FS, layout.GS]) {
      const attributes = number === layout.CS ? type : 0xc093;
      vcpu.setSegment(number, { selector: 8 + 8 * number, base: 0n, limit: 0xffff_ffff, attributes });
    }
    const paging = code64 ? CR0.PG : 0;
    vcpu.set64(layout.cr0, BigInt((CR0.PE | CR0.NE | CR0.ET | paging) >>> 0));
    vcpu.set64(layout.cr4, BigInt(CR4.OSFXSR | CR4.OSXSAVE | (code64 ? CR4.PAE : 0)));
    vcpu.set64(layout.efer, BigInt(code64 ? EFER.LME | EFER.LMA : 0));
    vcpu.set64(layout.xcr0, 3n);
    vcpu.set32(layout.fcw, 0x37f);
    vcpu.set32(layout.intercept, 1);
    if (code64) this.#identityMap(vcpu);
    vcpu.setGpr(4, 0xf000n);
    vcpu.stateChanged();
  }

  /** The first 32 MiB at their own addresses and, for addresses that share entries of the TLB, again and again behind them, up to 1 GiB; in pages of 2 MiB. */
  #identityMap(vcpu: Vcpu): void {
    this.write(pageTables, words(BigInt(pageTables + 0x1000) | present));
    this.write(pageTables + 0x1000, words(BigInt(pageTables + 0x2000) | present));
    const large = Array.from({ length: 512 }, (_, i) => BigInt((i % 16) << 21) | present | 0x80n);
    this.write(pageTables + 0x2000, words(...large));
    vcpu.set64(layout.cr3, BigInt(pageTables));
  }

  /** Writes guest memory. */
  write(address: number, bytes: ArrayLike<number>): void {
    for (let i = 0; i < bytes.length; i++) {
      const page = Math.floor((address + i) / pageSize);
      if (i === 0 || (address + i) % pageSize === 0) this.#processors.contentsChange(page);
      this.#memory.u8[this.#space.touch(page) + ((address + i) % pageSize)] = bytes[i]!;
    }
  }

  /** Reads guest memory. */
  read(address: number, length: number): Uint8Array {
    return Uint8Array.from({ length }, (_, i) => {
      const page = Math.floor((address + i) / pageSize);
      return this.#memory.u8[this.#space.touch(page) + ((address + i) % pageSize)]!;
    });
  }

  /** The code page of a guest-physical address; 0 when none has been made. */
  codePage(address: number): number {
    return this.#memory.i32[((this.vcpu.get32(layout.codeMap) >>> 0) >> 2) + Math.floor(address / pageSize)]!;
  }

  /**
   * Runs code, given as hexadecimal bytes, behind which a HLT stands. EDI holds the address of the data.
   * @returns the vector of the exception that ended it, or undefined when it came to the HLT or used up its budget
   */
  run(code: string, budget = 1_000_000): number | undefined {
    const bytes = code.split(' ').map((byte) => Number.parseInt(byte, 16));
    this.write(codeAt, [...bytes, 0xf4]);
    this.vcpu.set64(layout.rip, BigInt(codeAt));
    this.vcpu.setGpr(7, BigInt(dataAt));
    return this.goOn(budget);
  }

  /** Goes on where the last run stopped. */
  goOn(budget = 1_000_000): number | undefined {
    const { vcpu } = this;
    const exit = vcpu.run(0, budget);
    if (exit === exits.exception) return Number(vcpu.get64(layout.exitInfo));
    if (exit !== exits.halt && exit !== exits.budget)
      throw new Error(`the program stopped with exit ${exit}`);
    return undefined;
  }

  /** ST(position): sign and exponent, significand. */
  st(position: number): [signExponent: number, significand: bigint] {
    const number = (this.vcpu.get32(layout.ftop) + position) & 7;
    const view = new DataView(this.vcpu.bytes(layout.fpr + 16 * number, 10).slice().buffer);
    return [view.getUint16(8, true), view.getBigUint64(0, true)];
  }

  /** The status word with TOP. */
  get status(): number {
    return this.vcpu.get32(layout.fsw) | (this.vcpu.get32(layout.ftop) << 11);
  }
}

/** 64-bit words as bytes. */
export function words(...values: bigint[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values).buffer);
}
