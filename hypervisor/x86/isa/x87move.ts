/** x87 loads, stores, moves and constants (SDM vol. 1, 8.3.3 and 8.3.4). */
import type { Value } from '../../wasm/value.ts';
import { type Format, formats, truncated, uncheckedPop } from '../core/x87move.ts';
import { commitPending } from '../memoryaccess.ts';
import type { Semantics } from '../semantics.ts';
import { type Meaning, meaning, type Row, row } from './instruction.ts';
import { onOperand, onRegisters, position, rememberX87, waitForX87 } from './x87.ts';

const loadSingle = onOperand(4, (c, bits) => {
  c.fn.callAll(c.core.x87Load, c.cpu, ...c.fn.callAll(c.core.float80FromSingle, bits));
});

const loadDouble = onOperand(8, (c, bits) => {
  c.fn.callAll(c.core.x87Load, c.cpu, ...c.fn.callAll(c.core.float80FromDouble, bits));
});

function loadInteger(size: 2 | 4 | 8): Meaning {
  return onOperand(size, (c, value) => {
    const number = c.fn.callAll(c.core.float80FromInteger, c.signed(value, size));
    c.fn.callAll(c.core.x87Push, c.cpu, ...number);
  });
}

/** Loads of 10 bytes: `take` makes a number of the low 8 and the high 2. */
function load80(take: (c: Semantics, low: Value, high: Value) => readonly Value[]): Meaning {
  return meaning('a', (c) => {
    waitForX87(c);
    const address = c.memoryAddress();
    const { host } = c.probe(address, 10, 'r');
    const low = c.fn.load('i64', host);
    const high = c.fn.load('i32_16u', host, 8);
    rememberX87(c, address);
    c.fn.callAll(c.core.x87Push, c.cpu, ...take(c, low, high));
  });
}

const formatBytes: Record<Format, 2 | 4 | 8 | 10> = {
  int16: 2,
  int32: 4,
  int64: 8,
  single: 4,
  double: 8,
  decimal: 10,
  extended: 10,
};

/** A store to memory in a format. An exception that forbids the store comes before those of the access. */
function store(format: Format, options: { pop?: boolean; truncate?: boolean } = {}): Meaning {
  const size = formatBytes[format];
  const code = formats[format] | (options.truncate === true ? truncated : 0);
  return meaning('a', (c) => {
    const { fn } = c;
    waitForX87(c);
    const address = c.memoryAddress();
    const [low, high, flags] = fn.callAll(c.core.x87Convert, c.cpu, code) as [Value, Value, Value];
    fn.if(flags.geS(0), () => {
      const target = c.probe(address, size, 'w');
      if (size === 10) {
        fn.store('i64', target.host, low);
        fn.store('i32_16', target.host, high, 8);
        commitPending(c, target);
      } else c.storeAt(target, size, size === 8 ? low : low.wrap());
    });
    rememberX87(c, address);
    fn.callAll(c.core.x87Stored, c.cpu, flags, options.pop === true ? 1 : 0);
  });
}

const storeRegister = (pop: 0 | 1 | typeof uncheckedPop) =>
  onRegisters((c) => {
    c.fn.callAll(c.core.x87StoreRegister, c.cpu, position(c), pop);
  });
const loadRegister = onRegisters((c) => {
  c.fn.callAll(c.core.x87LoadRegister, c.cpu, position(c));
});
const loadConstant = onRegisters((c) => {
  c.fn.callAll(c.core.x87LoadConstant, c.cpu, position(c));
});
const exchange = onRegisters((c) => {
  c.fn.callAll(c.core.x87Exchange, c.cpu, position(c));
});

const conditionalMove = (condition: number) =>
  onRegisters((c) => {
    c.fn.callAll(c.core.x87ConditionalMove, c.cpu, position(c), c.condition(condition));
  });

/** Rows of FCMOVcc: opcode, digit, condition tttn. */
const conditionalMoves = (
  [
    ['DA', 0, 2],
    ['DA', 1, 4],
    ['DA', 2, 6],
    ['DA', 3, 10],
    ['DB', 0, 3],
    ['DB', 1, 5],
    ['DB', 2, 7],
    ['DB', 3, 11],
  ] as const
).flatMap(([opcode, digit, condition]) =>
  row(`${opcode} /${digit} reg`, 'FCMOVcc T', conditionalMove(condition)),
);

const constants = ['E8', 'E9', 'EA', 'EB', 'EC', 'ED', 'EE'].flatMap((modrm) =>
  row(`D9 modrm:${modrm}`, 'FLDcc T', loadConstant),
);

/** Opcode rows of this file. */
export const x87Moves: readonly Row[] = [
  ...row('D9 /0 mem', 'FLD T', loadSingle),
  ...row('DD /0 mem', 'FLD T', loadDouble),
  ...row(
    'DB /5 mem',
    'FLD T',
    load80((_, low, high) => [low, high]),
  ),
  ...row('D9 /0 reg', 'FLD T', loadRegister),
  ...row('DF /0 mem', 'FILD T', loadInteger(2)),
  ...row('DB /0 mem', 'FILD T', loadInteger(4)),
  ...row('DF /5 mem', 'FILD T', loadInteger(8)),
  ...row(
    'DF /4 mem',
    'FBLD T',
    load80((c, low, high) => c.fn.callAll(c.core.float80FromDecimal, low, high)),
  ),
  ...constants,
  ...row('D9 /2 mem', 'FST T', store('single')),
  ...row('D9 /3 mem', 'FSTP T', store('single', { pop: true })),
  ...row('DD /2 mem', 'FST T', store('double')),
  ...row('DD /3 mem', 'FSTP T', store('double', { pop: true })),
  ...row('DB /7 mem', 'FSTP T', store('extended', { pop: true })),
  ...row('DF /2 mem', 'FIST T', store('int16')),
  ...row('DF /3 mem', 'FISTP T', store('int16', { pop: true })),
  ...row('DB /2 mem', 'FIST T', store('int32')),
  ...row('DB /3 mem', 'FISTP T', store('int32', { pop: true })),
  ...row('DF /7 mem', 'FISTP T', store('int64', { pop: true })),
  ...row('DF /1 mem', 'FISTTP T', store('int16', { pop: true, truncate: true })),
  ...row('DB /1 mem', 'FISTTP T', store('int32', { pop: true, truncate: true })),
  ...row('DD /1 mem', 'FISTTP T', store('int64', { pop: true, truncate: true })),
  ...row('DF /6 mem', 'FBSTP T', store('decimal', { pop: true })),
  ...row('DD /2 reg', 'FST T', storeRegister(0)),
  ...row('DD /3 reg', 'FSTP T', storeRegister(1)),
  ...row('D9 /1 reg', 'FXCH T', exchange),
  ...conditionalMoves,
  // Further encodings that processors execute though the manual does not name them.
  ...row('D9 /3 reg', 'FSTPNCE T', storeRegister(uncheckedPop)),
  ...row('DF /2 reg', 'FSTP T', storeRegister(1)),
  ...row('DF /3 reg', 'FSTP T', storeRegister(1)),
  ...row('DD /1 reg', 'FXCH T', exchange),
  ...row('DF /1 reg', 'FXCH T', exchange),
];
