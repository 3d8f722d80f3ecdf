// Tells the result of a test run from its log, which has ava's report in it: prints "N passed, N failed" and exits
// accordingly. A run that ended badly, or in which no test passed, has failed whatever it counted.
import { readFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';

const [file, status] = process.argv.slice(2);
const lines = stripVTControlCharacters(readFileSync(file, 'utf8')).split('\n');
// Ava gives the sum of the tests that passed only when none failed, but each has its line.
const passed = lines.filter((line) => /^\s+[✔√] /.test(line)).length;

/** The sum of what the closing lines of the report count under these words. */
function sum(words) {
  const counts = lines.map((line) => new RegExp(`^\\s+(\\d+) (?:${words})$`).exec(line)?.[1] ?? 0);
  return counts.reduce((total, count) => total + Number(count), 0);
}

const counted = sum(
  'tests? failed|hooks? failed|unhandled rejections?|uncaught exceptions?|tests? remained pending after a timeout',
);
const failed = counted === 0 && (status !== '0' || passed === 0) ? 1 : counted;
const skipped = sum('tests? skipped');
console.log(`${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`);
process.exitCode = failed === 0 ? 0 : 1;
