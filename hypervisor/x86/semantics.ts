/**
 * What a meaning talks to while it emits an instruction: the registers, flags, memory, stack and control flow of
 * an x86 CPU, as values of the code under construction.
 *
 * There are two of these: the interpreter's handlers, where registers and immediates are read from the decoded
 * record, and the translator's regions, where they are known. Meanings cannot tell them apart.
 */
import type { FunctionBuilder, FunctionRef } from '../wasm/function.ts';
import type { LoadName, StoreName } from '../wasm/opcodes.ts';
import type { Operand, Value } from '../wasm/value.ts';
import type { Core } from './core/core.ts';
import * as exceptions from './exceptions.ts';
import {
  allOf,
  byKind,
  CF,
  carryOf,
  ccOpOf,
  conditionOf,
  type FlagKind,
  type LazyFlags,
  OF,
  overflowOf,
} from './flags.ts';
import type { Form, Slide } from './form.ts';
import * as layout from './layout.ts';
import { type Access, commitPending, type Probe, probe } from './memoryaccess.ts';

/** A memory operand's address: an offset in a segment. */
export interface Address {
  /** Offset in the segment (i64), already cut to the address size. */
  readonly offset: Value;
  /** Offset into the state of the segment's base (i32 value or known number). */
  readonly segment: Value | number;
  /** Bits 2 … of the access kind (`memoryaccess.ts`): tells #SS from #GP. */
  readonly stack: Value | boolean;
  /** True when the access must be aligned to its size: the operands of 16 bytes of most SSE instructions. */
  readonly aligned?: boolean;
}

/** Which register an operand names: an offset into the state, known or read from the record. */
export type RegisterPlace = number | Value;

/** The context of meanings; see the top of this file. */
export abstract class Semantics {
  readonly fn: FunctionBuilder;
  readonly core: Core;
  /** The form of the instruction that is being emitted. */
  form: Form;
  /** Base address of the vCPU's state (i32). */
  readonly cpu: Value;

  constructor(fn: FunctionBuilder, core: Core, form: Form) {
    this.fn = fn;
    this.core = core;
    this.form = form;
    this.cpu = fn.parameter(0).get();
  }

  /** Operand size in bytes of `v` operands. */
  get size(): 2 | 4 | 8 {
    return this.form.size;
  }

  /** True in 64-bit mode. */
  get code64(): boolean {
    return this.form.code64;
  }

  // Constants.

  i32(value: number): Value {
    return this.fn.i32(value);
  }

  i64(value: number | bigint): Value {
    return this.fn.i64(value);
  }

  /** A constant of the type that values of `size` bytes have. */
  constant(value: number | bigint, size: number): Value {
    return size === 8 ? this.fn.i64(value) : this.fn.i32(Number(value));
  }

  // State.

  /** A field of the state, 32 bits. */
  state32(offset: number): Value {
    return this.fn.load('i32', this.cpu, offset);
  }

  /** A field of the state, 64 bits. */
  state64(offset: number): Value {
    return this.fn.load('i64', this.cpu, offset);
  }

  setState32(offset: number, value: Operand): void {
    this.fn.store('i32', this.cpu, value, offset);
  }

  setState64(offset: number, value: Operand): void {
    this.fn.store('i64', this.cpu, value, offset);
  }

  // Registers.

  /** Reads the low `size` bytes (1, 2, 4: i32, zero-extended; 8: i64; 16: v128) of the register at a place. */
  abstract readRegister(place: RegisterPlace, size: number): Value;
  /** Writes the low `size` bytes; a write of 4 bytes to a general register clears the upper 4. */
  abstract writeRegister(place: RegisterPlace, size: number, value: Value): void;

  /** Reads general register `number`; see {@link readRegister}. */
  gpr(number: number, size: number = this.size): Value {
    return this.readRegister(layout.gprOffset(number), size);
  }

  /** Writes general register `number`; see {@link writeRegister}. */
  setGpr(number: number, value: Operand, size: number = this.size): void {
    this.writeRegister(layout.gprOffset(number), size, this.fn.value(value, size === 8 ? 'i64' : 'i32'));
  }

  /** A constant of the instruction with the guest's slide, where it moves with it. */
  protected slid(constant: Value, slides: Slide): Value {
    if (slides === 0) return constant;
    const slide = constant.type === 'i64' ? this.state64(layout.slide) : this.state32(layout.slide);
    return slides === 1 ? constant.add(slide) : constant.sub(slide);
  }

  // What the instruction names.

  /** Place of the register in ModRM.reg or the opcode. */
  abstract regPlace(): RegisterPlace;
  /** Place of the register in ModRM.rm. */
  abstract rmPlace(): RegisterPlace;
  /** ModRM.reg as a number (i32), for segment, control and debug registers. */
  abstract regNumber(): Value;
  /** The immediate: i32 for sizes 1, 2, 4 (zero-extended), i64 for 8. */
  abstract immediateValue(size: number): Value;
  /** Address of the memory operand. */
  abstract memoryAddress(): Address;
  /** The data segment of an implied operand: DS, or what a prefix says. Offset into the state of its base. */
  abstract dataSegment(): Value | number;
  /** Offset in CS of the next instruction (i64). */
  abstract nextIp(): Value;
  /** Offset in CS of this instruction (i64). */
  abstract thisIp(): Value;

  // Leaving the straight line.

  /** Goes on at the jump operand's target. */
  abstract jumpDirect(): void;
  /** The jump operand's target, an offset in CS (i64). */
  abstract directTarget(): Value;
  /** Goes on at `ip`, an offset in CS (i64). */
  abstract jumpTo(ip: Value): void;
  /** Lets the exception in the state's fault fields happen to this instruction. Nothing follows it. */
  abstract fault(): void;
  /**
   * The state's RIP, CS, mode or privilege were changed, or an interrupt may have become possible: goes on at
   * the state's RIP.
   */
  abstract resume(): void;
  /** Executes this instruction again, having counted it once: a repeated string instruction that is not done. */
  abstract again(): void;
  /**
   * Does the rest of this instruction by a routine of the core that works on the whole state and sets RIP, as far
   * transfers do, and goes on there. The routine gives 1, or 0 after recording a fault. It finds the offset of this
   * instruction in the state's RIP, that of the next one in `nextRip`. Nothing follows it.
   */
  abstract transfer(routine: FunctionRef, ...operands: Operand[]): void;
  /** Starts a shadow (`layout.shadows`) behind this instruction. */
  abstract startShadow(kind: number): void;
  /** Leaves to whoever runs the vCPU, for `reason` (`exits.ts`), behind this instruction. */
  abstract leave(reason: number): void;
  /** Makes the run stop right behind this instruction (`after` = 0) or behind the next: an interrupt may be taken. */
  abstract stopSoon(after: 0 | 1): void;
  /** What must be in memory for a call that may look at the budget or change it; `afterCall` takes it up again. */
  abstract beforeCall(): void;
  abstract afterCall(): void;
  /** Lets `units` (i32) of time pass beyond the one that the instruction takes. */
  abstract charge(units: Value): void;

  /** Mode, privilege level or RFLAGS.AC changed: brings what depends on them up to date. */
  updateMode(): void {
    this.fn.callAll(this.core.updateMode, this.cpu);
  }

  /** Raises exception `vector` on this instruction. Nothing follows it. */
  raise(vector: Operand, errorCode: Operand = 0): void {
    this.setState32(layout.faultVector, vector);
    this.setState32(layout.faultCode, errorCode);
    this.fault();
  }

  /** Raises exception `vector` when `condition` (i32) is not zero. */
  raiseIf(condition: Value, vector: number, errorCode: Operand = 0): void {
    this.fn.rarely(condition, () => this.raise(vector, errorCode));
  }

  /** Raises #GP when a near jump to `ip` leaves the code segment or is not canonical (SDM vol. 2, JMP). */
  checkTarget(ip: Value): void {
    if (this.code64) this.raiseIf(ip.shl(16).shrS(16).ne(ip), exceptions.GP);
    else {
      const limit = this.fn.load('i64_32u', this.cpu, layout.segmentOffset(layout.CS) + layout.segmentLimit);
      this.raiseIf(ip.gtU(limit), exceptions.GP);
    }
  }

  /** {@link checkTarget} for the jump operand; in 64-bit mode only a jump at the very edge can leave. */
  checkDirectTarget(): void {
    this.checkTarget(this.directTarget());
  }

  /** Faults when a routine of the core gave 0. */
  faultUnless(success: Value): void {
    this.fn.rarely(success.eqz(), () => this.fault());
  }

  // XMM and MMX registers.

  /** Raises what CR0 and CR4 say of instructions on XMM registers (SDM vol. 3, 14.1): #UD or #NM. Comes before all else. */
  requireSse(): void {
    this.#raiseBlocked(layout.sseBlocked);
  }

  /** The same for MMX registers (SDM vol. 3, 13.1), and #MF when an x87 exception is pending. */
  requireMmx(): void {
    this.#raiseBlocked(layout.mmxBlocked);
    this.raiseIf(this.state32(layout.fsw).and(errorSummary), exceptions.MF);
  }

  #raiseBlocked(field: number): void {
    const blocked = this.state32(field);
    this.fn.rarely(blocked, () => this.raise(blocked));
  }

  /** The x87 state as every MMX instruction leaves it: TOP is 0, all registers are in use (SDM vol. 3, 13.2). */
  enterMmx(): void {
    this.clearTop();
    this.setState32(layout.ftag, 0xff);
  }

  /** The first part of {@link enterMmx}: it remains when the store of an MMX register faults. */
  clearTop(): void {
    this.setState32(layout.ftop, 0);
  }

  #placed(place: RegisterPlace): [base: Value, offset: number] {
    return typeof place === 'number' ? [this.cpu, place] : [this.cpu.add(place), 0];
  }

  /** Reads the low bytes of the XMM or MMX register at a place by the load of that name. */
  readVector(place: RegisterPlace, name: LoadName): Value {
    const [base, offset] = this.#placed(place);
    return this.fn.load(name, base, offset);
  }

  /** Writes the low 4, 8 or 16 bytes of the XMM register at a place; the others stay. */
  writeXmm(place: RegisterPlace, size: number, value: Value): void {
    const [base, offset] = this.#placed(place);
    this.fn.store(storeName(size, value), base, value, offset);
  }

  /** Writes the MMX register at a place: the exponent and sign of the x87 register become ones (SDM vol. 3, 13.2). */
  writeMmx(place: RegisterPlace, value: Value): void {
    const [base, offset] = this.#placed(place);
    this.fn.store('i64', base, value, offset);
    this.fn.store('i32_16', base, 0xffff, offset + 8);
  }

  // Flags.

  /** The lazy flags and, when it is known, their kind. */
  abstract lazyFlags(): { flags: LazyFlags; kind: FlagKind | undefined };
  abstract setLazyFlags(op: Value, dst: Value, src: Value): void;

  /** Widens a value of `size` bytes to i64 with its sign. */
  signed(value: Value, size: number): Value {
    switch (size) {
      case 1:
        return value.extend8S().extendS();
      case 2:
        return value.extend16S().extendS();
      case 4:
        return value.extendS();
      default:
        return value;
    }
  }

  /** A value of `size` bytes with nothing above them: what is left of an i32 after arithmetic. */
  unsigned(value: Value, size: number): Value {
    return size === 1 ? value.and(0xff) : size === 2 ? value.and(0xffff) : value;
  }

  /**
   * Sets the arithmetic flags lazily from a result and the source that the kind calls for (`flags.ts`), both of
   * `size` bytes.
   */
  setFlags(kind: 'add' | 'sub', result: Value, source: Value, size: number): void {
    this.setLazyFlags(this.i32(ccOpOf(kind, size)), this.signed(result, size), this.signed(source, size));
  }

  /** Sets the flags of the comparison a − b, zero-extended values of `size` bytes; gives the difference. */
  setCompareFlags(a: Value, b: Value, size: number): Value {
    const result = a.sub(b);
    this.setFlags('sub', result, a, size);
    return result;
  }

  /** Sets the flags of an addition or subtraction with carry; `carry` is 0 or 1 (i32). */
  setCarryFlags(kind: 'add' | 'sub', result: Value, source: Value, carry: Value, size: number): void {
    // adc follows add, and sbb follows sub, in the list of kinds.
    const op = carry.shl(2).add(ccOpOf(kind, size));
    this.setLazyFlags(op, this.signed(result, size), this.signed(source, size));
  }

  /** Sets the flags of a logical result: CF = OF = 0; AF is undefined, and 0 here. The result has nothing above its size. */
  setLogicFlags(result: Value, size: number): void {
    this.setLazyFlags(this.i32(ccOpOf('logic', size)), this.signed(result, size), this.i64(0));
  }

  /** Sets the flags of INC or DEC: CF stays. */
  setStepFlags(kind: 'inc' | 'dec', result: Value, size: number): void {
    const carry = this.carry();
    this.setLazyFlags(this.i32(ccOpOf(kind, size)), this.signed(result, size), carry.extendU());
  }

  /** Sets ZF, SF, PF by a result and CF, OF, AF from `bits` (i64, at their places in RFLAGS). */
  setResultFlags(result: Value, bits: Value, size: number): void {
    this.setLazyFlags(this.i32(ccOpOf('bits', size)), this.signed(result, size), bits);
  }

  /** Sets CF and OF, each 0 or 1 (i32); the other flags stay. */
  setCarryAndOverflow(carry: Value, overflow: Value): void {
    const others = this.allFlags().and(~(CF | OF));
    this.setAllFlags(others.or(carry).or(overflow.shl(11)));
  }

  /** Sets all six flags from their places in RFLAGS (i32); other bits are ignored. */
  setAllFlags(flags: Value): void {
    this.setLazyFlags(this.i32(0), this.i64(0), flags.and(0x8d5).extendU());
  }

  /** CF as 0 or 1 (i32). */
  carry(): Value {
    const { flags, kind } = this.lazyFlags();
    return kind === undefined
      ? this.fn.call(this.core.carryOf, flags.op, flags.dst, flags.src)
      : carryOf(kind, flags);
  }

  /** OF as 0 or 1 (i32). */
  overflow(): Value {
    const { flags, kind } = this.lazyFlags();
    return kind === undefined
      ? byKind(this.fn, flags, (each) => overflowOf(each, flags))
      : overflowOf(kind, flags);
  }

  /** All six arithmetic flags at their places in RFLAGS (i32). */
  allFlags(): Value {
    const { flags, kind } = this.lazyFlags();
    return kind === undefined
      ? this.fn.call(this.core.allFlagsOf, flags.op, flags.dst, flags.src)
      : allOf(kind, flags);
  }

  /** Condition tttn (0 … 15) as 0 or 1 (i32). */
  condition(code: number): Value {
    const { flags, kind } = this.lazyFlags();
    if (kind !== undefined) return conditionOf(code, kind, flags);
    const positive = this.fn.call(this.core.conditions[code >> 1]!, flags.op, flags.dst, flags.src);
    return (code & 1) !== 0 ? positive.eqz() : positive;
  }

  // Memory.

  /** Linear address (i64) of an access of `size` bytes; faults when its alignment or a segment's limit or rights forbid it. */
  linear(address: Address, size: number, access: Access): Value {
    if (address.aligned === true) {
      // Comes before all other checks, the stack segment's #SS among them.
      const place = this.#base(address.segment).add(address.offset).wrap();
      this.raiseIf(place.and(size - 1), exceptions.GP);
    }
    return this.#segmented(address, size, access);
  }

  /** Base of a segment (i64); in 64-bit mode only FS and GS have one. */
  #base(segment: Value | number): Value {
    if (typeof segment !== 'number') return this.fn.load('i64', this.cpu.add(segment));
    const flat =
      this.code64 &&
      segment !== layout.segmentOffset(layout.FS) &&
      segment !== layout.segmentOffset(layout.GS);
    return flat ? this.i64(0) : this.state64(segment);
  }

  #segmented(address: Address, size: number, access: Access): Value {
    if (this.code64) return this.#base(address.segment).add(address.offset);
    const segment = this.fn.value(address.segment, 'i32');
    const linear = this.fn.call(
      this.core.segmentLinear,
      this.cpu,
      segment,
      address.offset,
      size,
      access === 'r' ? 0 : 1,
    );
    this.fn.rarely(linear.ltS(0), () => this.fault());
    return linear;
  }

  /** Finds where an access of `size` bytes goes; see {@link Probe}. Faults when it may not be made. */
  probe(address: Address, size: number, access: Access): Probe {
    return probe(this, this.linear(address, size, access), size, access, address.stack);
  }

  /** Loads from a probed address; see {@link load}. */
  loadAt(target: Probe, size: number, name: LoadName = loadName(size)): Value {
    return this.fn.load(name, target.host);
  }

  /** Completes the writes to an address probed for writing. */
  commit(target: Probe): void {
    commitPending(this, target);
  }

  /** Stores to an address probed for writing. */
  storeAt(target: Probe, size: number, value: Value): void {
    this.fn.store(storeName(size, value), target.host, value);
    commitPending(this, target);
  }

  /** Loads `size` bytes: i32 for 1, 2, 4 (zero-extended), i64 for 8, v128 for 16, where `name` does not ask for another type. */
  load(address: Address, size: number, name: LoadName = loadName(size)): Value {
    return this.loadAt(this.probe(address, size, 'r'), size, name);
  }

  /** Stores the low `size` bytes of a value of the type that {@link load} gives. */
  store(address: Address, size: number, value: Value): void {
    this.storeAt(this.probe(address, size, 'w'), size, value);
  }

  /** An address some bytes further on in the same segment. */
  at(address: Address, distance: number): Address {
    if (distance === 0) return address;
    return { ...address, offset: this.cut(address.offset.add(distance)) };
  }

  /** Cuts an offset to the instruction's address size. */
  cut(offset: Value): Value {
    const { addressSize } = this.form;
    return addressSize === 8 ? offset : offset.and(addressSize === 4 ? 0xffff_ffff : 0xffff);
  }

  /** An address in a segment register that is known, for implied operands (strings, stack). */
  segmentAddress(segment: number, offset: Value): Address {
    return { segment: layout.segmentOffset(segment), offset, stack: segment === layout.SS };
  }

  // Stack.

  /** The mask that the stack segment's size puts on RSP (i64). */
  stackMask(): Value {
    if (this.code64) return this.i64(-1);
    // D/B is bit 14 of the attributes (SDM vol. 3, 3.4.5).
    const big = this.state32(layout.segmentOffset(layout.SS) + layout.segmentAttributes).and(0x4000);
    return this.fn.select(big, this.i64(0xffff_ffff), this.i64(0xffff));
  }

  /** Address of the stack at `distance` from RSP. */
  stackAddress(distance: Operand): Address {
    return this.segmentAddress(layout.SS, this.gpr(4, 8).add(distance).and(this.stackMask()));
  }

  /** Adds to RSP, within the stack segment's size. */
  moveStack(distance: Operand): void {
    const old = this.gpr(4, 8);
    if (this.code64) this.setGpr(4, old.add(distance), 8);
    else {
      const mask = this.stackMask();
      this.setGpr(4, old.and(mask.not()).or(old.add(distance).and(mask)), 8);
    }
  }

  /** Pushes the low `size` bytes of a value. */
  push(value: Value, size: number): void {
    this.store(this.stackAddress(-size), size, value);
    this.moveStack(-size);
  }

  /** Reads what {@link moveStack} by `size` would pop. */
  top(size: number): Value {
    return this.load(this.stackAddress(0), size);
  }
}

/** ES in the x87 status word: an unmasked exception is pending. */
const errorSummary = 0x80;

/** The load of `size` bytes, zero-extended. */
export function loadName(size: number): LoadName {
  switch (size) {
    case 1:
      return 'i32_8u';
    case 2:
      return 'i32_16u';
    case 4:
      return 'i32';
    case 8:
      return 'i64';
    case 16:
      return 'v128';
    default:
      throw new Error(`no load of ${size} bytes`);
  }
}

/** The store of the low `size` bytes of a value: an integer one unless the value is a floating-point number. */
export function storeName(size: number, value?: Value): StoreName {
  if (value?.type === 'f32' || value?.type === 'f64') return value.type;
  switch (size) {
    case 1:
      return 'i32_8';
    case 2:
      return 'i32_16';
    case 4:
      return 'i32';
    case 8:
      return 'i64';
    case 16:
      return 'v128';
    default:
      throw new Error(`no store of ${size} bytes`);
  }
}
