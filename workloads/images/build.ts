/**
 * Builds a guest image from its recipe: fetches the packages, unpacks them, and writes the initramfs. No step
 * needs root, and none runs anything out of a package.
 */
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Apt, type Architecture, type FetchedPackage, openApt } from './apt.ts';
import { run } from './command.ts';
import { type CpioEntry, writeCpio } from './cpio.ts';
import { md5 } from './digest.ts';
import { describeFile, formatManifest, type Manifest } from './manifest.ts';
import { type KernelModule, modulesAlias, modulesDep, selectModules } from './modules.ts';
import type { Recipe } from './recipe.ts';
import { addImage, type Image, nameImage, withTemporaryFolder } from './store.ts';
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
    const names = [...new Set([recipe.kernel, kernelName, ...Object.keys(recipe.files)])].sort();
    for (const name of names) await apt.look(name);
    progress(`${recipe.name}: fetching ${names.join(', ')}`);
    const packages = await apt.fetch(names, join(folder, 'packages'));
    progress(`${recipe.name}: writing kernel and initramfs`);
    const unpacked = async (name: string) => {
      return unpack(packages.find((each) => each.name === name)!, join(folder, name));
    };
    const taken = await takeFiles(recipe, unpacked);
    const kernel = await readKernel(await unpacked(kernelName), kernelName);
    const { load, available } = recipe.modules;
    const modules = await selectModules(kernel.modulesFolder, [...load, ...available], kernelName);
    const initrd = writeCpio([
      ...userland(recipe, modules),
      ...taken.map(({ entry }) => entry),
      ...moduleFiles(kernel.release, modules, await readFile(join(kernel.modulesFolder, 'modules.builtin'))),
    ]);
    const manifest: Manifest = {
      format: 1,
      name: recipe.name,
      recipe: recipe.digest,
      kernelRelease: kernel.release,
      packages: packages.map(({ file: _, ...described }) => described),
      contents: taken.map(({ content }) => content),
      modules: modules.map(({ name }) => name),
      files: { vmlinuz: describeFile(kernel.vmlinuz), initrd: describeFile(initrd) },
    };
    const image = await addImage({ manifest: formatManifest(manifest), vmlinuz: kernel.vmlinuz, initrd });
    await nameImage(recipe.name, image.digest);
    return image;
  });
}

/** Follows metapackages, such as linux-image-amd64, to the package that has the kernel in it. */
async function versionedKernel(apt: Apt, name: string): Promise<string> {
  const { depends } = await apt.look(name);
  const next = depends.find((each) => each.startsWith('linux-image-'));
  return next === undefined ? name : versionedKernel(apt, next);
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

/** Takes the recipe's files out of their packages, each checked against the package's own MD5 list. */
async function takeFiles(recipe: Recipe, unpacked: (packageName: string) => Promise<string>) {
  const taken: { entry: CpioEntry; content: Manifest['contents'][number] }[] = [];
  for (const [packageName, paths] of Object.entries(recipe.files)) {
    const folder = await unpacked(packageName);
    const sums = await readFile(join(folder, 'control', 'md5sums'), 'utf8');
    for (const path of paths) {
      const sum = sums
        .split('\n')
        .find((line) => line.slice(34) === path)
        ?.slice(0, 32);
      const data = await readFile(join(folder, 'files', path)).catch(() => undefined);
      if (sum === undefined || data === undefined) {
        throw new UserError({
          file: recipe.file,
          place: `files.${packageName}`,
          cause: `the package has no file ${path}`,
          remedy: `see 'dpkg-deb -c' of the package for the paths that it has`,
        });
      }
      if (md5(data) !== sum) throw new Error(`${path} is not as ${packageName} lists it`);
      taken.push({
        entry: { path, kind: 'file', mode: 0o755, data },
        content: { path: `/${path}`, package: packageName, md5: sum },
      });
    }
  }
  return taken;
}

const encode = (text: string) => new TextEncoder().encode(text);

/** What the recipe itself puts into the initramfs. */
function userland(recipe: Recipe, modules: readonly KernelModule[]): CpioEntry[] {
  const file = (path: string, text: string, mode = 0o644): CpioEntry => {
    return { path, kind: 'file', mode, data: encode(text) };
  };
  const names = new Set(modules.map(({ name }) => name));
  const loaded = recipe.modules.load
    .map((name) => name.replaceAll('-', '_'))
    .filter((name) => names.has(name));
  return [
    file('init', recipe.initScript, 0o755),
    file('etc/modules', `${loaded.join(' ')}\n`),
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
