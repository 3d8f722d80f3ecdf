/** What differs between the kernels whose KSM the scanner follows. */

/** A kernel's KSM. */
export interface Profile {
  /**
   * The checksum filter stands before the search in the stable tree (since 6.11). Before, a page could join a merged frame on its
   * first visit, and a page that changed all the time was searched for at each.
   */
  readonly checksumFirst: boolean;
  /** Pages that found no twin are passed over more and more often (since 6.7). */
  readonly smartScan: boolean;
  /** `pages_to_scan` can be set by the scan-time advisor (since 6.8). */
  readonly advisor: boolean;
  /** Pages mapped to the zero frame are counted, and taken back by run = 2 (since 6.6). */
  readonly zeroPages: boolean;
  /** Holes are stepped over page by page, at a cost for each; later kernels walk page tables and skip them (since 6.18). */
  readonly stepsOverHoles: boolean;
}

/** The profiles by name. */
export const profiles = {
  'linux-6.1': {
    checksumFirst: false,
    smartScan: false,
    advisor: false,
    zeroPages: false,
    stepsOverHoles: true,
  },
  'linux-6.8': {
    checksumFirst: false,
    smartScan: true,
    advisor: true,
    zeroPages: true,
    stepsOverHoles: true,
  },
  'linux-6.12': {
    checksumFirst: true,
    smartScan: true,
    advisor: true,
    zeroPages: true,
    stepsOverHoles: true,
  },
  'linux-6.18': {
    checksumFirst: true,
    smartScan: true,
    advisor: true,
    zeroPages: true,
    stepsOverHoles: false,
  },
} as const satisfies Record<string, Profile>;

/** Name of a profile. */
export type ProfileName = keyof typeof profiles;
