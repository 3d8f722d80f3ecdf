/** What x87 instructions have in common: the checks before them, and the pointers to the last one. */
import type { Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import { CR0 } from '../mode.ts';
import type { Address, Semantics } from '../semantics.ts';
import { type Meaning, meaning } from './instruction.ts';

/** ES in the status word: an unmasked exception is pending. */
export const ES = 0x80;

/** #NM when CR0.EM or CR0.TS is set, then #MF when an exception is pending (SDM vol. 1, 8.7.1). */
export function waitForX87(c: Semantics): void {
  const attention = c
    .state32(layout.cr0)
    .and(CR0.EM | CR0.TS)
    .or(c.state32(layout.fsw).and(ES));
  c.fn.if(attention, () => c.faultUnless(c.fn.call(c.core.x87Ready, c.cpu)));
}

/** #NM alone, for instructions that do not wait: FNINIT, FNSTSW and the like. */
export function requireX87(c: Semantics): void {
  c.raiseIf(c.state32(layout.cr0).and(CR0.EM | CR0.TS), exceptions.NM);
}

/** The i of ST(i) in ModRM.rm. */
export function position(c: Semantics): Value {
  return c.regNumber().and(7);
}

const segmentSelector = (segment: number) => layout.segmentOffset(segment) + layout.segmentSelector;

/** Selector of an address's segment. In 64-bit mode it is DS for all that have no base. */
function selectorOf(c: Semantics, segment: Value | number): Value {
  const ds = () => c.state32(segmentSelector(layout.DS));
  if (typeof segment === 'number')
    return segment === layout.zero ? ds() : c.state32(segment + layout.segmentSelector);
  const selector = c.fn.load('i32', c.cpu.add(segment), layout.segmentSelector);
  return c.code64 ? c.fn.select(segment.eq(layout.zero), ds(), selector) : selector;
}

/** Keeps the pointers to this instruction and its operand (SDM vol. 1, 8.1.8 and 8.1.9); control instructions do not. */
export function rememberX87(c: Semantics, operand?: Address): void {
  c.setState64(layout.fip, c.thisIp());
  c.setState32(layout.fcs, c.state32(segmentSelector(layout.CS)));
  c.setState32(layout.fop, c.regNumber());
  if (operand === undefined) return;
  c.setState64(layout.fdp, operand.offset);
  c.setState32(layout.fds, selectorOf(c, operand.segment));
}

/** An instruction on registers: the checks, the pointers, then `run`. */
export function onRegisters(run: (c: Semantics) => void): Meaning {
  return meaning('a', (c) => {
    waitForX87(c);
    rememberX87(c);
    run(c);
  });
}

/** An instruction with an operand of `size` bytes to read; `run` gets its value. */
export function onOperand(size: 2 | 4 | 8, run: (c: Semantics, value: Value) => void): Meaning {
  return meaning('a', (c) => {
    waitForX87(c);
    const address = c.memoryAddress();
    const value = c.load(address, size);
    rememberX87(c, address);
    run(c, value);
  });
}
