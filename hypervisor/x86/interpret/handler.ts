/**
 * The interpreter's handlers: each instruction form as a function that takes its operands from a decoded record
 * and ends by calling the next record's handler in its place.
 */
import type { FunctionBuilder, FunctionRef, Variable } from '../../wasm/function.ts';
import type { Operand, Value } from '../../wasm/value.ts';
import * as record from '../codepage.ts';
import { type Core, handlerType } from '../core/core.ts';
import { emitInstruction } from '../execute.ts';
import { type FlagKind, type LazyFlags, RF } from '../flags.ts';
import type { Form } from '../form.ts';
import * as layout from '../layout.ts';
import { type Address, loadName, type RegisterPlace, Semantics, storeName } from '../semantics.ts';
import { noteLeader } from '../translatedcount.ts';

const csBase = layout.segmentOffset(layout.CS);

/** The context of a handler: operands from the record, state in memory. */
class HandlerSemantics extends Semantics {
  readonly #record: Value;
  readonly #budget: Variable;

  constructor(fn: FunctionBuilder, core: Core, form: Form) {
    super(fn, core, form);
    this.#record = fn.parameter(1).get();
    this.#budget = fn.parameter(2);
  }

  #at(place: RegisterPlace): { base: Value; offset: number } {
    return typeof place === 'number'
      ? { base: this.cpu, offset: place }
      : { base: this.cpu.add(place), offset: 0 };
  }

  override readRegister(place: RegisterPlace, size: number): Value {
    const { base, offset } = this.#at(place);
    return this.fn.load(loadName(size), base, offset);
  }

  override writeRegister(place: RegisterPlace, size: number, value: Value): void {
    const { base, offset } = this.#at(place);
    if (size === 4) this.fn.store('i64', base, value.extendU(), offset);
    else this.fn.store(storeName(size), base, value, offset);
  }

  override regPlace(): Value {
    return this.fn.load('i32_16u', this.#record, record.reg);
  }

  override rmPlace(): Value {
    return this.fn.load('i32_16u', this.#record, record.rm);
  }

  override regNumber(): Value {
    return this.fn.load('i32_16u', this.#record, record.reg);
  }

  override immediateValue(size: number): Value {
    const value = this.fn.load(size === 8 ? 'i64' : loadName(size), this.#record, record.immediate);
    return this.slid(value, this.form.slides.immediate);
  }

  override memoryAddress(): Address {
    const { fn } = this;
    const segment = fn.load('i32_16u', this.#record, record.segment);
    const flags = fn.load('i32_8u', this.#record, record.addressFlags);
    // The bit for the stack segment moves to its place in the kind of access.
    const stack = flags.and(record.stackFlag).shl(8);
    if (this.form.row.operands.some((spec) => spec.kind === 'O')) {
      return { segment, stack, offset: this.cut(fn.load('i64', this.#record, record.immediate)) };
    }
    const base = fn.load('i64', this.cpu.add(fn.load('i32_16u', this.#record, record.rm)));
    const index = fn.load('i64', this.cpu.add(fn.load('i32_16u', this.#record, record.index)));
    const displacement = this.slid(
      fn.load('i64_32s', this.#record, record.displacement),
      this.form.slides.displacement,
    );
    const scaled = index.shl(flags.and(record.scaleMask).extendU());
    return { segment, stack, offset: this.cut(base.add(scaled).add(displacement)) };
  }

  override dataSegment(): Value {
    return this.fn.load('i32_16u', this.#record, record.segment);
  }

  override thisIp(): Value {
    const linear = this.state64(layout.pageBase).add(this.fn.load('i64_16u', this.#record, record.offset));
    return this.code64 ? linear : linear.sub(this.state64(csBase)).and(0xffff_ffff);
  }

  override nextIp(): Value {
    const length = this.fn.load('i64_8u', this.#record, record.length);
    const ip = this.thisIp().add(length);
    return this.code64 ? ip : ip.and(0xffff_ffff);
  }

  override lazyFlags(): { flags: LazyFlags; kind: FlagKind | undefined } {
    const flags = {
      op: this.state32(layout.ccOp),
      dst: this.state64(layout.ccDst),
      src: this.state64(layout.ccSrc),
    };
    return { flags, kind: undefined };
  }

  override setLazyFlags(op: Value, dst: Value, src: Value): void {
    this.setState32(layout.ccOp, op);
    this.setState64(layout.ccDst, dst);
    this.setState64(layout.ccSrc, src);
  }

  override beforeCall(): void {
    this.setState32(layout.budget, this.#budget.get());
  }

  override afterCall(): void {
    this.#budget.set(this.state32(layout.budget));
  }

  override charge(units: Value): void {
    this.setState32(layout.charged, this.state32(layout.charged).add(units));
    this.#budget.set(this.#budget.get().sub(units));
  }

  override stopSoon(after: 0 | 1): void {
    this.setState32(layout.setAside, 0);
    // What is cut off the budget is cut off its start as well: no time passes by it.
    const cut = this.#budget.get().sub(1 + after);
    this.fn.if(cut.gtS(0), () => {
      this.setState32(layout.budgetStart, this.state32(layout.budgetStart).sub(cut));
      this.#budget.set(1 + after);
    });
  }

  override fault(): void {
    this.setState32(layout.budget, this.#budget.get());
    this.fn.returnCall(this.core.fault, this.cpu, this.#record);
  }

  override resume(): void {
    this.setState32(layout.budget, this.#budget.get().sub(1));
    this.fn.returnCall(this.core.enter, this.cpu);
  }

  override transfer(routine: FunctionRef, ...operands: Operand[]): void {
    const { fn } = this;
    this.setState64(layout.rip, this.thisIp());
    this.setState64(layout.nextRip, this.nextIp());
    this.setState32(layout.budget, this.#budget.get());
    const done = fn.call(routine, this.cpu, ...operands);
    fn.if(done.eqz(), () => fn.returnCall(this.core.exception, this.cpu));
    this.setState32(layout.budget, this.state32(layout.budget).sub(1));
    fn.returnCall(this.core.enter, this.cpu);
  }

  override startShadow(kind: number): void {
    this.setState32(layout.shadow, kind);
    this.setState32(layout.shadowBudget, this.#budget.get().sub(1));
  }

  override leave(reason: number): void {
    this.setState64(layout.rip, this.nextIp());
    this.setState32(layout.exit, reason);
    this.setState32(layout.budget, this.#budget.get().sub(1));
    this.fn.return();
  }

  override again(): void {
    const left = this.#budget.get().sub(1);
    this.fn.if(left.leS(0), () => {
      // An event that is taken here finds RF set: the instruction has begun (SDM vol. 3, 17.3.1.1).
      this.setState32(layout.systemFlags, this.state32(layout.systemFlags).or(RF));
      this.setState32(layout.resumeBudget, left);
      this.fn.returnCall(this.core.stop, this.cpu, this.#record, left);
    });
    this.#dispatch(this.#record, left);
  }

  #dispatch(at: Value, budget: Value): void {
    this.fn.returnCallIndirect(handlerType, this.fn.load('i32', at, record.handler), this.cpu, at, budget);
  }

  /** What is left of the budget now that one instruction has been retired; stops before a record when that is nothing. */
  #leftAt(at: Value): Value {
    const left = this.#budget.get().sub(1);
    this.fn.if(left.leS(0), () => this.fn.returnCall(this.core.stop, this.cpu, at, left));
    return left;
  }

  /** Goes on at the next record. */
  next(): void {
    const next = this.#record.add(record.recordSize);
    this.#dispatch(next, this.#leftAt(next));
  }

  override jumpTo(ip: Value): void {
    const { fn } = this;
    const left = this.#budget.get().sub(1);
    fn.if(left.leS(0), () => {
      this.setState64(layout.rip, ip);
      this.setState32(layout.budget, left);
      fn.return();
    });
    const linear = this.code64 ? ip : ip.add(this.state64(csBase)).and(0xffff_ffff);
    fn.returnCall(this.core.jump, this.cpu, linear, left);
  }

  override jumpDirect(): void {
    const { fn } = this;
    const link = fn.load('i32', this.#record, record.link);
    fn.if(link.gtS(0), () => {
      const budget = this.#leftAt(link);
      noteLeader(fn, this.cpu, budget);
      this.#dispatch(link, budget);
    });
    const left = this.#budget.get().sub(1);
    // Not linked yet. When the budget ends here, it stays so: linking costs nothing later.
    fn.if(link.eqz().and(left.gtS(0)), () => fn.returnCall(this.core.link, this.cpu, this.#record, left));
    this.jumpTo(this.directTarget());
  }

  override directTarget(): Value {
    const linear = this.state64(layout.pageBase).add(this.fn.load('i64', this.#record, record.immediate));
    if (this.code64) return linear;
    return linear.sub(this.state64(csBase)).and(this.size === 2 ? 0xffff : 0xffff_ffff);
  }
}

/** Builds the handler of a form. */
export function buildHandler(fn: FunctionBuilder, core: Core, form: Form): void {
  const c = new HandlerSemantics(fn, core, form);
  emitInstruction(c);
  if (form.row.options.ends !== true) c.next();
}
