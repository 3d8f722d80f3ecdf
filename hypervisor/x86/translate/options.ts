/** What steers the translator. None of it changes what a guest computes. */

/** What a region may have that other regions have as well. */
export interface Copying {
  /** Most instructions in all. */
  readonly most: number;
  /** Most instructions of a function that is copied to where it is called, with those that it calls; and how deep these may be. */
  readonly largestCalled: number;
  readonly deepestCall: number;
}

/** See the top of this file. */
export interface TranslationOptions {
  /** Arrivals at a leader after which its code is translated; 1 … 2^31 − 1. */
  readonly hotAfter: number;
  /** Arrivals at a leader below which a region leaves its code out; no more than `hotAfter`. */
  readonly cold: number;
  /** Most instructions in a region. */
  readonly largestRegion: number;
  /** Times that a region is entered by a leader after which a larger one takes its place: not at once, since these take time to make. */
  readonly busyAfter: number;
  /**
   * What first regions copy: small functions alone, which spares jumps out of the region and back for little code. And what large
   * ones copy.
   */
  readonly firstCopies: Copying;
  readonly largeCopies: Copying;
  /** Runs of a vCPU that hot code waits for as much more of it as makes a module worth its overhead. */
  readonly patience: number;
  /** Bytes of live modules beyond which the coldest are evicted. */
  readonly mostBytes: number;
}

/** What is good for guests that run for seconds. */
export const usualTranslation: TranslationOptions = {
  hotAfter: 1000,
  cold: 50,
  largestRegion: 600,
  busyAfter: 50_000,
  firstCopies: { most: 100, largestCalled: 24, deepestCall: 2 },
  largeCopies: { most: 200, largestCalled: 100, deepestCall: 3 },
  patience: 8,
  mostBytes: 32 << 20,
};
