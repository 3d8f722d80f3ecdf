/**
 * Twice the same: `node --no-wasm-inlining bench/twice.ts`. Debian guests on a host that merges, balloons and swaps are run twice, on one thread and
 * on two, and for a shorter time translated and interpreted. The host's state at every sample, each file of the run folder, and what the manifest says beside wall time,
 * memory, machine and its threads must be equal; it ends with status 1 when they are not.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunHost } from '../harness/run/host.ts';
import { type Means, makeHost } from '../harness/run/hypervisorhost.ts';
import { planRuns } from '../harness/run/plan.ts';
import { runScenario } from '../harness/run/runner.ts';
import { contents } from '../harness/run/testing/micro.ts';
import { loadScenario } from '../harness/scenario/load.ts';
import type { Manifest } from '../reports/format/manifest.ts';

/** Four guests on half of the memory that they use, and two for the time that they need to boot and to fill their areas. */
const long = ['duration=20s', 'host.memory=128MiB', 'guests.0.count=4', 'host.ksm.start=3s'];
const short = ['duration=4s', 'host.memory=96MiB', 'guests.0.count=2', 'host.ksm.start=1s', 'sample=1s'];

/** What must be equal. */
interface Outcome {
  /** The host's state at each sample. */
  readonly states: readonly string[];
  readonly files: Readonly<Record<string, string>>;
  readonly manifest: unknown;
}

async function run(set: readonly string[], means: Means = {}, workers = 1): Promise<Outcome> {
  const out = mkdtempSync(join(tmpdir(), 'pagefold-bench-'));
  const states: string[] = [];
  try {
    const [plan] = await planRuns(await loadScenario('nothing-lost', { set }), () => {});
    const { folder } = await runScenario(plan!, {
      makeHost: async (setup) => {
        const host: RunHost = await makeHost(setup, means);
        host.check = () => {
          states.push(host.stateHash());
          process.stderr.write(`${host.time / 1e9} s: ${states.at(-1)!.slice(0, 16)}\n`);
        };
        return host;
      },
      out,
      workers,
      check: true,
      signal: new AbortController().signal,
      progress: () => {},
    });
    const file = readFileSync(join(folder, 'manifest.json'), 'utf8');
    const { started, finished, peakMemory, machine, ...manifest } = JSON.parse(file) as Manifest;
    return { states, files: contents(folder), manifest };
  } finally {
    rmSync(out, { recursive: true });
  }
}

/** Tells whether two outcomes are equal, and what is not. */
function compare(what: string, one: Outcome, other: Outcome): void {
  const names = [...new Set([...Object.keys(one.files), ...Object.keys(other.files)])];
  const unequal = names.filter((name) => one.files[name] !== other.files[name]);
  if (JSON.stringify(one.manifest) !== JSON.stringify(other.manifest)) unequal.push('manifest.json');
  const differs = one.states.findIndex((state, i) => state !== other.states[i]);
  if (differs >= 0) unequal.push(`state of sample ${differs + 1}`);
  const bytes = Object.values(one.files).reduce((sum, text) => sum + text.length, 0);
  console.log(
    unequal.length === 0
      ? `${what}: equal: ${one.states.length} states of the host, ${names.length} files of ${bytes} bytes, the manifest`
      : `${what}: NOT equal: ${unequal.join(', ')}`,
  );
  if (unequal.length > 0) process.exitCode = 1;
}

const once = await run(long);
compare('4 guests for 20 s, twice', once, await run(long));
compare('4 guests for 20 s, on one thread and on two', once, await run(long, {}, 2));
compare(
  '2 guests for 4 s, translated and interpreted',
  await run(short),
  await run(short, { translate: false }),
);
