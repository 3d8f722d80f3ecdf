/** x87 control instructions (SDM vol. 1, 8.3.11) and FWAIT. */

import { environmentBytes, registerBytes } from '../core/x87state.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import { writes } from '../memoryaccess.ts';
import { CR0 } from '../mode.ts';
import type { Semantics } from '../semantics.ts';
import { meaning, type Row, row } from './instruction.ts';
import { ES, onRegisters, position, requireX87, waitForX87 } from './x87.ts';
import { areaOperand, callForArea } from './xsave.ts';

const loadControl = meaning('a', (c) => {
  waitForX87(c);
  c.fn.callAll(c.core.x87SetControl, c.cpu, c.load(c.memoryAddress(), 2));
});

const storeControl = meaning('a', (c) => {
  requireX87(c);
  c.store(c.memoryAddress(), 2, c.state32(layout.fcw));
});

const storeStatus = meaning('a', (c) => {
  requireX87(c);
  c.store(c.memoryAddress(), 2, c.fn.call(c.core.x87Status, c.cpu));
});

const storeStatusInAx = meaning('a', (c) => {
  requireX87(c);
  c.setGpr(0, c.fn.call(c.core.x87Status, c.cpu), 2);
});

const clearExceptions = meaning('a', (c) => {
  requireX87(c);
  // All exception flags, SF, ES and B.
  c.setState32(layout.fsw, c.state32(layout.fsw).and(0x7f00));
});

const initialize = meaning('a', (c) => {
  requireX87(c);
  c.fn.callAll(c.core.x87Initialize, c.cpu);
});

/** Size of the environment's format: 4 for an operand size of 8, too. */
function environmentSize(c: Semantics): 2 | 4 {
  return c.size === 2 ? 2 : 4;
}

/** Copies the environment, and the registers behind it, between the image area and memory. */
function transfer(c: Semantics, length: number, kind: 0 | typeof writes): void {
  if (c.code64) {
    const { linear, kind: access } = areaOperand(c, length, kind);
    const copy = kind === writes ? c.core.imageStore : c.core.imageLoad;
    callForArea(c, () => c.fn.call(c.core.imageReach, c.cpu, linear, length, access));
    callForArea(c, () => c.fn.call(copy, c.cpu, linear, 0, length, access));
    return;
  }
  const { segment, offset } = c.memoryAddress();
  const mask = c.form.addressSize === 2 ? 0xffff : 0xffff_ffff;
  const size = environmentSize(c);
  callForArea(c, () =>
    c.fn.call(c.core.imageInSegment, c.cpu, c.fn.value(segment, 'i32'), offset, mask, kind, length, size),
  );
}

/** FNSTENV and FNSAVE. */
const storeEnvironment = (registers: boolean) =>
  meaning('a', (c) => {
    requireX87(c);
    const size = environmentSize(c);
    c.fn.callAll(c.core.x87SaveImage, c.cpu, size);
    transfer(c, environmentBytes(size) + (registers ? registerBytes : 0), writes);
    if (registers) c.fn.callAll(c.core.x87Initialize, c.cpu);
    // All exceptions are masked from here on; flags stay, but none is pending any more (SDM vol. 2, FSTENV).
    else c.fn.callAll(c.core.x87SetControl, c.cpu, c.state32(layout.fcw).or(0x3f));
  });

/** FLDENV and FRSTOR. */
const loadEnvironment = (registers: boolean) =>
  meaning('a', (c) => {
    waitForX87(c);
    const size = environmentSize(c);
    transfer(c, environmentBytes(size) + (registers ? registerBytes : 0), 0);
    c.fn.callAll(c.core.x87LoadImage, c.cpu, size, registers ? 1 : 0);
  });

const free = (pop: 0 | 1) =>
  onRegisters((c) => {
    c.fn.callAll(c.core.x87Free, c.cpu, position(c), pop);
  });

const rotate = (by: number) =>
  onRegisters((c) => {
    c.fn.callAll(c.core.x87Rotate, c.cpu, by);
  });

const nothing = onRegisters(() => {});

const waitOnly = meaning('a', (c) => {
  waitForX87(c);
});

const wait = meaning('', (c) => {
  const both = CR0.MP | CR0.TS;
  c.raiseIf(c.state32(layout.cr0).and(both).eq(both), exceptions.NM);
  const pending = c.state32(layout.fsw).and(ES).ne(0);
  c.raiseIf(pending.and(c.state32(layout.cr0).and(CR0.NE).ne(0)), exceptions.MF);
});

/** Opcode rows of this file. */
export const x87Control: readonly Row[] = [
  ...row('D9 /5 mem', 'FLDCW T', loadControl),
  ...row('D9 /7 mem', 'FNSTCW T', storeControl),
  ...row('DD /7 mem', 'FNSTSW T', storeStatus),
  ...row('DF modrm:E0', 'FNSTSW T', storeStatusInAx),
  ...row('DB modrm:E2', 'FNCLEX T', clearExceptions),
  ...row('DB modrm:E3', 'FNINIT T', initialize),
  ...row('D9 /4 mem', 'FLDENV T', loadEnvironment(false)),
  ...row('D9 /6 mem', 'FNSTENV T', storeEnvironment(false)),
  ...row('DD /4 mem', 'FRSTOR T', loadEnvironment(true)),
  ...row('DD /6 mem', 'FNSAVE T', storeEnvironment(true)),
  ...row('DD /0 reg', 'FFREE T', free(0)),
  ...row('DF /0 reg', 'FFREEP T', free(1)),
  ...row('D9 modrm:F6', 'FDECSTP T', rotate(-1)),
  ...row('D9 modrm:F7', 'FINCSTP T', rotate(1)),
  ...row('D9 modrm:D0', 'FNOP T', nothing),
  // FNENI, FNDISI and FNSETPM of the 8087 and 287 do nothing.
  ...row('DB modrm:E0', 'FNENI T', waitOnly),
  ...row('DB modrm:E1', 'FNDISI T', waitOnly),
  ...row('DB modrm:E4', 'FNSETPM T', waitOnly),
  ...row('9B', 'FWAIT', wait),
];
