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
import * as codepage from '../codepage.ts';
import { operandSize } from '../form.ts';
import * as layout from '../layout.ts';
import type { Region, RegionInstruction } from './region.ts';
import type { GroupRole, MemoryAccess, mostLocals, Template } from './template.ts';
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

/** Number of the stack pointer. */
const rsp = 4;

/** Numbers of registers that an instruction's record names. */
export function registersOf({ u16 }: RecordViews, { record }: RegionInstruction) {
  const number = (field: number) => ((u16[(record + field) >> 1]! - layout.gpr) >> 3) & 15;
  return { reg: number(codepage.reg), rm: number(codepage.rm), index: number(codepage.index) };
}

/** Contents of a register, compared with what others hold: those of one origin differ by their distances. */
interface Content {
  readonly origin: number;
  readonly distance: number;
}

/** What the registers hold, as far as they are compared. */
class Contents {
  readonly #views: RecordViews;
  readonly #registers: Content[];
  /** How many origins there have been. */
  #origins: number;

  constructor(views: RecordViews, registers?: readonly Content[], origins = 16) {
    this.#views = views;
    this.#registers =
      registers?.slice() ?? Array.from({ length: 16 }, (_, origin) => ({ origin, distance: 0 }));
    this.#origins = origins;
  }

  copy(): Contents {
    return new Contents(this.#views, this.#registers, this.#origins);
  }

  /** Where an instruction's access goes: what tells addresses apart that cannot be compared, and the distance among those that can. */
  address(
    instruction: RegionInstruction,
    { access }: Template,
    part: number,
  ): { key: string; at: number } | undefined {
    if (access === undefined) return undefined;
    if (access.at === 'stack') {
      const { origin, distance } = this.#registers[rsp]!;
      return { key: `${origin}`, at: distance + access.distance };
    }
    const { i32, u16, u8 } = this.#views;
    const { record, of } = instruction;
    if (of.form.slides.displacement !== 0) return undefined;
    const { rm, index } = registersOf(this.#views, instruction);
    const at = i32[(record + codepage.displacement) >> 2]!;
    const place = u16[(record + codepage.rm) >> 1]!;
    if (place === layout.zero) return undefined;
    const base = place === layout.pageBase ? { origin: `page ${part}`, distance: 0 } : this.#registers[rm]!;
    if (u16[(record + codepage.index) >> 1] === layout.zero)
      return { key: `${base.origin}`, at: base.distance + at };
    const scale = u8[record + codepage.addressFlags]! & codepage.scaleMask;
    const scaled = this.#registers[index]!;
    return {
      key: `${base.origin} ${scaled.origin} ${scale}`,
      at: base.distance + scaled.distance * 2 ** scale + at,
    };
  }

  /** Goes on behind an instruction. */
  step(instruction: RegionInstruction, template: Template): void {
    const { reg, rm } = registersOf(this.#views, instruction);
    const moved = this.#moved(instruction, template, reg, rm);
    let written = template.gprWritten;
    if (template.writesReg) written |= 1 << reg;
    if (template.writesRm) written |= 1 << rm;
    const { stackMove } = template;
    const stack = this.#registers[rsp]!;
    const onlyMoves = !(template.writesReg && reg === rsp) && !(template.writesRm && rm === rsp);
    for (let register = 0; written >> register !== 0; register++)
      if (((written >> register) & 1) !== 0)
        this.#registers[register] = { origin: this.#origins++, distance: 0 };
    if (onlyMoves && stackMove !== undefined)
      this.#registers[rsp] = { origin: stack.origin, distance: stack.distance + stackMove };
    if (moved !== undefined) this.#registers[moved.register] = moved.content;
  }

  /** A register that is set to what another holds, or held itself, but for a constant. */
  #moved({ record, of }: RegionInstruction, template: Template, reg: number, rm: number) {
    const { form } = of;
    const { name, operands } = form.row;
    if (name !== 'MOV' && name !== 'LEA' && name !== 'ADD' && name !== 'SUB') return undefined;
    const { i32, u16 } = this.#views;
    const to = operands[0];
    const from = operands[1];
    if (to === undefined || from === undefined || operandSize(to, form) !== 8) return undefined;
    const sum = (register: number, by: number): Content => {
      const { origin, distance } = this.#registers[register]!;
      return { origin, distance: distance + by };
    };
    const registers = !form.memory && of.generalRm;
    if (name === 'MOV' && registers && of.generalReg) {
      return template.writesReg
        ? { register: reg, content: sum(rm, 0) }
        : { register: rm, content: sum(reg, 0) };
    }
    if (name === 'LEA') {
      const place = u16[(record + codepage.rm) >> 1]!;
      const isSum =
        place !== layout.zero &&
        place !== layout.pageBase &&
        u16[(record + codepage.index) >> 1] === layout.zero &&
        form.addressSize === 8 &&
        form.slides.displacement === 0;
      if (!isSum) return undefined;
      return { register: reg, content: sum(rm, i32[(record + codepage.displacement) >> 2]!) };
    }
    const isStep = name !== 'MOV' && registers && to.kind === 'E' && from.kind === 'I';
    if (!isStep || form.slides.immediate !== 0) return undefined;
    const by = i32[(record + codepage.immediate) >> 2]!;
    return { register: rm, content: sum(rm, name === 'ADD' ? by : -by) };
  }
}

/** A group while it grows. */
interface Group {
  /** The block of its first access. */
  readonly block: number;
  low: number;
  high: number;
  writes: boolean;
  /** It failed too often: its accesses stand alone. */
  readonly fails: boolean;
  readonly members: { readonly instruction: number; readonly at: number }[];
  number: number;
}

/** What is known where a block ends. */
interface Known {
  readonly contents: Contents;
  /** By what {@link Contents.address} tells addresses apart by: those that accesses may join. */
  readonly open: ReadonlyMap<string, Group>;
}

/** Whether an access of `size` bytes may belong to a group. */
function fits(group: Group, block: number, at: number, { size, writes }: MemoryAccess): boolean {
  // Where control may go another way, nobody writes perhaps, to a page that perhaps nobody may write to.
  if (writes && !group.writes && group.block !== block) return false;
  return Math.max(group.high, at + size) - Math.min(group.low, at) <= longest;
}

/** Puts the accesses of a block into groups; gives what is known at its end. */
function groupBlock(
  { blocks, instructions }: Region,
  number: number,
  views: RecordViews,
  before: Known,
  groupOf: (Group | undefined)[],
  all: Group[],
): Known {
  const { part, first, count } = blocks[number]!;
  const contents = before.contents.copy();
  const open = new Map(before.open);
  for (let i = first; i < first + count; i++) {
    const instruction = instructions[i]!;
    const { general } = instruction.variants;
    if (general.calls) open.clear();
    const address = general.calls ? undefined : contents.address(instruction, general, part);
    if (address !== undefined) {
      const { key, at } = address;
      const access = general.access!;
      let group = open.get(key);
      if (group === undefined || !fits(group, number, at, access)) {
        const fails =
          views.u8[instruction.record + codepage.addressFlags]! >> codepage.failuresShift ===
          codepage.mostFailures;
        group = { block: number, low: at, high: at, writes: false, fails, members: [], number: 0 };
        open.set(key, group);
        all.push(group);
      }
      group.low = Math.min(group.low, at);
      group.high = Math.max(group.high, at + access.size);
      group.writes ||= access.writes;
      group.members.push({ instruction: i, at });
      groupOf[i] = group;
    }
    contents.step(instruction, general);
  }
  return { contents, open };
}

/**
 * Finds the groups of a region. They go on from a block into those that are reached from it alone.
 * @param sequence the blocks that can be reached, in reverse postorder
 */
export function findGroups(region: Region, sequence: readonly number[], views: RecordViews): Groups {
  const { blocks, instructions, entries } = region;
  const arrivals = blocks.map(() => 0);
  const before = blocks.map(() => -1);
  for (const entry of entries) arrivals[entry]!++;
  for (const number of sequence) {
    for (const next of blocks[number]!.successors) {
      arrivals[next]!++;
      before[next] = number;
    }
  }
  const goesOn = (number: number) => arrivals[number] === 1 && before[number]! >= 0;
  const groupOf: (Group | undefined)[] = instructions.map(() => undefined);
  const all: Group[] = [];
  const known: Known[] = [];
  const nothing: Known = { contents: new Contents(views), open: new Map() };
  for (const number of sequence) {
    const start = goesOn(number) ? known[before[number]!]! : nothing;
    known[number] = groupBlock(region, number, views, start, groupOf, all);
  }

  // Backwards: which groups are in use at the same time.
  const beside = new Map<Group, readonly Group[]>();
  const usedFrom: ReadonlySet<Group>[] = [];
  for (const number of sequence.toReversed()) {
    const { first, count, successors } = blocks[number]!;
    const used = new Set<Group>();
    for (const next of successors) if (goesOn(next)) for (const group of usedFrom[next]!) used.add(group);
    for (let i = first + count - 1; i >= first; i--) {
      const group = groupOf[i]?.fails === true ? undefined : groupOf[i];
      if (group !== undefined && group.members[0]!.instruction !== i) {
        used.add(group);
        continue;
      }
      if (group !== undefined) {
        used.delete(group);
        beside.set(group, [...used]);
      }
    }
    usedFrom[number] = used;
  }

  const grouped: (Grouped | undefined)[] = instructions.map(() => undefined);
  let most = 0;
  for (const group of all) {
    const { low, high, writes, members, fails } = group;
    if (members.length === 1 || fails) continue;
    const taken = new Set(beside.get(group)!.map(({ number }) => number));
    while (taken.has(group.number)) group.number++;
    if (group.number >= mostInUse) continue;
    most = Math.max(most, group.number + 1);
    members.forEach(({ instruction, at }, place) => {
      const role = place > 0 ? 'member' : writes ? 'firstToWrite' : 'firstToRead';
      grouped[instruction] = { role, group: group.number, offset: at - low, length: high - low };
    });
  }
  return { grouped, most };
}
