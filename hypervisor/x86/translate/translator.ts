/**
 * The translator: turns hot code into WebAssembly functions, some regions a module, and puts them in place of the leaders'
 * handlers. What it makes depends on the code page's content alone, so every guest that executes the page uses it.
 */
import type { HostMemory } from '../../memory/hostmemory.ts';
import type { FunctionRef } from '../../wasm/function.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import * as codepage from '../codepage.ts';
import { handlerType } from '../core/core.ts';
import { leader as leaderHandler } from '../decode/special.ts';
import type { HandlerEnvironment, Handlers } from '../interpret/handlers.ts';
import { Composer, handlerTypeIndex, leaderEntry } from './compose.ts';
import { CoreImports } from './coreimports.ts';
import { settleEntries } from './entries.ts';
import { findFlow } from './flow.ts';
import { type Region, RegionFinder } from './region.ts';
import { type FormTemplates, Templates } from './templates.ts';

/** Most regions in one module. */
const largestBatch = 64;
/** Fewer regions than this wait for more, for so many runs. */
const smallestBatch = 16;
const longestWait = 8;
/** Code size of 64-bit code, the only one that is translated. */
const code64 = 2;
/** Arrivals at a leader below which a region leaves its code out. */
const cold = 50;

/** Counters of the translator. */
export interface TranslatorCounters {
  regions: number;
  entries: number;
  instructions: number;
  modules: number;
  /** Bytes of the modules. */
  bytes: number;
  /** Templates made. */
  templates: number;
  /** Leaders given up, by reason. */
  notCode64: number;
  notTranslatable: number;
  tableFull: number;
}

interface EntryRange {
  readonly first: number;
  readonly count: number;
}

interface Leader {
  readonly page: number;
  readonly offset: number;
}

/** See the top of this file. */
export class Translator {
  readonly #memory: HostMemory;
  readonly #environment: HandlerEnvironment;
  readonly #handlers: Handlers;
  readonly #imports = new CoreImports();
  readonly #templates: Templates;
  readonly #finder: RegionFinder;
  readonly #composer: Composer;
  readonly #forms: (FormTemplates | undefined)[] = [];
  #hot: Leader[] = [];
  #waited = 0;
  /** Ranges of table entries that hold regions, and those that may be used again. */
  readonly #used: EntryRange[] = [];
  readonly #free: EntryRange[] = [];
  readonly counters: TranslatorCounters = {
    regions: 0,
    entries: 0,
    instructions: 0,
    modules: 0,
    bytes: 0,
    templates: 0,
    notCode64: 0,
    notTranslatable: 0,
    tableFull: 0,
  };

  constructor(memory: HostMemory, environment: HandlerEnvironment, handlers: Handlers) {
    this.#memory = memory;
    this.#environment = environment;
    this.#handlers = handlers;
    this.#templates = new Templates(this.#imports.core);
    this.#composer = new Composer(memory, this.#imports.core);
    this.#finder = new RegionFinder(
      memory,
      this.#templates,
      (handler) => this.#formOf(handler),
      () => this.#leaderHandler,
    );
  }

  get #leaderHandler(): number {
    return this.#handlers.special(leaderHandler.name, leaderHandler.build);
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

  /** The leader at an offset of a code page has become hot. */
  hot(page: number, offset: number): void {
    this.#hot.push({ page, offset });
  }

  /**
   * Translates what has become hot, when it is enough for a module or has waited long. To be called when no code runs,
   * between runs of vCPUs.
   */
  work(): void {
    if (this.#hot.length === 0) return;
    this.#waited++;
    if (this.#hot.length < smallestBatch && this.#waited < longestWait) return;
    this.#waited = 0;
    while (this.#hot.length > 0) this.#translate(this.#hot.splice(0, largestBatch));
  }

  #translate(leaders: readonly Leader[]): void {
    const first = this.#entries(leaders.length);
    if (first === 0) {
      this.counters.tableFull += leaders.length;
      return;
    }
    const bodies: Uint8Array[] = [];
    for (const { page, offset } of leaders) {
      const region = this.#region(page, offset);
      if (region === undefined) continue;
      const structure = settleEntries(region);
      this.#finder.settleJumps(region);
      const sequence = region.blocks
        .map((_, number) => number)
        .filter((number) => structure.order[number]! >= 0);
      sequence.sort((a, b) => structure.order[a]! - structure.order[b]!);
      const flow = findFlow(region, sequence, this.#templates);
      const body = this.#composer.compose(region, structure, flow).slice();
      this.#place(region, first + bodies.length);
      bodies.push(body);
      this.counters.regions++;
      this.counters.entries += region.entries.length;
      for (const number of sequence) this.counters.instructions += region.blocks[number]!.count;
    }
    this.counters.templates = this.#templates.made;
    if (bodies.length > 0) this.#instantiate(bodies, first);
  }

  #region(page: number, offset: number): Region | undefined {
    const { i32 } = this.#memory;
    if (i32[(page + codepage.codeModeOffset) >> 2] !== code64) {
      this.counters.notCode64++;
      return undefined;
    }
    // Another region may have taken it in meanwhile.
    const leader = this.#finder.leader(page, offset);
    if (i32[(leader + codepage.handler) >> 2] !== this.#leaderHandler) return undefined;
    const region = this.#finder.find(page, offset, cold);
    if (region === undefined) this.counters.notTranslatable++;
    return region;
  }

  /** Makes the leaders of a region's entries lead to it. */
  #place({ page, blocks, entries }: Region, tableEntry: number): void {
    const { i32 } = this.#memory;
    entries.forEach((entry, number) => {
      const leader = this.#finder.leader(page, blocks[entry]!.start);
      i32[(leader + codepage.handler) >> 2] = tableEntry;
      i32[(leader + leaderEntry) >> 2] = number;
    });
  }

  #instantiate(bodies: readonly Uint8Array[], first: number): void {
    const module = new ModuleBuilder();
    const { table, memoryPages, core: exports } = this.#environment;
    module.importMemory('host', 'memory', memoryPages, memoryPages);
    module.importTable('host', 'table', table.length);
    if (module.typeIndex(handlerType) !== handlerTypeIndex) throw new Error('another type came first');
    this.#imports.importInto(module);
    const functions: FunctionRef[] = bodies.map((body) => module.defineBody('region', handlerType, body));
    module.tableEntries(first, functions);
    const bytes = module.finish();
    this.counters.modules++;
    this.counters.bytes += bytes.length;
    const host = this.#environment.host;
    new WebAssembly.Instance(new WebAssembly.Module(bytes), { host, core: exports });
  }

  /** Table entries in a row for `count` regions; 0 when there are none. */
  #entries(count: number): number {
    const found = this.#free.findIndex((range) => range.count >= count);
    if (found < 0) {
      const first = this.#handlers.reserve(count);
      if (first !== 0) this.#used.push({ first, count });
      return first;
    }
    const { first, count: had } = this.#free[found]!;
    if (had === count) this.#free.splice(found, 1);
    else this.#free[found] = { first: first + count, count: had - count };
    this.#used.push({ first, count });
    return first;
  }

  /** Drops all translations: the store of decoded code was emptied. */
  reset(): void {
    this.#hot = [];
    this.#free.push(...this.#used.splice(0));
  }
}
