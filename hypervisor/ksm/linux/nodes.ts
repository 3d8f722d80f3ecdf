/**
 * Nodes of the stable tree and the items that hang on them: making, joining, leaving, removal.
 *
 * A node is stale when its frame has gone (all pages left it, or it went to swap). Nobody tells the tree: as in Linux, the node
 * is found stale when a search or one of its items comes by, and only then do the counters fall.
 */
import type { FunctionRef } from '../../wasm/function.ts';
import { dup, get, item, listed, node, set, single, space, stable, unstable, unused } from './layout.ts';
import { forever, type Parts } from './parts.ts';

/** The routines. */
export interface NodeRoutines {
  /** `allocate()`: a node that nothing hangs on, its number set. */
  readonly allocate: FunctionRef;
  /** `free(node)`: gives a node back that is in no tree and on which nothing hangs. */
  readonly free: FunctionRef;
  /** `append(item, node)`: the item's page now maps the node's frame. */
  readonly append: FunctionRef;
  /** `prune(node)`: removes a node with all that hangs on it; its items become volatile. */
  readonly prune: FunctionRef;
  /** `leave(item)`: takes an item out of the tree in which it is, if any. */
  readonly leave: FunctionRef;
  /** `pushDup(node, chain)`: makes a node the first of a chain. */
  readonly pushDup: FunctionRef;
  /** `unlinkDup(node)`: takes a node out of its chain's list. */
  readonly unlinkDup: FunctionRef;
}

/** Defines the routines in the module. */
export function defineNodes({ module, control, imports, tree }: Parts): NodeRoutines {
  const stableRoot = control.addressOf('stableRoot');

  const allocate = module.define('allocate', { parameters: [], results: ['i32'] }, (fn) => {
    fn.if(control.get(fn, 'freeNode').eqz(), () => fn.callAll(imports.moreNodes));
    const made = fn.local('i32', control.get(fn, 'freeNode'));
    control.set(fn, 'freeNode', get(fn, node.left, made.get()));
    for (const field of [node.frame, node.first, node.length, node.next, node.previous, node.chain]) {
      set(fn, field, made.get(), 0);
    }
    fn.return(made.get());
  });

  const free = module.define('free', { parameters: ['i32'], results: [] }, (fn) => {
    const gone = fn.parameter(0).get();
    set(fn, node.kind, gone, unused);
    set(fn, node.frame, gone, 0);
    set(fn, node.left, gone, control.get(fn, 'freeNode'));
    control.set(fn, 'freeNode', gone);
  });

  const append = module.define('append', { parameters: ['i32', 'i32'], results: [] }, (fn) => {
    const added = fn.parameter(0).get();
    const to = fn.parameter(1).get();
    const first = fn.local('i32', get(fn, node.first, to));
    set(fn, item.next, added, first.get());
    set(fn, item.previous, added, 0);
    set(fn, item.node, added, to);
    set(fn, item.state, added, stable);
    set(fn, node.first, to, added);
    set(fn, node.length, to, get(fn, node.length, to).add(1));
    fn.if(
      first.get(),
      () => {
        set(fn, item.previous, first.get(), added);
        control.add(fn, 'sharing', 1);
      },
      () => control.add(fn, 'shared', 1),
    );
    const owner = get(fn, item.space, added);
    set(fn, space.merging, owner, get(fn, space.merging, owner).add(1));
  });

  const pushDup = module.define('pushDup', { parameters: ['i32', 'i32'], results: [] }, (fn) => {
    const added = fn.parameter(0).get();
    const to = fn.parameter(1).get();
    const first = fn.local('i32', get(fn, node.first, to));
    set(fn, node.kind, added, dup);
    set(fn, node.chain, added, to);
    set(fn, node.previous, added, 0);
    set(fn, node.next, added, first.get());
    fn.if(first.get(), () => set(fn, node.previous, first.get(), added));
    set(fn, node.first, to, added);
  });

  const unlinkDup = module.define('unlinkDup', { parameters: ['i32'], results: [] }, (fn) => {
    const gone = fn.parameter(0).get();
    const next = fn.local('i32', get(fn, node.next, gone));
    const previous = fn.local('i32', get(fn, node.previous, gone));
    fn.if(
      previous.get(),
      () => set(fn, node.next, previous.get(), next.get()),
      () => set(fn, node.first, get(fn, node.chain, gone), next.get()),
    );
    fn.if(next.get(), () => set(fn, node.previous, next.get(), previous.get()));
  });

  const prune = module.define('prune', { parameters: ['i32'], results: [] }, (fn) => {
    const gone = fn.parameter(0).get();
    const each = fn.local('i32', get(fn, node.first, gone));
    fn.if(each.get(), () => {
      control.add(fn, 'shared', -1);
      control.add(fn, 'sharing', fn.i32(1).sub(get(fn, node.length, gone)));
    });
    forever(fn, (end) => {
      end.brIf(each.get().eqz());
      const owner = get(fn, item.space, each.get());
      set(fn, space.merging, owner, get(fn, space.merging, owner).sub(1));
      set(fn, item.state, each.get(), listed);
      each.set(get(fn, item.next, each.get()));
    });
    fn.if(
      get(fn, node.kind, gone).eq(dup),
      () => {
        fn.callAll(unlinkDup, gone);
        control.add(fn, 'dups', -1);
      },
      () =>
        fn.if(get(fn, node.kind, gone).eq(single), () => fn.callAll(tree.erase, fn.i32(stableRoot), gone)),
    );
    fn.callAll(free, gone);
  });

  const leave = module.define('leave', { parameters: ['i32'], results: [] }, (fn) => {
    const leaving = fn.parameter(0).get();
    fn.if(get(fn, item.state, leaving).eq(stable), () => {
      const from = fn.local('i32', get(fn, item.node, leaving));
      fn.if(get(fn, node.frame, from.get()).eqz(), () => {
        fn.callAll(prune, from.get());
        fn.return();
      });
      const next = fn.local('i32', get(fn, item.next, leaving));
      const previous = fn.local('i32', get(fn, item.previous, leaving));
      fn.if(
        previous.get(),
        () => set(fn, item.next, previous.get(), next.get()),
        () => set(fn, node.first, from.get(), next.get()),
      );
      fn.if(next.get(), () => set(fn, item.previous, next.get(), previous.get()));
      set(fn, node.length, from.get(), get(fn, node.length, from.get()).sub(1));
      fn.if(
        get(fn, node.first, from.get()),
        () => control.add(fn, 'sharing', -1),
        () => control.add(fn, 'shared', -1),
      );
      const owner = get(fn, item.space, leaving);
      set(fn, space.merging, owner, get(fn, space.merging, owner).sub(1));
      set(fn, item.state, leaving, listed);
    });
    fn.if(get(fn, item.state, leaving).eq(unstable), () => {
      // The tree of the last scan was dropped as a whole.
      fn.if(get(fn, item.sequence, leaving).eq(control.get(fn, 'sequence')), () =>
        fn.callAll(tree.erase, fn.i32(control.addressOf('unstableRoot')), leaving),
      );
      control.add(fn, 'unshared', -1);
      set(fn, item.state, leaving, listed);
    });
  });

  return { allocate, free, append, prune, leave, pushDup, unlinkDup };
}
