/**
 * The stable tree: merged frames ordered by content. As they are write-protected, the order holds.
 *
 * No frame is mapped by more than `max_page_sharing` items, so that whoever walks them is done in bounded time. When the frame of a
 * content is full, a further one of the same content is made from two pages that find each other in the unstable tree; the tree then
 * holds a *chain* in place of the frame, and the frames are its *dups*.
 */
import type { FunctionBuilder, FunctionRef, Variable } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import { chain, get, node, set, single, tree as treeFields } from './layout.ts';
import type { NodeRoutines } from './nodes.ts';
import { forever, type Parts } from './parts.ts';

/** The routines. */
export interface StableRoutines {
  /** `searchStable(frame)`: the node of equal content that takes a further item; 0 when there is none. */
  readonly search: FunctionRef;
  /**
   * `representative(place, pruning)`: of what stands at a place of the tree, the node that stands for its content and takes
   * the next item if any does; 0 when what stood there was stale and is gone, so that a walk starts anew.
   */
  readonly representative: FunctionRef;
  /** `insertStable(node)`: puts a new node, its frame set, into the tree. */
  readonly insert: FunctionRef;
}

/** A chain that ended with a look at it has its last frame in its place. */
function takeItsPlace(fn: FunctionBuilder, place: Variable, current: Variable): void {
  fn.if(get(fn, node.kind, current.get()).eq(single), () => place.set(current.get()));
}

/** Defines the routines in the module. */
export function defineStable(parts: Parts, nodes: NodeRoutines): StableRoutines {
  const { module, control, compare, tree } = parts;
  const root = control.addressOf('stableRoot');

  /** 1 when a node has items and takes `more` of them behind the next one. */
  const takes = (fn: FunctionBuilder, which: Value, more: number): Value => {
    const length = get(fn, node.length, which);
    const room = length.add(more).ltS(control.get(fn, 'maxSharing'));
    return length.nonzero().and(room);
  };

  const representative = module.define(
    'representative',
    { parameters: ['i32', 'i32'], results: ['i32'] },
    (fn) => {
      const place = fn.parameter(0).get();
      fn.if(get(fn, node.kind, place).eq(single), () => {
        fn.if(get(fn, node.frame, place), () => fn.return(place));
        fn.callAll(nodes.prune, place);
        fn.return(0);
      });
      // Now and then all of a chain is looked at, so that stale dups go and the fullest that takes more is preferred.
      const pruning = fn.local('i32', fn.parameter(1).get());
      fn.if(pruning.get(), () => {
        const now = control.now(fn);
        const due = get(fn, node.pruned, place).add(control.get(fn, 'pruneAfter'));
        fn.if(
          now.apply('f64.lt', due),
          () => pruning.set(0),
          () => set(fn, node.pruned, place, now),
        );
      });
      const found = fn.local('i32');
      const each = fn.local('i32', get(fn, node.first, place));
      forever(fn, (end, again) => {
        end.brIf(each.get().eqz());
        const current = fn.local('i32', each.get());
        each.set(get(fn, node.next, current.get()));
        fn.if(get(fn, node.frame, current.get()).eqz(), () => {
          fn.callAll(nodes.prune, current.get());
          again.br();
        });
        const better = fn.local('i32', found.get().eqz());
        fn.if(
          found
            .get()
            .nonzero()
            .and(takes(fn, current.get(), 0)),
          () => {
            const longer = get(fn, node.length, current.get()).gtU(get(fn, node.length, found.get()));
            better.set(takes(fn, found.get(), 0).eqz().or(longer));
          },
        );
        fn.if(better.get(), () => {
          found.set(current.get());
          fn.if(pruning.get().eqz(), () => end.brIf(takes(fn, found.get(), 0)));
        });
      });
      fn.if(found.get().eqz(), () => {
        fn.callAll(tree.erase, fn.i32(root), place);
        control.add(fn, 'chains', -1);
        fn.callAll(nodes.free, place);
        fn.return(0);
      });
      const isFirst = get(fn, node.first, place).eq(found.get());
      fn.if(
        isFirst.and(get(fn, node.next, found.get()).eqz()),
        () => {
          // A chain of one is no chain. Linux 6.18 ends it at whatever look, whether or not it is due to be pruned.
          fn.callAll(tree.substitute, fn.i32(root), place, found.get());
          set(fn, node.kind, found.get(), single);
          control.add(fn, 'chains', -1);
          control.add(fn, 'dups', -1);
          fn.callAll(nodes.free, place);
        },
        () => {
          fn.if(isFirst.eqz().and(takes(fn, found.get(), 1)), () => {
            fn.callAll(nodes.unlinkDup, found.get());
            fn.callAll(nodes.pushDup, found.get(), place);
          });
        },
      );
      fn.return(found.get());
    },
  );

  const search = module.define('searchStable', { parameters: ['i32'], results: ['i32'] }, (fn) => {
    const frame = fn.parameter(0).get();
    const place = fn.local('i32', control.get(fn, 'stableRoot'));
    forever(fn, (end, again) => {
      end.brIf(place.get().eqz());
      const current = fn.local('i32', fn.call(representative, place.get(), 1));
      fn.if(current.get().eqz(), () => {
        place.set(control.get(fn, 'stableRoot'));
        again.br();
      });
      const order = fn.local('i32', fn.call(compare, frame, get(fn, node.frame, current.get())));
      fn.if(order.get().eqz(), () => {
        control.charge(fn, 'costEqual');
        fn.return(fn.select(takes(fn, current.get(), 0), current.get(), 0));
      });
      control.charge(fn, 'costStep');
      takeItsPlace(fn, place, current);
      place.set(
        fn.select(
          order.get().ltS(0),
          get(fn, treeFields.left, place.get()),
          get(fn, treeFields.right, place.get()),
        ),
      );
    });
    fn.return(0);
  });

  const insert = module.define('insertStable', { parameters: ['i32'], results: [] }, (fn) => {
    const added = fn.parameter(0).get();
    const place = fn.local('i32', control.get(fn, 'stableRoot'));
    const parent = fn.local('i32');
    const onLeft = fn.local('i32');
    forever(fn, (end, again) => {
      end.brIf(place.get().eqz());
      const current = fn.local('i32', fn.call(representative, place.get(), 0));
      fn.if(current.get().eqz(), () => {
        place.set(control.get(fn, 'stableRoot'));
        parent.set(0);
        again.br();
      });
      takeItsPlace(fn, place, current);
      const order = fn.local(
        'i32',
        fn.call(compare, get(fn, node.frame, added), get(fn, node.frame, current.get())),
      );
      fn.if(order.get().eqz(), () => {
        control.charge(fn, 'costEqual');
        fn.if(get(fn, node.kind, place.get()).eq(single), () => {
          const made = fn.local('i32', fn.call(nodes.allocate));
          set(fn, node.kind, made.get(), chain);
          set(fn, node.pruned, made.get(), control.now(fn));
          fn.callAll(tree.substitute, fn.i32(root), place.get(), made.get());
          fn.callAll(nodes.pushDup, place.get(), made.get());
          control.add(fn, 'chains', 1);
          control.add(fn, 'dups', 1);
          place.set(made.get());
        });
        fn.callAll(nodes.pushDup, added, place.get());
        control.add(fn, 'dups', 1);
        fn.return();
      });
      control.charge(fn, 'costStep');
      parent.set(place.get());
      onLeft.set(order.get().ltS(0));
      place.set(
        fn.select(
          onLeft.get(),
          get(fn, treeFields.left, place.get()),
          get(fn, treeFields.right, place.get()),
        ),
      );
    });
    set(fn, node.kind, added, single);
    fn.callAll(tree.insert, fn.i32(root), parent.get(), onLeft.get(), added);
  });

  return { search, representative, insert };
}
