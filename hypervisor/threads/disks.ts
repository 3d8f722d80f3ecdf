/** A guest's disks, opened in the thread that it runs on. */
import { FileDisk } from '../virtio/block/file.ts';
import type { DiskImage } from './hostedguest.ts';

/** Opens disks, in their order. */
export function openDisks(disks: readonly DiskImage[]): FileDisk[] {
  return disks.map(({ path, readOnly }) => new FileDisk(path, readOnly));
}
