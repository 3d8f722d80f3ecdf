/** Checks baselines: runs their scenarios, and holds the figures against those that were recorded. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { RunFolderError } from '../../reports/format/error.ts';
import { readRun } from '../../reports/format/read.ts';
import { writeWhole } from '../../reports/format/write.ts';
import { microguestImage } from '../../workloads/catalog.ts';
import { UserError } from '../../workloads/images/user-error.ts';
import { planRuns, type RunPlan } from '../run/plan.ts';
import { type RunOptions, runScenario } from '../run/runner.ts';
import { loadScenario, scenarioNames } from '../scenario/load.ts';
import { type BaselineFile, baselineText, readBaseline, scenarioOf } from './baseline.ts';
import { bareName, compare, recordOf } from './compare.ts';
import { judge, type Verdict } from './verdict.ts';

/** How baselines are checked. */
export interface CheckOptions extends Omit<RunOptions, 'progress'> {
  /** Whether they are recorded anew instead. */
  readonly update: boolean;
  /**
   * Whether the user has named this one. Of all that pagefold brings along, those whose guest image is not the recorded one here,
   * or cannot be made here, are left out.
   */
  readonly named: boolean;
  /** Told of a run that begins; gives what is told of its progress. */
  readonly runBegins: (name: string) => RunOptions['progress'];
  /** Told the steps of building an image. */
  readonly building: (line: string) => void;
  /** The wall time in ms. */
  readonly now: () => number;
}

/** Checks one baseline, named or by its file. Mistakes of the user are a verdict too, so that the others are checked. */
export async function checkBaseline(nameOrFile: string, options: CheckOptions): Promise<Verdict> {
  const started = options.now();
  const verdict = await check(nameOrFile, options).catch((error: unknown) => {
    if (!(error instanceof UserError || error instanceof RunFolderError)) throw error;
    return { kind: 'could not run' as const, details: [error.message] };
  });
  return { name: nameOrFile, ...verdict, seconds: (options.now() - started) / 1000 };
}

async function check(nameOrFile: string, options: CheckOptions): Promise<Pick<Verdict, 'kind' | 'details'>> {
  const file = await readBaseline(nameOrFile, options.update ? await scenarioNames() : []);
  const { baseline } = file;
  const { recorded } = baseline;
  if (recorded === undefined && !options.update) {
    throw new UserError({
      file: file.file,
      cause: 'nothing is recorded in it yet',
      remedy: `run 'pagefold check --update ${nameOrFile}'`,
    });
  }
  let plan: RunPlan;
  try {
    plan = await planOf(file, options.building);
    if (recorded !== undefined && !options.update) sameImages(file, plan, recorded.images);
  } catch (error) {
    const ofImage = Object.keys(recorded?.images ?? {}).some((name) => name !== microguestImage);
    if (options.named || !ofImage || !(error instanceof UserError)) throw error;
    return { kind: 'left out', details: [error.message] };
  }
  const { folder, result } = await runScenario(plan, { ...options, progress: options.runBegins(file.name) });
  if (!result.complete) return { kind: 'could not run', details: [`the run was ${result.reason}`] };
  const run = await readRun(folder);
  if (options.update || recorded === undefined) {
    mkdirSync(dirname(file.file), { recursive: true });
    writeWhole(file.file, baselineText({ ...baseline, recorded: recordOf(run) }));
    const count = Object.keys(run.result!.guests).length;
    return {
      kind: 'recorded',
      details: [`${file.file}: ${run.tables.samples.rows} samples of ${count} guests`],
    };
  }
  const { kind, details } = judge(
    compare(baseline, recorded, run),
    Object.keys(baseline.tolerance).length === 0,
  );
  return { kind, details: kind === 'passed' ? details : [...details, `the run is in ${folder}`] };
}

/** The one run that a baseline is of. */
async function planOf(file: BaselineFile, building: (line: string) => void): Promise<RunPlan> {
  const loaded = await loadScenario(scenarioOf(file), { set: file.baseline.set });
  if (loaded.axes.length > 0) {
    throw new UserError({
      file: file.file,
      place: 'set',
      cause: `a baseline is of one run, and ${loaded.name} sweeps ${loaded.axes.map(({ path }) => path).join(', ')}`,
      remedy: 'set each of these to one value',
    });
  }
  return (await planRuns(loaded, building))[0]!;
}

/** Figures belong to the bits that gave them. */
function sameImages(file: BaselineFile, plan: RunPlan, recorded: Readonly<Record<string, string>>): void {
  for (const { name: given, digest } of plan.images) {
    const name = bareName(given);
    if (recorded[name] === digest) continue;
    const was = recorded[name]?.slice(0, 12) ?? 'unknown';
    throw new UserError({
      file: file.file,
      place: `images.${name}`,
      cause: `the figures were recorded with other bits: image ${was}, and here it is ${digest.slice(0, 12)}`,
      remedy:
        name === microguestImage
          ? 'record anew with --update: the microguest is a part of pagefold that has changed'
          : `import that image ('pagefold guest import FILE') and set the guests' image to ${name}@${was}, or record anew with --update`,
    });
  }
}
