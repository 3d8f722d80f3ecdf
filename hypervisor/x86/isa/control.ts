/** Near jumps, calls and returns, LOOP, JCXZ, NOP, PUSH, POP, PUSHA, POPA, ENTER, LEAVE (SDM vol. 2). */
import type { Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import type { Semantics } from '../semantics.ts';
import { meaning, type Row, row } from './instruction.ts';

/** A value of the operand size as an offset in CS (i64). */
function asIp(c: Semantics, value: Value): Value {
  return c.size === 8 ? value : value.extendU();
}

/** An offset in CS as a value of the operand size. */
function fromIp(c: Semantics, ip: Value): Value {
  return c.size === 8 ? ip : ip.wrap();
}

const jump = meaning('a', (c) => {
  c.checkDirectTarget();
  c.jumpDirect();
});

const jumpIndirect = meaning('r', (c, target) => {
  const ip = asIp(c, target!);
  c.checkTarget(ip);
  c.jumpTo(ip);
});

/** Stores the return address, then checks the target (in the order of processors: a fault leaves it below the stack), then moves RSP. */
function pushReturn(c: Semantics, check: () => void): void {
  c.store(c.stackAddress(-c.size), c.size, fromIp(c, c.nextIp()));
  check();
  c.moveStack(-c.size);
}

const call = meaning('a', (c) => {
  pushReturn(c, () => c.checkDirectTarget());
  c.jumpDirect();
});

const callIndirect = meaning('r', (c, target) => {
  const ip = asIp(c, target!);
  pushReturn(c, () => c.checkTarget(ip));
  c.jumpTo(ip);
});

const ret = meaning('', (c) => {
  const ip = asIp(c, c.top(c.size));
  c.checkTarget(ip);
  c.moveStack(c.size);
  c.jumpTo(ip);
});

const retPop = meaning('r', (c, count) => {
  const ip = asIp(c, c.top(c.size));
  c.checkTarget(ip);
  c.moveStack(count!.extendU().add(c.size));
  c.jumpTo(ip);
});

const conditionalRows = Array.from({ length: 16 }, (_, code) => {
  const hex = code.toString(16);
  const branch = meaning('a', (c) => {
    c.fn.if(c.condition(code), () => {
      c.checkDirectTarget();
      c.jumpDirect();
    });
  });
  return [
    ...row(`7${hex}`, 'Jcc Jb', branch, { size64: 'always' }),
    ...row(`0F 8${hex}`, 'Jcc Jz', branch, { size64: 'always' }),
  ];
}).flat();

/** rCX at the address size, as the counter of loops and repeats. */
export function counter(c: Semantics): Value {
  return c.gpr(1, c.form.addressSize);
}

function loop(condition: (c: Semantics) => Value | undefined) {
  return meaning('a', (c) => {
    const left = counter(c).sub(1);
    const more = c.unsigned(left, c.form.addressSize).ne(0);
    const also = condition(c);
    const taken = also === undefined ? more : more.and(also);
    c.fn.if(taken, () => c.checkDirectTarget());
    c.setGpr(1, left, c.form.addressSize);
    c.fn.if(taken, () => c.jumpDirect());
  });
}

const jumpIfCounterZero = meaning('a', (c) => {
  c.fn.if(counter(c).eqz(), () => {
    c.checkDirectTarget();
    c.jumpDirect();
  });
});

const nothing = meaning('', () => {});
const nothingWithOperand = meaning('a', () => {});

const push = meaning('r', (c, value) => {
  c.push(value!, c.size);
});

const popRegister = meaning('w', (c) => {
  const value = c.top(c.size);
  // RSP moves first, so that POP RSP keeps what it popped.
  c.moveStack(c.size);
  return value;
});

/** POP to memory: its address is computed with RSP already moved, which the decoder puts into the displacement. */
const popMemory = meaning('a', (c) => {
  const value = c.top(c.size);
  c.store(c.memoryAddress(), c.size, value);
  c.moveStack(c.size);
});

const pushAll = meaning('', (c) => {
  // AX, CX, DX, BX, the original SP, BP, SI, DI. A fault leaves what was stored so far, below the stack.
  const values = Array.from({ length: 8 }, (_, i) => c.gpr(i));
  values.forEach((value, i) => {
    c.store(c.stackAddress(-(i + 1) * c.size), c.size, value);
  });
  c.moveStack(-8 * c.size);
});

const popAll = meaning('', (c) => {
  const values = Array.from({ length: 8 }, (_, i) => c.load(c.stackAddress(i * c.size), c.size));
  // DI is on top; SP's place is skipped.
  values.forEach((value, i) => {
    if (7 - i !== 4) c.setGpr(7 - i, value);
  });
  c.moveStack(8 * c.size);
});

const leave = meaning('', (c) => {
  const mask = c.stackMask();
  const frame = c.gpr(5, 8).and(mask);
  const value = c.load(c.segmentAddress(2, frame), c.size);
  const old = c.gpr(4, 8);
  const moved = frame.add(c.size).and(mask);
  c.setGpr(4, c.code64 ? moved : old.and(mask.not()).or(moved), 8);
  c.setGpr(5, value);
});

const enter = meaning('a a', (c) => {
  const { fn, size } = c;
  const immediate = c.immediateValue(4);
  const allocated = immediate.and(0xffff).extendU();
  const level = immediate.shrU(16).and(31);
  const mask = c.stackMask();
  const narrow = (value: Value) => (size === 8 ? value : value.wrap());
  const stack = fn.local('i64', c.gpr(4, 8).sub(size).and(mask));
  c.store(c.segmentAddress(2, stack.get()), size, c.gpr(5));
  const frame = fn.local('i64', stack.get());
  const source = fn.local('i64', c.gpr(5, 8));
  const left = fn.local('i32', level);
  fn.if(level, () => {
    fn.loop((again) => {
      left.set(left.get().sub(1));
      fn.if(left.get(), () => {
        source.set(source.get().sub(size).and(mask));
        const value = c.load(c.segmentAddress(2, source.get()), size);
        stack.set(stack.get().sub(size).and(mask));
        c.store(c.segmentAddress(2, stack.get()), size, value);
        again.br();
      });
    });
    stack.set(stack.get().sub(size).and(mask));
    c.store(c.segmentAddress(2, stack.get()), size, narrow(frame.get()));
  });
  stack.set(stack.get().sub(allocated).and(mask));
  // The new top of the stack must be writable (SDM vol. 2, ENTER).
  c.probe(c.segmentAddress(2, stack.get()), size, 'w');
  const old = c.gpr(4, 8);
  c.setGpr(5, narrow(frame.get()));
  c.setGpr(4, c.code64 ? stack.get() : old.and(mask.not()).or(stack.get()), 8);
});

const undefinedInstruction = meaning('', (c) => {
  c.raise(exceptions.UD);
});
const undefinedWithModrm = meaning('a a', (c) => {
  c.raise(exceptions.UD);
});

const ends = { ends: true, size64: 'always' } as const;
const stack64 = { size64: 'default' } as const;

/** Opcode rows of this file. */
export const controlFlow: readonly Row[] = [
  ...conditionalRows,
  ...row('EB', 'JMP Jb', jump, ends),
  ...row('E9', 'JMP Jz', jump, ends),
  ...row('FF /4', 'JMP Ev', jumpIndirect, ends),
  ...row('E8', 'CALL Jz', call, ends),
  ...row('FF /2', 'CALL Ev', callIndirect, ends),
  ...row('C3', 'RET', ret, ends),
  ...row('C2', 'RET Iw', retPop, ends),
  ...row(
    'E0',
    'LOOPNE Jb',
    loop((c) => c.condition(5)),
    { size64: 'always' },
  ),
  ...row(
    'E1',
    'LOOPE Jb',
    loop((c) => c.condition(4)),
    { size64: 'always' },
  ),
  ...row(
    'E2',
    'LOOP Jb',
    loop(() => undefined),
    { size64: 'always' },
  ),
  ...row('E3', 'JCXZ Jb', jumpIfCounterZero, { size64: 'always' }),
  ...row('90', 'NOP', nothing, { b: 0 }),
  ...row('0F 0D', 'PREFETCHW Ev', nothingWithOperand),
  ...[0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f].flatMap((opcode) =>
    row(`0F ${opcode.toString(16)}`, 'NOP Ev', nothingWithOperand),
  ),
  ...row('50+r', 'PUSH Zv', push, stack64),
  ...row('58+r', 'POP Zv', popRegister, stack64),
  ...row('68', 'PUSH Iz', push, stack64),
  ...row('6A', 'PUSH Ibv', push, stack64),
  ...row('FF /6', 'PUSH Ev', push, stack64),
  ...row('8F /0 mem', 'POP Ev', popMemory, { ...stack64, popAddress: true }),
  ...row('8F /0 reg', 'POP Ev', popRegister, stack64),
  ...row('60', 'PUSHA', pushAll, { mode: 'not64' }),
  ...row('61', 'POPA', popAll, { mode: 'not64' }),
  ...row('C9', 'LEAVE', leave, stack64),
  ...row('C8', 'ENTER Iw,Ib', enter, stack64),
  ...row('0F 0B', 'UD2', undefinedInstruction, { ends: true }),
  ...row('0F B9', 'UD1 Gv,Ev', undefinedWithModrm, { ends: true }),
  ...row('0F FF', 'UD0 Gv,Ev', undefinedWithModrm, { ends: true }),
];
