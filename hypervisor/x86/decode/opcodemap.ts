/** Look-up of rows by opcode. Among the rows of an opcode, the one with the matching mandatory prefix comes first. */
import type { OperandKind, Row } from '../isa/instruction.ts';

/**
 * A row with what the decoder derives from it once: the decoder reads nothing else for each instruction, so all of these have the same shape
 * and hold numbers.
 */
export interface MappedRow {
  readonly row: Row;
  /** Number of the row among all. */
  readonly number: number;
  readonly hasModrm: boolean;
  /** What must be so that this is the row: mandatory prefix, ModRM.reg, all of ModRM, REX.B and REX.W; {@link anything}: it does not matter. */
  readonly prefix: number;
  readonly digit: number;
  readonly modrm: number;
  readonly b: number;
  readonly w: number;
  /** 64-bit mode (1), the other modes (0) or {@link anything}. */
  readonly in64: number;
  /** ModRM.rm must be memory (1), a register (0) or {@link anything}: stated in the row, or implied by its operands. */
  readonly inMemory: number;
  /** MOV to and from control and debug registers take ModRM.rm as a register whatever mod says. */
  readonly ignoresMod: boolean;
  /** Its operand size when that is always the same, else 0. */
  readonly size: 0 | 2 | 4 | 8;
  readonly defaults64: boolean;
  readonly always64: boolean;
  readonly repeats: boolean;
  readonly mayLock: boolean;
  readonly popAddress: boolean;
  readonly ends: boolean;
  /** What stands in ModRM.reg or the opcode, and in ModRM.rm; and whether these are general registers of one byte. */
  readonly reg: RegKind;
  readonly rm: RmKind;
  readonly byteReg: boolean;
  readonly byteRm: boolean;
  /** The immediates, in the order in which they follow. */
  readonly immediates: readonly ImmediateKind[];
  readonly hasAbsolute: boolean;
}

/** Rows by map and opcode. */
export type OpcodeMap = readonly (readonly (readonly MappedRow[])[])[];

/** See {@link MappedRow.prefix} and what follows it. */
export const anything = -1;

/** What stands in ModRM.reg or in the opcode's low bits, by the letters of {@link OperandKind}. */
export const regKinds = { none: 0, G: 1, Z: 2, V: 3, P: 4, S: 5, C: 6, D: 7, T: 8 } as const;
/** One of {@link regKinds}. */
export type RegKind = (typeof regKinds)[keyof typeof regKinds];

/** What ModRM.rm is when it is no memory: general register, XMM or MMX. */
export const rmKinds = { none: 0, general: 1, xmm: 2, mmx: 3 } as const;
/** One of {@link rmKinds}. */
export type RmKind = (typeof rmKinds)[keyof typeof rmKinds];

/** How an immediate stands in the instruction; `nesting` is ENTER's second one. */
export const immediateKinds = {
  Ib: 0,
  nesting: 1,
  Ibv: 2,
  Iw: 3,
  Iz: 4,
  Iv: 5,
  Jb: 6,
  Jz: 7,
  Ap: 8,
} as const;
/** One of {@link immediateKinds}. */
export type ImmediateKind = (typeof immediateKinds)[keyof typeof immediateKinds];

const rmKindOf: Partial<Record<OperandKind, RmKind>> = {
  E: rmKinds.general,
  R: rmKinds.general,
  W: rmKinds.xmm,
  U: rmKinds.xmm,
  Q: rmKinds.mmx,
  N: rmKinds.mmx,
};

function impliedForm(row: Row): 'reg' | 'mem' | undefined {
  if (row.form !== undefined) return row.form;
  for (const { kind } of row.operands) {
    if (kind === 'M') return 'mem';
    if (kind === 'R' || kind === 'U' || kind === 'N') return 'reg';
  }
  return undefined;
}

/** Rows that name more of the encoding are looked at first. */
function specificity(row: Row): number {
  return (
    (row.prefix === undefined ? 0 : row.prefix === 0xf2 || row.prefix === 0xf3 ? 8 : 4) +
    (row.modrm === undefined ? 0 : 2) +
    (row.options.w === undefined && row.options.b === undefined ? 0 : 1)
  );
}

function immediatesOf(row: Row): ImmediateKind[] {
  const kinds: ImmediateKind[] = [];
  for (const { kind, size } of row.operands) {
    if (kind !== 'I' && kind !== 'J' && kind !== 'A') continue;
    const found = immediateKinds[`${kind}${size}` as keyof typeof immediateKinds];
    if (found === undefined) throw new Error(`immediate ${kind}${size} of ${row.name}`);
    kinds.push(kinds.length === 0 ? found : immediateKinds.nesting);
  }
  return kinds;
}

function mapped(row: Row, number: number): MappedRow {
  const { operands, options } = row;
  const form = impliedForm(row);
  const reg = operands.find(({ kind }) => kind in regKinds);
  const rm = operands.find(({ kind }) => kind in rmKindOf);
  const { size, mode } = options;
  return {
    row,
    number,
    hasModrm: row.hasModrm,
    prefix: row.prefix ?? anything,
    digit: row.digit ?? anything,
    modrm: row.modrm ?? anything,
    b: options.b ?? anything,
    w: options.w ?? anything,
    in64: mode === undefined ? anything : Number(mode === 'only64'),
    inMemory: form === undefined ? anything : Number(form === 'mem'),
    ignoresMod: operands.some(({ kind }) => kind === 'C' || kind === 'D'),
    size: size === undefined || size === 1 ? 0 : size,
    defaults64: options.size64 === 'default',
    always64: options.size64 === 'always',
    repeats: options.repeats !== undefined,
    mayLock: options.lock === true,
    popAddress: options.popAddress === true,
    ends: options.ends === true,
    reg: reg === undefined ? regKinds.none : regKinds[reg.kind as keyof typeof regKinds],
    rm: rm === undefined ? rmKinds.none : rmKindOf[rm.kind]!,
    byteReg: reg?.size === 'b',
    byteRm: rm?.size === 'b',
    immediates: immediatesOf(row),
    hasAbsolute: operands.some(({ kind }) => kind === 'O'),
  };
}

/** Sorts rows into maps. */
export function buildOpcodeMap(rows: readonly Row[]): OpcodeMap {
  const maps: MappedRow[][][] = [0, 1, 2, 3].map(() => Array.from({ length: 256 }, () => []));
  rows.forEach((row, number) => {
    maps[row.map]![row.opcode]!.push(mapped(row, number));
  });
  for (const map of maps)
    for (const list of map) list.sort((a, b) => specificity(b.row) - specificity(a.row));
  return maps;
}
