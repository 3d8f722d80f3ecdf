/**
 * Values: what the code of a function under construction computes.
 *
 * A value is a node: an operation and the values it works on. Methods build nodes and simplify as they go
 * (constants are folded, neutral operands dropped). A node is computed where it was created, or later where
 * it is used, whichever gives shorter code; `emit.ts` sees to it that the difference cannot be observed.
 */
import { foldBinary, foldUnary } from './fold.ts';
import { foldVector } from './foldvector.ts';
import type { Block, Expectation, FunctionBuilder, FunctionRef } from './function.ts';
import { type MemoryOp, type PureOp, pureOp, typedOp, type ValueType } from './opcodes.ts';

/** What a node does. Kinds before `set` have no effect and may be dropped or moved; the others stay in order. */
export type Kind =
  | 'const'
  | 'hole'
  | 'op'
  | 'get'
  | 'load'
  | 'result'
  | 'set'
  | 'store'
  | 'call'
  | 'callIndirect'
  | 'returnCall'
  | 'returnCallIndirect'
  | 'return'
  | 'if'
  | 'block'
  | 'loop'
  | 'br'
  | 'brIf'
  | 'brTable'
  | 'copy'
  | 'fill'
  | 'unreachable';

/** A number that stands for a constant of the type of its surroundings. */
export type Constant = number | bigint;

/** An operand: a value or a constant. */
export type Operand = Value | Constant;

const noOperands: readonly Value[] = [];

/** A node of the code under construction; see the top of this file. */
export class Value {
  readonly fn: FunctionBuilder;
  readonly kind: Kind;
  readonly type: ValueType;
  readonly operands: readonly Value[];
  /** The instruction, for kinds `op`, `load` and `store`. */
  readonly op: PureOp | MemoryOp | undefined;
  /** Memory offset, lane, local index, type or label number, by kind. */
  readonly immediate: number;
  /** The value of a `const`: i32 as a signed number, i64 as a signed bigint, f32 and f64 as a number. */
  readonly constant: Constant | undefined;
  /** Further immediates: shuffle lanes, br_table labels, the bytes of a v128 constant. */
  readonly list: readonly number[] | undefined;
  /** The function that a `call` or `returnCall` goes to. */
  readonly target: FunctionRef | undefined;
  /** The block in which it was created. */
  readonly block: Block | undefined;
  /** Blocks inside an `if` (then, else), `block` or `loop`. */
  bodies: Block[] | undefined;
  /** Of an `if`: which way it mostly goes. */
  expectation: Expectation | undefined;

  // Set by emit.ts.
  uses = 0;
  user: Value | undefined = undefined;
  local = -1;
  mark = 0;

  constructor(
    fn: FunctionBuilder,
    kind: Kind,
    type: ValueType,
    operands: readonly Value[] = noOperands,
    op: PureOp | MemoryOp | undefined = undefined,
    immediate = 0,
    constant: Constant | undefined = undefined,
    list: readonly number[] | undefined = undefined,
    target: FunctionRef | undefined = undefined,
  ) {
    this.fn = fn;
    this.kind = kind;
    this.type = type;
    this.operands = operands;
    this.op = op;
    this.immediate = immediate;
    this.constant = constant;
    this.list = list;
    this.target = target;
    this.block = kind === 'const' ? undefined : fn.currentBlock;
    this.bodies = undefined;
    this.expectation = undefined;
  }

  /** The constant as a number, when this is an i32, f32 or f64 constant. */
  get number(): number | undefined {
    return typeof this.constant === 'number' ? this.constant : undefined;
  }

  /** True when this is the given integer constant. */
  is(constant: number): boolean {
    const mine = this.constant;
    return mine !== undefined && (typeof mine === 'bigint' ? mine === BigInt(constant) : mine === constant);
  }

  /** Applies any instruction that computes a value, by its name in the specification, to this and further operands. */
  apply(name: string, ...others: Operand[]): Value {
    const op = pureOp(name);
    const operands: Value[] = [this];
    for (let i = 0; i < others.length; i++) operands.push(this.fn.value(others[i]!, op.operands[i + 1]!));
    return (op.result === 'v128' ? foldVector(name, operands) : undefined) ?? this.fn.op(op, operands, 0);
  }

  /** Takes a lane of a v128 out: `lane('i32x4.extract_lane', 2)`. */
  lane(name: string, lane: number): Value {
    return this.fn.op(pureOp(name), [this], lane);
  }

  /** Replaces a lane of a v128: `withLane('i32x4.replace_lane', 2, value)`. */
  withLane(name: string, lane: number, value: Operand): Value {
    const op = pureOp(name);
    const operands = [this, this.fn.value(value, op.operands[1]!)];
    return foldVector(name, operands, lane) ?? this.fn.op(op, operands, lane);
  }

  #binary(name: string, other: Operand): Value {
    const right = this.fn.value(other, this.type);
    if (right.type !== this.type) throw new Error(`${this.type}.${name} on ${this.type} and ${right.type}`);
    return foldBinary(name, this, right) ?? this.fn.op(typedOp(this.type, name), [this, right], 0);
  }

  #unary(name: string): Value {
    return foldUnary(name, this) ?? this.fn.op(pureOp(name), [this], 0);
  }

  add(other: Operand): Value {
    return this.#binary('add', other);
  }
  sub(other: Operand): Value {
    return this.#binary('sub', other);
  }
  mul(other: Operand): Value {
    return this.#binary('mul', other);
  }
  /** Floating-point division. */
  div(other: Operand): Value {
    return this.#binary('div', other);
  }
  /** Signed division; the caller has excluded a zero divisor and overflow. */
  divS(other: Operand): Value {
    return this.#binary('div_s', other);
  }
  /** Unsigned division; the caller has excluded a zero divisor. */
  divU(other: Operand): Value {
    return this.#binary('div_u', other);
  }
  /** Signed remainder; the caller has excluded a zero divisor. */
  remS(other: Operand): Value {
    return this.#binary('rem_s', other);
  }
  /** Unsigned remainder; the caller has excluded a zero divisor. */
  remU(other: Operand): Value {
    return this.#binary('rem_u', other);
  }
  and(other: Operand): Value {
    return this.#binary('and', other);
  }
  or(other: Operand): Value {
    return this.#binary('or', other);
  }
  xor(other: Operand): Value {
    return this.#binary('xor', other);
  }
  /** Bitwise complement. */
  not(): Value {
    return this.#binary('xor', -1);
  }
  /** Negation of an integer. */
  negate(): Value {
    return this.fn.value(0, this.type).sub(this);
  }
  /** Shifts take their count modulo the width, as WebAssembly does. */
  shl(count: Operand): Value {
    return this.#binary('shl', count);
  }
  shrS(count: Operand): Value {
    return this.#binary('shr_s', count);
  }
  shrU(count: Operand): Value {
    return this.#binary('shr_u', count);
  }
  rotl(count: Operand): Value {
    return this.#binary('rotl', count);
  }
  rotr(count: Operand): Value {
    return this.#binary('rotr', count);
  }
  eq(other: Operand): Value {
    return this.#binary('eq', other);
  }
  ne(other: Operand): Value {
    return this.#binary('ne', other);
  }
  ltS(other: Operand): Value {
    return this.#binary('lt_s', other);
  }
  ltU(other: Operand): Value {
    return this.#binary('lt_u', other);
  }
  gtS(other: Operand): Value {
    return this.#binary('gt_s', other);
  }
  gtU(other: Operand): Value {
    return this.#binary('gt_u', other);
  }
  leS(other: Operand): Value {
    return this.#binary('le_s', other);
  }
  leU(other: Operand): Value {
    return this.#binary('le_u', other);
  }
  geS(other: Operand): Value {
    return this.#binary('ge_s', other);
  }
  geU(other: Operand): Value {
    return this.#binary('ge_u', other);
  }
  /** 1 when this is zero, else 0. */
  eqz(): Value {
    return this.#unary(this.type === 'i32' ? 'i32.eqz' : 'i64.eqz');
  }
  /** 1 when this is not zero, else 0. */
  nonzero(): Value {
    return this.ne(0);
  }
  clz(): Value {
    return this.#unary(this.type === 'i32' ? 'i32.clz' : 'i64.clz');
  }
  ctz(): Value {
    return this.#unary(this.type === 'i32' ? 'i32.ctz' : 'i64.ctz');
  }
  popcnt(): Value {
    return this.#unary(this.type === 'i32' ? 'i32.popcnt' : 'i64.popcnt');
  }
  /** The low 32 bits of an i64. */
  wrap(): Value {
    return this.#unary('i32.wrap_i64');
  }
  /** An i32 widened to i64 with its sign. */
  extendS(): Value {
    return this.#unary('i64.extend_i32_s');
  }
  /** An i32 widened to i64 with zeros. */
  extendU(): Value {
    return this.#unary('i64.extend_i32_u');
  }
  extend8S(): Value {
    return this.#unary(this.type === 'i32' ? 'i32.extend8_s' : 'i64.extend8_s');
  }
  extend16S(): Value {
    return this.#unary(this.type === 'i32' ? 'i32.extend16_s' : 'i64.extend16_s');
  }
  extend32S(): Value {
    return this.#unary('i64.extend32_s');
  }
}
