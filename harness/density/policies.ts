/** The policies that a density search compares, and a scenario under one of them. */
import { UserError } from '../../workloads/images/user-error.ts';
import { choice } from '../scenario/explain.ts';
import type { Scenario } from '../scenario/resolve.ts';

/** Techniques that a policy may use, in the order in which they stand in its name. */
const techniques = ['ksm', 'balloon', 'swap'] as const;
type Technique = (typeof techniques)[number];

/** A policy: which techniques are used. */
export interface Policy {
  /** `none`, or the techniques with `+` between them. */
  readonly name: string;
  readonly uses: ReadonlySet<Technique>;
}

function policy(uses: readonly Technique[]): Policy {
  return { name: uses.length === 0 ? 'none' : uses.join('+'), uses: new Set(uses) };
}

/** All policies: none, ksm, balloon, ksm+balloon, each without and with swap. */
export const policies: readonly Policy[] = [[], ['swap']].flatMap((swap) =>
  [[], ['ksm'], ['balloon'], ['ksm', 'balloon']].map((uses) => policy([...uses, ...swap] as Technique[])),
);

/** The policies of those names, in the order given; all when none is named. Throws {@link UserError} for an unknown one. */
export function policiesNamed(names: readonly string[]): readonly Policy[] {
  if (names.length === 0) return policies;
  return names.map((name) => {
    const found = policies.find((each) => each.name === name);
    if (found !== undefined) return found;
    throw new UserError({
      file: `--policy ${name}`,
      cause: 'there is no such policy',
      remedy: choice(
        name,
        policies.map((each) => each.name),
      ),
    });
  });
}

/**
 * The scenario with so many guests in its first group and only those techniques that the policy uses; how they are
 * used is what the scenario says.
 * @throws {@link UserError} when it does not say so
 */
export function underPolicy(
  scenario: Scenario,
  file: string,
  { name, uses }: Policy,
  guests: number,
): Scenario {
  const { host } = scenario;
  const says: Record<Technique, boolean> = {
    ksm: host.ksm !== 'off',
    balloon:
      host.balloon.policy !== 'none' ||
      host.balloon.free_page_reporting ||
      host.balloon.free_page_hinting !== undefined,
    swap: host.swap !== 'none',
  };
  const missing = techniques.find((technique) => uses.has(technique) && !says[technique]);
  if (missing !== undefined) {
    throw new UserError({
      file,
      place: `host.${missing}`,
      cause: `the policy ${name} uses it, and the scenario does not say how`,
      remedy: `say so there, or search with --policy for policies without it`,
    });
  }
  const [first, ...others] = scenario.guests;
  return {
    ...scenario,
    host: {
      ...host,
      ksm: uses.has('ksm') ? host.ksm : 'off',
      balloon: uses.has('balloon') ? host.balloon : { policy: 'none', free_page_reporting: false },
      swap: uses.has('swap') ? host.swap : 'none',
    },
    guests: [{ ...first!, count: guests }, ...others],
    // Without a scanner there is no knob to set.
    phases: scenario.phases.filter((phase) => uses.has('ksm') || phase.do !== 'set knobs'),
  };
}
