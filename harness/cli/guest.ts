/** `pagefold guest ...`: makes, shows and moves guest images. */
import { exportImage, importImage } from '../../workloads/images/archive.ts';
import { buildImage } from '../../workloads/images/build.ts';
import { readRecipe, recipeNames } from '../../workloads/images/recipe.ts';
import { resolveImage } from '../../workloads/images/resolve.ts';
import { type Image, imageDigests, namedDigest, readImage } from '../../workloads/images/store.ts';
import { progress, styled, table } from './style.ts';
import { formatSize } from './values.ts';

const print = (text: string) => process.stdout.write(text);

/** The image's name by which it is found whatever its recipe becomes. */
const pinned = ({ name, digest }: Image) => `${name}@${digest.slice(0, 12)}`;

/** `guest build`: builds an image anew from the present packages. */
export async function build(name: string): Promise<void> {
  const image = await buildImage(await readRecipe(name), progress);
  print(`${pinned(image)}\n`);
}

/** `guest list`: the images in the cache, and the recipes that have none yet. */
export async function list(): Promise<void> {
  const images = await Promise.all((await imageDigests()).map(readImage));
  const rows = [['NAME', 'IMAGE', 'KERNEL', 'SIZE']];
  const names = [...new Set([...(await recipeNames()), ...images.map(({ name }) => name)])].sort();
  for (const name of names) {
    const current = await namedDigest(name);
    const ofName = images.filter((image) => image.name === name);
    // The one that the name stands for comes first; the others go by their digest only.
    ofName.sort((a, b) => Number(b.digest === current) - Number(a.digest === current));
    for (const image of ofName) {
      const { files, kernelRelease } = image.manifest;
      const size = formatSize(files.vmlinuz.bytes + files.initrd.bytes + (files.disk?.bytes ?? 0));
      rows.push([
        image.digest === current ? name : pinned(image),
        image.digest.slice(0, 12),
        kernelRelease,
        size,
      ]);
    }
    if (ofName.length === 0) rows.push([name, '-', (await readRecipe(name)).description, 'not built']);
  }
  print(table(rows, process.stdout.columns));
}

/** `guest show`: what an image was made of. */
export async function show(name: string): Promise<void> {
  const { digest, kernel, initrd, disk, manifest } = await resolveImage(name, progress);
  const heading = (text: string) => print(`\n${styled('bold', text)}\n`);
  print(`${styled('bold', manifest.name)}\n`);
  print(`digest   ${digest}\nrecipe   ${manifest.recipe}\nrelease  ${manifest.kernelRelease}\n`);
  heading('Files');
  print(
    `${kernel}\n  ${formatSize(manifest.files.vmlinuz.bytes)}, sha256 ${manifest.files.vmlinuz.sha256}\n`,
  );
  print(`${initrd}\n  ${formatSize(manifest.files.initrd.bytes)}, sha256 ${manifest.files.initrd.sha256}\n`);
  if (disk !== undefined && manifest.files.disk !== undefined) {
    print(`${disk}\n  ${formatSize(manifest.files.disk.bytes)}, sha256 ${manifest.files.disk.sha256}\n`);
  }
  heading('Packages');
  for (const { name: each, version, sha256 } of manifest.packages) {
    print(`${each} ${version}\n  sha256 ${sha256}\n`);
  }
  heading('Taken from packages');
  for (const { path, package: from, md5 } of manifest.contents) print(`${path} from ${from}\n  md5 ${md5}\n`);
  heading('Modules');
  print(`${manifest.modules.join(' ')}\n`);
}

/** `guest export`: writes an image to one file. */
export async function exportTo(name: string, file: string): Promise<void> {
  const image = await resolveImage(name, progress);
  await exportImage(image, file);
  print(`${pinned(image)} in ${file}\n`);
}

/** `guest import`: takes an image from a file. */
export async function importFrom(file: string): Promise<void> {
  const { image, named } = await importImage(file);
  print(`${pinned(image)}\n`);
  if (!named) {
    progress(
      `This pagefold has another recipe for ${image.name}, so name the image with its digest, as above.`,
    );
  }
}
