/** How many free frames the host wants to have. */
import { deviceReserve } from './addressspace.ts';

/** Numbers of free frames at which something is done. */
export interface Watermarks {
  /** Below it whoever needs a frame takes back others itself: direct reclaim. */
  readonly min: number;
  /** Below it kswapd wakes. */
  readonly low: number;
  /** From it on kswapd sleeps. */
  readonly high: number;
}

/** The share of the host's frames that stays free at least, and how far above it kswapd wakes and sleeps. */
const share = 1 / 128;

/** The watermarks of a host with `frames` frames. What guests are granted in a round comes from here. */
export function watermarks(frames: number): Watermarks {
  const min = Math.max(2 * deviceReserve, Math.floor(frames * share));
  return { min, low: Math.floor(1.5 * min), high: 2 * min };
}
