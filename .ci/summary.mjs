// Tells the result of a test run from its log, which has ava's TAP in it: prints "N passed, N failed" and exits
// accordingly. A run that ended badly, or in which no test ran, has failed whatever it counted.
import { readFileSync } from 'node:fs';

const [file, status] = process.argv.slice(2);
const lines = readFileSync(file, 'utf8').split('\n');
// TAP's own counts leave out what failed beside a test: an exception, a time-out. Its lines have all.
const results = lines
  .map((line) => /^(not ok|ok) \d+ - .*?( # SKIP)?$/.exec(line))
  .filter((match) => match !== null);
const skipped = results.filter(([, , skip]) => skip !== undefined).length;
const notOk = results.filter(([, verdict, skip]) => verdict === 'not ok' && skip === undefined).length;
const passed = results.length - notOk - skipped;
const failed = notOk === 0 && (status !== '0' || passed === 0) ? 1 : notOk;
console.log(`${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`);
process.exitCode = failed === 0 ? 0 : 1;
