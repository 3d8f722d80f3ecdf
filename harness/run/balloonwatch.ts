/** Notices guests whose driver does not follow the balloon's target. */

/** A balloon that has not moved towards its target for so long, in virtual ns, does not follow it. */
const patience = 10e9;
/** Linux's driver moves 256 pages at once: a difference below that may be on its way. */
const tolerance = 256;

/** See the top of this file: one for each guest. */
export class BalloonWatch {
  #target = 0;
  #actual = 0;
  #since = 0;
  #told = false;

  /** Takes a sample. Gives for how long the target has not been followed when that is to be told now, once a target. */
  notice(time: number, target: number, actual: number): number | undefined {
    if (target !== this.#target) this.#told = false;
    if (target !== this.#target || actual !== this.#actual) this.#since = time;
    this.#target = target;
    this.#actual = actual;
    const waited = time - this.#since;
    if (this.#told || Math.abs(target - actual) < tolerance || waited < patience) return undefined;
    this.#told = true;
    return waited;
  }
}
