/** Floating-point arithmetic and comparison of SSE, SSE2, SSE3 and SSE4.1 (SDM vol. 2). */
import type { Value } from '../../wasm/value.ts';
import { operations } from '../core/softarithmetic.ts';
import type { Semantics } from '../semantics.ts';
import {
  all,
  choosePath,
  exactly,
  inLanes,
  isAboveSmallest,
  isBounded,
  isNative,
  isNormal,
  isPositiveNormal,
  isQuiet,
  pd,
  ps,
  type Shape,
  sd,
  shapes,
  ss,
  toBits,
  toFloat,
} from './floatlanes.ts';
import { type Meaning, meaning, type Row, row } from './instruction.ts';
import { choose, direct, exchanged, lanesOfBits, type Packed } from './packed.ts';
import { onXmm } from './packedinteger.ts';

/** Operands and result with which an addition or subtraction raises no exception but, perhaps, the precision exception. */
function ordinarySum(c: Semantics, shape: Shape, x: Value, y: Value, sum: Value): Value {
  // A sum that is tiny is exact: no underflow.
  return all(shape, isQuiet(c, shape, x), isQuiet(c, shape, y), isBounded(c, shape, sum));
}

/** The same for a product or a quotient. */
function ordinaryProduct(c: Semantics, shape: Shape, x: Value, y: Value, product: Value): Value {
  return all(
    shape,
    isNormal(c, shape, x),
    isNormal(c, shape, y),
    isAboveSmallest(c, shape, product),
    isBounded(c, shape, product),
  );
}

const arithmetics = {
  add: { instruction: 'add', ordinary: ordinarySum },
  subtract: { instruction: 'sub', ordinary: ordinarySum },
  multiply: { instruction: 'mul', ordinary: ordinaryProduct },
  divide: { instruction: 'div', ordinary: ordinaryProduct },
} as const;
type Arithmetic = keyof typeof arithmetics;

/** One operation in all lanes of a shape; operands and result are bit patterns. */
function compute(c: Semantics, shape: Shape, operation: Arithmetic, a: Value, b: Value): Value {
  const { instruction, ordinary } = arithmetics[operation];
  const [x, y] = [toFloat(shape, a), toFloat(shape, b)];
  const result = x.apply(`${shape.unit}.${instruction}`, y);
  const fast = isNative(c).and(ordinary(c, shape, x, y, result));
  return choosePath(c, shape.type, fast, toBits(shape, result), () =>
    exactly(c, shape, inLanes(shape, operation), a, b),
  );
}

function arithmetic(operation: Arithmetic, shape: Shape): Meaning {
  return meaning('rw r', (c, a, b) => compute(c, shape, operation, a!, b!));
}

function squareRoot(shape: Shape): Meaning {
  return meaning('w r', (c, source) => {
    const x = toFloat(shape, source!);
    const fast = isNative(c).and(all(shape, isPositiveNormal(c, shape, x), isBounded(c, shape, x)));
    return choosePath(c, shape.type, fast, toBits(shape, x.apply(`${shape.unit}.sqrt`)), () =>
      exactly(c, shape, inLanes(shape, 'squareRoot'), source!, source!),
    );
  });
}

/** True when neither operand raises an exception in an operation that does not round. */
function bothQuiet(c: Semantics, shape: Shape, x: Value, y: Value): Value {
  return all(shape, isQuiet(c, shape, x), isQuiet(c, shape, y));
}

/** MIN, MAX: the second operand unless the first is less, or greater. */
function extreme(operation: 'minimum' | 'maximum', shape: Shape): Meaning {
  return meaning('rw r', (c, a, b) => {
    const [x, y] = [toFloat(shape, a!), toFloat(shape, b!)];
    const before = shape.scalar
      ? c.fn.select(x.apply(`${shape.unit}.${operation === 'minimum' ? 'lt' : 'gt'}`, y), a!, b!)
      : y.apply(`${shape.unit}.${operation === 'minimum' ? 'pmin' : 'pmax'}`, x);
    return choosePath(c, shape.type, bothQuiet(c, shape, x, y), before, () =>
      exactly(c, shape, inLanes(shape, operation), a!, b!),
    );
  });
}

/** CMPPS and its like: bits 0 and 1 of the immediate choose the comparison, bit 2 negates it (SDM vol. 2, table 3-1). */
function compare(shape: Shape): Meaning {
  return meaning('rw r r', (c, a, b, immediate) => {
    const { fn } = c;
    const [x, y] = [toFloat(shape, a!), toFloat(shape, b!)];
    const spread = (condition: Value): Value => {
      if (!shape.scalar) return condition;
      return shape.type === 'i64' ? condition.extendU().negate() : condition.negate();
    };
    const everywhere = (bit: Value): Value => {
      const wide = shape.type === 'i64' ? bit.extendU().negate() : bit.negate();
      return shape.scalar ? wide : wide.apply('i32x4.splat');
    };
    const predicate = immediate!.and(3);
    const result = fn.local(shape.type);
    fn.if(
      bothQuiet(c, shape, x, y),
      () => {
        const set = (name: string) => () => result.set(spread(x.apply(`${shape.unit}.${name}`, y)));
        // None is unordered here.
        fn.switch(predicate, [set('eq'), set('lt'), set('le')], () => result.set(everywhere(fn.i32(0))));
      },
      () => {
        const code = predicate.add(operations.equal);
        const work = shape.scalar ? code.or(inLanes(shape, 'add')) : code.mul(0x1111);
        result.set(exactly(c, shape, work, a!, b!));
      },
    );
    const negation = everywhere(immediate!.shrU(2).and(1));
    return shape.scalar ? result.get().xor(negation) : result.get().apply('v128.xor', negation);
  });
}

/** UCOMISS, COMISS: ZF, PF and CF. */
function order(operation: 'order' | 'orderSignaling', shape: Shape): Meaning {
  return meaning('r r', (c, a, b) => {
    const [x, y] = [toFloat(shape, a!), toFloat(shape, b!)];
    const flags = x
      .apply(`${shape.unit}.eq`, y)
      .shl(6)
      .or(x.apply(`${shape.unit}.lt`, y));
    c.setAllFlags(
      choosePath(c, 'i32', bothQuiet(c, shape, x, y), flags, () => {
        const exact = exactly(c, shape, inLanes(shape, operation), a!, b!);
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
    return choosePath(c, 'v128', fast, sum, () =>
      exactly(c, shape, shape.size === 4 ? pair * 0x101 : pair, a!, b!),
    );
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
    if (shape.scalar) return c.fn.call(routine, source!);
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
