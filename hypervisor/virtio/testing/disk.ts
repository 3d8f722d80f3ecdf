/** A disk in memory for tests. */
import type { StateReader, StateWriter } from '../../state/state.ts';
import { type BlockBackend, SECTOR_BYTES } from '../block/backend.ts';

/** A disk whose sector n is filled with the byte n at first. */
export class TestDisk implements BlockBackend {
  readonly sectors: number;
  readonly readOnly: boolean;
  readonly bytes: Uint8Array;
  flushes = 0;

  constructor(sectors: number, readOnly = false) {
    this.sectors = sectors;
    this.readOnly = readOnly;
    this.bytes = new Uint8Array(sectors * SECTOR_BYTES);
    for (let sector = 0; sector < sectors; sector++) this.sector(sector).fill(sector);
  }

  /** The bytes of a sector, live. */
  sector(sector: number): Uint8Array {
    return this.bytes.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
  }

  #range(sector: number, bytes: number): Uint8Array {
    if (!(sector >= 0 && bytes % SECTOR_BYTES === 0 && sector + bytes / SECTOR_BYTES <= this.sectors)) {
      throw new RangeError(`${bytes} bytes at sector ${sector} of ${this.sectors}`);
    }
    return this.bytes.subarray(sector * SECTOR_BYTES, sector * SECTOR_BYTES + bytes);
  }

  read(sector: number, target: Uint8Array): void {
    target.set(this.#range(sector, target.length));
  }

  write(sector: number, source: Uint8Array): void {
    if (this.readOnly) throw new Error('the disk is read-only');
    this.#range(sector, source.length).set(source);
  }

  zero(sector: number, count: number): void {
    if (this.readOnly) throw new Error('the disk is read-only');
    this.#range(sector, count * SECTOR_BYTES).fill(0);
  }

  flush(): void {
    this.flushes++;
  }

  saveState(to: StateWriter): void {
    to.bytes(this.bytes);
  }

  loadState(from: StateReader): void {
    this.bytes.set(from.bytes());
  }
}
