import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { table } from './style.ts';

const entry = fileURLToPath(new URL('pagefold.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pagefold-main-'));
test.after.always(() => rmSync(folder, { recursive: true }));

function pagefold(words: readonly string[], environment: NodeJS.ProcessEnv = {}, node = process.execPath) {
  const { status, stdout, stderr } = spawnSync(node, [entry, ...words], {
    env: { ...process.env, PAGEFOLD_CACHE: join(folder, 'cache'), ...environment },
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { status, stdout, stderr };
}

test('--version tells the version of the package', (t) => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  t.deepEqual(pagefold(['--version']), { status: 0, stdout: `${version}\n`, stderr: '' });
});

const withHelp = ['', 'run', 'report', 'check', 'density', 'boot', 'guest'];
const guestCommands = ['build', 'list', 'show', 'export', 'import'].map((each) => `guest ${each}`);
for (const command of [...withHelp, ...guestCommands]) {
  const words = `${command} --help`.trim();
  test(`${words} has examples, and no colours when it goes to a pipe`, (t) => {
    const { status, stdout, stderr } = pagefold(words.split(' '));
    t.deepEqual({ status, stderr }, { status: 0, stderr: '' });
    t.true(stdout.startsWith('pagefold '));
    t.regex(stdout, new RegExp(`\nExamples:\n  pagefold ${command}`));
    t.false(stdout.includes('\x1b'));
  });
}

for (const words of [[], ['guest']]) {
  test(`'pagefold ${words.join(' ')}' is answered by its help, as a mistake`, (t) => {
    const { status, stdout, stderr } = pagefold(words);
    t.deepEqual({ status, stdout }, { status: 2, stdout: '' });
    t.is(stderr, pagefold([...words, '--help']).stdout);
  });
}

writeFileSync(join(folder, 'odd'), 'x');
writeFileSync(join(folder, 'disk'), new Uint8Array(512));
for (const [words, message] of [
  [['--out', 'x'], "command line: no command is given. Remedy: see 'pagefold --help'"],
  [['run', '--out'], "--out: its value is missing. Remedy: see 'pagefold run --help'"],
  [['rnu'], 'rnu: not understood. Remedy: did you mean run? '],
  [['run', '--polcy', 'ksm'], "--polcy: there is no such option here. Remedy: see 'pagefold run --help'"],
  [['density', '--polcy', 'ksm'], 'density: a scenario is missing. Remedy: '],
  [['guest', 'show'], "guest show: an image is missing. Remedy: see 'pagefold guest show --help'"],
  [['boto'], 'boto: not understood. Remedy: did you mean boot? '],
  [['guest', 'lst'], 'lst: not understood. Remedy: did you mean list? '],
  [
    ['guest', 'show', 'debian-bussybox'],
    'debian-bussybox: no guest image has this name. Remedy: did you mean ',
  ],
  [
    ['guest', 'import', join(folder, 'odd')],
    `${join(folder, 'odd')}: this is not an image archive, or a damaged one`,
  ],
  [['boot', '--memroy', '1G'], '--memroy: there is no such option here. Remedy: did you mean --memory? '],
  [['boot', '--memory=x'], '--memory x: not a size in whole bytes. Remedy: '],
  [['boot', '--cpus', '0'], '--cpus 0: not a whole number from 1 to 64. Remedy: '],
  [['boot', '--seed', '1', '--seed', '2'], '--seed: given more than once. Remedy: '],
  [['boot', '--image', 'x'], 'x: no guest image has this name. Remedy: '],
  [['boot', '--image', 'a', '--kernel', 'b'], '--kernel: an image brings a kernel of its own. Remedy: '],
  [['boot', '--kernel', join(folder, 'none')], `${join(folder, 'none')}: ENOENT`],
  [['boot', '--disk', join(folder, 'odd')], `${join(folder, 'odd')}: its size, 1 bytes, `],
  [['boot', '--lockstep', '--no-translate'], '--lockstep: it compares translated code with interpreted code'],
  [
    ['boot', '--lockstep', '--disk', join(folder, 'disk')],
    `${join(folder, 'disk')}: both machines of --lockstep`,
  ],
  [['boot', '--json', join(folder, 'none/x.json')], `${join(folder, 'none/x.json')}: ENOENT`],
] as const) {
  test(`'pagefold ${words.map((word) => word.replace(folder, '')).join(' ')}' is one message and status 2`, (t) => {
    const { status, stdout, stderr } = pagefold(words);
    t.deepEqual({ status, stdout }, { status: 2, stdout: '' });
    t.true(stderr.startsWith(`pagefold: ${message}`), stderr);
    t.regex(stderr, /Remedy: [^\n]*\.\n$/);
    t.is(stderr.split('\n').length, 2, 'one line');
  });
}

test('guest list names the recipes that have no image yet', (t) => {
  const { status, stdout } = pagefold(['guest', 'list'], { PAGEFOLD_CACHE: join(folder, 'empty') });
  t.is(status, 0);
  t.regex(stdout, /^debian-busybox +- +Debian cloud kernel, static BusyBox +not built$/m);
  t.deepEqual(readdirSync(join(folder, 'empty')), ['compiled'], 'looking makes no image');
});

test('a cache that cannot be written is told, with the remedy', (t) => {
  const cache = join(folder, 'odd/cache');
  const { status, stderr } = pagefold(['guest', 'build'], { PAGEFOLD_CACHE: cache });
  t.is(status, 2);
  t.true(stderr.startsWith(`pagefold: ${cache}: the image cache cannot be written (ENOTDIR`), stderr);
  t.regex(stderr, /Remedy: set PAGEFOLD_CACHE/);
});

test('a table becomes paragraphs where it does not fit', (t) => {
  const rows = [
    ['NAME', 'SIZE'],
    ['a', '1'],
    ['long-name', '2'],
  ];
  t.is(table(rows, 80), 'NAME       SIZE\na          1\nlong-name  2\n');
  t.is(table(rows, 10), 'NAME: a\nSIZE: 1\n\nNAME: long-name\nSIZE: 2\n');
});
