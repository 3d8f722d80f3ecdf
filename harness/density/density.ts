/** The density search: for each policy, the largest number of guests that meets the scenario's bounds. */

import { sha256 } from '../../reports/format/read.ts';
import type { Result } from '../../reports/format/result.ts';
import type { Density, Sweep } from '../../reports/format/sweep.ts';
import { UserError } from '../../workloads/images/user-error.ts';
import { planRuns, type RunPlan } from '../run/plan.ts';
import { type RunOptions, runScenario } from '../run/runner.ts';
import { finishedRun, SweepFolder } from '../run/sweep.ts';
import type { LoadedScenario } from '../scenario/load.ts';
import { missed } from './fits.ts';
import { type Policy, underPolicy } from './policies.ts';
import { largestThat } from './search.ts';

/** How a search is carried out. */
export interface DensityOptions extends Omit<RunOptions, 'progress'> {
  readonly policies: readonly Policy[];
  /** Upper limit of the search. */
  readonly most: number;
  readonly building: (line: string) => void;
  /** Told when a run begins; gives what is told of its progress. */
  readonly runBegins: (policy: Policy, guests: number) => RunOptions['progress'];
  /** Told what a run gave, and whether it was there already. */
  readonly runEnds: (policy: Policy, guests: number, missed: readonly string[], taken: boolean) => void;
}

/** Path of what is searched for. */
const countPath = 'guests.0.count';

/**
 * Searches. Runs that are in the folder from before are not run again.
 * @returns the folder and a row a policy, as far as the search was not interrupted
 */
export async function searchDensity(
  loaded: LoadedScenario,
  options: DensityOptions,
): Promise<{ folder: string; found: Density[] }> {
  const { scenario } = loaded.cells[0]!;
  if (loaded.axes.length > 0 || Object.keys(scenario.slo).length === 0) {
    const sweeps = loaded.axes.length > 0;
    throw new UserError({
      file: loaded.file,
      place: sweeps ? 'sweep' : 'slo',
      cause: sweeps
        ? 'a density search has axes of its own'
        : 'it does not say what it means that guests fit',
      remedy: sweeps
        ? 'leave it out, or fix its axes with --set'
        : "say so, such as 'slo: { fault_p99: 5ms }'",
    });
  }
  // What no policy can be is found before the first run.
  for (const policy of options.policies) underPolicy(scenario, loaded.file, policy, 1);
  const [any] = await planRuns(loaded, options.building);
  const cells: Sweep['cells'] = [];
  const names = options.policies.map(({ name }) => name);
  const counts = () => [...new Set(cells.map(({ parameters }) => parameters[countPath] as number))];
  const account = () => ({
    cells,
    axes: [
      { path: 'policy', values: names },
      { path: countPath, values: counts().sort((a, b) => a - b) },
    ],
  });
  const folder = await SweepFolder.open(options.out, {
    kind: 'density',
    name: loaded.name,
    digest: sha256(JSON.stringify([any!.digest, names, options.most])),
    ...account(),
    density: [],
  });
  const found: Density[] = [];
  // What fits with one policy is a good guess for the next.
  let start = 1;
  for (const policy of options.policies) {
    const tried: Density['tried'] = [];
    const fits = async (guests: number): Promise<boolean> => {
      // The interruption is noticed below; until then any answer does.
      if (options.signal.aborted) return false;
      const changed = underPolicy(scenario, loaded.file, policy, guests);
      const parameters = { policy: policy.name, [countPath]: guests };
      const cell = { scenario: changed, parameters };
      const [plan] = await planRuns({ file: loaded.file, cells: [cell] }, options.building);
      const { result, path, taken } = await runOrTake(folder.path, plan!, policy, guests, options);
      if (options.signal.aborted && !result.complete) return false;
      const reasons = missed(result);
      cells.push({ parameters, folder: path, complete: result.complete });
      tried.push({ guests, folder: path, fits: reasons.length === 0, missed: reasons });
      folder.update(account());
      options.runEnds(policy, guests, reasons, taken);
      return reasons.length === 0;
    };
    const { largest, exact } = await largestThat(options.most, start, fits);
    start = largest;
    if (options.signal.aborted) return { folder: folder.path, found };
    found.push({ policy: policy.name, guests: largest, exact, host_memory: scenario.host.memory, tried });
    folder.update({ density: found });
  }
  folder.update({ complete: true });
  return { folder: folder.path, found };
}

async function runOrTake(
  folder: string,
  plan: RunPlan,
  policy: Policy,
  guests: number,
  options: DensityOptions,
): Promise<{ result: Result; path: string; taken: boolean }> {
  const there = await finishedRun(folder, plan);
  const outcome =
    there ??
    (await runScenario(plan, { ...options, out: folder, progress: options.runBegins(policy, guests) }));
  const path = outcome.folder.slice(folder.length + 1);
  return { result: outcome.result, path, taken: there !== undefined };
}
