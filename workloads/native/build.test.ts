/** The programs in the repository are those that their sources give. */
import { readFile } from 'node:fs/promises';
import test from 'ava';
import { run } from '../images/command.ts';
import { sha256 } from '../images/digest.ts';
import { buildProgram, digestsFile, programs } from './build.ts';

/** The compiler that the programs in the repository were built by: Debian 12's. Another gives other bytes. */
const compiler = '12.2.0-14+deb12u1';

const at = (file: string) => new URL(`../${file}`, import.meta.url);
const names = Object.keys(programs) as (keyof typeof programs)[];

const version = await run('gcc', ['--version']).then(
  ({ stdout }) => stdout,
  () => '',
);
const testBuilding = version.includes(compiler) && process.arch === 'x64' ? test : test.skip;

test('the programs are those that the list of digests names', async (t) => {
  const lines = await Promise.all(
    names.map(async (name) => `${sha256(await readFile(at(programs[name].file)))}  ${programs[name].file}`),
  );
  const listed = (await readFile(at(digestsFile), 'utf8')).trim().split('\n');
  t.deepEqual(listed.sort(), lines.sort());
});

for (const name of names) {
  testBuilding(`${name} is built anew to the same bytes`, async (t) => {
    const built = await buildProgram(name);
    t.is(sha256(built), sha256(await readFile(at(programs[name].file))));
    t.true(built.length < 32 * 1024);
  });
}
