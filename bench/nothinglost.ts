/**
 * Nothing is lost: `node --no-wasm-inlining bench/nothinglost.ts [CASE ...]`. The scenario `nothing-lost` (8 Debian guests that check every page
 * they use, on a host with an eighth of their memory), with the books proved at each sample, in four cases: `whole`, and swap that is too
 * small (`exhausted`), that spoils a page (`corrupted`), that is on a disk that is full (`full`). It ends with status 1 when a guest found
 * a page wrong, or ended without a reason. What the process needs of memory is told beside it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunHost } from '../harness/run/host.ts';
import { type Means, makeHost } from '../harness/run/hypervisorhost.ts';
import { planRuns } from '../harness/run/plan.ts';
import { runScenario } from '../harness/run/runner.ts';
import { flippingBits, fullDisk } from '../harness/run/testing/failingswap.ts';
import { findings, survivors, trouble } from '../harness/run/testing/findings.ts';
import { loadScenario } from '../harness/scenario/load.ts';
import { readRun } from '../reports/format/read.ts';
import { type Footprint, footprint } from './footprint.ts';

interface Case {
  readonly set: readonly string[];
  readonly means: Means;
  /** What must have happened to the guests that ended, and the least and most of them. */
  readonly event?: 'oom' | 'swap_error';
  readonly ended: readonly [least: number, most: number];
}

/** Long enough that each guest has filled its area and read all of it again. */
const short = ['duration=30s', 'guests.0.workload.verify=5s'];
const mebi = 2 ** 20;
/** The host's frames, and the arena before them (`hypervisor/host.ts`). */
const simulatedBytes = (256 + 1024) * mebi;

const cases: Readonly<Record<string, Case>> = {
  whole: { set: [], means: {}, ended: [0, 0] },
  exhausted: { set: [...short, 'host.swap.size=768MiB'], means: {}, event: 'oom', ended: [1, 4] },
  corrupted: {
    set: short,
    // Some of these pages are never read again.
    means: { openSwap: (path) => flippingBits(path, [180_000, 220_000, 260_000, 300_000]) },
    event: 'swap_error',
    ended: [1, 4],
  },
  full: {
    set: short,
    means: { openSwap: (path) => fullDisk(path, 768 * mebi) },
    event: 'oom',
    ended: [1, 4],
  },
};

/** Carries a case out; gives what is wrong with it. */
async function carryOut(name: string, { set, means, event, ended }: Case, out: string): Promise<string[]> {
  const began = performance.now();
  const footprints: Footprint[] = [];
  const [plan] = await planRuns(await loadScenario('nothing-lost', { set }), () => {});
  const { folder } = await runScenario(plan!, {
    makeHost: async (setup) => {
      const host: RunHost = await makeHost(setup, means);
      const check = host.check.bind(host);
      host.check = () => {
        footprints.push(footprint(simulatedBytes));
        check();
        process.stderr.write(`${name}: ${host.time / 1e9} s\r`);
      };
      return host;
    },
    out,
    workers: 1,
    check: true,
    signal: new AbortController().signal,
    progress: () => {},
  });
  const run = await readRun(folder);
  const found = findings(run);
  const events = trouble(run);
  const up = survivors(run);
  console.log(
    `\n${name}: ${plan!.scenario.duration / 1e9} s of virtual time, ${Math.round((performance.now() - began) / 1000)} s of wall time`,
  );
  for (const { time_ns, event: what, guest, reason } of events) {
    console.log(`  ${(time_ns / 1e9).toFixed(2)} s: ${what} ${guest ?? ''}: ${reason}`);
  }
  console.table(found);
  console.log('memory of the process in MiB, at samples:');
  const shown = footprints.filter((_, i) => i % Math.ceil(footprints.length / 8) === 0);
  console.table([...shown, footprints.at(-1)]);
  const wrong = Object.entries(found).flatMap(([guest, { errors }]) =>
    errors > 0 ? [`${guest} found ${errors} errors`] : [],
  );
  for (const guest of up)
    if (found[guest]!.verified === 0) wrong.push(`${guest} was up and has verified nothing`);
  const count = plan!.guests.length - up.length;
  if (count < ended[0] || count > ended[1])
    wrong.push(`${count} guests ended; ${ended.join(' to ')} are right`);
  const reasons = events.filter((each) => each.event === event && each.guest !== undefined).length;
  if (reasons !== count) wrong.push(`${count} guests ended, with ${reasons} reasons`);
  return wrong.map((what) => `${name}: ${what}`);
}

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(cases);
const out = mkdtempSync(join(tmpdir(), 'pagefold-bench-'));
try {
  const wrong: string[] = [];
  for (const name of names) {
    const each = cases[name];
    if (each === undefined)
      throw new Error(`there is no case '${name}'; give some of ${Object.keys(cases).join(', ')}`);
    wrong.push(...(await carryOut(name, each, out)));
  }
  for (const line of wrong) console.error(line);
  if (wrong.length > 0) process.exitCode = 1;
} finally {
  rmSync(out, { recursive: true });
}
