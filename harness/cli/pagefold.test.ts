import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const entry = fileURLToPath(new URL('pagefold.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pagefold-entry-'));
test.after.always(() => rmSync(folder, { recursive: true }));

/** A preloaded module by which this Node takes itself for an older one. */
const older = join(folder, 'older.mjs');
writeFileSync(older, "Object.defineProperty(process.versions, 'node', { value: '18.20.0' });\n");

/** Makes a checkout with the entry alone, and, when there is a script, a Node of that version which runs it. */
function checkout(name: string, version = '26.0.0', script?: string): string {
  const root = join(folder, name);
  mkdirSync(join(root, 'harness/cli'), { recursive: true });
  copyFileSync(entry, join(root, 'harness/cli/pagefold.js'));
  writeFileSync(join(root, 'package.json'), '{ "type": "module" }');
  if (script !== undefined) {
    const dependency = join(root, `node_modules/node-${process.platform}-${process.arch}`);
    mkdirSync(join(dependency, 'bin'), { recursive: true });
    writeFileSync(join(dependency, 'package.json'), JSON.stringify({ version }));
    writeFileSync(join(dependency, 'bin/node'), `#!/bin/sh\n${script}\n`);
    chmodSync(join(dependency, 'bin/node'), 0o755);
  }
  return join(root, 'harness/cli/pagefold.js');
}

test('an older Node hands arguments over to the Node among the dependencies, and takes its exit status', (t) => {
  const file = checkout('status', '26.0.0', 'echo "$1 $2 $3"; shift 4; echo "$#: $*"; exit 7');
  const { status, stdout } = spawnSync(process.execPath, ['--import', older, file, 'boot', 'a b'], {
    encoding: 'utf8',
  });
  t.deepEqual(
    { status, stdout },
    { status: 7, stdout: '--no-wasm-inlining --v8-pool-size=1 --wasm-tiering-budget=600000\n2: boot a b\n' },
  );
});

test('a signal is passed on, and its status comes back', async (t) => {
  const file = checkout(
    'signal',
    '26.0.0',
    'echo ready; trap "echo got it; exit 9" TERM; i=0; while [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done',
  );
  const child = spawn(process.execPath, ['--import', older, file], { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.on('data', (chunk) => {
    if (printed === '') setTimeout(() => child.kill('SIGTERM'), 100);
    printed += chunk;
  });
  const [status] = await once(child, 'close');
  t.is(status, 9);
  t.is(printed, 'ready\ngot it\n');
});

test('a Node that a signal ends gives the status that a shell gives', (t) => {
  const file = checkout('killed', '26.0.0', 'kill -KILL $$');
  t.is(spawnSync(process.execPath, ['--import', older, file]).status, 137);
});

for (const [title, file] of [
  ['without a Node among the dependencies', checkout('none')],
  ['when the Node among the dependencies is too old as well', checkout('old', '22.0.0', 'exit 0')],
] as const) {
  test(`an older Node says what is missing ${title}`, (t) => {
    const { status, stderr } = spawnSync(process.execPath, ['--import', older, file], { encoding: 'utf8' });
    t.is(status, 2);
    t.regex(
      stderr,
      /^pagefold: node: this is Node 18\.20\.0, pagefold needs 24 or newer.*Remedy: run 'npm ci'/,
    );
  });
}
