/** Names in a scenario that stand for something outside its schema: guests, images, files. */
import { access } from 'node:fs/promises';
import { dirname, resolve as resolvePath } from 'node:path';
import type { z } from 'zod';
import { imageNames, type Workload } from '../../workloads/catalog.ts';
import { namedDigest } from '../../workloads/images/store.ts';
import type { Path } from './document.ts';
import { choice } from './explain.ts';
import { guestPlans, guestsNamed, resolve } from './resolve.ts';
import type { scenarioSchema } from './schema.ts';
import { workloadProblem } from './workloads.ts';

/** Scanners that pagefold has. */
export const scannerNames = ['linux', 'esx'] as const;

/** Says what is wrong at a path; never returns. */
export type Fail = (path: Path, ofKey: boolean, cause: string, remedy: string) => never;

/** Calls `fail` for the first name that stands for nothing. `file` is the scenario's: paths are relative to it. */
export async function checkNames(
  scenario: z.output<typeof scenarioSchema>,
  file: string,
  fail: Fail,
): Promise<void> {
  const check = (problem: string | undefined, path: Path) => {
    if (problem !== undefined) fail(path, false, problem, 'choose another workload or image');
  };
  const checkGroup = async (group: { image: string; workload: Workload }, path: Path) => {
    await checkImage(group.image, [...path, 'image'], fail);
    check(workloadProblem(group.workload, group.image), [...path, 'workload']);
  };
  for (const [i, group] of scenario.guests.entries()) await checkGroup(group, ['guests', i]);
  const plans = guestPlans(resolve(scenario));
  const known = [...new Set(plans.flatMap(({ name, group }) => [group.name, name]))];
  for (const [i, phase] of scenario.phases.entries()) {
    if (phase.do === 'add guests') {
      await checkGroup(phase.group, ['phases', i, 'group']);
    } else if (phase.do === 'set knobs') {
      const { ksm } = scenario.host;
      if (ksm === 'off') fail(['phases', i, 'knobs'], false, 'merging is off', 'switch it on under host.ksm');
      if (ksm.scanner !== 'linux') {
        const cause = `these are knobs of the scanner linux, and the scenario's is ${ksm.scanner}`;
        fail(['phases', i, 'knobs'], false, cause, 'leave the phase out');
      }
    } else {
      for (const name of phase.guests) {
        const named =
          guestsNamed(name, plans) ??
          fail(['phases', i, 'guests'], false, `no guest is called '${name}'`, choice(name, known));
        if (phase.do !== 'start workload') continue;
        for (const { group } of named) {
          check(workloadProblem(phase.workload, group.image), ['phases', i, 'workload']);
        }
      }
    }
  }
  const { ksm } = scenario.host;
  if (ksm === 'off') return;
  if (/[./]/.test(ksm.scanner)) {
    const path = resolvePath(dirname(file), ksm.scanner);
    await access(path).catch(() =>
      fail(
        ['host', 'ksm', 'scanner'],
        false,
        `there is no file ${path}`,
        "name a file that is there, relative to the scenario's",
      ),
    );
  } else if (!scannerNames.some((name) => name === ksm.scanner)) {
    fail(
      ['host', 'ksm', 'scanner'],
      false,
      `no scanner is called '${ksm.scanner}'`,
      choice(ksm.scanner, scannerNames),
    );
  }
}

async function checkImage(image: string, path: Path, fail: Fail): Promise<void> {
  // One of stated content is looked for when the run begins: only the cache knows it.
  if (image.includes('@')) return;
  const names = await imageNames();
  if (names.includes(image) || (await namedDigest(image)) !== undefined) return;
  fail(path, false, `no guest image is called '${image}'`, choice(image, names));
}
