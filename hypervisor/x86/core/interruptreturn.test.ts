import test from 'ava';
import * as exits from '../exits.ts';
import { AC, ID, IF, IOPL, NT, TF, VIF, VIP, VM } from '../flags.ts';
import * as layout from '../layout.ts';
import { segment, type } from '../testing/descriptors.ts';
import { places, selectors, TestMachine } from '../testing/machine.ts';

const IRET = [0xcf];
const IRETW = [0x66, 0xcf];
const IRETQ = [0x48, 0xcf];
const HLT = 0xf4;
const target = places.data;
const [stack0, stack1, , stack3] = places.stacks;

/** Puts a frame on the present stack, its first item on top. */
function push(m: TestMachine, size: 2 | 4 | 8, ...items: number[]): void {
  const top = Number(m.vcpu.gpr(4)) - items.length * size;
  items.forEach((item, i) => {
    m.put(top + i * size, size, item);
  });
  m.vcpu.setGpr(4, BigInt(top));
}

/** Runs one instruction, which must not fault. */
function step(m: TestMachine, program: number[]): void {
  m.program(...program);
  if (m.run(1) !== exits.budget) throw new Error('stopped early');
}

test('protected mode: IRETD to the same level pops three items', (t) => {
  const m = new TestMachine('protected');
  push(m, 4, target, selectors.code0, IF | AC | ID | IOPL | VIF | VIP | TF | 2);
  step(m, IRET);
  t.is(m.vcpu.get64(layout.rip), BigInt(target));
  t.is(m.vcpu.rflags, IF | AC | ID | IOPL | VIF | VIP | TF | 2);
  t.is(m.vcpu.gpr(4), BigInt(stack0));
});

test('protected mode: IRET with 16-bit operands leaves the upper flags', (t) => {
  const m = new TestMachine('protected');
  m.vcpu.rflags = AC | ID;
  push(m, 2, target, selectors.code0, IF | 2);
  step(m, IRETW);
  t.is(m.vcpu.get64(layout.rip), BigInt(target));
  t.is(m.vcpu.rflags, IF | AC | ID | 2);
});

test('protected mode: above level 0 IOPL, VIF and VIP stay, above IOPL also IF', (t) => {
  for (const [iopl, loaded] of [
    [3, 0],
    [0, IF],
  ] as const) {
    const m = new TestMachine('protected');
    m.atLevel(3);
    m.vcpu.rflags = IF | (iopl << 12);
    push(m, 4, target, selectors.code3, VIF | VIP | AC);
    step(m, IRET);
    t.is(m.vcpu.rflags, (iopl << 12) | loaded | AC | 2);
  }
});

test('protected mode: to an outer level with its stack; data segments of inner levels become null', (t) => {
  const m = new TestMachine('protected');
  m.load(layout.DS, selectors.data3);
  m.load(layout.ES, selectors.data0);
  m.load(layout.FS, selectors.conforming0);
  m.load(layout.GS, selectors.code0);
  push(m, 4, target, selectors.code3, IF, stack3!, selectors.data3);
  step(m, IRET);
  t.is(m.vcpu.get32(layout.cpl), 3);
  t.is(m.vcpu.gpr(4), BigInt(stack3!));
  t.is(m.vcpu.segment(layout.SS).selector, selectors.data3);
  t.deepEqual(
    [layout.DS, layout.ES, layout.FS, layout.GS].map((number) => m.vcpu.segment(number).selector),
    [selectors.data3, 0, selectors.conforming0, 0],
  );
});

test('protected mode: to a 16-bit stack only SP is loaded', (t) => {
  const m = new TestMachine('protected');
  const stack = m.describe(segment({ type: type.data, dpl: 3, limit: 0xffff, pages: false })) | 3;
  m.vcpu.setGpr(4, 0x1_f000n);
  push(m, 4, target, selectors.code3, 2, 0xabcd_e000 | 0, stack);
  step(m, IRET);
  t.is(m.vcpu.gpr(4), 0x1_e000n);
});

test('protected mode: into virtual-8086 mode and back', (t) => {
  const m = new TestMachine('protected');
  const order = [layout.ES, layout.DS, layout.FS, layout.GS];
  push(m, 4, 0x10, target >> 4, VM | IOPL | IF, 0x100, 0xd00, 0x111, 0x222, 0x333, 0x444);
  m.write(target + 0x10, [HLT]);
  step(m, IRET);
  t.is(m.vcpu.rflags, VM | IOPL | IF | 2);
  t.is(m.vcpu.get32(layout.cpl), 3);
  t.deepEqual(m.vcpu.segment(layout.CS), {
    selector: target >> 4,
    base: BigInt(target),
    limit: 0xffff,
    attributes: 0xf3,
  });
  t.is(m.vcpu.segment(layout.SS).base, 0xd000n);
  t.is(m.vcpu.gpr(4), 0x100n);
  t.deepEqual(
    order.map((number) => m.vcpu.segment(number).selector),
    [0x111, 0x222, 0x333, 0x444],
  );
  const { vector, frame } = m.runToHandler();
  t.is(vector, 13);
  t.deepEqual(frame.slice(1, 4), [0x10, target >> 4, VM | IOPL | IF | 0x1_0002]);
});

test('protected mode: VM in the image is ignored above level 0', (t) => {
  const m = new TestMachine('protected');
  m.atLevel(3);
  push(m, 4, target, selectors.code3, VM);
  step(m, IRET);
  t.is(m.vcpu.rflags & VM, 0);
});

test('virtual-8086 mode: IRET keeps IOPL and VM; below IOPL 3 it is #GP(0)', (t) => {
  const m = new TestMachine('protected');
  m.atVirtual();
  push(m, 2, 0x20, target >> 4, IF);
  step(m, IRET);
  t.is(m.vcpu.rflags, VM | IOPL | IF | 2);
  t.is(m.vcpu.segment(layout.CS).base, BigInt(target));

  const other = new TestMachine('protected');
  other.atVirtual(2);
  other.vcpu.set32(layout.nmiBlocked, 1);
  const { vector, frame } = other.runToHandler(...IRET);
  t.deepEqual([vector, frame[0]], [13, 0]);
  // NMIs are unblocked all the same.
  t.is(other.vcpu.get32(layout.nmiBlocked), 0);
});

test('real mode: IRET pops words, IRETD doublewords without VM, VIF and VIP', (t) => {
  const m = new TestMachine('real');
  push(m, 2, 0x20, target >> 4, 0x7fd7 & ~TF);
  step(m, IRET);
  t.is(m.vcpu.segment(layout.CS).base, BigInt(target));
  t.is(m.vcpu.get64(layout.rip), 0x20n);
  t.is(m.vcpu.rflags, 0x7ed7);

  const wide = new TestMachine('real');
  push(wide, 4, 0x20, 0xffff_0000 | (target >> 4), VM | VIF | VIP | AC | ID | IF);
  step(wide, IRETW);
  t.is(wide.vcpu.segment(layout.CS).selector, target >> 4);
  t.is(wide.vcpu.rflags, AC | ID | IF | 2);
});

test('real mode: an offset beyond the limit is #GP', (t) => {
  const m = new TestMachine('real');
  push(m, 4, 0x1_0000, 0, 2);
  t.is(m.runToHandler(...IRETW).vector, 13);
});

test('long mode: IRETQ to the same level pops SS and RSP as well', (t) => {
  const m = new TestMachine('long');
  push(m, 8, target, selectors.long0, IF, stack1, selectors.data0);
  step(m, IRETQ);
  t.is(m.vcpu.get64(layout.rip), BigInt(target));
  t.is(m.vcpu.gpr(4), BigInt(stack1));
  t.is(m.vcpu.rflags, IF | 2);
});

test('long mode: IRETQ takes a null SS below level 3', (t) => {
  const m = new TestMachine('long');
  push(m, 8, target, selectors.long0, 2, stack1, 0);
  step(m, IRETQ);
  t.is(m.vcpu.segment(layout.SS).selector, 0);
  t.is(m.vcpu.get32(layout.cpl), 0);
});

test('long mode: IRETQ to level 3, to 64-bit code and to compatibility mode', (t) => {
  for (const code of [selectors.long3, selectors.code3]) {
    const m = new TestMachine('long');
    push(m, 8, target, code, IF, stack3!, selectors.data3);
    step(m, IRETQ);
    t.is(m.vcpu.get32(layout.cpl), 3);
    t.is(m.vcpu.get32(layout.mode) & 3, code === selectors.long3 ? 2 : 1);
    t.is(m.vcpu.segment(layout.DS).selector, 0);
    // The stack of level 0 is not a user's business any more.
    t.is(m.vcpu.gpr(4), BigInt(stack3!));
  }
});

test('long mode: IRETD and IRETW in 64-bit code pop five items as well', (t) => {
  for (const [size, program] of [
    [4, IRET],
    [2, IRETW],
  ] as const) {
    const m = new TestMachine('long');
    push(m, size, target, selectors.long0, IF, stack1, selectors.data0);
    step(m, program);
    t.is(m.vcpu.get64(layout.rip), BigInt(target));
    t.is(m.vcpu.gpr(4), BigInt(stack1));
  }
});

test('long mode: in compatibility mode IRETD to the same level pops three items', (t) => {
  const m = new TestMachine('long');
  m.load(layout.CS, selectors.code0);
  m.vcpu.stateChanged();
  push(m, 4, target, selectors.long0, IF);
  step(m, IRET);
  t.is(m.vcpu.gpr(4), BigInt(stack0));
  t.is(m.vcpu.get32(layout.mode) & 3, 2);
});

test('long mode: VM in the image is ignored, NT is #GP(0)', (t) => {
  const m = new TestMachine('long');
  push(m, 8, target, selectors.long0, VM | IF, stack1, selectors.data0);
  step(m, IRETQ);
  t.is(m.vcpu.rflags, IF | 2);
  const nested = new TestMachine('long');
  nested.vcpu.rflags = NT;
  push(nested, 8, target, selectors.long0, 2, stack1, selectors.data0);
  const { vector, frame } = nested.runToHandler(...IRETQ);
  t.deepEqual([vector, frame[0], frame[1]], [13, 0, places.code]);
});

test('an interrupt that waits is taken before the instruction returned to', (t) => {
  const m = new TestMachine('long');
  m.vcpu.set32(layout.interruptPending, 1);
  push(m, 8, target, selectors.long0, IF, stack1, selectors.data0);
  m.program(...IRETQ);
  m.vcpu.run(0, 100);
  m.vcpu.run(0, 100);
  t.is(m.vcpu.get64(layout.rip), BigInt(target));
  t.is(m.vcpu.elapsed, 0);
});

test('an NMI that waits for IRET is taken behind it, with interrupts off as well', (t) => {
  const m = new TestMachine('long');
  m.vcpu.set32(layout.nmiBlocked, 1);
  m.vcpu.set32(layout.interruptPending, 2);
  push(m, 8, target, selectors.long0, 2, stack1, selectors.data0);
  m.program(...IRETQ);
  m.run(1);
  m.vcpu.run(0, 100);
  t.is(m.vcpu.get64(layout.rip), BigInt(target));
});

type Faulting = [
  what: string,
  mode: 'protected' | 'long',
  expected: [number, number],
  frame: (m: TestMachine) => number[],
];
const data0 = selectors.data0;
const faulting: Faulting[] = [
  ['a null CS', 'protected', [13, 0], () => [target, 3, 2]],
  ['a CS beyond the table', 'protected', [13, 0x1008], () => [target, 0x1008, 2]],
  ['a CS in an LDT that is not there', 'protected', [13, 0x1004], () => [target, 0x1004, 2]],
  ['a data segment as CS', 'protected', [13, 0x10], () => [target, selectors.data0, 2]],
  ['a CS of another level than its RPL', 'protected', [13, 0x38], () => [target, selectors.code3 & ~3, 2]],
  [
    'a conforming CS of an outer level than its RPL',
    'protected',
    [13, 0x90],
    (m) => [target, m.describe(segment({ type: type.conforming, dpl: 3 })), 2],
  ],
  [
    'an absent CS',
    'protected',
    [11, 0x90],
    (m) => [target, m.describe(segment({ type: type.code, present: false })), 2],
  ],
  [
    'an EIP beyond the limit',
    'protected',
    [13, 0],
    (m) => [0x1000, m.describe(segment({ type: type.code, limit: 0xfff, pages: false })), 2],
  ],
  ['a null SS', 'protected', [13, 0], () => [target, selectors.code3, 2, stack3!, 0]],
  ['an SS of another RPL', 'protected', [13, 0x40], () => [target, selectors.code3, 2, stack3!, 0x40]],
  ['an SS of another DPL', 'protected', [13, 0x10], () => [target, selectors.code3, 2, stack3!, 0x13]],
  ['an SS beyond the table', 'protected', [13, 0x1008], () => [target, selectors.code3, 2, stack3!, 0x100b]],
  [
    'an SS that is not writable',
    'protected',
    [13, 0x90],
    (m) => [target, selectors.code3, 2, stack3!, m.describe(segment({ type: type.readOnly, dpl: 3 })) | 3],
  ],
  [
    'an absent SS',
    'protected',
    [12, 0x90],
    (m) => [
      target,
      selectors.code3,
      2,
      stack3!,
      m.describe(segment({ type: type.data, dpl: 3, present: false })) | 3,
    ],
  ],
  [
    'an EIP beyond the limit in virtual-8086 mode',
    'protected',
    [13, 0],
    () => [0x1_0000, 0, VM, 0, 0, 0, 0, 0, 0],
  ],
  [
    'a CS with L and D',
    'long',
    [13, 0x90],
    (m) => [target, m.describe(segment({ type: type.code, long: true, big: true })), 2, stack1, data0],
  ],
  ['a null SS at level 3', 'long', [13, 0], () => [target, selectors.long3, 2, stack3!, 3]],
  ['a null SS for compatibility mode', 'long', [13, 0], () => [target, selectors.code0, 2, stack1, 0]],
  [
    'an RIP that is not canonical',
    'long',
    [13, 0],
    () => [0x8000_0000_0000, selectors.long0, 2, stack1, data0],
  ],
  ['an SS that is code', 'long', [13, 8], () => [target, selectors.long0, 2, stack1, selectors.code0]],
];

for (const [what, mode, expected, frame] of faulting) {
  test(`${mode} mode, IRET faults and changes nothing: ${what}`, (t) => {
    const m = new TestMachine(mode);
    push(m, mode === 'long' ? 8 : 4, ...frame(m));
    const sp = Number(m.vcpu.gpr(4));
    const halt = m.runToHandler(...(mode === 'long' ? IRETQ : IRET));
    t.deepEqual([halt.vector, halt.frame[0]], expected);
    t.is(halt.frame[1], places.code);
    t.is(halt.frame[2], mode === 'long' ? selectors.long0 : selectors.code0);
    if (mode === 'long') t.is(halt.frame[4], sp);
  });
}

test('to an inner level is #GP of the code segment', (t) => {
  const m = new TestMachine('protected');
  m.atLevel(3);
  push(m, 4, target, selectors.code0, 2);
  const { vector, frame } = m.runToHandler(...IRET);
  t.deepEqual([vector, frame[0]], [13, selectors.code0]);
});

test('the accessed bits of what is loaded are set', (t) => {
  const m = new TestMachine('protected');
  const code = m.describe(segment({ limit: 0xfffff, type: 0xa, big: true, dpl: 3 })) | 3;
  const stack = m.describe(segment({ limit: 0xfffff, type: 2, big: true, dpl: 3 })) | 3;
  push(m, 4, target, code, 2, stack3!, stack);
  step(m, IRET);
  t.is((m.descriptor(code) >> 40n) & 1n, 1n);
  t.is((m.descriptor(stack) >> 40n) & 1n, 1n);
});
