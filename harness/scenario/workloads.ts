/**
 * Workloads that guests can be told to run, with their parameters, and how a guest is told. The programs are in
 * `workloads/guest/` and `workloads/microguest/`; their arguments are read in `workloads/native/`.
 */
import { z } from 'zod';
import { size, time } from './units.ts';

const pageSize = 4096;
/** A guest page's place in the area, and the number of a set, have 20 bits. */
const mostPages = 2 ** 20 - 1;

const memory = size.refine((bytes) => bytes > 0 && bytes % pageSize === 0 && bytes <= mostPages * pageSize, {
  error: 'impossible here: it must be whole pages of 4KiB, less than 4GiB',
});
/** The image that is no Linux: a tiny guest that needs no download. */
export const microguest = 'microguest';
/** A guest's number has four digits at most. */
const mostGuestNumber = 9999;
const perSecond = z.int().min(1).max(100_000_000);
const perCent = z.int().min(0).max(100);

/** A part of the area: so much memory of one kind of content. */
const segment = z
  .union([
    z.strictObject({ zero: memory.describe('Pages of zeros, written') }),
    z.strictObject({
      equal: memory.describe('Pages that every guest has, each unlike the others'),
      set: z.int().min(0).max(mostPages).default(0).describe('Other sets have other pages'),
    }),
    z.strictObject({
      within: memory.describe('Pages in groups of equal ones within the guest'),
      groups: z.int().min(1).max(mostPages).describe('Number of groups'),
    }),
    z.strictObject({ unique: memory.describe('Pages like no other') }),
    z.strictObject({
      changing: memory.describe('Pages like no other, rewritten one after the other'),
      rate: perSecond.describe('Pages a second'),
    }),
    z.strictObject({ freed: memory.describe('Pages that are written and given back; they come last') }),
  ])
  .describe('So much memory of one kind of content');

const touching = z.strictObject({
  pattern: z.enum(['random', 'sequential', 'hotcold']).default('random').describe('Order of the accesses'),
  rate: z
    .union([z.literal('max'), perSecond])
    .optional()
    .describe('Accesses a second; max: as many as there is time for'),
  write: perCent.default(0).describe('Of 100 accesses, those that write'),
  store: z.enum(['new', 'same']).default('new').describe('same: a write stores what is there already'),
  check: z.enum(['word', 'page']).default('word').describe('What is checked of a page that is read'),
  hot: perCent.default(10).describe('hotcold: of 100 pages, those that are hot'),
  heat: perCent.default(90).describe('hotcold: of 100 accesses, those that go to them'),
  offset: size.prefault('0KiB').describe('Where in the area the working set begins'),
  size: size.optional().describe('Size of the working set; the whole area unless given'),
  duration: time.optional().describe('How long it goes on; without end unless given'),
  report: time.prefault('1s').describe('How often latencies are reported'),
  verify: time.prefault('0s').describe('How often all is checked; 0s: never'),
});

const fill = z.array(segment).min(1).max(16).describe('What the area has, part after part');
const touch = z
  .union([touching, z.array(touching).min(1).max(8)])
  .transform((given) => [given].flat())
  .describe('How the area is touched: one way, or one after the other');

/** A workload with its parameters. */
export const workloadObject = z.discriminatedUnion('name', [
  z.strictObject({ name: z.literal('idle') }),
  z.strictObject({ name: z.literal('recipe'), fill, touch: touch.optional() }),
  z.strictObject({
    name: z.literal('toucher'),
    fill: fill.prefault([{ unique: '64MiB' }]),
    touch: touch.prefault({ rate: 1000, write: 20 }),
  }),
  z.strictObject({
    name: z.literal('files'),
    size: memory.prefault('32MiB').describe('How much of the image’s file set is read'),
    touch: touch.prefault({ rate: 1000 }),
  }),
]);

/** The names of the workloads. */
export const workloadNames = workloadObject.options.map(({ shape }) => shape.name.value);
/** Those that need no parameter. */
const bareNames = ['idle', 'toucher', 'files'] as const;

/** A workload, or its name alone when all its parameters have their defaults. */
export const workload = z
  .union([z.enum(bareNames), workloadObject])
  .transform((given) => (typeof given === 'string' ? workloadObject.parse({ name: given }) : given))
  .describe('What the guest does: the name of a workload, or its name with parameters');

/** See {@link workloadObject}. */
export type Workload = z.output<typeof workloadObject>;
type Touching = z.output<typeof touching>;
type Segment = z.output<typeof segment>;

/** A guest takes arguments up to this length. */
const longestArguments = 511;

/** Why a workload cannot be told to a guest; undefined when it can. The image is that of the guest. */
export function workloadProblem(given: Workload, image: string): string | undefined {
  const isMicroguest = image === microguest;
  if (given.name === 'recipe' && !isMicroguest) return `the workload recipe is for the image ${microguest}`;
  if (['toucher', 'files'].includes(given.name) && isMicroguest) {
    return `the image ${microguest} has the workloads idle and recipe`;
  }
  if (workloadArguments(given, mostGuestNumber).length > longestArguments) return 'it has too many parts';
  return undefined;
}

/** Words of the kernel's command line by which guest number `guest` learns what to do. */
export function workloadWords(given: Workload, guest: number): string[] {
  return [`pagefold.workload=${given.name}`, `pagefold.args=${workloadArguments(given, guest)}`];
}

/** Why a running guest cannot be told to begin a workload; undefined when it can. */
export function startProblem(given: Workload, image: string): string | undefined {
  if (image !== microguest) return workloadProblem(given, image);
  // Its memory is filled once; what can change is how it is touched.
  return given.name === 'toucher' ? undefined : `a running ${microguest} can be told to begin toucher only`;
}

/** The line by which a running guest is told to begin something else. */
export function startCommand(given: Workload, image: string, guest: number): string {
  const words =
    image === microguest && given.name === 'toucher'
      ? touchArguments(given.touch, guest)
      : workloadArguments(given, guest);
  return `start ${given.name} ${words}\n`;
}

/** `KEY=VALUE,...` as `workloads/native/arguments.h` has it: pages, ms, and a slash between phases. */
function workloadArguments(given: Workload, guest: number): string {
  return parts(given, guest)
    .filter((part) => part !== '')
    .join(',');
}

function parts(given: Workload, guest: number): string[] {
  const own = [`id=${guest}`];
  switch (given.name) {
    case 'idle':
      return own;
    case 'files':
      // The file set has the pages of set 0.
      return [...own, `equal=${given.size / pageSize}:0`, touchArguments(given.touch, guest)];
    case 'recipe':
    case 'toucher':
      return [...own, ...given.fill.map(segmentArgument), touchArguments(given.touch ?? [], guest)];
  }
}

function segmentArgument(segment: Segment): string {
  const pages = (bytes: number) => bytes / pageSize;
  if ('zero' in segment) return `zero=${pages(segment.zero)}`;
  if ('equal' in segment) return `equal=${pages(segment.equal)}:${segment.set}`;
  if ('within' in segment) return `within=${pages(segment.within)}:${segment.groups}`;
  if ('unique' in segment) return `unique=${pages(segment.unique)}`;
  if ('changing' in segment) return `changing=${pages(segment.changing)}:${segment.rate}`;
  return `freed=${pages(segment.freed)}`;
}

/** What the programs begin with. */
const defaults: Readonly<Record<string, string | number>> = {
  pattern: 'random',
  rate: 0,
  write: 0,
  store: 'new',
  check: 'word',
  hot: 10,
  heat: 90,
  seed: 0,
  from: 0,
  pages: 0,
  duration: 0,
  report: 1000,
  verify: 0,
};

/** The phases, each with what differs from the one before it. */
function touchArguments(phases: readonly Touching[], guest: number): string {
  let before = defaults;
  const texts = phases.map((phase) => {
    const now = phaseArguments(phase, guest);
    const changed = Object.entries(now).filter(([key, value]) => value !== before[key]);
    before = now;
    return changed.map(([key, value]) => `${key}=${value}`).join(',');
  });
  return texts.join('/');
}

function phaseArguments(phase: Touching, guest: number): Record<string, string | number> {
  const { rate = 0, offset, size: workingSet = 0, duration = 0, report, verify, ...same } = phase;
  return {
    ...same,
    rate,
    // Guests touch in an order of their own.
    seed: guest,
    from: offset / pageSize,
    pages: workingSet / pageSize,
    duration: duration / 1e6,
    report: report / 1e6,
    verify: verify / 1e6,
  };
}
