/**
 * From a function's nodes to the bytes of its body.
 *
 * Two passes. Backwards: which nodes are needed, how often each is used and by whom. Forwards: nodes are
 * written in order, except that a node used once, in the block it was created in, waits for its use and is
 * then computed right on the operand stack. What it reads could change meanwhile: before a variable is set, memory
 * written, or a nested block entered, every waiting node that reads such a thing is computed into a local,
 * so the order cannot be observed.
 */
import { ByteBuffer } from './bytes.ts';
import type { Block, Expectation, FunctionBuilder, FunctionRef, Variable } from './function.ts';
import type { PureOp, ValueType } from './opcodes.ts';
import { valueTypeCode } from './opcodes.ts';
import type { Value } from './value.ts';

/** Kinds with no effect of their own. */
function isValue(node: Value): boolean {
  return (
    node.kind === 'op' ||
    node.kind === 'get' ||
    node.kind === 'load' ||
    node.kind === 'result' ||
    node.kind === 'const' ||
    node.kind === 'hole'
  );
}

/** Kinds that are written wherever they are used. */
function isConstant(node: Value): boolean {
  return node.kind === 'const' || node.kind === 'hole';
}

/** Kinds that may write memory (or, being calls, do anything but touch this function's variables). */
function writesMemory(node: Value): boolean {
  switch (node.kind) {
    case 'store':
    case 'call':
    case 'callIndirect':
    case 'copy':
    case 'fill':
      return true;
    default:
      return false;
  }
}

/** True when two variables may be the same local. */
function mayBeSame(a: Variable, b: Variable): boolean {
  if (a === b) return true;
  return a.alias === 'unknown' ? b.alias !== 'none' : b.alias === 'unknown' && a.alias !== 'none';
}

/** Takes down where in the bytes of a template something is to be filled in (`template.ts`). */
export interface HoleSink {
  /** The byte at `at` is the number of a local, which is set there or read. */
  local(at: number, index: number, isSet: boolean): void;
  /** At `at` belongs a signed LEB128 number. */
  constant(at: number, what: number, type: ValueType): void;
  /** At `at` belongs the unsigned LEB128 number of a load's or store's offset. */
  offset(at: number, what: number): void;
  /** A function is called. */
  call(target: FunctionRef): void;
  /** At `at` belongs the depth of an outer label, `inside` constructs of the template lying between. */
  label(at: number, what: number, inside: number): void;
  /** The branch whose instruction is at `at` mostly goes that way. */
  hint(at: number, expectation: Expectation): void;
}

/** Where instructions are written before they are copied to where they belong: one function is written at a time. */
const instructions = new ByteBuffer(4096);

class Emitter {
  readonly #fn: FunctionBuilder;
  readonly #holes: HoleSink | undefined;
  /** Variables that are set somewhere. */
  readonly #set: Variable[];
  /** Where the last `local.set` ends, and its local: a `local.get` of the same makes it a `local.tee`. */
  #setEnd = -1;
  #setLocal = -1;
  readonly #out = instructions;
  /** Types of the locals behind the parameters. */
  readonly #locals: ValueType[];
  readonly #free = new Map<ValueType, number[]>();
  /** Label ids of the enclosing constructs, innermost last; -1 for an `if`. */
  readonly #labels: number[] = [];
  readonly #hints: BranchHint[] = [];
  #mark = 0;

  constructor(fn: FunctionBuilder, holes?: HoleSink) {
    this.#out.clear();
    this.#fn = fn;
    this.#holes = holes;
    this.#set = fn.variables.filter((variable) => variable.sets > 0);
    this.#locals = fn.variables.slice(fn.type.parameters.length).map((variable) => variable.type);
  }

  /** Bytes of the instructions alone, and the types of the locals they use behind the parameters. */
  instructions(): { bytes: Uint8Array; locals: readonly ValueType[] } {
    this.#need(this.#fn.body);
    this.#block(this.#fn.body);
    return { bytes: this.#out.view().slice(), locals: this.#locals };
  }

  run(): FunctionBody {
    this.#need(this.#fn.body);
    this.#block(this.#fn.body);
    const last = this.#fn.body.nodes.at(-1)?.kind;
    const left = last === 'return' || last === 'returnCall' || last === 'returnCallIndirect' || last === 'br';
    if (this.#fn.type.results.length > 0 && !left) this.#out.byte(0x00);
    this.#out.byte(0x0b);

    const body = new ByteBuffer(this.#out.length + 16);
    const runs: [number, ValueType][] = [];
    for (const type of this.#locals) {
      const run = runs.at(-1);
      if (run !== undefined && run[1] === type) run[0]++;
      else runs.push([1, type]);
    }
    body.unsigned(runs.length);
    for (const [count, type] of runs) {
      body.unsigned(count);
      body.byte(valueTypeCode[type]);
    }
    const start = body.length;
    body.bytes(this.#out.view());
    return {
      bytes: body.view(),
      hints: this.#hints.map(({ at, expectation }) => ({ at: start + at, expectation })),
    };
  }

  /** Backward pass: counts the uses of every node that is needed. */
  #need(block: Block): void {
    for (let i = block.nodes.length - 1; i >= 0; i--) {
      const node = block.nodes[i]!;
      if (isValue(node) && node.uses === 0) continue;
      if (node.bodies !== undefined) for (const body of node.bodies) this.#need(body);
      for (const operand of node.operands) {
        operand.uses++;
        operand.user = node;
      }
    }
  }

  #newLocal(type: ValueType): number {
    const free = this.#free.get(type);
    if (free !== undefined && free.length > 0) return free.pop()!;
    this.#locals.push(type);
    return this.#fn.type.parameters.length + this.#locals.length - 1;
  }

  /** Forward pass over one block. */
  #block(block: Block): void {
    /** Nodes that wait for their one use, in order. */
    let waiting: Value[] = [];
    /** Locals made in this block, to be reused when it is left. */
    const made: Value[] = [];

    const intoLocal = (node: Value): void => {
      this.#node(node);
      node.local = this.#newLocal(node.type);
      made.push(node);
      this.#setTo(node.local);
    };
    /** Computes waiting nodes for which `hazard` holds and which the statement about to be written does not contain. */
    const settle = (hazard: (node: Value) => boolean): void => {
      if (waiting.length === 0) return;
      waiting = waiting.filter((node) => node.uses > 0);
      for (const node of waiting) {
        if (node.uses > 0 && node.mark !== this.#mark && this.#reads(node, hazard)) intoLocal(node);
      }
      waiting = waiting.filter((node) => node.local < 0);
    };

    for (const node of block.nodes) {
      if (isValue(node)) {
        if (node.uses === 0 || isConstant(node) || this.#anywhere(node)) continue;
        if (node.kind === 'result') continue;
        if (node.uses === 1 && node.user!.block === block) waiting.push(node);
        else intoLocal(node);
        continue;
      }
      this.#mark++;
      for (const operand of node.operands) this.#markTree(operand);
      if (node.bodies !== undefined) settle((read) => read.kind === 'get' || read.kind === 'load');
      else if (node.kind === 'set') {
        const variable = this.#fn.variables[node.immediate]!;
        settle((read) => read.kind === 'get' && mayBeSame(this.#fn.variables[read.immediate]!, variable));
      } else if (writesMemory(node)) settle((read) => read.kind === 'load');

      if (node.kind === 'call' || node.kind === 'callIndirect') {
        this.#node(node);
        this.#takeResults(node, block, made);
      } else if (node.bodies !== undefined) this.#structure(node);
      else this.#node(node);
    }
    for (const node of made) {
      const free = this.#free.get(node.type);
      if (free === undefined) this.#free.set(node.type, [node.local]);
      else free.push(node.local);
    }
  }

  /** True when the node may be written at any of its uses: it reads a variable that is never set. */
  #anywhere(node: Value): boolean {
    if (node.kind !== 'get') return false;
    const variable = this.#fn.variables[node.immediate]!;
    if (variable.alias === 'none') return variable.sets === 0;
    return !this.#set.some((each) => mayBeSame(each, variable));
  }

  #markTree(node: Value): void {
    if (node.local >= 0 || isConstant(node) || node.kind === 'result') return;
    node.mark = this.#mark;
    for (const operand of node.operands) this.#markTree(operand);
  }

  /** True when the tree of a waiting node reads something for which `hazard` holds. */
  #reads(node: Value, hazard: (node: Value) => boolean): boolean {
    if (node.local >= 0 || isConstant(node) || this.#anywhere(node)) return false;
    if (hazard(node)) return true;
    for (const operand of node.operands) if (this.#reads(operand, hazard)) return true;
    return false;
  }

  /** Behind a call: pops its results into locals, the last one first. */
  #takeResults(call: Value, block: Block, made: Value[]): void {
    const at = block.nodes.indexOf(call);
    const results: Value[] = [];
    for (let i = at + 1; block.nodes[i]?.kind === 'result' && block.nodes[i]!.operands[0] === call; i++) {
      results.push(block.nodes[i]!);
    }
    for (const result of results.reverse()) {
      if (result.uses === 0) {
        this.#out.byte(0x1a);
        continue;
      }
      result.local = this.#newLocal(result.type);
      made.push(result);
      this.#setTo(result.local);
    }
  }

  /** Writes the number of a local. */
  #local(index: number, isSet: boolean): void {
    if (this.#holes === undefined) this.#out.unsigned(index);
    else {
      this.#holes.local(this.#out.length, index, isSet);
      this.#out.byte(index);
    }
  }

  /** Pops the stack's top into a local. */
  #setTo(index: number): void {
    this.#out.byte(0x21);
    this.#local(index, true);
    this.#setEnd = this.#out.length;
    this.#setLocal = index;
  }

  #get(index: number): void {
    if (this.#out.length === this.#setEnd && this.#setLocal === index) {
      // local.tee: the value stays on the stack as well.
      this.#out.patch(this.#setEnd - (index < 0x80 ? 2 : 3), 0x22);
      this.#setEnd = -1;
      return;
    }
    this.#out.byte(0x20);
    this.#local(index, false);
  }

  #structure(node: Value): void {
    const out = this.#out;
    for (const operand of node.operands) this.#operand(operand);
    // A condition before nothing but a branch.
    const only = node.kind === 'if' && node.bodies!.length === 1 ? node.bodies![0]!.nodes : undefined;
    if (node.expectation !== undefined) {
      if (this.#holes === undefined) this.#hints.push({ at: out.length, expectation: node.expectation });
      else this.#holes.hint(out.length, node.expectation);
    }
    if (only?.length === 1 && only[0]!.kind === 'br') {
      out.byte(0x0d);
      this.#label(only[0]!.immediate);
      return;
    }
    out.byte(node.kind === 'if' ? 0x04 : node.kind === 'block' ? 0x02 : 0x03);
    out.byte(0x40);
    this.#labels.push(node.kind === 'if' ? -1 : node.immediate);
    this.#block(node.bodies![0]!);
    if (node.bodies!.length > 1) {
      out.byte(0x05);
      this.#block(node.bodies![1]!);
    }
    this.#labels.pop();
    out.byte(0x0b);
  }

  /** Writes the depth of a label. */
  #label(id: number): void {
    if (id >= 0 || this.#holes === undefined) this.#out.unsigned(this.#depth(id));
    else this.#holes.label(this.#out.length, id, this.#labels.length);
  }

  /** Relative depth of a label. */
  #depth(id: number): number {
    const at = this.#labels.lastIndexOf(id);
    if (at < 0) throw new Error(`${this.#fn.name}: branch out of its function`);
    return this.#labels.length - 1 - at;
  }

  /** Leaves an operand on the stack. */
  #operand(node: Value): void {
    if (node.local >= 0) {
      this.#get(node.local);
      return;
    }
    this.#node(node);
    // A waiting node has been computed now; a node that may stand anywhere has further uses.
    if (node.uses === 1) node.uses = 0;
  }

  /** Writes a node behind its operands. */
  #node(node: Value): void {
    const out = this.#out;
    for (const operand of node.operands) this.#operand(operand);
    switch (node.kind) {
      case 'const':
        this.#constant(node);
        break;
      case 'op': {
        const op = node.op as PureOp;
        out.bytes(op.code);
        if (op.lane) out.byte(node.immediate);
        if (node.list !== undefined) for (const lane of node.list) out.byte(lane);
        break;
      }
      case 'hole':
        out.byte(node.type === 'i32' ? 0x41 : 0x42);
        this.#holes!.constant(out.length, node.immediate, node.type);
        break;
      case 'get':
        this.#get(node.immediate);
        break;
      case 'set':
        this.#setTo(node.immediate);
        break;
      case 'load':
      case 'store':
        out.bytes(node.op!.code);
        out.byte(0);
        if (node.immediate >= 0) out.unsigned(node.immediate);
        else this.#holes!.offset(out.length, ~node.immediate);
        break;
      case 'call':
        this.#holes?.call(node.target!);
        out.byte(0x10);
        out.unsigned(node.target!.index);
        break;
      case 'callIndirect':
      case 'returnCallIndirect':
        out.byte(node.kind === 'callIndirect' ? 0x11 : 0x13);
        out.unsigned(node.immediate);
        out.byte(0);
        break;
      case 'returnCall':
        out.byte(0x12);
        out.unsigned(node.target!.index);
        break;
      case 'return':
        out.byte(0x0f);
        break;
      case 'br':
      case 'brIf':
        out.byte(node.kind === 'br' ? 0x0c : 0x0d);
        this.#label(node.immediate);
        break;
      case 'brTable':
        out.byte(0x0e);
        out.unsigned(node.list!.length - 1);
        for (const label of node.list!) out.unsigned(this.#depth(label));
        break;
      case 'copy':
        out.bytes(memoryCopy);
        break;
      case 'fill':
        out.bytes(memoryFill);
        break;
      case 'unreachable':
        out.byte(0x00);
        break;
      default:
        throw new Error(`${this.#fn.name}: a ${node.kind} where an instruction is written`);
    }
  }

  #constant(node: Value): void {
    const out = this.#out;
    switch (node.type) {
      case 'i32':
        out.byte(0x41);
        out.signed(node.constant as number);
        break;
      case 'i64':
        out.byte(0x42);
        out.signed64(node.constant as bigint);
        break;
      case 'f32':
        out.byte(0x43);
        out.f32(node.constant as number);
        break;
      case 'f64':
        out.byte(0x44);
        out.f64(node.constant as number);
        break;
      case 'v128':
        out.byte(0xfd);
        out.byte(0x0c);
        for (const byte of node.list!) out.byte(byte);
        break;
    }
  }
}

const memoryCopy = new Uint8Array([0xfc, 10, 0, 0]);
const memoryFill = new Uint8Array([0xfc, 11, 0]);

/** Which way a branch mostly goes (custom section `metadata.code.branch_hint` of the branch hinting proposal). */
export interface BranchHint {
  /** Where its instruction is, from the start of the function's body. */
  readonly at: number;
  readonly expectation: Expectation;
}

/** The code of a function. */
export interface FunctionBody {
  /** Its locals and its instructions, as they stand in the code section behind the size. */
  readonly bytes: Uint8Array;
  /** Ascending. */
  readonly hints: readonly BranchHint[];
}

/** The code of a function. */
export function emitFunction(fn: FunctionBuilder): FunctionBody {
  return new Emitter(fn).run();
}

/** The instructions of a template, and the types of its locals behind the parameters; what is to be filled in goes to `holes`. */
export function emitTemplate(
  fn: FunctionBuilder,
  holes: HoleSink,
): { bytes: Uint8Array; locals: readonly ValueType[] } {
  return new Emitter(fn, holes).instructions();
}
