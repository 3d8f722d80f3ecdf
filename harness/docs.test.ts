/** Tables in the documentation that say what the code says. */
import { readFileSync } from 'node:fs';
import test from 'ava';
import { COSTS } from '../hypervisor/clock/costs.ts';

test('docs/time.md lists the constants of the cost model as they are', (t) => {
  const rows = readFileSync(new URL('../docs/time.md', import.meta.url), 'utf8').split('\n');
  for (const [name, { value, meaning, basis, source }] of Object.entries(COSTS)) {
    const row = `| \`${name}\` | ${value.toLocaleString('en-US')} | ${meaning} | ${basis} | ${source} |`;
    t.true(rows.includes(row), `docs/time.md lacks the row: ${row}`);
  }
});
