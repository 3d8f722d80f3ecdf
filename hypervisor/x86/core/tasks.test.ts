import test from 'ava';
import * as exits from '../exits.ts';
import { IF, NT, RF, VM } from '../flags.ts';
import * as layout from '../layout.ts';
import { CR0 } from '../mode.ts';
import { gate, segment, type } from '../testing/descriptors.ts';
import { places, selectors, TestMachine } from '../testing/machine.ts';

const { otherTss, otherTss16 } = places;
/** JMP and CALL far to a selector, RETs of nested tasks, HLT. */
const jump = (selector: number) => [0xea, 0, 0, 0, 0, selector & 255, selector >> 8];
const call = (selector: number) => [0x9a, 0, 0, 0, 0, selector & 255, selector >> 8];
const IRET = 0xcf;
const HLT = 0xf4;

/** Offset of a general register in a 32-bit TSS. */
const general = (number: number) => 40 + 4 * number;
const segmentPlace = (number: number) => 72 + 4 * number;

interface TaskFields {
  ip?: number;
  flags?: number;
  segments?: Partial<Record<number, number>>;
  ldt?: number;
  trap?: number;
}

/** Fills the other 32-bit TSS: registers 0x100 … 0x800, code at `places.data`. */
function fill(
  m: TestMachine,
  { ip = places.data, flags = 2, segments = {}, ldt = selectors.ldt, trap = 0 }: TaskFields = {},
): void {
  m.put(otherTss + 32, 4, ip);
  m.put(otherTss + 36, 4, flags);
  for (let i = 0; i < 8; i++) m.put(otherTss + general(i), 4, 0x100 * (i + 1));
  m.put(otherTss + general(4), 4, places.stacks[1]);
  for (let i = 0; i < 6; i++)
    m.put(
      otherTss + segmentPlace(i),
      4,
      segments[i] ?? (i === layout.CS ? selectors.code0 : selectors.data0),
    );
  m.put(otherTss + 4, 4, places.stacks[2]);
  m.put(otherTss + 8, 2, selectors.data0);
  m.put(otherTss + 96, 4, ldt);
  m.put(otherTss + 100, 2, trap);
  m.put(otherTss + 102, 2, 0x68);
}

const tss32 = (dpl = 0, extra: Partial<Parameters<typeof segment>[0]> = {}) =>
  segment({ type: 9, system: true, base: otherTss, limit: 0x67, pages: false, dpl, ...extra });

const isBusy = (m: TestMachine, selector: number) => (m.descriptor(selector) >> 41n) & 1n;

function withTask(fields: TaskFields = {}, descriptor = tss32()): { m: TestMachine; task: number } {
  const m = new TestMachine('protected');
  fill(m, fields);
  m.write(places.data, [HLT]);
  return { m, task: m.describe(descriptor) };
}

test('JMP to a TSS saves the old task and takes up the new one', (t) => {
  const { m, task } = withTask({ flags: IF | 2 });
  m.vcpu.setGpr(3, 0xbbbb_0003n);
  m.load(layout.FS, selectors.data3);
  m.program(...jump(task));
  t.is(m.run(), exits.halt);
  t.is(m.vcpu.get64(layout.rip), BigInt(places.data + 1));
  t.is(m.vcpu.gpr(0), 0x100n);
  t.is(m.vcpu.gpr(7), 0x800n);
  t.is(m.vcpu.gpr(4), BigInt(places.stacks[1]));
  t.is(m.vcpu.rflags, IF | 2);
  t.is(m.vcpu.segment(layout.TR).selector, task);
  t.is(m.vcpu.segment(layout.TR).attributes & 15, 11);
  t.deepEqual([isBusy(m, selectors.tss), isBusy(m, task)], [0n, 1n]);
  t.is(Number(m.vcpu.get64(layout.cr0)) & CR0.TS, CR0.TS);
  // The old task.
  t.is(m.get(places.tss + 32, 4), places.code + 7);
  t.is(m.get(places.tss + 36, 4), 2);
  t.is(m.get(places.tss + general(3), 4), 0xbbbb_0003);
  t.is(m.get(places.tss + segmentPlace(layout.CS), 2), selectors.code0);
  t.is(m.get(places.tss + segmentPlace(layout.FS), 2), selectors.data3);
});

test('CALL to a TSS nests; IRET goes back and leaves the abandoned task free', (t) => {
  const { m, task } = withTask();
  m.write(places.data, [IRET]);
  m.program(...call(task), HLT);
  t.is(m.run(2), exits.budget);
  t.is(m.vcpu.segment(layout.TR).selector, selectors.tss);
  t.deepEqual([isBusy(m, selectors.tss), isBusy(m, task)], [1n, 0n]);
  t.is(m.get(otherTss, 2), selectors.tss);
  // In the image that IRET saves NT is clear.
  t.is(m.get(otherTss + 36, 4) & NT, 0);
  t.is(m.run(), exits.halt);
  t.is(m.vcpu.get64(layout.rip), BigInt(places.code + 8));
});

test('in a nested task NT is set and both tasks are busy', (t) => {
  const { m, task } = withTask();
  m.program(...call(task));
  t.is(m.run(), exits.halt);
  t.is(m.vcpu.rflags & NT, NT);
  t.deepEqual([isBusy(m, selectors.tss), isBusy(m, task)], [1n, 1n]);
});

test('a task gate for an exception pushes the error code on the new stack; the saved flags have RF', (t) => {
  const { m, task } = withTask();
  m.gate(13, { selector: task, type: 5 });
  // MOV AX, 0x1008; MOV DS, AX.
  m.program(0x66, 0xb8, 0x08, 0x10, 0x8e, 0xd8);
  t.is(m.run(), exits.halt);
  t.is(m.stack(1)[0], 0x1008);
  t.is(m.vcpu.gpr(4), BigInt(places.stacks[1] - 4));
  t.is(m.get(places.tss + 32, 4), places.code + 4);
  t.is(m.get(places.tss + 36, 4) & RF, RF);
});

test('INT n through a task gate saves the next instruction; a program needs the gate’s DPL, not the TSS’s', (t) => {
  const { m, task } = withTask();
  m.gate(0x80, { selector: task, type: 5, dpl: 3 });
  m.atLevel(3);
  m.program(0xcd, 0x80);
  t.is(m.run(), exits.halt);
  t.is(m.get(places.tss + 32, 4), places.code + 2);
  t.is(m.get(places.tss + segmentPlace(layout.SS), 2), selectors.data3);
});

test('a task gate in the GDT', (t) => {
  const { m, task } = withTask();
  const through = m.describe(gate({ selector: task, type: 5, dpl: 3 })) | 3;
  m.atLevel(3);
  m.program(...jump(through));
  t.is(m.run(), exits.halt);
  t.is(m.vcpu.segment(layout.TR).selector, task);
});

test('a 16-bit TSS holds registers of 16 bits', (t) => {
  const m = new TestMachine('protected');
  const fields = [places.data, 2, 0x101, 0x202, 0x303, 0x404, places.stacks[1], 0x606, 0x707, 0x808];
  fields.forEach((value, i) => {
    m.put(otherTss16 + 14 + 2 * i, 2, value);
  });
  [selectors.data0, selectors.code0x16, selectors.data0x16, selectors.data0, selectors.ldt].forEach(
    (value, i) => {
      m.put(otherTss16 + 34 + 2 * i, 2, value);
    },
  );
  m.write(places.data, [IRET]);
  const task = m.describe(segment({ type: 1, system: true, base: otherTss16, limit: 0x2b, pages: false }));
  m.program(...call(task), HLT);
  m.vcpu.setGpr(0, 0x1234_5678n);
  t.is(m.run(1), exits.budget);
  t.is(m.vcpu.gpr(0) & 0xffffn, 0x101n);
  t.is(m.vcpu.gpr(7) & 0xffffn, 0x808n);
  t.is(m.vcpu.segment(layout.SS).selector, selectors.data0x16);
  t.is(m.vcpu.segment(layout.FS).selector, 0);
  // IRET in the 16-bit task saves it and goes back to the 32-bit one.
  t.is(m.run(), exits.halt);
  t.is(m.get(otherTss16 + 14, 2), places.data + 1);
  t.is(m.vcpu.gpr(0), 0x1234_5678n);
  t.is(m.vcpu.get64(layout.rip), BigInt(places.code + 8));
});

test('into virtual-8086 mode, and out of it by an exception', (t) => {
  const { m, task } = withTask({
    ip: 0,
    flags: VM | 2,
    segments: { [layout.CS]: places.data >> 4, [layout.SS]: 0, [layout.DS]: 0x123 },
  });
  m.program(...jump(task));
  const { vector, frame } = m.runToHandler();
  // HLT at level 3.
  t.is(vector, 13);
  t.is(frame[1], 0);
  t.is(frame[2], places.data >> 4);
  t.is(frame[3]! & VM, VM);
  t.is(frame[7], 0x123);
});

test('CR3 is loaded when paging is on', (t) => {
  const { m, task } = withTask();
  // Two page directories of 4 MiB pages, one to one.
  for (const directory of [places.pml4, places.pdpt]) m.put(directory, 4, 0x83);
  m.put(otherTss + 28, 4, places.pdpt);
  m.vcpu.set64(layout.cr4, 0x10n);
  m.vcpu.set64(layout.cr3, BigInt(places.pml4));
  m.vcpu.set64(layout.cr0, 0x8000_0011n);
  m.vcpu.stateChanged();
  m.program(...jump(task));
  t.is(m.run(), exits.halt);
  t.is(m.vcpu.get64(layout.cr3), BigInt(places.pdpt));
});

test('the T bit makes a debug trap before the first instruction, with DR6.BT', (t) => {
  const { m, task } = withTask({ trap: 1 });
  m.program(...jump(task));
  const { vector, frame } = m.runToHandler();
  t.is(vector, 1);
  t.is(frame[0], places.data);
  t.is(m.vcpu.get32(layout.dr + 48) & 0xe00f, 0x8000);
});

test('local breakpoints are disabled, global ones stay', (t) => {
  const { m, task } = withTask();
  m.vcpu.set64(layout.dr + 56, 0x7ffn);
  m.program(...jump(task));
  // All breakpoints are at instruction 0, which is not executed.
  t.is(m.run(), exits.halt);
  t.is(m.vcpu.get32(layout.dr + 56), 0x6aa);
});

/** Faults before the switch: the exception is the old task's. */
const refused: [
  what: string,
  expected: [number, number],
  descriptor: bigint,
  from: 'jump' | 'call' | 'int',
][] = [
  ['busy', [13, 0x90], tss32(0, { type: 11 }), 'jump'],
  ['absent', [11, 0x90], tss32(0, { present: false }), 'call'],
  ['too short', [10, 0x90], tss32(0, { limit: 0x66 }), 'jump'],
  ['busy, through an interrupt’s task gate', [13, 0x90], tss32(0, { type: 11 }), 'int'],
  ['absent, through an interrupt’s task gate', [11, 0x90], tss32(0, { present: false }), 'int'],
  ['no TSS, through an interrupt’s task gate', [13, 0x90], segment({ type: type.data }), 'int'],
];

for (const [what, [vector, code], descriptor, from] of refused) {
  test(`refused: a TSS that is ${what}`, (t) => {
    const { m, task } = withTask({}, descriptor);
    m.gate(0x80, { selector: task, type: 5 });
    const program = from === 'int' ? [0xcd, 0x80] : from === 'call' ? call(task) : jump(task);
    const halt = m.runToHandler(...program);
    t.deepEqual([halt.vector, halt.frame[0], halt.frame[1]], [vector, code, places.code]);
    t.is(m.vcpu.segment(layout.TR).selector, selectors.tss);
    t.is(isBusy(m, selectors.tss), 1n);
  });
}

test('refused: a TSS of an inner level, by CPL and by RPL', (t) => {
  for (const [level, rpl, dpl] of [
    [3, 0, 0],
    [0, 3, 0],
  ] as const) {
    const { m, task } = withTask({}, tss32(dpl));
    m.atLevel(level);
    const { vector, frame } = m.runToHandler(...jump(task | rpl));
    t.deepEqual([vector, frame[0]], [13, task]);
  }
});

test('refused: IRET with NT to a task that is not busy, in the LDT, or absent', (t) => {
  const cases: [link: number, vector: number, code: number][] = [
    [0x90, 10, 0x90],
    [0x94, 10, 0x94],
    [0xff8, 10, 0xff8],
    [0x98, 11, 0x98],
  ];
  for (const [link, vector, code] of cases) {
    const { m } = withTask();
    m.describe(tss32(0, { type: 11, present: false }));
    m.put(places.tss, 2, link);
    m.vcpu.rflags = NT;
    const halt = m.runToHandler(IRET);
    t.deepEqual([halt.vector, halt.frame[0]], [vector, code]);
  }
});

test('an external event’s faults have EXT set', (t) => {
  const { m, task } = withTask({}, tss32(0, { type: 11 }));
  m.gate(6, { selector: task, type: 5 });
  const { vector, frame } = m.runToHandler(0x0f, 0x0b);
  t.deepEqual([vector, frame[0]], [13, 0x91]);
});

/** Faults of the new task: it has been switched to, and the exception is pushed with its CS and EIP. */
const late: [what: string, expected: [number, number], fields: (m: TestMachine) => TaskFields][] = [
  ['a DS that is not readable', [10, 0x98], (m) => ({ segments: { [layout.DS]: m.describe(executeOnly) } })],
  ['an absent DS', [11, 0x98], (m) => ({ segments: { [layout.DS]: m.describe(absentData) } })],
  ['a GS beyond the table', [10, 0x1008], () => ({ segments: { [layout.GS]: 0x1008 } })],
  ['a system descriptor in ES', [10, 0x70], () => ({ segments: { [layout.ES]: selectors.tss } })],
  ['an EIP beyond the code segment', [13, 0], (m) => ({ segments: { [layout.CS]: m.describe(shortCode) } })],
];
const executeOnly = segment({ type: type.executeOnly });
const absentData = segment({ type: type.data, present: false });
const shortCode = segment({ type: type.code, limit: 0xfff, pages: false, big: true });

for (const [what, [vector, code], fields] of late) {
  test(`the new task has ${what}`, (t) => {
    const { m, task } = withTask();
    fill(m, fields(m));
    const halt = m.runToHandler(...jump(task));
    t.is(m.vcpu.segment(layout.TR).selector, task);
    t.deepEqual([halt.vector, halt.frame[0], halt.frame[1]], [vector, code, places.data]);
  });
}

/** Faults up to the load of SS cannot be pushed on the new task's stack: they are handled by a third task. */
const broken: [what: string, expected: [number, number], fields: (m: TestMachine) => TaskFields][] = [
  ['an LDT selector in the LDT', [10, 0x84], () => ({ ldt: 0x84 })],
  ['an LDT selector that names no LDT', [10, 0x10], () => ({ ldt: selectors.data0 })],
  [
    'an absent LDT',
    [10, 0xa0],
    (m) => ({ ldt: m.describe(segment({ type: 2, system: true, present: false })) }),
  ],
  ['a null CS', [10, 0], () => ({ segments: { [layout.CS]: 0 } })],
  ['a data segment as CS', [10, 0x10], () => ({ segments: { [layout.CS]: selectors.data0 } })],
  ['a CS whose DPL is not its RPL', [10, 0x08], () => ({ segments: { [layout.CS]: selectors.code0 | 3 } })],
  [
    'an absent CS',
    [11, 0xa0],
    (m) => ({ segments: { [layout.CS]: m.describe(segment({ type: type.code, present: false })) } }),
  ],
  ['a null SS', [10, 0], () => ({ segments: { [layout.SS]: 0 } })],
  ['an SS of another level', [10, 0x40], () => ({ segments: { [layout.SS]: selectors.data3 } })],
  ['a code segment as SS', [10, 0x08], () => ({ segments: { [layout.SS]: selectors.code0 } })],
  ['an absent SS', [12, 0xa0], (m) => ({ segments: { [layout.SS]: m.describe(absentData) } })],
];

for (const [what, [vector, code], fields] of broken) {
  test(`the new task has ${what}`, (t) => {
    const { m, task } = withTask();
    const place = places.data + 0x100;
    const third = m.describe(tss32(0, { base: place }));
    fill(m, fields(m));
    m.put(place + 32, 4, places.data);
    m.put(place + general(4), 4, places.stacks[2]);
    for (let i = 0; i < 6; i++)
      m.put(place + segmentPlace(i), 2, i === layout.CS ? selectors.code0 : selectors.data0);
    m.gate(vector, { selector: third, type: 5 });
    m.program(...jump(task));
    t.is(m.run(), exits.halt);
    t.is(m.vcpu.segment(layout.TR).selector, third);
    t.is(m.get(place, 2), task);
    t.is(m.stack(1)[0], code);
  });
}

test('a host that must provide a page first lets the switch be made again from its start', (t) => {
  // The new task's LDT lies in a page that has no frame yet, as do all stacks.
  const { m, task } = withTask({ segments: { [layout.GS]: 0x0c } });
  const far = 0x20_0000;
  m.redescribe(selectors.ldt, segment({ type: 2, system: true, base: far, limit: 0xfff, pages: false }));
  m.program(...call(task));
  // GS names an empty entry of the LDT: #TS of the new task.
  t.is(m.run(), exits.halt);
  t.is(m.vcpu.get64(layout.rip), BigInt(places.handlers + 160 + 1));
  t.deepEqual(m.stack(2), [0x0c, places.data]);
  t.is(m.vcpu.segment(layout.TR).selector, task);
  t.deepEqual([isBusy(m, selectors.tss), isBusy(m, task)], [1n, 1n]);
  t.is(m.get(otherTss, 2), selectors.tss);
});
