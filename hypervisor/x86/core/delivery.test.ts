import test from 'ava';
import * as exits from '../exits.ts';
import { AC, IF, NT, RF, TF } from '../flags.ts';
import * as layout from '../layout.ts';
import { segment, type } from '../testing/descriptors.ts';
import { places, selectors, TestMachine } from '../testing/machine.ts';
import { eventKinds } from './delivery.ts';

const UD2 = [0x0f, 0x0b];
/** INT n. */
const int = (vector: number) => [0xcd, vector];
/** HLT, which is #GP(0) outside of level 0. */
const HLT = 0xf4;
const [, , , stack3] = places.stacks;

test('protected mode: a fault at level 0 pushes flags with RF, CS and EIP, and clears IF, TF and NT', (t) => {
  const m = new TestMachine('protected');
  m.vcpu.rflags = IF | NT;
  const { vector, frame } = m.runToHandler(...UD2);
  t.is(vector, 6);
  t.deepEqual(frame.slice(0, 3), [places.code, selectors.code0, RF | IF | NT | 2]);
  t.is(m.vcpu.rflags & (IF | NT | TF | RF), 0);
  t.is(m.vcpu.gpr(4), BigInt(places.stacks[0] - 12));
});

test('protected mode: a fault at level 3 switches to the stack of level 0 and pushes the old one', (t) => {
  const m = new TestMachine('protected');
  m.atLevel(3);
  const { vector, frame } = m.runToHandler(HLT);
  t.is(vector, 13);
  t.deepEqual(frame.slice(0, 6), [0, places.code, selectors.code3, RF | 2, stack3!, selectors.data3]);
  t.is(m.vcpu.get32(layout.cpl), 0);
  t.is(m.vcpu.segment(layout.SS).selector, selectors.data0);
});

test('protected mode: INT n pushes the next instruction, without RF; a trap gate leaves IF', (t) => {
  const m = new TestMachine('protected');
  m.vcpu.rflags = IF;
  m.gate(0x80, { selector: selectors.code0, offset: places.handlers + 0x800, type: 15 });
  const { vector, frame } = m.runToHandler(...int(0x80));
  t.is(vector, 0x80);
  t.deepEqual(frame.slice(0, 3), [places.code + 2, selectors.code0, IF | 2]);
  t.is(m.vcpu.rflags & IF, IF);
});

test('protected mode: a 16-bit gate pushes items of 16 bits', (t) => {
  const m = new TestMachine('protected');
  m.atLevel(3);
  m.gate(13, { selector: selectors.code0, offset: places.handlers + 16 * 13, type: 6 });
  m.runToHandler(HLT);
  t.deepEqual(m.stack(6, 2), [0, places.code, selectors.code3, 2, stack3!, selectors.data3]);
});

test('protected mode: a conforming handler runs at the level of the program, on its stack', (t) => {
  const m = new TestMachine('protected');
  m.atLevel(3);
  m.gate(0x80, { selector: selectors.conforming0, offset: places.data, type: 14, dpl: 3 });
  m.write(places.data, [0x0f, 0x0b]);
  const { vector, frame } = m.runToHandler(...int(0x80));
  // The handler's UD2 shows where it ran.
  t.is(vector, 6);
  t.deepEqual(frame.slice(0, 2), [places.data, selectors.conforming0 | 3]);
  t.is(frame[3], stack3! - 12);
  t.is(m.get(stack3! - 12, 4), places.code + 2);
});

test('protected mode: a handler at level 1 gets the stack of level 1', (t) => {
  const m = new TestMachine('protected');
  m.atLevel(3);
  m.gate(0x80, { selector: selectors.code1, offset: places.data, type: 14, dpl: 3 });
  m.write(places.data, [HLT]);
  const { vector, frame } = m.runToHandler(...int(0x80));
  t.is(vector, 13);
  t.deepEqual(frame.slice(1, 3), [places.data, selectors.code1]);
  t.deepEqual(frame.slice(4, 6), [places.stacks[1] - 20, selectors.data1]);
});

test('protected mode: an offset beyond the code segment is found before the stack is switched', (t) => {
  const m = new TestMachine('protected');
  const short = m.describe(segment({ type: type.code, limit: 0xfff, pages: false }));
  m.gate(0x80, { selector: short, offset: 0x1000, type: 14, dpl: 3 });
  m.atLevel(3);
  const { vector, frame } = m.runToHandler(...int(0x80));
  t.is(vector, 13);
  t.deepEqual(frame.slice(0, 5), [0, places.code, selectors.code3, RF | 2, stack3!]);
});

test('pushes of an event are not checked for alignment', (t) => {
  const m = new TestMachine('protected');
  m.vcpu.set64(layout.cr0, 0x4_0011n);
  m.vcpu.rflags = AC;
  m.atLevel(3);
  m.vcpu.setGpr(4, BigInt(stack3! - 2));
  for (const vector of [0x80, 17])
    m.gate(vector, { selector: selectors.code3, offset: places.data, type: 14, dpl: 3 });
  // The handler's own push is checked; its #AC is at level 3 again, and so on: each push takes time.
  m.write(places.data, [0x50]);
  m.program(...int(0x80));
  t.is(m.run(20), exits.budget);
  t.is(m.get(stack3! - 2 - 12, 4), places.code + 2);
});

/** What goes wrong while an event is delivered: what to break, and the exception with its error code that follows. */
const failures: [what: string, fault: string, breaks: (m: TestMachine) => void, program: number[]][] = [
  ['INT n beyond the IDT', '13:402', (m) => m.vcpu.set64(layout.idtr + 8, 0x3ffn), int(0x80)],
  ['INT n through a gate with a lower DPL', '13:402', (m) => m.atLevel(3), int(0x80)],
  [
    'INT n through a descriptor that is no gate',
    '13:402',
    (m) => m.gate(0x80, { selector: selectors.code0, type: 12 }),
    int(0x80),
  ],
  [
    'INT n through an absent gate',
    '11:402',
    (m) => m.gate(0x80, { selector: selectors.code0, type: 14, present: false }),
    int(0x80),
  ],
  ['a gate with a null selector', '13:0', (m) => m.gate(0x80, { selector: 3, type: 14 }), int(0x80)],
  [
    'a gate whose selector is beyond the GDT',
    '13:1008',
    (m) => m.gate(0x80, { selector: 0x1008, type: 14 }),
    int(0x80),
  ],
  [
    'a gate to a data segment',
    '13:10',
    (m) => m.gate(0x80, { selector: selectors.data0, type: 14 }),
    int(0x80),
  ],
  [
    'a gate to an outer level',
    '13:38',
    (m) => m.gate(0x80, { selector: selectors.code3, type: 14 }),
    int(0x80),
  ],
  [
    'a gate to an absent code segment',
    '11:90',
    (m) => m.gate(0x80, { selector: m.describe(segment({ type: type.code, present: false })), type: 14 }),
    int(0x80),
  ],
  [
    'an offset beyond the code segment',
    '13:0',
    (m) =>
      m.gate(0x80, {
        selector: m.describe(segment({ type: type.code, limit: 0xfff, pages: false })),
        offset: 0x1000,
        type: 14,
      }),
    int(0x80),
  ],
  ['an exception through an absent gate: EXT is set', '11:33', (m) => absent(m, 6), UD2],
  [
    'an exception whose gate has a null selector: EXT is set',
    '13:1',
    (m) => m.gate(6, { selector: 0, type: 14 }),
    UD2,
  ],
  [
    'no room on the present stack: #SS, which cannot be pushed either',
    'shutdown',
    (m) => m.load(layout.SS, m.describe(segment({ type: type.data, limit: 0xf, pages: false, big: true }))),
    int(0x80),
  ],
  ['a null stack selector in the TSS', '10:1', (m) => innerStack(m, 0), UD2],
  ['a stack selector with another RPL', '10:21', (m) => innerStack(m, 0x21), UD2],
  [
    'a stack segment that is not writable',
    '10:91',
    (m) => innerStack(m, m.describe(segment({ type: type.readOnly }))),
    UD2,
  ],
  [
    'an absent stack segment',
    '12:91',
    (m) => innerStack(m, m.describe(segment({ type: type.data, present: false }))),
    UD2,
  ],
  [
    'a TSS that ends before the stack pointer',
    '10:71',
    (m) => {
      m.atLevel(3);
      const tr = m.vcpu.segment(layout.TR);
      m.vcpu.setSegment(layout.TR, { ...tr, limit: 7 });
      // A handler at level 3 needs no stack from the TSS.
      m.gate(10, { selector: selectors.code3, offset: places.data, type: 14 });
      m.vcpu.rflags = 0x3002;
    },
    UD2,
  ],
];

function absent(m: TestMachine, vector: number): void {
  m.gate(vector, { selector: selectors.code0, type: 14, present: false });
}

/** Enters level 3 with a bad stack for level 0; its faults are handled on the stack of level 1. */
function innerStack(m: TestMachine, selector: number): void {
  m.put(places.tss + 8, 2, selector);
  m.atLevel(3);
  for (const vector of [10, 12]) m.gate(vector, { selector: selectors.code1, offset: places.data, type: 14 });
  // OUT shows the error code to the test; level 1 may do so with IOPL 1.
  m.vcpu.rflags = 0x1002;
}

/** The exception, with its error code in hexadecimal, that a program ends in; of a handler at `places.data` the code only. */
function faultOf(m: TestMachine, program: number[]): string {
  m.program(...program);
  // POP EAX; OUT 0x10, EAX.
  m.write(places.data, [0x58, 0xe7, 0x10]);
  m.onPortWrite = () => m.vcpu.stopSoon();
  const exit = m.run(100);
  if (exit === exits.shutdown) return 'shutdown';
  const stopped = m.written[0];
  if (stopped !== undefined) return `handler:${stopped[1].toString(16)}`;
  const vector = (Number(m.vcpu.get64(layout.rip)) - 1 - places.handlers) / 16;
  return `${vector}:${m.stack(1)[0]!.toString(16)}`;
}

for (const [what, expected, breaks, program] of failures) {
  test(`protected mode, delivery fails: ${what}`, (t) => {
    const m = new TestMachine('protected');
    breaks(m);
    const found = faultOf(m, program);
    t.is(found, found.startsWith('handler') ? `handler:${expected.split(':')[1]}` : expected);
  });
}

test('a second contributory exception makes a double fault with error code 0', (t) => {
  const m = new TestMachine('protected');
  absent(m, 13);
  // MOV DS, AX with a selector beyond the table.
  const { vector, frame } = m.runToHandler(0xb8, 0x08, 0x10, 0, 0, 0x8e, 0xd8);
  t.is(vector, 8);
  t.deepEqual(frame.slice(0, 2), [0, places.code + 5]);
});

test('an exception while a double fault is delivered shuts the machine down', (t) => {
  const m = new TestMachine('protected');
  absent(m, 13);
  absent(m, 8);
  m.program(0xb8, 0x08, 0x10, 0, 0, 0x8e, 0xd8);
  t.is(m.run(), exits.shutdown);
});

test('a benign exception and a contributory one are handled one after the other', (t) => {
  const m = new TestMachine('protected');
  absent(m, 6);
  const { vector, frame } = m.runToHandler(...UD2);
  t.is(vector, 11);
  // The second one happens to the same instruction.
  t.is(frame[1], places.code);
});

test('INT 13 with an absent gate is no double fault: it is not an exception', (t) => {
  const m = new TestMachine('protected');
  absent(m, 13);
  const { vector, frame } = m.runToHandler(...int(13));
  t.is(vector, 11);
  t.is(frame[0], 13 * 8 + 2);
});

test('real mode: a frame of three words, IF cleared; INT n returns behind itself', (t) => {
  const m = new TestMachine('real');
  m.vcpu.rflags = IF;
  const { vector, frame } = m.runToHandler(...int(0x21));
  t.is(vector, 0x21);
  t.deepEqual(frame.slice(0, 3), [places.code + 2, 0, IF | 2]);
  t.is(m.vcpu.rflags & IF, 0);
});

test('real mode: no error code is pushed', (t) => {
  const m = new TestMachine('real');
  // MOV AX, [FFFF]: beyond the limit.
  const { vector, frame } = m.runToHandler(0xa1, 0xff, 0xff);
  t.is(vector, 13);
  t.is(frame[0], places.code);
});

test('real mode: a vector beyond the table is #GP, and a table too short for that shuts down', (t) => {
  const m = new TestMachine('real');
  m.vcpu.set64(layout.idtr + 8, 0x3bn);
  t.is(m.runToHandler(...int(0x21)).vector, 13);
  const short = new TestMachine('real');
  short.vcpu.set64(layout.idtr + 8, 0x1fn);
  short.program(...int(0x21));
  t.is(short.run(), exits.shutdown);
});

test('virtual-8086 mode: an exception goes to level 0 with all segment registers on its stack', (t) => {
  const m = new TestMachine('protected');
  m.atVirtual();
  const paragraph = { base: 0x1230n, limit: 0xffff, attributes: 0xf3 };
  m.vcpu.setSegment(layout.DS, { ...paragraph, selector: 0x123 });
  m.vcpu.setSegment(layout.GS, { ...paragraph, selector: 0x124 });
  const { vector, frame } = m.runToHandler(...UD2);
  t.is(vector, 6);
  t.deepEqual(frame.slice(0, 9), [places.code, 0, 0x3_3002, stack3!, 0, 0, 0x123, 0, 0x124]);
  t.is(m.vcpu.rflags & 0x2_0000, 0);
  t.is(m.vcpu.segment(layout.DS).selector, 0);
  t.is(m.vcpu.segment(layout.DS).attributes, 0);
});

test('virtual-8086 mode: a handler that is not at level 0 is #GP of its code segment', (t) => {
  for (const selector of [selectors.code1 & ~3, selectors.conforming0]) {
    const m = new TestMachine('protected');
    m.atVirtual();
    m.gate(0x80, { selector, type: 14, dpl: 3 });
    const { vector, frame } = m.runToHandler(...int(0x80));
    t.is(vector, 13);
    t.is(frame[0], selector);
  }
});

test('virtual-8086 mode: INT n is #GP(0) below IOPL 3; INT3 is not', (t) => {
  const m = new TestMachine('protected');
  m.gate(3, { selector: selectors.code0, offset: places.handlers + 48, type: 14, dpl: 3 });
  m.atVirtual(0);
  t.deepEqual(m.runToHandler(...int(0x80)).frame.slice(0, 2), [0, places.code]);
  const other = new TestMachine('protected');
  other.gate(3, { selector: selectors.code0, offset: places.handlers + 48, type: 14, dpl: 3 });
  other.atVirtual(0);
  const { vector, frame } = other.runToHandler(0xcc);
  t.is(vector, 3);
  t.is(frame[0], places.code + 1);
});

test('long mode: a frame of five items that ends at a multiple of 16, below it the error code', (t) => {
  const m = new TestMachine('long');
  m.vcpu.setGpr(4, BigInt(places.stacks[0] - 5));
  const { vector, frame } = m.runToHandler(...UD2);
  t.is(vector, 6);
  const sp = places.stacks[0] - 5;
  t.deepEqual(frame.slice(0, 5), [places.code, selectors.long0, RF | 2, sp, selectors.data0]);
  t.is(m.vcpu.gpr(4), BigInt(places.stacks[0] - 16 - 40));
  t.is(m.vcpu.segment(layout.SS).selector, selectors.data0);
});

test('long mode: from level 3 on RSP0, with a null SS', (t) => {
  const m = new TestMachine('long');
  m.atLevel(3);
  const { vector, frame } = m.runToHandler(HLT);
  t.is(vector, 13);
  t.deepEqual(frame.slice(0, 6), [0, places.code, selectors.long3, RF | 2, stack3!, selectors.data3]);
  t.is(m.vcpu.segment(layout.SS).selector, 0);
  t.is(m.vcpu.get32(layout.cpl), 0);
});

test('long mode: from compatibility mode into 64-bit code', (t) => {
  const m = new TestMachine('long');
  m.atLevel(3);
  m.load(layout.CS, selectors.code3);
  m.vcpu.stateChanged();
  const { vector, frame } = m.runToHandler(HLT);
  t.is(vector, 13);
  t.deepEqual(frame.slice(1, 3), [places.code, selectors.code3]);
  t.is(m.vcpu.get32(layout.mode) & 3, 2);
});

test('long mode: an IST stack is used at any level, and SS stays without a change of level', (t) => {
  for (const level of [0, 3] as const) {
    const m = new TestMachine('long');
    m.atLevel(level);
    m.gate(6, { selector: selectors.long0, offset: places.handlers + 96, type: 14, count: 3 });
    m.runToHandler(...UD2);
    t.is(m.vcpu.gpr(4), BigInt(places.ist + 0x3000 - 40));
    t.is(m.vcpu.segment(layout.SS).selector, level === 0 ? selectors.data0 : 0);
  }
});

test('long mode: gates that are no 64-bit interrupt or trap gates, and handlers that are no 64-bit code', (t) => {
  const cases: [gate: Parameters<TestMachine['gate']>[1], code: number][] = [
    [{ selector: selectors.long0, type: 6 }, 0x402],
    [{ selector: selectors.tss, type: 5 }, 0x402],
    [{ selector: selectors.code0, type: 14 }, selectors.code0],
    [{ selector: selectors.long0, type: 14, offset: 0x8000_0000_0000n }, 0],
  ];
  for (const [gate, code] of cases) {
    const m = new TestMachine('long');
    m.gate(0x80, gate);
    const { vector, frame } = m.runToHandler(...int(0x80));
    t.deepEqual([vector, frame[0]], [13, code]);
  }
});

test('long mode: a TSS too short for the stack is #TS with EXT, an address that is not canonical #SS', (t) => {
  const ist = (m: TestMachine, vector: number) =>
    m.gate(vector, { selector: selectors.long0, offset: places.handlers + 16 * vector, type: 14, count: 1 });
  const short = new TestMachine('long');
  short.atLevel(3);
  short.put(places.tss + 4, 8, places.ist + 0x1000);
  const tr = short.vcpu.segment(layout.TR);
  short.vcpu.setSegment(layout.TR, { ...tr, limit: 36 + 7 });
  short.gate(6, { selector: selectors.long0, offset: places.handlers + 96, type: 14, count: 2 });
  ist(short, 10);
  const first = short.runToHandler(...UD2);
  t.deepEqual([first.vector, first.frame[0]], [10, selectors.tss | 1]);

  const wild = new TestMachine('long');
  wild.atLevel(3);
  wild.put(places.tss + 4, 8, 0x8000_0000_0020n);
  ist(wild, 12);
  const second = wild.runToHandler(...UD2);
  t.deepEqual([second.vector, second.frame[0]], [12, 1]);
});

test('a page fault while a page fault is delivered is a double fault; CR2 tells the second', (t) => {
  const m = new TestMachine('long');
  m.mapPage(places.data, 0);
  m.mapPage(places.stacks[0] - 0x1000, 0);
  m.gate(8, { selector: selectors.long0, offset: places.handlers + 128, type: 14, count: 1 });
  // MOV AL, [data]
  const { vector, frame } = m.runToHandler(0x8a, 0x04, 0x25, 0, 0xc0, 0, 0);
  t.is(vector, 8);
  t.is(frame[0], 0);
  t.is(m.vcpu.get64(layout.cr2), BigInt(places.stacks[0] - 48));
});

test('pushes at an inner level are accesses of that level, at the same level of the program', (t) => {
  const user = 7;
  const kernel = 3;
  const m = new TestMachine('long');
  // The stack of level 0 is no user page, that of level 3 is.
  m.mapPage(places.stacks[0] - 0x1000, (places.stacks[0] - 0x1000) | kernel);
  m.atLevel(3);
  t.is(m.runToHandler(...UD2).vector, 6);

  const other = new TestMachine('long');
  other.mapPage(places.stacks[3]! - 0x1000, (places.stacks[3]! - 0x1000) | kernel);
  other.atLevel(3);
  other.gate(0x80, { selector: selectors.long3, offset: places.data, type: 14, dpl: 3 });
  other.mapPage(places.stacks[0] - 0x1000, (places.stacks[0] - 0x1000) | user);
  const { vector, frame } = other.runToHandler(...int(0x80));
  t.deepEqual([vector, frame[0]], [14, 7]);
});

test('an external interrupt costs nothing of the program: it goes on where it was', (t) => {
  const m = new TestMachine('long');
  m.vcpu.rflags = IF;
  m.program(HLT);
  m.deliver(0x41, 0, eventKinds.external);
  t.is(m.vcpu.get64(layout.rip), BigInt(places.handlers + 0x410));
  t.deepEqual(m.stack(3), [places.code, selectors.long0, IF | 2]);
});
