/** Floating-point arithmetic and comparison of SSE, SSE2, SSE3 and SSE4.1 (SDM vol. 2). */
import type { Value } from '../../wasm/value.ts';
import { operations } from '../core/softarithmetic.ts';
import { CF, ZF } from '../flags.ts';
import type { Semantics } from '../semantics.ts';
import {
  all,
  bitsOf,
  choosePath,
  either,
  exactly,
  exactOperation,
  fromBits,
  isAboveSmallest,
  isBounded,
  isNative,
  isNormal,
  isPositiveNormal,
  isQuiet,
  isZero,
  pd,
  ps,
  type Shape,
  sd,
  shapes,
  ss,
} from './floatlanes.ts';
import { type Meaning, meaning, type Row, row } from './instruction.ts';
import { choose, direct, exchanged, lanesOfBits, type Packed } from './packed.ts';
import { onXmm } from './packedinteger.ts';

/** Operands and result with which an addition or subtraction raises no exception but, perhaps, the precision exception. */
function ordinarySum(c: Semantics, shape: Shape, x: Value, y: Value, sum: Value): Value {
  // A sum that is tiny is exact: no underflow.
  return all(shape, isQuiet(c, shape, x), isQuiet(c, shape, y), isBounded(c, shape, sum));
}

/** A result that has not underflowed, or that is zero because an operand is. */
function noUnderflow(c: Semantics, shape: Shape, result: Value, ...zeros: Value[]): Value {
  return [isAboveSmallest(c, shape, result), ...zeros].reduce((a, b) => either(shape, a, b));
}

/** The same as {@link ordinarySum} for a product. */
function ordinaryProduct(c: Semantics, shape: Shape, x: Value, y: Value, product: Value): Value {
  const [zeroX, zeroY] = [isZero(c, shape, x), isZero(c, shape, y)];
  return all(
    shape,
    either(shape, isNormal(c, shape, x), zeroX),
    either(shape, isNormal(c, shape, y), zeroY),
    noUnderflow(c, shape, product, zeroX, zeroY),
    isBounded(c, shape, product),
  );
}

/** The same for a quotient. */
function ordinaryQuotient(c: Semantics, shape: Shape, x: Value, y: Value, quotient: Value): Value {
  const zeroX = isZero(c, shape, x);
  return all(
    shape,
    either(shape, isNormal(c, shape, x), zeroX),
    isNormal(c, shape, y),
    noUnderflow(c, shape, quotient, zeroX),
    isBounded(c, shape, quotient),
  );
}

const arithmetics = {
  add: { instruction: 'add', ordinary: ordinarySum },
  subtract: { instruction: 'sub', ordinary: ordinarySum },
  multiply: { instruction: 'mul', ordinary: ordinaryProduct },
  divide: { instruction: 'div', ordinary: ordinaryQuotient },
} as const;
type Arithmetic = keyof typeof arithmetics;

/** One operation in all lanes of a shape. */
function compute(c: Semantics, shape: Shape, operation: Arithmetic, a: Value, b: Value): Value {
  const { instruction, ordinary } = arithmetics[operation];
  const result = a.apply(`${shape.unit}.${instruction}`, b);
  const fast = isNative(c).and(ordinary(c, shape, a, b, result));
  return choosePath(c, fast, result, () => exactOperation(c, shape, operation, a, b));
}

function arithmetic(operation: Arithmetic, shape: Shape): Meaning {
  return meaning('rw r', (c, a, b) => compute(c, shape, operation, a!, b!));
}

function squareRoot(shape: Shape): Meaning {
  return meaning('w r', (c, x) => {
    const harmless = either(shape, isPositiveNormal(c, shape, x!), isZero(c, shape, x!));
    const fast = isNative(c).and(all(shape, harmless, isBounded(c, shape, x!)));
    return choosePath(c, fast, x!.apply(`${shape.unit}.sqrt`), () =>
      exactOperation(c, shape, 'squareRoot', x!, x!),
    );
  });
}

/** True when neither operand raises an exception in an operation that does not round. */
function bothQuiet(c: Semantics, shape: Shape, a: Value, b: Value): Value {
  return all(shape, isQuiet(c, shape, a), isQuiet(c, shape, b));
}

/** MIN, MAX: the second operand unless the first is less, or greater. */
function extreme(operation: 'minimum' | 'maximum', shape: Shape): Meaning {
  const [comparison, instruction] = operation === 'minimum' ? ['lt', 'pmin'] : ['gt', 'pmax'];
  return meaning('rw r', (c, a, b) => {
    const result = shape.scalar
      ? c.fn.select(a!.apply(`${shape.unit}.${comparison}`, b!), a!, b!)
      : b!.apply(`${shape.unit}.${instruction}`, a!);
    return choosePath(c, bothQuiet(c, shape, a!, b!), result, () =>
      exactOperation(c, shape, operation, a!, b!),
    );
  });
}

/** A condition of 0 or 1 (i32) in all bits of a scalar or of a v128. */
function spread(shape: Shape, condition: Value): Value {
  if (!shape.scalar) return condition.negate().apply('i32x4.splat');
  return fromBits(shape, (shape.integer === 'i64' ? condition.extendU() : condition).negate());
}

/** CMPPS and its like: bits 0 and 1 of the immediate choose the comparison, bit 2 negates it (SDM vol. 2, table 3-1). */
function compare(shape: Shape): Meaning {
  return meaning('rw r r', (c, a, b, immediate) => {
    const { fn } = c;
    const predicate = immediate!.and(3);
    const result = fn.local(shape.type);
    fn.if(
      bothQuiet(c, shape, a!, b!),
      () => {
        const set = (name: string) => () => {
          const holds = a!.apply(`${shape.unit}.${name}`, b!);
          result.set(shape.scalar ? spread(shape, holds) : holds);
        };
        // None is unordered here.
        fn.switch(predicate, [set('eq'), set('lt'), set('le')], () => result.set(spread(shape, fn.i32(0))));
      },
      () => {
        const operation = predicate.add(operations.equal);
        result.set(exactly(c, shape, shape.scalar ? operation : operation.mul(0x1111), a!, b!));
      },
    );
    const negated = immediate!.shrU(2).and(1);
    if (!shape.scalar) return result.get().apply('v128.xor', spread(shape, negated));
    const negation = bitsOf(shape, spread(shape, negated));
    return fromBits(shape, bitsOf(shape, result.get()).xor(negation));
  });
}

/** UCOMISS, COMISS: ZF, PF and CF. */
function order(operation: 'order' | 'orderSignaling', shape: Shape): Meaning {
  return meaning('r r', (c, a, b) => {
    const equal = a!.apply(`${shape.unit}.eq`, b!);
    const flags = equal.mul(ZF).or(a!.apply(`${shape.unit}.lt`, b!).mul(CF));
    c.setAllFlags(
      choosePath(c, bothQuiet(c, shape, a!, b!), flags, () => {
        const exact = bitsOf(shape, exactOperation(c, shape, operation, a!, b!));
        return exact.type === 'i64' ? exact.wrap() : exact;
      }),
    );
  });
}

/** ADDSUBPS: subtracts in the even lanes, adds in the odd ones. */
function addSubtract(shape: Shape): Meaning {
  const { add, subtract } = operations;
  const pair = subtract | (add << 4);
  return meaning('rw r', (c, a, b) => {
    const signs = Array.from({ length: 16 }, (_, i) => (i % (2 * shape.size) === shape.size - 1 ? 0x80 : 0));
    const sum = a!.apply(`${shape.lanes}.add`, b!.apply('v128.xor', c.fn.v128(signs)));
    const fast = isNative(c).and(ordinarySum(c, shape, a!, b!, sum));
    return choosePath(c, fast, sum, () => exactly(c, shape, pair * 0x101, a!, b!));
  });
}

/** HADDPS, HSUBPS: neighbouring lanes of both operands. */
function horizontal(operation: 'add' | 'subtract', shape: Shape): Meaning {
  const even = shape.size === 4 ? choose(4, 0, 2, 4, 6) : choose(8, 0, 2);
  const odd = shape.size === 4 ? choose(4, 1, 3, 5, 7) : choose(8, 1, 3);
  return meaning('rw r', (c, a, b) => compute(c, shape, operation, even(a!, b!), odd(a!, b!)));
}

/**
 * DPPS, DPPD: the sum of the products that the immediate's upper bits choose, in the lanes that its lower bits choose. Which
 * operand of an addition comes first shows when both are NaNs.
 */
function dotProduct(shape: Shape): Meaning {
  return meaning('rw r r', (c, a, b, immediate) => {
    const chosen = lanesOfBits(immediate!.shrU(4), shape.size);
    const both = (x: Value) => x.apply('v128.and', chosen);
    const products = compute(c, shape, 'multiply', both(a!), both(b!));
    const halves = choose(8, 1, 0);
    let sum: Value;
    if (shape.size === 4) {
      const pairs = compute(c, shape, 'add', choose(4, 1, 0, 3, 2)(products, products), products);
      sum = compute(c, shape, 'add', pairs, halves(pairs, pairs));
    } else sum = compute(c, shape, 'add', products, halves(products, products));
    return sum.apply('v128.and', lanesOfBits(immediate!, shape.size));
  });
}

/** RCPPS, RSQRTPS, RCPSS, RSQRTSS. */
function approximate(kind: 'reciprocal' | 'reciprocalRoot', shape: Shape): Meaning {
  return meaning('w r', (c, source) => {
    const routine = c.core[kind];
    if (shape.scalar) return fromBits(shape, c.fn.call(routine, bitsOf(shape, source!)));
    let result = source!;
    for (let lane = 0; lane < 4; lane++) {
      const value = c.fn.call(routine, source!.lane('i32x4.extract_lane', lane));
      result = result.withLane('i32x4.replace_lane', lane, value);
    }
    return result;
  });
}

/** A row for each shape given: `opcode` follows the prefix and 0F. */
function rowsFor(
  list: readonly Shape[],
  opcode: string,
  name: string,
  make: (shape: Shape) => Meaning,
  immediate = '',
): Row[] {
  return list.flatMap((shape) => {
    const { prefix, suffix } = shape;
    const operands = `V${suffix},W${suffix}${immediate}`;
    return row(`${prefix} 0F ${opcode}`, `${name}${suffix.toUpperCase()} ${operands}`, make(shape));
  });
}

const logic: readonly [name: string, opcode: string, compute: Packed][] = [
  ['AND', '54', direct('v128.and')],
  ['ANDN', '55', exchanged('v128.andnot')],
  ['OR', '56', direct('v128.or')],
  ['XOR', '57', direct('v128.xor')],
];

/** Opcode rows of this file. */
export const sseFloat: readonly Row[] = [
  ...rowsFor(shapes, '58', 'ADD', (shape) => arithmetic('add', shape)),
  ...rowsFor(shapes, '5C', 'SUB', (shape) => arithmetic('subtract', shape)),
  ...rowsFor(shapes, '59', 'MUL', (shape) => arithmetic('multiply', shape)),
  ...rowsFor(shapes, '5E', 'DIV', (shape) => arithmetic('divide', shape)),
  ...rowsFor(shapes, '51', 'SQRT', squareRoot),
  ...rowsFor(shapes, '5D', 'MIN', (shape) => extreme('minimum', shape)),
  ...rowsFor(shapes, '5F', 'MAX', (shape) => extreme('maximum', shape)),
  ...rowsFor(shapes, 'C2', 'CMP', compare, ',Ib'),
  ...logic.flatMap(([name, opcode, combine]) => rowsFor([ps, pd], opcode, name, () => onXmm(combine))),
  ...rowsFor([ps, ss], '52', 'RSQRT', (shape) => approximate('reciprocalRoot', shape)),
  ...rowsFor([ps, ss], '53', 'RCP', (shape) => approximate('reciprocal', shape)),
  ...row('NP 0F 2E', 'UCOMISS Vss,Wss', order('order', ss)),
  ...row('66 0F 2E', 'UCOMISD Vsd,Wsd', order('order', sd)),
  ...row('NP 0F 2F', 'COMISS Vss,Wss', order('orderSignaling', ss)),
  ...row('66 0F 2F', 'COMISD Vsd,Wsd', order('orderSignaling', sd)),
  ...row('F2 0F D0', 'ADDSUBPS Vps,Wps', addSubtract(ps)),
  ...row('66 0F D0', 'ADDSUBPD Vpd,Wpd', addSubtract(pd)),
  ...row('F2 0F 7C', 'HADDPS Vps,Wps', horizontal('add', ps)),
  ...row('66 0F 7C', 'HADDPD Vpd,Wpd', horizontal('add', pd)),
  ...row('F2 0F 7D', 'HSUBPS Vps,Wps', horizontal('subtract', ps)),
  ...row('66 0F 7D', 'HSUBPD Vpd,Wpd', horizontal('subtract', pd)),
  ...row('66 0F 3A 40', 'DPPS Vps,Wps,Ib', dotProduct(ps)),
  ...row('66 0F 3A 41', 'DPPD Vpd,Wpd,Ib', dotProduct(pd)),
];
