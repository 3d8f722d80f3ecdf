/** Instructions by their bytes, as regions are made of them, for tests of what is found out about regions. */
import { ModuleBuilder } from '../../wasm/module.ts';
import * as codepage from '../codepage.ts';
import { importCore } from '../core/core.ts';
import { Decoder } from '../decode/decoder.ts';
import { buildOpcodeMap } from '../decode/opcodemap.ts';
import { rows } from '../isa/rows.ts';
import { writeOperands } from '../translate/decodedrecord.ts';
import type { Block, Region, RegionInstruction } from '../translate/region.ts';
import type { JumpTo } from '../translate/semantics.ts';
import { registerOf, Templates } from '../translate/templates.ts';

const buffer = new ArrayBuffer(64 * codepage.recordSize);
/** Memory with the records of the instructions that were made last. */
export const views = {
  i32: new Int32Array(buffer),
  u16: new Uint16Array(buffer),
  u8: new Uint8Array(buffer),
};
const decoder = new Decoder(buildOpcodeMap(rows));
const templates = new Templates(importCore(new ModuleBuilder()));

/** The instruction of 64-bit code with these bytes, as hexadecimal numbers; behind a colon, where its jump leads. Record `number` (0 … 63) is its. */
function instruction(text: string, number: number): RegionInstruction {
  const [bytes, jump = 'none'] = text.split(': ');
  const code = new Uint8Array(64);
  code.set(bytes!.split(' ').map((byte) => Number.parseInt(byte, 16)));
  if (decoder.decode(code, 0, code.length, 0, 2) !== 'instruction') throw new Error(`${text} is none`);
  const record = number * codepage.recordSize;
  writeOperands(views, record, decoder);
  const of = templates.of(decoder.form);
  const shape = templates.shape(of, views, record, jump as JumpTo);
  const reg = registerOf(views, record, codepage.reg);
  const rm = registerOf(views, record, codepage.rm);
  const index = registerOf(views, record, codepage.index);
  return { record, offset: 0, length: 0, of, reg, rm, index, shape, variants: templates.find(of, shape)! };
}

/**
 * A region of blocks of instructions, 64 in all at most; block 0 is entered. Behind a colon, an instruction says where its jump leads
 * ({@link JumpTo}).
 * @param edges by block: those that follow
 */
export function regionOf(
  code: readonly (readonly string[])[],
  edges: readonly (readonly number[])[] = [],
): Region {
  let count = 0;
  const instructions = code.flat().map(instruction);
  const blocks = code.map((each, number): Block => {
    const first = count;
    count += each.length;
    const next = { start: 0, next: 0, end: 'falls' as const, target: -1, taken: -1, follower: -1 };
    return { part: 0, first, count: each.length, successors: [...(edges[number] ?? [])], ...next };
  });
  return { page: 0, parts: [{ page: 0, distance: 0 }], instructions, blocks, entries: [0] };
}
