/** The scanner's module of WebAssembly, put together for one host memory. */
import type { HostMemory } from '../../memory/hostmemory.ts';
import { defineCompare, defineHash, instantiate, startModule } from '../content.ts';
import { controlBytes } from './layout.ts';
import { defineNodes } from './nodes.ts';
import { Control, type Imports, type Parts } from './parts.ts';
import { defineStable } from './stable.ts';
import { defineTree } from './tree.ts';
import { defineForget, defineVisit, defineWalk, type VisitOptions } from './visit.ts';

/** What the routines call; the addresses are those of items, nodes and frames. */
export interface Callbacks {
  nodeOf(frame: number): number;
  merge(item: number, other: number, number: number): number;
  replace(item: number, frame: number): number;
  moreNodes(): void;
}

/** What JavaScript calls. */
export interface Routines {
  /** Visits pages of a guest, see `visit.ts`. */
  walk(space: number, page: number): number;
  /** Ends an item whose page is gone. */
  forget(item: number): void;
  /** What stands for a place of the stable tree; 0 when that was stale and is gone. See `stable.ts`. */
  representative(place: number, pruning: number): number;
  /** XXH64 of a page. */
  hash(page: number): bigint;
}

/** The routines and the address of what the scanner has one of. */
export interface Machine {
  readonly control: number;
  readonly routines: Routines;
}

/** Makes the routines; the memory keeps room for their fields from then on. */
export function makeMachine(memory: HostMemory, options: VisitOptions, callbacks: Callbacks): Machine {
  const address = memory.allocate(controlBytes, 64);
  const module = startModule(memory);
  const i32 = 'i32' as const;
  const imports: Imports = {
    nodeOf: module.importFunction('host', 'nodeOf', { parameters: [i32], results: [i32] }),
    merge: module.importFunction('host', 'merge', { parameters: [i32, i32, i32], results: [i32] }),
    replace: module.importFunction('host', 'replace', { parameters: [i32, i32], results: [i32] }),
    moreNodes: module.importFunction('host', 'moreNodes', { parameters: [], results: [] }),
  };
  const parts: Parts = {
    module,
    control: new Control(address),
    imports,
    compare: defineCompare(module),
    hash: defineHash(module),
    tree: defineTree(module),
  };
  const nodes = defineNodes(parts);
  const stable = defineStable(parts, nodes);
  const visit = defineVisit(parts, nodes, stable, options);
  const forget = defineForget(parts, nodes);
  const walk = defineWalk(parts, nodes, visit, forget);
  const { representative } = stable;
  for (const [name, fn] of Object.entries({ walk, forget, representative, hash: parts.hash })) {
    module.export(name, fn);
  }
  const { nodeOf, merge, replace, moreNodes } = callbacks;
  const exports = instantiate(module, memory, { nodeOf, merge, replace, moreNodes });
  return { control: address, routines: exports as unknown as Routines };
}
