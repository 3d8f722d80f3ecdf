/**
 * How instructions are described: rows that read like the manual's opcode tables (SDM vol. 2, appendix A), each
 * with a meaning that only computes. What is common to all (decoding, fetching operands, writing results
 * back, faults) is done elsewhere, once.
 */
import type { Value } from '../../wasm/value.ts';
import type { Semantics } from '../semantics.ts';

/**
 * How a meaning uses an operand: `r` its value is an input, `w` a result is written to it, `rw` both, `a` the meaning
 * itself asks the context for what it needs (its address, for example).
 */
export type Access = 'r' | 'w' | 'rw' | 'a';

/** What an instruction computes. */
export interface Meaning {
  /** Use of each operand, in the row's order. */
  readonly access: readonly Access[];
  /**
   * Emits the computation. Gets the values of the `r` and `rw` operands in order, zero-extended: i32 for sizes 1, 2
   * and 4, i64 for 8, v128 for 16, but f32 and f64 for size letters ss and sd; returns the values for the `w` and `rw` operands in order, of which only the
   * low bits of the operand's size are taken. All that can fault must come before any change of state.
   */
  readonly run: (c: Semantics, ...inputs: Value[]) => Value | readonly Value[] | void;
}

/** Shorthand for a {@link Meaning}: `meaning('rw r', (c, a, b) => …)`. */
export function meaning(access: string, run: Meaning['run']): Meaning {
  return { access: access === '' ? [] : (access.split(' ') as Access[]), run };
}

/** Properties of a row beyond opcode and operands. */
export interface RowOptions {
  /** LOCK is allowed with a memory destination. */
  readonly lock?: boolean;
  /** Valid in 64-bit mode only, or everywhere but there. */
  readonly mode?: 'only64' | 'not64';
  /** In 64-bit mode the operand size is 64 by default (16 with prefix 66), or always (manual: d64, f64). */
  readonly size64?: 'default' | 'always';
  /** The instruction ends straight-line decoding: control never just goes on to the next one. */
  readonly ends?: boolean;
  /** REP or REPE/REPNE repeat it. */
  readonly repeats?: 'rep' | 'repe';
  /** With a memory operand based on RSP, the address is that after the stack pointer has grown by the operand (POP). */
  readonly popAddress?: boolean;
  /** Its operand size is always this, whatever the prefixes say. */
  readonly size?: 1 | 2 | 4 | 8;
  /** Only with this value of REX.W. */
  readonly w?: 0 | 1;
  /** Only with this value of REX.B. */
  readonly b?: 0 | 1;
  /** A memory operand of 16 bytes need not be aligned. */
  readonly unaligned?: boolean;
  /** Available as instructions on XMM registers are, though no operand is one. */
  readonly sse?: boolean;
}

/** Kinds of operands, by the manual's letters (SDM vol. 2, A.2.1). */
export type OperandKind =
  | 'E' // r/m: general register or memory
  | 'M' // r/m: memory only
  | 'R' // r/m: general register only
  | 'G' // reg: general register
  | 'Z' // general register in the opcode's low bits
  | 'I' // immediate: b and w as they are, bv and z sign-extended to the operand size
  | 'J' // jump target relative to the next instruction
  | 'O' // memory at an absolute offset
  | 'S' // reg: segment register
  | 'C' // reg: control register
  | 'D' // reg: debug register
  | 'V' // reg: XMM
  | 'W' // r/m: XMM or memory
  | 'U' // r/m: XMM only
  | 'P' // reg: MMX
  | 'Q' // r/m: MMX or memory
  | 'N' // r/m: MMX only
  | 'A' // far address in the instruction
  | 'T' // x87 opcode: bits 0 … 2 of the first byte above ModRM, whose low three bits are the stack position
  | 'fixed'; // a register or number that the opcode implies

/** One operand of a row. */
export interface OperandSpec {
  readonly kind: OperandKind;
  /** The manual's size letters: b w d q v z y dq ss sd p a and so on. */
  readonly size: string;
  /** For `fixed`: register number, or the constant. */
  readonly value: number;
}

/** One row of the opcode tables. */
export interface Row {
  /** 0: one byte; 1: 0F; 2: 0F 38; 3: 0F 3A. */
  readonly map: 0 | 1 | 2 | 3;
  readonly opcode: number;
  /** Mandatory prefix; 0 when there must be none of 66, F2, F3; undefined when prefixes do not matter. */
  readonly prefix: 0 | 0x66 | 0xf2 | 0xf3 | undefined;
  /** Required ModRM.reg. */
  readonly digit: number | undefined;
  /** Required ModRM byte as a whole. */
  readonly modrm: number | undefined;
  /** Required kind of ModRM.rm. */
  readonly form: 'reg' | 'mem' | undefined;
  readonly name: string;
  readonly operands: readonly OperandSpec[];
  readonly meaning: Meaning;
  readonly options: RowOptions;
  /** True when the instruction has a ModRM byte. */
  readonly hasModrm: boolean;
}

const fixedRegisters: Record<string, { value: number; size: string }> = {
  AL: { value: 0, size: 'b' },
  CL: { value: 1, size: 'b' },
  AX: { value: 0, size: 'w' },
  DX: { value: 2, size: 'w' },
  eAX: { value: 0, size: 'z' },
  rAX: { value: 0, size: 'v' },
  rDX: { value: 2, size: 'v' },
};

function parseOperand(text: string): OperandSpec {
  const fixed = fixedRegisters[text];
  if (fixed !== undefined) return { kind: 'fixed', ...fixed };
  if (text === '1') return { kind: 'fixed', value: 1, size: 'const' };
  return { kind: text[0] as OperandKind, size: text.slice(1), value: 0 };
}

const modrmKinds = new Set(['E', 'M', 'R', 'G', 'S', 'C', 'D', 'V', 'W', 'U', 'P', 'Q', 'N', 'T']);

const isHex = (word: string) => /^[0-9A-Fa-f]{2}(\+r)?$/.test(word);

/** The parts of an encoding such as `66 0F 38 00 /3`. */
function parseEncoding(encoding: string) {
  const words = encoding.split(' ');
  const bytes = words.filter(isHex).map((word) => Number.parseInt(word, 16));
  let prefix: Row['prefix'] = words.includes('NP') ? 0 : undefined;
  const first = bytes[0];
  if (bytes.length > 1 && (first === 0x66 || first === 0xf2 || first === 0xf3)) {
    prefix = first;
    bytes.shift();
  }
  let map: Row['map'] = 0;
  if (bytes.length > 1 && bytes[0] === 0x0f) {
    bytes.shift();
    map = 1;
    if (bytes.length > 1) map = bytes.shift() === 0x38 ? 2 : 3;
  }
  const digit = words.find((word) => word.startsWith('/'));
  const modrm = words.find((word) => word.startsWith('modrm:'));
  const form: Row['form'] = words.includes('mem') ? 'mem' : words.includes('reg') ? 'reg' : undefined;
  return {
    prefix,
    map,
    opcode: bytes[0],
    digit: digit === undefined ? undefined : Number(digit.slice(1)),
    modrm: modrm === undefined ? undefined : Number.parseInt(modrm.slice(6), 16),
    form,
    count: words.some((word) => word.endsWith('+r')) ? 8 : 1,
  };
}

/**
 * Describes an instruction.
 * @param encoding as in the manual: `'00'`, `'66 0F 38 00'`, `'F7 /3'`, `'50+r'` (eight opcodes), `'NP 0F 10'`, `'D9 E8'` behind
 *   `modrm:`; `mem` or `reg` restricts ModRM.rm. `NP` means none of the prefixes 66, F2, F3
 * @param syntax name and operands in the manual's letters: `'ADD Ev,Gv'`
 */
export function row(encoding: string, syntax: string, does: Meaning, options: RowOptions = {}): Row[] {
  const [name, operandList = ''] = syntax.split(' ') as [string, string?];
  const operands = operandList === '' ? [] : operandList.split(',').map(parseOperand);
  const { prefix, map, opcode, digit, modrm, form, count } = parseEncoding(encoding);
  if (opcode === undefined) throw new Error(`row '${encoding} ${syntax}' has no opcode`);
  if (does.access.length !== operands.length) {
    throw new Error(
      `row '${encoding} ${syntax}': ${operands.length} operands, the meaning has ${does.access.length}`,
    );
  }
  const hasModrm =
    digit !== undefined ||
    modrm !== undefined ||
    form !== undefined ||
    operands.some((each) => modrmKinds.has(each.kind));
  return Array.from({ length: count }, (_, i) => ({
    map,
    opcode: opcode + i,
    prefix,
    digit,
    modrm,
    form,
    name,
    operands,
    meaning: does,
    options,
    hasModrm,
  }));
}
