/**
 * The guest that v86 boots, which has no 64-bit mode: Debian's 686 kernel and BusyBox for i386 in an initramfs that is the same
 * otherwise.
 */
import { readFile } from 'node:fs/promises';
import { buildImage } from '../../workloads/images/build.ts';
import { writeCpio } from '../../workloads/images/cpio.ts';
import { sha256 } from '../../workloads/images/digest.ts';
import { readRecipe } from '../../workloads/images/recipe.ts';
import { type Image, namedDigest, readImage } from '../../workloads/images/store.ts';
import { fileInCpio } from './cpio-file.ts';
import { imageName } from './peer.ts';

/** Finds the image in the cache, or builds it from Debian's packages. */
export async function resolve686Image(progress: (line: string) => void): Promise<Image> {
  const base = await readRecipe(imageName);
  const name = `${imageName}-686`;
  const kernel = 'linux-image-686';
  // v86 is given no virtio devices, so there is nothing for modules to drive.
  const modules = { load: [], available: [] };
  const digest686 = sha256(JSON.stringify([base.digest, kernel, modules]));
  const recipe = { ...base, name, kernel, modules, digest: digest686 };
  const digest = await namedDigest(name);
  const image = digest === undefined ? undefined : await readImage(digest);
  if (image?.manifest.recipe === recipe.digest) return image;
  return buildImage(recipe, progress, 'i386');
}

/** Its initramfs with the data that works read: in all other guests, that is their BusyBox. */
export async function initrdWithData(image: Image, other: Image): Promise<Uint8Array> {
  const [initrd, otherInitrd] = await Promise.all([readFile(image.initrd), readFile(other.initrd)]);
  const data = fileInCpio(otherInitrd, 'bin/busybox');
  return Buffer.concat([initrd, writeCpio([{ path: 'root/data', kind: 'file', mode: 0o644, data }])]);
}
