/**
 * The context of meanings while a template is made: registers and lazy flags in WebAssembly locals.
 *
 * A region never raises an exception, never reaches a device and never fills the TLB. Whenever something out of the ordinary happens (a TLB
 * miss, a fault, a full budget) it gives up at the start of the present instruction,
 * whose effects have not begun, and the interpreter takes over there.
 */
import { FunctionBuilder, type Label, type Variable } from '../../wasm/function.ts';
import type { LoadName } from '../../wasm/opcodes.ts';
import type { Operand, Value } from '../../wasm/value.ts';
import { type Core, handlerType } from '../core/core.ts';
import { conditionOf, type FlagKind, kinds, type LazyFlags, RF } from '../flags.ts';
import type { Form } from '../form.ts';
import * as layout from '../layout.ts';
import type { Access, Probe } from '../memoryaccess.ts';
import { type Address, loadName, type RegisterPlace, Semantics, storeName } from '../semantics.ts';
import * as tlb from '../tlb.ts';
import { leave, leavesByJump, packExit, variableOp } from './exitcode.ts';
import { type FlagState, hasOther, knownFlags, opOf, unknownFlags } from './flagstate.ts';
import {
  type Code,
  type GroupRole,
  labels,
  locals,
  localTypes,
  type MemoryAccess,
  numbers,
} from './template.ts';

/** Thrown when a meaning does something that only the interpreter can do. */
export class NotTranslatable extends Error {}

/**
 * Where a direct jump leads: within the region, or to a block of it that goes over to another page, or out of it, to the page or
 * elsewhere. A return is `inside` when it is known where it should lead.
 */
export type JumpTo = 'none' | 'inside' | 'across' | 'within' | 'elsewhere';

/** What a template is made for; see `shape.ts`. */
export interface TemplateCase {
  readonly form: Form;
  /** Places of the operands: offsets into the state, or `generalReg`, `generalRm`. */
  readonly reg: number;
  readonly rm: number;
  readonly base: 'none' | 'register' | 'page';
  readonly hasIndex: boolean;
  readonly scale: number;
  readonly hasDisplacement: boolean;
  readonly segment: number;
  readonly stack: boolean;
  /** The immediate where it is part of the shape. */
  readonly immediate: number | undefined;
  readonly jump: JumpTo;
  readonly flags: FlagState;
  /** Whether the flags that it sets are seen by anybody. */
  readonly flagsLive: boolean;
  /**
   * Whether `ccOp` behind it must be in its variable, as it is where nothing is known of the flags before: what is known behind
   * an instruction is the same for all of its variants.
   */
  readonly setsOp: boolean;
  readonly role: GroupRole;
}

/** Places that stand for whatever general register the instruction names; 1 is added for AH … BH. */
export const generalReg = 0x4000;
export const generalRm = 0x4010;

/** Unsigned and signed comparisons by condition code: O, B, Z, BE, S, P, L, LE. */
const comparisons: Record<number, 'ltU' | 'eq' | 'leU' | 'ltS' | 'leS'> = {
  1: 'ltU',
  2: 'eq',
  3: 'leU',
  6: 'ltS',
  7: 'leS',
};

/** A function builder whose first locals are those that templates name. */
export function templateBuilder(): FunctionBuilder {
  const fn = new FunctionBuilder('template', handlerType, () => {
    throw new NotTranslatable();
  });
  for (let number = handlerType.parameters.length; number < locals.scratch; number++) {
    const variable = fn.local(localTypes[number]!);
    if (number >= locals.reg && number <= locals.index) variable.alias = 'unknown';
    else if (number >= locals.gpr && number < locals.reg) variable.alias = 'named';
  }
  return fn;
}

/** See the top of this file. */
export class TemplateSemantics extends Semantics {
  readonly codes: Code[] = [];
  /** Whether the instruction looked at the flags, how it set them, and whether it kept some as they were. */
  readsFlags = false;
  keepsFlags = false;
  writesFlags: 'never' | 'maybe' | 'always' = 'never';
  flagsAfter: FlagState;
  exits = false;
  /** Whether it may leave by a jump, at the region's end for those: `ccOp` must be in its variable then. */
  jumps = false;
  /** Whether it may leave behind the instruction, when its flags are set. */
  exitsBehind = false;
  /** Whether it may leave, or jump within the region, when it has written a general register. */
  exitsLate = false;
  /** Whether there is a general register that it writes only perhaps. */
  mayKeep = false;
  /** Whether a general register has been written so far. */
  #wrote = false;
  readonly #case: TemplateCase;
  readonly #budget: Variable;
  readonly #exit: Label;
  readonly #jump: Label;
  /** Its accesses, each undefined when its address is nothing that another's may be compared with, or when it may not happen. */
  readonly #accesses: (MemoryAccess | undefined)[] = [];
  readonly #operandAddresses: Address[] = [];
  readonly #stackAddresses = new Map<Address, number>();
  /** How often RSP is written, and by how much it moves where that is known. */
  #stackWrites = 0;
  readonly #stackMoves: number[] = [];
  /** The host address of an access within a group. */
  #grouped: Probe | undefined;
  /** Whether it may change the budget by something else than its own execution. */
  stopsSoon = false;
  #called = false;

  constructor(fn: FunctionBuilder, core: Core, what: TemplateCase) {
    super(fn, core, what.form);
    this.#case = what;
    this.flagsAfter = what.flags;
    this.#budget = this.#local(locals.budget);
    this.#exit = fn.outsideLabel(labels.exit);
    this.#jump = fn.outsideLabel(labels.jump);
  }

  #local(number: number): Variable {
    return this.fn.variables[number]!;
  }

  #code(code: Code): Value {
    this.codes.push(code);
    return this.fn.hole('i32', numbers.code + this.codes.length - 1);
  }

  /** Instructions of the block from this one on, plus `add` (i32). */
  #left(add: number): Value {
    return this.#code({ kind: 'left', add });
  }

  #number(what: number): Value {
    return this.fn.hole('i64', what);
  }

  /** Behind the instruction: where it may have made an interrupt possible or taken time, looks whether to stop. */
  end(): void {
    if (!this.stopsSoon) return;
    this.fn.rarely(this.#budget.get().ltS(0), () => this.#goWithin(numbers.nextOffset));
  }

  override charge(units: Value): void {
    this.#budget.set(this.#budget.get().sub(units));
    // What has been charged for the rest of the block may be more than is left now.
    this.stopsSoon = true;
    this.setState32(layout.charged, this.state32(layout.charged).add(units));
    this.#notExecuted(units);
  }

  /** The budget falls by what is no instruction that was executed here. */
  #notExecuted(units: Value): void {
    this.setState32(layout.noted, this.state32(layout.noted).sub(units));
  }

  // Leaving.

  #leave(code: Code): void {
    this.exits = true;
    this.exitsLate ||= this.#wrote;
    this.#local(locals.exitCode).set(this.#code(code));
    this.#exit.br();
  }

  /** Leaves with this instruction done. */
  #leaveBehind(kind: number, at: 'offset' | 'nextOffset' = 'nextOffset'): void {
    this.exitsBehind = true;
    // As long as it has not set the flags they are what they were before it.
    const op = this.writesFlags === 'never' ? undefined : opOf(this.flagsAfter);
    if (leavesByJump(kind)) {
      this.exits = true;
      this.exitsLate ||= this.#wrote;
      this.jumps = true;
      if (op !== undefined && op !== variableOp) this.#local(locals.ccOp).set(this.i32(op));
      this.#budget.set(this.#budget.get().add(this.#left(-1)));
      this.#local(locals.exitCode).set(this.i32(packExit(kind, 0, 0, 0)));
      this.#jump.br();
      return;
    }
    this.#leave({ kind: 'exit', leave: kind, at, refund: -1, op });
  }

  /** Leaves behind the instruction to a place of the page. */
  #goWithin(place: number): void {
    this.#local(locals.exitValue).set(this.#local(locals.pageBase).get().add(this.#number(place)));
    this.#leaveBehind(leave.within);
  }

  /** Gives up at the start of the instruction. */
  #giveUp(): void {
    this.#leave({ kind: 'exit', leave: leave.interpret, at: 'offset', refund: 0, op: undefined });
  }

  override fault(): void {
    this.#giveUp();
  }

  override raise(): void {
    this.#giveUp();
  }

  /** Goes on at another block of the region. */
  #goToTaken(): void {
    this.exitsLate ||= this.#wrote;
    this.fn.outsideLabel(labels.taken).br();
  }

  override jumpDirect(): void {
    switch (this.#case.jump) {
      case 'inside':
      case 'across':
        this.#goToTaken();
        break;
      case 'within':
        this.#goWithin(numbers.target);
        break;
      default:
        this.jumpTo(this.directTarget());
    }
  }

  override directTarget(): Value {
    return this.#local(locals.pageBase).get().add(this.#number(numbers.target));
  }

  override checkDirectTarget(): void {
    if (this.#case.jump === 'elsewhere' || this.#case.jump === 'across') super.checkDirectTarget();
  }

  override jumpTo(ip: Value): void {
    this.#local(locals.exitValue).set(ip);
    if (this.#case.jump === 'inside') this.#goToTaken();
    else this.#leaveBehind(leave.jump);
  }

  override resume(): void {
    // What always ends a block works on state that a region has in variables.
    if (this.form.row.options.ends === true) throw new NotTranslatable();
    this.#leaveBehind(leave.enter);
  }

  override transfer(): void {
    throw new NotTranslatable();
  }

  override startShadow(kind: number): void {
    this.setState32(layout.shadow, kind);
    this.setState32(layout.shadowBudget, this.#budget.get().add(this.#left(-1)));
  }

  override again(): void {
    const left = this.#budget.get().add(this.#left(-1));
    // As in the interpreter: an event that is taken here finds RF set (SDM vol. 3, 17.3.1.1).
    this.fn.if(left.leS(0), () => {
      this.setState32(layout.systemFlags, this.state32(layout.systemFlags).or(RF));
      this.setState32(layout.resumeBudget, left);
    });
    this.#leaveBehind(leave.interpret, 'offset');
  }

  override leave(): void {
    this.#giveUp();
  }

  override beforeCall(): void {
    this.#called = true;
    this.setState32(layout.budget, this.#budget.get().add(this.#left(0)));
  }

  /** A call that may change the budget may do anything to the vCPU, whose state is in variables here. */
  override afterCall(): void {
    if (this.#called) throw new NotTranslatable();
  }

  override stopSoon(after: 0 | 1): void {
    // The instructions behind this one have been charged; beyond them, `after` may remain.
    const cut = this.#budget.get().add(this.#left(-1 - after));
    this.fn.if(cut.gtS(0), () => {
      this.setState32(layout.budgetStart, this.state32(layout.budgetStart).sub(cut));
      this.#notExecuted(cut);
      this.#budget.set(this.#code({ kind: 'minusLeft', add: 1 + after }));
    });
    this.stopsSoon = true;
  }

  // Registers.

  /** The local of the general register at a place, and whether its second byte is meant; undefined when it is something else. */
  #general(place: RegisterPlace): { variable: Variable; high: boolean } | undefined {
    if (typeof place !== 'number') throw new Error('a region knows its registers');
    if (place >= generalRm) return { variable: this.#local(locals.rm), high: place !== generalRm };
    if (place >= generalReg) return { variable: this.#local(locals.reg), high: place !== generalReg };
    if (place >= layout.gpr + 128 || place < layout.gpr) return undefined;
    const number = (place - layout.gpr) >> 3;
    return { variable: this.#local(locals.gpr + number), high: (place & 7) === 1 };
  }

  override readRegister(place: RegisterPlace, size: number): Value {
    const general = this.#general(place);
    if (general === undefined) {
      if (place === layout.zero) return this.i64(0);
      return this.fn.load(loadName(size), this.cpu, place as number);
    }
    const whole = general.variable.get();
    if (size === 8) return whole;
    if (size === 4) return whole.wrap();
    if (size === 2) return whole.wrap().and(0xffff);
    return (general.high ? whole.wrap().shrU(8) : whole.wrap()).and(0xff);
  }

  override writeRegister(place: RegisterPlace, size: number, value: Value): void {
    if (place === layout.gprOffset(4)) this.#stackWrites++;
    const general = this.#general(place);
    if (general === undefined) {
      this.fn.store(storeName(size), this.cpu, value, place as number);
      return;
    }
    const { variable, high } = general;
    this.#wrote = true;
    if (!this.#isCertain) this.mayKeep = true;
    if (size === 8) variable.set(value);
    else if (size === 4) variable.set(value.extendU());
    else {
      const mask = size === 2 ? 0xffff : 0xff;
      const shift = high ? 8 : 0;
      const part = value.and(mask).extendU().shl(shift);
      variable.set(
        variable
          .get()
          .and(~(BigInt(mask) << BigInt(shift)))
          .or(part),
      );
    }
  }

  override regPlace(): number {
    return this.#case.reg;
  }

  override rmPlace(): number {
    return this.#case.rm;
  }

  override regNumber(): Value {
    return this.i32(this.#case.reg);
  }

  override immediateValue(size: number): Value {
    const known = this.#case.immediate;
    if (known !== undefined) {
      if (size === 8) return this.i64(known);
      return this.i32(size === 1 ? known & 0xff : size === 2 ? known & 0xffff : known);
    }
    const slides = this.form.slides.immediate;
    if (size === 8) return this.slid(this.#number(numbers.immediate), slides);
    const value = this.slid(this.fn.hole('i32', numbers.immediate), slides);
    return size === 1 ? value.and(0xff) : size === 2 ? value.and(0xffff) : value;
  }

  override memoryAddress(): Address {
    const { base, hasIndex, scale, hasDisplacement, segment, stack } = this.#case;
    if (this.form.row.operands.some((spec) => spec.kind === 'O')) {
      return { segment, stack, offset: this.cut(this.immediateValue(8)) };
    }
    let offset =
      base === 'page'
        ? this.#local(locals.pageBase).get()
        : base === 'register'
          ? this.#local(locals.rm).get()
          : undefined;
    if (hasIndex) {
      const index = this.#local(locals.index).get().shl(scale);
      offset = offset === undefined ? index : offset.add(index);
    }
    if (hasDisplacement) {
      const displacement = this.slid(this.#number(numbers.displacement), this.form.slides.displacement);
      offset = offset === undefined ? displacement : offset.add(displacement);
    }
    const address = { segment, stack, offset: this.cut(offset ?? this.i64(0)) };
    this.#operandAddresses.push(address);
    return address;
  }

  override dataSegment(): number {
    return this.#case.segment;
  }

  override thisIp(): Value {
    return this.#local(locals.pageBase).get().add(this.#number(numbers.offset));
  }

  override nextIp(): Value {
    return this.#local(locals.pageBase).get().add(this.#number(numbers.nextOffset));
  }

  // Flags.

  override lazyFlags(): { flags: LazyFlags; kind: FlagKind | undefined } {
    this.readsFlags = true;
    const op = opOf(this.flagsAfter);
    const known = op !== variableOp;
    return {
      kind: known ? kinds[op >> 2] : undefined,
      flags: {
        op: known ? this.i32(op) : this.#local(locals.ccOp).get(),
        dst: this.#local(locals.ccDst).get(),
        src: this.#local(locals.ccSrc).get(),
      },
    };
  }

  override setLazyFlags(op: Value, dst: Value, src: Value): void {
    const always = this.fn.currentBlock === this.fn.body;
    if (this.writesFlags !== 'always') this.writesFlags = always ? 'always' : 'maybe';
    this.flagsAfter = unknownFlags;
    if (!this.#case.flagsLive) return;
    this.#local(locals.ccDst).set(dst);
    this.#local(locals.ccSrc).set(src);
    const known = op.number;
    // Where they are not always set, the variable must hold the operation on all paths.
    if (known === undefined || !always || this.#case.setsOp) this.#local(locals.ccOp).set(op);
    else this.flagsAfter = knownFlags(known, false);
  }

  /** Some of the flags stay, which matters only when anybody sees them. */
  #keeping(set: () => void): void {
    const reads = this.readsFlags;
    if (this.#case.flagsLive) set();
    else this.setLazyFlags(this.i32(0), this.i64(0), this.i64(0));
    this.readsFlags = reads;
    this.keepsFlags = true;
  }

  override setCarryAndOverflow(carry: Value, overflow: Value): void {
    this.#keeping(() => super.setCarryAndOverflow(carry, overflow));
  }

  override setStepFlags(kind: 'inc' | 'dec', result: Value, size: number): void {
    this.#keeping(() => super.setStepFlags(kind, result, size));
  }

  override setCompareFlags(a: Value, b: Value, size: number): Value {
    const result = super.setCompareFlags(a, b, size);
    if (this.#case.flagsLive && this.flagsAfter !== unknownFlags) {
      this.#local(locals.ccOther).set(this.signed(b, size));
      this.flagsAfter = knownFlags(opOf(this.flagsAfter), true);
    }
    return result;
  }

  override condition(code: number): Value {
    const { flags, kind } = this.lazyFlags();
    if (kind === undefined) return super.condition(code);
    const comparison = comparisons[code >> 1];
    if (comparison === undefined || !hasOther(this.flagsAfter)) return conditionOf(code, kind, flags);
    // Both are sign-extended, which keeps the order of unsigned numbers as well.
    const direct = flags.src[comparison](this.#local(locals.ccOther).get());
    return (code & 1) !== 0 ? direct.eqz() : direct;
  }

  // Memory.

  override probe(address: Address, size: number, access: Access): Probe {
    const linear = this.linear(address, size, access);
    this.#accesses.push(this.#comparable(address, size, access));
    switch (this.#case.role) {
      case 'alone':
        return this.#probeAlone(linear, size, access);
      case 'member':
        break;
      default:
        this.#probeGroup(linear, this.#case.role === 'firstToWrite');
    }
    const host = this.#local(locals.group).get().add(this.fn.hole('i32', numbers.groupOffset));
    this.#grouped = { host, slow: undefined };
    return this.#grouped;
  }

  override loadAt(target: Probe, size: number, name: LoadName = loadName(size)): Value {
    if (target !== this.#grouped) return super.loadAt(target, size, name);
    return this.fn.load(name, this.#local(locals.group).get(), this.fn.holeOffset(numbers.groupOffset));
  }

  override storeAt(target: Probe, size: number, value: Value): void {
    if (target !== this.#grouped) super.storeAt(target, size, value);
    else {
      const offset = this.fn.holeOffset(numbers.groupOffset);
      this.fn.store(storeName(size, value), this.#local(locals.group).get(), value, offset);
    }
  }

  /** The instruction's access, when it has no other, as far as it can be compared with those of others. */
  get onlyAccess(): MemoryAccess | undefined {
    return this.#accesses.length === 1 ? this.#accesses[0] : undefined;
  }

  /** See {@link Template.stackMove}. */
  get stackMove(): number | undefined {
    if (this.#stackWrites !== this.#stackMoves.length) return undefined;
    return this.#stackMoves.reduce((sum, each) => sum + each, 0);
  }

  override stackAddress(distance: Operand): Address {
    const address = super.stackAddress(distance);
    if (typeof distance === 'number') this.#stackAddresses.set(address, distance);
    return address;
  }

  override moveStack(distance: Operand): void {
    super.moveStack(distance);
    if (typeof distance === 'number' && this.#isCertain) this.#stackMoves.push(distance);
  }

  /** Whether what is being emitted happens each time. */
  get #isCertain(): boolean {
    return this.fn.currentBlock === this.fn.body;
  }

  #comparable(address: Address, size: number, access: Access): MemoryAccess | undefined {
    if (!this.#isCertain) return undefined;
    const accessed = { size, writes: access !== 'r' };
    const distance = this.#stackAddresses.get(address);
    if (distance !== undefined) return { at: 'stack', distance, ...accessed };
    // What addresses of 32 bits are cut to is no sum, and FS and GS have bases.
    const plain = this.form.addressSize === 8 && this.#case.segment === layout.zero;
    const isOperand = this.#operandAddresses.some(({ offset }) => offset === address.offset);
    return plain && isOperand ? { at: 'operand', distance: 0, ...accessed } : undefined;
  }

  /** The first access of a group: it finds where all of them go, whose bytes lie in one page; otherwise it gives up. */
  #probeGroup(linear: Value, write: boolean): void {
    const { fn } = this;
    const first = linear.add(this.#number(numbers.groupFirst));
    const last = linear.add(this.#number(numbers.groupLast));
    const entry = this.#entry(first);
    const tag = fn.load('i64', entry, write ? tlb.writeTag : tlb.readTag);
    // The entry is that of the first byte: it never stands for the next page.
    fn.rarely(tag.ne(last.and(-4096)), () => {
      this.#seeTag(tag.shl(16).xor(first).xor(last));
      this.#leave({ kind: 'exit', leave: leave.missed, at: 'offset', refund: 0, op: undefined });
    });
    this.#local(locals.group).set(first.wrap().add(fn.load('i32', entry, tlb.addend)));
  }

  /** Something of a tag that is no match is left in the exit value: V8 loads a tag twice that is used by the comparison alone, since the load might trap. */
  #seeTag(value: Value): void {
    this.#local(locals.exitValue).set(value);
  }

  #entry(linear: Value): Value {
    const offset = linear
      .wrap()
      .shrU(12 - tlb.entryShift)
      .and(tlb.entryMask);
    return this.#local(locals.tlb).get().add(offset);
  }

  #probeAlone(linear: Value, size: number, access: Access): Probe {
    const { fn } = this;
    const entry = this.#entry(linear);
    const tag = fn.load('i64', entry, access === 'r' ? tlb.readTag : tlb.writeTag);
    fn.rarely(tag.ne(linear.add(size - 1).and(-4096)), () => {
      this.#seeTag(tag);
      this.#giveUp();
    });
    return { host: linear.wrap().add(fn.load('i32', entry, tlb.addend)), slow: undefined };
  }

  /** The privilege or RFLAGS.AC changed: another TLB set. */
  override updateMode(): void {
    super.updateMode();
    this.#local(locals.tlb).set(this.state32(layout.tlb));
  }
}
