/**
 * The reverse map: which pages of which guests stand behind a frame, or behind a swap slot.
 *
 * The pages of one frame or slot are a doubly linked list. Its links are two arrays a guest, by page; they hold a page's
 * *key*: the guest's number above, the page's number below, 0 for none. A page is in one list at most.
 */
import type { HostMemory } from './hostmemory.ts';

/** Bits of a page's number in its key. */
export const pageBits = 20;
/** Guest-physical pages that a guest can have, holes included. */
export const mostPages = 2 ** pageBits;
/** Numbers that guests can have, from 1 on. */
export const mostGuests = 2 ** (32 - pageBits) - 1;

/** The key of a guest's page. */
export function pageKey(guest: number, page: number): number {
  return ((guest << pageBits) | page) >>> 0;
}

/** The page of a key. */
export function pageOf(key: number): number {
  return key & (mostPages - 1);
}

/** The guest of a key. */
export function guestOf(key: number): number {
  return key >>> pageBits;
}

/** The links of a guest's pages. */
export interface Links {
  readonly next: Uint32Array;
  readonly previous: Uint32Array;
}

/** See the top of this file. A list is named by the index of its head among the memory's 32-bit words. */
export class ReverseMap {
  readonly #words: Uint32Array;
  readonly #links: (Links | undefined)[] = [];

  constructor(memory: HostMemory) {
    this.#words = memory.u32;
  }

  /** Takes up a guest. */
  add(guest: number, links: Links): void {
    this.#links[guest] = links;
  }

  /** Forgets a guest, none of whose pages is in a list. */
  remove(guest: number): void {
    this.#links[guest] = undefined;
  }

  /** The first page of a list, 0 when it is empty. */
  first(head: number): number {
    return this.#words[head]!;
  }

  /** The page behind a page in its list, 0 for none. */
  next(key: number): number {
    return this.#links[guestOf(key)]!.next[pageOf(key)]!;
  }

  /** The page before a page in its list, 0 for none. */
  previous(key: number): number {
    return this.#links[guestOf(key)]!.previous[pageOf(key)]!;
  }

  /** Puts a page at the front of a list. */
  insert(head: number, key: number): void {
    const { next, previous } = this.#links[guestOf(key)]!;
    const page = pageOf(key);
    const old = this.#words[head]!;
    next[page] = old;
    previous[page] = 0;
    if (old !== 0) this.#links[guestOf(old)]!.previous[pageOf(old)] = key;
    this.#words[head] = key;
  }

  /** Takes a page out of the list that it is in. */
  take(head: number, key: number): void {
    const links = this.#links[guestOf(key)]!;
    const page = pageOf(key);
    const before = links.previous[page]!;
    const after = links.next[page]!;
    if (before === 0) this.#words[head] = after;
    else this.#links[guestOf(before)]!.next[pageOf(before)] = after;
    if (after !== 0) this.#links[guestOf(after)]!.previous[pageOf(after)] = before;
    links.next[page] = 0;
    links.previous[page] = 0;
  }

  /** Moves a whole list to the place of an empty one. */
  move(from: number, to: number): void {
    this.#words[to] = this.#words[from]!;
    this.#words[from] = 0;
  }
}
