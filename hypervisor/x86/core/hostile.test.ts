/** Programs that do anything with any tables: the processor goes on, halts or shuts down, and nothing else happens. */
import test from 'ava';
import fc from 'fast-check';
import * as exits from '../exits.ts';
import * as layout from '../layout.ts';
import { gate, segment } from '../testing/descriptors.ts';
import { ended, engine, places, type StartMode, selectors, TestMachine } from '../testing/machine.ts';

const byte = fc.integer({ min: 0, max: 255 });
const dpl = fc.integer({ min: 0, max: 3 });
const some = (...values: number[]) => fc.constantFrom(...values);
const mostly = fc.integer({ min: 0, max: 9 }).map((n) => n !== 0);

/** Selectors that mean something more often than not. */
const selector = fc.oneof(
  fc.integer({ min: 0, max: 0x30 }).map((n) => n * 8),
  fc.integer({ min: 0, max: 0x30 }).map((n) => n * 8 + 3),
  fc.integer({ min: 0, max: 0xffff }),
);
const place = some(
  places.code,
  places.data,
  places.handlers,
  places.stacks[0],
  places.tss,
  places.otherTss,
  0,
  -1,
);

const anySegment = fc
  .record({
    base: fc.oneof(fc.constant(0), place),
    limit: fc.oneof(some(0, 0x2b, 0x67, 0xfff, 0xffff, 0xf_ffff), fc.integer({ min: 0, max: 0xf_ffff })),
    type: fc.integer({ min: 0, max: 15 }),
    system: fc.boolean(),
    dpl,
    present: mostly,
    big: fc.boolean(),
    long: fc.boolean(),
    pages: fc.boolean(),
  })
  .map(segment);
const anyGate = fc
  .record({
    selector,
    offset: place.map((at) => BigInt.asUintN(64, BigInt(at))),
    type: some(4, 5, 6, 7, 12, 14, 15),
    dpl,
    present: mostly,
    count: fc.integer({ min: 0, max: 31 }),
  })
  .map(gate);
const descriptor = fc.oneof(anySegment, anyGate, fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }));

/** Instructions that change segments, privilege and mode, as bytes, and random bytes. */
const word = fc.integer({ min: 0, max: 0xffff });
const low = (n: number) => [n & 255, n >> 8];
const instruction = fc.oneof(
  fc.array(byte, { minLength: 1, maxLength: 6 }),
  byte.map((n) => [0xcd, n]),
  some(0xcf, 0xcb, 0xcc, 0xce, 0xf1, 0x9c, 0x9d, 0xfa, 0xfb, 0xf4, 0x17, 0x07, 0x1f).map((n) => [n]),
  some(0xcf, 0xcb).map((n) => [0x48, n]),
  selector.map((n) => [0x66, 0xb8, ...low(n), 0x8e, 0xd8]),
  selector.map((n) => [0x66, 0xb8, ...low(n), 0x8e, 0xd0]),
  selector.map((n) => [0x66, 0xb8, ...low(n), 0x0f, 0x00, 0xd8]),
  selector.map((n) => [0x66, 0xb8, ...low(n), 0x0f, 0x00, 0xd0]),
  fc.tuple(selector, word).map(([s, at]) => [0xea, ...low(at), 0, 0, ...low(s)]),
  fc.tuple(selector, word).map(([s, at]) => [0x9a, ...low(at), 0, 0, ...low(s)]),
  fc.tuple(selector, word).map(([s, at]) => [0x66, 0x9a, ...low(at), ...low(s)]),
  word.map((n) => [0x66, 0x68, ...low(n)]),
  byte.map((n) => [0x6a, n]),
  fc.tuple(some(0x20, 0x22, 0x21, 0x23), byte).map(([op, modrm]) => [0x0f, op, modrm]),
  fc
    .tuple(some(0x00, 0x01, 0x02, 0x03, 0xb2, 0xb4, 0x05, 0x07, 0x34, 0x35), byte)
    .map(([op, m]) => [0x0f, op, m]),
);

const machine = fc.record({
  mode: fc.constantFrom<StartMode>('real', 'protected', 'long'),
  level: fc.constantFrom<0 | 1 | 2 | 3>(0, 0, 1, 3),
  isVirtual: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
  gdt: fc.array(descriptor, { minLength: 20, maxLength: 20 }),
  ldt: fc.array(descriptor, { minLength: 4, maxLength: 4 }),
  idt: fc.array(fc.tuple(byte, anyGate), { maxLength: 12 }),
  tss: fc.array(fc.tuple(fc.integer({ min: 0, max: 25 }), fc.oneof(selector, place)), { maxLength: 6 }),
  other: fc.array(fc.tuple(fc.integer({ min: 0, max: 25 }), fc.oneof(selector, place)), { maxLength: 8 }),
  flags: fc.integer({ min: 0, max: 0x3f_ffff }),
  registers: fc.array(fc.oneof(place, selector, fc.integer()), { minLength: 8, maxLength: 8 }),
  dr7: fc.oneof(fc.constant(0x400), fc.integer({ min: 0, max: 0x7fff_ffff })),
  program: fc.array(instruction, { minLength: 5, maxLength: 25 }),
});

type Machine = typeof machine extends fc.Arbitrary<infer Value> ? Value : never;

const known = new Set<number>([exits.budget, exits.halt, exits.shutdown, exits.pause, exits.noMemory, ended]);

test('any program with any tables runs, halts or shuts down, in both tiers alike', (t) => {
  let translated = 0;
  fc.assert(
    fc.property(machine, (it) => {
      const [first, again] = [0, 1].map(() => run(it));
      return known.has(first!.exit) && first!.exit === again!.exit && first!.state.equals(again!.state);
    }),
    { numRuns: 2000, seed: 20261123 },
  );

  function run(it: Machine): { exit: number; state: Buffer } {
    const m = new TestMachine(it.mode);
    it.gdt.forEach((each, i) => {
      m.put(places.gdt + 0x90 + 8 * i, 8, each);
    });
    it.ldt.forEach((each, i) => {
      m.put(places.ldt + 8 * i, 8, each);
    });
    const step = it.mode === 'long' ? 16 : 8;
    if (it.mode !== 'real') for (const [vector, each] of it.idt) m.put(places.idt + step * vector, 8, each);
    for (const [i, each] of it.tss) m.put(places.tss + 4 * i, 4, each);
    for (let i = 0; i < 6; i++)
      m.put(places.otherTss + 72 + 4 * i, 4, i === 1 ? selectors.code0 : selectors.data0);
    for (const [i, each] of it.other) m.put(places.otherTss + 4 * i, 4, each);
    if (it.mode !== 'real') {
      if (it.isVirtual && it.mode === 'protected') m.atVirtual(it.level);
      else m.atLevel(it.level);
    }
    m.vcpu.rflags = (m.vcpu.rflags & 0x2_0000) | (it.flags & ~0x2_0000);
    it.registers.forEach((each, i) => {
      if (i !== 4) m.vcpu.setGpr(i, BigInt(each));
    });
    for (let i = 0; i < 4; i++) m.vcpu.set64(layout.dr + 8 * i, BigInt(it.registers[i]!));
    m.vcpu.set64(layout.dr + 56, BigInt(it.dr7));
    m.vcpu.stateChanged();
    m.program(...it.program.flat());
    const exit = m.run(300);
    translated += m.vcpu.translatedInstructions;
    const { state } = m;
    m.free();
    engine.translator.workAll();
    return { exit, state };
  }
  t.true(translated > 100, `${translated} instructions were executed as translated`);
});
