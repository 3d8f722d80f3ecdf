import test from 'ava';
import * as exits from '../exits.ts';
import * as layout from '../layout.ts';
import { segment, type } from '../testing/descriptors.ts';
import { places, selectors, TestMachine } from '../testing/machine.ts';

const { data } = places;
const ZF = 0x40;

function step(m: TestMachine, ...program: number[]): void {
  m.program(...program);
  if (m.run(1) !== exits.budget) throw new Error('stopped early');
}

/** The instructions on EBX: SLDT, STR, LLDT, LTR, VERR, VERW; LAR EAX, EBX; LSL EAX, EBX. */
const instructions = {
  SLDT: [0x0f, 0x00, 0xc3],
  STR: [0x0f, 0x00, 0xcb],
  LLDT: [0x0f, 0x00, 0xd3],
  LTR: [0x0f, 0x00, 0xdb],
  VERR: [0x0f, 0x00, 0xe3],
  VERW: [0x0f, 0x00, 0xeb],
  LAR: [0x0f, 0x02, 0xc3],
  LSL: [0x0f, 0x03, 0xc3],
};

const ldt = { type: 2, system: true, base: data, limit: 0x7f, pages: false };
const tss = { type: 9, system: true, base: places.otherTss, limit: 0x67, pages: false };

test('LLDT: a null selector makes the LDT unusable', (t) => {
  const m = new TestMachine('protected');
  m.vcpu.setGpr(3, 1n);
  step(m, ...instructions.LLDT);
  t.deepEqual(m.vcpu.segment(layout.LDTR), { selector: 1, base: 0n, limit: 0, attributes: 0 });
});

test('LLDT and LTR: descriptors of 8 bytes in protected mode, of 16 in long mode', (t) => {
  for (const mode of ['protected', 'long'] as const) {
    const m = new TestMachine(mode);
    const high = 0x1234n;
    const table = m.describe(segment(ldt), high);
    const task = m.describe(segment(tss), high);
    const above = mode === 'long' ? high << 32n : 0n;
    m.vcpu.setGpr(3, BigInt(table));
    step(m, ...instructions.LLDT);
    t.deepEqual(m.vcpu.segment(layout.LDTR), {
      selector: table,
      base: BigInt(data) + above,
      limit: 0x7f,
      attributes: 0x82,
    });
    m.vcpu.setGpr(3, BigInt(task));
    step(m, ...instructions.LTR);
    t.deepEqual(m.vcpu.segment(layout.TR), {
      selector: task,
      base: BigInt(places.otherTss) + above,
      limit: 0x67,
      attributes: 0x8b,
    });
    // Busy now, in memory too.
    t.is((m.descriptor(task) >> 40n) & 15n, 11n);
  }
});

const faults: [
  what: string,
  mode: 'protected' | 'long',
  which: 'LLDT' | 'LTR',
  expected: [number, number],
  prepare: (m: TestMachine) => number,
][] = [
  ['in the LDT', 'protected', 'LLDT', [13, 0x84], () => 0x84],
  ['beyond the table', 'protected', 'LLDT', [13, 0x1000], () => 0x1000],
  ['no LDT', 'protected', 'LLDT', [13, 0x70], () => selectors.tss],
  ['absent', 'protected', 'LLDT', [11, 0x90], (m) => m.describe(segment({ ...ldt, present: false }))],
  ['null', 'protected', 'LTR', [13, 0], () => 3],
  ['in the LDT', 'protected', 'LTR', [13, 0x84], () => 0x84],
  ['busy', 'protected', 'LTR', [13, 0x70], () => selectors.tss],
  ['absent', 'protected', 'LTR', [11, 0x90], (m) => m.describe(segment({ ...tss, present: false }))],
  ['16-bit', 'long', 'LTR', [13, 0x90], (m) => m.describe(segment({ ...tss, type: 1 }), 0n)],
  ['the second half has a type', 'long', 'LTR', [13, 0x90], (m) => m.describe(segment(tss), 0x100n << 32n)],
  ['not canonical', 'long', 'LLDT', [13, 0x90], (m) => m.describe(segment(ldt), 0x8000n)],
  [
    'the second half is beyond the table',
    'long',
    'LLDT',
    [13, 0x90],
    (m) => {
      const selector = m.describe(segment(ldt), 0n);
      m.vcpu.set64(layout.gdtr + 8, BigInt(selector + 14));
      return selector;
    },
  ],
];

for (const [what, mode, which, expected, prepare] of faults) {
  test(`${mode} mode, ${which} faults: ${what}`, (t) => {
    const m = new TestMachine(mode);
    m.vcpu.setGpr(3, BigInt(prepare(m)));
    const { vector, frame } = m.runToHandler(...instructions[which]);
    t.deepEqual([vector, frame[0]], expected);
  });
}

test('LLDT and LTR are for level 0, SLDT and STR for all unless CR4.UMIP is set', (t) => {
  const cases: [name: keyof typeof instructions, umip: boolean, faults: boolean][] = [
    ['LLDT', false, true],
    ['LTR', false, true],
    ['SLDT', false, false],
    ['STR', false, false],
    ['SLDT', true, true],
    ['STR', true, true],
  ];
  for (const [name, umip, faulting] of cases) {
    const m = new TestMachine('protected');
    if (umip) m.vcpu.set64(layout.cr4, 0x800n);
    m.atLevel(3);
    const { vector } = m.runToHandler(...instructions[name], 0x0f, 0x0b);
    t.is(vector, faulting ? 13 : 6, name);
  }
});

test('none of them exists in real and virtual-8086 mode', (t) => {
  for (const [name, program] of Object.entries({ ...instructions, ARPL: [0x63, 0xc3] })) {
    t.is(new TestMachine('real').runToHandler(...program).vector, 6, name);
    const m = new TestMachine('protected');
    m.atVirtual();
    t.is(m.runToHandler(...program).vector, 6, name);
  }
});

test('SLDT and STR to a register of 16, 32 and 64 bits, and to a word of memory', (t) => {
  const m = new TestMachine('long');
  m.vcpu.setGpr(3, -1n);
  step(m, 0x66, ...instructions.STR);
  t.is(m.vcpu.gpr(3), 0xffff_ffff_ffff_0070n);
  step(m, ...instructions.STR);
  t.is(m.vcpu.gpr(3), 0x70n);
  m.vcpu.setGpr(3, -1n);
  step(m, 0x48, ...instructions.SLDT);
  t.is(m.vcpu.gpr(3), 0x80n);
  m.put(data, 8, -1n);
  m.vcpu.setGpr(3, BigInt(data));
  step(m, 0x48, 0x0f, 0x00, 0x0b);
  t.is(m.get64(data), 0xffff_ffff_ffff_0070n);
});

test('LAR and LSL of system descriptors: which types pass, by mode', (t) => {
  const all = Array.from({ length: 16 }, (_, i) => i);
  const passing = (mode: 'protected' | 'long', program: number[]) =>
    all.filter((each) => {
      const m = new TestMachine(mode);
      m.vcpu.setGpr(3, BigInt(m.describe(segment({ type: each, system: true }), 0n)));
      step(m, ...program);
      return (m.vcpu.rflags & ZF) !== 0;
    });
  t.deepEqual(passing('protected', instructions.LAR), [1, 2, 3, 4, 5, 9, 11, 12]);
  t.deepEqual(passing('long', instructions.LAR), [2, 9, 11, 12]);
  t.deepEqual(passing('protected', instructions.LSL), [1, 2, 3, 9, 11]);
  t.deepEqual(passing('long', instructions.LSL), [2, 9, 11]);
});

test('LAR, LSL, VERR and VERW respect CPL and RPL, but not for conforming code', (t) => {
  const passes = (level: 0 | 3, selector: number, program: number[]) => {
    const m = new TestMachine('protected');
    m.atLevel(level);
    m.vcpu.setGpr(3, BigInt(selector));
    step(m, ...program);
    return (m.vcpu.rflags & ZF) !== 0;
  };
  for (const program of [instructions.LAR, instructions.LSL, instructions.VERR, instructions.VERW]) {
    t.true(passes(0, selectors.data0, program));
    t.false(passes(0, selectors.data0 | 3, program));
    t.false(passes(3, selectors.data0, program));
    t.true(passes(3, selectors.data3, program));
    t.false(passes(0, 0, program));
    t.false(passes(0, 0x1008, program));
  }
  t.true(passes(3, selectors.conforming0, instructions.LAR));
  t.true(passes(3, selectors.conforming0, instructions.VERR));
  t.false(passes(3, selectors.conforming0, instructions.VERW));
});

test('a page fault on the descriptor table is a fault of the instruction', (t) => {
  const m = new TestMachine('long');
  m.mapPage(places.gdt, 0);
  // A handler in a segment that needs the GDT cannot be reached: the machine shuts down by way of a double fault.
  m.program(...instructions.LAR);
  m.vcpu.setGpr(3, BigInt(selectors.data0));
  t.is(m.run(), exits.shutdown);
  t.is(m.vcpu.get64(layout.cr2) >> 12n, BigInt(places.gdt >> 12));
});

test('LSL gives the limit in bytes', (t) => {
  const m = new TestMachine('protected');
  m.vcpu.setGpr(3, BigInt(m.describe(segment({ type: type.data, limit: 0x1_2345 }))));
  step(m, ...instructions.LSL);
  t.is(m.vcpu.gpr(0), 0x1234_5fffn);
});
