/** Guest memory for tests: pages come into being when they are written. */
import { BadGuestAddress, type GuestMemory } from '../bus.ts';
import { type AddressRange, memoryMap } from '../memorymap.ts';

const PAGE = 4096;

/** RAM laid out as {@link memoryMap} has it, without a page where nothing was written. */
export class SparseMemory implements GuestMemory {
  readonly #ram: readonly AddressRange[];
  readonly #pages = new Map<number, Uint8Array>();
  readonly #word = new DataView(new ArrayBuffer(8));

  constructor(memory: number) {
    this.#ram = memoryMap(memory).ram;
  }

  prepare(): boolean {
    return true;
  }

  contains(address: number, length: number): boolean {
    return this.#ram.some(({ start, end }) => address >= start && address + length <= end);
  }

  #check(address: number, length: number): void {
    if (!this.contains(address, length)) throw new BadGuestAddress(address, length);
  }

  read(address: number, target: Uint8Array): void {
    this.#check(address, target.length);
    for (let at = 0; at < target.length; ) {
      const within = (address + at) % PAGE;
      const count = Math.min(PAGE - within, target.length - at);
      const page = this.#pages.get(Math.floor((address + at) / PAGE));
      if (page === undefined) target.fill(0, at, at + count);
      else target.set(page.subarray(within, within + count), at);
      at += count;
    }
  }

  write(address: number, source: Uint8Array): void {
    this.#check(address, source.length);
    for (let at = 0; at < source.length; ) {
      const within = (address + at) % PAGE;
      const count = Math.min(PAGE - within, source.length - at);
      const number = Math.floor((address + at) / PAGE);
      let page = this.#pages.get(number);
      if (page === undefined) {
        page = new Uint8Array(PAGE);
        this.#pages.set(number, page);
      }
      page.set(source.subarray(at, at + count), within);
      at += count;
    }
  }

  /** A copy of `length` bytes at `address`. */
  bytes(address: number, length: number): Uint8Array {
    const target = new Uint8Array(length);
    this.read(address, target);
    return target;
  }

  #load(address: number, length: number): DataView {
    this.read(address, new Uint8Array(this.#word.buffer, 0, length));
    return this.#word;
  }

  readU16(address: number): number {
    return this.#load(address, 2).getUint16(0, true);
  }

  readU32(address: number): number {
    return this.#load(address, 4).getUint32(0, true);
  }

  readU64(address: number): number {
    const value = Number(this.#load(address, 8).getBigUint64(0, true));
    if (!Number.isSafeInteger(value)) throw new BadGuestAddress(address, 8);
    return value;
  }

  writeU16(address: number, value: number): void {
    this.#word.setUint16(0, value, true);
    this.write(address, new Uint8Array(this.#word.buffer, 0, 2));
  }

  writeU32(address: number, value: number): void {
    this.#word.setUint32(0, value, true);
    this.write(address, new Uint8Array(this.#word.buffer, 0, 4));
  }
}
