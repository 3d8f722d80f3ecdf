/** When the counters of a scanner have settled, by the same rule on every host. */

/** Time that idle guests are left alone before merging begins, in ms. */
export const idleMs = 5000;
/** Counters have settled when so many full scans changed them by no more than this part. A page that did not merge is skipped for up to 8. */
const settledScans = 10;
const settledChange = 0.002;

/** See the top of this file. */
export class Settling {
  #scans: number;
  #sharing = 0;

  /** @param scans full scans at the start */
  constructor(scans: number) {
    this.#scans = scans;
  }

  /** Whether `full_scans` and `pages_sharing` now say that they have settled. */
  look(scans: number, sharing: number): boolean {
    if (Math.abs(sharing - this.#sharing) > settledChange * sharing) {
      this.#scans = scans;
      this.#sharing = sharing;
      return false;
    }
    return scans - this.#scans >= settledScans && sharing > 0;
  }
}
