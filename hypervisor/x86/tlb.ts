/**
 * The software TLB: guest-linear page → host address, by kind of access.
 *
 * A set has 32,768 entries of 32 bytes, found by bits 12 … 26 of the linear address. Each entry has a tag for
 * reading, writing and executing: the linear address of the page, or −1. (Memory comes as zeros, the tag of page 0 alone: its entries, and
 * those of the last page, from which an access may reach into it, are made −1 at the start, so that the others cost no memory until they are filled.) One comparison of a tag with the page of
 * the access's last byte rejects a miss, a missing permission, an access across a page end, and every page that
 * needs attention (device registers, shared or code-bearing frames on writes): those never have the tag.
 *
 * There are so many entries because of Linux, which reaches all memory by its direct mapping: what it uses of it is strewn over the
 * entries, and takes those of its code. Of the misses of a guest that makes processes a quarter were of that kind with 8192.
 *
 * A vCPU has one set a kind of privilege, so that user and supervisor permissions need no check.
 */

/** Entries in a set. */
export const entries = 32768;
/** log2 of an entry's size. */
export const entryShift = 5;
/** Bytes of a set. */
export const setSize = entries << entryShift;

/** Fields of an entry. */
export const readTag = 0;
export const writeTag = 8;
export const executeTag = 16;
/** Host address minus the low 32 bits of the linear address. */
export const addend = 24;
/** Decoded page (`codepage.ts`), meaningful with an execute tag; and in its low bits {@link global} and {@link listed}. */
export const code = 28;
/** The page is global. */
export const global = 1;
/** The entry is in the list of those in use. */
export const listed = 2;
/** The decoded page alone. */
export const codeMask = -4;

/** Mask for `(linear >> 7)` that gives the entry's offset in its set. */
export const entryMask = (entries - 1) << entryShift;

/** The sets, in order: privilege 3; supervisor; supervisor with user pages open (AC set, or no SMAP); privilege 3 with alignment checks. */
export const userSet = 0;
export const supervisorSet = 1;
export const supervisorOpenSet = 2;
/** This set is never filled: every access takes the slow path, which checks its alignment. */
export const alignmentCheckSet = 3;
export const setCount = 4;

/** Offset of a set from the vCPU's base. */
export const setOffset = (set: number, stateSize: number): number => stateSize + set * setSize;
/** Bytes of all sets. */
export const size = setSize * setCount;
/**
 * Behind the sets: the entries that have been filled since the last flush, by their addresses, so that a flush need not go
 * through all. `layout.tlbUsed` says how many.
 */
export const listSize = 4 * entries * setCount;
