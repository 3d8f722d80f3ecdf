/** Guest memory for tests: one array of bytes from address 0, with a bump allocator for what a driver needs. */
import { BadGuestAddress, type GuestMemory } from '../../platform/bus.ts';

/** RAM of `size` bytes at guest-physical address 0. */
export class TestMemory implements GuestMemory {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #next = 0x1000;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.#view = new DataView(this.bytes.buffer);
  }

  /** Reserves `length` bytes at a multiple of 16. */
  allocate(length: number): number {
    const address = this.#next;
    this.#next = (address + length + 15) & ~15;
    this.#check(address, length);
    return address;
  }

  /** The bytes from `address` on, live. */
  at(address: number, length: number): Uint8Array {
    return this.bytes.subarray(address, address + length);
  }

  prepare(): boolean {
    return true;
  }

  contains(address: number, length: number): boolean {
    return address >= 0 && address + length <= this.bytes.length;
  }

  #check(address: number, length: number): void {
    if (!this.contains(address, length)) throw new BadGuestAddress(address, length);
  }

  read(address: number, target: Uint8Array): void {
    this.#check(address, target.length);
    target.set(this.at(address, target.length));
  }

  write(address: number, source: Uint8Array): void {
    this.#check(address, source.length);
    this.bytes.set(source, address);
  }

  readU16(address: number): number {
    this.#check(address, 2);
    return this.#view.getUint16(address, true);
  }

  readU32(address: number): number {
    this.#check(address, 4);
    return this.#view.getUint32(address, true);
  }

  readU64(address: number): number {
    return this.readU32(address + 4) * 2 ** 32 + this.readU32(address);
  }

  writeU16(address: number, value: number): void {
    this.#check(address, 2);
    this.#view.setUint16(address, value, true);
  }

  writeU32(address: number, value: number): void {
    this.#check(address, 4);
    this.#view.setUint32(address, value, true);
  }
}
