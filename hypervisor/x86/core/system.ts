/** Control registers, time, fast system calls (SDM vol. 2 and vol. 3, chapters 2 and 5.8). */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import { BS } from '../debug.ts';
import * as exceptions from '../exceptions.ts';
import { FIXED, IF, RF, TF, VM } from '../flags.ts';
import * as layout from '../layout.ts';
import { CR0, CR4, EFER, physicalBits } from '../mode.ts';
import type { CorePart } from './core.ts';
import { Routine } from './routine.ts';

/** Bits of CR0 and CR4 that can be set. */
const cr0Bits = Object.values(CR0).reduce((all, bit) => all | bit, 0) >>> 0;
const cr4Bits =
  CR4.TSD |
  CR4.DE |
  CR4.PSE |
  CR4.PAE |
  CR4.MCE |
  CR4.PGE |
  CR4.OSFXSR |
  CR4.OSXMMEXCPT |
  CR4.UMIP |
  CR4.FSGSBASE |
  CR4.PCIDE |
  CR4.OSXSAVE |
  CR4.SMEP |
  CR4.SMAP;
/** Changing one of these makes translations invalid (SDM vol. 3, 4.10.4.1). */
const cr0Paging = CR0.PG | CR0.WP | CR0.PE;
const cr4Paging = CR4.PSE | CR4.PAE | CR4.PGE | CR4.PCIDE | CR4.SMEP | CR4.SMAP;

/** Attributes of the flat segments that SYSCALL and its relatives load. */
const code64 = 0xa09b;
const code32 = 0xc09b;
const data = 0xc093;
const level3 = 0x60;

export const system: CorePart = (define, core, host) => {
  define('writeControl', (fn) => {
    const r = new Routine(fn, core);
    fn.switch(
      fn.parameter(1).get(),
      [() => writeCr0(r), undefined, undefined, () => writeCr3(r), () => writeCr4(r)],
      () => fn.unreachable(),
    );
    fn.return(1);
  });

  define('readTsc', (fn) => {
    const cpu = fn.parameter(0).get();
    const passed = fn.load('i32', cpu, layout.budgetStart).sub(fn.load('i32', cpu, layout.budget));
    const now = fn.local('i64', fn.load('i64', cpu, layout.timeBase).add(passed.extendS()));
    // vCPUs of a guest run in turns; none may see a time before one that another has seen.
    const shared = fn.load('i32', cpu, layout.shared);
    const latest = fn.load('i64', shared);
    now.set(fn.select(now.get().gtS(latest), now.get(), latest));
    fn.store('i64', shared, now.get());
    fn.return(now.get().add(fn.load('i64', cpu, layout.tscOffset)));
  });

  // xoshiro256** 1.0 of David Blackman and Sebastiano Vigna (2018), from its published recurrence.
  define('random', (fn) => {
    const cpu = fn.parameter(0).get();
    const word = (i: number) => fn.local('i64', fn.load('i64', cpu, layout.random + 8 * i));
    const [s0, s1, s2, s3] = [word(0), word(1), word(2), word(3)];
    const result = fn.local('i64', s1.get().mul(5).rotl(7).mul(9));
    const t = fn.local('i64', s1.get().shl(17));
    s2.set(s2.get().xor(s0.get()));
    s3.set(s3.get().xor(s1.get()));
    s1.set(s1.get().xor(s2.get()));
    s0.set(s0.get().xor(s3.get()));
    s2.set(s2.get().xor(t.get()));
    s3.set(s3.get().rotl(45));
    for (const [i, each] of [s0, s1, s2, s3].entries())
      fn.store('i64', cpu, each.get(), layout.random + 8 * i);
    fn.return(result.get());
  });

  define('systemCall', (fn) => {
    const r = new Routine(fn, core);
    const next = fn.parameter(1).get();
    const isCode64 = r.state32(layout.mode).and(2);
    const flags = fn.local('i32', r.state32(layout.systemFlags).or(fn.call(core.allFlags, r.cpu)).or(FIXED));
    r.setState64(layout.gprOffset(1), next);
    r.setState64(layout.gprOffset(11), flags.get().and(~RF).extendU());
    r.setState64(layout.rip, fn.select(isCode64, r.state64(layout.lstar), r.state64(layout.cstar)));
    setFlags(r, flags.get().and(r.state32(layout.sfmask).not()).and(~RF));
    stepBehind(r);
    const selector = r.state64(layout.star).shrU(32).wrap();
    r.setSegment(layout.CS, selector.and(0xfffc), 0, -1, code64);
    r.setSegment(layout.SS, selector.add(8).and(0xffff), 0, -1, data);
    fn.callAll(core.updateMode, r.cpu);
  });

  define('systemReturn', (fn) => {
    const r = new Routine(fn, core);
    const wide = fn.parameter(1).get();
    r.raiseIf(r.state32(layout.cpl), exceptions.GP);
    const target = r.state64(layout.gprOffset(1));
    const selector = r.state64(layout.star).shrU(48).wrap();
    fn.if(
      wide,
      () => {
        r.raiseIf(target.shl(16).shrS(16).ne(target), exceptions.GP);
        r.setState64(layout.rip, target);
        r.setSegment(layout.CS, selector.add(16).or(3).and(0xffff), 0, -1, code64 | level3);
      },
      () => {
        r.setState64(layout.rip, target.and(0xffff_ffff));
        r.setSegment(layout.CS, selector.or(3), 0, -1, code32 | level3);
      },
    );
    r.setSegment(layout.SS, selector.add(8).or(3).and(0xffff), 0, -1, data | level3);
    setFlags(r, r.state32(layout.gprOffset(11)).and(0x3c_7fd7).or(FIXED));
    stepBehind(r);
    fn.callAll(core.updateMode, r.cpu);
    fn.return(1);
  });

  define('sysenter', (fn) => {
    const r = new Routine(fn, core);
    r.raiseIf(r.state32(layout.cr0).and(CR0.PE).eqz(), exceptions.GP);
    const selector = r.state32(layout.sysenterCs);
    r.raiseIf(selector.and(0xfffc).eqz(), exceptions.GP);
    const isLong = r.state32(layout.efer).and(EFER.LMA);
    const cut = (value: Value) => fn.select(isLong, value, value.and(0xffff_ffff));
    r.setState32(layout.systemFlags, r.state32(layout.systemFlags).and(~(VM | IF)));
    r.setState64(layout.gprOffset(4), cut(r.state64(layout.sysenterEsp)));
    r.setState64(layout.rip, cut(r.state64(layout.sysenterEip)));
    r.setSegment(layout.CS, selector.and(0xfffc), 0, -1, fn.select(isLong, fn.i32(code64), fn.i32(code32)));
    r.setSegment(layout.SS, selector.and(0xfffc).add(8), 0, -1, data);
    fn.callAll(core.updateMode, r.cpu);
    fn.return(1);
  });

  define('sysexit', (fn) => {
    const r = new Routine(fn, core);
    const wide = fn.parameter(1).get();
    const selector = r.state32(layout.sysenterCs);
    r.raiseIf(
      selector.and(0xfffc).eqz().or(r.state32(layout.cpl)).or(r.state32(layout.cr0).and(CR0.PE).eqz()),
      exceptions.GP,
    );
    const [ip, sp] = [r.state64(layout.gprOffset(2)), r.state64(layout.gprOffset(1))];
    const canonical = (value: Value) => value.shl(16).shrS(16).eq(value);
    r.raiseIf(wide.ne(0).and(canonical(ip).and(canonical(sp)).eqz()), exceptions.GP);
    r.setState64(layout.rip, fn.select(wide, ip, ip.and(0xffff_ffff)));
    r.setState64(layout.gprOffset(4), fn.select(wide, sp, sp.and(0xffff_ffff)));
    const first = selector.and(0xfffc).add(fn.select(wide, fn.i32(32), fn.i32(16)));
    r.setSegment(
      layout.CS,
      first.or(3),
      0,
      -1,
      fn.select(wide, fn.i32(code64 | level3), fn.i32(code32 | level3)),
    );
    r.setSegment(layout.SS, first.add(8).or(3), 0, -1, data | level3);
    fn.callAll(core.updateMode, r.cpu);
    fn.return(1);
  });

  const number = (fn: FunctionBuilder) => fn.load('i32', fn.parameter(0).get(), layout.number);
  define('cpuid', (fn) => {
    fn.callAll(host.cpuid, number(fn), fn.parameter(1).get(), fn.parameter(2).get());
  });
  define('readMsr', (fn) => fn.return(fn.call(host.readMsr, number(fn), fn.parameter(1).get())));
  define('writeMsr', (fn) => {
    const [index, low, high] = [1, 2, 3].map((i) => fn.parameter(i).get()) as [Value, Value, Value];
    fn.return(fn.call(host.writeMsr, number(fn), index, low, high));
  });
  define('readCr8', (fn) => fn.return(fn.call(host.readCr8, number(fn))));
  define('writeCr8', (fn) => {
    fn.callAll(host.writeCr8, number(fn), fn.parameter(1).get());
  });
};

/** Sets RFLAGS from an image: the system flags and, lazily as an explicit kind, the arithmetic ones. */
function setFlags(r: Routine, flags: Value): void {
  const arithmetic = 0x8d5;
  r.setState32(layout.systemFlags, flags.and(~(arithmetic | FIXED)));
  r.setState32(layout.ccOp, 0);
  r.setState64(layout.ccSrc, flags.and(arithmetic).extendU());
}

/** Behind SYSCALL and SYSRET a debug trap comes when the flags that they have set have TF. */
function stepBehind(r: Routine): void {
  r.setState32(layout.stepping, 0);
  r.fn.if(r.state32(layout.systemFlags).and(TF), () => {
    r.setState32(layout.pendingDebug, r.state32(layout.pendingDebug).or(BS));
  });
}

function writeCr0(r: Routine): void {
  const { fn, core, cpu } = r;
  const old = r.state32(layout.cr0);
  const value64 = fn.parameter(2).get();
  r.raiseIf(value64.shrU(32).ne(0), exceptions.GP);
  // ET is always set; bits that do not exist are ignored (SDM vol. 3, 2.5).
  const value = fn.local(
    'i32',
    value64
      .wrap()
      .and(cr0Bits | 0)
      .or(CR0.ET),
  );
  const has = (flag: number) =>
    value
      .get()
      .and(flag | 0)
      .ne(0);
  r.raiseIf(has(CR0.PG).and(has(CR0.PE).eqz()), exceptions.GP);
  r.raiseIf(has(CR0.NW).and(has(CR0.CD).eqz()), exceptions.GP);
  const paging = CR0.PG | 0;
  const turnsOn = old.and(paging).eqz().and(has(CR0.PG));
  const turnsOff = old.and(paging).ne(0).and(has(CR0.PG).eqz());
  const efer = r.state32(layout.efer);
  const cr4 = r.state32(layout.cr4);
  const longEnabled = efer.and(EFER.LME).ne(0);
  const inCode64 = r.state32(layout.mode).and(2).ne(0);
  r.raiseIf(turnsOff.and(inCode64.or(cr4.and(CR4.PCIDE).ne(0))), exceptions.GP);
  fn.if(turnsOn.and(longEnabled), () => {
    const csIsLong = r.state32(r.segment(layout.CS, layout.segmentAttributes)).and(0x2000).ne(0);
    r.raiseIf(cr4.and(CR4.PAE).eqz().or(csIsLong), exceptions.GP);
    r.setState32(layout.efer, efer.or(EFER.LMA));
  });
  fn.if(turnsOn.and(longEnabled.eqz()).and(cr4.and(CR4.PAE).ne(0)), () =>
    loadPdptes(r, r.state64(layout.cr3)),
  );
  fn.if(turnsOff, () => r.setState32(layout.efer, efer.and(~EFER.LMA)));
  const changed = old.xor(value.get());
  r.setState64(layout.cr0, value.get().extendU());
  fn.callAll(core.updateMode, cpu);
  fn.if(changed.and(cr0Paging | 0), () => fn.callAll(core.flushTlb, cpu, 0));
}

function writeCr3(r: Routine): void {
  const { fn, core, cpu } = r;
  const value = fn.parameter(2).get();
  const isLong = r.state32(layout.efer).and(EFER.LMA);
  const pcids = r.state32(layout.cr4).and(CR4.PCIDE);
  // Bit 63 asks for translations to be kept; forgetting them is allowed, and it is not stored (SDM vol. 3, 4.10.4.1).
  const kept = fn.select(pcids, value.and(~(1n << 63n)), value);
  r.raiseIf(isLong.ne(0).and(kept.shrU(physicalBits).ne(0)), exceptions.GP);
  const legacyPae = isLong
    .eqz()
    .and(r.state32(layout.cr4).and(CR4.PAE).ne(0))
    .and(
      r
        .state32(layout.cr0)
        .and(CR0.PG | 0)
        .ne(0),
    );
  const stored = fn.local('i64', fn.select(isLong, kept, kept.and(0xffff_ffff)));
  fn.if(legacyPae, () => loadPdptes(r, stored.get()));
  r.setState64(layout.cr3, stored.get());
  fn.callAll(core.flushTlb, cpu, 1);
}

/** Loads the four page-directory-pointer entries of PAE paging, checking their reserved bits (SDM vol. 3, 4.4.1). */
function loadPdptes(r: Routine, cr3: Value): void {
  const { fn, core, cpu } = r;
  const reserved = ~((1n << BigInt(physicalBits)) - 1n) | 0x1e6n;
  const at = fn.local('i32', fn.call(core.physical, cpu, cr3.and(0xffff_ffe0n), 0));
  fn.if(at.get().eqz(), () => fn.return(0));
  r.raiseIf(at.get().eq(-1), exceptions.GP);
  for (let i = 0; i < 4; i++) {
    const entry = fn.load('i64', at.get(), 8 * i);
    r.raiseIf(entry.and(1).ne(0).and(entry.and(reserved).ne(0)), exceptions.GP);
  }
  for (let i = 0; i < 4; i++) r.setState64(layout.pdpte + 8 * i, fn.load('i64', at.get(), 8 * i));
}

function writeCr4(r: Routine): void {
  const { fn, core, cpu } = r;
  const value = fn.parameter(2).get();
  const old = r.state32(layout.cr4);
  r.raiseIf(value.and(~BigInt(cr4Bits)).ne(0), exceptions.GP);
  const isLong = r.state32(layout.efer).and(EFER.LMA).ne(0);
  const now = value.wrap();
  r.raiseIf(isLong.and(now.and(CR4.PAE).eqz()), exceptions.GP);
  const enablesPcid = now.and(old.not()).and(CR4.PCIDE).ne(0);
  const pcidNow = r.state32(layout.cr3).and(0xfff).ne(0);
  r.raiseIf(enablesPcid.and(isLong.eqz().or(pcidNow)), exceptions.GP);
  const changed = fn.local('i32', old.xor(now));
  const paging = r
    .state32(layout.cr0)
    .and(CR0.PG | 0)
    .ne(0);
  const reload = paging
    .and(isLong.eqz())
    .and(now.and(CR4.PAE).ne(0))
    .and(
      changed
        .get()
        .and(CR4.PAE | CR4.PSE | CR4.PGE | CR4.SMEP)
        .ne(0),
    );
  fn.if(reload, () => loadPdptes(r, r.state64(layout.cr3)));
  r.setState64(layout.cr4, value);
  fn.callAll(core.updateMode, cpu);
  fn.if(changed.get().and(cr4Paging), () => fn.callAll(core.flushTlb, cpu, 0));
}
