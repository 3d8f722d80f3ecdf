import test from 'ava';
import { nearest } from './nearest.ts';
import { parseRecipe, readRecipe, recipeNames } from './recipe.ts';

test('every recipe that pagefold brings along can be read', async (t) => {
  const names = await recipeNames();
  t.deepEqual(names, [
    'debian-busybox',
    'debian-busybox-generic',
    'debian-busybox-rt',
    'debian-files',
    'debian-redis',
    'debian-redis-disk',
  ]);
  const recipes = await Promise.all(names.map(readRecipe));
  t.is(new Set(recipes.map(({ digest }) => digest)).size, names.length);
  t.deepEqual(
    recipes.map(({ kernel }) => kernel.replace(/^linux-image-/, '')),
    ['cloud-amd64', 'amd64', 'rt-amd64', 'cloud-amd64', 'cloud-amd64', 'cloud-amd64'],
  );
  t.deepEqual(recipes[1]!.files, recipes[0]!.files);
});

test('an unknown image is answered by the nearest name', async (t) => {
  await t.throwsAsync(() => readRecipe('debian-bussybox'), {
    message: /^debian-bussybox: no guest image has this name\. Remedy: did you mean debian-busybox\? /,
  });
});

test('a name that resembles none is answered by all of them', async (t) => {
  const error = await t.throwsAsync(() => readRecipe('../../etc/passwd'));
  t.notRegex(error.message, /did you mean/);
  t.regex(error.message, /Known images: debian-busybox, /);
});

const good = `
description: test
kernel: linux-image-amd64
files: {busybox-static: [bin/busybox]}
links: {}
texts: {}
directories: [proc]
modules: {load: [virtio_pci], available: []}
init: init
`;

test('a good recipe is taken as it is', (t) => {
  t.is(parseRecipe('x.yaml', good).kernel, 'linux-image-amd64');
});

test('a recipe that extends another has its keys but for its own', (t) => {
  const { kernel, init } = parseRecipe('x.yaml', 'extends: base\nkernel: linux-image-rt-amd64', good);
  t.deepEqual({ kernel, init }, { kernel: 'linux-image-rt-amd64', init: 'init' });
});

test('mappings are taken together key by key, through several recipes', (t) => {
  const middle = 'extends: base\nfiles: {dash: [bin/dash]}\nlinks: {bin/sh: dash}\nmodules: {load: [a, b]}';
  const { description, files, links, modules, directories } = parseRecipe(
    'x.yaml',
    'extends: middle\ndescription: mine\nlinks: {bin/ls: busybox}',
    middle,
    good,
  );
  t.deepEqual(
    { description, files, links, modules, directories },
    {
      description: 'mine',
      files: { 'busybox-static': ['bin/busybox'], dash: ['bin/dash'] },
      links: { 'bin/sh': 'dash', 'bin/ls': 'busybox' },
      modules: { load: ['a', 'b'], available: [] },
      directories: ['proc'],
    },
  );
});

test('a recipe changes with the files of its own', async (t) => {
  const { ownFiles, own } = await readRecipe('debian-redis');
  t.deepEqual([...ownFiles.keys()].sort(), Object.keys(own).sort());
  t.true(Object.keys(own).length > 2, 'those of the recipe that it extends are there');
  t.true(Buffer.from(ownFiles.get('usr/lib/pagefold/serve')!).toString().startsWith('#!'));
});

for (const [title, text, message] of [
  ['a key is misspelt', good.replace('links', 'linsk'), /^x\.yaml: .*linsk.*Remedy: /],
  [
    'a value has the wrong type',
    good.replace('[proc]', 'proc'),
    /^x\.yaml: line 7, directories: .*array.*Remedy: /,
  ],
  [
    'a package name is none',
    good.replace('linux-image-amd64', '"rm -rf /"'),
    /^x\.yaml: line 3, kernel: not the name/,
  ],
  [
    'a path is absolute',
    good.replace('bin/busybox', '/bin/busybox'),
    /^x\.yaml: line 4, .*not a path relative/,
  ],
  ['it is not YAML', '{', /^x\.yaml: line \d+: .*Remedy: mend the recipe/],
  ['it is empty', '', /^x\.yaml: description: .*Remedy: /],
] as const) {
  test(`a recipe is refused when ${title}`, (t) => {
    t.throws(() => parseRecipe('x.yaml', text), { name: 'UserError', message });
  });
}

test('the nearest name is at most a third of its letters away', (t) => {
  t.is(nearest('boto', ['boot', 'guest']), 'boot');
  t.is(nearest('gest', ['boot', 'guest']), 'guest');
  t.is(nearest('rnu', ['boot', 'run']), 'run', 'two letters swapped are one slip');
  t.is(nearest('xyzzy', ['boot', 'guest']), undefined);
});
