/**
 * A guest's memory map: guest-physical page number → host frame.
 *
 * An array of 32-bit entries in host memory, read by the CPU's page walk. An entry of a present page is the frame's host
 * address with flags in its low 12 bits. The entry of a page without a frame says why; 0 stands for one that was never touched.
 */

/** The page has a frame. */
export const present = 1;
/** The frame is the page's own and may be written; without it a write asks the host first (copy-on-write). */
export const writable = 2;
/** The page's contents have been decoded as code; a write must tell the decoder first. It stays while the page is in swap. */
export const hasCode = 4;
/** No memory there at all: device registers or nothing. */
export const hole = 8;
/**
 * The page was read, written or executed since the bit was cleared. Set when a TLB entry is filled, so whoever clears it has
 * the guest's TLBs emptied; a page without it is in no TLB.
 */
export const accessed = 16;
/** The page was written since the bit was cleared, which goes like {@link accessed}. */
export const dirty = 32;
/** The contents are in swap: the entry's upper 20 bits are the number of the swap slot. */
export const swapped = 64;
/** The page is in the guest's balloon. */
export const ballooned = 128;
/** The guest reported the page as free, and the host took its frame. */
export const reported = 256;
/** The page maps the zero frame because a scanner put it there. */
export const mergedZero = 512;
/** The page left the balloon and was not touched since. */
export const returned = 1024;
/** Writes are watched: while the page has this and is not {@link dirty}, it was not written since that began. It goes when the page changes its frame. */
export const watched = 2048;

/** Mask of the frame's host address. */
export const frameMask = -4096;
/** Shift of a swap slot's number. */
export const swapShift = 12;
/** Swap slots that entries can name. */
export const mostSwapSlots = 2 ** 20;
