/** Which general registers of real instructions regions load and store, and where. */
import test from 'ava';
import { regionOf } from '../testing/instructions.ts';
import { structure } from './graph.ts';
import { findRegisters } from './registers.ts';

const names = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'];

function inWords(mask: number): string {
  return names.filter((_, number) => (mask & (1 << number)) !== 0).join(' ');
}

/** The registers of blocks of instructions; block 0 is entered. */
function registers(...of: Parameters<typeof regionOf>) {
  const region = regionOf(...of);
  const found = structure(region.blocks, 0, () => {});
  const templates = region.instructions.map(({ variants }) => variants.general);
  const { used, loaded, late } = findRegisters(region, found, found.sequence, templates);
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
  t.deepEqual(registers([[raxIsRcx], [rbxIsRax], [rsiIsRax], ['48 89 c7']], [[1], [2], [1, 3]]), {
    used: 'rax rcx rbx rsi rdi',
    loaded: 'rax rcx rbx rsi',
    late: 'rbx rsi',
  });
});
