/** Feature bits of the balloon, and the virtqueues that depend on them (Virtual I/O Device 1.3, sections 5.5.2 and 5.5.3). */

export const F_MUST_TELL_HOST = 0;
export const F_STATS_VQ = 1;
export const F_DEFLATE_ON_OOM = 2;
export const F_FREE_PAGE_HINT = 3;
export const F_PAGE_POISON = 4;
export const F_PAGE_REPORTING = 5;

/** All six. */
export const BALLOON_FEATURES: readonly number[] = [
  F_MUST_TELL_HOST,
  F_STATS_VQ,
  F_DEFLATE_ON_OOM,
  F_FREE_PAGE_HINT,
  F_PAGE_POISON,
  F_PAGE_REPORTING,
];

/** What a virtqueue of the balloon is for. */
export type BalloonQueue = 'inflate' | 'deflate' | 'stats' | 'hint' | 'report';

/** The queues that a feature brings, in the order of their numbers. */
const OPTIONAL_QUEUES: readonly { readonly queue: BalloonQueue; readonly feature: number }[] = [
  { queue: 'stats', feature: F_STATS_VQ },
  { queue: 'hint', feature: F_FREE_PAGE_HINT },
  { queue: 'report', feature: F_PAGE_REPORTING },
];

/**
 * The queues in order of their numbers. The specification gives each queue a fixed number (0 to 4); Linux's driver
 * counts only the queues whose feature it negotiated, and QEMU's device likewise. That is how the deployed
 * drivers behave, so it is what holds here. With all features both ways of counting agree.
 * @param has whether a feature was negotiated (or is offered, to count the queues there can be)
 */
export function balloonQueues(has: (feature: number) => boolean): BalloonQueue[] {
  const optional = OPTIONAL_QUEUES.filter(({ feature }) => has(feature)).map(({ queue }) => queue);
  return ['inflate', 'deflate', ...optional];
}
