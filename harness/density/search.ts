/** Finds the largest number for which something holds that holds for small numbers and not for large ones. */

/** What a search found. */
export interface Found {
  /** The largest number for which it holds; 0 when it does not hold for 1. */
  readonly largest: number;
  /** False when it holds for the upper limit: more may do too. */
  readonly exact: boolean;
}

/**
 * Doubles from 1 on until it does not hold, then halves the gap. `holds` is asked at most once for a number.
 * @param most the upper limit, at least 1
 */
export async function largestThat(most: number, holds: (count: number) => Promise<boolean>): Promise<Found> {
  let good = 0;
  let bad = most + 1;
  let next = 1;
  while (bad - good > 1) {
    if (await holds(next)) {
      good = next;
      next = bad === most + 1 ? Math.min(2 * good, most) : Math.floor((good + bad) / 2);
    } else {
      bad = next;
      next = Math.floor((good + bad) / 2);
    }
  }
  return { largest: good, exact: bad <= most };
}
