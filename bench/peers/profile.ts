/** What a profile of V8's says of the thread that pagefold's guests run on: the time of each kind of work. */
import type { Profiler } from 'node:inspector';
import { coreTypes } from '../../hypervisor/x86/core/core.ts';

/** How often V8 looks at where the thread is, in µs. */
export const samplingInterval = 500;

/** Kinds of work, in the order of the table, and what it calls them. */
export const kinds = {
  translated: 'translated code',
  interpreter: 'interpreter: handlers of instructions',
  paging: 'core: misses of the TLB, page walks',
  core: 'core: other routines',
  decoder: 'decoder',
  translator: 'translator, encoding of WebAssembly',
  compile: 'V8: compiling and instantiating modules on this thread',
  garbage: 'V8: collecting garbage',
  hypervisor: 'other JavaScript of the hypervisor: devices, scheduling, memory',
  rest: 'the rest: Node, the command, V8 itself',
};

/** A kind of work. */
export type Kind = keyof typeof kinds;

/** Time of each kind, in ms. */
export type KindTimes = Readonly<Record<Kind, number>>;

/** Routines of the core that find memory for an access, and keep the TLB (`core/paging.ts`, `core/access.ts`). */
const pagingRoutines = new Set(
  'physical walk access page commit fetch flushTlb flushPage forgetFrame forgetWrites'.split(' '),
);
/** The host's functions that compare and hash pages (`hypervisor/memory`, `hypervisor/ksm/content.ts`). */
const contentRoutines = new Set(['compare', 'hash', 'hashTo']);

/**
 * Sums up the time that a thread was in each kind of work itself, what it called left out. Left out is also time in which the thread
 * was idle or the profiler was started on it.
 */
export function sumUp({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): KindTimes {
  const times = Object.fromEntries(Object.keys(kinds).map((kind) => [kind, 0])) as Record<Kind, number>;
  const own = new Map<number, number>();
  samples.forEach((node, at) => {
    own.set(node, (own.get(node) ?? 0) + timeDeltas[at]! / 1000);
  });
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const add = (node: Profiler.ProfileNode, callers: Kind) => {
    const kind = kindOf(node.callFrame, callers);
    if (kind !== 'none') times[kind] += own.get(node.id) ?? 0;
    for (const child of node.children ?? []) add(byId.get(child)!, kind === 'none' ? callers : kind);
  };
  // The first node is the root of the tree.
  if (nodes.length > 0) add(nodes[0]!, 'rest');
  return times;
}

/** The kind of a frame that was called by one of the kind `callers`. */
function kindOf(
  { functionName: name, url }: Profiler.Profile['nodes'][0]['callFrame'],
  callers: Kind,
): Kind | 'none' {
  if (url.startsWith('wasm:')) return wasmKind(name, callers);
  if (url === 'node:inspector') return 'none';
  if (url === '') {
    if (name === '(idle)') return 'none';
    if (name === '(garbage collector)') return 'garbage';
    if (name === '(program)') return 'rest';
    // The constructors of WebAssembly.
    if (name === 'Module' || name === 'Instance') return 'compile';
    // Another function of V8's or Node's own: it works for its caller.
    return callers;
  }
  const path = url.split('/hypervisor/')[1];
  if (path === undefined) return 'rest';
  if (path.startsWith('x86/decode/')) return 'decoder';
  // Most handlers and routines are made when they are first used.
  if (/^(wasm|x86\/(translate|interpret|isa|core))\//.test(path)) return 'translator';
  return 'hypervisor';
}

/** Names of functions in WebAssembly are those of the modules' name sections. */
function wasmKind(name: string, callers: Kind): Kind {
  if (name === 'region') return 'translated';
  if (pagingRoutines.has(name)) return 'paging';
  if (name in coreTypes || /^condition\d$/.test(name)) return 'core';
  if (contentRoutines.has(name)) return 'hypervisor';
  // Code of V8's between JavaScript and WebAssembly.
  if (/^(js-to-wasm|wasm-to-js)/.test(name)) return callers;
  return 'interpreter';
}
