/** A scenario in the form in which it is run and recorded: all defaults filled in, bytes and virtual ns. */
import type { z } from 'zod';
import type { Phase } from './phases.ts';
import type { GuestGroup, scenarioSchema } from './schema.ts';

type Parsed = z.output<typeof scenarioSchema>;

/** See the top of this file. Guests that a phase adds have become a group that starts then. */
export type Scenario = Omit<Parsed, 'phases' | 'slo'> & {
  readonly phases: readonly Phase[];
  readonly slo: Readonly<Record<string, number>>;
};

/** One guest of a scenario. */
export interface GuestPlan {
  readonly name: string;
  /** Index of its group, and the group. */
  readonly groupIndex: number;
  readonly group: GuestGroup;
  /** When it is switched on. */
  readonly start: number;
}

/** The scenario that a checked file stands for. */
export function resolve(parsed: Parsed): Scenario {
  const added = parsed.phases.flatMap((phase) =>
    phase.do === 'add guests' ? [{ ...phase.group, start: phase.at + phase.group.start }] : [],
  );
  const phases = parsed.phases.flatMap((phase) => (phase.do === 'add guests' ? [] : [phase]));
  return {
    ...parsed,
    guests: [...parsed.guests, ...added],
    // In the order of time; those of one time in the file's order.
    phases: phases.sort((a, b) => a.at - b.at),
    slo: Object.fromEntries(
      Object.entries(parsed.slo).flatMap(([name, bound]) => (bound === undefined ? [] : [[name, bound]])),
    ),
  };
}

/** The guests of a scenario in the order of their numbers: group after group, `web-1`, `web-2`, … */
export function guestPlans({ guests }: Pick<Scenario, 'guests'>): GuestPlan[] {
  return guests.flatMap((group, groupIndex) =>
    Array.from({ length: group.count }, (_, i) => ({
      name: `${group.name}-${i + 1}`,
      groupIndex,
      group,
      start: group.start + i * group.stagger,
    })),
  );
}

/** The guests that one of a phase's names stands for: those of a group, or one; undefined when it names none. */
export function guestsNamed(name: string, plans: readonly GuestPlan[]): GuestPlan[] | undefined {
  const named = plans.filter((plan) => plan.group.name === name || plan.name === name);
  return named.length === 0 ? undefined : named;
}
