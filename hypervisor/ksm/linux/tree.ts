/**
 * Red-black trees of records that begin as `layout.tree` says (Cormen, Leiserson, Rivest, Stein: Introduction to
 * Algorithms, chapter 13), as WebAssembly. The order is not known here: who searches also says where to insert.
 *
 * A root is a word in memory, named by its address.
 */
import type { FunctionBuilder, FunctionRef, Variable } from '../../wasm/function.ts';
import type { ModuleBuilder } from '../../wasm/module.ts';
import type { Value } from '../../wasm/value.ts';
import { type Field, get, set, tree } from './layout.ts';

/** The routines. */
export interface TreeRoutines {
  /** `insert(root, parent, onLeft, record)`: links a record below `parent` (0: as the root), and balances. */
  readonly insert: FunctionRef;
  /** `erase(root, record)`: takes a record out. */
  readonly erase: FunctionRef;
  /** `substitute(root, old, record)`: puts a record in the place of another. */
  readonly substitute: FunctionRef;
}

/** Both ways to look at a tree: as it is, and in the mirror. */
const sides: readonly { readonly near: Field; readonly far: Field }[] = [
  { near: tree.left, far: tree.right },
  { near: tree.right, far: tree.left },
];

const setRoot = (fn: FunctionBuilder, root: Value, record: Value) => fn.store('i32', root, record);

/** Defines the routines in a module. */
export function defineTree(module: ModuleBuilder): TreeRoutines {
  // Puts `record` (perhaps 0) where `old` hangs, without touching what is below either.
  const replaceChild = module.define(
    'replaceChild',
    { parameters: ['i32', 'i32', 'i32'], results: [] },
    (fn) => {
      const root = fn.parameter(0).get();
      const old = fn.parameter(1).get();
      const record = fn.parameter(2).get();
      const parent = fn.local('i32', get(fn, tree.parent, old));
      fn.if(
        parent.get(),
        () =>
          fn.if(
            get(fn, tree.left, parent.get()).eq(old),
            () => set(fn, tree.left, parent.get(), record),
            () => set(fn, tree.right, parent.get(), record),
          ),
        () => setRoot(fn, root, record),
      );
      fn.if(record, () => set(fn, tree.parent, record, parent.get()));
    },
  );

  // `rotate(root, top)` towards the near side: the far child comes up, `top` goes down to its near side.
  const rotations = sides.map(({ near, far }, side) =>
    module.define(`rotate${side}`, { parameters: ['i32', 'i32'], results: [] }, (fn) => {
      const root = fn.parameter(0).get();
      const top = fn.parameter(1).get();
      const up = fn.local('i32', get(fn, far, top));
      const middle = fn.local('i32', get(fn, near, up.get()));
      fn.callAll(replaceChild, root, top, up.get());
      set(fn, far, top, middle.get());
      fn.if(middle.get(), () => set(fn, tree.parent, middle.get(), top));
      set(fn, near, up.get(), top);
      set(fn, tree.parent, top, up.get());
    }),
  );

  const insert = module.define('insert', { parameters: ['i32', 'i32', 'i32', 'i32'], results: [] }, (fn) => {
    const root = fn.parameter(0).get();
    const parent = fn.local('i32', fn.parameter(1).get());
    const record = fn.local('i32', fn.parameter(3).get());
    set(fn, tree.left, record.get(), 0);
    set(fn, tree.right, record.get(), 0);
    set(fn, tree.parent, record.get(), parent.get());
    set(fn, tree.red, record.get(), 1);
    fn.if(
      parent.get(),
      () =>
        fn.if(
          fn.parameter(2).get(),
          () => set(fn, tree.left, parent.get(), record.get()),
          () => set(fn, tree.right, parent.get(), record.get()),
        ),
      () => setRoot(fn, root, record.get()),
    );
    fn.loop((again) => {
      parent.set(get(fn, tree.parent, record.get()));
      fn.if(parent.get().eqz(), () => {
        set(fn, tree.red, record.get(), 0);
        fn.return();
      });
      fn.if(get(fn, tree.red, parent.get()).eqz(), () => fn.return());
      const above = fn.local('i32', get(fn, tree.parent, parent.get()));
      const balance = (side: number) => {
        const { far } = sides[side]!;
        const uncle = fn.local('i32', get(fn, far, above.get()));
        fn.if(uncle.get(), () =>
          fn.if(get(fn, tree.red, uncle.get()), () => {
            set(fn, tree.red, parent.get(), 0);
            set(fn, tree.red, uncle.get(), 0);
            set(fn, tree.red, above.get(), 1);
            record.set(above.get());
            again.br();
          }),
        );
        fn.if(get(fn, far, parent.get()).eq(record.get()), () => {
          fn.callAll(rotations[side]!, root, parent.get());
          parent.set(record.get());
        });
        set(fn, tree.red, parent.get(), 0);
        set(fn, tree.red, above.get(), 1);
        fn.callAll(rotations[1 - side]!, root, above.get());
      };
      fn.if(
        get(fn, tree.left, above.get()).eq(parent.get()),
        () => balance(0),
        () => balance(1),
      );
    });
  });

  // `restore(root, record, parent)`: one black record is missing on every path through `record` (perhaps 0) below `parent`.
  const restore = module.define('restore', { parameters: ['i32', 'i32', 'i32'], results: [] }, (fn) => {
    const root = fn.parameter(0).get();
    const record = fn.local('i32', fn.parameter(1).get());
    const parent = fn.local('i32', fn.parameter(2).get());
    const isRed = (of: Variable) => redOrNone(fn, of.get());
    fn.block((done) => {
      fn.loop((again) => {
        done.brIf(parent.get().eqz());
        done.brIf(isRed(record));
        const step = (side: number) => {
          const { near, far } = sides[side]!;
          const sibling = fn.local('i32', get(fn, far, parent.get()));
          fn.if(get(fn, tree.red, sibling.get()), () => {
            set(fn, tree.red, sibling.get(), 0);
            set(fn, tree.red, parent.get(), 1);
            fn.callAll(rotations[side]!, root, parent.get());
            sibling.set(get(fn, far, parent.get()));
          });
          const nephew = fn.local('i32', get(fn, near, sibling.get()));
          const farNephew = fn.local('i32', get(fn, far, sibling.get()));
          fn.if(isRed(nephew).or(isRed(farNephew)).eqz(), () => {
            set(fn, tree.red, sibling.get(), 1);
            record.set(parent.get());
            parent.set(get(fn, tree.parent, record.get()));
            again.br();
          });
          fn.if(isRed(farNephew).eqz(), () => {
            set(fn, tree.red, nephew.get(), 0);
            set(fn, tree.red, sibling.get(), 1);
            fn.callAll(rotations[1 - side]!, root, sibling.get());
            farNephew.set(sibling.get());
            sibling.set(nephew.get());
          });
          set(fn, tree.red, sibling.get(), get(fn, tree.red, parent.get()));
          set(fn, tree.red, parent.get(), 0);
          set(fn, tree.red, farNephew.get(), 0);
          fn.callAll(rotations[side]!, root, parent.get());
          fn.return();
        };
        fn.if(
          get(fn, tree.left, parent.get()).eq(record.get()),
          () => step(0),
          () => step(1),
        );
      });
    });
    fn.if(record.get(), () => set(fn, tree.red, record.get(), 0));
  });

  const substitute = module.define('substitute', { parameters: ['i32', 'i32', 'i32'], results: [] }, (fn) => {
    const root = fn.parameter(0).get();
    const old = fn.parameter(1).get();
    const record = fn.parameter(2).get();
    fn.callAll(replaceChild, root, old, record);
    for (const field of [tree.left, tree.right]) {
      const child = fn.local('i32', get(fn, field, old));
      set(fn, field, record, child.get());
      fn.if(child.get(), () => set(fn, tree.parent, child.get(), record));
    }
    set(fn, tree.red, record, get(fn, tree.red, old));
  });

  const erase = module.define('erase', { parameters: ['i32', 'i32'], results: [] }, (fn) => {
    const root = fn.parameter(0).get();
    const record = fn.parameter(1).get();
    const leftChild = fn.local('i32', get(fn, tree.left, record));
    const rightChild = fn.local('i32', get(fn, tree.right, record));
    // The place that loses a record: what moves up into it, what it hangs from, and the colour that is lost.
    const moved = fn.local('i32');
    const below = fn.local('i32');
    const lostRed = fn.local('i32');
    fn.if(
      leftChild.get().eqz().or(rightChild.get().eqz()),
      () => {
        moved.set(fn.select(leftChild.get(), leftChild.get(), rightChild.get()));
        below.set(get(fn, tree.parent, record));
        lostRed.set(get(fn, tree.red, record));
        fn.callAll(replaceChild, root, record, moved.get());
      },
      () => {
        // The next record in order has no left child; it leaves its place and takes that of the erased one.
        const successor = fn.local('i32', rightChild.get());
        fn.block((found) => {
          fn.loop((again) => {
            const lower = fn.local('i32', get(fn, tree.left, successor.get()));
            found.brIf(lower.get().eqz());
            successor.set(lower.get());
            again.br();
          });
        });
        moved.set(get(fn, tree.right, successor.get()));
        lostRed.set(get(fn, tree.red, successor.get()));
        below.set(get(fn, tree.parent, successor.get()));
        fn.if(below.get().eq(record), () => below.set(successor.get()));
        fn.callAll(replaceChild, root, successor.get(), moved.get());
        fn.callAll(substitute, root, record, successor.get());
      },
    );
    fn.if(lostRed.get().eqz(), () => fn.callAll(restore, root, moved.get(), below.get()));
  });

  return { insert, erase, substitute };
}

/** 1 when there is a record and it is red. */
function redOrNone(fn: FunctionBuilder, record: Value): Value {
  // Address 0 is never given out and stays zero, so the record "none" reads as black.
  return get(fn, tree.red, record);
}
