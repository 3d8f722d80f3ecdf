/**
 * The context of meanings in a region: registers and lazy flags in WebAssembly variables, operands known.
 *
 * A region never raises an exception and never reaches a device. Whenever something out of the ordinary happens (a TLB
 * miss that is no plain memory, a fault, a full budget) it gives up at the start of the present instruction,
 * whose effects have not begun, and the interpreter takes over there.
 */
import type { FunctionBuilder, Label, Variable } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import type { Core } from '../core/core.ts';
import { conditionOf, type FlagKind, kinds, type LazyFlags } from '../flags.ts';
import type { Form } from '../form.ts';
import * as layout from '../layout.ts';
import { type Access, type Probe, reads, writes } from '../memoryaccess.ts';
import { type Address, loadName, type RegisterPlace, Semantics, storeName } from '../semantics.ts';
import * as tlb from '../tlb.ts';
import type { Instruction } from './region.ts';

/** Thrown when a meaning does something that only the interpreter can do. */
export class NotTranslatable extends Error {}

/** How control leaves a region. */
export const leaveTo = { linear: 0, interpreter: 1, stateRip: 2 } as const;

/** What a comparison compared, while it is known: conditions on it are made directly. */
interface Comparison {
  readonly kind: 'sub' | 'logic';
  readonly a: Value;
  readonly b: Value | undefined;
  readonly size: number;
}

/** What is known about the flags at a point of the code. */
interface FlagKnowledge {
  kind: FlagKind | undefined;
  /** `ccOp`, when its variable has not been set to it yet. */
  op: number | undefined;
  comparison: Comparison | undefined;
}

const unknownFlags: FlagKnowledge = { kind: undefined, op: undefined, comparison: undefined };

/** Signed and unsigned comparisons by condition code: O, B, Z, BE, S, P, L, LE. */
const comparisons: Record<number, 'ltU' | 'eq' | 'leU' | 'ltS' | 'leS'> = {
  1: 'ltU',
  2: 'eq',
  3: 'leU',
  6: 'ltS',
  7: 'leS',
};

/** See the top of this file. */
export class RegionSemantics extends Semantics {
  readonly #general = new Map<number, Variable>();
  readonly #written = new Set<number>();
  readonly #budget: Variable;
  /** The budget at the region's start. */
  readonly #entryBudget: Variable;
  readonly #pageBase: Variable;
  readonly #tlb: Variable;
  readonly #ccOp: Variable;
  readonly #ccDst: Variable;
  readonly #ccSrc: Variable;
  #flagsWritten = false;
  readonly #exitKind: Variable;
  readonly #exitValue: Variable;
  readonly #exit: Label;
  #instruction!: Instruction;
  /** Instructions of the block that have been charged and not begun, this one included. */
  #refund = 0;
  #flags: FlagKnowledge = { ...unknownFlags };
  /** Goes to a block of the region; given by who lays the blocks out. False when the offset is not in the region. */
  readonly #branch: (offset: number) => boolean;
  #stopsSoon = false;

  /** @param branch emits a branch to the block at an offset, or gives false when there is none */
  constructor(fn: FunctionBuilder, core: Core, form: Form, exit: Label, branch: (offset: number) => boolean) {
    super(fn, core, form);
    this.#exit = exit;
    this.#branch = branch;
    this.#budget = fn.parameter(2);
    this.#entryBudget = fn.local('i32');
    this.#pageBase = fn.local('i64');
    this.#tlb = fn.local('i32');
    this.#ccOp = fn.local('i32');
    this.#ccDst = fn.local('i64');
    this.#ccSrc = fn.local('i64');
    this.#exitKind = fn.local('i32');
    this.#exitValue = fn.local('i64');
  }

  // Between instructions.

  /** Starts an instruction. `refund` counts the instructions of its block from this one on. */
  begin(instruction: Instruction, refund: number): void {
    this.#instruction = instruction;
    this.form = instruction.form;
    this.#refund = refund;
    this.#stopsSoon = false;
  }

  /** Ends an instruction: where it may have made an interrupt possible, looks whether to stop. */
  end(): void {
    if (!this.#stopsSoon) return;
    this.fn.if(this.#budget.get().ltS(0), () => {
      this.#leaveToInterpreter(this.#instruction.offset + this.#instruction.length, this.#refund - 1);
    });
  }

  override charge(units: Value): void {
    this.#budget.set(this.#budget.get().sub(units));
    this.setState32(layout.charged, this.state32(layout.charged).add(units));
  }

  /** Takes `count` instructions from the budget; when it does not reach, the interpreter goes on at `offset`. */
  chargeBlock(offset: number, count: number): void {
    this.#budget.set(this.#budget.get().sub(count));
    this.fn.if(this.#budget.get().ltS(0), () => this.#leaveToInterpreter(offset, count));
  }

  /** What is known of the flags here, to be taken up again on another path. */
  saveKnowledge(): FlagKnowledge {
    return { ...this.#flags };
  }

  restoreKnowledge(knowledge: FlagKnowledge): void {
    this.#flags = { ...knowledge };
  }

  /** From here on several paths have met: the flags' kind is only in its variable. */
  forgetKnowledge(): void {
    this.#flags = { ...unknownFlags };
  }

  /** Puts into variables what is only known so far, before paths meet. */
  settleKnowledge(): void {
    if (this.#flags.op !== undefined) this.#ccOp.set(this.#flags.op);
  }

  // Leaving.

  #leaveTo(kind: number, value: Value): void {
    this.settleKnowledge();
    this.#exitKind.set(kind);
    this.#exitValue.set(value);
    this.#exit.br();
  }

  #leaveToInterpreter(offset: number, refund: number): void {
    if (refund > 0) this.#budget.set(this.#budget.get().add(refund));
    this.#leaveTo(leaveTo.interpreter, this.i64(offset));
  }

  /** The interpreter goes on at `offset`. */
  interpretAt(offset: number): void {
    this.#leaveToInterpreter(offset, 0);
  }

  /** Goes on at an offset of the page (or beyond it): within the region, or by leaving it. */
  goTo(offset: number): void {
    if (!this.#branch(offset)) this.leaveToOffset(offset);
  }

  /** Leaves for an offset of the page, or beyond it. */
  leaveToOffset(offset: number): void {
    this.#leaveTo(leaveTo.linear, this.#pageBase.get().add(offset));
  }

  /** Gives up at the start of the present instruction. */
  #giveUp(): void {
    this.#leaveToInterpreter(this.#instruction.offset, this.#refund);
  }

  override fault(): void {
    this.#giveUp();
  }

  override raise(): void {
    this.#giveUp();
  }

  override jumpDirect(): void {
    const target = this.#instruction.jumpTarget!;
    // A call leaves, even when its target is in the region: the graph has no edge for it.
    if (this.form.row.name === 'CALL') this.leaveToOffset(target);
    else this.goTo(target);
  }

  override directTarget(): Value {
    return this.#pageBase.get().add(this.#instruction.jumpTarget!);
  }

  override checkDirectTarget(): void {
    const target = this.#instruction.jumpTarget!;
    if (target < 0 || target >= 4096) super.checkDirectTarget();
  }

  override jumpTo(ip: Value): void {
    this.#leaveTo(leaveTo.linear, ip);
  }

  override resume(): void {
    // What always ends a block works on state that a region has in variables.
    if (this.form.row.options.ends === true) throw new NotTranslatable();
    if (this.#refund > 1) this.#budget.set(this.#budget.get().add(this.#refund - 1));
    this.#leaveTo(leaveTo.stateRip, this.i64(0));
  }

  override transfer(): void {
    throw new NotTranslatable();
  }

  override startShadow(kind: number): void {
    this.setState32(layout.shadow, kind);
    this.setState32(layout.shadowBudget, this.#budget.get().add(this.#refund - 1));
  }

  override again(): void {
    throw new NotTranslatable();
  }

  override leave(): void {
    this.#giveUp();
  }

  override beforeCall(): void {
    throw new NotTranslatable();
  }

  override afterCall(): void {
    throw new NotTranslatable();
  }

  override stopSoon(after: 0 | 1): void {
    // The instructions behind this one have been charged; beyond them, `after` may remain.
    const behind = this.#refund - 1;
    const cut = this.#budget.get().add(behind - after);
    this.fn.if(cut.gtS(0), () => {
      this.setState32(layout.budgetStart, this.state32(layout.budgetStart).sub(cut));
      this.#budget.set(after - behind);
    });
    this.#stopsSoon = true;
  }

  // Registers.

  #variable(index: number): Variable {
    let variable = this.#general.get(index);
    if (variable === undefined) {
      variable = this.fn.local('i64');
      this.#general.set(index, variable);
    }
    return variable;
  }

  /** The general register at an offset of the state; undefined when it is something else. */
  #general64(place: RegisterPlace): { index: number; high: boolean } | undefined {
    if (typeof place !== 'number') throw new Error('a region knows its registers');
    if (place >= layout.gpr + 128 || place < layout.gpr) return undefined;
    return { index: (place - layout.gpr) >> 3, high: (place & 7) === 1 };
  }

  override readRegister(place: RegisterPlace, size: number): Value {
    const general = this.#general64(place);
    if (general === undefined) {
      if (place === layout.zero) return this.i64(0);
      return this.fn.load(loadName(size), this.cpu, place as number);
    }
    const whole = this.#variable(general.index).get();
    if (size === 8) return whole;
    if (size === 4) return whole.wrap();
    if (size === 2) return whole.wrap().and(0xffff);
    return (general.high ? whole.wrap().shrU(8) : whole.wrap()).and(0xff);
  }

  override writeRegister(place: RegisterPlace, size: number, value: Value): void {
    const general = this.#general64(place);
    if (general === undefined) {
      this.fn.store(storeName(size), this.cpu, value, place as number);
      return;
    }
    const variable = this.#variable(general.index);
    this.#written.add(general.index);
    if (size === 8) variable.set(value);
    else if (size === 4) variable.set(value.extendU());
    else {
      const mask = size === 2 ? 0xffff : 0xff;
      const shift = general.high ? 8 : 0;
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
    return this.#instruction.reg;
  }

  override rmPlace(): number {
    return this.#instruction.rm;
  }

  override regNumber(): Value {
    return this.i32(this.#instruction.reg);
  }

  override immediateValue(size: number): Value {
    const { immediateLow, immediateHigh } = this.#instruction;
    if (size === 8) return this.i64((BigInt(immediateHigh) << 32n) | BigInt(immediateLow >>> 0));
    return this.i32(size === 1 ? immediateLow & 0xff : size === 2 ? immediateLow & 0xffff : immediateLow);
  }

  override memoryAddress(): Address {
    const { rm, index, scale, displacement, segment, stack } = this.#instruction;
    if (this.form.row.operands.some((spec) => spec.kind === 'O')) {
      return { segment, stack, offset: this.cut(this.immediateValue(8)) };
    }
    let offset = rm === layout.pageBase ? this.#pageBase.get() : this.readRegister(rm, 8);
    if (index !== layout.zero) offset = offset.add(this.readRegister(index, 8).shl(scale));
    return { segment, stack, offset: this.cut(offset.add(displacement)) };
  }

  override dataSegment(): number {
    return this.#instruction.segment;
  }

  override thisIp(): Value {
    return this.#pageBase.get().add(this.#instruction.offset);
  }

  override nextIp(): Value {
    return this.#pageBase.get().add(this.#instruction.offset + this.#instruction.length);
  }

  // Flags.

  override lazyFlags(): { flags: LazyFlags; kind: FlagKind | undefined } {
    const { kind, op } = this.#flags;
    return {
      kind,
      flags: {
        op: op === undefined ? this.#ccOp.get() : this.i32(op),
        dst: this.#ccDst.get(),
        src: this.#ccSrc.get(),
      },
    };
  }

  override setLazyFlags(op: Value, dst: Value, src: Value): void {
    this.#flagsWritten = true;
    this.#ccDst.set(dst);
    this.#ccSrc.set(src);
    const known = op.number;
    if (known === undefined) this.#ccOp.set(op);
    this.#flags = {
      op: known,
      kind: known === undefined ? undefined : kinds[known >> 2],
      comparison: undefined,
    };
  }

  override setCompareFlags(a: Value, b: Value, size: number): Value {
    const result = super.setCompareFlags(a, b, size);
    this.#flags.comparison = { kind: 'sub', a, b, size };
    return result;
  }

  override setLogicFlags(result: Value, size: number): void {
    super.setLogicFlags(result, size);
    this.#flags.comparison = { kind: 'logic', a: result, b: undefined, size };
  }

  override condition(code: number): Value {
    const { comparison, kind } = this.#flags;
    if (comparison === undefined || kind === undefined) return super.condition(code);
    const direct = this.#compare(comparison, code >> 1);
    if (direct === undefined) return conditionOf(code, kind, this.lazyFlags().flags);
    return (code & 1) !== 0 ? direct.eqz() : direct;
  }

  /** Condition `pair` (without its lowest bit) made from what was compared; undefined when it is not a comparison. */
  #compare({ kind, a, b, size }: Comparison, pair: number): Value | undefined {
    if (kind === 'logic') {
      // The result against zero; below 32 bits its sign is not the i32's.
      const signed = size >= 4 ? a : size === 2 ? a.extend16S() : a.extend8S();
      if (pair === 2) return size >= 4 ? a.eqz() : this.unsigned(a, size).eqz();
      if (pair === 4 || pair === 6) return signed.ltS(0);
      return pair === 7 ? signed.leS(0) : undefined;
    }
    const comparison = comparisons[pair];
    if (comparison === undefined) return undefined;
    if (size >= 4 || (comparison !== 'ltS' && comparison !== 'leS')) return a[comparison](b!);
    const widen = (value: Value) => (size === 2 ? value.extend16S() : value.extend8S());
    return widen(a)[comparison](widen(b!));
  }

  // Memory.

  override probe(address: Address, size: number, access: Access): Probe {
    const { fn } = this;
    const linear = this.linear(address, size, access);
    const host = fn.local('i32');
    const entry = this.#tlb.get().add(
      linear
        .shrU(12 - tlb.entryShift)
        .wrap()
        .and(tlb.entryMask),
    );
    const tag = fn.load('i64', entry, access === 'r' ? tlb.readTag : tlb.writeTag);
    fn.if(
      tag.eq(linear.add(size - 1).and(-4096)),
      () => host.set(linear.wrap().add(fn.load('i32', entry, tlb.addend))),
      () => {
        const kind = size | (access === 'r' ? 0 : access === 'w' ? writes : writes | reads);
        host.set(fn.call(this.core.plainAccess, this.cpu, linear, kind));
        fn.if(host.get().eqz(), () => this.#giveUp());
      },
    );
    return { host: host.get(), slow: undefined };
  }

  /** The privilege or RFLAGS.AC changed: another TLB set. */
  override updateMode(): void {
    super.updateMode();
    this.#tlb.set(this.state32(layout.tlb));
  }

  // The frame around the region's code.

  /** Behind all blocks: writes the state back and goes where control left to. */
  epilogue(): void {
    const { fn } = this;
    for (const index of this.#written) this.setState64(layout.gprOffset(index), this.#variable(index).get());
    if (this.#flagsWritten) {
      this.setState32(layout.ccOp, this.#ccOp.get());
      this.setState64(layout.ccDst, this.#ccDst.get());
      this.setState64(layout.ccSrc, this.#ccSrc.get());
    }
    const done = this.#entryBudget.get().sub(this.#budget.get());
    this.setState64(layout.translated, this.state64(layout.translated).add(done.extendS()));
    const value = this.#exitValue.get();
    const kind = this.#exitKind.get();
    fn.if(kind, () => {
      fn.if(kind.eq(leaveTo.interpreter), () => {
        fn.returnCall(this.core.interpret, this.cpu, value.wrap(), this.#budget.get());
      });
      this.setState32(layout.budget, this.#budget.get());
      fn.returnCall(this.core.enter, this.cpu);
    });
    fn.returnCall(this.core.goOn, this.cpu, value, this.#budget.get());
  }

  /** In front of all blocks: loads what they use. */
  prologue(): void {
    this.fn.atStart(() => {
      for (const [index, variable] of this.#general) variable.set(this.state64(layout.gprOffset(index)));
      this.#entryBudget.set(this.#budget.get());
      this.#pageBase.set(this.state64(layout.pageBase));
      this.#tlb.set(this.state32(layout.tlb));
      this.#ccOp.set(this.state32(layout.ccOp));
      this.#ccDst.set(this.state64(layout.ccDst));
      this.#ccSrc.set(this.state64(layout.ccSrc));
    });
  }
}
