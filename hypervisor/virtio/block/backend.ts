/** What a block device keeps its sectors in. */
import type { Stateful } from '../../state/state.ts';

/** The unit of the block protocol, whatever the disk's own blocks (Virtual I/O Device 1.3, section 5.2.5). */
export const SECTOR_BYTES = 512;

/** A disk. The device asks for whole sectors within the disk only, and writes only where {@link readOnly} is false. */
export interface BlockBackend extends Stateful {
  /** Size in sectors of 512 bytes. */
  readonly sectors: number;
  readonly readOnly: boolean;
  /** Fills `target`, a whole number of sectors, from `sector` on. */
  read(sector: number, target: Uint8Array): void;
  /** Writes `source`, a whole number of sectors, from `sector` on. */
  write(sector: number, source: Uint8Array): void;
  /** Makes `count` sectors from `sector` on read as zeros; the space they took may be given up. */
  zero(sector: number, count: number): void;
  /** Makes everything written so far permanent. */
  flush(): void;
}
