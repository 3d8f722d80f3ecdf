/**
 * System instructions that 64-bit operating systems use: control registers, descriptor table registers, MSRs, time, fast system
 * calls, TLB, HLT (SDM vol. 2).
 */
import type { Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import * as exits from '../exits.ts';
import { AC } from '../flags.ts';
import * as layout from '../layout.ts';
import { CR0, CR4, EFER } from '../mode.ts';
import type { Semantics } from '../semantics.ts';
import { meaning, type Row, row } from './instruction.ts';

/** Raises #GP outside of privilege level 0. */
export function requireSupervisor(c: Semantics): void {
  c.raiseIf(c.state32(layout.cpl).ne(0), exceptions.GP);
}

/** Goes on behind this instruction with whatever mode, privilege or paging it has set up. */
export function resumeNext(c: Semantics): void {
  c.setState64(layout.rip, c.nextIp());
  c.resume();
}

/** Offset of a general register from its number (i32) in ModRM.rm. */
const generalSize = (c: Semantics) => (c.code64 ? 8 : 4);

const halt = meaning('', (c) => {
  requireSupervisor(c);
  c.setState32(layout.halted, 1);
  c.leave(exits.halt);
});

const pause = meaning('', (c) => {
  c.fn.if(c.state32(layout.yields), () => c.leave(exits.pause));
});

const readControl = meaning('w r', (c, number) => {
  requireSupervisor(c);
  const { fn } = c;
  const result = fn.local('i64');
  fn.switch(
    number!,
    [
      () => result.set(c.state64(layout.cr0)),
      undefined,
      () => result.set(c.state64(layout.cr2)),
      () => result.set(c.state64(layout.cr3)),
      () => result.set(c.state64(layout.cr4)),
    ],
    () => result.set(fn.call(c.core.readCr8, c.cpu).extendU()),
  );
  return generalSize(c) === 8 ? result.get() : result.get().wrap();
});

const writeControl = meaning('r r', (c, number, value) => {
  requireSupervisor(c);
  const { fn } = c;
  const wide = generalSize(c) === 8 ? value! : value!.extendU();
  fn.if(number!.eq(8), () => {
    c.raiseIf(wide.gtU(15), exceptions.GP);
    c.beforeCall();
    fn.callAll(c.core.writeCr8, c.cpu, wide.wrap());
    c.afterCall();
    resumeNext(c);
  });
  fn.if(number!.eq(2), () => {
    c.setState64(layout.cr2, wide);
    resumeNext(c);
  });
  c.faultUnless(fn.call(c.core.writeControl, c.cpu, number!, wide));
  resumeNext(c);
});

const clearTaskSwitched = meaning('', (c) => {
  requireSupervisor(c);
  c.setState64(layout.cr0, c.state64(layout.cr0).and(~BigInt(CR0.TS)));
  c.updateMode();
});

/** User-mode instruction prevention: with CR4.UMIP, #GP outside of privilege level 0. */
export function requireUmip(c: Semantics): void {
  const prevented = c.state32(layout.cr4).and(CR4.UMIP).ne(0).and(c.state32(layout.cpl).ne(0));
  c.raiseIf(prevented, exceptions.GP);
}

const storeStatusWord = meaning('w', (c) => {
  requireUmip(c);
  const value = c.state64(layout.cr0);
  if (c.form.memory) return value.wrap().and(0xffff);
  return c.size === 8 ? value : value.wrap();
});

/** The privilege is checked before the operand is read. */
const loadStatusWord = meaning('a', (c) => {
  requireSupervisor(c);
  const value = c.form.memory ? c.load(c.memoryAddress(), 2) : c.readRegister(c.rmPlace(), 2);
  // PE, MP, EM, TS; PE can be set but not cleared (SDM vol. 2, LMSW).
  const old = c.state64(layout.cr0);
  const kept = old.and(~0xen);
  const control = kept.or(value.and(15).extendU());
  c.faultUnless(c.fn.call(c.core.writeControl, c.cpu, 0, control));
  resumeNext(c);
});

const tableBaseSize = (c: Semantics) => (c.code64 ? 8 : 4);

function storeTable(field: number) {
  return meaning('a', (c) => {
    requireUmip(c);
    const address = c.memoryAddress();
    c.probe(c.at(address, tableBaseSize(c) + 1), 1, 'w');
    c.store(address, 2, c.state32(field + 8));
    const base = c.state64(field);
    const size = tableBaseSize(c);
    c.store(c.at(address, 2), size, size === 8 ? base : base.wrap());
  });
}

function loadTable(field: number) {
  return meaning('a', (c) => {
    requireSupervisor(c);
    const address = c.memoryAddress();
    const limit = c.load(address, 2);
    const size = tableBaseSize(c);
    const raw = c.load(c.at(address, 2), size);
    const base = size === 8 ? raw : c.size === 2 ? raw.and(0xff_ffff).extendU() : raw.extendU();
    if (c.code64) c.raiseIf(base.shl(16).shrS(16).ne(base), exceptions.GP);
    c.setState64(field, base);
    c.setState64(field + 8, limit.extendU());
  });
}

const invalidatePage = meaning('a', (c) => {
  requireSupervisor(c);
  const { segment, offset } = c.memoryAddress();
  const base = typeof segment === 'number' ? c.state64(segment) : c.fn.load('i64', c.cpu.add(segment));
  c.fn.callAll(c.core.flushPage, c.cpu, base.add(offset));
});

const supervisorNothing = meaning('', requireSupervisor);

const identify = meaning('', (c) => {
  c.beforeCall();
  c.fn.callAll(c.core.cpuid, c.cpu, c.gpr(0, 4), c.gpr(1, 4));
  c.afterCall();
  const [first, second] = [c.state64(layout.result0), c.state64(layout.result1)];
  c.setGpr(0, first.wrap(), 4);
  c.setGpr(3, first.shrU(32).wrap(), 4);
  c.setGpr(1, second.wrap(), 4);
  c.setGpr(2, second.shrU(32).wrap(), 4);
});

/** EDX:EAX from 64 bits. */
function setPair(c: Semantics, value: Value): void {
  c.setGpr(0, value.wrap(), 4);
  c.setGpr(2, value.shrU(32).wrap(), 4);
}

function readTime(c: Semantics): void {
  const forbidden = c.state32(layout.cr4).and(CR4.TSD).ne(0).and(c.state32(layout.cpl).ne(0));
  c.raiseIf(forbidden, exceptions.GP);
  c.beforeCall();
  setPair(c, c.fn.call(c.core.readTsc, c.cpu));
}

const readTimeStamp = meaning('', readTime);
const readTimeStampAndProcessor = meaning('', (c) => {
  readTime(c);
  c.setGpr(1, c.state32(layout.tscAux), 4);
});

const readModelSpecific = meaning('', (c) => {
  requireSupervisor(c);
  c.beforeCall();
  const known = c.fn.call(c.core.readMsr, c.cpu, c.gpr(1, 4));
  c.afterCall();
  c.raiseIf(known.eqz(), exceptions.GP);
  setPair(c, c.state64(layout.result0));
});

const writeModelSpecific = meaning('', (c) => {
  requireSupervisor(c);
  c.beforeCall();
  const taken = c.fn.call(c.core.writeMsr, c.cpu, c.gpr(1, 4), c.gpr(0, 4), c.gpr(2, 4));
  c.afterCall();
  c.raiseIf(taken.eqz(), exceptions.GP);
  resumeNext(c);
});

const systemCall = meaning('', (c) => {
  c.raiseIf(c.state32(layout.efer).and(EFER.SCE).eqz(), exceptions.UD);
  c.fn.callAll(c.core.systemCall, c.cpu, c.nextIp());
  c.resume();
});

const systemReturn = meaning('', (c) => {
  c.raiseIf(c.state32(layout.efer).and(EFER.SCE).eqz(), exceptions.UD);
  c.faultUnless(c.fn.call(c.core.systemReturn, c.cpu, c.form.w ? 1 : 0));
  c.resume();
});

const enterSystem = meaning('', (c) => {
  c.faultUnless(c.fn.call(c.core.sysenter, c.cpu));
  c.resume();
});

const exitSystem = meaning('', (c) => {
  c.faultUnless(c.fn.call(c.core.sysexit, c.cpu, c.form.w ? 1 : 0));
  c.resume();
});

const swapGs = meaning('', (c) => {
  requireSupervisor(c);
  const base = layout.segmentOffset(layout.GS);
  const [current, other] = [c.state64(base), c.state64(layout.kernelGsBase)];
  c.setState64(base, other);
  c.setState64(layout.kernelGsBase, current);
});

/** STAC and CLAC. */
function setAccessFlag(set: boolean) {
  return meaning('', (c) => {
    c.raiseIf(c.state32(layout.cpl).ne(0), exceptions.UD);
    const flags = c.state32(layout.systemFlags);
    c.setState32(layout.systemFlags, set ? flags.or(AC) : flags.and(~AC));
    c.updateMode();
  });
}

function requireFsGsBase(c: Semantics): void {
  c.raiseIf(c.state32(layout.cr4).and(CR4.FSGSBASE).eqz(), exceptions.UD);
}

function readBase(segment: number) {
  return meaning('w', (c) => {
    requireFsGsBase(c);
    const base = c.state64(layout.segmentOffset(segment));
    return c.form.w ? base : base.wrap();
  });
}

function writeBase(segment: number) {
  return meaning('r', (c, value) => {
    requireFsGsBase(c);
    const base = c.form.w ? value! : value!.extendU();
    c.raiseIf(base.shl(16).shrS(16).ne(base), exceptions.GP);
    c.setState64(layout.segmentOffset(segment), base);
  });
}

/** RDRAND and RDSEED: always successful. */
const randomNumber = meaning('w', (c) => {
  const value = c.fn.call(c.core.random, c.cpu);
  c.setAllFlags(c.i32(1));
  return c.size === 8 ? value : value.wrap();
});

const compareExchange8 = meaning('a', (c) => {
  const { fn } = c;
  const target = c.probe(c.memoryAddress(), 8, 'rw');
  const old = c.loadAt(target, 8);
  const pair = (high: number, low: number) => c.gpr(high, 4).extendU().shl(32).or(c.gpr(low, 4).extendU());
  const equal = old.eq(pair(2, 0));
  c.storeAt(target, 8, fn.select(equal, pair(1, 3), old));
  fn.if(equal.eqz(), () => setPair(c, old));
  c.setAllFlags(c.allFlags().and(~0x40).or(equal.shl(6)));
});

const compareExchange16 = meaning('a', (c) => {
  const { fn } = c;
  const address = c.memoryAddress();
  c.raiseIf(c.linear(address, 16, 'rw').and(15).ne(0), exceptions.GP);
  const target = c.probe(address, 16, 'rw');
  const low = fn.load('i64', target.host);
  const high = fn.load('i64', target.host, 8);
  const equal = low.eq(c.gpr(0, 8)).and(high.eq(c.gpr(2, 8)));
  const lowLocal = fn.local('i64', low);
  const highLocal = fn.local('i64', high);
  const isEqual = fn.local('i32', equal);
  fn.if(
    isEqual.get(),
    () => {
      fn.store('i64', target.host, c.gpr(3, 8));
      fn.store('i64', target.host, c.gpr(1, 8), 8);
    },
    () => {
      c.setGpr(0, lowLocal.get(), 8);
      c.setGpr(2, highLocal.get(), 8);
    },
  );
  c.commit(target);
  c.setAllFlags(c.allFlags().and(~0x40).or(isEqual.get().shl(6)));
});

const only64 = { mode: 'only64' } as const;
const ends = { ends: true } as const;

/** Opcode rows of this file. */
export const system: readonly Row[] = [
  ...row('F4', 'HLT', halt, ends),
  ...row('F3 90', 'PAUSE', pause),
  ...row('0F 20', 'MOV En,Cn', readControl),
  ...row('0F 22', 'MOV Cn,En', writeControl, ends),
  ...row('0F 06', 'CLTS', clearTaskSwitched),
  ...row('0F 01 /4 mem', 'SMSW Ew', storeStatusWord),
  ...row('0F 01 /4 reg', 'SMSW Ev', storeStatusWord),
  ...row('0F 01 /6', 'LMSW Ew', loadStatusWord, ends),
  ...row('0F 01 /0 mem', 'SGDT M', storeTable(layout.gdtr)),
  ...row('0F 01 /1 mem', 'SIDT M', storeTable(layout.idtr)),
  ...row('0F 01 /2 mem', 'LGDT M', loadTable(layout.gdtr)),
  ...row('0F 01 /3 mem', 'LIDT M', loadTable(layout.idtr)),
  ...row('0F 01 /7 mem', 'INVLPG M', invalidatePage),
  ...row('0F 08', 'INVD', supervisorNothing),
  ...row('0F 09', 'WBINVD', supervisorNothing),
  ...row('0F A2', 'CPUID', identify),
  ...row('0F 31', 'RDTSC', readTimeStamp),
  ...row('0F 01 modrm:F9', 'RDTSCP', readTimeStampAndProcessor),
  ...row('0F 32', 'RDMSR', readModelSpecific),
  ...row('0F 30', 'WRMSR', writeModelSpecific, ends),
  ...row('0F 05', 'SYSCALL', systemCall, { ...only64, ...ends }),
  ...row('0F 07', 'SYSRET', systemReturn, { ...only64, ...ends }),
  ...row('0F 34', 'SYSENTER', enterSystem, ends),
  ...row('0F 35', 'SYSEXIT', exitSystem, ends),
  ...row('0F 01 modrm:F8', 'SWAPGS', swapGs, only64),
  ...row('NP 0F 01 modrm:CA', 'CLAC', setAccessFlag(false)),
  ...row('NP 0F 01 modrm:CB', 'STAC', setAccessFlag(true)),
  ...row('F3 0F AE /0 reg', 'RDFSBASE Ry', readBase(layout.FS), only64),
  ...row('F3 0F AE /1 reg', 'RDGSBASE Ry', readBase(layout.GS), only64),
  ...row('F3 0F AE /2 reg', 'WRFSBASE Ry', writeBase(layout.FS), only64),
  ...row('F3 0F AE /3 reg', 'WRGSBASE Ry', writeBase(layout.GS), only64),
  ...row('0F C7 /6 reg', 'RDRAND Rv', randomNumber),
  ...row('0F C7 /7 reg', 'RDSEED Rv', randomNumber),
  ...row('0F C7 /1 mem', 'CMPXCHG8B M', compareExchange8, { lock: true, w: 0 }),
  ...row('0F C7 /1 mem', 'CMPXCHG16B M', compareExchange16, { lock: true, w: 1, mode: 'only64' }),
];
