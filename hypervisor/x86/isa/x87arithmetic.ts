/** x87 arithmetic, comparison and transcendental functions (SDM vol. 1, 8.3.5 … 8.3.8). */
import type { Value } from '../../wasm/value.ts';
import {
  combineOperations,
  pairOperations,
  scaleOperations,
  unaryOperations,
} from '../core/x87arithmetic.ts';
import type { Semantics } from '../semantics.ts';
import type { Meaning, Row } from './instruction.ts';
import { row } from './instruction.ts';
import { onOperand, onRegisters, position } from './x87.ts';

/** The operations by ModRM.reg; 2 and 3 compare. */
const names = ['ADD', 'MUL', 'COM', 'COMP', 'SUB', 'SUBR', 'DIV', 'DIVR'];

/** Operands in memory: opcode, size, and how a value becomes a number with options. */
const memoryOperands: readonly {
  opcode: string;
  integer: boolean;
  size: 2 | 4 | 8;
  number: (c: Semantics, value: Value) => readonly (Value | number)[];
}[] = [
  {
    opcode: 'D8',
    integer: false,
    size: 4,
    number: (c, value) => c.fn.callAll(c.core.float80FromSingle, value),
  },
  {
    opcode: 'DC',
    integer: false,
    size: 8,
    number: (c, value) => c.fn.callAll(c.core.float80FromDouble, value),
  },
  {
    opcode: 'DA',
    integer: true,
    size: 4,
    number: (c, value) => [...c.fn.callAll(c.core.float80FromInteger, c.signed(value, 4)), 0],
  },
  {
    opcode: 'DE',
    integer: true,
    size: 2,
    number: (c, value) => [...c.fn.callAll(c.core.float80FromInteger, c.signed(value, 2)), 0],
  },
];

const withMemory = memoryOperands.flatMap(({ opcode, integer, size, number }) =>
  names.flatMap((name, digit) => {
    const does = onOperand(size, (c, value) => {
      const operand = number(c, value);
      if (digit === 2 || digit === 3) c.fn.callAll(c.core.x87Compare, c.cpu, ...operand, digit - 2);
      else c.fn.callAll(c.core.x87Arithmetic, c.cpu, digit, ...operand);
    });
    return row(`${opcode} /${digit} mem`, `F${integer ? 'I' : ''}${name} T`, does);
  }),
);

/** Arithmetic of ST(0) and ST(i): `how` as `x87ArithmeticRegister` takes it. */
const arithmeticRows = [
  { opcode: 'D8', how: 0 },
  { opcode: 'DC', how: 1 },
  { opcode: 'DE', how: 3 },
].flatMap(({ opcode, how }) =>
  [0, 1, 4, 5, 6, 7].flatMap((digit) =>
    row(
      `${opcode} /${digit} reg`,
      `F${names[digit]} T`,
      onRegisters((c) => {
        c.fn.callAll(c.core.x87ArithmeticRegister, c.cpu, digit, position(c), how);
      }),
    ),
  ),
);

const compare = (quiet: 0 | 1, pops: 0 | 1 | 2) =>
  onRegisters((c) => {
    c.fn.callAll(c.core.x87CompareRegister, c.cpu, position(c), quiet, pops);
  });

const compareFlags = (quiet: 0 | 1, pops: 0 | 1) =>
  onRegisters((c) => {
    c.setAllFlags(c.fn.call(c.core.x87CompareFlags, c.cpu, position(c), quiet, pops));
  });

const call = (name: 'x87Test' | 'x87Examine'): Meaning =>
  onRegisters((c) => {
    c.fn.callAll(c.core[name], c.cpu);
  });

const sign = (mask: number, value: number) =>
  onRegisters((c) => {
    c.fn.callAll(c.core.x87Sign, c.cpu, mask, value);
  });

const unary = (name: (typeof unaryOperations)[number]) =>
  onRegisters((c) => {
    c.fn.callAll(c.core.x87Unary, c.cpu, unaryOperations.indexOf(name));
  });

const scale = (name: (typeof scaleOperations)[number]) =>
  onRegisters((c) => {
    c.fn.callAll(c.core.x87Scale, c.cpu, scaleOperations.indexOf(name));
  });

const pair = (name: (typeof pairOperations)[number]) =>
  onRegisters((c) => {
    c.fn.callAll(c.core.x87Pair, c.cpu, pairOperations.indexOf(name));
  });

const combine = (name: (typeof combineOperations)[number]) =>
  onRegisters((c) => {
    c.fn.callAll(c.core.x87Combine, c.cpu, combineOperations.indexOf(name));
  });

/** Opcode rows of this file. */
export const x87Arithmetic: readonly Row[] = [
  ...withMemory,
  ...arithmeticRows,
  ...row('D8 /2 reg', 'FCOM T', compare(0, 0)),
  ...row('D8 /3 reg', 'FCOMP T', compare(0, 1)),
  ...row('DE modrm:D9', 'FCOMPP T', compare(0, 2)),
  ...row('DD /4 reg', 'FUCOM T', compare(1, 0)),
  ...row('DD /5 reg', 'FUCOMP T', compare(1, 1)),
  ...row('DA modrm:E9', 'FUCOMPP T', compare(1, 2)),
  ...row('DB /5 reg', 'FUCOMI T', compareFlags(1, 0)),
  ...row('DB /6 reg', 'FCOMI T', compareFlags(0, 0)),
  ...row('DF /5 reg', 'FUCOMIP T', compareFlags(1, 1)),
  ...row('DF /6 reg', 'FCOMIP T', compareFlags(0, 1)),
  ...row('D9 modrm:E0', 'FCHS T', sign(0xffff, 0x8000)),
  ...row('D9 modrm:E1', 'FABS T', sign(0x7fff, 0)),
  ...row('D9 modrm:E4', 'FTST T', call('x87Test')),
  ...row('D9 modrm:E5', 'FXAM T', call('x87Examine')),
  ...row('D9 modrm:F4', 'FXTRACT T', pair('FXTRACT')),
  ...row('D9 modrm:F5', 'FPREM1 T', scale('FPREM1')),
  ...row('D9 modrm:F8', 'FPREM T', scale('FPREM')),
  ...row('D9 modrm:FA', 'FSQRT T', unary('FSQRT')),
  ...row('D9 modrm:FC', 'FRNDINT T', unary('FRNDINT')),
  ...row('D9 modrm:FD', 'FSCALE T', scale('FSCALE')),
  ...row('D9 modrm:F0', 'F2XM1 T', unary('F2XM1')),
  ...row('D9 modrm:F1', 'FYL2X T', combine('FYL2X')),
  ...row('D9 modrm:F2', 'FPTAN T', pair('FPTAN')),
  ...row('D9 modrm:F3', 'FPATAN T', combine('FPATAN')),
  ...row('D9 modrm:F9', 'FYL2XP1 T', combine('FYL2XP1')),
  ...row('D9 modrm:FB', 'FSINCOS T', pair('FSINCOS')),
  ...row('D9 modrm:FE', 'FSIN T', unary('FSIN')),
  ...row('D9 modrm:FF', 'FCOS T', unary('FCOS')),
  // Further encodings that processors execute though the manual does not name them.
  ...row('DC /2 reg', 'FCOM T', compare(0, 0)),
  ...row('DC /3 reg', 'FCOMP T', compare(0, 1)),
  ...row('DE /2 reg', 'FCOMP T', compare(0, 1)),
];
