/** I/O ports: the permission check (SDM vol. 1, 19.5) and the way to the devices. */
import type { FunctionBuilder } from '../../wasm/function.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import { CR4, protectedMode, virtual8086 } from '../mode.ts';
import { presentBit } from '../segments.ts';
import type { CorePart } from './core.ts';
import { anyBreakpoint, breakpointTypes, trapBehind } from './debug.ts';
import { Routine } from './routine.ts';

export const ports: CorePart = (define, core, host) => {
  define('portAllowed', (fn) => {
    const r = new Routine(fn, core);
    const port = fn.parameter(1).get();
    const size = fn.parameter(2).get();
    const mode = r.state32(layout.mode);
    const iopl = r.state32(layout.systemFlags).shrU(12).and(3);
    const free = mode
      .and(protectedMode)
      .eqz()
      .or(mode.and(virtual8086).eqz().and(r.state32(layout.cpl).leU(iopl)));
    fn.if(free, () => fn.return(1));
    // The permission map of a 32-bit or 64-bit TSS; its offset is at 102 (SDM vol. 3, figure 8-2 and 8-11).
    const limit = r.state32(r.segment(layout.TR, layout.segmentLimit));
    const attributes = r.state32(r.segment(layout.TR, layout.segmentAttributes));
    const usable = attributes.and(presentBit).ne(0).and(attributes.and(8).ne(0)).and(limit.geU(103));
    r.raiseIf(usable.eqz(), exceptions.GP);
    const tss = r.state64(layout.segmentOffset(layout.TR));
    const at = r.read(tss.add(102), 2).add(port.shrU(3));
    // Two bytes are read always, so the map ends with one of ones.
    r.raiseIf(at.add(1).gtU(limit), exceptions.GP);
    const map = r.read(tss.add(at.extendU()), 2);
    const wanted = fn.i32(1).shl(size).sub(1).shl(port.and(7));
    r.raiseIf(map.and(wanted), exceptions.GP);
    fn.return(1);
  });

  /** Breakpoints on ports exist with CR4.DE. */
  const meetBreakpoints = (fn: FunctionBuilder) => {
    const cpu = fn.parameter(0).get();
    const enabled = fn.load('i32', cpu, layout.cr4).and(CR4.DE).ne(0);
    fn.if(anyBreakpoint(fn).ne(0).and(enabled), () => {
      const port = fn.parameter(1).get().extendU();
      trapBehind(fn, fn.call(core.breakpoints, cpu, port, fn.parameter(2).get(), breakpointTypes.port));
    });
  };

  define('portIn', (fn) => {
    meetBreakpoints(fn);
    const number = fn.load('i32', fn.parameter(0).get(), layout.number);
    fn.return(fn.call(host.portRead, number, fn.parameter(1).get(), fn.parameter(2).get()));
  });

  define('portOut', (fn) => {
    meetBreakpoints(fn);
    const number = fn.load('i32', fn.parameter(0).get(), layout.number);
    fn.callAll(host.portWrite, number, fn.parameter(1).get(), fn.parameter(2).get(), fn.parameter(3).get());
  });
};
