/** The core's routines as imports of the modules of regions: each has the same number in all of them. */
import type { FunctionRef, FunctionType } from '../../wasm/function.ts';
import type { ModuleBuilder } from '../../wasm/module.ts';
import { type Core, importCore } from '../core/core.ts';

/** See the top of this file. Routines are numbered as they are first used; a module imports all that have been so far. */
export class CoreImports {
  readonly #imports: { readonly module: string; readonly name: string; readonly type: FunctionType }[] = [];
  readonly core: Core = importCore({
    importFunction: (module: string, name: string, type: FunctionType): FunctionRef => {
      this.#imports.push({ module, name, type });
      return { index: this.#imports.length - 1, type };
    },
  });

  /** Imports them into a module that has no other imported functions. */
  importInto(module: ModuleBuilder): void {
    for (const { module: from, name, type } of this.#imports) module.importFunction(from, name, type);
  }
}
