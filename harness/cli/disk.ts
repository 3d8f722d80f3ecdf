import { accessSync, constants, type Stats, statSync } from 'node:fs';
import type { DiskImage } from '../../hypervisor/threads/hostedguest.ts';
import { UserError } from '../../workloads/images/user-error.ts';

const sector = 512;

/** Looks at a raw disk image; one that may not be written becomes a read-only disk. Throws {@link UserError}. */
export function diskOf(path: string): DiskImage {
  const status = look(path);
  if (!status.isFile() || status.size === 0 || status.size % sector !== 0) {
    throw new UserError({
      file: path,
      cause: status.isFile()
        ? `its size, ${status.size} bytes, is not a number of ${sector}-byte sectors`
        : 'not a plain file',
      remedy: "give a raw disk image; 'truncate -s 64M FILE' makes an empty one",
    });
  }
  return { path, readOnly: !may(path, constants.W_OK) };
}

function look(path: string): Stats {
  try {
    accessSync(path, constants.R_OK);
    return statSync(path);
  } catch (error) {
    const cause = (error as Error).message;
    throw new UserError({ file: path, cause, remedy: 'name a raw disk image that can be read' });
  }
}

function may(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}
