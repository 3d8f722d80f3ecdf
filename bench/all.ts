/** `npm run bench`: the suites of this folder that take seconds, one after the other, each in a process of its own. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The engine's parts, boots, same-page merging beside Linux's, what host memory costs. */
const suites = ['parts.ts', 'run.ts', 'ksm.ts', 'memory.ts'];

for (const suite of suites) {
  console.log(suite);
  const file = fileURLToPath(new URL(suite, import.meta.url));
  const { status } = spawnSync(process.execPath, [...process.execArgv, file], { stdio: 'inherit' });
  if (status !== 0) process.exitCode = 1;
}
