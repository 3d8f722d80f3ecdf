/** Small scenarios of real microguests, for tests: they boot in a millisecond. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import type { ExecutionContext } from 'ava';
import { parseScenario } from '../../scenario/load.ts';
import type { MakeHost } from '../host.ts';
import { makeHost } from '../hypervisorhost.ts';
import { planRuns, type RunPlan } from '../plan.ts';
import { type RunOptions, type RunOutcome, runScenario } from '../runner.ts';

/** Two guests, the second switched on later; 5 samples, each with 3 MiB of pages of which some change. */
export const microScenario = `name: micro
duration: 1s
sample: 200ms
host: { memory: 64MiB, cpus: 1 }
guests:
  - name: m
    count: 2
    image: microguest
    memory: 16MiB
    stagger: 150ms
    workload:
      name: recipe
      area: [{ zero: 1MiB }, { equal: 1MiB }, { unique: 1MiB }]
      rate: 1000
      write_share: 0.5
      report: 100ms
`;

/** A folder of the test's own, removed after it. */
export function temporaryFolder(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'pagefold-run-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The runs of a scenario's text, ready. */
export async function plansOf(text: string, set: readonly string[] = []): Promise<RunPlan[]> {
  return planRuns(await parseScenario('micro.yaml', text, { set }), () => {});
}

/** How tests run. */
export function runOptions(out: string, more: Partial<RunOptions> = {}): RunOptions {
  const signal = new AbortController().signal;
  return { makeHost, out, workers: 1, check: false, signal, progress: () => {}, ...more };
}

/** Runs a scenario's text, its first cell. */
export async function runText(
  text: string,
  out: string,
  more: Partial<RunOptions> = {},
): Promise<RunOutcome> {
  const [plan] = await plansOf(text);
  return runScenario(plan!, runOptions(out, more));
}

/** The bytes of every file below a folder, by path; the manifest and the report, which know wall time, are left out. */
export function contents(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
  const kept = names.filter(
    (name) => name !== 'manifest.json' && !name.startsWith('report') && statSync(join(folder, name)).isFile(),
  );
  return Object.fromEntries(
    kept.map((name) => [relative('.', name), readFileSync(join(folder, name), 'latin1')]),
  );
}

/** As `makeHost`, of a host that fails at a virtual time. */
export function failingAt(time: number): MakeHost {
  return async (setup) => {
    const host = await makeHost(setup);
    const run = (until: number) => {
      if (until > time) throw new Error('the host is on fire');
      host.run(until);
    };
    return new Proxy(host, {
      get(_, name) {
        if (name === 'run') return run;
        const value: unknown = Reflect.get(host, name, host);
        return typeof value === 'function' ? value.bind(host) : value;
      },
    });
  };
}
