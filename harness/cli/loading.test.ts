import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const entry = fileURLToPath(new URL('pagefold.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pagefold-compiled-'));
test.after.always(() => rmSync(folder, { recursive: true }));
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));

/** Starts the command for as little as it does, with its cache there. */
function start(cache: string, environment: NodeJS.ProcessEnv = {}) {
  const { NODE_COMPILE_CACHE: _, ...inherited } = process.env;
  const { status, stdout, stderr } = spawnSync(process.execPath, [entry, '--version'], {
    env: { ...inherited, PAGEFOLD_CACHE: cache, ...environment },
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

const entriesIn = (cache: string) =>
  globSync('compiled/*/*', { cwd: cache }).map((file) => join(cache, file));
const well = { status: 0, stdout: `${version}\n`, stderr: '' };

/** What Node tells of its cache in a start. */
const told = (cache: string) => start(cache, { NODE_DEBUG_NATIVE: 'COMPILE_CACHE' }).stderr;
const taken = [
  /code cache for ESM \S+\/main\.ts was accepted/,
  /transpile cache for StrippedTypeScript \S+\/main\.ts\.\.\.success/,
];

test('a second start takes what the first has compiled', (t) => {
  const cache = join(folder, 'kept');
  t.deepEqual(start(cache), well);
  t.true(entriesIn(cache).length > 0);
  for (const each of taken) t.regex(told(cache), each);
});

test('a cache that cannot be written changes nothing', (t) => {
  const file = join(folder, 'file');
  writeFileSync(file, '');
  t.deepEqual(start(join(file, 'cache')), well);
});

test('damaged entries are made anew', (t) => {
  const cache = join(folder, 'damaged');
  start(cache);
  for (const file of entriesIn(cache)) truncateSync(file, Math.floor(statSync(file).size / 2));
  t.deepEqual(start(cache), well);
  for (const each of taken) t.regex(told(cache), each);
});

test("the user's own folder for what Node compiles is taken", (t) => {
  const own = join(folder, 'own');
  const cache = join(folder, 'other');
  t.deepEqual(start(cache, { NODE_COMPILE_CACHE: own }), well);
  t.deepEqual(entriesIn(cache), []);
  t.true(globSync('*/*', { cwd: own }).length > 0);
});

test('nothing of what commands do is loaded before one is chosen', (t) => {
  const told = join(folder, 'told.mjs');
  writeFileSync(
    told,
    `import { registerHooks } from 'node:module';
     registerHooks({ load: (url, context, next) => (console.error(url), next(url, context)) });`,
  );
  const { stderr } = spawnSync(process.execPath, ['--import', told, entry, '--version'], {
    encoding: 'utf8',
  });
  t.regex(stderr, /\/harness\/cli\/main\.ts$/m);
  t.deepEqual(stderr.match(/^.*\/(?:hypervisor|zod|yaml|vega|@resvg)\/.*$/gm), null);
});
