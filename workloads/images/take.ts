/** Takes files out of unpacked packages: those that a recipe names, and the shared libraries that they need. */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename, dirname, join, normalize } from 'node:path';
import { md5 } from './digest.ts';
import { readNeeds } from './elf.ts';
import type { Recipe } from './recipe.ts';
import { UserError } from './user-error.ts';

/** A file that was taken. */
export interface TakenFile {
  /** Where it is to lie in the guest, relative to the root. */
  readonly path: string;
  readonly data: Uint8Array;
  readonly package: string;
  /** Where the package has it. */
  readonly source: string;
  /** As the package itself lists it. */
  readonly md5: string;
}

/** Gives the folder that a package was unpacked to: its files are below `files`, its control files below `control`. */
export type Unpacked = (packageName: string) => Promise<string>;

/** Where Debian's packages have shared libraries, with and without the merger of / and /usr. */
const libraryFolders = ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu', 'usr/lib64', 'lib64'];

/** Takes the files that the recipe names under `key`, each checked against the package's own MD5 list. */
export async function takeFiles(
  recipe: Recipe,
  key: 'files' | 'programs',
  unpacked: Unpacked,
): Promise<TakenFile[]> {
  const taken: TakenFile[] = [];
  for (const [packageName, paths] of Object.entries(recipe[key])) {
    const folder = await unpacked(packageName);
    for (const path of paths) {
      const file = await take(folder, packageName, path, path);
      if (file === undefined) {
        throw new UserError({
          file: recipe.file,
          place: `${key}.${packageName}`,
          cause: `the package has no file ${path}`,
          remedy: `see 'dpkg-deb -c' of the package for the paths that it has`,
        });
      }
      taken.push(file);
    }
  }
  return taken;
}

/** Takes what these programs, and the libraries themselves, need out of the recipe's packages of libraries. */
export async function takeLibraries(
  recipe: Recipe,
  programs: readonly TakenFile[],
  unpacked: Unpacked,
): Promise<TakenFile[]> {
  const places = await libraryPlaces(recipe.libraries, unpacked);
  const taken = new Map<string, TakenFile>();
  const open = [...programs];
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    const { interpreter, libraries } = readNeeds(file.data);
    const needed = libraries.map((name) => ({ name, path: undefined as string | undefined }));
    if (interpreter !== undefined) needed.push({ name: basename(interpreter), path: interpreter.slice(1) });
    for (const { name, path } of needed) {
      if (taken.has(name)) continue;
      const place = places.get(name);
      const found =
        place &&
        (await take(place.folder, place.packageName, place.source, path ?? `${libraryFolders[0]}/${name}`));
      if (!found) {
        throw new UserError({
          file: recipe.file,
          place: 'libraries',
          cause: `none of these packages has ${name}, which ${file.path} needs`,
          remedy: 'add the package that has it',
        });
      }
      taken.set(name, found);
      open.push(found);
    }
  }
  return [...taken.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

interface Place {
  folder: string;
  packageName: string;
  /** Path in the package. */
  source: string;
}

/** Where the packages have each shared library, by the library's name; of several, the first. */
async function libraryPlaces(packages: readonly string[], unpacked: Unpacked): Promise<Map<string, Place>> {
  const places = new Map<string, Place>();
  for (const packageName of packages) {
    const folder = await unpacked(packageName);
    for (const each of libraryFolders) {
      const names = await readdir(join(folder, 'files', each)).catch(() => []);
      for (const name of names) {
        if (!places.has(name)) places.set(name, { folder, packageName, source: `${each}/${name}` });
      }
    }
  }
  return places;
}

/** Takes one file, following symbolic links within the package; undefined when the package lists no such file. */
async function take(
  folder: string,
  packageName: string,
  source: string,
  path: string,
): Promise<TakenFile | undefined> {
  const sums = await readFile(join(folder, 'control', 'md5sums'), 'utf8');
  let real = source;
  for (
    let target = await linkTarget(folder, real);
    target !== undefined;
    target = await linkTarget(folder, real)
  ) {
    real = target;
  }
  const sum = sums
    .split('\n')
    .find((line) => line.slice(34) === real)
    ?.slice(0, 32);
  const data = await readFile(join(folder, 'files', real)).catch(() => undefined);
  if (sum === undefined || data === undefined) return undefined;
  if (md5(data) !== sum) throw new Error(`${real} is not as ${packageName} lists it`);
  return { path, data, package: packageName, source: real, md5: sum };
}

/** What a symbolic link of a package points to, relative to the root; undefined when there is none of that name. */
async function linkTarget(folder: string, path: string): Promise<string | undefined> {
  const target = await readlink(join(folder, 'files', path)).catch(() => undefined);
  if (target === undefined) return undefined;
  return target.startsWith('/') ? normalize(target.slice(1)) : normalize(join(dirname(path), target));
}
