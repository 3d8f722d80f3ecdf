import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { UserError } from '../../workloads/images/user-error.ts';
import type { DiskBackend } from './machine.ts';

/** A disk whose content is a file. */
export interface DiskFile extends DiskBackend {
  /** Closes the file. */
  close(): void;
}

const sector = 512;

/** Opens a raw disk image; one that may not be written becomes a read-only disk. Throws {@link UserError}. */
export function openDisk(file: string): DiskFile {
  const { descriptor, readOnly } = open(file);
  const status = fstatSync(descriptor);
  if (!status.isFile() || status.size === 0 || status.size % sector !== 0) {
    closeSync(descriptor);
    throw new UserError({
      file,
      cause: status.isFile()
        ? `its size, ${status.size} bytes, is not a number of ${sector}-byte sectors`
        : 'not a plain file',
      remedy: "give a raw disk image; 'truncate -s 64M FILE' makes an empty one",
    });
  }
  return {
    bytes: status.size,
    readOnly,
    read(offset, target) {
      const count = readSync(descriptor, target, 0, target.length, offset);
      if (count !== target.length) throw new Error(`${file}: cut short while it was in use`);
    },
    write(offset, source) {
      const count = writeSync(descriptor, source, 0, source.length, offset);
      if (count !== source.length) throw new Error(`${file}: no room left`);
    },
    flush: () => fsyncSync(descriptor),
    close: () => closeSync(descriptor),
  };
}

function open(file: string): { descriptor: number; readOnly: boolean } {
  try {
    return { descriptor: openSync(file, 'r+'), readOnly: false };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'EROFS') {
      try {
        return { descriptor: openSync(file, 'r'), readOnly: true };
      } catch {
        // It may not be read either: the first message says so.
      }
    }
    throw new UserError({ file, cause: message, remedy: 'name a raw disk image that can be read' });
  }
}
