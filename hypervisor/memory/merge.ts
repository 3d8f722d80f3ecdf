/**
 * What a same-page scanner sees of the host's memory, and what it may do there.
 *
 * All of it happens between rounds, while no guest runs. Frames are named by their host address; the scanner
 * compares contents itself, in place.
 */
import type { HostMemory } from './hostmemory.ts';

/** What a frame is used for. */
export type FrameClass = 'free' | 'granted' | 'private' | 'zero' | 'ksm' | 'swapcache';

/** One guest's memory. Pages are guest-physical page numbers, ascending. */
export interface MergeSpace {
  /** Number of the guest on the host; never given to another guest. */
  readonly id: number;
  /** Number of pages that the slots cover, holes included. */
  readonly pageCount: number;
  /** Host address of the slot array (`slots.ts`), which a scanner may read directly. */
  readonly slots: number;
  /** False when the guest's memory must not be merged (QEMU's `mem-merge=off`). */
  readonly mergeable: boolean;
}

/** Why a page no longer maps a shared frame. */
export type DropCause =
  /** The guest wrote: copy-on-write break. */
  | 'write'
  /** The page went away: balloon, free page reporting, the guest's end. */
  | 'discard'
  /** The frame went to swap. */
  | 'swap'
  /** {@link MergeMemory.unshare}. */
  | 'unshare';

/** What the memory tells to whoever listens, between rounds, in the order in which it happened. */
export interface MergeListener {
  /** A guest's memory is there from now on. */
  spaceAdded?(space: MergeSpace): void;
  /** A guest's memory is gone; each of its mappings was told as dropped before. */
  spaceRemoved?(space: MergeSpace): void;
  /** At virtual time `time` (ns) a page stopped to map a ksm frame or the zero frame; `left` pages still map it. */
  dropped?(
    space: MergeSpace,
    page: number,
    frame: number,
    cause: DropCause,
    left: number,
    time: number,
  ): void;
  /** The last mapping of a ksm frame is gone, so it is one no longer; `tag` is what `share` was given. Comes right behind `dropped`. */
  released?(frame: number, tag: number): void;
  /** A page of a ksm frame that had gone to swap got a frame of its own when it was read back. */
  swappedInCopy?(space: MergeSpace, page: number, time: number): void;
}

/** The host's memory for a scanner. */
export interface MergeMemory {
  readonly memory: HostMemory;
  /** Guests in the order in which they were added, without those that were removed. */
  readonly spaces: readonly MergeSpace[];
  /** The frame of zeros that pages may share; never a ksm frame. */
  readonly zeroFrame: number;
  /** Frame of a page that may be merged (present, RAM, not pinned); 0 when there is none. */
  frameOf(space: MergeSpace, page: number): number;
  /** What a frame is used for. */
  classOf(frame: number): FrameClass;
  /** Number of pages that map a frame. */
  mapCount(frame: number): number;
  /** Number of a guest's pages that a scanner mapped to the zero frame and that still map it. */
  zeroPages(space: MergeSpace): number;
  /** Makes the private frame of a page a ksm frame: write-protected, with the scanner's own tag (32 bits, not 0). */
  share(space: MergeSpace, page: number, tag: number): void;
  /** The tag of a ksm frame; 0 for every other frame. */
  tagOf(frame: number): number;
  /** Maps a ksm frame or the zero frame in place of a page's private frame, which is freed. The caller found the contents equal. */
  replace(space: MergeSpace, page: number, frame: number): void;
  /** Gives a page that maps a shared frame a private copy. False when the host has no frame left. */
  unshare(space: MergeSpace, page: number): boolean;
  /** Tells `listener` of everything from now on; listeners are told in the order in which they came. */
  listen(listener: MergeListener): void;
}
