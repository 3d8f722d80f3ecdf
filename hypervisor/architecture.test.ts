/** Holds the rules of the house: who may import whom, and that a machine sees nothing but its own state. */
import { globSync, readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

/** For each folder, those it may import besides itself. What stands directly in `hypervisor/` may import all of it. */
const mayImport: Record<string, readonly string[]> = {
  'hypervisor/state': [],
  'hypervisor/wasm': ['hypervisor/state'],
  'hypervisor/clock': ['hypervisor/state'],
  'hypervisor/measures': ['hypervisor/state'],
  'hypervisor/memory': ['hypervisor/state', 'hypervisor/wasm'],
  'hypervisor/x86': ['hypervisor/state', 'hypervisor/wasm', 'hypervisor/memory'],
  'hypervisor/platform': ['hypervisor/state', 'hypervisor/x86', 'hypervisor/memory', 'hypervisor/clock'],
  'hypervisor/virtio': ['hypervisor/state', 'hypervisor/platform', 'hypervisor/memory', 'hypervisor/clock'],
  'hypervisor/ksm': [
    'hypervisor/state',
    'hypervisor/wasm',
    'hypervisor/memory',
    'hypervisor/clock',
    'hypervisor/measures',
  ],
  'hypervisor/balloon': ['hypervisor/state', 'hypervisor/virtio', 'hypervisor/clock'],
  'hypervisor/threads': ['hypervisor', 'hypervisor/*'],
  hypervisor: ['hypervisor/*'],
  workloads: [],
  harness: ['hypervisor', 'hypervisor/*', 'workloads', 'reports'],
  reports: [],
  bench: ['hypervisor', 'hypervisor/*', 'workloads', 'harness', 'reports'],
};

/** What `hypervisor/` may import from outside: nothing that tells one run from another. Disks and swap are files. */
const packagesOfHypervisor = ['node:crypto', 'node:fs', 'node:worker_threads', 'xxhash-wasm'];

const root = fileURLToPath(new URL('..', import.meta.url));
const files = globSync('{hypervisor,workloads,harness,reports,bench}/**/*.ts', { cwd: root }).sort();
const isTest = (file: string) => /\.test\.ts$|\/testing\/|^hypervisor\/x86\/vectors\//.test(file);
const productFiles = files.filter((file) => !isTest(file));
const hypervisorFiles = productFiles.filter((file) => file.startsWith('hypervisor/'));
const read = (file: string) => readFileSync(join(root, file), 'utf8');

/** A comment, a string, a template or a regular expression of TypeScript. */
const tokens =
  /\/\*[\s\S]*?\*\/|\/\/.*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|(?<=[=(,:!&|?]\s*)\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\//g;

/** The source with its comments blanked, and with its strings blanked too when `strings` is true. */
function withoutComments(source: string, strings: boolean): string {
  return source.replace(tokens, (token) => {
    const isComment = token.startsWith('//') || token.startsWith('/*');
    return isComment || strings ? token.replaceAll(/[^\n]/g, ' ') : token;
  });
}

/** What a source imports. */
function importsOf(source: string): string[] {
  const statements =
    /\b(?:import|export)\b[^'"`;()=]*?\bfrom\s*['"]([^'"]+)['"]|\bimport\s*\(?\s*['"]([^'"]+)['"]/g;
  return [...withoutComments(source, false).matchAll(statements)].map((match) => (match[1] ?? match[2])!);
}

/** The folder whose rule holds for a file: two levels in `hypervisor/`, one elsewhere. */
function folderOf(file: string): string {
  const parts = file.split('/');
  return parts[0] === 'hypervisor' && parts.length > 2 ? `hypervisor/${parts[1]}` : parts[0]!;
}

/** Why a file may not import that, or undefined when it may. */
function offence(file: string, imported: string): string | undefined {
  const folder = folderOf(file);
  if (!imported.startsWith('.')) {
    const allowed = folder.split('/')[0] !== 'hypervisor' || packagesOfHypervisor.includes(imported);
    return allowed ? undefined : `${file} imports the package ${imported}`;
  }
  const target = folderOf(normalize(join(file, '..', imported)));
  const rule = mayImport[folder] ?? [];
  const allowed =
    target === folder ||
    rule.includes(target) ||
    (rule.includes('hypervisor/*') && target.startsWith('hypervisor/'));
  return allowed ? undefined : `${file} imports ${imported}: ${folder} may not import ${target}`;
}

/** What would let a machine see the world: clocks, chance, the process, the environment, the locale. */
const worldly = [
  /(?<![.\w$#])(?<!new\s+)Date\s*\(|\bDate\s*\.\s*now\b|\bnew\s+Date\s*(?:\(\s*\)|[^\s(])/,
  // A date of the machine's own is no harm, but its local time is that of the world.
  /\.get(?:FullYear|Month|Date|Day|Hours|Minutes|Seconds|TimezoneOffset)\s*\(/,
  /(?<![.\w$#])(?:performance|process|navigator|localStorage|Intl)\s*[.[]/,
  /(?<![.\w$#])(?:setTimeout|setInterval|setImmediate|queueMicrotask|requestAnimationFrame|fetch)\s*\(/,
  /\bMath\s*(?:\.\s*random|\[)/,
  /\b(?:getRandomValues|randomUUID|randomBytes|randomInt|randomFillSync|hrtime)\b/,
  /\b(?:WeakRef|FinalizationRegistry|globalThis)\b/,
  /\.\s*(?:toLocale\w+|localeCompare)\s*\(/,
];

/** The lines of a source in which a machine would see the world. */
function worldlyLines(source: string): string[] {
  const lines = withoutComments(source, true).split('\n');
  return lines.flatMap((line, at) =>
    worldly.some((each) => each.test(line)) ? [`${at + 1}: ${line.trim()}`] : [],
  );
}

/** The exported functions, classes and types of a source that no doc comment stands before. */
function undocumented(source: string): string[] {
  const declaration = /^export (?:async |abstract |declare )*(?:function\*?|class|interface|type) (\w+)/;
  const lines = source.split('\n');
  return lines.flatMap((line, at) => {
    const name = declaration.exec(line)?.[1];
    if (name === undefined) return [];
    return lines[at - 1]?.endsWith('*/') ? [] : [`${at + 1}: ${name}`];
  });
}

test('every folder imports only what the design allows', (t) => {
  const offences = productFiles.flatMap((file) =>
    importsOf(read(file)).flatMap((imported) => offence(file, imported) ?? []),
  );
  t.deepEqual(offences, []);
  t.true(hypervisorFiles.length > 0);
});

test('every folder has a rule', (t) => {
  t.deepEqual(
    files.map(folderOf).filter((folder) => !(folder in mayImport)),
    [],
  );
});

test('nothing in a machine sees the wall clock, chance, the process or the locale', (t) => {
  const offences = hypervisorFiles.flatMap((file) =>
    worldlyLines(read(file)).map((line) => `${file}:${line}`),
  );
  t.deepEqual(offences, []);
});

test('every exported function, class and type of the hypervisor is documented', (t) => {
  const offences = hypervisorFiles.flatMap((file) =>
    undocumented(read(file)).map((line) => `${file}:${line}`),
  );
  t.deepEqual(offences, []);
});

test('the rules find what they forbid', (t) => {
  const imports =
    "import type { A } from './a.ts';\nexport * from '../b.ts';\nconst c = await import('node:fs');\n";
  t.deepEqual(importsOf(`// import 'no';\n/* from 'no' */ const s = "import 'no'";\n${imports}`).slice(-3), [
    './a.ts',
    '../b.ts',
    'node:fs',
  ]);
  t.is(offence('hypervisor/ksm/tree.ts', '../memory/frames.ts'), undefined);
  t.is(offence('hypervisor/guest.ts', './virtio/queue.ts'), undefined);
  t.regex(offence('hypervisor/memory/frames.ts', '../ksm/tree.ts') ?? '', /may not import hypervisor\/ksm/);
  t.regex(offence('hypervisor/ksm/tree.ts', 'node:os') ?? '', /the package node:os/);
  t.regex(offence('workloads/images/a.ts', '../../harness/cli/b.ts') ?? '', /may not import harness/);
  t.is(offence('harness/cli/b.ts', '../../hypervisor/guest.ts'), undefined);
  for (const line of [
    'const now = Date.now();',
    'x = new Date();',
    'x = new Date;',
    'x = Date();',
    'date.getHours()',
    'performance.now()',
    'setTimeout(f, 1)',
    'Math.random()',
    'process.env',
    'a.localeCompare(b)',
  ]) {
    t.is(worldlyLines(line).length, 1, line);
  }
  for (const line of [
    '// Date.now()',
    "'Date.now()'",
    'this.process(queue)',
    'this.#clock.now()',
    'update.x',
  ]) {
    t.deepEqual(worldlyLines(line), [], line);
  }
  t.deepEqual(undocumented('export function a() {}\n/** b */\nexport type b = 1;\n'), ['1: a']);
});
