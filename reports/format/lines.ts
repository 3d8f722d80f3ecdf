/** Lines of `events.jsonl` and `workload.jsonl`. */
import { z } from 'zod';

const time = z.int().nonnegative().describe('Virtual time in ns');

/** Events that pagefold writes, with what each means. */
export const eventNames = {
  guest_started: 'The guest was switched on',
  guest_up: 'The guest’s init is ready',
  guest_ended: 'The guest has ended: `reason` says how, `expected` whether the scenario wanted it',
  workload_started: 'The workload `workload` has begun in the guest',
  workload_finished: 'The workload `workload` has ended',
  workload_error: 'The workload `workload` found something wrong: `message`',
  phase: 'A phase of the scenario was carried out: `action` names it',
  ksm_started: 'Merging was switched on',
  oom: 'The host had no memory left; `victim` is the guest that it stopped',
  balloon_not_followed:
    'The balloon came no nearer to its target for `for_ns`: `target_bytes` are to be left to the guest, and `size_bytes` are',
  balloon_followed: 'The guest’s balloon moves again',
  knob_refused: 'The scanner refused the `value` of the knob `name`, for the `reason`',
  swap_error: 'A page could not be read back from swap: `reason`',
  workload_output_damaged: 'The guest sent a `line` on its workload port that is no report, for the `reason`',
} as const;

/** Schema of a line of `events.jsonl`. Besides these keys, it has those that its event's meaning names. */
export const eventSchema = z.looseObject({
  time_ns: time,
  event: z.string(),
  /** The guest that it is about, if it is about one. */
  guest: z.string().optional(),
});

/** Schema of a line of `workload.jsonl`: the JSON object that the workload sent, with these two keys before its own. */
export const workloadLineSchema = z.looseObject({
  time_ns: time,
  guest: z.string(),
});

/** See {@link eventSchema}. */
export type RunEvent = z.infer<typeof eventSchema>;
/** See {@link workloadLineSchema}. */
export type WorkloadLine = z.infer<typeof workloadLineSchema>;
