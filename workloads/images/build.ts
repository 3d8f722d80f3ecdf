/**
 * Builds a guest image from its recipe: fetches the packages, unpacks them, and writes the initramfs. No step
 * needs root, and none runs anything out of a package.
 */
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Apt, type Architecture, type FetchedPackage, openApt } from './apt.ts';
import { run } from './command.ts';
import { type CpioEntry, writeCpio } from './cpio.ts';
import { writeErofs } from './erofs.ts';
import { fileSet, fileSetFolder } from './fileset.ts';
import { describeFile, formatManifest, type Manifest } from './manifest.ts';
import { type KernelModule, modulesAlias, modulesDep, selectModules } from './modules.ts';
import type { Recipe } from './recipe.ts';
import { addImage, type Image, nameImage, withTemporaryFolder } from './store.ts';
import { type TakenFile, takeFiles, takeLibraries, type Unpacked } from './take.ts';
import { UserError } from './user-error.ts';

/**
 * Builds the image from packages of that architecture, puts it into the cache and names it. `progress` is told each step, as a
 * line of text.
 */
export async function buildImage(
  recipe: Recipe,
  progress: (line: string) => void,
  architecture: Architecture = 'amd64',
): Promise<Image> {
  return withTemporaryFolder(async (folder) => {
    progress(`${recipe.name}: updating package lists`);
    const apt = await openApt(join(folder, 'apt'), architecture);
    const kernelName = await versionedKernel(apt, recipe.kernel);
    const { files, programs, libraries } = recipe;
    const wanted = [recipe.kernel, kernelName, ...Object.keys(files), ...Object.keys(programs), ...libraries];
    const names = [...new Set(wanted)].sort();
    for (const name of names) await apt.look(name);
    progress(`${recipe.name}: fetching ${names.join(', ')}`);
    const packages = await apt.fetch(names, join(folder, 'packages'));
    progress(`${recipe.name}: writing kernel and initramfs`);
    const unpacked = unpacker(packages, folder);
    const taken = await takeFiles(recipe, 'files', unpacked);
    const placed = await placedFiles(recipe, unpacked);
    const kernel = await readKernel(await unpacked(kernelName), kernelName);
    const { load, available } = recipe.modules;
    const loaded = [...load, ...(recipe.place === 'disk' ? [diskFilesystem] : [])];
    const modules = await selectModules(kernel.modulesFolder, [...loaded, ...available], kernelName);
    const onDisk = recipe.place === 'disk';
    const initrd = writeCpio([
      ...userland(recipe, loaded, modules),
      ...taken.map(({ path, data }) => executable(path, data)),
      ...placed.flatMap((file) => (onDisk ? linkToDisk(file) : [executable(file.path, file.data)])),
      ...moduleFiles(kernel.release, modules, await readFile(join(kernel.modulesFolder, 'modules.builtin'))),
    ]);
    const disk = onDisk
      ? writeErofs(placed.map(({ path, data }) => ({ path: diskPath(path), mode: 0o755, data })))
      : undefined;
    const packaged = [...taken, ...placed.flatMap(({ taken: file }) => file ?? [])];
    const manifest: Manifest = {
      format: 1,
      name: recipe.name,
      recipe: recipe.digest,
      kernelRelease: kernel.release,
      packages: packages.map(({ file: _, ...described }) => described),
      contents: packaged.map(({ source, package: from, md5 }) => ({
        path: `/${source}`,
        package: from,
        md5,
      })),
      modules: modules.map(({ name }) => name),
      files: {
        vmlinuz: describeFile(kernel.vmlinuz),
        initrd: describeFile(initrd),
        ...(disk === undefined ? {} : { disk: describeFile(disk) }),
      },
    };
    const image = await addImage({
      manifest: formatManifest(manifest),
      vmlinuz: kernel.vmlinuz,
      initrd,
      disk,
    });
    await nameImage(recipe.name, image.digest);
    return image;
  });
}

/** A file that lies where the recipe's `place` says. */
interface PlacedFile {
  /** Where programs expect it. */
  path: string;
  data: Uint8Array;
  /** Which file of a package it is, if it is one. */
  taken?: TakenFile;
}

/** The recipe's programs with their libraries, and its file set. */
async function placedFiles(recipe: Recipe, unpacked: Unpacked): Promise<PlacedFile[]> {
  const programs = await takeFiles(recipe, 'programs', unpacked);
  const taken = [...programs, ...(await takeLibraries(recipe, programs, unpacked))];
  const set = recipe.fileSet === undefined ? [] : fileSet(recipe.fileSet.files, recipe.fileSet.pages);
  return [
    ...taken.map((file) => ({ path: file.path, data: file.data, taken: file })),
    ...set.map(({ name, data }) => ({ path: `${fileSetFolder}/${name}`, data })),
  ];
}

/** Where the disk is mounted; its filesystem's module; the file by which init knows that there is one. */
const mountPoint = 'image';
const diskFilesystem = 'erofs';
const diskMarker = 'etc/disk';

/** Where the disk has a file that programs expect at `path`. */
function diskPath(path: string): string {
  return path.startsWith(`${mountPoint}/`) ? path.slice(mountPoint.length + 1) : path;
}

/** The link from where programs expect a file to where the disk has it; none for what is expected on the disk. */
function linkToDisk({ path }: PlacedFile): CpioEntry[] {
  const target = `/${mountPoint}/${diskPath(path)}`;
  return target === `/${path}` ? [] : [{ path, kind: 'symlink', target }];
}

function executable(path: string, data: Uint8Array): CpioEntry {
  return { path, kind: 'file', mode: 0o755, data };
}

/** Follows metapackages, such as linux-image-amd64, to the package that has the kernel in it. */
async function versionedKernel(apt: Apt, name: string): Promise<string> {
  const { depends } = await apt.look(name);
  const next = depends.find((each) => each.startsWith('linux-image-'));
  return next === undefined ? name : versionedKernel(apt, next);
}

/** Unpacks packages when they are first asked for. */
function unpacker(packages: readonly FetchedPackage[], folder: string): Unpacked {
  const done = new Map<string, Promise<string>>();
  return (name) => {
    const known = done.get(name);
    if (known !== undefined) return known;
    const folderOf = unpack(packages.find((each) => each.name === name)!, join(folder, name));
    done.set(name, folderOf);
    return folderOf;
  };
}

/** Unpacks a package's files below `folder`/files and its control files below `folder`/control. */
async function unpack({ name, file }: FetchedPackage, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const files = await run('dpkg-deb', ['-x', file, join(folder, 'files')]);
  const control = await run('dpkg-deb', ['-e', file, join(folder, 'control')]);
  if (files.status !== 0 || control.status !== 0) {
    throw new UserError({
      file: name,
      cause: `the package cannot be unpacked (${`${files.stderr}${control.stderr}`.trim()})`,
      remedy: 'make sure that the image cache has room, and build again',
    });
  }
  return folder;
}

/** Finds the kernel in its unpacked package. */
async function readKernel(folder: string, packageName: string) {
  const files = join(folder, 'files');
  const boot = await readdir(join(files, 'boot')).catch(() => []);
  const name = boot.find((each) => each.startsWith('vmlinuz-'));
  if (name === undefined) {
    throw new UserError({
      file: packageName,
      cause: 'the package has no kernel, /boot/vmlinuz-*',
      remedy: "name a Debian linux-image package as the recipe's 'kernel'",
    });
  }
  const release = name.slice('vmlinuz-'.length);
  // Where /lib is a link to /usr/lib, newer packages have their files in the latter.
  const places = [join(files, 'lib/modules', release), join(files, 'usr/lib/modules', release)];
  const found = await Promise.all(
    places.map((place) =>
      readdir(place).then(
        () => place,
        () => undefined,
      ),
    ),
  );
  const modulesFolder = found.find((place) => place !== undefined);
  if (modulesFolder === undefined) throw new Error(`${packageName} has no modules for ${release}`);
  return { release, vmlinuz: await readFile(join(files, 'boot', name)), modulesFolder };
}

const encode = (text: string) => new TextEncoder().encode(text);

/** What the recipe itself puts into the initramfs. */
function userland(recipe: Recipe, load: readonly string[], modules: readonly KernelModule[]): CpioEntry[] {
  const file = (path: string, text: string, mode = 0o644): CpioEntry => {
    return { path, kind: 'file', mode, data: encode(text) };
  };
  const names = new Set(modules.map(({ name }) => name));
  const loaded = load.map((name) => name.replaceAll('-', '_')).filter((name) => names.has(name));
  return [
    file('init', recipe.initScript, 0o755),
    file('etc/modules', `${loaded.join(' ')}\n`),
    ...(recipe.place === 'disk' ? [file(diskMarker, `/${mountPoint} ${diskFilesystem}\n`)] : []),
    ...(recipe.place === 'disk' ? [{ path: mountPoint, kind: 'directory', mode: 0o755 } as const] : []),
    ...[...recipe.ownFiles].map(([path, data]) => executable(path, data)),
    ...Object.entries(recipe.texts).map(([path, text]) => file(path, text)),
    ...Object.entries(recipe.links).map(([path, target]) => ({ path, kind: 'symlink', target }) as const),
    ...recipe.directories.map((path) => ({ path, kind: 'directory', mode: 0o755 }) as const),
    // The kernel opens the console for init before init can mount anything on /dev.
    { path: 'dev/console', kind: 'character device', mode: 0o600, major: 5, minor: 1 },
    { path: 'dev/null', kind: 'character device', mode: 0o666, major: 1, minor: 3 },
  ];
}

/** The modules below lib/modules, with the index files that modprobe reads. */
function moduleFiles(release: string, modules: readonly KernelModule[], builtin: Uint8Array): CpioEntry[] {
  const file = (path: string, data: Uint8Array): CpioEntry => {
    return { path: `lib/modules/${release}/${path}`, kind: 'file', mode: 0o644, data };
  };
  return [
    ...modules.map(({ path, data }) => file(path, data)),
    file('modules.dep', encode(modulesDep(modules))),
    file('modules.alias', encode(modulesAlias(modules))),
    file('modules.builtin', builtin),
  ];
}
