/**
 * The workloads that guests can be told to run: their parameters as a scenario gives them, the images that have them, and
 * what the guest is told. What they report is in `report.ts`; docs/workloads.md describes them.
 *
 * A guest runs a workload from the start when the kernel's command line names it, and another when a line on its port does.
 * Both have the workload's arguments as one word.
 */
import { z } from 'zod';
import { areaSchema, checkTouching, formatArguments, mostArguments, touchingSchema } from './area.ts';
import { fileSetOwner } from './images/fileset.ts';
import { recipeNames } from './images/recipe.ts';
import { recipeSchema } from './microguest/recipe.ts';
import { milliseconds, pages } from './units.ts';

/** The name of the virtio console port on which guests report their workloads and are told what to run. */
export const workloadPort = 'pagefold.workload';

/** The name of the image that is the microguest. It is part of pagefold and not built (`microguest/image.ts`). */
export const microguestImage = 'microguest';

/** Pages of the file set that the image `debian-files` has. */
const fileSetPages = 64 * 256;
const filePages = pages.refine((count) => count >= 1 && count <= fileSetPages, { error: 'at most 64MiB' });
const wholeNumber = (least: number, most: number) => z.int().min(least).max(most);

const idleSchema = z.strictObject({ name: z.literal('idle') });

const toucherSchema = touchingSchema
  .extend({
    name: z.literal('toucher'),
    area: areaSchema
      .prefault([{ unique: '64MiB' }])
      .describe('The segments of pages that are filled, in their order'),
  })
  .superRefine(checkTouching);

const filesSchema = touchingSchema
  .omit({ write_share: true, store: true })
  .extend({
    name: z.literal('files'),
    size: filePages.prefault('64MiB').describe('How much of the file set is read, from its beginning'),
  })
  .superRefine(({ size, ...touching }, context) =>
    checkTouching({ area: [{ zero: size }], ...touching }, context),
  );

const redisSchema = z.strictObject({
  name: z.literal('redis'),
  keys: wholeNumber(1, 1e6).default(10_000).describe('Number of keys that may exist'),
  value_size: wholeNumber(1, 1e6).default(1024).describe('Bytes of a value'),
  clients: wholeNumber(1, 50).default(4).describe('Connections at the same time'),
  requests: wholeNumber(1, 1e6).default(10_000).describe('Requests of each kind, SET and GET, in a round'),
  pause: milliseconds.prefault('1s').describe('Time between two rounds'),
  rounds: wholeNumber(1, 1e6).optional().describe('Number of rounds; without end unless given'),
});

/** A workload with its parameters, as a scenario gives them. */
export const workloadSchema = z.discriminatedUnion('name', [
  idleSchema,
  recipeSchema,
  toucherSchema,
  filesSchema,
  redisSchema,
]);

/** A workload with its parameters. */
export type Workload = z.output<typeof workloadSchema>;
/** A workload's name. */
export type WorkloadName = Workload['name'];

/** For each workload what it is, and the images that have it. */
export const workloads: Readonly<
  Record<WorkloadName, { description: string; runsOn: (image: string) => boolean }>
> = {
  idle: { description: 'nothing', runsOn: () => true },
  recipe: {
    description: 'the microguest: memory by a recipe, touched in a pattern',
    runsOn: (image) => image === microguestImage,
  },
  toucher: {
    description: 'a program that fills memory by a recipe and touches it in a pattern',
    runsOn: (image) => image !== microguestImage,
  },
  files: {
    description: 'reads the pages of a set of files in a pattern, by the page cache',
    runsOn: (image) => image === 'debian-files',
  },
  redis: {
    description: "Debian's Redis, driven by redis-benchmark",
    runsOn: (image) => image === 'debian-redis' || image === 'debian-redis-disk',
  },
};

/** The names of all images: those that are built, and the microguest. */
export async function imageNames(): Promise<string[]> {
  return [...(await recipeNames()), microguestImage];
}

function argumentsOf(workload: Workload, guest: number): string {
  switch (workload.name) {
    case 'idle':
      return `id=${guest}`;
    case 'recipe':
    case 'toucher': {
      const { name, area, ...touching } = workload;
      const defaults = name === 'toucher' ? { rate: 1000, write_share: 20 } : {};
      return formatArguments(guest, area, { ...defaults, ...touching });
    }
    case 'files': {
      const { name: _, size, ...touching } = workload;
      return formatArguments(guest, [{ equal: size, set: fileSetOwner }], { rate: 1000, ...touching });
    }
    case 'redis': {
      const { keys, value_size: size, clients, requests, pause, rounds = 0 } = workload;
      return Object.entries({ keys, size, clients, requests, pause, rounds })
        .map(([key, value]) => `${key}=${value}`)
        .join(',');
    }
  }
}

/** A workload has more arguments than a guest takes. */
export class WorkloadError extends Error {
  override name = 'WorkloadError';
}

function checkedArguments(workload: Workload, guest: number): string {
  const word = argumentsOf(workload, guest);
  if (word.length <= mostArguments) return word;
  throw new WorkloadError(
    `${workload.name}: its parameters take ${word.length} characters, and guests take ${mostArguments}; ` +
      'give fewer segments or phases',
  );
}

/**
 * What is added to the kernel's command line for the guest to run a workload from the start.
 * @param guest the guest's number on its host, 0 to 2^20 - 1: it makes the content of its pages its own
 * @throws WorkloadError when the parameters are too many
 */
export function workloadParameters(workload: Workload, guest: number): string {
  return `pagefold.workload=${workload.name} pagefold.args=${checkedArguments(workload, guest)}`;
}

/**
 * The bytes for the port by which the guest ends its workload and runs this one. The microguest keeps the area that it was
 * filled with: a recipe that it is told later has the same area, or is the first that has one.
 * @throws WorkloadError when the parameters are too many
 */
export function startRequest(workload: Workload, guest: number): Uint8Array {
  return new TextEncoder().encode(`start ${workload.name} ${checkedArguments(workload, guest)}\n`);
}

/** The bytes for the port by which the guest ends its workload. */
export function stopRequest(): Uint8Array {
  return new TextEncoder().encode('stop\n');
}
