/** ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST, INC, DEC, NEG, NOT, XADD, CMPXCHG (SDM vol. 2). */
import type { Value } from '../../wasm/value.ts';
import type { Semantics } from '../semantics.ts';
import { type Meaning, meaning, type Row, row } from './instruction.ts';

/** Size in bytes of the first operand, which flags are computed at. */
function sizeOf(c: Semantics): number {
  return c.form.row.operands[0]!.size === 'b' ? 1 : c.size;
}

/** A 0/1 carry (i32) as a value of the operand size. */
function carryAs(c: Semantics, carry: Value, size: number): Value {
  return size === 8 ? carry.extendU() : c.unsigned(carry, size);
}

function add(c: Semantics, a: Value, b: Value): Value {
  const result = a.add(b);
  c.setFlags('add', result, b, sizeOf(c));
  return result;
}

function adc(c: Semantics, a: Value, b: Value): Value {
  const size = sizeOf(c);
  const carry = c.carry();
  const result = a.add(b).add(carryAs(c, carry, size));
  c.setCarryFlags('add', result, b, carry, size);
  return result;
}

function sub(c: Semantics, a: Value, b: Value): Value {
  return c.setCompareFlags(a, b, sizeOf(c));
}

function sbb(c: Semantics, a: Value, b: Value): Value {
  const size = sizeOf(c);
  const carry = c.carry();
  const result = a.sub(b).sub(carryAs(c, carry, size));
  c.setCarryFlags('sub', result, a, carry, size);
  return result;
}

function logic(compute: (a: Value, b: Value) => Value) {
  return (c: Semantics, a: Value, b: Value): Value => {
    const result = compute(a, b);
    c.setLogicFlags(result, sizeOf(c));
    return result;
  };
}

const and = logic((a, b) => a.and(b));
const or = logic((a, b) => a.or(b));
const xor = logic((a, b) => a.xor(b));

function binary(compute: (c: Semantics, a: Value, b: Value) => Value): Meaning {
  return meaning('rw r', (c, a, b) => compute(c, a!, b!));
}

/** Computes the flags alone. */
function compare(compute: (c: Semantics, a: Value, b: Value) => Value): Meaning {
  return meaning('r r', (c, a, b) => {
    compute(c, a!, b!);
  });
}

function step(kind: 'inc' | 'dec'): Meaning {
  return meaning('rw', (c, a) => {
    const result = kind === 'inc' ? a!.add(1) : a!.sub(1);
    c.setStepFlags(kind, result, sizeOf(c));
    return result;
  });
}

const negate = meaning('rw', (c, a) => sub(c, c.constant(0, sizeOf(c)), a!));

const not = meaning('rw', (_, a) => a!.not());

const exchangeAdd = meaning('rw rw', (c, a, b) => {
  const sum = add(c, a!, b!);
  // The register operand first: when both are the same register, the sum remains.
  return [sum, a!];
});

const compareExchange = meaning('a r', (c, source) => {
  const size = sizeOf(c);
  const { fn } = c;
  const accumulator = c.gpr(0, size);
  // Memory is written in either case, with what it was when the values differ; a register only when they are equal.
  const target = c.form.memory ? c.probe(c.memoryAddress(), size, 'rw') : undefined;
  const destination = target === undefined ? c.readRegister(c.rmPlace(), size) : c.loadAt(target, size);
  const equal = destination.eq(accumulator);
  sub(c, accumulator, destination);
  if (target !== undefined) {
    c.storeAt(target, size, fn.select(equal, source!, destination));
    fn.if(equal.eqz(), () => c.setGpr(0, destination, size));
    return;
  }
  fn.if(
    equal,
    () => c.writeRegister(c.rmPlace(), size, source!),
    () => c.setGpr(0, destination, size),
  );
});

const exchange = meaning('rw rw', (_, a, b) => [b!, a!]);

const families: [string, Meaning][] = [
  ['ADD', binary(add)],
  ['OR', binary(or)],
  ['ADC', binary(adc)],
  ['SBB', binary(sbb)],
  ['AND', binary(and)],
  ['SUB', binary(sub)],
  ['XOR', binary(xor)],
  ['CMP', compare(sub)],
];

const hex = (value: number) => value.toString(16).padStart(2, '0');

/** The eight two-operand families, whose encodings follow one pattern. */
function familyRows([name, does]: [string, Meaning], digit: number): Row[] {
  const lock = { lock: name !== 'CMP' };
  const base = digit * 8;
  return [
    ...row(hex(base), `${name} Eb,Gb`, does, lock),
    ...row(hex(base + 1), `${name} Ev,Gv`, does, lock),
    ...row(hex(base + 2), `${name} Gb,Eb`, does),
    ...row(hex(base + 3), `${name} Gv,Ev`, does),
    ...row(hex(base + 4), `${name} AL,Ib`, does),
    ...row(hex(base + 5), `${name} rAX,Iz`, does),
    ...row(`80 /${digit}`, `${name} Eb,Ib`, does, lock),
    ...row(`81 /${digit}`, `${name} Ev,Iz`, does, lock),
    ...row(`82 /${digit}`, `${name} Eb,Ib`, does, { ...lock, mode: 'not64' }),
    ...row(`83 /${digit}`, `${name} Ev,Ibv`, does, lock),
  ];
}

const test = compare(and);

/** Opcode rows of this file. */
export const arithmetic: readonly Row[] = [
  ...families.flatMap(familyRows),
  ...row('84', 'TEST Eb,Gb', test),
  ...row('85', 'TEST Ev,Gv', test),
  ...row('A8', 'TEST AL,Ib', test),
  ...row('A9', 'TEST rAX,Iz', test),
  ...row('F6 /0', 'TEST Eb,Ib', test),
  ...row('F6 /1', 'TEST Eb,Ib', test),
  ...row('F7 /0', 'TEST Ev,Iz', test),
  ...row('F7 /1', 'TEST Ev,Iz', test),
  ...row('F6 /2', 'NOT Eb', not, { lock: true }),
  ...row('F7 /2', 'NOT Ev', not, { lock: true }),
  ...row('F6 /3', 'NEG Eb', negate, { lock: true }),
  ...row('F7 /3', 'NEG Ev', negate, { lock: true }),
  ...row('FE /0', 'INC Eb', step('inc'), { lock: true }),
  ...row('FF /0', 'INC Ev', step('inc'), { lock: true }),
  ...row('FE /1', 'DEC Eb', step('dec'), { lock: true }),
  ...row('FF /1', 'DEC Ev', step('dec'), { lock: true }),
  ...row('40+r', 'INC Zv', step('inc'), { mode: 'not64' }),
  ...row('48+r', 'DEC Zv', step('dec'), { mode: 'not64' }),
  ...row('0F C0', 'XADD Eb,Gb', exchangeAdd, { lock: true }),
  ...row('0F C1', 'XADD Ev,Gv', exchangeAdd, { lock: true }),
  ...row('0F B0', 'CMPXCHG Eb,Gb', compareExchange, { lock: true }),
  ...row('0F B1', 'CMPXCHG Ev,Gv', compareExchange, { lock: true }),
  ...row('86', 'XCHG Eb,Gb', exchange, { lock: true }),
  ...row('87', 'XCHG Ev,Gv', exchange, { lock: true }),
];
