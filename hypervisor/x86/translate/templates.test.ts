/** Templates of real instructions: what is left open in them, what they share, and what their variants have in common. */
import test from 'ava';
import { ModuleBuilder } from '../../wasm/module.ts';
import { importCore } from '../core/core.ts';
import { Decoder } from '../decode/decoder.ts';
import { buildOpcodeMap } from '../decode/opcodemap.ts';
import { ccOpOf, kinds } from '../flags.ts';
import { rows } from '../isa/rows.ts';
import { loadVectors } from '../vectors/load.ts';
import { writeOperands } from './decodedrecord.ts';
import { leave, variableOp } from './exitcode.ts';
import { knownFlags, opOf, unknownFlags } from './flagstate.ts';
import type { JumpTo } from './semantics.ts';
import { holeKinds, locals, numbers, type Template } from './template.ts';
import { type FormTemplates, Templates, type Variants } from './templates.ts';

const buffer = new ArrayBuffer(256);
const views = { i32: new Int32Array(buffer), u16: new Uint16Array(buffer), u8: new Uint8Array(buffer) };
const record = 64;
const decoder = new Decoder(buildOpcodeMap(rows));
const templates = new Templates(importCore(new ModuleBuilder()));

/** Decodes an instruction of 64-bit code into the record; undefined when it is none. */
function decode(bytes: ArrayLike<number>): FormTemplates | undefined {
  const code = new Uint8Array(64);
  code.set(Array.from(bytes).slice(0, 15));
  if (decoder.decode(code, 0, code.length, 0, 2) !== 'instruction') return undefined;
  writeOperands(views, record, decoder);
  return templates.of(decoder.form);
}

const hex = (text: string) => text.split(' ').map((byte) => Number.parseInt(byte, 16));

function shapeOf(text: string, jump: JumpTo = 'none'): number {
  return templates.shape(decode(hex(text))!, views, record, jump);
}

function general(text: string, jump: JumpTo = 'none'): Template {
  const of = decode(hex(text))!;
  return templates.find(of, templates.shape(of, views, record, jump))!.general;
}

/** The holes of a template in words. */
function holes({ holes: all, codes }: Template): string[] {
  const found = new Set<string>();
  const names = Object.entries(numbers);
  for (let i = 0; i < all.length; i += 3) {
    const kind = Object.entries(holeKinds).find(([, value]) => value === all[i + 1])![0];
    const what = all[i + 2]!;
    const code = kind === 'constant32' && what >= numbers.code ? codes[what - numbers.code]! : undefined;
    if (kind.endsWith('Label')) found.add(kind);
    else if (code?.kind === 'exit') {
      found.add(`exit ${Object.entries(leave).find(([, value]) => value === code.leave)![0]} ${code.at}`);
    } else found.add(`${kind} ${code?.kind ?? names.find(([, value]) => value === what)![0]}`);
  }
  return [...found].sort();
}

test('numbers and places of an instruction are left open', (t) => {
  t.deepEqual(holes(general('48 01 d8')), [], 'ADD RAX, RBX');
  t.deepEqual(holes(general('48 8b 43 10')), [
    'constant64 displacement',
    'exit interpret offset',
    'exitLabel',
  ]);
  t.deepEqual(holes(general('b9 44 33 22 11')), ['constant32 immediate'], 'MOV ECX, n');
  t.deepEqual(holes(general('48 b8 88 77 66 55 44 33 22 11')), ['constant64 immediate'], 'MOV RAX, n');
  t.deepEqual(holes(general('48 8d 05 10 00 00 00')), ['constant64 displacement'], 'LEA RAX, [RIP + n]');
  t.deepEqual(holes(general('c1 e0 05')), [], 'SHL EAX, 5: the count is part of the shape');
});

test('jumps are left open by where they lead', (t) => {
  t.deepEqual(holes(general('74 20', 'inside')), ['takenLabel']);
  t.deepEqual(holes(general('74 20', 'within')), ['constant32 left', 'constant64 target', 'jumpLabel']);
  // The target may be no canonical address.
  t.deepEqual(holes(general('0f 84 00 10 00 00', 'elsewhere')), [
    'constant32 left',
    'constant64 target',
    'exit interpret offset',
    'exitLabel',
    'jumpLabel',
  ]);
  t.deepEqual(holes(general('e8 00 00 00 00', 'within')), [
    'constant32 left',
    'constant64 nextOffset',
    'constant64 target',
    'exit interpret offset',
    'exitLabel',
    'jumpLabel',
  ]);
  t.deepEqual(holes(general('ff e0')), [
    'constant32 left',
    'exit interpret offset',
    'exitLabel',
    'jumpLabel',
  ]);
});

test('the place in the block is left open where time counts', (t) => {
  const repeated = holes(general('f3 aa'));
  t.true(repeated.includes('constant32 left'), repeated.join());
  t.true(repeated.includes('constant64 nextOffset'), repeated.join());
  t.true(holes(general('fb')).includes('constant32 minusLeft'), 'STI, which may let an interrupt in');
});

test('registers and numbers are no part of a shape, but what the code depends on is', (t) => {
  const load = shapeOf('48 8b 43 10');
  t.is(shapeOf('4c 8b 7a 7f'), load, 'MOV R15, [RDX + 7F]');
  for (const [other, what] of [
    ['48 8b 03', 'no displacement'],
    ['48 8b 44 0b 10', 'an index'],
    ['48 8b 44 4b 10', 'an index times 2'],
    ['64 48 8b 43 10', 'FS'],
    ['48 8b 45 10', 'the stack segment'],
    ['48 8b 05 10 00 00 00', 'RIP'],
  ] as const) {
    t.not(shapeOf(other), load, what);
  }
  t.not(shapeOf('48 8b 44 4b 10'), shapeOf('48 8b 44 0b 10'));
  t.not(shapeOf('00 c4'), shapeOf('00 c0'), 'AH and AL');
  t.not(shapeOf('c1 e0 05'), shapeOf('c1 e0 06'));
  t.is(shapeOf('b9 44 33 22 11'), shapeOf('bf 01 00 00 00'));
});

test('general registers that an instruction names are read and written as they are', (t) => {
  const add = general('48 01 d8');
  t.true(add.readsReg && add.readsRm && add.writesRm && !add.writesReg && !add.readsIndex);
  const multiply = general('f7 e3');
  t.is(multiply.gprRead & 5, 1, 'MUL reads RAX');
  t.is(multiply.gprWritten & 5, 5, 'and writes RAX and RDX');
  t.true(general('48 8b 04 8b').readsIndex);
});

test('what cannot be translated says so', (t) => {
  // IRET, CPUID, MOV CR3, WRMSR.
  for (const text of ['cf', '0f a2', '0f 22 d8', '0f 30']) {
    const of = decode(hex(text))!;
    t.is(templates.find(of, templates.shape(of, views, record, 'none')), undefined, text);
  }
});

/** Everything that may be known of the flags before an instruction. */
const states = [
  unknownFlags,
  ...kinds.flatMap((kind) => [1, 2, 4, 8].map((size) => knownFlags(ccOpOf(kind, size), false))),
  ...[1, 2, 4, 8].map((size) => knownFlags(ccOpOf('sub', size), true)),
];

/** Whether a template sets the variable of the flags' operation. */
function setsOp(template: Template): boolean {
  // LOCAL.SET and LOCAL.TEE stand in front of the local's number.
  return template.localsAt.some((at) => {
    const opcode = template.bytes[at - 1];
    return template.bytes[at] === locals.ccOp && (opcode === 0x21 || opcode === 0x22);
  });
}

test('what is known of the flags behind an instruction is the same for all its variants', (t) => {
  let variants = 0;
  const seen = new Set<Variants>();
  for (const family of [
    'arithmetic-long',
    'shift-long',
    'bit-long',
    'multiply-long',
    'move-long',
    'stack-long',
  ]) {
    for (const { code, text } of loadVectors(family).vectors) {
      const of = decode(code);
      if (of === undefined || of.jumps) continue;
      const shape = templates.shape(of, views, record, 'none');
      const found = templates.find(of, shape);
      if (found === undefined || seen.has(found)) continue;
      seen.add(found);
      const { general: first } = found;
      if (first.writesFlags === 'never') continue;
      const states_ = first.readsFlags ? states : [unknownFlags];
      for (const state of states_) {
        const each = templates.variant(of, shape, found, state, true, 'alone');
        variants++;
        t.is(each.writesFlags, first.writesFlags, text);
        t.is(each.flagsAfter, first.flagsAfter, `${text}, flags before: ${state}`);
        if (opOf(first.flagsAfter) === variableOp) t.true(setsOp(each), `${text}, flags before: ${state}`);
      }
    }
  }
  t.true(variants > 1000, `${variants} variants`);
});
