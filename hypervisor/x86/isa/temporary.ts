import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import type { Semantics } from '../semantics.ts';
import { meaning, type Row, row } from './instruction.ts';

const sys = layout.systemFlags;
const setf = (m: number) =>
  meaning('', (c) => {
    c.setState32(sys, c.state32(sys).or(m));
  });
const clrf = (m: number) =>
  meaning('', (c) => {
    c.setState32(sys, c.state32(sys).and(~m));
  });
const chk = (c: Semantics) => {
  c.fn.if(c.state32(layout.interruptPending).and(c.state32(sys).shrU(9)).and(1), () => c.stopSoon(0));
};
const sti = meaning('', (c) => {
  c.setState32(sys, c.state32(sys).or(0x200));
  c.fn.if(c.state32(layout.interruptPending), () => c.stopSoon(1));
});
const pushf = meaning('', (c) => {
  const f = c.state32(sys).or(c.allFlags()).or(2).and(~0x30000);
  c.push(c.size === 8 ? f.extendU() : f, c.size);
});
const popf = meaning('', (c) => {
  const v = c.top(c.size);
  c.moveStack(c.size);
  const f = c.size === 8 ? v.wrap() : v;
  const keep = c.fn.select(c.state32(layout.cpl), c.i32(0x3200), c.i32(0));
  const mask = keep.not().and(0x247700);
  c.setAllFlags(f);
  c.setState32(sys, c.state32(sys).and(mask.not()).or(f.and(mask)));
  c.updateMode();
  chk(c);
});
const lahf = meaning('', (c) => {
  c.writeRegister(layout.gprOffset(0) + 1, 1, c.allFlags().and(0xd5).or(2));
});
const sahf = meaning('', (c) => {
  c.setAllFlags(
    c
      .readRegister(layout.gprOffset(0) + 1, 1)
      .and(0xd5)
      .or(c.overflow().shl(11)),
  );
});
const clc = meaning('', (c) => {
  c.setAllFlags(c.allFlags().and(~1));
});
const stc = meaning('', (c) => {
  c.setAllFlags(c.allFlags().or(1));
});
const cmc = meaning('', (c) => {
  c.setAllFlags(c.allFlags().xor(1));
});
const movs = meaning('r r', (c, n, v) => {
  c.faultUnless(c.fn.call(c.core.loadSegment, c.cpu, n!, v!));
});
const movfs = meaning('w r', (c, n) => {
  const v = c.fn.load('i32', c.cpu.add(n!.mul(24)), layout.segments + 16);
  return c.form.memory ? v : c.size === 8 ? v.extendU() : v;
});
function farTo(c: Semantics, sel: ReturnType<Semantics['i32']>): void {
  c.faultUnless(c.fn.call(c.core.readDescriptor, c.cpu, sel));
  c.fn.callAll(c.core.setSegment, c.cpu, 1, sel, c.state64(layout.result0));
}
const iret = meaning('', (c) => {
  if (c.size !== 8) {
    c.raise(exceptions.UD);
    return;
  }
  const ld = (n: number) => c.fn.local('i64', c.load(c.stackAddress(8 * n), 8));
  const [ip, cs, fl, sp, ss] = [ld(0), ld(1), ld(2), ld(3), ld(4)];
  const cpl = c.fn.local('i32', cs.get().wrap().and(3));
  farTo(c, cs.get().wrap().and(0xffff));
  c.setGpr(4, sp.get(), 8);
  c.fn.if(
    ss.get().wrap().and(0xfffc).eqz(),
    () => {
      c.setState64(layout.segmentOffset(2), 0);
      c.setState32(layout.segmentOffset(2) + 12, cpl.get().shl(5));
    },
    () => {
      c.faultUnless(c.fn.call(c.core.readDescriptor, c.cpu, ss.get().wrap().and(0xffff)));
      c.fn.callAll(c.core.setSegment, c.cpu, 2, ss.get().wrap(), c.state64(layout.result0));
    },
  );
  c.setState32(layout.segmentOffset(2) + 16, ss.get().wrap().and(0xffff));
  c.setState64(layout.rip, ip.get());
  c.setAllFlags(fl.get().wrap());
  c.setState32(sys, fl.get().wrap().and(0x3f7700));
  c.setState32(layout.nmiBlocked, 0);
  c.updateMode();
  chk(c);
  c.resume();
});
const lret = meaning('', (c) => {
  const ip = c.fn.local('i64', c.load(c.stackAddress(0), 8));
  const cs = c.load(c.stackAddress(8), 8);
  farTo(c, cs.wrap().and(0xffff));
  c.moveStack(16);
  c.setState64(layout.rip, ip.get());
  c.updateMode();
  c.resume();
});
const lldt = meaning('r', (c, v) => {
  void v;
});
const ltr = meaning('r', (c, v) => {
  c.faultUnless(c.fn.call(c.core.readDescriptor, c.cpu, v!));
  const lin = c.fn.local('i64', c.state64(layout.result1));
  c.fn.callAll(c.core.setSegment, c.cpu, 7, v!, c.state64(layout.result0));
  const h = c.fn.call(c.core.access, c.cpu, lin.get().add(8), 8 | 0x800);
  c.setState64(layout.segmentOffset(7), c.state64(layout.segmentOffset(7)).or(c.fn.load('i64', h).shl(32)));
});
const int3 = meaning('', (c) => {
  c.setState64(layout.rip, c.nextIp());
  c.beforeCall();
  c.faultUnless(c.fn.call(c.core.deliver, c.cpu, 3, 0, 3));
  c.resume();
});
const dr = meaning('r r', () => {});
const drr = meaning('w r', (c) => (c.code64 ? c.i64(0) : c.i32(0)));
export const temporary: readonly Row[] = [
  ...row('FA', 'CLI', clrf(0x200)),
  ...row('FB', 'STI', sti),
  ...row('FC', 'CLD', clrf(0x400)),
  ...row('FD', 'STD', setf(0x400)),
  ...row('9C', 'PUSHF', pushf, { size64: 'default' }),
  ...row('9D', 'POPF', popf, { size64: 'default' }),
  ...row('9E', 'SAHF', sahf),
  ...row('9F', 'LAHF', lahf),
  ...row('F8', 'CLC', clc),
  ...row('F9', 'STC', stc),
  ...row('F5', 'CMC', cmc),
  ...row('8E', 'MOV Sw,Ew', movs),
  ...row('8C mem', 'MOV Ew,Sw', movfs),
  ...row('8C reg', 'MOV Ev,Sw', movfs),
  ...row('CF', 'IRET', iret, { ends: true }),
  ...row('CB', 'RETF', lret, { ends: true }),
  ...row('0F 00 /2', 'LLDT Ew', lldt),
  ...row('0F 00 /3', 'LTR Ew', ltr),
  ...row('CC', 'INT3', int3, { ends: true }),
  ...row('0F 21', 'MOV En,Dn', drr),
  ...row('0F 23', 'MOV Dn,En', dr),
];
