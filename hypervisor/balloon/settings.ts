/** How a guest's balloon is set up: what its device offers, and within which bounds policies move it. */
import {
  F_DEFLATE_ON_OOM,
  F_FREE_PAGE_HINT,
  F_MUST_TELL_HOST,
  F_PAGE_POISON,
  F_PAGE_REPORTING,
  F_STATS_VQ,
} from '../virtio/balloon/features.ts';

/** What a guest's balloon can do besides growing, shrinking and giving statistics. */
export interface BalloonDevice {
  /** The guest may take pages back by itself when it runs out of memory. */
  readonly deflateOnOom: boolean;
  /** The guest says with which value it fills free pages. */
  readonly pagePoison: boolean;
  /** The guest reports free pages, which the host then has until they are touched. */
  readonly freePageReporting: boolean;
  /** The host can ask the guest for hints which pages are free. */
  readonly freePageHinting: boolean;
}

/** The feature bits of such a device. It always tells of pages that leave it. */
export function balloonFeatures(device: BalloonDevice): readonly number[] {
  const bits = [F_MUST_TELL_HOST, F_STATS_VQ];
  if (device.deflateOnOom) bits.push(F_DEFLATE_ON_OOM);
  if (device.freePageHinting) bits.push(F_FREE_PAGE_HINT);
  if (device.pagePoison) bits.push(F_PAGE_POISON);
  if (device.freePageReporting) bits.push(F_PAGE_REPORTING);
  return bits;
}

/** How a policy may treat a guest. Sizes are what is left to it, in bytes. */
export interface BalloonBounds {
  /** The least that a policy may leave to it. */
  readonly minimum: number;
  /** The size that its owner has set; all of its memory when not given. */
  readonly size?: number;
}

/** The bounds of a guest whose owner says nothing: an eighth of its memory stays, which Linux needs to go on. */
export function defaultBounds(memory: number): BalloonBounds {
  return { minimum: Math.floor(memory / 8) };
}
