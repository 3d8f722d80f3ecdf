import test from 'ava';
import * as exits from '../exits.ts';
import * as layout from '../layout.ts';
import { segment, type } from '../testing/descriptors.ts';
import { places, selectors, TestMachine } from '../testing/machine.ts';

const { code, data } = places;

/** MOV to a segment register from EBX. */
const move = (number: number) => [0x8e, 0xc3 | (number << 3)];

function step(m: TestMachine, program: readonly number[]): void {
  m.program(...program);
  if (m.run(1) !== exits.budget) throw new Error('stopped early');
}

/** The exception of MOV from a selector to a register: [vector, error code]. */
function faultOf(m: TestMachine, number: number, selector: number): [number, number] {
  m.vcpu.setGpr(3, BigInt(selector));
  const { vector, frame } = m.runToHandler(...move(number));
  return [vector, frame[0]!];
}

test('a load fills base, limit and attributes, and sets the accessed bit', (t) => {
  const m = new TestMachine('protected');
  const selector = m.describe(
    segment({ base: 0x1234_5678, limit: 0x2_3456, type: 2, pages: true, big: true, dpl: 3 }),
  );
  m.vcpu.setGpr(3, BigInt(selector | 3));
  step(m, move(layout.FS));
  t.deepEqual(m.vcpu.segment(layout.FS), {
    selector: selector | 3,
    base: 0x1234_5678n,
    limit: 0x2345_6fff,
    attributes: 0xc0f3,
  });
  t.is((m.descriptor(selector) >> 40n) & 1n, 1n);
});

test('a selector in the LDT', (t) => {
  const m = new TestMachine('protected');
  m.put(places.ldt + 8, 8, segment({ base: 0x100, type: type.data, dpl: 3 }));
  m.vcpu.setGpr(3, 0x0fn);
  step(m, move(layout.ES));
  t.is(m.vcpu.segment(layout.ES).base, 0x100n);
  const without = new TestMachine('protected');
  without.vcpu.setSegment(layout.LDTR, { selector: 0, base: 0n, limit: 0, attributes: 0 });
  t.deepEqual(faultOf(without, layout.ES, 0x0f), [13, 0x0c]);
});

test('a null selector can be loaded but not used', (t) => {
  const m = new TestMachine('protected');
  m.vcpu.setGpr(3, 3n);
  step(m, move(layout.DS));
  t.is(m.vcpu.segment(layout.DS).selector, 3);
  m.vcpu.set64(layout.rip, BigInt(code));
  // MOV EAX, [0]
  const { vector, frame } = m.runToHandler(0xa1, 0, 0, 0, 0);
  t.deepEqual([vector, frame[0]], [13, 0]);
});

test('64-bit mode: a null SS below level 3 with the RPL of the level', (t) => {
  const m = new TestMachine('long');
  m.vcpu.setGpr(3, 0n);
  step(m, move(layout.SS));
  t.is(m.vcpu.segment(layout.SS).selector, 0);
  t.is(m.vcpu.get32(layout.cpl), 0);
  t.deepEqual(faultOf(new TestMachine('long'), layout.SS, 3), [13, 0]);
  const user = new TestMachine('long');
  user.atLevel(3);
  t.deepEqual(faultOf(user, layout.SS, 3), [13, 0]);
});

test('MOV to CS is #UD, before its operand is read', (t) => {
  const m = new TestMachine('protected');
  t.is(m.runToHandler(...move(layout.CS)).vector, 6);
  t.is(new TestMachine('long').runToHandler(0x8e, 0x0c, 0x25, 0, 0, 0, 0x70).vector, 6);
});

const faults: [
  what: string,
  number: number,
  expected: [number, number],
  prepare: (m: TestMachine) => number,
][] = [
  ['DS: beyond the table', layout.DS, [13, 0x1008], () => 0x1008],
  ['DS: a system descriptor', layout.DS, [13, 0x70], () => selectors.tss],
  [
    'DS: code that is not readable',
    layout.DS,
    [13, 0x90],
    (m) => m.describe(segment({ type: type.executeOnly })),
  ],
  ['DS: the RPL is above the DPL', layout.DS, [13, 0x10], () => selectors.data0 | 1],
  [
    'DS: an inner level',
    layout.DS,
    [13, 0x10],
    (m) => {
      m.atLevel(3);
      return selectors.data0;
    },
  ],
  ['DS: absent', layout.DS, [11, 0x90], (m) => m.describe(segment({ type: type.data, present: false }))],
  [
    'DS: absent conforming code',
    layout.DS,
    [11, 0x90],
    (m) => m.describe(segment({ type: type.conforming, present: false })),
  ],
  ['SS: null', layout.SS, [13, 0], () => 0],
  ['SS: read-only', layout.SS, [13, 0x90], (m) => m.describe(segment({ type: type.readOnly }))],
  ['SS: code', layout.SS, [13, 0x08], () => selectors.code0],
  ['SS: another RPL', layout.SS, [13, 0x10], () => selectors.data0 | 3],
  ['SS: another DPL', layout.SS, [13, 0x40], () => selectors.data3 & ~3],
  ['SS: absent', layout.SS, [12, 0x90], (m) => m.describe(segment({ type: type.data, present: false }))],
];

for (const [what, number, expected, prepare] of faults) {
  test(`a load that faults leaves the register: ${what}`, (t) => {
    const m = new TestMachine('protected');
    const selector = prepare(m);
    const before = m.vcpu.segment(layout.DS);
    t.deepEqual(faultOf(m, number, selector), expected);
    t.deepEqual(m.vcpu.segment(layout.DS), before);
  });
}

test('conforming readable code can be loaded at any level', (t) => {
  const m = new TestMachine('protected');
  m.atLevel(3);
  m.vcpu.setGpr(3, BigInt(selectors.conforming0 | 3));
  step(m, move(layout.GS));
  t.is(m.vcpu.segment(layout.GS).selector, selectors.conforming0 | 3);
});

test('real mode: a load changes selector and base, the limit stays', (t) => {
  const m = new TestMachine('real');
  m.vcpu.setSegment(layout.DS, { selector: 0, base: 0n, limit: 0xffff_ffff, attributes: 0x93 });
  m.vcpu.setGpr(3, 0x1234n);
  step(m, move(layout.DS));
  t.deepEqual(m.vcpu.segment(layout.DS), {
    selector: 0x1234,
    base: 0x1_2340n,
    limit: 0xffff_ffff,
    attributes: 0x93,
  });
});

test('accesses beyond a limit, below an expand-down segment, and against its rights', (t) => {
  const cases: [what: string, descriptor: bigint, program: number[], faults: boolean][] = [
    // MOV AX, [address] and MOV [address], AX with 32-bit addresses; DS has the descriptor.
    ['the last bytes', segment({ type: type.data, limit: 0xfff, pages: false }), read(0xffe), false],
    ['across the limit', segment({ type: type.data, limit: 0xfff, pages: false }), read(0xfff), true],
    [
      'below an expand-down limit',
      segment({ type: type.expandDown, limit: 0xfff, pages: false }),
      read(0xfff),
      true,
    ],
    [
      'above an expand-down limit',
      segment({ type: type.expandDown, limit: 0xfff, pages: false }),
      read(0x1000),
      false,
    ],
    [
      'above 64 KiB in it',
      segment({ type: type.expandDown, limit: 0xfff, pages: false }),
      read(0xffff),
      true,
    ],
    ['write to read-only', segment({ type: type.readOnly }), write(0), true],
    ['read of read-only', segment({ type: type.readOnly }), read(0), false],
    ['write to code', segment({ type: type.code }), write(0), true],
  ];
  for (const [what, descriptor, program, faulting] of cases) {
    const m = new TestMachine('protected');
    m.load(layout.DS, m.describe(descriptor));
    m.program(...program, 0x0f, 0x0b);
    t.is(m.runToHandler().vector, faulting ? 13 : 6, what);
  }
});

const address = (at: number) => [at & 255, (at >> 8) & 255, 0, 0];
const read = (at: number) => [0x66, 0xa1, ...address(at)];
const write = (at: number) => [0x66, 0xa3, ...address(at)];

test('POP SS takes the size of the old stack segment for RSP', (t) => {
  const m = new TestMachine('protected');
  m.vcpu.setGpr(4, BigInt(data));
  m.put(data, 4, selectors.data0x16);
  step(m, [0x17]);
  t.is(m.vcpu.segment(layout.SS).selector, selectors.data0x16);
  t.is(m.vcpu.gpr(4), BigInt(data + 4));
});

test('LSS loads register and segment; when the selector is refused neither', (t) => {
  const m = new TestMachine('protected');
  m.put(data, 4, 0x1234);
  m.put(data + 4, 2, selectors.data0x16);
  // LSS ESP, [data]
  const program = [0x0f, 0xb2, 0x25, ...address(data)];
  step(m, program);
  t.is(m.vcpu.gpr(4), 0x1234n);
  t.is(m.vcpu.segment(layout.SS).selector, selectors.data0x16);
  const refused = new TestMachine('protected');
  refused.put(data, 4, 0x1234);
  refused.put(data + 4, 2, selectors.code0);
  t.is(refused.runToHandler(...program).frame[0], selectors.code0);
  t.is(refused.vcpu.segment(layout.SS).selector, selectors.data0);
});
