/** All families. */
import type { Draft } from '../draft.ts';
import type { Family } from '../family.ts';
import type { Instruction } from '../instruction.ts';
import { anyMxcsr } from '../prepare-simd.ts';
import { anyX87 } from '../prepare-x87.ts';
import type { SequenceFamily } from '../sequence.ts';
import { addUndefined } from '../undefined.ts';
import { addUndefinedX87 } from '../undefined-x87.ts';
import * as integer from './integer.ts';
import * as simd from './simd.ts';
import * as system from './system.ts';
import * as x87 from './x87.ts';

const plain = { flavours: ['plain'], undefined: addUndefined } as const;

const randomMxcsr = (draft: Draft) => {
  draft.mxcsr = anyMxcsr(draft.random);
};

/** MMX instructions find the x87 with any TOP, and an exception pending now and then. */
const anyTop = (draft: Draft) => {
  if (draft.random.oneIn(3)) anyX87(draft);
  randomMxcsr(draft);
};

const approximations = new Set(['rcpps', 'rcpss', 'rsqrtps', 'rsqrtss']);
const approximate = (draft: Draft, { encoding, reg }: Instruction) => {
  if (!approximations.has(encoding.mnemonic)) return;
  const manual = `SDM vol. 2, ${encoding.mnemonic.toUpperCase()}: relative error up to 1.5 · 2^−12`;
  draft.addRule({ manual, approximate: [reg] });
};

/** A waiting instruction behind one in four, which reports what the instruction raised. */
const wait = ({ random }: Draft) => Uint8Array.from(random.oneIn(4) ? [0x9b] : []);
const floatingPoint = { flavours: ['x87'], prepare: anyX87, undefined: addUndefinedX87, tail: wait } as const;
const vector = { undefined: approximate, prepare: randomMxcsr } as const;

const flag = (bit: number) => (draft: Draft) => {
  draft.flags |= bit;
};
const trapFlag = 0x100;
const alignmentCheck = 0x4_0000;

/** Instructions whose #DB under the trap flag is worth a look: after one iteration, after a jump, with TF pushed, behind MOV SS. */
const trapped = [
  ...integer.stringTable,
  ...integer.branchTable,
  ...integer.stackTable,
  ...integer.arithmeticTable.filter(({ mnemonic }) => mnemonic === 'add'),
  ...system.segmentTable.filter(({ mnemonic }) => mnemonic === 'mov' || mnemonic === 'pop'),
  ...system.farTable,
  ...integer.multiplyTable,
];

/** Behind a MOV SS the trap is held back for one instruction, so something must follow. */
const nops = ({ random }: Draft) => new Uint8Array(random.below(4)).fill(0x90);

/** Memory operands of which 16-byte ones are left out: whether they are checked depends on the processor. */
const checked = [
  ...integer.arithmeticTable,
  ...integer.moveTable,
  ...integer.stringTable,
  ...integer.stackTable,
  ...x87.x87MoveTable,
];

/** As many prefixes as make the instruction nearly, exactly, or more than 15 bytes long. */
const lengthen = ({ random }: Draft): Uint8Array =>
  Uint8Array.from({ length: 8 + random.below(8) }, () => random.pick([0x26, 0x2e, 0x36, 0x3e]));

export const families: readonly Family[] = [
  {
    name: 'arithmetic',
    table: integer.arithmeticTable,
    counts: { long: 4000, compat32: 1500, compat16: 1500 },
    ...plain,
  },
  {
    name: 'multiply',
    table: integer.multiplyTable,
    counts: { long: 1500, compat32: 500, compat16: 500 },
    ...plain,
  },
  {
    name: 'shift',
    table: integer.shiftTable,
    counts: { long: 2500, compat32: 800, compat16: 800 },
    ...plain,
  },
  { name: 'bit', table: integer.bitTable, counts: { long: 2000, compat32: 600, compat16: 600 }, ...plain },
  { name: 'move', table: integer.moveTable, counts: { long: 2000, compat32: 800, compat16: 800 }, ...plain },
  {
    name: 'string',
    table: integer.stringTable,
    counts: { long: 1500, compat32: 800, compat16: 800 },
    ...plain,
  },
  {
    name: 'stack',
    table: integer.stackTable,
    counts: { long: 1000, compat32: 1000, compat16: 1000 },
    ...plain,
  },
  {
    name: 'branch',
    table: integer.branchTable,
    counts: { long: 1500, compat32: 800, compat16: 800 },
    ...plain,
  },
  { name: 'decimal', table: integer.bcdTable, counts: { compat32: 600, compat16: 400 }, ...plain },
  {
    name: 'mmx',
    table: simd.mmxTable,
    counts: { long: 1800, compat32: 500 },
    flavours: ['mmx'],
    ...vector,
    prepare: anyTop,
  },
  {
    name: 'packed-integer',
    table: simd.packedIntegerTable,
    counts: { long: 2000, compat32: 500 },
    flavours: ['integers'],
    ...vector,
  },
  {
    name: 'sse4',
    table: simd.sse4Table,
    counts: { long: 2500, compat32: 500 },
    flavours: ['integers', 'integers', 'singles', 'doubles'],
    ...vector,
  },
  {
    name: 'string-compare',
    table: simd.stringCompareTable,
    counts: { long: 2000, compat32: 200 },
    flavours: ['integers'],
    ...vector,
  },
  {
    name: 'single',
    table: simd.singleTable,
    counts: { long: 3500, compat32: 600 },
    flavours: ['singles', 'singles', 'singles', 'singles', 'integers'],
    ...vector,
  },
  {
    name: 'double',
    table: simd.doubleTable,
    counts: { long: 3000, compat32: 600 },
    flavours: ['doubles', 'doubles', 'doubles', 'doubles', 'integers'],
    ...vector,
  },
  {
    name: 'vector-move',
    table: simd.simdMoveTable,
    counts: { long: 1200, compat32: 500, compat16: 300 },
    flavours: ['singles', 'doubles', 'integers'],
    ...vector,
  },
  {
    name: 'x87-arithmetic',
    table: x87.x87ArithmeticTable,
    counts: { long: 5000, compat32: 1500 },
    ...floatingPoint,
  },
  {
    name: 'x87-move',
    table: x87.x87MoveTable,
    counts: { long: 3000, compat32: 1000, compat16: 600 },
    ...floatingPoint,
  },
  {
    name: 'x87-control',
    table: x87.x87ControlTable,
    counts: { long: 700, compat32: 400, compat16: 400 },
    ...floatingPoint,
  },
  { name: 'x87-transcendental', table: x87.transcendentalTable, counts: { long: 3000 }, ...floatingPoint },
  {
    name: 'state',
    table: x87.stateTable,
    counts: { long: 600, compat32: 300 },
    flavours: ['mmx', 'x87', 'singles'],
    prepare: anyTop,
  },
  {
    name: 'segment',
    table: system.segmentTable,
    counts: { long: 1200, compat32: 1500, compat16: 1000 },
    ...plain,
  },
  { name: 'far', table: system.farTable, counts: { long: 600, compat32: 1000, compat16: 600 }, ...plain },
  {
    name: 'privileged',
    table: system.privilegedTable,
    counts: { long: 300, compat32: 300, compat16: 200 },
    ...plain,
  },
  { name: 'undefined', table: system.undefinedTable, counts: { long: 400, compat32: 300 }, ...plain },
  {
    name: 'length',
    table: system.longInstructionTable,
    counts: { long: 150, compat32: 100, compat16: 100 },
    head: lengthen,
    ...plain,
  },
  {
    name: 'alignment',
    table: checked,
    counts: { long: 1000, compat32: 600 },
    prepare: flag(alignmentCheck),
    ...plain,
  },
  {
    name: 'trap',
    table: trapped,
    counts: { long: 800, compat32: 600, compat16: 400 },
    prepare: flag(trapFlag),
    tail: nops,
    ...plain,
  },
];

const general = [
  { weight: 8, table: integer.arithmeticTable },
  { weight: 4, table: integer.shiftTable },
  { weight: 4, table: integer.moveTable },
  { weight: 3, table: integer.bitTable },
  { weight: 2, table: integer.multiplyTable },
  { weight: 2, table: integer.stackTable },
  { weight: 1, table: integer.stringTable },
] as const;

export const sequenceFamilies: readonly SequenceFamily[] = [
  {
    name: 'sequence-integer',
    tables: general,
    counts: { long: 2500, compat32: 600, compat16: 400 },
    flavours: ['plain'],
  },
  {
    name: 'sequence-vector',
    tables: [
      { weight: 3, table: integer.arithmeticTable },
      { weight: 1, table: integer.moveTable },
      { weight: 3, table: simd.packedIntegerTable },
      { weight: 3, table: simd.singleTable },
      { weight: 4, table: simd.doubleTable },
      { weight: 2, table: simd.simdMoveTable },
      { weight: 1, table: simd.sse4Table },
      { weight: 1, table: simd.stringCompareTable },
    ],
    counts: { long: 1200, compat32: 200 },
    flavours: ['singles', 'doubles', 'integers'],
    prepare: randomMxcsr,
  },
  {
    name: 'sequence-x87',
    tables: [
      { weight: 2, table: integer.arithmeticTable },
      { weight: 5, table: x87.x87ArithmeticTable },
      { weight: 5, table: x87.x87MoveTable },
      { weight: 1, table: x87.x87ControlTable },
    ],
    counts: { long: 1000, compat32: 300 },
    flavours: ['x87'],
    prepare: anyX87,
  },
];
