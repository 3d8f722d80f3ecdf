/**
 * Where the scanner's records stand in memory: byte offsets within them.
 *
 * Every page of a guest has an *item* (Linux: rmap_item), every merged frame a *node* (stable_node). Both can be in
 * a tree, so they begin alike. 0 stands for "none" in every link.
 */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { LoadName, StoreName } from '../../wasm/opcodes.ts';
import type { Operand, Value } from '../../wasm/value.ts';

/** A field of a record: its offset and the accesses that fit it. */
export interface Field {
  readonly offset: number;
  readonly load: LoadName;
  readonly store: StoreName;
}

const word = (offset: number): Field => ({ offset, load: 'i32', store: 'i32' });
const byte = (offset: number): Field => ({ offset, load: 'i32_8u', store: 'i32_8' });
const double = (offset: number): Field => ({ offset, load: 'f64', store: 'f64' });

/** What items and nodes have in common, for trees. */
export const tree = { left: word(0), right: word(4), parent: word(8), red: byte(12) };

/** The record of a page. */
export const item = {
  ...tree,
  /** A merged page: its neighbours in the list of its node, and the node. */
  next: word(0),
  previous: word(4),
  node: word(8),
  state: byte(13),
  age: byte(14),
  skips: byte(15),
  checksum: word(16),
  /** Number of the full scan in which it entered the unstable tree. */
  sequence: word(20),
  /** Address of the page's slot in the guest's memory map. */
  slot: word(24),
  /** Address of the guest's record. */
  space: word(28),
};
export const itemBytes = 32;

/** States of an item: there is none; it is in no tree (volatile); in the unstable tree; merged. */
export const none = 0;
export const listed = 1;
export const unstable = 2;
export const stable = 3;

/** The record of a merged frame, or of a chain of them with equal contents. */
export const node = {
  ...tree,
  kind: byte(13),
  /** The frame; 0 when it is gone, so that the node is stale. */
  frame: word(16),
  /** First item (of a frame) or first frame (of a chain). */
  first: word(20),
  /** Number of items. */
  length: word(24),
  /** Number of the node, which tags its frame. */
  number: word(28),
  /** When a chain was last pruned, in ns of virtual time. */
  pruned: double(32),
  /** A frame of a chain: its neighbours and the chain. */
  next: word(40),
  previous: word(44),
  chain: word(48),
};
export const nodeBytes = 64;

/** Kinds of node: not in use; a frame that stands in the tree; a chain; a frame within a chain. */
export const unused = 0;
export const single = 1;
export const chain = 2;
export const dup = 3;

/** The record of a guest. */
export const space = {
  /** Pages that are merged (`ksm_merging_pages`) and pages that have an item (`ksm_rmap_items`). */
  merging: word(0),
  items: word(4),
  slots: word(8),
  firstItem: word(12),
  pageCount: word(16),
};
export const spaceBytes = 32;

/** What the scanner has one of. */
export const control = {
  stableRoot: word(0),
  unstableRoot: word(4),
  /** Number of the current full scan. */
  sequence: word(8),
  /** Nodes not in use, linked by `left`. */
  freeNode: word(12),
  // Counters.
  shared: word(16),
  sharing: word(20),
  unshared: word(24),
  items: word(28),
  chains: word(32),
  dups: word(36),
  /** Since the routine `walk` was entered. */
  scanned: word(40),
  skipped: word(44),
  // What a batch may use.
  pagesLeft: word(48),
  // Knobs.
  useZeroPages: word(52),
  maxSharing: word(56),
  smartScan: word(60),
  timeLeft: double(64),
  /** Virtual time at which `timeLeft` will be used up, so that `deadline - timeLeft` is now. */
  deadline: double(72),
  pruneAfter: double(80),
  // Costs in ns.
  costPage: double(88),
  costChecksum: double(96),
  costStep: double(104),
  costEqual: double(112),
  costMerge: double(120),
  costHole: double(128),
  // Constants.
  zeroFrame: word(136),
  zeroChecksum: word(140),
};
export const controlBytes = 144;

/** Name of a field that there is one of. */
export type ControlName = keyof typeof control;

/** A field of the record at `at`. */
export function get(fn: FunctionBuilder, field: Field, at: Value): Value {
  return fn.load(field.load, at, field.offset);
}

/** Sets a field of the record at `at`. */
export function set(fn: FunctionBuilder, field: Field, at: Value, value: Operand): void {
  fn.store(field.store, at, value, field.offset);
}
