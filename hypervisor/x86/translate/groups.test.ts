/** Which accesses of real instructions are put into groups. */
import test from 'ava';
import { ModuleBuilder } from '../../wasm/module.ts';
import * as codepage from '../codepage.ts';
import { importCore } from '../core/core.ts';
import { Decoder } from '../decode/decoder.ts';
import { buildOpcodeMap } from '../decode/opcodemap.ts';
import { rows } from '../isa/rows.ts';
import { writeOperands } from './decodedrecord.ts';
import { GroupFinder } from './groups.ts';
import type { Block, RegionInstruction } from './region.ts';
import { registerOf, Templates } from './templates.ts';

const buffer = new ArrayBuffer(64 * codepage.recordSize);
const views = { i32: new Int32Array(buffer), u16: new Uint16Array(buffer), u8: new Uint8Array(buffer) };
const decoder = new Decoder(buildOpcodeMap(rows));
const templates = new Templates(importCore(new ModuleBuilder()));
const finder = new GroupFinder(views);

function instruction(text: string, number: number): RegionInstruction {
  const code = new Uint8Array(64);
  code.set(text.split(' ').map((byte) => Number.parseInt(byte, 16)));
  if (decoder.decode(code, 0, code.length, 0, 2) !== 'instruction') throw new Error(`${text} is none`);
  const record = number * codepage.recordSize;
  writeOperands(views, record, decoder);
  const of = templates.of(decoder.form);
  const shape = templates.shape(of, views, record, 'none');
  const reg = registerOf(views, record, codepage.reg);
  const rm = registerOf(views, record, codepage.rm);
  const index = registerOf(views, record, codepage.index);
  return { record, offset: 0, length: 0, of, reg, rm, index, shape, variants: templates.find(of, shape)! };
}

/** Groups of blocks of instructions; block 0 is entered. */
function groups(code: readonly (readonly string[])[], edges: readonly (readonly number[])[] = []) {
  let count = 0;
  const instructions = code.flat().map(instruction);
  const blocks = code.map((each, number): Block => {
    const first = count;
    count += each.length;
    const next = { start: 0, next: 0, end: 'falls' as const, target: -1, taken: -1, follower: -1 };
    return { part: 0, first, count: each.length, successors: [...(edges[number] ?? [])], ...next };
  });
  const region = { page: 0, parts: [{ page: 0, distance: 0 }], instructions, blocks, entries: [0] };
  const sequence = blocks.map((_, number) => number);
  return finder.find(region, sequence);
}

/** The same in words. */
function inWords(...of: Parameters<typeof groups>): string[] {
  const { grouped } = groups(...of);
  return grouped.map((each) =>
    each === undefined ? '-' : `${each.role} ${each.group}: ${each.offset} of ${each.length}`,
  );
}

const pushRbx = '53';
const popRbx = '5b';
const loadAtRsp8 = '48 8b 44 24 08';
const storeAtRsp8 = '48 89 44 24 08';
const loadAtRax = '48 8b 10';
const storeAtRax8 = '48 89 50 08';

test('pushes, what is at RSP, and pops are one group', (t) => {
  const sub16 = '48 83 ec 10';
  const add16 = '48 83 c4 10';
  t.deepEqual(inWords([[pushRbx, sub16, storeAtRsp8, loadAtRsp8, add16, popRbx]]), [
    'firstToWrite 0: 8 of 16',
    '-',
    'member 0: 0 of 16',
    'member 0: 0 of 16',
    '-',
    'member 0: 8 of 16',
  ]);
});

test('a frame pointer and LEA are known by what they were made of', (t) => {
  const frame = ['48 89 e5', '48 8b 45 f8', '48 8d 74 24 10', '8b 06', '48 8b 04 24'];
  t.deepEqual(inWords([frame]), [
    '-',
    'firstToRead 0: 0 of 28',
    '-',
    'member 0: 24 of 28',
    'member 0: 8 of 28',
  ]);
});

test('an index is part of the address, a register that is written ends a group', (t) => {
  const indexed = '8b 0c b8';
  const next = '8b 4c b8 04';
  const otherScale = '8b 4c f8 04';
  t.deepEqual(inWords([[indexed, otherScale, next]]), ['firstToRead 0: 0 of 8', '-', 'member 0: 4 of 8']);
  t.deepEqual(inWords([[indexed, 'ff c7', next]]), ['-', '-', '-']);
  t.deepEqual(inWords([[loadAtRax, '48 8b 40 08', '48 8b 40 10']]), [
    'firstToRead 0: 0 of 16',
    'member 0: 8 of 16',
    '-',
  ]);
});

test('a register that is set to a constant ends a group', (t) => {
  t.deepEqual(inWords([[loadAtRax, '48 c7 c0 10 00 00 00', loadAtRax]]), ['-', '-', '-']);
  t.deepEqual(inWords([[loadAtRax, '48 b8 10 00 00 00 00 00 00 00', loadAtRax]]), ['-', '-', '-']);
});

test('addresses that are too far apart, cut to 32 bits, or in FS and GS are not compared', (t) => {
  t.deepEqual(inWords([[loadAtRax, '48 8b 50 79']]), ['-', '-']);
  t.not(inWords([[loadAtRax, '48 8b 50 78']])[0], '-');
  t.deepEqual(inWords([['67 8b 10', '67 8b 50 04']]), ['-', '-']);
  t.deepEqual(inWords([['65 8b 10', '65 8b 50 04', '8b 10']]), ['-', '-', '-']);
});

test('a group ends where a routine of the core is called', (t) => {
  // STAC, which chooses another TLB set.
  t.deepEqual(inWords([[loadAtRax, '0f 01 cb', storeAtRax8]]), ['-', '-', '-']);
});

test('instructions with two accesses stand alone', (t) => {
  // PUSH [RAX] moves RSP all the same.
  t.deepEqual(inWords([[pushRbx, 'ff 30', popRbx]]), ['firstToWrite 0: 8 of 16', '-', 'member 0: 0 of 16']);
});

test('a group goes on into blocks that are reached from it alone', (t) => {
  const blocks = [[loadAtRax], [loadAtRax], [loadAtRax], [loadAtRax]];
  t.deepEqual(inWords(blocks, [[1, 2], [3], [3]]), [
    'firstToRead 0: 0 of 8',
    'member 0: 0 of 8',
    'member 0: 0 of 8',
    '-',
  ]);
  // A loop is entered from outside.
  t.deepEqual(inWords([[loadAtRax], [loadAtRax]], [[1], [1]]), ['-', '-']);
});

test('a page is not asked for its write tag for what is written on one way only', (t) => {
  t.deepEqual(inWords([[loadAtRax, loadAtRax], [storeAtRax8], []], [[1, 2]]), [
    'firstToRead 0: 0 of 8',
    'member 0: 0 of 8',
    '-',
  ]);
  t.is(inWords([[loadAtRax, storeAtRax8]])[0], 'firstToWrite 0: 0 of 16');
});

test('groups in use at the same time have different numbers, and accesses between keep their entries', (t) => {
  const atRdi = '8b 17';
  const { grouped, most } = groups([
    [loadAtRax, '8b 0b', atRdi, loadAtRax, atRdi, '8b 09', '8b 16', '8b 16'],
  ]);
  t.deepEqual(
    grouped.map((each) => each?.group),
    [0, undefined, 1, 0, 1, undefined, 0, 0],
  );
  t.is(most, 2);
});
