/** Profiles of pagefold alone, after the rounds: no time that is compared is measured under the profiler. */
import type { Ours, ProfiledMachine } from './ours.ts';
import type { Kind } from './profile.ts';
import type { Samples } from './samples.ts';
import { measures, type Plan } from './session.ts';
import { awaitPrompt, timeWork } from './works.ts';

/** Works that are looked at, besides the boot. */
const profiledWorks = ['sh', 'fork'];

/** Names of what a plan has profiles of. */
export function profiled({ boot, works }: Plan): string[] {
  // Without the boot there are none.
  if (!boot) return [];
  return ['boot', ...profiledWorks.filter((name) => works.some((work) => work.name === name))];
}

/**
 * Makes the profiles that the plan has, and adds the time of each kind of work in ms. After one that fails no other is made: the guest
 * may be lost. `progress` is told each, as a line of text.
 */
export async function runProfiles(
  own: Ours,
  plan: Plan,
  samples: Samples,
  progress: (line: string) => void,
): Promise<void> {
  const names = profiled(plan);
  if (names.length === 0) return;
  const sample = { peer: own.name, round: plan.rounds };
  let machine: ProfiledMachine | undefined;
  let name = names[0]!;
  try {
    machine = await own.startProfiled();
    await awaitPrompt(machine.consoles[0]!);
    for (name of names) {
      const work = plan.works.find((each) => each.name === name);
      if (work !== undefined) {
        machine.startProfile();
        await timeWork(machine.consoles[0]!, work);
      }
      for (const [kind, value] of Object.entries(await machine.stopProfile())) {
        samples.add({ ...sample, measure: measures.profile(name, kind as Kind), value });
      }
      progress(`profile of ${name}`);
    }
  } catch (error) {
    const failure = (error as Error).message;
    samples.add({ ...sample, measure: measures.profile(name), failure });
    progress(`profile of ${name}: failed: ${failure}`);
  } finally {
    await machine?.stop();
  }
}
