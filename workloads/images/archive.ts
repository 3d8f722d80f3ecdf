/** Images as one file each, to be kept beside a result and taken to another machine. */
import { readFile } from 'node:fs/promises';
import { readRecipe, recipeNames } from './recipe.ts';
import { addImage, type Image, imageFiles, nameImage, readContent, writeWhole } from './store.ts';
import { readTar, writeTar } from './tar.ts';
import { UserError } from './user-error.ts';

/** Writes an image of the cache to `file`, a tar archive. The same image gives the same bytes. */
export async function exportImage({ digest }: Image, file: string): Promise<void> {
  const { manifest, ...content } = await readContent(digest);
  const archive = writeTar([
    { name: 'manifest.json', data: new TextEncoder().encode(manifest) },
    ...imageFiles.flatMap((name) => (content[name] === undefined ? [] : [{ name, data: content[name] }])),
  ]);
  await writeWhole(file, archive).catch((error: Error) => {
    throw new UserError({
      file,
      cause: error.message,
      remedy: 'name a file in a folder that can be written',
    });
  });
}

/**
 * Takes an archive written by {@link exportImage} into the cache, every file checked against its digest. The
 * image gets its name unless this version of pagefold has another recipe by that name; then it is `named`
 * false and goes by NAME@DIGEST only.
 */
export async function importImage(file: string): Promise<{ image: Image; named: boolean }> {
  const bytes = await readFile(file).catch((error: Error) => {
    throw new UserError({ file, cause: error.message, remedy: 'name a file that can be read' });
  });
  const image = await addArchive(bytes).catch((error: unknown) => {
    if (error instanceof UserError) throw error;
    const cause = `this is not an image archive, or a damaged one: ${(error as Error).message}`;
    throw new UserError({
      file,
      cause,
      remedy: "export the image again: 'pagefold guest export IMAGE FILE'",
    });
  });
  const { name, digest, manifest } = image;
  const known = (await recipeNames()).includes(name) ? (await readRecipe(name)).digest : manifest.recipe;
  const named = manifest.recipe === known;
  if (named) await nameImage(name, digest);
  return { image, named };
}

async function addArchive(bytes: Uint8Array): Promise<Image> {
  const files = readTar(bytes);
  const file = (name: string) => {
    const found = files.find((each) => each.name === name);
    if (found === undefined) throw new Error(`it has no ${name}`);
    return found.data;
  };
  return addImage({
    manifest: new TextDecoder().decode(file('manifest.json')),
    vmlinuz: file('vmlinuz'),
    initrd: file('initrd'),
    disk: files.find(({ name }) => name === 'disk')?.data,
  });
}
