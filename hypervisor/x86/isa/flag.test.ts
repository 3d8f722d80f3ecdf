import test from 'ava';
import * as exits from '../exits.ts';
import { AC, DF, ID, IF, IOPL, NT, RF, TF, VIF, VIP, VM } from '../flags.ts';
import * as layout from '../layout.ts';
import { places, type StartMode, TestMachine } from '../testing/machine.ts';

const [CLI, STI, PUSHF, POPF] = [0xfa, 0xfb, 0x9c, 0x9d];
const arithmetic = 0x8d5;
/** All flags that can be popped but TF, which would step the rest. */
const image = arithmetic | IF | DF | IOPL | NT | RF | VM | AC | VIF | VIP | ID;

type Start = { mode: StartMode; level?: 0 | 1 | 2 | 3; iopl?: number; virtual?: boolean };

function machine({ mode, level = 0, iopl = 0, virtual = false }: Start): TestMachine {
  const m = new TestMachine(mode);
  if (mode !== 'real' && !virtual) m.atLevel(level);
  if (virtual) m.atVirtual(iopl);
  else m.vcpu.rflags = iopl << 12;
  return m;
}

/** RFLAGS after POPF of `image` on top of `before`. */
function popped(start: Start, before: number, size: 2 | 4 | 8): number {
  const m = machine(start);
  m.vcpu.rflags = m.vcpu.rflags | before;
  const top = Number(m.vcpu.gpr(4)) - size;
  m.put(top, size, image);
  m.vcpu.setGpr(4, BigInt(top));
  const code16 = start.mode === 'real' || start.virtual === true;
  m.program(...((size === 2) === code16 || size === 8 ? [] : [0x66]), POPF);
  if (m.run(1) !== exits.budget) throw new Error('stopped early');
  return m.vcpu.rflags;
}

const common = arithmetic | DF | NT | 2;

test('POPF at level 0 loads IF and IOPL, clears VIF and VIP, and leaves VM', (t) => {
  t.is(popped({ mode: 'long' }, VIF | VIP, 8), common | IF | IOPL | AC | ID);
  t.is(popped({ mode: 'protected' }, VIF | VIP, 4), common | IF | IOPL | AC | ID);
  t.is(popped({ mode: 'real' }, 0, 4), common | IF | IOPL | AC | ID);
});

test('POPF of 16 bits leaves the upper half', (t) => {
  t.is(popped({ mode: 'protected' }, AC | ID | VIF, 2), common | IF | IOPL | AC | ID | VIF);
  t.is(popped({ mode: 'long' }, 0, 2), common | IF | IOPL);
});

test('POPF above level 0 leaves IOPL, above IOPL also IF, without a fault', (t) => {
  t.is(popped({ mode: 'protected', level: 3, iopl: 3 }, 0, 4), common | IF | (3 << 12) | AC | ID);
  t.is(popped({ mode: 'protected', level: 3, iopl: 2 }, 0, 4), common | (2 << 12) | AC | ID);
  t.is(popped({ mode: 'protected', level: 1, iopl: 1 }, 0, 4), common | IF | (1 << 12) | AC | ID);
  t.is(popped({ mode: 'long', level: 3, iopl: 0 }, IF, 8), common | IF | AC | ID);
});

test('POPF in virtual-8086 mode with IOPL 3 leaves IOPL, VM, VIF and VIP', (t) => {
  const start: Start = { mode: 'protected', virtual: true, iopl: 3 };
  t.is(popped(start, VIF | VIP, 4), common | IF | IOPL | AC | ID | VM | VIF | VIP);
  t.is(popped(start, VIF, 2), common | IF | IOPL | VM | VIF);
});

test('PUSHF and POPF in virtual-8086 mode below IOPL 3 are #GP(0)', (t) => {
  for (const instruction of [PUSHF, POPF]) {
    const m = machine({ mode: 'protected', virtual: true, iopl: 2 });
    const { vector, frame } = m.runToHandler(instruction);
    t.deepEqual([vector, frame[0]], [13, 0]);
  }
});

test('PUSHF pushes everything but VM and RF', (t) => {
  const all = arithmetic | IF | DF | IOPL | NT | AC | VIF | VIP | ID | 2;
  for (const [mode, size] of [
    ['long', 8],
    ['protected', 4],
    ['real', 2],
  ] as const) {
    const m = machine({ mode });
    m.vcpu.rflags = all | RF;
    m.program(PUSHF);
    m.run(1);
    t.deepEqual(m.stack(1, size), [size === 2 ? all & 0xffff : all]);
  }
  const m = machine({ mode: 'protected', virtual: true, iopl: 3 });
  m.program(0x66, PUSHF);
  m.run(1);
  t.deepEqual(m.stack(1, 4), [IOPL | 2]);
});

test('CLI and STI need IOPL in protected and virtual-8086 mode', (t) => {
  const cases: [start: Start, allowed: boolean][] = [
    [{ mode: 'real' }, true],
    [{ mode: 'protected', level: 0 }, true],
    [{ mode: 'protected', level: 1, iopl: 1 }, true],
    [{ mode: 'protected', level: 2, iopl: 1 }, false],
    [{ mode: 'long', level: 3, iopl: 3 }, true],
    [{ mode: 'long', level: 3, iopl: 2 }, false],
    [{ mode: 'protected', virtual: true, iopl: 3 }, true],
    [{ mode: 'protected', virtual: true, iopl: 2 }, false],
  ];
  for (const [start, allowed] of cases) {
    for (const instruction of [CLI, STI]) {
      const m = machine(start);
      const before = instruction === CLI ? IF : 0;
      m.vcpu.rflags = m.vcpu.rflags | before;
      if (allowed) {
        m.program(instruction);
        t.is(m.run(1), exits.budget);
        t.is(m.vcpu.rflags & IF, before ^ IF);
      } else {
        const { vector, frame } = m.runToHandler(instruction);
        t.deepEqual([vector, frame[0], frame[1]], [13, 0, places.code]);
      }
    }
  }
});

test('TF that POPF sets or keeps steps the instruction behind it', (t) => {
  const m = new TestMachine('long');
  m.vcpu.rflags = TF;
  // PUSHF; POPF: one step each.
  const { vector, frame } = m.runToHandler(PUSHF, POPF);
  t.deepEqual([vector, frame[0]], [1, places.code + 1]);
  t.is(m.vcpu.get32(layout.stepping), 0);
});

test('SALC sets AL by CF, outside of 64-bit mode', (t) => {
  for (const carry of [0, 1]) {
    const m = new TestMachine('protected');
    m.vcpu.rflags = carry;
    m.vcpu.setGpr(0, 0x1234n);
    m.program(0xd6);
    m.run(1);
    t.is(m.vcpu.gpr(0), carry === 1 ? 0x12ffn : 0x1200n);
    t.is(m.vcpu.rflags, carry | 2);
  }
  t.is(new TestMachine('long').runToHandler(0xd6).vector, 6);
});
