/**
 * The cache of guest images: `images/DIGEST/` holds an image's manifest, kernel and initrd; `names/NAME` the
 * digest that the name stands for at present. An image appears whole or not at all.
 */
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from './cachefolder.js';
import { sha256 } from './digest.ts';
import { describeFile, type Manifest, parseManifest } from './manifest.ts';
import { UserError } from './user-error.ts';

/** An image in the cache. */
export interface Image {
  name: string;
  /** SHA-256 of its manifest's file. */
  digest: string;
  /** Path of the kernel (bzImage). */
  kernel: string;
  /** Path of the initramfs. */
  initrd: string;
  /** Path of the read-only disk, of images that have one: it is to be the machine's first. */
  disk?: string;
  manifest: Manifest;
}

/** The bytes of an image that is not in the cache yet. */
export interface ImageContent {
  /** The text of its manifest's file. */
  manifest: string;
  vmlinuz: Uint8Array;
  initrd: Uint8Array;
  disk?: Uint8Array | undefined;
}

/** The files of an image besides its manifest. */
export const imageFiles = ['vmlinuz', 'initrd', 'disk'] as const;

const imagesFolder = () => join(cacheFolder(), 'images');
const imageFolder = (digest: string) => join(imagesFolder(), digest);
const temporary = '.temporary-';
const nameFile = (name: string) => join(cacheFolder(), 'names', name);

/** Calls `work` with a new folder in the cache, which is removed afterwards. */
export async function withTemporaryFolder<Result>(
  work: (folder: string) => Promise<Result>,
): Promise<Result> {
  const cache = cacheFolder();
  const folder = await mkdir(cache, { recursive: true })
    .then(() => removeLeftovers(cache))
    .then(() => mkdtemp(join(cache, `${temporary}${process.pid}-`)))
    .catch((error: Error) => {
      throw new UserError({
        file: cache,
        cause: `the image cache cannot be written (${error.message})`,
        remedy: 'set PAGEFOLD_CACHE to a folder that can',
      });
    });
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Removes the temporary folders of processes that were killed. */
async function removeLeftovers(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (!name.startsWith(temporary)) continue;
    const owner = Number.parseInt(name.slice(temporary.length), 10);
    if (!isAlive(owner)) await rm(join(cache, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Writes a file under a temporary name and renames it when whole. */
export async function writeWhole(file: string, data: Uint8Array | string): Promise<void> {
  const temporary = `${file}.${process.pid}.part`;
  try {
    await writeFile(temporary, data);
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Puts an image into the cache. Throws an Error when its files are not those that the manifest names. */
export async function addImage(content: ImageContent): Promise<Image> {
  const manifest = parseManifest(content.manifest);
  for (const name of imageFiles) {
    const described = content[name] === undefined ? undefined : describeFile(content[name]);
    const expected = manifest.files[name];
    if (described?.sha256 !== expected?.sha256 || described?.bytes !== expected?.bytes) {
      throw new Error(`${name} is not the file that the manifest names`);
    }
  }
  const digest = sha256(content.manifest);
  await withTemporaryFolder(async (folder) => {
    await writeFile(join(folder, 'manifest.json'), content.manifest);
    for (const name of imageFiles) {
      if (content[name] !== undefined) await writeFile(join(folder, name), content[name]);
    }
    await mkdir(imagesFolder(), { recursive: true });
    await rename(folder, imageFolder(digest)).catch((error: NodeJS.ErrnoException) => {
      // The same image is there already: a digest names one content.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  });
  return readImage(digest);
}

/** Lets `name` stand for the image of that digest. */
export async function nameImage(name: string, digest: string): Promise<void> {
  await mkdir(join(cacheFolder(), 'names'), { recursive: true });
  await writeWhole(nameFile(name), `${digest}\n`);
}

/** The digest that `name` stands for, or undefined when it stands for none. */
export async function namedDigest(name: string): Promise<string | undefined> {
  const text = await readFile(nameFile(name), 'utf8').catch(ignoreMissing);
  return text?.trim();
}

/** The digests of all images in the cache, sorted. */
export async function imageDigests(): Promise<string[]> {
  const names = (await readdir(imagesFolder()).catch(ignoreMissing)) ?? [];
  return names.filter((name) => /^[0-9a-f]{64}$/.test(name)).sort();
}

/** Reads an image and checks every byte against its digest. Throws {@link UserError} when it is damaged. */
export async function readImage(digest: string): Promise<Image> {
  const { manifest: text } = await readContent(digest);
  const manifest = parseManifest(text);
  const folder = imageFolder(digest);
  return {
    name: manifest.name,
    digest,
    kernel: join(folder, 'vmlinuz'),
    initrd: join(folder, 'initrd'),
    ...(manifest.files.disk === undefined ? {} : { disk: join(folder, 'disk') }),
    manifest,
  };
}

/** The bytes of an image in the cache, checked. */
export async function readContent(digest: string): Promise<ImageContent> {
  const folder = imageFolder(digest);
  const damaged = (cause: string) =>
    new UserError({
      file: folder,
      cause: `the cached image is damaged: ${cause}`,
      remedy: "remove this folder; 'pagefold guest build' makes the image anew",
    });
  const read = (file: string) =>
    readFile(join(folder, file)).catch(() => {
      throw damaged(`${file} cannot be read`);
    });
  const manifestBytes = await read('manifest.json');
  if (sha256(manifestBytes) !== digest) throw damaged('manifest.json was changed');
  const { files } = parseManifest(manifestBytes.toString());
  const readFileOf = async (name: (typeof imageFiles)[number]) => {
    const bytes = await read(name);
    if (sha256(bytes) !== files[name]?.sha256) throw damaged(`${name} was changed`);
    return bytes;
  };
  return {
    manifest: manifestBytes.toString(),
    vmlinuz: await readFileOf('vmlinuz'),
    initrd: await readFileOf('initrd'),
    disk: files.disk === undefined ? undefined : await readFileOf('disk'),
  };
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
  return undefined;
}
