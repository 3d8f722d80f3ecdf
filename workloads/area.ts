/**
 * The memory that a workload fills, and how it touches it: what `native/area.c` and `native/work.c` take as arguments.
 * The microguest's recipe and the workloads `toucher` and `files` of Debian guests have it in common.
 */
import { z } from 'zod';
import { milliseconds, pages, percent } from './units.ts';

/** No area has more pages; an index of a page has 20 bits. */
export const mostPages = 2 ** 20 - 1;
/** No area has more segments. */
export const mostSegments = 16;
/** No workload's arguments have more characters. */
export const mostArguments = 511;

const count = pages.refine((value) => value >= 1 && value <= mostPages, {
  error: 'at least one page, at most 4GiB',
});
// The largest number is that of the file set.
const set = z
  .int()
  .min(0)
  .max(mostPages - 1);

/** A part of an area: pages of one kind of content, and how many. The parts lie one behind the other. */
export const segmentSchema = z.union(
  [
    z.strictObject({ zero: count.describe('Pages of zeros, written') }),
    z.strictObject({
      equal: count.describe(
        'Pages that are equal to those of the same set in every guest, each unlike the others',
      ),
      set: set.default(0).describe('The number of the set'),
    }),
    z.strictObject({
      within: count.describe('Pages equal within the guest: page i equals page i + groups'),
      groups: z.int().min(1).max(mostPages).default(1).describe('How many different pages there are'),
    }),
    z.strictObject({ unique: count.describe('Pages like no other, of any guest') }),
    z.strictObject({
      changing: count.describe('Pages like no other, rewritten one after the other, over and over'),
      rate: z.int().min(1).max(1e8).describe('Pages rewritten in a second, all together'),
    }),
    z.strictObject({
      freed: count.describe('Pages that are written, as unique, and then free; they come last'),
    }),
  ],
  {
    error:
      'a segment is one of { zero }, { equal, set }, { within, groups }, { unique }, { changing, rate } and { freed }, ' +
      'where the first is a number of pages or a size',
  },
);

/** See {@link segmentSchema}. */
export type Segment = z.output<typeof segmentSchema>;

/** How many pages a segment has. */
export function segmentPages(segment: Segment): number {
  if ('zero' in segment) return segment.zero;
  if ('equal' in segment) return segment.equal;
  if ('within' in segment) return segment.within;
  if ('unique' in segment) return segment.unique;
  return 'changing' in segment ? segment.changing : segment.freed;
}

/** The segments of an area, in their order. */
export const areaSchema = z
  .array(segmentSchema)
  .max(mostSegments)
  .refine((all) => all.slice(0, -1).every((each) => !('freed' in each)), {
    error: 'freed pages come last, and once',
  })
  .refine((all) => areaPages(all) <= mostPages, { error: 'the area is larger than 4GiB' });

/** How many pages an area has. */
export function areaPages(area: readonly Segment[]): number {
  return area.reduce((sum, segment) => sum + segmentPages(segment), 0);
}

/** How many pages an area keeps: all but the freed ones. */
export function keptPages(area: readonly Segment[]): number {
  return areaPages(area.filter((segment) => !('freed' in segment)));
}

/** How an area is touched; an access touches one page. What a phase leaves out, but for its duration, is as in the phase before. */
const touchingShape = {
  pattern: z
    .enum(['random', 'sequential', 'hotcold'])
    .optional()
    .describe('Order of the accesses: each page by chance, one after the other, or by chance with hot pages'),
  rate: z
    .union([z.int().min(0).max(1e8), z.literal('max')])
    .optional()
    .describe('Accesses a second, or max for as many as there is time for'),
  write_share: percent.optional().describe('Share of the accesses that write, 0 to 1'),
  store: z
    .enum(['new', 'same'])
    .optional()
    .describe(
      'What a write does: it gives the page a content that is new, or stores a word that is there already',
    ),
  hot_share: percent.optional().describe('With hotcold: share of the pages that are hot; they come first'),
  hot_accesses: percent.optional().describe('With hotcold: share of the accesses that go to hot pages'),
  from: pages.optional().describe('Where the working set begins in the area'),
  working_set: pages.optional().describe('Memory that is touched; the whole area unless given'),
  check: z
    .enum(['word', 'page'])
    .optional()
    .describe('What a read checks: the first word of the page, or all of it'),
  verify: milliseconds
    .optional()
    .describe('How often the whole area is read and checked; never unless given'),
  report: milliseconds.optional().describe('How often latencies are reported; every second unless given'),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .optional()
    .describe('What chance starts from, together with the guest'),
  duration: milliseconds.optional().describe('How long this phase lasts; for ever unless given'),
};

const phaseSchema = z.strictObject(touchingShape);

/** Touching, with later phases. */
export const touchingSchema = z.strictObject({
  ...touchingShape,
  phases: z.array(phaseSchema).max(8).optional().describe('What comes next, phase by phase'),
});

/** See {@link touchingSchema}. */
export type Touching = z.output<typeof touchingSchema>;
type Phase = z.output<typeof phaseSchema>;

/** Checks that there is what is to be touched, and that every phase but the last ends. */
export function checkTouching(
  { area, phases = [], ...first }: Touching & { readonly area: readonly Segment[] },
  context: z.RefinementCtx,
): void {
  const kept = keptPages(area);
  let known: Phase = {};
  for (const [number, phase] of [first as Phase, ...phases].entries()) {
    known = { ...known, ...phase };
    const complain = (key: keyof Phase, message: string) => {
      context.addIssue({ code: 'custom', path: number === 0 ? [key] : ['phases', number - 1, key], message });
    };
    const { from = 0, working_set: set = 0, rate = 0 } = known;
    if (from + set > kept || (from > 0 && set === 0)) {
      complain(set === 0 ? 'from' : 'working_set', `the area has ${kept} pages, and this reaches beyond`);
    }
    if (kept === 0 && rate !== 0) complain('rate', 'the area has no page to touch');
    if (number < phases.length && phase.duration === undefined) {
      complain('duration', 'without it this phase does not end, and the next never begins');
    }
  }
}

/** The words that describe an area, of the guest of that number. */
export function areaWords(guest: number, area: readonly Segment[]): string[] {
  const words = area.map((segment) => {
    if ('zero' in segment) return `zero=${segment.zero}`;
    if ('equal' in segment) return `equal=${segment.equal}:${segment.set}`;
    if ('within' in segment) return `within=${segment.within}:${segment.groups}`;
    if ('unique' in segment) return `unique=${segment.unique}`;
    return 'changing' in segment ? `changing=${segment.changing}:${segment.rate}` : `freed=${segment.freed}`;
  });
  return [`id=${guest}`, ...words];
}

/** Names of the arguments, by the names of the keys. */
const argumentNames: Readonly<Record<keyof Phase, string>> = {
  pattern: 'pattern',
  rate: 'rate',
  write_share: 'write',
  store: 'store',
  hot_share: 'hot',
  hot_accesses: 'heat',
  from: 'from',
  working_set: 'pages',
  check: 'check',
  verify: 'verify',
  report: 'report',
  seed: 'seed',
  duration: 'duration',
};

/** The words of a phase. Guests of one scenario have the same seed, so the guest's number is mixed in. */
function phaseWords(guest: number, phase: Phase): string[] {
  return (Object.keys(argumentNames) as (keyof Phase)[]).flatMap((key) => {
    const value = phase[key];
    if (value === undefined) return [];
    return [`${argumentNames[key]}=${key === 'seed' ? (value as number) * 2 ** 20 + guest : value}`];
  });
}

/** The arguments by which the guest of that number fills and touches an area. */
export function formatArguments(guest: number, area: readonly Segment[], touching: Touching): string {
  const { phases = [], ...first } = touching;
  const begin = [...areaWords(guest, area), ...phaseWords(guest, { seed: 0, ...first })].join(',');
  return [begin, ...phases.map((phase) => phaseWords(guest, phase).join(','))].join('/');
}
