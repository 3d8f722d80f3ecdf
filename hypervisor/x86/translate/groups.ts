/**
 * Groups of memory accesses: those on a straight way whose addresses differ by constants, as those of a stack frame or of the fields
 * of one structure. The first access of a group looks into the TLB for all of them, and keeps the host address; the
 * others go there without looking.
 *
 * What the first access found stays true up to the last one: a region's accesses do not change the TLB, and a group ends where a routine of
 * the core is called. Where the bytes of a group are not all in one page, or the page lacks a tag that a later access needs, the first access
 * gives up, as on anything out of the ordinary. When they are often in two pages, as with a frame that lies across a page end for long,
 * the region is given up, and in the next one these accesses stand alone.
 */
import { pageSize } from '../../memory/hostmemory.ts';
import * as codepage from '../codepage.ts';
import { Contents } from './contents.ts';
import type { Region } from './region.ts';
import type { GroupRole, MemoryAccess, mostLocals } from './template.ts';
import type { RecordViews } from './templates.ts';

/** What an instruction's access is to its group. */
export interface Grouped {
  readonly role: GroupRole;
  /** Number of its host address: groups that are in use at the same time have different ones. */
  readonly group: number;
  /** Distance of its bytes from the lowest of the group. */
  readonly offset: number;
  /** Bytes from the lowest to the highest. */
  readonly length: number;
}

/** The groups of a region. */
export interface Groups {
  /** By instruction; undefined for those whose accesses stand alone. */
  readonly grouped: readonly (Grouped | undefined)[];
  /** How many host addresses are in use at the same time at most. */
  readonly most: number;
}

/** Most bytes from the lowest to the highest of a group: the larger, the more often they lie in two pages. */
const longest = 128;

/** Most host addresses that are in use at the same time: they take locals, of which there are {@link mostLocals}. */
const mostInUse = 16;

/** No groups. */
const none: readonly Group[] = [];

/** A group while it grows. */
interface Group {
  /** What it has in common: see {@link Contents.base}. */
  readonly base: number;
  readonly index: number;
  /** The block and the number of its first access. */
  readonly block: number;
  readonly first: number;
  count: number;
  low: number;
  high: number;
  writes: boolean;
  /** It failed too often: its accesses stand alone. */
  readonly fails: boolean;
  /** Those that are in use at its first access, as it is later on. */
  beside: readonly Group[];
  number: number;
}

/** Whether an access of `size` bytes may belong to a group. */
function fits(group: Group, block: number, at: number, { size, writes }: MemoryAccess): boolean {
  // Where control may go another way, nobody writes perhaps, to a page that perhaps nobody may write to.
  if (writes && !group.writes && group.block !== block) return false;
  return Math.max(group.high, at + size) - Math.min(group.low, at) <= longest;
}

/** The place in a list of the group with the same base and index; -1 when there is none. */
function placeOf(groups: readonly Group[], base: number, index: number): number {
  for (let place = groups.length - 1; place >= 0; place--) {
    const group = groups[place]!;
    if (group.base === base && group.index === index) return place;
  }
  return -1;
}

/** Finds the groups of regions, one after the other. */
export class GroupFinder {
  readonly #views: RecordViews;
  /** By block: what is known where it ends. */
  readonly #contents: Contents;
  /** By instruction: where its access is. */
  #at = new Float64Array(0);
  #groupOf: (Group | undefined)[] = [];
  #all: Group[] = [];

  constructor(views: RecordViews) {
    this.#views = views;
    this.#contents = new Contents(views);
  }

  /**
   * Finds the groups of a region. They go on from a block into those that are reached from it alone.
   * @param sequence the blocks that can be reached, in reverse postorder
   */
  find(region: Region, sequence: readonly number[]): Groups {
    const { blocks, instructions } = region;
    this.#contents.reserve(blocks.length);
    if (this.#at.length < instructions.length) this.#at = new Float64Array(2 * instructions.length);
    this.#groupOf = new Array(instructions.length).fill(undefined);
    this.#all = [];
    const before = this.#onlyBefore(region, sequence);
    /** By block: groups at its end that accesses may join. */
    const open: (readonly Group[])[] = new Array(blocks.length).fill(none);
    for (const number of sequence) {
      const from = before[number]!;
      if (from < 0) this.#contents.clear(number);
      else this.#contents.copy(from, number);
      open[number] = this.#groupBlock(region, number, from < 0 ? none : open[from]!);
    }
    this.#findBeside(region, sequence, before);
    return this.#numbered();
  }

  /** By block: the one that it is reached from alone; -1 when there is none. */
  #onlyBefore({ blocks, entries }: Region, sequence: readonly number[]): readonly number[] {
    const arrivals: number[] = new Array(blocks.length).fill(0);
    const before: number[] = new Array(blocks.length).fill(-1);
    for (const entry of entries) arrivals[entry]!++;
    for (const number of sequence) {
      for (const next of blocks[number]!.successors) before[next] = arrivals[next]!++ === 0 ? number : -1;
    }
    return before;
  }

  /** Puts the accesses of a block into groups; gives those that are open at its end. */
  #groupBlock({ blocks, instructions }: Region, number: number, before: readonly Group[]): readonly Group[] {
    const contents = this.#contents;
    const { part, first, count } = blocks[number]!;
    const open = before.slice();
    for (let i = first; i < first + count; i++) {
      const instruction = instructions[i]!;
      const { general } = instruction.variants;
      const { access } = general;
      // Where the first access of a group fails it is counted in the record that is at the instruction's offset.
      const crosses = instruction.offset + instruction.length > pageSize;
      if (general.calls) open.length = 0;
      else if (access !== undefined && !crosses && contents.address(number, instruction, access, part)) {
        const { base, index, at } = contents;
        const place = placeOf(open, base, index);
        let group = place < 0 ? undefined : open[place];
        if (group === undefined || !fits(group, number, at, access)) {
          const flags = this.#views.u8[instruction.record + codepage.addressFlags]!;
          const fails = flags >> codepage.failuresShift === codepage.mostFailures;
          const bytes = { low: at, high: at, writes: false };
          group = {
            base,
            index,
            block: number,
            first: i,
            count: 0,
            ...bytes,
            fails,
            beside: none,
            number: 0,
          };
          open[place < 0 ? open.length : place] = group;
          this.#all.push(group);
        }
        group.low = Math.min(group.low, at);
        group.high = Math.max(group.high, at + access.size);
        group.writes ||= access.writes;
        group.count++;
        this.#groupOf[i] = group;
        this.#at[i] = at;
      }
      contents.step(number, instruction, general);
    }
    return open;
  }

  /** Backwards: which groups are in use at the same time. */
  #findBeside({ blocks }: Region, sequence: readonly number[], before: readonly number[]): void {
    const usedFrom: (readonly Group[])[] = new Array(blocks.length).fill(none);
    for (let place = sequence.length - 1; place >= 0; place--) {
      const number = sequence[place]!;
      const { first, count, successors } = blocks[number]!;
      const used: Group[] = [];
      for (const next of successors) {
        if (before[next]! < 0) continue;
        for (const group of usedFrom[next]!) if (!used.includes(group)) used.push(group);
      }
      for (let i = first + count - 1; i >= first; i--) {
        const group = this.#groupOf[i];
        if (group === undefined || group.count === 1 || group.fails) continue;
        if (group.first !== i) {
          if (!used.includes(group)) used.push(group);
          continue;
        }
        used.splice(used.indexOf(group), 1);
        group.beside = used.slice();
      }
      usedFrom[number] = used;
    }
  }

  /** Gives the groups their numbers. */
  #numbered(): Groups {
    let most = 0;
    for (const group of this.#all) {
      if (group.count === 1 || group.fails) continue;
      while (group.beside.some(({ number }) => number === group.number)) group.number++;
      if (group.number < mostInUse) most = Math.max(most, group.number + 1);
    }
    const grouped = this.#groupOf.map((group, i): Grouped | undefined => {
      if (group === undefined || group.count === 1 || group.fails || group.number >= mostInUse)
        return undefined;
      const { first, writes, number, low, high } = group;
      const role = first !== i ? 'member' : writes ? 'firstToWrite' : 'firstToRead';
      return { role, group: number, offset: this.#at[i]! - low, length: high - low };
    });
    return { grouped, most };
  }
}
