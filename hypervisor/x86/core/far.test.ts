import test from 'ava';
import * as exits from '../exits.ts';
import * as layout from '../layout.ts';
import { gate, gateHigh, segment, type } from '../testing/descriptors.ts';
import { places, type StartMode, selectors, TestMachine } from '../testing/machine.ts';

const { code, data } = places;
const [stack0, stack1, , stack3] = places.stacks;
const HLT = 0xf4;
const bytes = (value: number, count: number) =>
  Array.from({ length: count }, (_, i) => Math.floor(value / 2 ** (8 * i)) & 255);
/** JMP and CALL to selector:offset with 32-bit operands. */
const jump = (selector: number, offset = 0) => [0xea, ...bytes(offset, 4), ...bytes(selector, 2)];
const call = (selector: number, offset = 0) => [0x9a, ...bytes(offset, 4), ...bytes(selector, 2)];
/** The same through memory at RBX, in 64-bit code with 32-bit (or, with REX.W, 64-bit) operands. */
const jumpMemory = [0xff, 0x2b];
const callMemory = [0xff, 0x1b];
const RETF = 0xcb;

function step(m: TestMachine, program: readonly number[]): void {
  m.program(...program);
  if (m.run(1) !== exits.budget) throw new Error('stopped early');
}

/** CS, RIP and the privilege level. */
function place(m: TestMachine): [number, number, number] {
  return [m.vcpu.segment(layout.CS).selector, Number(m.vcpu.get64(layout.rip)), m.vcpu.get32(layout.cpl)];
}

test('real mode: far jump, call and return', (t) => {
  const m = new TestMachine('real');
  // CALL 0123:0456
  step(m, [0x9a, 0x56, 0x04, 0x23, 0x01]);
  t.deepEqual(place(m), [0x123, 0x456, 0]);
  t.is(m.vcpu.segment(layout.CS).base, 0x1230n);
  t.deepEqual(m.stack(2, 2), [code + 5, 0]);
  // RETF 4
  step(m, [0xca, 4, 0]);
  t.deepEqual(place(m), [0, code + 5, 0]);
  t.is(m.vcpu.gpr(4), BigInt(stack0 + 4));
  // JMP 1000:0
  step(m, [0xea, 0, 0, 0, 0x10]);
  t.deepEqual(place(m), [0x1000, 0, 0]);
});

test('real mode: an offset beyond 64 KiB is #GP', (t) => {
  const m = new TestMachine('real');
  t.is(m.runToHandler(0x66, 0xea, 0, 0, 1, 0, 0, 0).vector, 13);
});

test('virtual-8086 mode: far calls go without descriptors', (t) => {
  const m = new TestMachine('protected');
  m.atVirtual();
  step(m, [0x9a, 0x56, 0x04, 0x23, 0x01]);
  t.deepEqual(place(m), [0x123, 0x456, 3]);
});

test('protected mode: CALL and RETF of 32 and 16 bits at one level', (t) => {
  const m = new TestMachine('protected');
  step(m, call(selectors.code0x16, data));
  t.deepEqual(place(m), [selectors.code0x16, data, 0]);
  t.is(m.vcpu.get32(layout.mode) & 3, 0);
  t.deepEqual(m.stack(2, 4), [code + 7, selectors.code0]);
  // In 16-bit code, RETF with 32-bit operands.
  step(m, [0x66, RETF]);
  t.deepEqual(place(m), [selectors.code0, code + 7, 0]);
  step(m, [0x66, 0x9a, ...bytes(data, 2), ...bytes(selectors.code0x16, 2)]);
  t.deepEqual(m.stack(2, 2), [code + 7 + 6, selectors.code0]);
});

test('protected mode: conforming code is called at the caller’s level', (t) => {
  const m = new TestMachine('protected');
  m.atLevel(3);
  step(m, call(selectors.conforming0, data));
  t.deepEqual(place(m), [selectors.conforming0 | 3, data, 3]);
});

test('protected mode: RETF to an outer level takes its stack and drops parameters on both', (t) => {
  const m = new TestMachine('protected');
  [data, selectors.code3, 11, 22, stack3!, selectors.data3].forEach((item, i) => {
    m.put(stack0 - 24 + 4 * i, 4, item);
  });
  m.vcpu.setGpr(4, BigInt(stack0 - 24));
  step(m, [0xca, 8, 0]);
  t.deepEqual(place(m), [selectors.code3, data, 3]);
  t.is(m.vcpu.gpr(4), BigInt(stack3! + 8));
  t.is(m.vcpu.segment(layout.DS).selector, 0);
});

test('protected mode: a call gate switches stacks and copies parameters', (t) => {
  for (const [gateType, size, top] of [
    [12, 4, stack0],
    [4, 2, stack0],
  ] as const) {
    const m = new TestMachine('protected');
    const through =
      m.describe(gate({ selector: selectors.code0, offset: data, type: gateType, dpl: 3, count: 3 })) | 3;
    m.atLevel(3);
    for (let i = 0; i < 3; i++) m.put(stack3! - 3 * size + size * i, size, 0x1110 + i);
    m.vcpu.setGpr(4, BigInt(stack3! - 3 * size));
    // The offset in the instruction does not count.
    step(m, call(through, 0xdead));
    t.deepEqual(place(m), [selectors.code0, data, 0]);
    t.is(m.vcpu.gpr(4), BigInt(top - 7 * size));
    t.deepEqual(m.stack(7, size), [
      code + 7,
      selectors.code3,
      0x1110,
      0x1111,
      0x1112,
      stack3! - 3 * size,
      selectors.data3,
    ]);
    // RETF drops the parameters on both stacks.
    step(m, [...(size === 2 ? [0x66] : []), 0xca, 3 * size, 0]);
    t.deepEqual(place(m), [selectors.code3, code + 7, 3]);
    t.is(m.vcpu.gpr(4), BigInt(stack3!));
  }
});

test('protected mode: a call gate to level 1, and to conforming code and the same level without a new stack', (t) => {
  const cases: [target: number, level: number, sp: number][] = [
    [selectors.code1, 1, stack1 - 16],
    [selectors.conforming0, 3, stack3! - 8],
    [selectors.code3, 3, stack3! - 8],
  ];
  for (const [target, level, sp] of cases) {
    const m = new TestMachine('protected');
    const through = m.describe(gate({ selector: target, offset: data, type: 12, dpl: 3 })) | 3;
    m.atLevel(3);
    step(m, call(through));
    t.deepEqual(place(m), [(target & ~3) | level, data, level]);
    t.is(m.vcpu.gpr(4), BigInt(sp));
  }
});

test('protected mode: JMP through a call gate stays at its level', (t) => {
  const m = new TestMachine('protected');
  const through = m.describe(gate({ selector: selectors.code0, offset: data, type: 12, dpl: 3 }));
  step(m, jump(through));
  t.deepEqual(place(m), [selectors.code0, data, 0]);
  const user = new TestMachine('protected');
  user.describe(gate({ selector: selectors.code0, offset: data, type: 12, dpl: 3 }));
  user.atLevel(3);
  const { vector, frame } = user.runToHandler(...jump(through | 3));
  t.deepEqual([vector, frame[0]], [13, selectors.code0]);
});

test('long mode: far jumps between 64-bit code and compatibility mode', (t) => {
  const m = new TestMachine('long');
  m.vcpu.setGpr(3, BigInt(data + 0x100));
  m.put(data + 0x100, 4, data);
  m.put(data + 0x104, 2, selectors.code0);
  step(m, jumpMemory);
  t.deepEqual(place(m), [selectors.code0, data, 0]);
  t.is(m.vcpu.get32(layout.mode) & 3, 1);
  step(m, jump(selectors.long0, code));
  t.deepEqual(place(m), [selectors.long0, code, 0]);
  t.is(m.vcpu.get32(layout.mode) & 3, 2);
});

test('long mode: CALL m16:64 and RETF with REX.W', (t) => {
  const m = new TestMachine('long');
  m.vcpu.setGpr(3, BigInt(data + 0x100));
  m.put(data + 0x100, 8, data);
  m.put(data + 0x108, 2, selectors.long0);
  step(m, [0x48, ...callMemory]);
  t.deepEqual(place(m), [selectors.long0, data, 0]);
  t.deepEqual(m.stack(2, 8), [code + 3, selectors.long0]);
  step(m, [0x48, RETF]);
  t.deepEqual(place(m), [selectors.long0, code + 3, 0]);
  t.is(m.vcpu.gpr(4), BigInt(stack0));
});

test('long mode: a call gate of 16 bytes switches to RSP0 with a null SS', (t) => {
  const m = new TestMachine('long');
  const fields = { selector: selectors.long0, offset: BigInt(data), type: 12, dpl: 3 };
  const through = m.describe(gate(fields), gateHigh(fields)) | 3;
  m.atLevel(3);
  m.vcpu.setGpr(3, BigInt(data + 0x100));
  m.put(data + 0x104, 2, through);
  step(m, callMemory);
  t.deepEqual(place(m), [selectors.long0, data, 0]);
  t.is(m.vcpu.segment(layout.SS).selector, 0);
  t.deepEqual(m.stack(4, 8), [code + 2, selectors.long3, stack3!, selectors.data3]);
  step(m, [0x48, RETF]);
  t.deepEqual(place(m), [selectors.long3, code + 2, 3]);
  t.is(m.vcpu.gpr(4), BigInt(stack3!));
});

type Case = [
  what: string,
  mode: StartMode,
  expected: [number, number],
  program: (m: TestMachine) => readonly number[],
];

/** Far jump or call through memory in long mode to a selector and offset. */
function through(m: TestMachine, opcode: readonly number[], selector: number, offset: number): number[] {
  m.vcpu.setGpr(3, BigInt(data + 0x100));
  m.put(data + 0x100, 8, offset);
  m.put(data + 0x108, 2, selector);
  return [0x48, ...opcode];
}

const absent = { present: false };
const callGate = (m: TestMachine, fields: Partial<Parameters<typeof gate>[0]>) =>
  m.describe(gate({ selector: selectors.code0, offset: data, type: 12, dpl: 3, ...fields }));
const longGate = (m: TestMachine, fields: Partial<Parameters<typeof gate>[0]>) => {
  const all = { selector: selectors.long0, offset: data, type: 12, dpl: 3, ...fields };
  return m.describe(gate(all), gateHigh(all));
};

const faults: Case[] = [
  ['JMP: a null selector', 'protected', [13, 0], () => jump(3)],
  ['JMP: a selector beyond the table', 'protected', [13, 0x1008], () => jump(0x1008)],
  ['JMP: a data segment', 'protected', [13, 0x10], () => jump(selectors.data0)],
  ['JMP: an outer level', 'protected', [13, 0x38], () => jump(selectors.code3)],
  ['JMP: the RPL is not enough', 'protected', [13, 0x08], () => jump(selectors.code0 | 1)],
  [
    'JMP: an inner level',
    'protected',
    [13, 0x08],
    (m) => {
      m.atLevel(3);
      return jump(selectors.code0);
    },
  ],
  [
    'JMP: conforming code of an outer level',
    'protected',
    [13, 0x90],
    (m) => jump(m.describe(segment({ type: type.conforming, dpl: 3 }))),
  ],
  [
    'JMP: absent code',
    'protected',
    [11, 0x90],
    (m) => jump(m.describe(segment({ type: type.code, ...absent }))),
  ],
  [
    'JMP: an offset beyond the limit',
    'protected',
    [13, 0],
    (m) => jump(m.describe(segment({ type: type.code, limit: 0xfff, pages: false })), 0x1000),
  ],
  ['JMP: an LDT descriptor', 'protected', [13, 0x80], () => jump(selectors.ldt)],
  ['JMP: an interrupt gate', 'protected', [13, 0x90], (m) => jump(callGate(m, { type: 14 }))],
  [
    'CALL: no room for the return address',
    'protected',
    [8, 0],
    (m) => {
      m.load(layout.SS, m.describe(segment({ type: type.data, limit: 0xf, pages: false, big: true })));
      // Neither #SS nor the double fault finds room on this stack; a task has its own.
      m.gate(12, { selector: selectors.code0, type: 14, present: false });
      m.gate(8, {
        selector: m.describe(
          segment({ type: 9, system: true, base: places.otherTss, limit: 0x67, pages: false }),
        ),
        type: 5,
      });
      for (let i = 0; i < 6; i++)
        m.put(places.otherTss + 72 + 4 * i, 2, i === layout.CS ? selectors.code0 : selectors.data0);
      m.put(places.otherTss + 32, 4, places.handlers + 128);
      m.put(places.otherTss + 56, 4, stack1);
      return call(selectors.code0, data);
    },
  ],
  [
    'a gate whose DPL is below the CPL',
    'protected',
    [13, 0x90],
    (m) => {
      const selector = callGate(m, { dpl: 0 });
      m.atLevel(3);
      return call(selector);
    },
  ],
  ['a gate whose DPL is below the RPL', 'protected', [13, 0x90], (m) => call(callGate(m, { dpl: 0 }) | 3)],
  ['an absent gate', 'protected', [11, 0x90], (m) => call(callGate(m, absent))],
  ['a gate with a null selector', 'protected', [13, 0], (m) => call(callGate(m, { selector: 0 }))],
  ['a gate beyond the table', 'protected', [13, 0x1010], (m) => call(callGate(m, { selector: 0x1010 }))],
  ['a gate to data', 'protected', [13, 0x10], (m) => call(callGate(m, { selector: selectors.data0 }))],
  [
    'a gate to an outer level',
    'protected',
    [13, 0x38],
    (m) => call(callGate(m, { selector: selectors.code3 })),
  ],
  [
    'a gate to absent code',
    'protected',
    [11, 0x90],
    (m) => call(callGate(m, { selector: m.describe(segment({ type: type.code, ...absent })) })),
  ],
  [
    'a gate with an offset beyond the limit, at an inner level',
    'protected',
    [13, 0],
    (m) => {
      const inner = m.describe(segment({ type: type.code, limit: 0xfff, pages: false, big: true }));
      const selector = callGate(m, { selector: inner });
      m.atLevel(3);
      return call(selector);
    },
  ],
  [
    'no room for the parameters on the inner stack',
    'protected',
    [12, 0x90],
    (m) => {
      const small = m.describe(segment({ type: type.data, dpl: 1, limit: 0xf, pages: false, big: true })) | 1;
      m.put(places.tss + 12, 4, 0x10);
      m.put(places.tss + 16, 2, small);
      const selector = callGate(m, { selector: selectors.code1, count: 5 });
      m.atLevel(3);
      return call(selector);
    },
  ],
  [
    'an inner stack of another level',
    'protected',
    [10, 0x10],
    (m) => {
      m.put(places.tss + 16, 2, selectors.data0);
      const selector = callGate(m, { selector: selectors.code1 });
      m.atLevel(3);
      return call(selector);
    },
  ],
  [
    'a TSS that ends before the inner stack',
    'protected',
    [10, 0x70],
    (m) => {
      const selector = callGate(m, { selector: selectors.code1 });
      m.atLevel(3);
      m.vcpu.setSegment(layout.TR, { ...m.vcpu.segment(layout.TR), limit: 12 + 4 });
      return call(selector);
    },
  ],
  ['RETF: a null selector', 'protected', [13, 0], () => [0x6a, 0, 0x6a, 0, RETF]],
  [
    'RETF: an inner level',
    'protected',
    [13, 0x08],
    (m) => {
      m.atLevel(3);
      return [0x6a, selectors.code0, 0x6a, 0, RETF];
    },
  ],
  [
    'RETF: an absent stack of the outer level',
    'protected',
    [12, 0x90],
    (m) => {
      const stack = m.describe(segment({ type: type.data, dpl: 3, ...absent })) | 3;
      return [0x68, ...bytes(stack, 4), 0x6a, 0, 0x6a, selectors.code3, 0x6a, 0, RETF];
    },
  ],
  [
    'long mode, JMP: code with L and D',
    'long',
    [13, 0x90],
    (m) => through(m, jumpMemory, m.describe(segment({ type: type.code, long: true, big: true })), data),
  ],
  [
    'long mode, JMP: an offset that is not canonical',
    'long',
    [13, 0],
    (m) => through(m, jumpMemory, selectors.long0, 0x8000_0000_0000),
  ],
  [
    'long mode, CALL: a TSS',
    'long',
    [13, 0x90],
    (m) => through(m, callMemory, m.describe(segment({ type: 9, system: true })), data),
  ],
  [
    'long mode: a 16-bit call gate',
    'long',
    [13, 0x90],
    (m) => through(m, callMemory, longGate(m, { type: 4 }), 0),
  ],
  [
    'long mode: a gate to compatibility code',
    'long',
    [13, 0x08],
    (m) => through(m, callMemory, longGate(m, { selector: selectors.code0 }), 0),
  ],
  [
    'long mode: a gate whose second half has a type',
    'long',
    [13, 0x90],
    (m) =>
      through(m, callMemory, m.describe(gate({ selector: selectors.long0, type: 12 }), 0x100n << 32n), 0),
  ],
  [
    'long mode: a gate whose second half is beyond the table',
    'long',
    [13, 0x90],
    (m) => {
      const selector = longGate(m, {});
      m.vcpu.set64(layout.gdtr + 8, BigInt(selector + 14));
      return through(m, callMemory, selector, 0);
    },
  ],
  [
    'long mode: a gate to an address that is not canonical',
    'long',
    [13, 0],
    (m) => through(m, callMemory, longGate(m, { offset: 0x8000_0000_0000n }), 0),
  ],
];

for (const [what, mode, expected, program] of faults) {
  test(`faults: ${what}`, (t) => {
    const m = new TestMachine(mode);
    const { vector, frame } = m.runToHandler(...program(m));
    t.deepEqual([vector, frame[0]], expected);
  });
}

test('far jumps and calls to a register operand are #UD', (t) => {
  for (const modrm of [0xd8, 0xe8]) t.is(new TestMachine('long').runToHandler(0xff, modrm).vector, 6);
});

test('a fault in the middle of the pushes leaves CS, SS and SP', (t) => {
  const m = new TestMachine('long');
  const fields = { selector: selectors.long0, offset: BigInt(data), type: 12, dpl: 3 };
  const selector = m.describe(gate(fields), gateHigh(fields)) | 3;
  // RSP0 is in the second item of a page, the one before is not mapped.
  m.put(places.tss + 4, 8, places.ist + 0x1008);
  m.mapPage(places.ist, 0);
  m.gate(14, { selector: selectors.long0, offset: places.handlers + 224, type: 14, count: 3 });
  m.atLevel(3);
  const { vector, frame } = m.runToHandler(...through(m, callMemory, selector, 0));
  t.deepEqual([vector, frame[0]], [14, 2]);
  t.deepEqual(frame.slice(1, 6), [code, selectors.long3, 0x1_0002, stack3!, selectors.data3]);
  t.is(m.vcpu.get64(layout.cr2), BigInt(places.ist + 0x1000 - 8));
});

test('HLT in level 3 code reached by a gate shows the level', (t) => {
  const m = new TestMachine('protected');
  m.write(data, [HLT]);
  const selector = m.describe(gate({ selector: selectors.code3, offset: data, type: 12, dpl: 3 })) | 3;
  m.atLevel(3);
  const { vector, frame } = m.runToHandler(...call(selector));
  t.deepEqual([vector, frame[1], frame[2]], [13, data, selectors.code3]);
});
