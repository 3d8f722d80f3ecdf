/** A raw disk image in a file. */
import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { StateError, type StateReader, type StateWriter } from '../../state/state.ts';
import { type BlockBackend, SECTOR_BYTES } from './backend.ts';

/** Zeros are written in parts of this many bytes. */
const ZEROS = new Uint8Array(1 << 20);

/**
 * A raw image file as a disk. Its state is its size alone: the sectors are in the file, so a guest's saved state
 * holds for as long as the file does. Guests whose state must stand by itself have an {@link OverlayDisk} over it.
 */
export class FileDisk implements BlockBackend {
  readonly sectors: number;
  readonly readOnly: boolean;
  readonly #path: string;
  readonly #file: number;

  /** Opens the image. Throws when it cannot be opened or is not a whole number of sectors. */
  constructor(path: string, readOnly: boolean) {
    this.#path = path;
    this.readOnly = readOnly;
    this.#file = this.#attempt('open', () => openSync(path, readOnly ? 'r' : 'r+'));
    const { size } = fstatSync(this.#file);
    if (size === 0 || size % SECTOR_BYTES !== 0) {
      this.close();
      throw new Error(
        `disk image ${path}: ${size} bytes are no whole number of sectors of ${SECTOR_BYTES}; ` +
          'give a raw image, padded to a multiple of 512 bytes',
      );
    }
    this.sectors = size / SECTOR_BYTES;
  }

  #attempt<T>(what: string, action: () => T): T {
    try {
      return action();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`disk image ${this.#path}: cannot ${what}: ${reason}`, { cause: error });
    }
  }

  read(sector: number, target: Uint8Array): void {
    this.#attempt('read', () => {
      for (let done = 0; done < target.length; ) {
        const count = readSync(this.#file, target, done, target.length - done, sector * SECTOR_BYTES + done);
        if (count === 0) throw new Error(`the file ends before sector ${sector}; it was cut while in use`);
        done += count;
      }
    });
  }

  write(sector: number, source: Uint8Array): void {
    this.#attempt('write', () => {
      for (let done = 0; done < source.length; ) {
        done += writeSync(this.#file, source, done, source.length - done, sector * SECTOR_BYTES + done);
      }
    });
  }

  zero(sector: number, count: number): void {
    const most = ZEROS.length / SECTOR_BYTES;
    for (let done = 0; done < count; done += most) {
      this.write(sector + done, ZEROS.subarray(0, Math.min(most, count - done) * SECTOR_BYTES));
    }
  }

  flush(): void {
    if (!this.readOnly) this.#attempt('flush', () => fsyncSync(this.#file));
  }

  /** Closes the file; the disk cannot be used any more. */
  close(): void {
    closeSync(this.#file);
  }

  saveState(to: StateWriter): void {
    to.number(this.sectors);
  }

  loadState(from: StateReader): void {
    const sectors = from.number();
    if (sectors !== this.sectors) {
      throw new StateError(
        `disk image ${this.#path} has ${this.sectors} sectors, saved state was taken with ${sectors}; give the same image`,
      );
    }
  }
}
