import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { openApt, parseRecord } from './apt.ts';
import { exportImage, importImage } from './archive.ts';
import { buildImage } from './build.ts';
import { cacheFolder } from './cachefolder.js';
import { sha256 } from './digest.ts';
import { readRecipe } from './recipe.ts';
import { resolveImage } from './resolve.ts';
import { type Image, imageDigests, withTemporaryFolder } from './store.ts';

// These tests build real images from Debian's packages, in a cache of their own.
const folder = mkdtempSync(join(tmpdir(), 'pagefold-images-'));
const useCache = (name: string) => Object.assign(process.env, { PAGEFOLD_CACHE: join(folder, name) });
let image: Image;

test.before(async () => {
  useCache('cache');
  image = await resolveImage('debian-busybox');
});
test.after.always(() => rm(folder, { recursive: true, force: true }));

test('the cache is where the environment says', (t) => {
  t.is(cacheFolder({ PAGEFOLD_CACHE: '/a', XDG_CACHE_HOME: '/b' }), '/a');
  t.is(cacheFolder({ XDG_CACHE_HOME: '/b' }), '/b/pagefold');
  t.regex(cacheFolder({}), /\/\.cache\/pagefold$/);
});

test.serial('an image has its digest by the content of its manifest, and that names all else', async (t) => {
  const { manifest, digest, kernel, initrd } = image;
  t.is(sha256(await readFile(join(kernel, '../manifest.json'))), digest);
  t.is(sha256(await readFile(kernel)), manifest.files.vmlinuz.sha256);
  t.is(sha256(await readFile(initrd)), manifest.files.initrd.sha256);
  t.regex(manifest.kernelRelease, /^\d+\.\d+.*-cloud-amd64$/);
  const names = manifest.packages.map(({ name }) => name);
  t.deepEqual(names, ['busybox-static', `linux-image-${manifest.kernelRelease}`, 'linux-image-cloud-amd64']);
  t.deepEqual(
    manifest.contents.map(({ path, package: from }) => [path, from]),
    [['/bin/busybox', 'busybox-static']],
  );
  t.true(manifest.modules.indexOf('virtio_ring') < manifest.modules.indexOf('virtio_balloon'));
});

test.serial('an image in the cache is not built again', async (t) => {
  const steps: string[] = [];
  const again = await resolveImage('debian-busybox', (line) => steps.push(line));
  t.is(again.digest, image.digest);
  t.deepEqual(steps, []);
});

test.serial(
  'when the recipe changes the image is built anew, and the same recipe gives the same image',
  async (t) => {
    const recipe = await readRecipe('debian-busybox');
    const other = await buildImage(
      { ...recipe, digest: sha256('other'), initScript: '#!/bin/sh\n' },
      () => {},
    );
    t.not(other.digest, image.digest);
    t.is((await resolveImage(`debian-busybox@${other.digest.slice(0, 8)}`)).digest, other.digest);
    const steps: string[] = [];
    t.is((await resolveImage('debian-busybox', (line) => steps.push(line))).digest, image.digest);
    t.true(steps.length > 0, 'it was built');
    t.deepEqual(await imageDigests(), [image.digest, other.digest].sort());
    t.deepEqual((await readdir(cacheFolder())).sort(), ['images', 'names'], 'nothing else is left behind');
  },
);

test.serial('an exported image is imported elsewhere as the same image', async (t) => {
  const file = join(folder, 'image.tar');
  await exportImage(image, file);
  const bytes = await readFile(file);
  await exportImage(image, file);
  t.true(bytes.equals(await readFile(file)));
  await elsewhere(async () => {
    const { image: imported, named } = await importImage(file);
    t.true(named);
    t.is(imported.digest, image.digest);
    t.is((await resolveImage('debian-busybox')).kernel, imported.kernel);
  });
});

test.serial('an archive with one wrong byte, or cut short, or of something else is refused', async (t) => {
  const file = join(folder, 'damaged.tar');
  await exportImage(image, file);
  const bytes = await readFile(file);
  await elsewhere(async () => {
    const refused = async (content: Uint8Array, cause: RegExp) => {
      await writeFile(file, content);
      const error = await t.throwsAsync(() => importImage(file), { name: 'UserError' });
      t.true(error.message.startsWith(`${file}: this is not an image archive, or a damaged one: `));
      t.regex(error.message, cause);
    };
    const wrong = Buffer.from(bytes);
    wrong[5_000_000]! ^= 1;
    await refused(wrong, /vmlinuz is not the file that the manifest names/);
    await refused(bytes.subarray(0, 1_000_000), /ends inside 'vmlinuz'/);
    await refused(new TextEncoder().encode('hello'), /ends at byte 5/);
    await refused(new Uint8Array(1024), /it has no manifest\.json/);
    t.deepEqual(await imageDigests(), []);
  });
  await t.throwsAsync(() => importImage(join(folder, 'missing')), { name: 'UserError', message: /ENOENT/ });
});

test.serial('a damaged image in the cache is told, with the remedy', async (t) => {
  const file = join(folder, 'good.tar');
  await exportImage(image, file);
  await elsewhere(async () => {
    const { image: imported } = await importImage(file);
    await writeFile(imported.initrd, 'x');
    await t.throwsAsync(() => resolveImage('debian-busybox'), {
      name: 'UserError',
      message: /the cached image is damaged: initrd was changed\. Remedy: remove this folder/,
    });
  });
});

test.serial('programs come with the libraries that they need, and an image may have a disk', async (t) => {
  const recipe = { ...(await readRecipe('debian-redis-disk')), fileSet: { files: 2, pages: 3 } };
  const built = await buildImage(recipe, () => {});
  const from = (path: string) => built.manifest.contents.find((each) => each.path === path)?.package;
  t.is(from('/usr/bin/redis-benchmark'), 'redis-tools');
  t.is(from('/usr/lib/x86_64-linux-gnu/libjemalloc.so.2'), 'libjemalloc2');
  // Needed by a library only.
  t.is(from('/lib/x86_64-linux-gnu/libgpg-error.so.0.33.1')?.replace(/\d+$/, ''), 'libgpg-error');
  t.true(built.manifest.modules.includes('erofs'));
  const disk = await readFile(built.disk!);
  t.is(sha256(disk), built.manifest.files.disk!.sha256);
  const file = join(folder, 'disk.tar');
  await exportImage(built, file);
  await elsewhere(async () => {
    const { image: imported } = await importImage(file);
    t.is(imported.digest, built.digest);
    t.true(disk.equals(await readFile(imported.disk!)));
    await writeFile(imported.disk!, 'x');
    await t.throwsAsync(() => resolveImage(`debian-redis-disk@${built.digest}`), {
      message: /the cached image is damaged: disk was changed/,
    });
  });
  const libraries = recipe.libraries.filter((name) => name !== 'libgpg-error0');
  await t.throwsAsync(() => buildImage({ ...recipe, libraries }, () => {}), {
    name: 'UserError',
    message:
      /^debian-redis-disk\.yaml: libraries: none of these packages has libgpg-error\.so\.0, which .*libgcrypt/,
  });
});

test.serial('what a killed build left in the cache is removed by the next', async (t) => {
  await elsewhere(async () => {
    const { pid } = spawnSync('true');
    await mkdir(join(cacheFolder(), `.temporary-${pid}-abc/packages`), { recursive: true });
    await mkdir(join(cacheFolder(), `.temporary-${process.pid}-abc`));
    await withTemporaryFolder(async () => {});
    t.deepEqual(await readdir(cacheFolder()), [`.temporary-${process.pid}-abc`]);
  });
});

test.serial('a content that the cache lacks is told, with the remedy', async (t) => {
  await t.throwsAsync(() => resolveImage('debian-busybox@0000000'), {
    name: 'UserError',
    message: /^debian-busybox@0000000: the cache has no image of this content\. Remedy: import it/,
  });
});

test.serial('a package that the archive lacks is named, with the remedy', async (t) => {
  const recipe = await readRecipe('debian-busybox');
  await t.throwsAsync(() => buildImage({ ...recipe, kernel: 'linux-image-imaginary' }, () => {}), {
    name: 'UserError',
    message: /^linux-image-imaginary: .* no package of this name for amd64.*\. Remedy: /,
  });
});

test.serial('a file that a package lacks is named', async (t) => {
  const recipe = { ...(await readRecipe('debian-busybox')), files: { 'busybox-static': ['bin/fish'] } };
  await t.throwsAsync(() => buildImage(recipe, () => {}), {
    name: 'UserError',
    message: /^debian-busybox\.yaml: files\.busybox-static: the package has no file bin\/fish\. Remedy: /,
  });
});

test('a record of the package lists is read, folded lines and all', (t) => {
  const text =
    'Package: aa\nVersion: 1:2-3\nPre-Depends: pp (>= 1)\nDepends: bb (= 1), cc | dd,\n e+:any\nDescription: x\n Depends: no\n\nPackage: zz\n';
  t.deepEqual(parseRecord(text), { name: 'aa', version: '1:2-3', depends: ['pp', 'bb', 'cc', 'e+'] });
});

test.serial('apt keeps to a state of its own', async (t) => {
  const own = join(folder, 'apt');
  const apt = await openApt(own);
  t.is((await apt.look('busybox-static')).name, 'busybox-static');
  const lists = await readdir(join(own, 'state', 'lists'));
  t.true(lists.some((name) => name.includes('Packages')));
});

/** Runs `work` with an empty cache. */
async function elsewhere(work: () => Promise<void>): Promise<void> {
  useCache('elsewhere');
  try {
    await work();
  } finally {
    await rm(cacheFolder(), { recursive: true, force: true });
    useCache('cache');
  }
}
