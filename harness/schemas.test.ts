import { readFileSync } from 'node:fs';
import test from 'ava';
import { schemaFiles } from './schemas.ts';

for (const [file, text] of Object.entries(schemaFiles())) {
  test(`${file} is what 'npm run schemas' writes`, (t) => {
    t.is(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8'), text);
  });
}
