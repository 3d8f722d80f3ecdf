/** The scanner's records in memory: one for each guest, an item for each of its pages, the nodes. */
import type { HostMemory } from '../../memory/hostmemory.ts';
import type { MergeSpace } from '../../memory/merge.ts';
import {
  type ControlName,
  control,
  type Field,
  item,
  itemBytes,
  node,
  nodeBytes,
  none,
  space,
  spaceBytes,
} from './layout.ts';

/** Nodes that are made at a time, as a power of two. */
const chunkBits = 10;
const chunkNodes = 1 << chunkBits;

/** A guest that the scanner knows. */
export interface Guest {
  readonly space: MergeSpace;
  /** Address of its record. */
  readonly address: number;
  /** Address of the item of page 0. */
  readonly firstItem: number;
  /** True when it has left the host; its items remain until ksmd comes by. */
  gone: boolean;
}

/** See the top of this file. */
export class Store {
  readonly memory: HostMemory;
  /** Address of what there is one of (`layout.control`); set once it has room. */
  controlAddress = 0;
  readonly #byAddress = new Map<number, Guest>();
  readonly #byId = new Map<number, Guest>();
  /** Room of guests that are gone, by their number of pages. */
  readonly #rooms = new Map<number, { address: number; firstItem: number }[]>();
  readonly #chunks: number[] = [];
  /** A slot without a frame, to which the items of a guest that is gone lead. */
  readonly #noSlot: number;

  constructor(memory: HostMemory) {
    this.memory = memory;
    this.#noSlot = memory.allocate(4);
  }

  /** A field of the record at an address. */
  read(field: Field, at: number): number {
    const where = at + field.offset;
    if (field.load === 'f64') return this.memory.f64[where >> 3]!;
    return field.load === 'i32' ? this.memory.u32[where >> 2]! : this.memory.u8[where]!;
  }

  /** Sets a field of the record at an address. */
  write(field: Field, at: number, value: number): void {
    const where = at + field.offset;
    if (field.load === 'f64') this.memory.f64[where >> 3] = value;
    else if (field.load === 'i32') this.memory.u32[where >> 2] = value;
    else this.memory.u8[where] = value;
  }

  /** A field that there is one of. */
  get(name: ControlName): number {
    return this.read(control[name], this.controlAddress);
  }

  /** Sets a field that there is one of. */
  set(name: ControlName, value: number): void {
    this.write(control[name], this.controlAddress, value);
  }

  /** Makes the records of a guest. */
  addGuest(of: MergeSpace): Guest {
    const { pageCount } = of;
    const room = this.#rooms.get(pageCount)?.pop() ?? {
      address: this.memory.allocate(spaceBytes, spaceBytes),
      firstItem: this.memory.allocate(pageCount * itemBytes, 64),
    };
    const guest: Guest = { ...room, space: of, gone: false };
    const { address, firstItem } = room;
    this.memory.u8.fill(0, address, address + spaceBytes);
    this.write(space.slots, address, of.slots);
    this.write(space.firstItem, address, firstItem);
    this.write(space.pageCount, address, pageCount);
    const { u32 } = this.memory;
    u32.fill(0, firstItem >> 2, (firstItem + pageCount * itemBytes) >> 2);
    for (let page = 0; page < pageCount; page++) {
      const at = firstItem + page * itemBytes;
      u32[(at + item.slot.offset) >> 2] = of.slots + 4 * page;
      u32[(at + item.space.offset) >> 2] = address;
    }
    this.#byAddress.set(address, guest);
    this.#byId.set(of.id, guest);
    return guest;
  }

  /** A guest has left the host: its slots are not read any more. */
  leaveSlots(guest: Guest): void {
    guest.gone = true;
    this.#byId.delete(guest.space.id);
    for (let page = 0; page < guest.space.pageCount; page++) {
      this.write(item.slot, guest.firstItem + page * itemBytes, this.#noSlot);
    }
  }

  /** Takes the room of a guest back, which has no items any more. */
  removeGuest({ address, firstItem, space: { id, pageCount } }: Guest): void {
    this.#byAddress.delete(address);
    if (this.#byId.get(id)?.address === address) this.#byId.delete(id);
    const rooms = this.#rooms.get(pageCount);
    if (rooms === undefined) this.#rooms.set(pageCount, [{ address, firstItem }]);
    else rooms.push({ address, firstItem });
  }

  /** The guest with that memory; undefined when it is not known, or gone. */
  guestOf(of: MergeSpace): Guest | undefined {
    return this.#byId.get(of.id);
  }

  /** The guest to which an item belongs. */
  guestOfItem(at: number): Guest {
    return this.#byAddress.get(this.read(item.space, at))!;
  }

  /** The page to which an item belongs. */
  pageOfItem(at: number): number {
    return (at - this.guestOfItem(at).firstItem) / itemBytes;
  }

  /** Calls `visit` with the item of each page that has one. */
  eachItem({ firstItem, space: { pageCount } }: Guest, visit: (at: number, page: number) => void): void {
    const { u8 } = this.memory;
    for (let page = 0; page < pageCount; page++) {
      const at = firstItem + page * itemBytes;
      if (u8[at + item.state.offset] !== none) visit(at, page);
    }
  }

  /** Number of nodes that were made; they are numbered from 1. */
  get nodeCount(): number {
    return this.#chunks.length * chunkNodes;
  }

  /** Address of a node by its number. */
  nodeAt(number: number): number {
    return this.#chunks[(number - 1) >> chunkBits]! + ((number - 1) & (chunkNodes - 1)) * nodeBytes;
  }

  /** Makes more nodes, the one with the lowest number first in the list of those not in use. */
  moreNodes(): void {
    const first = this.nodeCount + 1;
    this.#chunks.push(this.memory.allocate(chunkNodes * nodeBytes, nodeBytes));
    for (let number = first + chunkNodes - 1; number >= first; number--) {
      const at = this.nodeAt(number);
      this.write(node.number, at, number);
      this.write(node.left, at, this.get('freeNode'));
      this.set('freeNode', at);
    }
  }
}
