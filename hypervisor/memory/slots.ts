/**
 * A guest's memory map: guest-physical page number → host frame.
 *
 * An array of 32-bit entries in host memory, read by the CPU's page walk. An entry is the frame's host address
 * with flags in its low 12 bits; 0 stands for a page that has no frame now (untouched, ballooned, swapped).
 */

/** The page has a frame. */
export const present = 1;
/** The frame is the page's own and may be written; without it a write asks the host first (copy-on-write). */
export const writable = 2;
/** The page's contents have been decoded as code; a write must tell the decoder first. */
export const hasCode = 4;
/** No memory there at all: device registers or nothing. */
export const hole = 8;
/** Mask of the frame's host address. */
export const frameMask = -4096;
