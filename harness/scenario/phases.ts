/** Phases of a scenario: what happens at stated times of a run. */
import { z } from 'zod';
import { linuxKnobs } from './ksm.ts';
import { hostTime, size } from './units.ts';
import { workload } from './workloads.ts';

const at = hostTime.describe('When, since the start of the run');
const which = z
  .union([z.string(), z.array(z.string()).min(1)])
  .transform((given) => [given].flat())
  .describe('Names of groups (all their guests) or of guests, such as web or web-2');

const startWorkload = z.strictObject({
  at,
  do: z.literal('start workload'),
  guests: which,
  workload,
});
const setKnobs = z.strictObject({
  at,
  do: z.literal('set knobs'),
  knobs: z
    .strictObject({
      ...linuxKnobs.shape,
      run: z.int().min(0).max(2).optional().describe('0 stops, 1 merges, 2 unmerges'),
    })
    .refine((knobs) => Object.keys(knobs).length > 0, { error: 'no knob is named' }),
});
const setBalloon = z.strictObject({
  at,
  do: z.literal('set balloon'),
  guests: which,
  target: size.describe('Size of the balloon to ask for'),
});
const removeGuests = z.strictObject({
  at,
  do: z.literal('remove guests'),
  guests: which,
});

/** What a phase does once the scenario is resolved; guests that are added have become a group with a start. */
export const action = z.discriminatedUnion('do', [startWorkload, setKnobs, setBalloon, removeGuests]);

/** See {@link action}. */
export type Phase = z.output<typeof action>;

/** The phases of a scenario, of which one adds guests of the group `group`. */
export function phaseSchema<Group extends z.ZodType>(group: Group) {
  const addGuests = z.strictObject({ at, do: z.literal('add guests'), group });
  return z.discriminatedUnion('do', [startWorkload, setKnobs, setBalloon, removeGuests, addGuests]);
}
