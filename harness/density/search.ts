/** Finds the largest number for which something holds that holds for small numbers and not for large ones. */

/** What a search found. */
export interface Found {
  /** The largest number for which it holds; 0 when it does not hold for 1. */
  readonly largest: number;
  /** False when it holds for the upper limit: more may do too. */
  readonly exact: boolean;
}

/**
 * Goes from `start` in steps that double, up while it holds or down while it does not, then halves the gap. `holds` is
 * asked at most once for a number, and seldom far beyond the answer when `start` is near it: large numbers cost most.
 * @param most the upper limit, at least 1
 */
export async function largestThat(
  most: number,
  start: number,
  holds: (count: number) => Promise<boolean>,
): Promise<Found> {
  let good = 0;
  let bad = most + 1;
  let step = 1;
  let next = Math.min(Math.max(1, start), most);
  while (bad - good > 1) {
    if (await holds(next)) good = next;
    else bad = next;
    if (bad > most) next = Math.min(good + step, most);
    else if (good === 0) next = Math.max(1, bad - step);
    else next = Math.floor((good + bad) / 2);
    step *= 2;
  }
  return { largest: good, exact: bad <= most };
}
