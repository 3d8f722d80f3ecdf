/**
 * Puts a region's function together: its blocks as structured control flow, their instructions' templates with what belongs
 * into the holes, and around them code that loads the registers and writes them back.
 */
import { pageSize } from '../../memory/hostmemory.ts';
import { CodeBuffer, codes } from '../../wasm/codebuffer.ts';
import type { FunctionBody } from '../../wasm/emit.ts';
import { valueTypeCode } from '../../wasm/opcodes.ts';
import * as codepage from '../codepage.ts';
import type { Core } from '../core/core.ts';
import * as layout from '../layout.ts';
import * as tlb from '../tlb.ts';
import { RegionEnds, storeRegisters } from './ends.ts';
import { leave, packExit, variableOp } from './exitcode.ts';
import { opOf } from './flagstate.ts';
import type { Flow } from './flow.ts';
import type { Structure } from './graph.ts';
import type { Grouped } from './groups.ts';
import { leaderUsed } from './livemodules.ts';
import type { Block, Region, RegionInstruction } from './region.ts';
import { type Registers, writtenBy } from './registers.ts';
import { holeKinds, locals, mostLocals, numbers, type Template, typeOrder } from './template.ts';
import type { RecordViews } from './templates.ts';

/** Places on the stack of labels of the region's ends: that of all else than jumps, and that of jumps. */
const exitLabel = 0;
const jumpLabel = 1;

/** Where the leader says which of its region's entries it is. */
export const leaderEntry = codepage.immediate;

/** What is filled in where an access of a group says so. */
function groupNumber({ offset, length }: Grouped, what: number): number {
  if (what === numbers.groupOffset) return offset;
  return what === numbers.groupFirst ? -offset : length - 1 - offset;
}

/** See the top of this file. One composer serves for all regions, one after the other. */
export class Composer {
  readonly #views: RecordViews;
  readonly #core: Core;
  readonly #out = new CodeBuffer();
  /** From the numbers that templates use to the region's own locals. */
  readonly #map = new Uint8Array(mostLocals);
  /** How many labels there are, and the places of those of blocks among them. */
  #labels = 0;
  #labelOf: number[] = [];
  #region!: Region;
  #structure!: Structure;
  #flow!: Flow;
  #registers!: Registers;
  #checks: readonly number[] = [];
  #needsLabel: boolean[] = [];
  /** By type, in `typeOrder`: the first of the locals that templates have for themselves, and how many there are. */
  readonly #scratch = typeOrder.map(() => 0);
  readonly #mostScratch = typeOrder.map(() => 0);
  /** For the region's jumps alone. */
  #slot = 0;
  /** For going over to another page: where it is, and its TLB entry. */
  #newBase = 0;
  #entry = 0;
  /** The first of those that have the host addresses of groups. */
  #firstGroup = 0;

  constructor(views: RecordViews, core: Core) {
    this.#views = views;
    this.#core = core;
  }

  /**
   * The function's code; its bytes are valid until the next call.
   * @param registers what is done with the general registers; see {@link findRegisters}
   * @param checks by block: what the budget must reach for; see {@link findChecks}
   * @param busyAfter number of times that it is entered by one of its leaders after which `core.busy` is called; 0: never
   * @param tableEntry where it will stand
   */
  compose(
    region: Region,
    structure: Structure,
    flow: Flow,
    registers: Registers,
    checks: readonly number[],
    busyAfter: number,
    tableEntry: number,
  ): FunctionBody {
    this.#checks = checks;
    this.#registers = registers;
    this.#region = region;
    this.#structure = structure;
    this.#flow = flow;
    const out = this.#out;
    out.clear();
    this.#labels = 0;
    this.#labelOf = new Array(region.blocks.length).fill(0);
    const { flags, declared } = this.#allocate();
    this.#declare(declared);
    this.#findLabels();
    const ends = new RegionEnds(out, this.#map, this.#core);
    this.#prologue(flags, busyAfter);
    out.block();
    this.#labels++;
    out.block();
    this.#labels++;
    const several = region.entries.length > 1;
    this.#tree(several ? region.blocks.length : region.entries[0]!);
    this.#labels--;
    out.end();
    ends.writeBack(registers.late, flags, false);
    ends.jump(this.#slot, this.#entry);
    this.#labels--;
    out.end();
    ends.writeBack(registers.late, flags, true);
    ends.leave(tableEntry);
    out.end();
    return { bytes: out.view(), hints: out.hints };
  }

  /** Writes how many locals of each type there are, with which a function begins. */
  #declare(counts: readonly number[]): void {
    const out = this.#out;
    out.unsigned(counts.filter((count) => count > 0).length);
    counts.forEach((count, type) => {
      if (count === 0) return;
      out.unsigned(count);
      out.byte(valueTypeCode[typeOrder[type]!]);
    });
  }

  /** Gives every local that the region's templates use its number. */
  #allocate() {
    let flags = false;
    const { instructions } = this.#region;
    const { templates } = this.#flow;
    const most = this.#mostScratch.fill(0);
    for (let i = 0; i < instructions.length; i++) {
      const template = templates[i];
      if (template === undefined) continue;
      if (template.readsFlags || template.writesFlags !== 'never') flags = true;
      const { scratchTypes, scratchOrdinals } = template;
      for (let k = 0; k < scratchTypes.length; k++) {
        const type = scratchTypes[k]!;
        if (scratchOrdinals[k]! >= most[type]!) most[type] = scratchOrdinals[k]! + 1;
      }
    }
    const map = this.#map;
    let next = 3;
    for (let number = 0; number < 16; number++) {
      if ((this.#registers.used & (1 << number)) !== 0) map[locals.gpr + number] = next++;
    }
    for (const each of [locals.pageBase, locals.ccDst, locals.ccSrc, locals.ccOther, locals.exitValue])
      map[each] = next++;
    this.#newBase = next++;
    const scratch = this.#scratch;
    scratch[0] = next;
    next += most[0]!;
    const first32 = next;
    for (const each of [locals.tlb, locals.ccOp, locals.exitCode]) map[each] = next++;
    this.#slot = next++;
    this.#entry = next++;
    this.#firstGroup = next;
    next += this.#flow.groups.most;
    scratch[1] = next;
    next += most[1]!;
    const declared = [first32 - 3, next - first32, ...most.slice(2)];
    for (let type = 2; type < typeOrder.length; type++) {
      scratch[type] = next;
      next += most[type]!;
    }
    return { flags, declared };
  }

  /** Blocks that are reached by a branch, not only by going on from the one before. */
  #findLabels(): void {
    const { blocks, entries } = this.#region;
    const { isMerge } = this.#structure;
    this.#needsLabel = isMerge.slice();
    for (const { end, taken, successors } of blocks) {
      if ((end === 'falls' || end === 'calls') && successors.includes(taken)) this.#needsLabel[taken] = true;
    }
    if (entries.length > 1) for (const entry of entries) this.#needsLabel[entry] = true;
  }

  /** A block and all that it dominates: those that are branched to come behind it, the others where control goes on to them. */
  #tree(number: number): void {
    const { children, isLoop } = this.#structure;
    const out = this.#out;
    const below = children[number]!;
    if (isLoop[number]!) {
      out.loop();
      this.#label(number);
    }
    for (const child of below) {
      if (!this.#needsLabel[child]!) continue;
      out.block();
      this.#label(child);
    }
    if (number === this.#region.blocks.length) this.#dispatch();
    else this.#block(this.#region.blocks[number]!, number);
    // The innermost block's label is that of the last child: it comes first.
    for (let place = below.length - 1; place >= 0; place--) {
      const child = below[place]!;
      if (!this.#needsLabel[child]!) continue;
      this.#labels--;
      out.end();
      this.#tree(child);
    }
    if (isLoop[number]!) {
      this.#labels--;
      out.end();
    }
  }

  /** Puts a block's label on the stack. */
  #label(block: number): void {
    this.#labelOf[block] = this.#labels++;
  }

  /** How many labels further out that of a block is. */
  #depth(block: number): number {
    return this.#depthOf(this.#labelOf[block]!);
  }

  #depthOf(label: number): number {
    return this.#labels - 1 - label;
  }

  /** Goes to the entry that the leader names. */
  #dispatch(): void {
    const out = this.#out;
    const { entries } = this.#region;
    out.get(locals.record);
    out.load32(leaderEntry);
    // Entries are numbered from 0 on; the last stands for all other numbers.
    out.brTable(entries.map((entry) => this.#depth(entry)));
  }

  #block(block: Block, number: number): void {
    if (block.end === 'over' || block.end === 'back') {
      this.#changePage(block, number);
      return;
    }
    if (block.end === 'crosses') {
      this.#cross(block, number);
      return;
    }
    const out = this.#out;
    const { templates, before, settleAt, atStart } = this.#flow;
    // All its instructions are charged at once; when the budget does not reach, the interpreter goes on here.
    const needed = this.#checks[number]!;
    if (needed > 0) {
      out.constant32(packExit(leave.interpret, block.start, block.count, opOf(atStart[number]!)));
      out.set(this.#map[locals.exitCode]!);
    }
    out.get(locals.budget);
    out.constant32(block.count);
    out.op(codes.i32Sub);
    if (needed > 0) {
      out.tee(locals.budget);
      out.constant32(needed - block.count);
      out.op(codes.i32LtS);
      out.expect('unlikely');
      out.brIf(this.#depthOf(exitLabel));
    } else out.set(locals.budget);
    const settle = settleAt[number]!;
    const last = block.first + block.count;
    // Registers whose values the state does not have yet.
    let pending = 0;
    for (let i = block.first; i < last; i++) {
      const template = templates[i]!;
      const op = opOf(before[i]!);
      if (template.exits || i === last - 1) {
        storeRegisters(out, this.#map, pending);
        pending = 0;
      }
      if (settle === i || template.jumps || template.writesFlags === 'maybe') this.#settle(op);
      // A direct jump within the region is where control goes on.
      if (i === last - 1 && block.end === 'jumps' && block.successors.includes(block.taken)) break;
      this.#instruction(i, template, last - i, op, block.taken);
      pending |= writtenBy(template, this.#region.instructions[i]!) & ~this.#registers.late;
    }
    storeRegisters(out, this.#map, pending);
    if (block.end === 'leaves' || block.end === 'calls') return;
    const stateAfter = settle === last ? opOf(this.#stateBehind(last - 1)) : variableOp;
    if (settle === last) this.#settle(stateAfter);
    if (block.end === 'jumps') {
      if (block.successors.includes(block.taken)) this.#goTo(number, block.taken);
    } else if (block.end === 'falls') {
      if (block.successors.includes(block.follower)) this.#goTo(number, block.follower);
      else this.#goWithin(block.next, last - 1);
    } else this.#exit(leave.interpret, block.next, last - 1);
  }

  /** What is known of the flags behind an instruction. */
  #stateBehind(i: number): number {
    const template = this.#flow.templates[i]!;
    return template.writesFlags === 'never' ? this.#flow.before[i]! : template.flagsAfter;
  }

  /** Has the operation of the flags in its variable, where it is known. */
  #settle(op: number): void {
    if (op === variableOp) return;
    this.#out.constant32(op);
    this.#out.set(this.#map[locals.ccOp]!);
  }

  /** Goes on at a block of the region. */
  #goTo(from: number, to: number): void {
    const { order } = this.#structure;
    if (order[to]! <= order[from]! || this.#needsLabel[to]!) this.#out.br(this.#depth(to));
    else this.#tree(to);
  }

  /**
   * Goes over to another page, as `core.jump` does: where the TLB has another code page there, or a return leads elsewhere,
   * control leaves the region.
   */
  #changePage(block: Block, number: number): void {
    const out = this.#out;
    const map = this.#map;
    const { parts, blocks } = this.#region;
    const pageBase = map[locals.pageBase]!;
    const target = map[locals.exitValue]!;
    const op = opOf(this.#flow.atStart[number]!);
    this.#settle(op);
    out.constant32(packExit(leave.jump, 0, 0, 0));
    out.set(map[locals.exitCode]!);
    const sum = (local: number, distance: number) => {
      out.get(local);
      out.constant64(distance);
      out.op(codes.i64Add);
    };
    if (block.end === 'over') {
      sum(pageBase, block.start);
      out.set(target);
    }
    if (!block.successors.includes(block.taken)) {
      out.br(this.#depthOf(jumpLabel));
      return;
    }
    const needed = this.#checks[number]!;
    if (needed > 0) {
      out.get(locals.budget);
      out.constant32(needed);
      this.#unless(codes.i32LtS, jumpLabel);
    }
    const { page, distance } = parts[blocks[block.taken]!.part]!;
    sum(pageBase, distance - parts[block.part]!.distance);
    out.set(this.#newBase);
    if (block.end === 'back') {
      out.get(target);
      sum(this.#newBase, block.start);
      this.#unless(codes.i64Ne, jumpLabel);
    }
    this.#expectPage(page, jumpLabel);
    out.get(locals.cpu);
    out.get(this.#newBase);
    out.tee(pageBase);
    out.store64(layout.pageBase);
    out.get(locals.cpu);
    out.constant32(page);
    out.store32(layout.codePage);
    this.#goTo(number, block.taken);
  }

  /** Goes on when the TLB has a code page at `newBase`; otherwise branches to an end. */
  #expectPage(page: number, label: number): void {
    const out = this.#out;
    out.get(this.#map[locals.tlb]!);
    out.get(this.#newBase);
    out.op(codes.i32WrapI64);
    out.constant32(12 - tlb.entryShift);
    out.op(codes.i32ShrU);
    out.constant32(tlb.entryMask);
    out.op(codes.i32And);
    out.op(codes.i32Add);
    out.tee(this.#entry);
    out.load64(tlb.executeTag);
    out.get(this.#newBase);
    this.#unless(codes.i64Ne, label);
    out.get(this.#entry);
    out.load32(tlb.code);
    out.constant32(tlb.codeMask);
    out.op(codes.i32And);
    out.constant32(page);
    this.#unless(codes.i32Ne, label);
  }

  /** Branches to an end when a comparison holds, which is rare. */
  #unless(comparison: number, label: number): void {
    this.#out.op(comparison);
    this.#out.expect('unlikely');
    this.#out.brIf(this.#depthOf(label));
  }

  /** Goes on at an instruction that reaches into the next page, as `core.crossing` does where the TLB has the page that was expected. */
  #cross(block: Block, number: number): void {
    const out = this.#out;
    const { parts } = this.#region;
    out.constant32(packExit(leave.interpret, block.start, 0, opOf(this.#flow.atStart[number]!)));
    out.set(this.#map[locals.exitCode]!);
    const needed = this.#checks[number]!;
    if (needed > 0) {
      out.get(locals.budget);
      out.constant32(needed);
      this.#unless(codes.i32LtS, exitLabel);
    }
    const behind = parts[block.part]!.distance + pageSize;
    out.get(this.#map[locals.pageBase]!);
    out.constant64(pageSize);
    out.op(codes.i64Add);
    out.set(this.#newBase);
    this.#expectPage(parts.find(({ distance }) => distance === behind)!.page, exitLabel);
    this.#goTo(number, block.taken);
  }

  /** Leaves for a place of the page, behind an instruction. */
  #goWithin(offset: number, last: number): void {
    const out = this.#out;
    const map = this.#map;
    out.get(map[locals.pageBase]!);
    out.constant64(offset);
    out.op(codes.i64Add);
    out.set(map[locals.exitValue]!);
    this.#settle(opOf(this.#stateBehind(last)));
    out.constant32(packExit(leave.within, 0, 0, 0));
    out.set(map[locals.exitCode]!);
    out.br(this.#depthOf(jumpLabel));
  }

  #exit(kind: number, offset: number, last: number): void {
    const out = this.#out;
    out.constant32(packExit(kind, offset, 0, opOf(this.#stateBehind(last))));
    out.set(this.#map[locals.exitCode]!);
    out.br(this.#depthOf(exitLabel));
  }

  /** Writes an instruction's template. `left` counts the instructions of the block from it on. */
  #instruction(number: number, template: Template, left: number, op: number, taken: number): void {
    const instruction = this.#region.instructions[number]!;
    const { grouped } = this.#flow.groups;
    const group = grouped[number];
    const { i32 } = this.#views;
    const { record, offset, length, reg, rm, index } = instruction;
    const { bytes, holes, hints, localsAt, scratchTypes, scratchOrdinals } = template;
    const map = this.#map;
    map[locals.reg] = map[locals.gpr + reg]!;
    map[locals.rm] = map[locals.gpr + rm]!;
    map[locals.index] = map[locals.gpr + index]!;
    for (let k = 0; k < scratchTypes.length; k++) {
      map[locals.scratch + k] = this.#scratch[scratchTypes[k]!]! + scratchOrdinals[k]!;
    }
    if (group !== undefined) map[locals.group] = this.#firstGroup + group.group;
    const out = this.#out;
    let from = 0;
    let atLocal = 0;
    let atHint = 0;
    for (let hole = 0; hole <= holes.length; hole += 3) {
      const to = hole < holes.length ? holes[hole]! : bytes.length;
      const shift = out.copy(bytes, from, to) - from;
      for (; atLocal < localsAt.length && localsAt[atLocal]! < to; atLocal++) {
        const at = localsAt[atLocal]!;
        out.patch(at + shift, map[bytes[at]!]!);
      }
      for (; atHint < hints.length && hints[atHint]!.at < to; atHint++) {
        const { at, expectation } = hints[atHint]!;
        out.hints.push({ at: at + shift, expectation });
      }
      from = to;
      if (hole === holes.length) break;
      const what = holes[hole + 2]!;
      switch (holes[hole + 1]!) {
        case holeKinds.exitLabel:
          out.unsigned(this.#depthOf(exitLabel) + what);
          break;
        case holeKinds.jumpLabel:
          out.unsigned(this.#depthOf(jumpLabel) + what);
          break;
        case holeKinds.takenLabel:
          out.unsigned(this.#depth(taken) + what);
          break;
        case holeKinds.constant32:
          out.signed(
            what === numbers.immediate
              ? i32[(record + codepage.immediate) >> 2]!
              : what < numbers.code
                ? groupNumber(group!, what)
                : this.#code(template, what - numbers.code, instruction, left, op),
          );
          break;
        case holeKinds.offset:
          out.unsigned(groupNumber(group!, what));
          break;
        default:
          if (what >= numbers.groupOffset) out.signed(groupNumber(group!, what));
          else if (what === numbers.displacement) out.signed(i32[(record + codepage.displacement) >> 2]!);
          else if (what === numbers.offset) out.signed(offset);
          else if (what === numbers.nextOffset) out.signed(offset + length);
          else {
            const low = i32[(record + codepage.immediate) >> 2]!;
            out.signedHalves(low, i32[(record + codepage.immediate + 4) >> 2]!);
          }
      }
    }
  }

  #code(
    template: Template,
    number: number,
    instruction: RegionInstruction,
    left: number,
    op: number,
  ): number {
    const code = template.codes[number]!;
    if (code.kind === 'left') return left + code.add;
    if (code.kind === 'minusLeft') return code.add - left;
    const { offset, length } = instruction;
    const at = code.at === 'offset' ? offset : offset + length;
    return packExit(code.leave, at, left + code.refund, code.op ?? op);
  }

  /** In front of all blocks: loads what they use. */
  #prologue(flags: boolean, busyAfter: number): void {
    const out = this.#out;
    const map = this.#map;
    const load64 = (field: number, local: number) => {
      out.get(locals.cpu);
      out.load64(field);
      out.set(local);
    };
    const load32 = (field: number, local: number) => {
      out.get(locals.cpu);
      out.load32(field);
      out.set(local);
    };
    this.#markUsed(busyAfter);
    const { loaded } = this.#registers;
    for (let number = 0; number < 16; number++) {
      if ((loaded & (1 << number)) !== 0) load64(layout.gprOffset(number), map[locals.gpr + number]!);
    }
    load64(layout.pageBase, map[locals.pageBase]!);
    load32(layout.tlb, map[locals.tlb]!);
    if (flags) {
      load32(layout.ccOp, map[locals.ccOp]!);
      load64(layout.ccDst, map[locals.ccDst]!);
      load64(layout.ccSrc, map[locals.ccSrc]!);
    }
  }

  /** Marks the leader, or counts in it how often its region was entered. */
  #markUsed(busyAfter: number): void {
    const out = this.#out;
    out.get(locals.record);
    if (busyAfter === 0) {
      out.constant32(1);
      out.store32(leaderUsed);
      return;
    }
    const count = this.#map[locals.exitCode]!;
    out.get(locals.record);
    out.load32(leaderUsed);
    out.constant32(1);
    out.op(codes.i32Add);
    out.tee(count);
    out.store32(leaderUsed);
    out.get(count);
    out.constant32(busyAfter);
    out.op(codes.i32Eq);
    out.expect('unlikely');
    out.if();
    out.get(locals.cpu);
    out.get(locals.record);
    out.call(this.#core.busy.index);
    out.end();
  }
}
