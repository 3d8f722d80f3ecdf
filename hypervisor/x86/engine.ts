/**
 * The execution engine of a process: the core, the interpreter's handlers and the store of decoded code, shared by
 * all vCPUs that run on it.
 */
import type { HostMemory } from '../memory/hostmemory.ts';
import type { PageHash } from '../memory/pagehash.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import { access } from './core/access.ts';
import { comparestrings } from './core/comparestrings.ts';
import { control } from './core/control.ts';
import { type CorePart, defineCore } from './core/core.ts';
import { debug } from './core/debug.ts';
import { delivery } from './core/delivery.ts';
import { far } from './core/far.ts';
import { flags } from './core/flags.ts';
import { float80 } from './core/float80.ts';
import { float80Arctangent } from './core/float80arctangent.ts';
import { float80Arithmetic } from './core/float80arithmetic.ts';
import { float80Compare } from './core/float80compare.ts';
import { float80Convert } from './core/float80convert.ts';
import { float80Logarithm } from './core/float80logarithm.ts';
import { float80Scale } from './core/float80scale.ts';
import { float80Trigonometric } from './core/float80trigonometric.ts';
import { image } from './core/image.ts';
import { interruptReturn } from './core/interruptreturn.ts';
import { paging } from './core/paging.ts';
import { ports } from './core/ports.ts';
import { protection } from './core/protection.ts';
import { run } from './core/run.ts';
import { segments } from './core/segments.ts';
import { simdfloat } from './core/simdfloat.ts';
import { softapproximate } from './core/softapproximate.ts';
import { softarithmetic } from './core/softarithmetic.ts';
import { softconvert } from './core/softconvert.ts';
import { softfloat } from './core/softfloat.ts';
import { stack } from './core/stack.ts';
import { system } from './core/system.ts';
import { tasks } from './core/tasks.ts';
import { taskSegments } from './core/tasksegments.ts';
import { wide } from './core/wide.ts';
import { wide128 } from './core/wide128.ts';
import { x87Arithmetic } from './core/x87arithmetic.ts';
import { x87Move } from './core/x87move.ts';
import { x87Stack } from './core/x87stack.ts';
import { x87State } from './core/x87state.ts';
import { xsave } from './core/xsave.ts';
import { CodeCache, type CodeCacheCounters } from './decode/codecache.ts';
import type { Kernel } from './decode/kerneltext.ts';
import { buildOpcodeMap } from './decode/opcodemap.ts';
import { leader } from './decode/special.ts';
import { Handlers } from './interpret/handlers.ts';
import { rows } from './isa/rows.ts';
import { leaderCacheBytes } from './leadercache.ts';
import type { TranslatorCounters } from './translate/counters.ts';
import { Lulls } from './translate/lulls.ts';
import { placeOf } from './translate/neighbours.ts';
import { type TranslationOptions, usualTranslation } from './translate/options.ts';
import { Translator } from './translate/translator.ts';

const x87: readonly CorePart[] = [
  wide,
  wide128,
  float80,
  float80Arithmetic,
  float80Compare,
  float80Convert,
  float80Scale,
  float80Trigonometric,
  float80Arctangent,
  float80Logarithm,
  x87Stack,
  x87Move,
  x87Arithmetic,
  x87State,
  image,
  xsave,
];

const sse: readonly CorePart[] = [
  comparestrings,
  softfloat,
  softarithmetic,
  softconvert,
  softapproximate,
  simdfloat,
];

const parts: readonly CorePart[] = [
  flags,
  paging,
  access,
  control,
  run,
  segments,
  stack,
  tasks,
  taskSegments,
  ports,
  system,
  delivery,
  far,
  interruptReturn,
  debug,
  protection,
  ...x87,
  ...sse,
];

/** Entries of the table of functions that execute records. Entry 0 stays empty, so that a record not filled in traps. */
const tableSize = 65536;

/** Of the room for decoded code, the part for pages that change often: one in so many. */
const changingShare = 16;

/** The small store is looked at for what is of no use any more when it has so many pages. */
const fewPages = 128;
/** It is emptied when no more than one in so many of its pages is in use: others would be decoded anew too often. */
const wasteful = 4;

/** Who refers to code pages. */
export interface CodeUser {
  /** Calls `visit` with the code pages of a store that its pages have, or only with those that its TLBs lead to. */
  visit(store: CodeCache, onlyInTlbs: boolean, visit: (page: number) => void): void;
  /** A store has been emptied but for the code pages in `moved`, which are elsewhere now. */
  follow(store: CodeCache, moved: ReadonlyMap<number, number>): void;
}

/** What code of a vCPU needs from outside; see `hostTypes` in `core/core.ts`. */
export interface VcpuHost {
  mmioRead(address: number, size: number): number;
  mmioWrite(address: number, size: number, value: number): void;
  portRead(port: number, size: number): number;
  portWrite(port: number, size: number, value: number): void;
  /** Leaves the leaf's registers in the state's result fields. */
  cpuid(leaf: number, subleaf: number): void;
  /** Leaves the register in the state's result0; false when there is no such register. */
  readMsr(index: number): boolean;
  /** False when there is no such register or it refuses the value. */
  writeMsr(index: number, low: number, high: number): boolean;
  readCr8(): number;
  writeCr8(value: number): void;
  /** The decoded page for a guest-physical page; see {@link CodeCache.pageFor}. */
  codePageFor(page: number, codeSize: number, place: number): number;
  /** A page whose contents have been decoded is about to be written. */
  codeWritten(page: number): void;
}

/** Routines that JavaScript calls. */
export interface CoreExports {
  run(cpu: number): void;
  updateMode(cpu: number): void;
  flushTlb(cpu: number, keepGlobal: number): void;
  forgetFrame(cpu: number, frame: number): void;
  forgetWrites(cpu: number, frame: number): void;
  deliver(cpu: number, vector: number, code: number, kind: number): number;
  allFlags(cpu: number): number;
}

/** What an engine has done so far, for statistics. */
export interface EngineCounters {
  readonly code: Readonly<CodeCacheCounters>;
  readonly changingCode: Readonly<CodeCacheCounters>;
  readonly translator: Readonly<TranslatorCounters>;
}

/** See the top of this file. */
export class Engine {
  readonly memory: HostMemory;
  readonly core: CoreExports;
  /** Host address of the leaders that jumps went to lately; see `leadercache.ts`. */
  readonly leaderCache: number;
  readonly handlers: Handlers;
  readonly code: CodeCache;
  /**
   * The store for pages that a guest has written to so often that their decoded forms would soon fill the large one, such as those that
   * a compiler in the guest writes. It is small, and emptied by itself; see {@link work}.
   */
  readonly changingCode: CodeCache;
  readonly translator: Translator;
  /** The store that was last found full. */
  #full: CodeCache;
  readonly #vcpus: (VcpuHost | undefined)[] = [];
  readonly #codeUsers = new Set<CodeUser>();
  /** Undefined when nothing is translated. */
  readonly #lulls: Lulls | undefined;
  /** Pages of the small store at which it is looked at again. */
  #lookAt = fewPages;

  /**
   * @param codeBytes size of the store of decoded code
   * @param translate how hot code is translated; when it is not, all is interpreted, with the same results
   */
  constructor(
    memory: HostMemory,
    hash: PageHash,
    codeBytes: number,
    translate: false | TranslationOptions = usualTranslation,
  ) {
    this.memory = memory;
    this.leaderCache = memory.allocate(leaderCacheBytes, 64);
    const pages = memory.wasmPages;
    const module = new ModuleBuilder();
    module.importMemory('host', 'memory', pages, pages);
    defineCore(module, parts, tableSize);
    const vcpus = this.#vcpus;
    const host = {
      memory: memory.memory,
      mmioRead: (vcpu: number, address: number, size: number) => vcpus[vcpu]!.mmioRead(address >>> 0, size),
      mmioWrite: (vcpu: number, address: number, size: number, value: number) =>
        vcpus[vcpu]!.mmioWrite(address >>> 0, size, unsigned(value, size)),
      portRead: (vcpu: number, port: number, size: number) => vcpus[vcpu]!.portRead(port, size),
      portWrite: (vcpu: number, port: number, size: number, value: number) =>
        vcpus[vcpu]!.portWrite(port, size, unsigned(value, size)),
      cpuid: (vcpu: number, leaf: number, subleaf: number) => vcpus[vcpu]!.cpuid(leaf >>> 0, subleaf >>> 0),
      readMsr: (vcpu: number, index: number) => Number(vcpus[vcpu]!.readMsr(index >>> 0)),
      writeMsr: (vcpu: number, index: number, low: number, high: number) =>
        Number(vcpus[vcpu]!.writeMsr(index >>> 0, low, high)),
      readCr8: (vcpu: number) => vcpus[vcpu]!.readCr8(),
      writeCr8: (vcpu: number, value: number) => vcpus[vcpu]!.writeCr8(value),
      codePageFor: (vcpu: number, page: number, codeSize: number, place: number) =>
        vcpus[vcpu]!.codePageFor(page, codeSize, place),
      decode: (_vcpu: number, page: number, offset: number) => this.#decode(page, offset),
      decodeCrossing: (slide: number, record: number, page: number, next: number) =>
        this.#decodeCrossing(record, page, next, slide),
      hot: (cpu: number, page: number, offset: number) => {
        if (translate !== false) this.translator.hot(page, offset, placeOf(memory, cpu));
      },
      givenUp: (region: number) => this.translator.giveUp(region),
      codeWritten: (vcpu: number, page: number) => vcpus[vcpu]!.codeWritten(page),
    };
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), { host });
    this.core = exports as unknown as CoreExports;
    const environment = {
      memoryPages: pages,
      table: exports.table as WebAssembly.Table,
      none: exports.none as () => void,
      core: exports,
      host,
    };
    const map = buildOpcodeMap(rows);
    this.handlers = new Handlers(environment, 1);
    const options = translate === false ? usualTranslation : translate;
    const counting = leader(options.hotAfter);
    const changingBytes = Math.ceil(codeBytes / changingShare / 32) * 32;
    this.code = new CodeCache(memory, this.handlers, map, counting, hash, codeBytes - changingBytes);
    this.changingCode = new CodeCache(memory, this.handlers, map, counting, hash, changingBytes);
    this.#full = this.code;
    this.translator = new Translator(memory, environment, this.handlers, counting, options, (page) =>
      this.#storeOf(page),
    );
    if (translate !== false) this.#lulls = new Lulls(memory.i32, this.code, options.hotAfter);
    for (const store of [this.code, this.changingCode])
      store.onCorrected = (page) => this.translator.pageCorrected(page);
  }

  get counters(): EngineCounters {
    return {
      code: this.code.counters,
      changingCode: this.changingCode.counters,
      translator: this.translator.counters,
    };
  }

  #storeOf(page: number): CodeCache {
    return this.changingCode.contains(page) ? this.changingCode : this.code;
  }

  /**
   * The code page of a frame; see {@link CodeCache.pageFor}. 0 when there is no room: {@link makeRoom} makes some.
   * @param changes whether the page's contents have changed so often that they are not likely to last
   */
  codePageFor(frame: number, codeMode: number, place: number, kernel: Kernel, changes: boolean): number {
    const store = changes ? this.changingCode : this.code;
    const { shared } = store.counters;
    const page = store.pageFor(frame, codeMode, changes ? -1 : place, kernel);
    if (page === 0) this.#full = store;
    else if (store.counters.shared !== shared) this.translator.pageShared(page);
    return page;
  }

  /** A guest wrote to a page that was decoded. */
  pageDetached(page: number): void {
    this.#storeOf(page).counters.detached++;
    this.translator.pageDetached(page);
  }

  #decode(page: number, offset: number): number {
    const store = this.#storeOf(page);
    const leader = store.decode(page, offset);
    if (leader === 0) this.#full = store;
    return leader;
  }

  #decodeCrossing(record: number, page: number, next: number, slide: number): number {
    const store = this.#storeOf(page);
    const alternative = store.decodeCrossing(record, page, next, slide);
    if (alternative === 0) this.#full = store;
    return alternative;
  }

  /** Asks and tells `user` when a store of decoded code is emptied, until {@link removeCodeUser}. */
  addCodeUser(user: CodeUser): void {
    this.#codeUsers.add(user);
  }

  /** Ends what {@link addCodeUser} began. */
  removeCodeUser(user: CodeUser): void {
    this.#codeUsers.delete(user);
  }

  /**
   * Does what can only be done while no vCPU runs. To be called between runs, often.
   * @param units of time that passed in the last one
   */
  work(units: number): void {
    this.#lulls?.pass(units);
    this.translator.work();
    // Contents that were overwritten leave their decoded forms behind. In the large store another guest may come to the same contents.
    const pages = this.changingCode.pageCount;
    if (pages < this.#lookAt) return;
    const used = this.#inUse(this.changingCode, false).size;
    if (used * wasteful <= pages) this.#emptyChanging();
    else this.#lookAt = used * wasteful;
  }

  #inUse(store: CodeCache, onlyInTlbs: boolean): Set<number> {
    const used = new Set<number>();
    for (const user of this.#codeUsers) user.visit(store, onlyInTlbs, (page) => used.add(page));
    return used;
  }

  /** After a vCPU stopped as a store of decoded code was full: empties that store. No vCPU may be running. */
  makeRoom(): void {
    if (this.#full === this.code) {
      this.resetCode();
      return;
    }
    this.#emptyChanging();
  }

  #emptyChanging(): void {
    this.#empty(this.changingCode);
    this.code.forgetPagesOf(this.changingCode);
    this.#lookAt = fewPages;
  }

  /** Empties the stores of decoded code. No vCPU may be running. */
  resetCode(): void {
    // What is in the small one may reach into pages of the large one.
    this.#emptyChanging();
    this.#empty(this.code);
  }

  /**
   * What is in use is kept, or at least what TLBs lead to, as long as that leaves room: a guest may see when its TLB forgets
   * something, so that must not depend on what others decode.
   */
  #empty(store: CodeCache): void {
    const enough = store.mostPages / 2;
    let keep = this.#inUse(store, false);
    if (keep.size > enough) keep = this.#inUse(store, true);
    if (keep.size > enough) keep.clear();
    this.translator.forget(store);
    const moved = store.reset(keep);
    this.memory.u8.fill(0, this.leaderCache, this.leaderCache + leaderCacheBytes);
    for (const user of this.#codeUsers) user.follow(store, moved);
  }

  /** Gives a vCPU its number; code calls `host` for it from then on. */
  register(host: VcpuHost): number {
    const free = this.#vcpus.indexOf(undefined);
    const number = free < 0 ? this.#vcpus.length : free;
    this.#vcpus[number] = host;
    return number;
  }

  /** Takes a vCPU's number back. */
  unregister(number: number): void {
    this.#vcpus[number] = undefined;
    this.translator.forgetPlaces();
  }
}

/** A value from code as the device sees it. */
function unsigned(value: number, size: number): number {
  return size === 1 ? value & 0xff : size === 2 ? value & 0xffff : value >>> 0;
}
