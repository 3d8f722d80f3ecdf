/**
 * The modules of regions that are in use, and which of them is the coldest: CLOCK (Fernando J. Corbató, "A Paging Experiment with
 * the Multics System", 1968) over modules, by the mark that a region leaves in its leader when it is entered.
 */
import * as codepage from '../codepage.ts';
import type { EntryRange } from './ranges.ts';

/** Where a leader says that its region was entered: not 0. Small regions count there how often. */
export const leaderUsed = codepage.immediate + 4;

/** A module of regions. */
export interface LiveModule {
  /** The store of the code pages that its regions are from. */
  readonly store: object;
  /** Its regions' table entries. */
  readonly entries: EntryRange;
  readonly bytes: number;
  /** The leaders that lead to its regions. */
  readonly leaders: readonly number[];
  readonly regions: readonly LiveRegion[];
}

/** What counts of a region. */
export interface LiveRegion {
  /** The code page that it is from. */
  readonly page: number;
  readonly bytes: number;
}

/** See the top of this file. */
export class LiveModules {
  readonly #i32: Int32Array;
  /** In the order in which the hand passes; it stands before the first. */
  #modules: LiveModule[] = [];
  bytes = 0;
  /** By code page: the sums of its regions. */
  readonly #ofPage = new Map<number, { regions: number; bytes: number }>();

  /** @param i32 memory, in which the leaders are */
  constructor(i32: Int32Array) {
    this.#i32 = i32;
  }

  get count(): number {
    return this.#modules.length;
  }

  /** Adds a module. The hand comes to it last, and finds it used. */
  add(module: LiveModule): void {
    this.#modules.push(module);
    this.bytes += module.bytes;
    for (const { page, bytes } of module.regions) {
      const { regions, bytes: sum } = this.ofPage(page);
      this.#ofPage.set(page, { regions: regions + 1, bytes: sum + bytes });
    }
    for (const leader of module.leaders) this.#i32[(leader + leaderUsed) >> 2] = 1;
  }

  /** The leaders that led to the regions of the module that has a table entry, when it was made. */
  leadersAt(entry: number): readonly number[] {
    const isIn = ({ entries: { first, count } }: LiveModule) => entry >= first && entry < first + count;
    return this.#modules.find(isIn)?.leaders ?? [];
  }

  /** Takes the coldest module out; undefined when there is none. */
  takeColdest(): LiveModule | undefined {
    for (;;) {
      const module = this.#modules.shift();
      if (module === undefined) return undefined;
      let used = false;
      for (const leader of module.leaders) {
        const mark = (leader + leaderUsed) >> 2;
        if (this.#i32[mark] !== 0) used = true;
        this.#i32[mark] = 0;
      }
      if (!used) {
        this.bytes -= module.bytes;
        this.#forget(module);
        return module;
      }
      this.#modules.push(module);
    }
  }

  #forget(module: LiveModule): void {
    for (const { page, bytes } of module.regions) {
      const { regions, bytes: sum } = this.ofPage(page);
      if (regions === 1) this.#ofPage.delete(page);
      else this.#ofPage.set(page, { regions: regions - 1, bytes: sum - bytes });
    }
  }

  /** How many regions of a code page there are, and their bytes. */
  ofPage(page: number): { readonly regions: number; readonly bytes: number } {
    return this.#ofPage.get(page) ?? { regions: 0, bytes: 0 };
  }

  /** Takes all modules of a store's pages out. */
  take(store: object): readonly LiveModule[] {
    const taken = this.#modules.filter((module) => module.store === store);
    this.#modules = this.#modules.filter((module) => module.store !== store);
    for (const module of taken) {
      this.bytes -= module.bytes;
      this.#forget(module);
    }
    return taken;
  }
}
