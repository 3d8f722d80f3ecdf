/**
 * The translator: turns hot code into WebAssembly functions, some regions a module, and puts them in place of the leaders'
 * handlers. What it makes depends on the code page's content alone, so every guest that executes the page uses it.
 */
import type { HostMemory } from '../../memory/hostmemory.ts';
import type { FunctionBody } from '../../wasm/emit.ts';
import type { FunctionRef } from '../../wasm/function.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import * as codepage from '../codepage.ts';
import { type Core, handlerType, importCore } from '../core/core.ts';
import { crossing, type Special } from '../decode/special.ts';
import type { HandlerEnvironment, Handlers } from '../interpret/handlers.ts';
import { findChecks } from './checks.ts';
import type { RegionSize } from './collect.ts';
import { Composer, leaderEntry } from './compose.ts';
import { translatorCounters } from './counters.ts';
import { handlerTypeIndex } from './ends.ts';
import { settleEntries } from './entries.ts';
import { findFlow } from './flow.ts';
import { GroupFinder } from './groups.ts';
import { LiveModules, type LiveRegion, leaderUsed } from './livemodules.ts';
import { neighbour, type Place } from './neighbours.ts';
import type { TranslationOptions } from './options.ts';
import { type EntryRange, FreeRanges } from './ranges.ts';
import { type Region, RegionFinder } from './region.ts';
import { findRegisters } from './registers.ts';
import { type FormTemplates, Templates } from './templates.ts';

/** Most regions in one module. */
const largestBatch = 64;
/** Fewer regions than this wait for more, as long as the options say. */
const smallestBatch = 16;
/** Code size of 64-bit code, the only one that is translated. */
const code64 = 2;

interface Leader {
  readonly page: number;
  readonly offset: number;
  /** Whether it leads to a region, which a larger one is to replace; and whether a large one is made. */
  readonly busy: boolean;
  readonly large: boolean;
  /** Where it became hot; undefined when the vCPU that executed it is no more. */
  readonly place: Place | undefined;
}

/** See the top of this file. */
export class Translator {
  readonly #memory: HostMemory;
  readonly #environment: HandlerEnvironment;
  readonly #handlers: Handlers;
  /** What leaders are whose code is not translated. */
  readonly #leader: Special;
  readonly #options: TranslationOptions;
  /** The store that a code page is in: pages of one are dropped together. */
  readonly #storeOf: (page: number) => object;
  /**
   * Makes the modules of regions. Routines of the core are numbered as they are first used; a module imports all that have
   * been so far.
   */
  readonly #module = new ModuleBuilder();
  readonly #templates: Templates;
  readonly #finder: RegionFinder;
  readonly #groups: GroupFinder;
  readonly #composer: Composer;
  readonly #forms: (FormTemplates | undefined)[] = [];
  #hot: Leader[] = [];
  /** Leaders whose large regions were given up. */
  readonly #largeAgain = new Set<number>();
  #waited = 0;
  readonly #live: LiveModules;
  /** By table entry: whether it is a region that took the place of a smaller one. */
  readonly #isLarge: Uint8Array;
  /** By code page: the leaders that lead to regions of other pages which have code of it as well. */
  readonly #borrowers = new Map<number, number[]>();
  /** Table entries that may be used again. */
  readonly #free = new FreeRanges();
  readonly counters = translatorCounters();

  constructor(
    memory: HostMemory,
    environment: HandlerEnvironment,
    handlers: Handlers,
    leader: Special,
    options: TranslationOptions,
    storeOf: (page: number) => object,
  ) {
    this.#memory = memory;
    this.#environment = environment;
    this.#handlers = handlers;
    this.#leader = leader;
    this.#options = options;
    this.#storeOf = storeOf;
    this.#live = new LiveModules(memory.i32);
    this.#isLarge = new Uint8Array(environment.table.length);
    const core = this.#startModules();
    this.#templates = new Templates(core);
    this.#groups = new GroupFinder(memory);
    this.#composer = new Composer(memory, core);
    this.#finder = new RegionFinder(
      memory,
      this.#templates,
      {
        formOf: (handler) => this.#formOf(handler),
        isCrossing: (handler) => handler === handlers.special(crossing.name, crossing.build),
        sizeOf: (leader) => this.#sizeOf(leader),
      },
      this.counters,
    );
  }

  get #leaderHandler(): number {
    return this.#handlers.special(this.#leader.name, this.#leader.build);
  }

  /** What a leader leads to. */
  #sizeOf(leader: number): RegionSize {
    const handler = this.#memory.i32[(leader + codepage.handler) >> 2]!;
    if (handler === this.#leaderHandler) return 'none';
    return this.#isLarge[handler] === 0 ? 'small' : 'large';
  }

  #formOf(handler: number): FormTemplates | undefined {
    let known = this.#forms[handler];
    if (known === undefined) {
      const form = this.#handlers.formOf(handler);
      if (form === undefined) return undefined;
      known = this.#templates.of(form);
      this.#forms[handler] = known;
    }
    return known;
  }

  /**
   * The leader at an offset of a code page has become hot, or the region that it leads to is entered often.
   * @param place where it is executed
   */
  hot(page: number, offset: number, place: Place): void {
    const busy = this.isTranslated(page, offset);
    const large = this.#largeAgain.delete(this.#finder.leader(page, offset)) || busy;
    this.#hot.push({ page, offset, busy, large, place });
  }

  /** A vCPU is no more: its TLB is looked at no further. */
  forgetPlaces(): void {
    this.#hot = this.#hot.map((leader) => ({ ...leader, place: undefined }));
  }

  /**
   * Translates what has become hot, when it is enough for a module or has waited long. To be called when no code runs,
   * between runs of vCPUs.
   */
  work(): void {
    if (this.#hot.length === 0) return;
    this.#waited++;
    if (this.#hot.length < smallestBatch && this.#waited < this.#options.patience) return;
    this.workAll();
  }

  /** Translates all that has become hot, at once. No code may run. */
  workAll(): void {
    this.#waited = 0;
    for (const [store, leaders] of Map.groupBy(this.#hot.splice(0), ({ page }) => this.#storeOf(page))) {
      for (let first = 0; first < leaders.length; first += largestBatch) {
        this.#translate(leaders.slice(first, first + largestBatch), store);
      }
    }
  }

  /** A guest came to execute a page whose content had been decoded before: counts what it finds there. */
  pageShared(page: number): void {
    const { regions, bytes } = this.#live.ofPage(page);
    this.counters.sharedRegions += regions;
    this.counters.sharedBytes += bytes;
  }

  /** A guest wrote to a page that had been decoded. */
  pageDetached(page: number): void {
    this.counters.detachedRegions += this.#live.ofPage(page).regions;
  }

  /** A page has been decoded anew with other constants: gives up what other pages' regions have of it. Its own leaders lead to none. */
  pageCorrected(page: number): void {
    for (const leader of this.#borrowers.get(page) ?? []) this.#resetLeader(leader);
    this.#borrowers.delete(page);
  }

  /** The region at a table entry does badly: when control arrives there again, it is made anew. */
  giveUp(region: number): void {
    const { i32 } = this.#memory;
    const { cold, hotAfter } = this.#options;
    // Some may lead to another region meanwhile.
    const leaders = this.#live
      .leadersAt(region)
      .filter((leader) => i32[(leader + codepage.handler) >> 2] === region);
    const [first] = leaders;
    if (first === undefined) return;
    this.counters.givenUp++;
    if (this.#isLarge[region] !== 0) this.#largeAgain.add(first);
    for (const leader of leaders) {
      this.#resetLeader(leader);
      // They are not cold, and the first has its turn before them.
      i32[(leader + codepage.heat) >> 2] = leader === first ? hotAfter - 1 : Math.min(cold, hotAfter - 1);
    }
  }

  /** Has code counted again. */
  #resetLeader(leader: number): void {
    const { i32 } = this.#memory;
    i32[(leader + codepage.handler) >> 2] = this.#leaderHandler;
    i32[(leader + codepage.heat) >> 2] = 0;
  }

  /** Whether the code that starts at an offset of a code page is translated. */
  isTranslated(page: number, offset: number): boolean {
    const leader = this.#finder.leader(page, offset);
    return leader !== 0 && this.#sizeOf(leader) !== 'none';
  }

  /** Whether a region has been entered there since it was made, or since it was last looked for what is cold. */
  isUsed(page: number, offset: number): boolean {
    const leader = this.#finder.leader(page, offset);
    return leader !== 0 && this.#memory.i32[(leader + leaderUsed) >> 2] !== 0;
  }

  #translate(leaders: readonly Leader[], store: object): void {
    const first = this.#entries(leaders.length);
    const bodies: FunctionBody[] = [];
    const taken: number[] = [];
    const regions: LiveRegion[] = [];
    for (const leader of leaders) {
      const { page } = leader;
      const region = this.#region(leader);
      if (region === undefined) continue;
      const structure = settleEntries(region);
      this.#finder.settleJumps(region);
      // Not the node in front of several entries.
      const sequence = structure.sequence.filter((number) => number < region.blocks.length);
      const flow = findFlow(region, sequence, this.#groups.find(region, sequence), this.#templates);
      const checks = findChecks(region, structure, sequence, flow.templates);
      const registers = findRegisters(region, structure, sequence, flow.templates);
      const busyAfter = leader.large ? 0 : this.#options.busyAfter;
      const entry = first + bodies.length;
      const { bytes, hints } = this.#composer.compose(
        region,
        structure,
        flow,
        registers,
        checks,
        busyAfter,
        entry,
      );
      this.#isLarge[entry] = leader.large ? 1 : 0;
      this.#place(region, entry, taken);
      bodies.push({ bytes: bytes.slice(), hints });
      regions.push({ page, bytes: bytes.length });
      this.counters.regions++;
      this.counters.entries += region.entries.length;
      for (const number of sequence) this.counters.instructions += region.blocks[number]!.count;
    }
    this.counters.templates = this.#templates.made;
    const { length } = bodies;
    this.#free.give({ first: first + length, count: leaders.length - length });
    if (length === 0) return;
    const bytes = this.#instantiate(bodies, first);
    this.#live.add({ store, entries: { first, count: length }, bytes, leaders: taken, regions });
    while (this.#live.bytes > this.#options.mostBytes && this.#live.count > 1) this.#evict();
    this.#countLive();
  }

  #countLive(): void {
    this.counters.liveModules = this.#live.count;
    this.counters.liveBytes = this.#live.bytes;
  }

  /** Gives up the coldest module: its leaders count again. False when there is none. */
  #evict(): boolean {
    const module = this.#live.takeColdest();
    if (module === undefined) return false;
    const { i32 } = this.#memory;
    const { entries, leaders, bytes } = module;
    for (const leader of leaders) {
      const entry = i32[(leader + codepage.handler) >> 2]! - entries.first;
      // Leaders of pages that were decoded anew have been set back already.
      if (entry < 0 || entry >= entries.count) continue;
      this.#resetLeader(leader);
    }
    this.#drop(entries);
    this.counters.evictedModules++;
    this.counters.evictedBytes += bytes;
    this.counters.evictedEntries += leaders.length;
    return true;
  }

  /** Takes functions out of the table, so that V8 can free them. */
  #drop(entries: EntryRange): void {
    const { table, none } = this.#environment;
    for (let i = 0; i < entries.count; i++) table.set(entries.first + i, none);
    this.#free.give(entries);
  }

  #region({ page, offset, busy, large, place }: Leader): Region | undefined {
    const { i32 } = this.#memory;
    const mode = (each: number) => i32[(each + codepage.codeModeOffset) >> 2];
    if (mode(page) !== code64) {
      this.counters.notCode64++;
      return undefined;
    }
    // Another region may have taken it in meanwhile, or it may have been evicted.
    if (this.#sizeOf(this.#finder.leader(page, offset)) !== (busy ? 'small' : 'none')) return undefined;
    // Pages of one store are dropped together.
    const pageAt = (distance: number) => {
      const other = place === undefined ? 0 : neighbour(this.#memory, place, distance);
      return other !== 0 && mode(other) === code64 && this.#storeOf(other) === this.#storeOf(page)
        ? other
        : 0;
    };
    const region = this.#finder.find(page, offset, large, pageAt, this.#options);
    if (region === undefined) this.counters.notTranslatable++;
    return region;
  }

  /** Makes the leaders of a region's entries lead to it, and adds them to `taken`. */
  #place({ page, parts, blocks, entries }: Region, tableEntry: number, taken: number[]): void {
    const { i32 } = this.#memory;
    const first = taken.length;
    entries.forEach((entry, number) => {
      const leader = this.#finder.leader(page, blocks[entry]!.start);
      i32[(leader + codepage.handler) >> 2] = tableEntry;
      i32[(leader + leaderEntry) >> 2] = number;
      taken.push(leader);
    });
    if (parts.length === 1) return;
    for (const other of new Set(parts.map((part) => part.page))) {
      if (other === page) continue;
      const borrowers = this.#borrowers.get(other) ?? [];
      borrowers.push(...taken.slice(first));
      this.#borrowers.set(other, borrowers);
    }
  }

  /** Has all modules of regions import what they need; gives the core as it is for them. */
  #startModules(): Core {
    const module = this.#module;
    const { table, memoryPages } = this.#environment;
    module.importMemory('host', 'memory', memoryPages, memoryPages);
    module.importTable('core', 'table', handlerType, table.length);
    if (module.typeIndex(handlerType) !== handlerTypeIndex) throw new Error('another type came first');
    return importCore(module);
  }

  /** Makes a module of regions; gives its size in bytes. */
  #instantiate(bodies: readonly FunctionBody[], first: number): number {
    const module = this.#module;
    module.clear();
    const functions: FunctionRef[] = bodies.map((body) => module.defineBody('region', handlerType, body));
    module.tableEntries(first, functions);
    const bytes = module.finish();
    this.counters.modules++;
    this.counters.bytes += bytes.length;
    const { host, core } = this.#environment;
    new WebAssembly.Instance(new WebAssembly.Module(bytes), { host, core });
    return bytes.length;
  }

  /** Table entries in a row for `count` regions; where there are none the coldest modules make room. */
  #entries(count: number): number {
    for (;;) {
      const first = this.#free.take(count) || this.#handlers.reserve(count);
      if (first !== 0) return first;
      if (!this.#evict()) throw new Error('the table of regions is full, and no region is in use');
    }
  }

  /** Drops the translations of a store's code pages, which will be no more. */
  forget(store: object): void {
    this.#hot = this.#hot.filter(({ page }) => this.#storeOf(page) !== store);
    // Their addresses are those of other records from now on.
    this.#largeAgain.clear();
    for (const { entries } of this.#live.take(store)) this.#drop(entries);
    for (const page of this.#borrowers.keys())
      if (this.#storeOf(page) === store) this.#borrowers.delete(page);
    this.#countLive();
  }
}
