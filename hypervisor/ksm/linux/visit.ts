/**
 * What ksmd does with one page, and its walk over a guest's pages.
 *
 * The order of steps is that of the kernel (`profiles.ts`): since 6.11 the checksum filter stands before the search in the stable tree, so
 * a page that changes all the time costs no search, and a new page can be merged on its second visit at the earliest.
 */
import * as slots from '../../memory/slots.ts';
import type { FunctionBuilder, FunctionRef } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import { get, item, itemBytes, listed, node, none, set, space, stable, unstable } from './layout.ts';
import type { NodeRoutines } from './nodes.ts';
import { forever, type Parts } from './parts.ts';
import type { StableRoutines } from './stable.ts';

/** What a kernel does differently. */
export interface VisitOptions {
  /** The checksum filter stands before the search in the stable tree. */
  readonly checksumFirst: boolean;
}

const frameOf = (slot: Value) => slot.and(slots.frameMask);

/** 1 when a slot leads to an anonymous page: one of the guest's own or a ksm frame, but not the zero frame. */
function isAnonymous(fn: FunctionBuilder, { control }: Parts, slot: Value): Value {
  return slot.and(slots.present).and(frameOf(slot).ne(control.get(fn, 'zeroFrame')));
}

/** `visit(item, frame, node)`: what is done with a page; `node` is that of its frame when it maps a ksm frame, else 0. */
export function defineVisit(
  parts: Parts,
  nodes: NodeRoutines,
  stableTree: StableRoutines,
  { checksumFirst }: VisitOptions,
): FunctionRef {
  const { module, control, imports, compare, hash } = parts;
  const searchInsert = defineSearchInsert(parts);

  return module.define('visit', { parameters: ['i32', 'i32', 'i32'], results: [] }, (fn) => {
    const page = fn.parameter(0).get();
    const frame = fn.parameter(1).get();
    const own = fn.parameter(2).get();
    const isMerged = get(fn, item.state, page).eq(stable);
    fn.if(isMerged, () => fn.if(get(fn, item.node, page).eq(own), () => fn.return()));

    const leave = () => fn.callAll(nodes.leave, page);
    const filter = () => {
      control.charge(fn, 'costChecksum');
      const checksum = fn.local('i32', fn.call(hash, frame).wrap());
      fn.if(checksum.get().ne(get(fn, item.checksum, page)), () => {
        set(fn, item.checksum, page, checksum.get());
        fn.return();
      });
      const maybeZero = checksum.get().eq(control.get(fn, 'zeroChecksum'));
      fn.if(control.get(fn, 'useZeroPages').and(maybeZero), () => {
        control.charge(fn, 'costMerge');
        fn.if(fn.call(compare, frame, control.get(fn, 'zeroFrame')).eqz(), () =>
          fn.if(fn.call(imports.replace, page, control.get(fn, 'zeroFrame')), () => fn.return()),
        );
      });
    };
    const join = () => {
      const found = fn.local('i32', own);
      fn.if(found.get().eqz(), () => found.set(fn.call(stableTree.search, frame)));
      leave();
      fn.if(found.get(), () => {
        const target = get(fn, node.frame, found.get());
        fn.if(target.ne(frame), () => {
          control.charge(fn, 'costMerge');
          fn.if(fn.call(imports.replace, page, target).eqz(), () => fn.return());
        });
        fn.callAll(nodes.append, page, found.get());
        fn.return();
      });
    };
    if (checksumFirst) {
      // A page that maps a ksm frame without being on its node (a clone of a guest) needs no filter: it cannot change.
      fn.if(own.eqz(), () => {
        leave();
        filter();
      });
      join();
    } else {
      join();
      filter();
    }

    const twin = fn.local('i32', fn.call(searchInsert, page, frame));
    fn.if(twin.get().eqz(), () => fn.return());
    control.charge(fn, 'costMerge');
    control.charge(fn, 'costMerge');
    const made = fn.local('i32', fn.call(nodes.allocate));
    const merged = fn.call(imports.merge, page, twin.get(), get(fn, node.number, made.get()));
    fn.if(merged.eqz(), () => {
      fn.callAll(nodes.free, made.get());
      fn.return();
    });
    fn.callAll(nodes.leave, twin.get());
    set(fn, node.frame, made.get(), frame);
    fn.callAll(stableTree.insert, made.get());
    // Linux counts the page from the tree as the one that is shared, the scanned one as the first that shares it.
    fn.callAll(nodes.append, twin.get(), made.get());
    fn.callAll(nodes.append, page, made.get());
  });
}

/**
 * `searchInsert(item, frame)`: the item in the unstable tree whose page has equal content; when there is none, 0, and the item
 * is inserted. Pages in this tree are not protected; they may have changed since, so the tree need not be in order. A page
 * on the way that is gone ends the search without inserting.
 */
function defineSearchInsert(parts: Parts): FunctionRef {
  const { module, control, compare, tree } = parts;
  return module.define('searchInsert', { parameters: ['i32', 'i32'], results: ['i32'] }, (fn) => {
    const page = fn.parameter(0).get();
    const frame = fn.parameter(1).get();
    const root = control.addressOf('unstableRoot');
    const place = fn.local('i32', control.get(fn, 'unstableRoot'));
    const parent = fn.local('i32');
    const onLeft = fn.local('i32');
    forever(fn, (end) => {
      end.brIf(place.get().eqz());
      const slot = fn.local('i32', fn.load('i32', get(fn, item.slot, place.get())));
      fn.if(isAnonymous(fn, parts, slot.get()).eqz(), () => fn.return(0));
      const other = fn.local('i32', frameOf(slot.get()));
      fn.if(other.get().eq(frame), () => fn.return(0));
      const order = fn.local('i32', fn.call(compare, frame, other.get()));
      fn.if(order.get().eqz(), () => {
        control.charge(fn, 'costEqual');
        fn.return(place.get());
      });
      control.charge(fn, 'costStep');
      parent.set(place.get());
      onLeft.set(order.get().ltS(0));
      place.set(fn.select(onLeft.get(), get(fn, item.left, place.get()), get(fn, item.right, place.get())));
    });
    set(fn, item.state, page, unstable);
    set(fn, item.sequence, page, control.get(fn, 'sequence'));
    control.add(fn, 'unshared', 1);
    fn.callAll(tree.insert, fn.i32(root), parent.get(), onLeft.get(), page);
    fn.return(0);
  });
}

/** How many visits a page that was not merged is skipped after the next, by its age in visits: up to an age, so many. */
const skipsUpTo: readonly (readonly [number, number])[] = [
  [3, 1],
  [5, 2],
  [8, 4],
];
const mostSkips = 8;
/** Pages younger than that are not skipped: they need the visits to be merged. */
const skippedFrom = 3;
const oldest = 255;

/** `skip(item)`: smart scan's decision about a page that is not merged; 1 when it is passed over this time. */
function defineSkip({ module, control }: Parts, nodes: NodeRoutines): FunctionRef {
  return module.define('skip', { parameters: ['i32'], results: ['i32'] }, (fn) => {
    const page = fn.parameter(0).get();
    const age = fn.local('i32', get(fn, item.age, page));
    fn.if(age.get().ne(oldest), () => set(fn, item.age, page, age.get().add(1)));
    fn.if(age.get().ltU(skippedFrom), () => fn.return(0));
    const skips = fn.local('i32', get(fn, item.skips, page));
    fn.if(skips.get().eqz(), () => {
      let next = fn.i32(mostSkips);
      for (const [upTo, count] of skipsUpTo.toReversed()) {
        next = fn.select(age.get().leU(upTo), fn.i32(count), next);
      }
      set(fn, item.skips, page, next);
      fn.return(0);
    });
    set(fn, item.skips, page, skips.get().sub(1));
    control.add(fn, 'skipped', 1);
    fn.callAll(nodes.leave, page);
    fn.return(1);
  });
}

/** `forget(item)`: its page is not there any more. */
export function defineForget({ module, control }: Parts, nodes: NodeRoutines): FunctionRef {
  return module.define('forget', { parameters: ['i32'], results: [] }, (fn) => {
    const page = fn.parameter(0).get();
    fn.callAll(nodes.leave, page);
    set(fn, item.state, page, none);
    control.add(fn, 'items', -1);
    const owner = get(fn, item.space, page);
    set(fn, space.items, owner, get(fn, space.items, owner).sub(1));
  });
}

/**
 * `walk(space, page)`: visits a guest's pages from one on, as far as pages and time left allow; the page before which it stopped, or
 * the number of pages when all were visited.
 */
export function defineWalk(
  parts: Parts,
  nodes: NodeRoutines,
  visit: FunctionRef,
  forget: FunctionRef,
): FunctionRef {
  const { module, control, imports } = parts;
  const skip = defineSkip(parts, nodes);
  const nodeOfPage = module.define('nodeOfPage', { parameters: ['i32', 'i32'], results: ['i32'] }, (fn) => {
    const page = fn.parameter(0).get();
    const frame = fn.parameter(1).get();
    fn.if(get(fn, item.state, page).eq(stable), () => {
      const known = get(fn, item.node, page);
      fn.if(get(fn, node.frame, known).eq(frame), () => fn.return(known));
    });
    fn.return(fn.call(imports.nodeOf, frame));
  });
  return module.define('walk', { parameters: ['i32', 'i32'], results: ['i32'] }, (fn) => {
    const owner = fn.parameter(0).get();
    const page = fn.local('i32', fn.parameter(1).get());
    const count = fn.local('i32', get(fn, space.pageCount, owner));
    const slotAt = fn.local('i32', get(fn, space.slots, owner).add(page.get().shl(2)));
    const current = fn.local('i32', get(fn, space.firstItem, owner).add(page.get().mul(itemBytes)));
    forever(fn, (end, again) => {
      end.brIf(page.get().geU(count.get()));
      end.brIf(control.get(fn, 'pagesLeft').eqz());
      end.brIf(control.get(fn, 'timeLeft').apply('f64.le', fn.f64(0)));
      const slot = fn.local('i32', fn.load('i32', slotAt.get()));
      const here = fn.local('i32', current.get());
      page.set(page.get().add(1));
      slotAt.set(slotAt.get().add(4));
      current.set(current.get().add(itemBytes));
      fn.if(isAnonymous(fn, parts, slot.get()).eqz(), () => {
        control.charge(fn, 'costHole');
        fn.if(get(fn, item.state, here.get()).ne(none), () => fn.callAll(forget, here.get()));
        again.br();
      });
      control.charge(fn, 'costPage');
      fn.if(get(fn, item.state, here.get()).eq(none), () => {
        set(fn, item.state, here.get(), listed);
        set(fn, item.age, here.get(), 0);
        set(fn, item.skips, here.get(), 0);
        set(fn, item.checksum, here.get(), 0);
        set(fn, space.items, owner, get(fn, space.items, owner).add(1));
        control.add(fn, 'items', 1);
      });
      const frame = fn.local('i32', frameOf(slot.get()));
      const merged = fn.local('i32', 0);
      fn.if(slot.get().and(slots.writable).eqz(), () =>
        merged.set(fn.call(nodeOfPage, here.get(), frame.get())),
      );
      // A page that maps a ksm frame is never passed over: its visit costs nothing.
      fn.if(control.get(fn, 'smartScan').and(merged.get().eqz()), () =>
        again.brIf(fn.call(skip, here.get())),
      );
      control.add(fn, 'pagesLeft', -1);
      control.add(fn, 'scanned', 1);
      fn.callAll(visit, here.get(), frame.get(), merged.get());
    });
    fn.return(page.get());
  });
}
