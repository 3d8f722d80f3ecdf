/** Swap files that fail as disks do, at a place that the run alone decides. */
import { DiskFile, type SwapFile } from '../../../hypervisor/memory/swap/file.ts';

const pageBytes = 4096;

/** A file on a disk that is full: it takes so many bytes, at any time, and refuses what lies behind them. */
export function fullDisk(path: string, bytes: number): SwapFile {
  const file = new DiskFile(path);
  return {
    name: file.name,
    descriptor: file.descriptor,
    read: (position, target) => file.read(position, target),
    write: (position, parts) => {
      if (position + bytesOf(parts) > bytes) throw new Error('ENOSPC: no space left on device, write');
      file.write(position, parts);
    },
    close: () => file.close(),
  };
}

/** A file on a disk that flips a bit of some pages: those that are written as so manieth. Later writes to their places are right. */
export function flippingBits(path: string, numbers: readonly number[]): SwapFile {
  const file = new DiskFile(path);
  let written = 0;
  return {
    name: file.name,
    descriptor: file.descriptor,
    read: (position, target) => file.read(position, target),
    write: (position, parts) => {
      file.write(position, parts);
      for (let at = position, end = position + bytesOf(parts); at < end; at += pageBytes) {
        if (!numbers.includes(++written)) continue;
        const page = new Uint8Array(pageBytes);
        file.read(at, page);
        page[1000]! ^= 0x10;
        file.write(at, [page]);
      }
    },
    close: () => file.close(),
  };
}

function bytesOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}
