/** The builder of one function's body: variables, memory, control flow. Values come from `value.ts`, bytes from `emit.ts`. */
import {
  type LoadName,
  loads,
  type MemoryOp,
  type PureOp,
  pureOp,
  type StoreName,
  stores,
  typedOp,
  type ValueType,
} from './opcodes.ts';
import { type Operand, Value } from './value.ts';

/** The type of a function: parameters and results. */
export interface FunctionType {
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** A function of a module, imported or defined, to be called. */
export interface FunctionRef {
  /** Its number; final once the module has all its imports. */
  readonly index: number;
  readonly type: FunctionType;
}

/** Which way a branch mostly goes, for the compiler of the code: whether its condition is not zero. */
export type Expectation = 'likely' | 'unlikely';

/** A run of nodes in order: a function's body, or the inside of an `if`, `block` or `loop`. */
export interface Block {
  readonly nodes: Value[];
  readonly parent: Block | undefined;
}

/** A variable: a parameter or a local that can be set again and again. */
export class Variable {
  readonly fn: FunctionBuilder;
  readonly type: ValueType;
  /** Number of the WebAssembly local. */
  readonly index: number;
  /** How many `set` nodes there are; a variable that is never set may be read anywhere. */
  sets = 0;
  /**
   * Whether it may be the same local as others: `named` ones are distinct among themselves, an `unknown` one may be any of
   * them or another unknown one. Only in templates (`template.ts`).
   */
  alias: 'none' | 'named' | 'unknown' = 'none';

  constructor(fn: FunctionBuilder, type: ValueType, index: number) {
    this.fn = fn;
    this.type = type;
    this.index = index;
  }

  /** Its value at this point of the code. */
  get(): Value {
    return this.fn.append(new Value(this.fn, 'get', this.type, undefined, undefined, this.index));
  }

  set(value: Operand): void {
    this.sets++;
    const operand = this.fn.value(value, this.type);
    if (operand.type !== this.type)
      throw new Error(`a variable of type ${this.type} set to a ${operand.type}`);
    this.fn.append(new Value(this.fn, 'set', this.type, [operand], undefined, this.index));
  }
}

/** Where a branch goes: the end of a `block`, or the start of a `loop`. */
export class Label {
  readonly fn: FunctionBuilder;
  readonly id: number;

  constructor(fn: FunctionBuilder, id: number) {
    this.fn = fn;
    this.id = id;
  }

  /** Branches there. */
  br(): void {
    this.fn.append(new Value(this.fn, 'br', 'i32', undefined, undefined, this.id));
  }

  /** Branches there when `condition` (i32) is not zero. */
  brIf(condition: Value): void {
    if (condition.constant !== undefined) {
      if (!condition.is(0)) this.br();
    } else this.fn.append(new Value(this.fn, 'brIf', 'i32', [condition], undefined, this.id));
  }
}

/** Builds the body of one function. */
export class FunctionBuilder {
  readonly type: FunctionType;
  readonly name: string;
  readonly variables: Variable[] = [];
  readonly body: Block = { nodes: [], parent: undefined };
  currentBlock: Block = this.body;
  #labels = 0;
  readonly #typeIndex: (type: FunctionType) => number;

  /** @param typeIndex number of a function type in the module, for indirect calls */
  constructor(name: string, type: FunctionType, typeIndex: (type: FunctionType) => number) {
    this.name = name;
    this.type = type;
    this.#typeIndex = typeIndex;
    for (const parameter of type.parameters) this.local(parameter);
  }

  /** Puts a node at the end of the current block; for the builder's own classes. */
  append(node: Value): Value {
    this.currentBlock.nodes.push(node);
    return node;
  }

  /** A new variable, zero until set; with `initial`, set to it here. */
  local(type: ValueType, initial?: Operand): Variable {
    const variable = new Variable(this, type, this.variables.length);
    this.variables.push(variable);
    if (initial !== undefined) variable.set(initial);
    return variable;
  }

  /** The variable that holds parameter number `index`. */
  parameter(index: number): Variable {
    return this.variables[index]!;
  }

  /** An i32 constant, from its low 32 bits. */
  i32(value: number): Value {
    return new Value(this, 'const', 'i32', undefined, undefined, 0, value | 0);
  }

  /** An i64 constant, from its low 64 bits. */
  i64(value: number | bigint): Value {
    return new Value(this, 'const', 'i64', undefined, undefined, 0, BigInt.asIntN(64, BigInt(value)));
  }

  f32(value: number): Value {
    return new Value(this, 'const', 'f32', undefined, undefined, 0, value);
  }

  f64(value: number): Value {
    return new Value(this, 'const', 'f64', undefined, undefined, 0, value);
  }

  /** A v128 constant of 16 bytes. */
  v128(bytes: readonly number[]): Value {
    if (bytes.length !== 16) throw new Error('a v128 constant has 16 bytes');
    return new Value(this, 'const', 'v128', undefined, undefined, 0, undefined, bytes);
  }

  /** A constant that is filled in when the template under construction is used (`template.ts`); `what` tells with what. */
  hole(type: 'i32' | 'i64', what: number): Value {
    return new Value(this, 'hole', type, undefined, undefined, what);
  }

  /** The offset of a load or store that is filled in later. */
  holeOffset(what: number): number {
    return ~what;
  }

  /** A label outside the template under construction; its depth is filled in when it is used. `what` is a negative number. */
  outsideLabel(what: number): Label {
    return new Label(this, what);
  }

  /** The operand as a value; a number becomes a constant of the given type. */
  value(operand: Operand, type: ValueType): Value {
    if (operand instanceof Value) return operand;
    switch (type) {
      case 'i32':
        return this.i32(Number(operand));
      case 'i64':
        return this.i64(operand);
      case 'f32':
        return this.f32(Number(operand));
      case 'f64':
        return this.f64(Number(operand));
      case 'v128':
        throw new Error('a number cannot stand for a v128');
    }
  }

  /** The node of an instruction that computes a value. */
  op(op: PureOp, operands: readonly Value[], lane: number): Value {
    for (let i = 0; i < operands.length; i++) {
      if (operands[i]!.type !== op.operands[i]) {
        throw new Error(`operand ${i} of ${op.name} is a ${operands[i]!.type}`);
      }
    }
    return this.append(new Value(this, 'op', op.result, operands, op, lane));
  }

  /** The instruction `type.name`. */
  opOf(type: ValueType, name: string): PureOp {
    return typedOp(type, name);
  }

  /** Applies an instruction by its name in the specification to values. */
  apply(name: string, ...operands: Value[]): Value {
    return this.op(pureOp(name), operands, 0);
  }

  /** i8x16.shuffle: lanes 0-15 choose bytes of `a`, 16-31 of `b`. */
  shuffle(a: Value, b: Value, lanes: readonly number[]): Value {
    if (lanes.length !== 16) throw new Error('a shuffle names 16 lanes');
    return this.append(new Value(this, 'op', 'v128', [a, b], shuffleOp, 0, undefined, lanes));
  }

  /** `a` when `condition` (i32) is not zero, else `b`; both are computed. */
  select(condition: Value, a: Value, b: Operand): Value {
    const other = this.value(b, a.type);
    if (condition.constant !== undefined) return condition.is(0) ? other : a;
    if (other.type !== a.type) throw new Error(`select between ${a.type} and ${other.type}`);
    return this.append(new Value(this, 'op', a.type, [a, other, condition], selectOp(a.type)));
  }

  /** Loads from memory at `address` (i32) + `offset`. */
  load(name: LoadName, address: Value, offset = 0): Value {
    const op: MemoryOp = loads[name];
    return this.append(new Value(this, 'load', op.type, [address], op, offset));
  }

  /** Stores to memory at `address` (i32) + `offset`. */
  store(name: StoreName, address: Value, value: Operand, offset = 0): void {
    const op: MemoryOp = stores[name];
    const operand = this.value(value, op.type);
    if (operand.type !== op.type) throw new Error(`store ${name} of a ${operand.type}`);
    this.append(new Value(this, 'store', op.type, [address, operand], op, offset));
  }

  /** memory.copy of `length` bytes (i32); the ranges may overlap. */
  copy(to: Value, from: Value, length: Operand): void {
    this.append(new Value(this, 'copy', 'i32', [to, from, this.value(length, 'i32')]));
  }

  /** memory.fill of `length` bytes with the low byte of `value`. */
  fill(to: Value, value: Operand, length: Operand): void {
    this.append(new Value(this, 'fill', 'i32', [to, this.value(value, 'i32'), this.value(length, 'i32')]));
  }

  #arguments(type: FunctionType, values: readonly Operand[], what: string): Value[] {
    if (values.length !== type.parameters.length)
      throw new Error(`${what}: ${values.length} arguments, not ${type.parameters.length}`);
    return values.map((operand, i) => {
      const value = this.value(operand, type.parameters[i]!);
      if (value.type !== type.parameters[i]) throw new Error(`${what}: argument ${i} is a ${value.type}`);
      return value;
    });
  }

  #results(call: Value, type: FunctionType): Value[] {
    return type.results.map((result, i) => {
      const node = new Value(this, 'result', result, [call], undefined, i);
      return this.append(node);
    });
  }

  /** Calls a function; gives all its results. */
  callAll(target: FunctionRef, ...values: Operand[]): Value[] {
    const operands = this.#arguments(target.type, values, `call from ${this.name}`);
    const call = this.append(
      new Value(this, 'call', 'i32', operands, undefined, 0, undefined, undefined, target),
    );
    return this.#results(call, target.type);
  }

  /** Calls a function that gives one result. */
  call(target: FunctionRef, ...values: Operand[]): Value {
    const results = this.callAll(target, ...values);
    if (results.length !== 1) throw new Error(`${this.name}: a call for one result gives ${results.length}`);
    return results[0]!;
  }

  /** Leaves this function by calling another in its place. */
  returnCall(target: FunctionRef, ...values: Operand[]): void {
    const operands = this.#arguments(target.type, values, `tail call from ${this.name}`);
    this.append(new Value(this, 'returnCall', 'i32', operands, undefined, 0, undefined, undefined, target));
  }

  /** Calls entry `index` (i32) of table 0. */
  callIndirect(type: FunctionType, index: Value, ...values: Operand[]): Value[] {
    const operands = [...this.#arguments(type, values, `indirect call from ${this.name}`), index];
    const call = this.append(
      new Value(this, 'callIndirect', 'i32', operands, undefined, this.#typeIndex(type)),
    );
    return this.#results(call, type);
  }

  /** Leaves this function by calling entry `index` (i32) of table 0 in its place. */
  returnCallIndirect(type: FunctionType, index: Value, ...values: Operand[]): void {
    const operands = [...this.#arguments(type, values, `indirect tail call from ${this.name}`), index];
    this.append(new Value(this, 'returnCallIndirect', 'i32', operands, undefined, this.#typeIndex(type)));
  }

  return(...values: Operand[]): void {
    const operands = values.map((operand, i) => this.value(operand, this.type.results[i]!));
    this.append(new Value(this, 'return', 'i32', operands));
  }

  unreachable(): void {
    this.append(new Value(this, 'unreachable', 'i32'));
  }

  /** Puts what `build` emits in front of everything else. */
  atStart(build: () => void): void {
    const { nodes } = this.body;
    const rest = nodes.splice(0);
    const before = this.currentBlock;
    this.currentBlock = this.body;
    build();
    this.currentBlock = before;
    for (const node of rest) nodes.push(node);
  }

  #inside(build: () => void): Block {
    const block: Block = { nodes: [], parent: this.currentBlock };
    this.currentBlock = block;
    build();
    this.currentBlock = block.parent!;
    return block;
  }

  /** {@link if} for what hardly ever happens. */
  rarely(condition: Value, then: () => void): void {
    this.if(condition, then, undefined, 'unlikely');
  }

  /** Does `then` when `condition` (i32) is not zero, otherwise `otherwise`. A constant condition leaves one of them. */
  if(condition: Value, then: () => void, otherwise?: () => void, expectation?: Expectation): void {
    if (condition.constant !== undefined) {
      if (!condition.is(0)) then();
      else otherwise?.();
      return;
    }
    const node = new Value(this, 'if', 'i32', [condition]);
    node.expectation = expectation;
    node.bodies = [this.#inside(then)];
    if (otherwise !== undefined) node.bodies.push(this.#inside(otherwise));
    this.append(node);
  }

  /** A block whose label leads to its end. */
  block(build: (end: Label) => void): void {
    const label = new Label(this, this.#labels++);
    const node = new Value(this, 'block', 'i32', undefined, undefined, label.id);
    node.bodies = [this.#inside(() => build(label))];
    this.append(node);
  }

  /** A loop whose label leads back to its start; it ends where its body ends. */
  loop(build: (again: Label) => void): void {
    const label = new Label(this, this.#labels++);
    const node = new Value(this, 'loop', 'i32', undefined, undefined, label.id);
    node.bodies = [this.#inside(() => build(label))];
    this.append(node);
  }

  /** br_table: branches to `targets[index]`, or to `otherwise` when the index (i32) is out of range. */
  brTable(index: Value, targets: readonly Label[], otherwise: Label): void {
    const list = [...targets.map((label) => label.id), otherwise.id];
    this.append(new Value(this, 'brTable', 'i32', [index], undefined, 0, undefined, list));
  }

  /**
   * Does `cases[index]`, or `otherwise` when the index (i32) is out of range or the case is undefined;
   * then goes on behind the switch.
   */
  switch(index: Value, cases: readonly ((() => void) | undefined)[], otherwise: () => void): void {
    if (index.number !== undefined) {
      (cases[index.number] ?? otherwise)();
      return;
    }
    this.block((end) => {
      const open = (remaining: number, labels: Label[]): void => {
        if (remaining < 0) {
          const fallback = labels[0]!;
          this.brTable(
            index,
            cases.map((each, i) => (each === undefined ? fallback : labels[i + 1]!)),
            fallback,
          );
          return;
        }
        this.block((label) => {
          open(remaining - 1, [label, ...labels]);
        });
        const body = remaining === 0 ? otherwise : cases[remaining - 1];
        if (body !== undefined) {
          body();
          end.br();
        }
      };
      open(cases.length, []);
    });
  }
}

const shuffleOp: PureOp = {
  name: 'i8x16.shuffle',
  code: [0xfd, 0x0d],
  operands: ['v128', 'v128'],
  result: 'v128',
  lane: false,
};

const selectOps = new Map<ValueType, PureOp>();
function selectOp(type: ValueType): PureOp {
  let op = selectOps.get(type);
  if (op === undefined) {
    op = { name: 'select', code: [0x1b], operands: [type, type, 'i32'], result: type, lane: false };
    selectOps.set(type, op);
  }
  return op;
}
