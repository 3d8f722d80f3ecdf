/** Which general registers of real instructions regions load and store, and where. */
import test from 'ava';
import { ModuleBuilder } from '../../wasm/module.ts';
import * as codepage from '../codepage.ts';
import { importCore } from '../core/core.ts';
import { Decoder } from '../decode/decoder.ts';
import { buildOpcodeMap } from '../decode/opcodemap.ts';
import { rows } from '../isa/rows.ts';
import { writeOperands } from './decodedrecord.ts';
import { structure } from './graph.ts';
import type { Block, RegionInstruction } from './region.ts';
import { findRegisters } from './registers.ts';
import type { JumpTo } from './semantics.ts';
import { registerOf, Templates } from './templates.ts';

const buffer = new ArrayBuffer(64 * codepage.recordSize);
const views = { i32: new Int32Array(buffer), u16: new Uint16Array(buffer), u8: new Uint8Array(buffer) };
const decoder = new Decoder(buildOpcodeMap(rows));
const templates = new Templates(importCore(new ModuleBuilder()));
const names = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'];

function inWords(mask: number): string {
  return names.filter((_, number) => (mask & (1 << number)) !== 0).join(' ');
}

/** An instruction by its bytes; behind a colon, where its jump leads. */
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

/** The registers of a region, by the instructions and successors of its blocks; block 0 is entered. */
function registers(...code: readonly (readonly [readonly string[], ...number[]])[]) {
  const instructions = code.flatMap(([texts]) => texts).map(instruction);
  let count = 0;
  const blocks = code.map(([texts, ...successors]): Block => {
    const first = count;
    count += texts.length;
    const next = { start: 0, next: 0, end: 'falls' as const, target: -1, taken: -1, follower: -1 };
    return { part: 0, first, count: texts.length, successors, ...next };
  });
  const found = structure(blocks, 0, () => {});
  const chosen = instructions.map(({ variants }) => variants.general);
  const region = { blocks, entries: [0], instructions };
  const { used, loaded, late } = findRegisters(region, found, found.sequence, chosen);
  return { used: inWords(used), loaded: inWords(loaded), late: inWords(late) };
}

const raxIsRcx = '48 89 c8';
const raxIsAtRdx = '48 8b 02';

test('what is read is loaded, what is written alone is not', (t) => {
  t.deepEqual(registers([[raxIsRcx, raxIsAtRdx]]), { used: 'rax rcx rdx', loaded: 'rcx rdx', late: '' });
});

test('what is written in part or perhaps is loaded', (t) => {
  const alIsCl = '88 c8';
  const raxIsRcxIfZero = '48 0f 44 c1';
  for (const code of [alIsCl, raxIsRcxIfZero])
    t.deepEqual(registers([[code]]), { used: 'rax rcx', loaded: 'rax rcx', late: '' }, code);
});

test('a push has not moved RSP when it gives up, but a call and a return have when they leave', (t) => {
  const [push, call, ret, retInside] = ['53', 'e8 00 10 00 00: elsewhere', 'c3', 'c3: inside'];
  t.is(registers([[push!]]).late, '');
  for (const code of [call!, ret!, retInside!]) t.is(registers([[raxIsRcx, code]]).late, 'rsp', code);
});

test('what a loop writes, its start among it, is stored at the ends', (t) => {
  const rbxIsRax = '48 89 c3';
  const rsiIsRax = '48 89 c6';
  t.deepEqual(registers([[raxIsRcx], 1], [[rbxIsRax], 2], [[rsiIsRax], 1, 3], [['48 89 c7']]), {
    used: 'rax rcx rbx rsi rdi',
    loaded: 'rax rcx rbx rsi',
    late: 'rbx rsi',
  });
});
