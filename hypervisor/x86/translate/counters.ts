/** What the translator has done: counted for statistics, and of no effect. */

/** Why the straight-line code of a region ended other than by a jump within it. */
export const regionEnds = [
  /** Into what has never been executed, or not often enough. */
  'cold',
  /** Into code that another region has. */
  'translated',
  /** By an instruction that reaches into the next page, or bytes that are none. */
  'notAnInstruction',
  /** By an instruction that only the interpreter executes: {@link TranslatorCounters.untranslatable} tells which. */
  'untranslatable',
  /** The region had as many instructions as one may have. */
  'full',
  /** An edge into the middle of a loop. */
  'irreducible',
] as const;
/** One of {@link regionEnds}. */
export type RegionEnd = (typeof regionEnds)[number];

/** Counters of the translator. */
export interface TranslatorCounters {
  /** Regions made, with their entries and instructions. */
  regions: number;
  entries: number;
  instructions: number;
  /** Calls whose functions were copied to where they are called. */
  inlined: number;
  /** Modules made, and their bytes. */
  modules: number;
  bytes: number;
  /** Of these, those in use. */
  liveModules: number;
  liveBytes: number;
  /** Modules evicted because there were too many bytes, or too few table entries; with their regions' entries. */
  evictedModules: number;
  evictedBytes: number;
  evictedEntries: number;
  /** Regions, and their bytes, of pages that were found decoded when a guest came to execute them. */
  sharedRegions: number;
  sharedBytes: number;
  /** Regions of pages that a guest wrote to: it lost them, though others may have them still. */
  detachedRegions: number;
  /** Regions that were given up, since groups of accesses often lay in two pages. */
  givenUp: number;
  /** Templates made. */
  templates: number;
  /** Hot code that was given up: it is of another code size, or begins with what cannot be translated. */
  notCode64: number;
  notTranslatable: number;
  /** Why code in regions ended. */
  readonly ends: Record<RegionEnd, number>;
  /** Instructions that ended it as only the interpreter executes them, by name: number of times. */
  readonly untranslatable: Record<string, number>;
}

/** Counters that have counted nothing. */
export function translatorCounters(): TranslatorCounters {
  return {
    regions: 0,
    entries: 0,
    instructions: 0,
    inlined: 0,
    modules: 0,
    bytes: 0,
    liveModules: 0,
    liveBytes: 0,
    evictedModules: 0,
    evictedBytes: 0,
    evictedEntries: 0,
    sharedRegions: 0,
    sharedBytes: 0,
    detachedRegions: 0,
    givenUp: 0,
    templates: 0,
    notCode64: 0,
    notTranslatable: 0,
    ends: { cold: 0, translated: 0, notAnInstruction: 0, untranslatable: 0, full: 0, irreducible: 0 },
    untranslatable: {},
  };
}
