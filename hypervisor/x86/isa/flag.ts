/** CLC, STC, CMC, CLD, STD, CLI, STI, LAHF, SAHF, PUSHF, POPF, SALC (SDM vol. 2). */
import type { Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import {
  AC,
  AF,
  arithmeticFlags,
  CF,
  DF,
  FIXED,
  ID,
  IF,
  IOPL,
  NT,
  PF,
  RF,
  SF,
  TF,
  VIF,
  VIP,
  VM,
  ZF,
} from '../flags.ts';
import * as layout from '../layout.ts';
import { virtual8086 } from '../mode.ts';
import type { Semantics } from '../semantics.ts';
import { meaning, type Row, row } from './instruction.ts';
import { resumeNext } from './system.ts';

function setCarry(change: (flags: Value) => Value) {
  return meaning('', (c) => c.setAllFlags(change(c.allFlags())));
}

function changeSystemFlags(change: (flags: Value) => Value) {
  return meaning('', (c) => c.setState32(layout.systemFlags, change(c.state32(layout.systemFlags))));
}

/** I/O privilege level. */
function iopl(flags: Value): Value {
  return flags.shrU(12).and(3);
}

/** Raises #GP in virtual-8086 mode unless IOPL is 3: INT n, PUSHF, POPF, IRET. */
export function requireVirtualIopl(c: Semantics): void {
  const isVirtual = c.state32(layout.mode).and(virtual8086).ne(0);
  c.raiseIf(isVirtual.and(iopl(c.state32(layout.systemFlags)).ne(3)), exceptions.GP);
}

/** CLI and STI: #GP when the privilege level is above IOPL. In virtual-8086 mode the level is 3, in real mode 0. */
function requireIopl(c: Semantics): void {
  c.raiseIf(c.state32(layout.cpl).gtU(iopl(c.state32(layout.systemFlags))), exceptions.GP);
}

const clearInterrupts = meaning('', (c) => {
  requireIopl(c);
  c.setState32(layout.systemFlags, c.state32(layout.systemFlags).and(~IF));
});

const setInterrupts = meaning('', (c) => {
  requireIopl(c);
  const flags = c.state32(layout.systemFlags);
  c.fn.if(flags.and(IF).eqz(), () => {
    c.setState32(layout.systemFlags, flags.or(IF));
    // An interrupt that waits is taken behind the next instruction.
    c.fn.if(c.state32(layout.interruptPending), () => c.stopSoon(1));
    c.startShadow(layout.shadows.sti);
  });
});

const inAh = SF | ZF | AF | PF | CF;

const loadAh = meaning('', (c) => {
  const flags = c.allFlags().and(inAh).or(FIXED);
  c.setGpr(0, c.gpr(0, 2).and(0xff).or(flags.shl(8)), 2);
});

const storeAh = meaning('', (c) => {
  const flags = c.gpr(0, 2).shrU(8).and(inAh);
  c.setAllFlags(c.allFlags().and(~inAh).or(flags));
});

const pushFlags = meaning('', (c) => {
  requireVirtualIopl(c);
  const flags = c
    .state32(layout.systemFlags)
    .or(c.allFlags())
    .or(FIXED)
    .and(~(RF | VM));
  c.push(c.size === 8 ? flags.extendU() : flags, c.size);
});

const popFlags = meaning('', (c) => {
  requireVirtualIopl(c);
  const { fn, size } = c;
  const popped = c.top(size);
  const image = fn.local('i32', size === 8 ? popped.wrap() : popped);
  const old = fn.local('i32', c.state32(layout.systemFlags));
  const cpl = c.state32(layout.cpl);
  const isVirtual = c.state32(layout.mode).and(virtual8086);
  const common = size === 2 ? TF | DF | NT : TF | DF | NT | AC | ID;
  const mayIf = fn.select(cpl.gtU(iopl(old.get())), fn.i32(0), fn.i32(IF));
  const mayIopl = fn.select(cpl, fn.i32(0), fn.i32(IOPL));
  const mask = mayIf.or(mayIopl).or(common);
  // VIF and VIP are cleared, but not in virtual-8086 mode.
  const cleared = size === 2 ? fn.i32(0) : fn.select(isVirtual, fn.i32(0), fn.i32(VIF | VIP));
  const flags = fn.local('i32', old.get().and(mask.or(cleared).not()).or(image.get().and(mask)));
  c.moveStack(size);
  c.setState32(layout.systemFlags, flags.get());
  c.setAllFlags(image.get());
  fn.if(flags.get().xor(old.get()).and(AC), () => c.updateMode());
  const interrupt = c.state32(layout.interruptPending).ne(0).and(flags.get().and(IF).ne(0));
  fn.if(interrupt.or(flags.get().and(TF)), () => resumeNext(c));
});

const setAlFromCarry = meaning('', (c) => {
  c.setGpr(0, c.fn.i32(0).sub(c.carry()), 1);
});

/** Opcode rows of this file. */
export const flags: readonly Row[] = [
  ...row(
    'F8',
    'CLC',
    setCarry((all) => all.and(arithmeticFlags & ~CF)),
  ),
  ...row(
    'F9',
    'STC',
    setCarry((all) => all.or(CF)),
  ),
  ...row(
    'F5',
    'CMC',
    setCarry((all) => all.xor(CF)),
  ),
  ...row(
    'FC',
    'CLD',
    changeSystemFlags((all) => all.and(~DF)),
  ),
  ...row(
    'FD',
    'STD',
    changeSystemFlags((all) => all.or(DF)),
  ),
  ...row('FA', 'CLI', clearInterrupts),
  ...row('FB', 'STI', setInterrupts),
  ...row('9F', 'LAHF', loadAh),
  ...row('9E', 'SAHF', storeAh),
  ...row('9C', 'PUSHF', pushFlags, { size64: 'default' }),
  ...row('9D', 'POPF', popFlags, { size64: 'default' }),
  ...row('D6', 'SALC', setAlFromCarry, { mode: 'not64' }),
];
