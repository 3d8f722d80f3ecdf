/**
 * MOVS, STOS, LODS, SCAS, CMPS, INS, OUTS, alone and repeated, and IN and OUT (SDM vol. 2).
 *
 * A repeated instruction does a part of its work and is then executed again, as on a processor between interrupts: one
 * element, or for MOVS and STOS all that lies in one page. Each part counts as an instruction and is charged
 * one further unit of time for every 32 bytes.
 */
import type { Value } from '../../wasm/value.ts';
import { DF, TF } from '../flags.ts';
import * as layout from '../layout.ts';
import type { Probe } from '../memoryaccess.ts';
import type { Address, Semantics } from '../semantics.ts';
import { meaning, type Row, type RowOptions, row } from './instruction.ts';

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RSI = 6;
const RDI = 7;

/** Element size: that of the row's name for byte forms, else the operand size; ports have no more than 4 bytes. */
function elementSize(c: Semantics): number {
  const { name, options } = c.form.row;
  if (options.size === 1) return 1;
  return name === 'INS' || name === 'OUTS' ? Math.min(c.size, 4) : c.size;
}

/** An index register at the address size, as an offset (i64). */
function indexOffset(c: Semantics, register: number): Value {
  return c.cut(c.gpr(register, 8));
}

function sourceAddress(c: Semantics): Address {
  return { segment: c.dataSegment(), offset: indexOffset(c, RSI), stack: false };
}

function destinationAddress(c: Semantics): Address {
  return c.segmentAddress(layout.ES, indexOffset(c, RDI));
}

/** Whether DF is clear (i32). */
function forward(c: Semantics): Value {
  return c.state32(layout.systemFlags).and(DF).eqz();
}

/** Whether many elements may be done as one (i32): upwards, and not in single steps. */
function together(c: Semantics): Value {
  return c
    .state32(layout.systemFlags)
    .and(DF | TF)
    .eqz();
}

/** Moves an index register by `count` (i64) elements in the direction of DF. */
function advance(c: Semantics, register: number, count: Value): void {
  const size = c.form.addressSize;
  const bytes = count.mul(elementSize(c));
  const signed = c.fn.select(forward(c), bytes, bytes.negate());
  const moved = c.gpr(register, 8).add(signed);
  c.setGpr(register, size === 8 ? moved : moved.wrap(), size);
}

/** The repeat counter (i64). */
function counterOf(c: Semantics): Value {
  return c.cut(c.gpr(RCX, 8));
}

function setCounter(c: Semantics, value: Value): void {
  c.setGpr(RCX, c.form.addressSize === 8 ? value : value.wrap(), c.form.addressSize);
}

/** Does `element` when the repeat counter is not zero, given its value (i64). */
function whileCounted(c: Semantics, element: (count: Value) => void): void {
  const count = counterOf(c);
  // A counter of 32 bits is written even when it is zero: that clears the upper half.
  if (c.form.addressSize === 4) setCounter(c, count);
  c.fn.if(count.ne(0), () => element(count));
}

/** Emits a string instruction: `part` does some elements, given how many are wanted at most, and gives how many it did (both i64). */
function repeated(c: Semantics, part: (most: Value) => Value): void {
  if (c.form.repeat === 'none') {
    part(c.i64(1));
    return;
  }
  whileCounted(c, (count) => {
    const left = count.sub(part(count));
    setCounter(c, left);
    c.fn.if(left.ne(0), () => c.again());
  });
}

/**
 * Emits SCAS or CMPS: `compare` gives the two values and moves on. While it is repeated, the flags stay as they were; those
 * of the last comparison are set at the end (SDM vol. 2, REP).
 */
function comparing(c: Semantics, compare: () => readonly [Value, Value]): void {
  const setFlags = ([first, second]: readonly [Value, Value]) =>
    c.setFlags('sub', first.sub(second), first, elementSize(c));
  if (c.form.repeat === 'none') {
    setFlags(compare());
    return;
  }
  whileCounted(c, (count) => {
    const values = compare();
    const left = count.sub(1);
    setCounter(c, left);
    const [first, second] = values;
    const goesOn = c.form.repeat === 'repne' ? first.ne(second) : first.eq(second);
    c.fn.if(left.ne(0).and(goesOn), () => c.again());
    setFlags(values);
  });
}

/** True when whole pages may be worked on at once: the offsets neither wrap nor meet a limit. */
function flat(c: Semantics): boolean {
  return c.code64 && c.form.addressSize === 8 && c.form.repeat !== 'none';
}

/** Elements from a host address to the end of its page (i64). */
function elementsInPage(c: Semantics, host: Value): Value {
  return c.i32(4096).sub(host.and(0xfff)).divU(elementSize(c)).extendU();
}

/** The smaller of two (i64, unsigned). */
function least(c: Semantics, a: Value, b: Value): Value {
  return c.fn.select(a.ltU(b), a, b);
}

/** True (i32) when a probed address is guest memory, where the bytes that follow are the page's. */
function direct(c: Semantics, target: Probe): Value {
  return target.host.ne(c.cpu.add(layout.scratch));
}

/** Processors write the 32-bit index registers of MOVS and STOS even when a repeat counter is zero: their upper halves are cleared. */
function clearUpperHalves(c: Semantics, ...registers: number[]): void {
  if (c.form.addressSize !== 4 || c.form.repeat === 'none') return;
  c.fn.if(counterOf(c).eqz(), () => {
    for (const register of registers) c.setGpr(register, c.gpr(register, 4), 4);
  });
}

const moveString = meaning('', (c) => {
  const { fn } = c;
  const size = elementSize(c);
  clearUpperHalves(c, RSI, RDI);
  repeated(c, (most) => {
    const source = c.probe(sourceAddress(c), size, 'r');
    if (!flat(c)) {
      const value = c.loadAt(source, size);
      c.store(destinationAddress(c), size, value);
      advance(c, RSI, c.i64(1));
      advance(c, RDI, c.i64(1));
      return c.i64(1);
    }
    const first = c.loadAt(source, size);
    // A second access through the slow path would overwrite the scratch area that this one may be in.
    const sourceHost = source.host;
    const sourceDirect = direct(c, source);
    const destination = c.probe(destinationAddress(c), size, 'w');
    const host = destination.host;
    const count = fn.local('i64', 1);
    const inPages = least(c, most, least(c, elementsInPage(c, sourceHost), elementsInPage(c, host)));
    const bytes = inPages.wrap().mul(size);
    // Not when the destination starts inside what is still to be read: then each element must see the last.
    const apart = host.sub(sourceHost).geU(bytes);
    const whole = sourceDirect.and(direct(c, destination)).and(together(c)).and(apart).and(inPages.gtU(1));
    fn.if(
      whole,
      () => {
        fn.copy(host, sourceHost, bytes);
        count.set(inPages);
        c.charge(bytes.shrU(5));
      },
      () => c.storeAt(destination, size, first),
    );
    advance(c, RSI, count.get());
    advance(c, RDI, count.get());
    return count.get();
  });
});

const storeString = meaning('', (c) => {
  const { fn } = c;
  const size = elementSize(c);
  clearUpperHalves(c, RDI);
  repeated(c, (most) => {
    const value = c.gpr(RAX, size);
    const destination = c.probe(destinationAddress(c), size, 'w');
    if (!flat(c)) {
      c.storeAt(destination, size, value);
      advance(c, RDI, c.i64(1));
      return c.i64(1);
    }
    const count = fn.local('i64', 1);
    const inPage = least(c, most, elementsInPage(c, destination.host));
    const bytes = inPage.wrap().mul(size);
    const whole = direct(c, destination).and(together(c)).and(inPage.gtU(1));
    fn.if(
      whole,
      () => {
        const isFill = size === 1 ? fn.i32(1) : value.eqz();
        const byte = size === 8 ? value.wrap() : value;
        fn.if(
          isFill,
          () => fn.fill(destination.host, byte, bytes),
          () => {
            const at = fn.local('i32', destination.host);
            const end = fn.local('i32', at.get().add(bytes));
            fn.loop((again) => {
              fn.store(
                size === 8 ? 'i64' : size === 4 ? 'i32' : size === 2 ? 'i32_16' : 'i32_8',
                at.get(),
                value,
              );
              at.set(at.get().add(size));
              again.brIf(at.get().ltU(end.get()));
            });
          },
        );
        count.set(inPage);
        c.charge(bytes.shrU(5));
      },
      () => c.storeAt(destination, size, value),
    );
    advance(c, RDI, count.get());
    return count.get();
  });
});

const loadString = meaning('', (c) => {
  const size = elementSize(c);
  repeated(c, () => {
    c.setGpr(RAX, c.load(sourceAddress(c), size), size);
    advance(c, RSI, c.i64(1));
    return c.i64(1);
  });
});

const scanString = meaning('', (c) => {
  const size = elementSize(c);
  comparing(c, () => {
    const value = c.load(destinationAddress(c), size);
    const accumulator = c.gpr(RAX, size);
    advance(c, RDI, c.i64(1));
    return [accumulator, value];
  });
});

const compareString = meaning('', (c) => {
  const size = elementSize(c);
  comparing(c, () => {
    // Processors access the second one first: its fault comes before the other's.
    const second = c.load(destinationAddress(c), size);
    const first = c.load(sourceAddress(c), size);
    advance(c, RSI, c.i64(1));
    advance(c, RDI, c.i64(1));
    return [first, second];
  });
});

/** Width of a port access: 1, 2 or 4 whatever REX.W says. */
function portSize(c: Semantics): number {
  return Math.min(elementSize(c), 4);
}

/** Reads a port, with the budget where devices may look at it and change it. */
function readPort(c: Semantics, port: Value, size: number): Value {
  c.faultUnless(c.fn.call(c.core.portAllowed, c.cpu, port, size));
  c.beforeCall();
  const value = c.fn.call(c.core.portIn, c.cpu, port, size);
  c.afterCall();
  return value;
}

function writePort(c: Semantics, port: Value, size: number, value: Value): void {
  c.faultUnless(c.fn.call(c.core.portAllowed, c.cpu, port, size));
  c.beforeCall();
  c.fn.callAll(c.core.portOut, c.cpu, port, size, value);
  c.afterCall();
}

const inputString = meaning('', (c) => {
  const size = portSize(c);
  const port = c.gpr(RDX, 2);
  c.faultUnless(c.fn.call(c.core.portAllowed, c.cpu, port, size));
  repeated(c, () => {
    // The destination is checked before the device gives its value.
    const destination = c.probe(destinationAddress(c), size, 'w');
    c.storeAt(destination, size, readPort(c, port, size));
    advance(c, RDI, c.i64(1));
    return c.i64(1);
  });
});

const outputString = meaning('', (c) => {
  const size = portSize(c);
  const port = c.gpr(RDX, 2);
  c.faultUnless(c.fn.call(c.core.portAllowed, c.cpu, port, size));
  repeated(c, () => {
    const value = c.load(sourceAddress(c), size);
    writePort(c, port, size, value);
    advance(c, RSI, c.i64(1));
    return c.i64(1);
  });
});

const inImmediate = meaning('r', (c, port) => {
  const size = portSize(c);
  c.setGpr(RAX, readPort(c, port!, size), size);
});
const inRegister = meaning('', (c) => {
  const size = portSize(c);
  c.setGpr(RAX, readPort(c, c.gpr(RDX, 2), size), size);
});
const outImmediate = meaning('r', (c, port) => {
  const size = portSize(c);
  writePort(c, port!, size, c.gpr(RAX, size));
});
const outRegister = meaning('', (c) => {
  const size = portSize(c);
  writePort(c, c.gpr(RDX, 2), size, c.gpr(RAX, size));
});

const byte = { size: 1 } as const;
const rep = (options: RowOptions = {}): RowOptions => ({ repeats: 'rep', ...options });
const repe = (options: RowOptions = {}): RowOptions => ({ repeats: 'repe', ...options });

/** Opcode rows of this file. */
export const strings: readonly Row[] = [
  ...row('A4', 'MOVSB', moveString, rep(byte)),
  ...row('A5', 'MOVS', moveString, rep()),
  ...row('A6', 'CMPSB', compareString, repe(byte)),
  ...row('A7', 'CMPS', compareString, repe()),
  ...row('AA', 'STOSB', storeString, rep(byte)),
  ...row('AB', 'STOS', storeString, rep()),
  ...row('AC', 'LODSB', loadString, rep(byte)),
  ...row('AD', 'LODS', loadString, rep()),
  ...row('AE', 'SCASB', scanString, repe(byte)),
  ...row('AF', 'SCAS', scanString, repe()),
  ...row('6C', 'INSB', inputString, rep(byte)),
  ...row('6D', 'INS', inputString, rep()),
  ...row('6E', 'OUTSB', outputString, rep(byte)),
  ...row('6F', 'OUTS', outputString, rep()),
  ...row('E4', 'IN Ib', inImmediate, byte),
  ...row('E5', 'IN Ib', inImmediate),
  ...row('EC', 'IN', inRegister, byte),
  ...row('ED', 'IN', inRegister),
  ...row('E6', 'OUT Ib', outImmediate, byte),
  ...row('E7', 'OUT Ib', outImmediate),
  ...row('EE', 'OUT', outRegister, byte),
  ...row('EF', 'OUT', outRegister),
];
