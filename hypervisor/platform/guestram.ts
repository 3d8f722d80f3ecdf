/** Guest-physical memory as devices reach it. */
import type { AddressSpace } from '../memory/addressspace.ts';
import { pageSize } from '../memory/hostmemory.ts';
import { BadGuestAddress, type GuestMemory } from './bus.ts';

/** The largest number that is an address or a length in guest memory. */
const largest = 2 ** 53;

/** A {@link GuestMemory} over an address space. */
export class GuestRam implements GuestMemory {
  readonly #space: AddressSpace;
  readonly #onWrite: (page: number) => void;
  readonly #word = new Uint8Array(8);
  readonly #view = new DataView(this.#word.buffer);

  /** @param onWrite called before a page is written */
  constructor(space: AddressSpace, onWrite: (page: number) => void) {
    this.#space = space;
    this.#onWrite = onWrite;
  }

  contains(address: number, length: number): boolean {
    if (!(address >= 0 && length >= 0 && address + length <= largest)) return false;
    const end = address + length;
    if (end > this.#space.pageCount * pageSize) return false;
    for (let page = Math.floor(address / pageSize); page * pageSize < end; page++) {
      if (!this.#space.isRam(page)) return false;
    }
    return true;
  }

  /** Calls `visit` for each part of a range that lies in one page: page, offset in it, offset in the range, length. */
  #parts(
    address: number,
    length: number,
    visit: (page: number, inPage: number, at: number, count: number) => void,
  ): void {
    if (!this.contains(address, length)) throw new BadGuestAddress(address, length);
    for (let at = 0; at < length; ) {
      const page = Math.floor((address + at) / pageSize);
      const inPage = (address + at) % pageSize;
      const count = Math.min(length - at, pageSize - inPage);
      visit(page, inPage, at, count);
      at += count;
    }
  }

  prepare(address: number, length: number): boolean {
    if (!this.contains(address, length)) throw new BadGuestAddress(address, length);
    const first = Math.floor(address / pageSize);
    return this.#space.prepare(first, Math.ceil((address + length) / pageSize) - first);
  }

  read(address: number, target: Uint8Array): void {
    const { u8 } = this.#space.memory;
    this.#parts(address, target.length, (page, inPage, at, count) => {
      const host = this.#space.peek(page) + inPage;
      target.set(u8.subarray(host, host + count), at);
    });
  }

  write(address: number, source: Uint8Array): void {
    const { u8 } = this.#space.memory;
    this.#parts(address, source.length, (page, inPage, at, count) => {
      this.#onWrite(page);
      u8.set(source.subarray(at, at + count), this.#space.touch(page) + inPage);
    });
  }

  readU16(address: number): number {
    this.read(address, this.#word.subarray(0, 2));
    return this.#view.getUint16(0, true);
  }

  readU32(address: number): number {
    this.read(address, this.#word.subarray(0, 4));
    return this.#view.getUint32(0, true);
  }

  readU64(address: number): number {
    this.read(address, this.#word);
    const value = this.#view.getUint32(4, true) * 2 ** 32 + this.#view.getUint32(0, true);
    if (value > largest) throw new BadGuestAddress(value, 0);
    return value;
  }

  writeU16(address: number, value: number): void {
    this.#view.setUint16(0, value, true);
    this.write(address, this.#word.subarray(0, 2));
  }

  writeU32(address: number, value: number): void {
    this.#view.setUint32(0, value, true);
    this.write(address, this.#word.subarray(0, 4));
  }
}
