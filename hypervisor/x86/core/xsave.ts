/** FXSAVE, FXRSTOR, XSAVE and XRSTOR in the standard format (SDM vol. 1, 10.5 and chapter 13). */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Operand, Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import { writes } from '../memoryaccess.ts';
import * as mxcsr from '../mxcsr.ts';
import type { Core, CorePart } from './core.ts';
import { Routine } from './routine.ts';
import { Stack } from './x87stack.ts';
import { eachRegister, initialControl } from './x87state.ts';

/** State components: bits of XCR0, of the requested-feature bitmap and of XSTATE_BV (SDM vol. 1, 13.1). */
export const components = { x87: 1, sse: 2 } as const;
/** All components that this processor has. */
export const supportedComponents = components.x87 | components.sse;

/** Offsets in the legacy area (SDM vol. 1, table 10-2) and behind it (13.4.2). */
const area = {
  fcw: 0,
  fsw: 2,
  ftw: 4,
  fop: 6,
  fip: 8,
  fcs: 12,
  fdp: 16,
  fds: 20,
  mxcsr: 24,
  mxcsrMask: 28,
  st: 32,
  xmm: 160,
  header: 512,
} as const;

/** Length of the part that FXSAVE accesses, and of the XSAVE area, in bytes. */
export const fxsaveBytes = 512;
export const xsaveBytes = 576;

/**
 * CPUID leaf 0DH for this processor (SDM vol. 2, CPUID; vol. 1, 13.2), by ECX. Leaf 1 must report FXSR, SSE, XSAVE (ECX bit 26)
 * and OSXSAVE (ECX bit 27) when CR4.OSXSAVE is set; leaf 7 neither FDP_EXCPTN_ONLY (EBX bit 6) nor the deprecation of FCS and FDS (bit 13).
 * The areas in use have the same size whatever XCR0 holds, so nothing here depends on the state.
 */
export function xsaveLeaf(subleaf: number): { eax: number; ebx: number; ecx: number; edx: number } {
  if (subleaf === 0) return { eax: supportedComponents, ebx: xsaveBytes, ecx: xsaveBytes, edx: 0 };
  // XSAVEOPT, but neither XSAVEC, XGETBV with ECX = 1, nor XSAVES.
  if (subleaf === 1) return { eax: 1, ebx: 0, ecx: 0, edx: 0 };
  return { eax: 0, ebx: 0, ecx: 0, edx: 0 };
}

/** Length of the XMM registers that code can name: 16 in 64-bit mode, otherwise 8 (bytes). */
function xmmBytes(s: Stack): Value {
  return s.fn.select(s.state32(layout.mode).and(2), s.fn.i32(256), s.fn.i32(128));
}

function saveLegacy(fn: FunctionBuilder, core: Core): void {
  const s = new Stack(fn, core);
  const image = s.cpu.add(layout.image);
  const put16 = (offset: number, value: Operand) => fn.store('i32_16', image, value, offset);
  put16(area.fcw, s.control);
  put16(area.fsw, fn.call(core.x87Status, s.cpu));
  put16(area.ftw, s.state32(layout.ftag));
  put16(area.fop, s.state32(layout.fop));
  fn.store('i64', image, fn.load('i64', s.cpu, layout.fip), area.fip);
  fn.store('i64', image, fn.load('i64', s.cpu, layout.fdp), area.fdp);
  fn.if(fn.parameter(1).get().eqz(), () => {
    fn.store('i32', image, s.state32(layout.fcs), area.fcs);
    fn.store('i32', image, s.state32(layout.fds), area.fds);
  });
  fn.store('i32', image, s.state32(layout.mxcsr), area.mxcsr);
  fn.store('i32', image, mxcsr.valid, area.mxcsrMask);
  eachRegister(s, 16, (distance, register) => {
    const at = image.add(distance);
    const { significand, signExponent } = s.register(register);
    fn.store('i64', at, significand, area.st);
    fn.store('i64', at, signExponent.extendU(), area.st + 8);
  });
  fn.copy(image.add(area.xmm), s.cpu.add(layout.xmm), xmmBytes(s));
}

function restoreX87(fn: FunctionBuilder, core: Core): void {
  const s = new Stack(fn, core);
  const image = s.cpu.add(layout.image);
  const get16 = (offset: number) => fn.load('i32_16u', image, offset);
  const wide = fn.parameter(1).get();
  fn.callAll(core.x87SetControl, s.cpu, get16(area.fcw));
  fn.callAll(core.x87SetStatus, s.cpu, get16(area.fsw));
  s.setState32(layout.ftag, fn.load('i32_8u', image, area.ftw));
  s.setState32(layout.fop, get16(area.fop).and(0x7ff));
  fn.if(
    wide,
    () => {
      fn.store('i64', s.cpu, fn.load('i64', image, area.fip), layout.fip);
      fn.store('i64', s.cpu, fn.load('i64', image, area.fdp), layout.fdp);
    },
    () => {
      fn.store('i64', s.cpu, fn.load('i64_32u', image, area.fip), layout.fip);
      fn.store('i64', s.cpu, fn.load('i64_32u', image, area.fdp), layout.fdp);
      s.setState32(layout.fcs, get16(area.fcs));
      s.setState32(layout.fds, get16(area.fds));
    },
  );
  eachRegister(s, 16, (distance, register) => {
    const at = image.add(distance);
    s.setRegister(register, fn.load('i64', at, area.st), fn.load('i32_16u', at, area.st + 8));
  });
}

/** 1 when the x87 is in its initial configuration (SDM vol. 1, 13.6). */
function x87Initial(s: Stack): Value {
  const { fn } = s;
  const other = fn.local('i64', s.control.xor(initialControl).extendU());
  for (const field of [layout.fsw, layout.ftop, layout.ftag, layout.fop, layout.fcs, layout.fds])
    other.set(other.get().or(s.state32(field).extendU()));
  for (const field of [layout.fip, layout.fdp]) other.set(other.get().or(fn.load('i64', s.cpu, field)));
  eachRegister(s, 16, (_, register) => {
    const { significand, signExponent } = s.register(register);
    other.set(other.get().or(significand).or(signExponent.extendU()));
  });
  return other.get().eqz();
}

/** 1 when all XMM registers that code can name are zero. */
function sseInitial(s: Stack): Value {
  const { fn } = s;
  const any = fn.local('i32', 0);
  const at = fn.local('i32', s.cpu.add(layout.xmm));
  const end = fn.local('i32', at.get().add(xmmBytes(s)));
  fn.loop((again) => {
    any.set(any.get().or(fn.load('v128', at.get()).apply('v128.any_true')));
    at.set(at.get().add(16));
    again.brIf(at.get().ltU(end.get()));
  });
  return any.get().eqz();
}

/** Parameters (cpu, linear, kind of access, 1 for 64-bit pointers, …) of the four. */
function areaRoutine(fn: FunctionBuilder, core: Core) {
  const r = new Routine(fn, core);
  const linear = fn.parameter(1).get();
  const kind = fn.parameter(2).get();
  const wide = fn.parameter(3).get();
  const copy = (name: 'imageStore' | 'imageLoad', offset: number, length: Operand) => {
    r.require(fn.call(core[name], r.cpu, linear.add(offset), offset, length, kind));
  };
  /** Finds out whether the whole area can be accessed; processors look at its last byte first. */
  const reach = (length: number) => {
    r.require(fn.call(core.imageReach, r.cpu, linear.add(length - 1), 1, kind));
    r.require(fn.call(core.imageReach, r.cpu, linear, length, kind));
  };
  /** A field of the image area. */
  const image = (offset: number) => fn.load('i64', r.cpu, layout.image + offset);
  return { r, linear, kind, wide, reach, copy, image };
}

/** Raises #GP when the image's MXCSR has bits that do not exist. */
function checkMxcsr(r: Routine): void {
  r.raiseIf(r.state32(layout.image + area.mxcsr).and(~mxcsr.valid), exceptions.GP);
}

function loadMxcsr(r: Routine): void {
  r.setState32(layout.mxcsr, r.state32(layout.image + area.mxcsr));
}

export const xsave: CorePart = (define, core) => {
  define('xsaveLegacy', (fn) => saveLegacy(fn, core));
  define('xrstorX87', (fn) => restoreX87(fn, core));
  define('xrstorSse', (fn) => {
    const s = new Stack(fn, core);
    fn.copy(s.cpu.add(layout.xmm), s.cpu.add(layout.image + area.xmm), xmmBytes(s));
  });

  define('fxsave', (fn) => {
    const { r, wide, reach, copy } = areaRoutine(fn, core);
    reach(fxsaveBytes);
    fn.callAll(core.xsaveLegacy, r.cpu, wide);
    copy('imageStore', 0, xmmBytes(new Stack(fn, core)).add(area.xmm));
    fn.return(1);
  });

  define('fxrstor', (fn) => {
    const { r, wide, reach, copy } = areaRoutine(fn, core);
    reach(fxsaveBytes);
    copy('imageLoad', 0, fxsaveBytes);
    checkMxcsr(r);
    fn.callAll(core.xrstorX87, r.cpu, wide);
    fn.callAll(core.xrstorSse, r.cpu);
    loadMxcsr(r);
    fn.return(1);
  });

  define('xsave', (fn) => {
    const { r, wide, kind, linear, reach, copy, image } = areaRoutine(fn, core);
    const requested = fn.parameter(4).get().and(r.state32(layout.xcr0));
    const optimized = fn.parameter(5).get();
    const s = new Stack(fn, core);
    reach(xsaveBytes);
    const inUse = fn.local('i32', 0);
    fn.if(x87Initial(s).eqz(), () => inUse.set(components.x87));
    fn.if(sseInitial(s).eqz(), () => inUse.set(inUse.get().or(components.sse)));
    r.require(fn.call(core.imageLoad, r.cpu, linear.add(area.header), area.header, 8, kind.and(~writes)));
    const other = image(area.header).and(requested.not().extendU());
    const present = inUse.get().and(requested).extendU();
    fn.callAll(core.xsaveLegacy, r.cpu, wide);
    fn.store('i64', r.cpu, other.or(present), layout.image + area.header);
    const saved = fn.local('i32', requested);
    fn.if(optimized, () => saved.set(requested.and(inUse.get())));
    fn.if(saved.get().and(components.x87), () => {
      copy('imageStore', 0, area.mxcsr);
      copy('imageStore', area.st, area.xmm - area.st);
    });
    // MXCSR goes with the request, whether the registers are in use or not.
    fn.if(requested.and(components.sse), () => copy('imageStore', area.mxcsr, area.st - area.mxcsr));
    fn.if(saved.get().and(components.sse), () => copy('imageStore', area.xmm, xmmBytes(s)));
    copy('imageStore', area.header, 8);
    fn.return(1);
  });

  define('xrstor', (fn) => {
    const { r, wide, copy, image } = areaRoutine(fn, core);
    const requested = fn.parameter(4).get().and(r.state32(layout.xcr0));
    // The header comes first, from XCOMP_BV on.
    copy('imageLoad', area.header + 8, 56);
    copy('imageLoad', 0, xsaveBytes);
    const present = image(area.header);
    // XSTATE_BV within XCR0; XCOMP_BV and the eight bytes behind it zero.
    const strange = present.and(r.state64(layout.xcr0).not());
    r.raiseIf(
      strange
        .or(image(area.header + 8))
        .or(image(area.header + 16))
        .ne(0),
      exceptions.GP,
    );
    fn.if(requested.and(components.sse), () => {
      checkMxcsr(r);
      loadMxcsr(r);
      fn.if(present.wrap().and(components.sse).eqz(), () => {
        fn.fill(r.cpu.add(layout.image + area.xmm), 0, 256);
      });
      fn.callAll(core.xrstorSse, r.cpu);
    });
    fn.if(requested.and(components.x87), () => {
      const pointers = fn.local('i32', wide);
      fn.if(present.wrap().and(components.x87).eqz(), () => {
        pointers.set(0);
        fn.fill(r.cpu.add(layout.image), 0, area.mxcsr);
        fn.fill(r.cpu.add(layout.image + area.st), 0, area.xmm - area.st);
        fn.store('i32_16', r.cpu, initialControl, layout.image + area.fcw);
      });
      fn.callAll(core.xrstorX87, r.cpu, pointers.get());
    });
    fn.return(1);
  });
};
