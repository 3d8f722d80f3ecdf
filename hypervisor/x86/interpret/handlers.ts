/**
 * The set of the interpreter's handlers. A handler is made when the first instruction of its form is decoded; those
 * of one stretch of code are made together, in one module.
 */

import type { FunctionBuilder, FunctionRef } from '../../wasm/function.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import { type Core, type Host, handlerType, importCore, importHost } from '../core/core.ts';
import type { Form } from '../form.ts';
import { buildHandler } from './handler.ts';

/** What modules of handlers are linked against. */
export interface HandlerEnvironment {
  readonly memoryPages: number;
  readonly table: WebAssembly.Table;
  /** What stands in entries of the table that are not in use. */
  readonly none: () => void;
  /** The core's exports. */
  readonly core: WebAssembly.Exports;
  /** What the core and the handlers call in JavaScript. */
  readonly host: WebAssembly.ModuleImports;
}

/** Table entries kept for handlers. */
const entriesForForms = 8192;

interface Pending {
  readonly index: number;
  readonly name: string;
  readonly build: (fn: FunctionBuilder, core: Core, host: Host) => void;
}

/** Hands out table entries for handlers and makes the handlers. */
export class Handlers {
  readonly #environment: HandlerEnvironment;
  readonly #forms = new Map<number, number>();
  readonly #byIndex: (Form | undefined)[] = [];
  readonly #special = new Map<string, number>();
  #pending: Pending[] = [];
  #next: number;
  /** Modules made so far, for statistics. */
  modules = 0;

  /** @param first first free entry of the table */
  constructor(environment: HandlerEnvironment, first: number) {
    this.#environment = environment;
    this.#next = first;
  }

  /** Table entry of a form's handler; it is made by the next {@link make}. `number` is the form's. */
  of(form: Form, number: number): number {
    let index = this.#forms.get(number);
    if (index === undefined) {
      index = this.#ask(form.row.name, (fn, core) => buildHandler(fn, core, form));
      this.#forms.set(number, index);
      this.#byIndex[index] = form;
    }
    return index;
  }

  /** The form that the handler at a table entry executes; undefined when it is no instruction's. */
  formOf(index: number): Form | undefined {
    return this.#byIndex[index];
  }

  /** Table entry of a handler that is no instruction. */
  special(name: string, build: Pending['build']): number {
    let index = this.#special.get(name);
    if (index === undefined) {
      index = this.#ask(name, build);
      this.#special.set(name, index);
    }
    return index;
  }

  #ask(name: string, build: Pending['build']): number {
    const index = this.#next++;
    this.#pending.push({ index, name, build });
    return index;
  }

  /**
   * Reserves table entries in a row for functions that others make, and gives the first; 0 when the table has too few left.
   * Handlers asked for are made first.
   */
  reserve(count: number): number {
    this.make();
    // The forms that are still to come want room as well.
    if (this.#next + count > this.#environment.table.length - entriesForForms) return 0;
    const first = this.#next;
    this.#next += count;
    return first;
  }

  /** Number of handlers made. */
  get count(): number {
    return this.#forms.size + this.#special.size;
  }

  /** Makes the handlers that were asked for since the last time. */
  make(): void {
    if (this.#pending.length === 0) return;
    const { memoryPages, table, core: exports, host: outside } = this.#environment;
    const module = new ModuleBuilder();
    module.importMemory('host', 'memory', memoryPages, memoryPages);
    module.importTable('core', 'table', handlerType, table.length);
    const core = importCore(module);
    const host = importHost(module);
    const functions: FunctionRef[] = [];
    for (const { name, build } of this.#pending) {
      functions.push(module.define(name, handlerType, (fn) => build(fn, core, host)));
    }
    module.tableEntries(this.#pending[0]!.index, functions);
    this.#pending = [];
    this.modules++;
    new WebAssembly.Instance(new WebAssembly.Module(module.finish()), {
      host: outside,
      core: exports,
    });
  }
}
