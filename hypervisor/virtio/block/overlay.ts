/**
 * A copy-on-write overlay: a disk of a guest's own over an image that many guests share. What the guest writes
 * is kept in memory, in blocks of 4 KiB, and is part of the guest's state; the image is never written.
 */
import { StateError, type StateReader, type StateWriter } from '../../state/state.ts';
import { type BlockBackend, SECTOR_BYTES } from './backend.ts';

const BLOCK_BYTES = 4096;
const BLOCK_SECTORS = BLOCK_BYTES / SECTOR_BYTES;

/** Stands for every block that is zeroed as a whole, so that such blocks take no memory. */
const ZEROS = new Uint8Array(BLOCK_BYTES);

/** A writable disk over a shared image. */
export class OverlayDisk implements BlockBackend {
  readonly sectors: number;
  readonly readOnly = false;
  readonly #image: BlockBackend;
  /** Blocks that differ from the image, by their number. */
  readonly #blocks = new Map<number, Uint8Array>();

  /** @param image read only here, so it may be shared */
  constructor(image: BlockBackend) {
    this.#image = image;
    this.sectors = image.sectors;
  }

  /** Bytes that the guest's own blocks take in memory. */
  get ownBytes(): number {
    let blocks = 0;
    for (const block of this.#blocks.values()) if (block !== ZEROS) blocks++;
    return blocks * BLOCK_BYTES;
  }

  read(sector: number, target: Uint8Array): void {
    this.#eachBlock(sector, target.length / SECTOR_BYTES, (number, from, to, at) => {
      const part = target.subarray(at, at + to - from);
      const block = this.#blocks.get(number);
      if (block !== undefined) part.set(block.subarray(from, to));
      else this.#image.read(number * BLOCK_SECTORS + from / SECTOR_BYTES, part);
    });
  }

  write(sector: number, source: Uint8Array): void {
    this.#eachBlock(sector, source.length / SECTOR_BYTES, (number, from, to, at) => {
      this.#ownBlock(number).set(source.subarray(at, at + to - from), from);
    });
  }

  zero(sector: number, count: number): void {
    this.#eachBlock(sector, count, (number, from, to) => {
      if (to - from === BLOCK_BYTES) this.#blocks.set(number, ZEROS);
      else this.#ownBlock(number).fill(0, from, to);
    });
  }

  /** Calls `visit` for each block of a range, with the bytes of the block that are in the range and where they begin in it. */
  #eachBlock(
    sector: number,
    count: number,
    visit: (number: number, from: number, to: number, at: number) => void,
  ): void {
    const end = (sector + count) * SECTOR_BYTES;
    const start = sector * SECTOR_BYTES;
    for (let at = start; at < end; ) {
      const number = Math.floor(at / BLOCK_BYTES);
      const from = at - number * BLOCK_BYTES;
      const to = Math.min(BLOCK_BYTES, end - number * BLOCK_BYTES);
      visit(number, from, to, at - start);
      at += to - from;
    }
  }

  /** A block that may be written, made from what it reads as. */
  #ownBlock(number: number): Uint8Array {
    const found = this.#blocks.get(number);
    if (found !== undefined && found !== ZEROS) return found;
    const block = new Uint8Array(BLOCK_BYTES);
    if (found === undefined) {
      const first = number * BLOCK_SECTORS;
      const count = Math.min(BLOCK_SECTORS, this.sectors - first);
      this.#image.read(first, block.subarray(0, count * SECTOR_BYTES));
    }
    this.#blocks.set(number, block);
    return block;
  }

  flush(): void {}

  /** Writes the guest's own blocks; the image must be the same when they are taken up. */
  saveState(to: StateWriter): void {
    to.number(this.sectors);
    const numbers = [...this.#blocks.keys()].sort((a, b) => a - b);
    to.list(numbers, (number) => {
      const block = this.#blocks.get(number)!;
      to.number(number);
      to.bytes(block === ZEROS ? new Uint8Array(0) : block);
    });
  }

  loadState(from: StateReader): void {
    const sectors = from.number();
    if (sectors !== this.sectors) {
      throw new StateError(`saved state has a disk of ${sectors} sectors, the image has ${this.sectors}`);
    }
    this.#blocks.clear();
    from.list(() => {
      const number = from.number();
      const block = from.bytes();
      this.#blocks.set(number, block.length === 0 ? ZEROS : block);
    });
  }
}
