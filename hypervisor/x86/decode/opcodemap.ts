/** Look-up of rows by opcode. Among the rows of an opcode, the one with the matching mandatory prefix comes first. */
import type { OperandSpec, Row } from '../isa/instruction.ts';

/** A row with what the decoder derives from it once. */
export interface MappedRow {
  readonly row: Row;
  /** Number of the row among all. */
  readonly number: number;
  /** ModRM.rm must be this: stated in the row, or implied by its operands. */
  readonly form: 'reg' | 'mem' | undefined;
  /** The immediates, in the order in which they follow. */
  readonly immediates: readonly OperandSpec[];
  readonly hasAbsolute: boolean;
}

/** Rows by map and opcode. */
export type OpcodeMap = readonly (readonly (readonly MappedRow[])[])[];

const immediateKinds = new Set(['I', 'J', 'A']);

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

/** Sorts rows into maps. */
export function buildOpcodeMap(rows: readonly Row[]): OpcodeMap {
  const maps: MappedRow[][][] = [0, 1, 2, 3].map(() => Array.from({ length: 256 }, () => []));
  rows.forEach((row, number) => {
    maps[row.map]![row.opcode]!.push({
      row,
      number,
      form: impliedForm(row),
      immediates: row.operands.filter((spec) => immediateKinds.has(spec.kind)),
      hasAbsolute: row.operands.some((spec) => spec.kind === 'O'),
    });
  });
  for (const map of maps)
    for (const list of map) list.sort((a, b) => specificity(b.row) - specificity(a.row));
  return maps;
}
