/** What a scenario may say. The JSON Schema for editors is made from this. */
import { z } from 'zod';
import { costNames } from '../../hypervisor/clock/costs.ts';
import { STORAGE_PROFILES } from '../../hypervisor/clock/storage.ts';
import { MAX_CPUS } from '../../hypervisor/platform/acpi/tables.ts';
import { ksm } from './ksm.ts';
import { phaseSchema } from './phases.ts';
import { hostSpan, hostTime, size, sizeWithin, timeSpan } from './units.ts';
import { workload } from './workloads.ts';

const MiB = 2 ** 20;
const GiB = 2 ** 30;
/** A host has no more memory than its addresses leave beside its arena (`hypervisor/host.ts`). */
const mostHostMemory = 3 * GiB;
/** A guest page's number has 20 bits, and the last GiB below 4 GiB belongs to devices. */
const mostGuestMemory = 3 * GiB;
/** A swap slot's number has 20 bits. */
const mostSwap = 4 * GiB;
const mostGuests = 1000;

const identifier = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$/, 'a name of small letters, digits and hyphens');

const swap = z
  .union([
    z.literal('none'),
    z.strictObject({
      size: sizeWithin(MiB, mostSwap).describe('Size of the swap device'),
      device: z
        .enum(Object.keys(STORAGE_PROFILES) as (keyof typeof STORAGE_PROFILES)[])
        .default('nvme')
        .describe('What it is made of: its latency and bandwidth'),
    }),
  ])
  .default('none')
  .describe('Swap of the host');

const balloon = z
  .strictObject({
    policy: z
      .enum(['none', 'static', 'mom'])
      .describe('none: no target; static: the stated target; mom: the rules of oVirt’s MOM'),
    target: size.optional().describe('static: size of each balloon'),
    free_page_reporting: z
      .boolean()
      .default(false)
      .describe('Whether the host takes pages that guests report as free'),
    free_page_hinting: hostSpan
      .optional()
      .describe('How often the host asks guests which pages are free, and takes those'),
  })
  .superRefine(({ policy, target }, context) => {
    if (policy === 'static' && target === undefined) {
      context.addIssue({
        code: 'custom',
        path: ['target'],
        message: 'the policy static needs a target',
        params: { remedy: "give one, such as 'target: 64MiB'" },
      });
    }
    if (policy !== 'static' && target !== undefined) {
      context.addIssue({
        code: 'custom',
        path: ['target'],
        message: `the policy ${policy} has no target of its own`,
        params: { remedy: "leave it out, or say 'policy: static'" },
      });
    }
  })
  .prefault({ policy: 'none' })
  .describe('Who decides how large the guests’ balloons are');

const cost = z
  .strictObject(
    Object.fromEntries(costNames.map((name) => [name, z.int().min(0).max(1e8).optional()])) as Record<
      (typeof costNames)[number],
      z.ZodOptional<z.ZodInt>
    >,
  )
  .default({})
  .describe('Constants of the cost model set anew, in ns');

const host = z.strictObject({
  memory: sizeWithin(16 * MiB, mostHostMemory).describe('Memory for the guests’ pages'),
  cpus: z.int().min(1).max(64).default(2).describe('Physical CPUs'),
  swap,
  ksm: z
    .union([z.literal('off'), ksm])
    .default('off')
    .describe('Same-page merging'),
  balloon,
  cost,
});

const group = z.strictObject({
  name: identifier.describe('The guests are called NAME-1, NAME-2, …'),
  count: z.int().min(1).max(mostGuests).default(1).describe('How many'),
  image: z
    .string()
    .default('debian-busybox')
    .describe('Guest image; NAME@DIGEST is the image of just that content'),
  memory: sizeWithin(16 * MiB, mostGuestMemory)
    .prefault('256MiB')
    .describe('Memory of each'),
  cpus: z.int().min(1).max(MAX_CPUS).default(1).describe('vCPUs of each'),
  append: z.string().default('').describe('Words added to the kernel’s command line'),
  workload: workload.prefault('idle'),
  start: hostTime.prefault('0s').describe('When the first is switched on'),
  stagger: hostTime.prefault('0s').describe('How long after it each next one is'),
});

/** Bounds that `slo` may name: of what, and which of its percentiles. */
export const sloNames = ['fault', 'application'].flatMap((kind) =>
  ['p50', 'p90', 'p99', 'p999', 'max'].map((percentile) => `${kind}_${percentile}`),
);

const slo = z
  .strictObject(
    Object.fromEntries(sloNames.map((name) => [name, timeSpan.optional()])) as Record<
      string,
      z.ZodOptional<typeof timeSpan>
    >,
  )
  .default({})
  .describe('What it means that the guests fit: no guest waits longer for the host, or at its work');

const path = z.string().regex(/^[A-Za-z_]\w*(\.\w+)*$/, 'the path of a key, such as guests.0.count');

/** Schema of a scenario without its sweep: one run. */
export const scenarioSchema = z
  .strictObject({
    name: identifier.describe('Begins the name of the run’s folder'),
    description: z.string().optional().describe('What it is good for, in a line'),
    seed: z
      .int()
      .min(0)
      .max(2 ** 32 - 1)
      .default(1)
      .describe('Where the guests’ randomness starts from'),
    duration: hostSpan.describe('Virtual time to run'),
    sample: hostSpan.prefault('500ms').describe('Virtual time between samples'),
    warmup: hostTime
      .prefault('0s')
      .describe('Latencies of this first part of the run are not counted in its summary'),
    host,
    guests: z.array(group).min(1).describe('Groups of equal guests'),
    phases: z.array(phaseSchema(group)).default([]).describe('What happens at stated times'),
    slo,
  })
  .superRefine((scenario, context) => {
    const fail = (at: (string | number)[], message: string, remedy: string) =>
      context.addIssue({ code: 'custom', path: at, message, params: { remedy } });
    const { duration, sample, warmup } = scenario;
    if (sample > duration) fail(['sample'], 'longer than the whole run', 'sample more often');
    if (duration / sample > 1e6) fail(['sample'], 'more than a million samples', 'sample less often');
    if (warmup >= duration) fail(['warmup'], 'as long as the whole run', 'make it shorter');
    for (const [i, { at }] of scenario.phases.entries()) {
      if (at >= duration) fail(['phases', i, 'at'], 'after the end of the run', 'make it earlier');
    }
    const added = scenario.phases.map((phase) => (phase.do === 'add guests' ? phase.group : undefined));
    const names = new Set<string>();
    const once = (each: z.output<typeof group>, at: (string | number)[]) => {
      if (names.has(each.name)) fail([...at, 'name'], 'another group has this name', 'give each its own');
      names.add(each.name);
      if (each.start + (each.count - 1) * each.stagger >= duration) {
        fail([...at, 'start'], 'not all guests are started before the end of the run', 'start them earlier');
      }
    };
    for (const [i, each] of scenario.guests.entries()) once(each, ['guests', i]);
    for (const [i, each] of added.entries()) if (each !== undefined) once(each, ['phases', i, 'group']);
    const count = [...scenario.guests, ...added].reduce((sum, each) => sum + (each?.count ?? 0), 0);
    if (count > mostGuests) fail(['guests'], `${count} guests`, `have at most ${mostGuests}`);
  });

/** The axes of a sweep: each path gets each of its values, every combination a run. */
export const sweepSchema = z
  .record(path, z.array(z.json()).min(1))
  .describe('A grid of runs: path of a key to the values that it gets');

/** The JSON Schema of a scenario's file, as it stands in `workloads/scenarios/scenario.schema.json`. */
export function scenarioJsonSchema(): object {
  const whole = z.strictObject({ ...scenarioSchema.shape, sweep: sweepSchema.optional() });
  return z.toJSONSchema(whole.describe('A scenario of pagefold'), { io: 'input', target: 'draft-2020-12' });
}

/** A group of guests of a scenario. */
export type GuestGroup = z.output<typeof group>;
/** How pages are merged. */
export type Ksm = z.output<typeof ksm>;
