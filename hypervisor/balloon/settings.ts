/** How a guest's balloon is set up: what its device offers and within which bounds policies may move it. */
import {
  F_DEFLATE_ON_OOM,
  F_FREE_PAGE_HINT,
  F_MUST_TELL_HOST,
  F_PAGE_POISON,
  F_PAGE_REPORTING,
  F_STATS_VQ,
} from '../virtio/balloon/features.ts';

/** See the top of this file. */
export interface BalloonSettings {
  /** Whether the guest may take pages back by itself when it runs out of memory. */
  readonly deflateOnOom: boolean;
  /** Whether the guest says with which value it fills free pages. */
  readonly pagePoison: boolean;
  /** Whether the guest reports free pages, which the host then takes until they are touched. */
  readonly freePageReporting: boolean;
  /** Whether the host can ask the guest for hints which pages are free. */
  readonly freePageHinting: boolean;
  /** Virtual ns between requests for statistics; 0 for never. */
  readonly statsInterval: number;
  /** The least, in bytes, that a policy may leave to the guest. */
  readonly minimum: number;
  /** The size in bytes that the guest's owner has set; all of its memory when not given. */
  readonly size?: number;
}

/** What holds when nothing is said: QEMU's device with free page reporting, asked for statistics every 5 s as MOM does; policies may take all but an eighth. */
export function defaultBalloon(memory: number): BalloonSettings {
  return {
    deflateOnOom: false,
    pagePoison: true,
    freePageReporting: true,
    freePageHinting: true,
    statsInterval: 5_000_000_000,
    minimum: Math.floor(memory / 8),
  };
}

/** The feature bits of a device with these settings. It always hears of pages that leave the balloon, and can be asked for statistics. */
export function balloonFeatures(settings: BalloonSettings): readonly number[] {
  const bits = [F_MUST_TELL_HOST, F_STATS_VQ];
  if (settings.deflateOnOom) bits.push(F_DEFLATE_ON_OOM);
  if (settings.freePageHinting) bits.push(F_FREE_PAGE_HINT);
  if (settings.pagePoison) bits.push(F_PAGE_POISON);
  if (settings.freePageReporting) bits.push(F_PAGE_REPORTING);
  return bits;
}
