/**
 * The scanner's records as state. Addresses are not written: guests are named by their place in ksmd's order, items by
 * guest and page, nodes by number. The frame of a node is the one that carries its number as tag.
 */
import type { MergeMemory, MergeSpace } from '../../memory/merge.ts';
import { StateError, type StateReader, type StateWriter } from '../../state/state.ts';
import { eachTag } from '../tags.ts';
import {
  type ControlName,
  chain,
  type Field,
  item,
  itemBytes,
  node,
  nodeBytes,
  space,
  tree,
  unstable,
  unused,
} from './layout.ts';
import type { Order } from './order.ts';
import type { Guest, Store } from './store.ts';

const saved: readonly ControlName[] = [
  'sequence',
  'shared',
  'sharing',
  'unshared',
  'items',
  'chains',
  'dups',
];

/** The fields by which records hang on another. */
interface Links {
  readonly owner: Field;
  readonly previous: Field;
  readonly next: Field;
}

/** Pages on a merged frame, frames of a chain. */
const nodeLinks: Links = { owner: item.node, previous: item.previous, next: item.next };
const chainLinks: Links = { owner: node.chain, previous: node.previous, next: node.next };

/** Writes every record. */
export function saveRecords(to: StateWriter, store: Store, order: Order): void {
  for (const name of saved) to.u32(store.get(name));
  to.u32(order.cursor);
  const places = new Map<Guest, number>();
  to.list(order.guests, (guest) => {
    places.set(guest, places.size);
    to.u32(guest.space.id);
    to.u32(guest.space.pageCount);
    to.bool(guest.gone);
    to.u32(store.read(space.merging, guest.address));
    to.u32(store.read(space.items, guest.address));
    store.eachItem(guest, (at, page) => {
      const state = store.read(item.state, at);
      to.u32(page);
      to.u8(state);
      to.u8(store.read(item.age, at));
      to.u8(store.read(item.skips, at));
      to.u32(store.read(item.checksum, at));
      if (state === unstable) to.u32(store.read(item.sequence, at));
    });
  });
  const writeItem = (at: number) => {
    to.u32(places.get(store.guestOfItem(at))!);
    to.u32(store.pageOfItem(at));
  };
  const writeNode = (at: number) => to.u32(store.read(node.number, at));

  to.u32(store.nodeCount);
  for (let number = 1; number <= store.nodeCount; number++) {
    const at = store.nodeAt(number);
    const kind = store.read(node.kind, at);
    to.u8(kind);
    if (kind === unused) continue;
    if (kind === chain) to.number(store.read(node.pruned, at));
    if (kind === chain) saveList(to, store, at, chainLinks.next, writeNode);
    else saveList(to, store, at, nodeLinks.next, writeItem);
  }
  const free: number[] = [];
  for (let at = store.get('freeNode'); at !== 0; at = store.read(node.left, at)) free.push(at);
  to.list(free, writeNode);
  saveTree(to, store, store.get('stableRoot'), writeNode);
  saveTree(to, store, store.get('unstableRoot'), writeItem);
}

/** Writes what hangs on a node. */
function saveList(to: StateWriter, store: Store, at: number, next: Field, write: (at: number) => void): void {
  const members: number[] = [];
  for (let each = store.read(node.first, at); each !== 0; each = store.read(next, each)) members.push(each);
  to.list(members, write);
}

/** Writes a tree from its root down: 0 for nothing, 1 for a black record, 2 for a red one. */
function saveTree(to: StateWriter, store: Store, at: number, write: (at: number) => void): void {
  to.u8(at === 0 ? 0 : 1 + store.read(tree.red, at));
  if (at === 0) return;
  write(at);
  saveTree(to, store, store.read(tree.left, at), write);
  saveTree(to, store, store.read(tree.right, at), write);
}

/** Reads a tree and links its records; gives the root. */
function loadTree(from: StateReader, store: Store, parent: number, read: () => number): number {
  const colour = from.u8();
  if (colour === 0) return 0;
  const at = read();
  store.write(tree.parent, at, parent);
  store.write(tree.red, at, colour - 1);
  store.write(tree.left, at, loadTree(from, store, at, read));
  store.write(tree.right, at, loadTree(from, store, at, read));
  return at;
}

/** Takes up what {@link saveRecords} wrote. */
export function loadRecords(from: StateReader, store: Store, order: Order, memory: MergeMemory): void {
  for (const guest of order.guests.splice(0)) store.removeGuest(guest);
  for (const name of saved) store.set(name, from.u32());
  order.cursor = from.u32();
  order.guests.push(...from.list(() => loadGuest(from, store, memory)));
  const readItem = () => {
    const guest = order.guests[from.u32()];
    const page = from.u32();
    if (guest === undefined || page >= guest.space.pageCount)
      throw new StateError('the scanner has a page that no guest has');
    return guest.firstItem + page * itemBytes;
  };

  const count = from.u32();
  while (store.nodeCount < count) store.moreNodes();
  const readNode = () => {
    const number = from.u32();
    if (number < 1 || number > count) throw new StateError(`the scanner has no node ${number}`);
    return store.nodeAt(number);
  };
  for (let number = 1; number <= store.nodeCount; number++) {
    const at = store.nodeAt(number);
    store.memory.u8.fill(0, at, at + nodeBytes);
    store.write(node.number, at, number);
  }
  for (let number = 1; number <= count; number++) {
    const at = store.nodeAt(number);
    const kind = from.u8();
    store.write(node.kind, at, kind);
    if (kind === unused) continue;
    if (kind === chain) {
      store.write(node.pruned, at, from.number());
      loadList(from, store, at, chainLinks, readNode);
    } else loadList(from, store, at, nodeLinks, readItem);
  }
  loadFree(from, store, readNode, count);
  store.set('stableRoot', loadTree(from, store, 0, readNode));
  store.set('unstableRoot', loadTree(from, store, 0, readItem));
  eachTag(memory, (tag, frame) => store.write(node.frame, store.nodeAt(tag), frame));
}

/** Reads a guest and its items, without their links. */
function loadGuest(from: StateReader, store: Store, memory: MergeMemory): Guest {
  const id = from.u32();
  const pageCount = from.u32();
  const gone = from.bool();
  const known: MergeSpace | undefined = memory.spaces.find((each) => each.id === id);
  if (!gone && known?.pageCount !== pageCount) {
    throw new StateError(`the scanner knows guest ${id} with ${pageCount} pages, this host does not`);
  }
  const guest = store.addGuest(known ?? { id, pageCount, slots: 0, mergeable: true });
  if (gone) store.leaveSlots(guest);
  store.write(space.merging, guest.address, from.u32());
  const items = from.u32();
  store.write(space.items, guest.address, items);
  for (let i = 0; i < items; i++) {
    const page = from.u32();
    if (page >= pageCount) throw new StateError(`the scanner knows page ${page} of guest ${id}`);
    const at = guest.firstItem + page * itemBytes;
    const state = from.u8();
    store.write(item.state, at, state);
    store.write(item.age, at, from.u8());
    store.write(item.skips, at, from.u8());
    store.write(item.checksum, at, from.u32());
    if (state === unstable) store.write(item.sequence, at, from.u32());
  }
  return guest;
}

/** Reads what hangs on a node, and links it. */
function loadList(from: StateReader, store: Store, at: number, links: Links, read: () => number): void {
  const members = from.list(read);
  members.forEach((member, i) => {
    store.write(links.owner, member, at);
    store.write(links.previous, member, members[i - 1] ?? 0);
    store.write(links.next, member, members[i + 1] ?? 0);
  });
  store.write(node.first, at, members[0] ?? 0);
  if (links === nodeLinks) store.write(node.length, at, members.length);
}

/** Reads the list of nodes not in use; nodes that this scanner has made beyond those of the saved one come last. */
function loadFree(from: StateReader, store: Store, readNode: () => number, count: number): void {
  const free = from.list(readNode);
  for (let number = count + 1; number <= store.nodeCount; number++) free.push(store.nodeAt(number));
  free.forEach((at, i) => {
    store.write(node.left, at, free[i + 1] ?? 0);
  });
  store.set('freeNode', free[0] ?? 0);
}
