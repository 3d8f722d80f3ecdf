/** Counters that run at a fixed frequency in virtual time. Exact for all times below 2^53 ns. */

const SECOND = 1e9;

/** Whole cycles of `hertz` that have ended `time` ns after power-on. */
export function cyclesAt(time: number, hertz: number): number {
  const seconds = Math.floor(time / SECOND);
  return seconds * hertz + Math.floor(((time - seconds * SECOND) * hertz) / SECOND);
}

/** The first whole ns at which {@link cyclesAt} gives `cycles`. */
export function timeOfCycle(cycles: number, hertz: number): number {
  const seconds = Math.floor(cycles / hertz);
  return seconds * SECOND + Math.ceil(((cycles - seconds * hertz) * SECOND) / hertz);
}
