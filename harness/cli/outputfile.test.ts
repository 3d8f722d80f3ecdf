import { spawnSync } from 'node:child_process';
import {
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { mustBeWritable, writeOutput } from './outputfile.ts';

const folder = mkdtempSync(join(tmpdir(), 'pagefold-output-'));
test.after.always(() => rmSync(folder, { recursive: true }));

test('a file is made or replaced whole', async (t) => {
  const file = join(folder, 'figures.json');
  for (const text of ['first', 'second']) {
    mustBeWritable(file);
    await writeOutput(file, text);
    t.is(readFileSync(file, 'utf8'), text);
  }
  t.deepEqual(
    readdirSync(folder).filter((name) => name.endsWith('.part')),
    [],
  );
});

test('a link stays, and what it leads to is replaced', async (t) => {
  const [file, link] = [join(folder, 'target'), join(folder, 'link')];
  writeFileSync(file, 'old');
  symlinkSync(file, link);
  mustBeWritable(link);
  await writeOutput(link, 'new');
  t.true(lstatSync(link).isSymbolicLink());
  t.is(readFileSync(file, 'utf8'), 'new');
});

test('a pipe is written to and stays a pipe', async (t) => {
  const pipe = join(folder, 'pipe');
  t.is(spawnSync('mkfifo', [pipe]).status, 0);
  // Open both ways, so that nobody waits for the other end.
  const end = openSync(pipe, 'r+');
  mustBeWritable(pipe);
  await writeOutput(pipe, 'figures');
  t.true(lstatSync(pipe).isFIFO());
  const read = Buffer.alloc(100);
  t.is(read.toString('utf8', 0, readSync(end, read)), 'figures');
  closeSync(end);
});

test('a folder, and a file in none, are refused before anything runs', (t) => {
  mkdirSync(join(folder, 'inner'));
  const refused = { name: 'UserError', message: /: it is a folder\. Remedy: / };
  t.throws(() => mustBeWritable(join(folder, 'inner')), refused);
  t.throws(() => mustBeWritable(join(folder, 'none', 'file')), { name: 'UserError', message: /ENOENT/ });
});
