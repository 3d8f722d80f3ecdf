/**
 * The translator: turns hot code into WebAssembly functions, some regions a module, and puts them in place of the leaders'
 * handlers. What it makes depends on the code page's content alone, so every guest that executes the page uses it.
 */
import type { HostMemory } from '../../memory/hostmemory.ts';
import type { FunctionRef } from '../../wasm/function.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import * as codepage from '../codepage.ts';
import { handlerType, importCore } from '../core/core.ts';
import { Decoder } from '../decode/decoder.ts';
import type { OpcodeMap } from '../decode/opcodemap.ts';
import { emitInstruction } from '../execute.ts';
import type { Form } from '../form.ts';
import type { HandlerEnvironment, Handlers } from '../interpret/handlers.ts';
import { emitRegion } from './emit.ts';
import { findRegion, type Instruction, type PageCode } from './region.ts';
import { NotTranslatable, RegionSemantics } from './semantics.ts';

/** Most regions in one module. */
const largestBatch = 64;
/** Fewer regions than this wait for more, for so many runs. */
const smallestBatch = 16;
const longestWait = 8;
/** Code size of 64-bit code, the only one that is translated. */
const code64 = 2;

/** Counters of the translator. */
export interface TranslatorCounters {
  regions: number;
  instructions: number;
  modules: number;
  /** Bytes of the modules. */
  bytes: number;
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
  readonly #decoder: Decoder;
  readonly #translatable = new Map<number, boolean>();
  #hot: Leader[] = [];
  #waited = 0;
  /** Ranges of table entries that hold regions, and those that may be used again. */
  readonly #used: EntryRange[] = [];
  readonly #free: EntryRange[] = [];
  readonly counters: TranslatorCounters = {
    regions: 0,
    instructions: 0,
    modules: 0,
    bytes: 0,
    notCode64: 0,
    notTranslatable: 0,
    tableFull: 0,
  };

  constructor(memory: HostMemory, environment: HandlerEnvironment, handlers: Handlers, map: OpcodeMap) {
    this.#memory = memory;
    this.#environment = environment;
    this.#handlers = handlers;
    this.#decoder = new Decoder(map);
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
    const module = new ModuleBuilder();
    const { table, memoryPages, core: exports, host } = this.#environment;
    module.importMemory('host', 'memory', memoryPages, memoryPages);
    module.importTable('host', 'table', table.length);
    const core = importCore(module);
    const functions: FunctionRef[] = [];
    const done: Leader[] = [];
    for (const leader of leaders) {
      const code = this.#page(leader.page);
      if (code === undefined) {
        this.counters.notCode64++;
        continue;
      }
      const blocks = findRegion(code, this.#decoder, leader.offset);
      if (blocks === undefined) {
        this.counters.notTranslatable++;
        continue;
      }
      functions.push(module.define('region', handlerType, (fn) => emitRegion(fn, core, blocks, code)));
      done.push(leader);
      this.counters.regions++;
      for (const block of blocks) this.counters.instructions += block.instructions.length;
    }
    if (functions.length === 0) return;
    const first = this.#entries(functions.length);
    if (first === 0) {
      this.counters.tableFull += functions.length;
      return;
    }
    module.tableEntries(first, functions);
    const bytes = module.finish();
    this.counters.modules++;
    this.counters.bytes += bytes.length;
    new WebAssembly.Instance(new WebAssembly.Module(bytes), { host, core: exports });
    const { i32 } = this.#memory;
    done.forEach(({ page, offset }, i) => {
      const record = i32[(page + codepage.entriesOffset + 4 * offset) >> 2]!;
      i32[(record + codepage.handler) >> 2] = first + i;
    });
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

  #page(page: number): PageCode | undefined {
    const { i32, u8 } = this.#memory;
    if (i32[(page + codepage.codeModeOffset) >> 2] !== code64) return undefined;
    const entries = (page + codepage.entriesOffset) >> 2;
    return {
      bytes: u8,
      origin: page + codepage.contentOffset,
      decoded: (offset) => i32[entries + offset] !== 0,
      translatable: (form, number) => this.#canTranslate(form, number),
    };
  }

  /** Whether an instruction's meaning does nothing that only the interpreter can do: found out by emitting it once. */
  #canTranslate(form: Form, number: number): boolean {
    let known = this.#translatable.get(number);
    if (known === undefined) {
      known = tryEmitting(form);
      this.#translatable.set(number, known);
    }
    return known;
  }
}

function tryEmitting(form: Form): boolean {
  const module = new ModuleBuilder();
  const { builder } = module.declare('trial', handlerType);
  const instruction: Instruction = {
    form,
    offset: 0,
    length: 1,
    reg: 0,
    rm: 0,
    index: 0,
    segment: 0,
    scale: 0,
    stack: false,
    displacement: 0,
    immediateLow: 1,
    immediateHigh: 0,
    jumpTarget: 0,
  };
  let translatable = true;
  builder.block((exit) => {
    const c = new RegionSemantics(builder, importCore(module), form, exit, () => false);
    c.begin(instruction, 1);
    try {
      emitInstruction(c);
    } catch (error) {
      if (!(error instanceof NotTranslatable)) throw error;
      translatable = false;
    }
  });
  return translatable;
}
