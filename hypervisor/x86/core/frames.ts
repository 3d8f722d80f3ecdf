/** The stack frames of events, in each mode (SDM vol. 3, 6.12.1, 6.14 and 20.1.4). */
import type { Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import { AC, IF, RF, TF } from '../flags.ts';
import * as layout from '../layout.ts';
import { stack, supervisor, writes } from '../memoryaccess.ts';
import { type Routine, selectorError } from './routine.ts';
import { loadInnerStack, movePresentStack, push, useInnerStack, usePresentStack } from './stack.ts';

/** What the frame of a protected-mode event depends on. */
export interface Event {
  /** The gate's first eight bytes. */
  readonly gate: Value;
  /** 1 when the handler is at an inner privilege level. */
  readonly inner: Value;
  /** The handler's privilege level. */
  readonly level: Value;
  /** Image of RFLAGS to push. */
  readonly flags: Value;
  readonly returnIp: Value;
  /** 1 when there is an error code to push. */
  readonly pushesCode: Value;
  readonly code: Value;
  /** EXT of error codes. */
  readonly external: Value;
}

const RSP = layout.gprOffset(4);

function selectorOf(r: Routine, number: number): Value {
  return r.state32(r.segment(number, layout.segmentSelector));
}

/** Delivers in real mode: a vector table of far pointers, a frame of three words. Leaves the routine. */
export function realModeFrame(r: Routine, vector: Value, flags: Value, returnIp: Value): void {
  const { fn } = r;
  const at = vector.shl(2).extendU();
  r.raiseIf(at.add(3).gtU(fn.load('i64_16u', r.cpu, layout.idtr + 8)), exceptions.GP);
  const target = fn.local('i32', r.read(r.state64(layout.idtr).add(at), 4));
  usePresentStack(r, 0);
  push(r, flags, 2, 0);
  push(r, selectorOf(r, layout.CS), 2, 0);
  push(r, returnIp, 2, 0);
  movePresentStack(r);
  r.setState32(layout.systemFlags, r.state32(layout.systemFlags).and(~(IF | TF | AC | RF)));
  const selector = target.get().shrU(16);
  r.setState32(r.segment(layout.CS, layout.segmentSelector), selector);
  r.setState64(layout.segmentOffset(layout.CS), selector.extendU().shl(4));
  r.setState64(layout.rip, target.get().and(0xffff).extendU());
  fn.return(1);
}

/** Pushes the frame of an event in IA-32e mode and sets RSP, SS and RIP. */
export function longFrame(r: Routine, event: Event, gateAddress: Value): void {
  const { fn, cpu } = r;
  const { gate, inner, level, external } = event;
  const high = r.read(gateAddress.add(8), 8);
  const target = fn.local('i64', gate.and(0xffff).or(gate.shrU(32).and(0xffff_0000n)).or(high.shl(32)));
  const oldSp = r.state64(RSP);
  const sp = fn.local('i64', oldSp);
  // RSP0 … 2 are at 4 in the TSS, IST1 … 7 at 36 (SDM vol. 3, figure 8-11).
  const ist = gate.shrU(32).wrap().and(7);
  fn.if(ist.or(inner), () => {
    const offset = fn.select(ist, ist.shl(3).add(28), level.shl(3).add(4));
    const outside = offset.add(7).gtU(r.state32(r.segment(layout.TR, layout.segmentLimit)));
    r.raiseIf(outside, exceptions.TS, selectorError(selectorOf(r, layout.TR)).or(external));
    sp.set(r.read(r.state64(layout.segmentOffset(layout.TR)).add(offset.extendU()), 8));
  });
  r.raiseIf(target.get().shl(16).shrS(16).ne(target.get()), exceptions.GP, external);
  // The frame ends at a multiple of 16 and is written as one.
  const size = fn.select(event.pushesCode, fn.i32(48), fn.i32(40));
  const bottom = fn.local('i64', sp.get().and(-16).sub(size.extendU()));
  const level0to2 = fn.select(inner, fn.i32(supervisor), fn.i32(0));
  const frame = fn.local(
    'i32',
    fn.call(r.core.access, cpu, bottom.get(), size.or(writes | stack).or(level0to2)),
  );
  fn.if(frame.get().eqz(), () => {
    fn.if(r.state32(layout.faultVector).eq(exceptions.SS), () => r.setState32(layout.faultCode, external));
    fn.return(0);
  });
  fn.if(event.pushesCode, () => {
    fn.store('i64', frame.get(), event.code.extendU());
    frame.set(frame.get().add(8));
  });
  const at = frame.get();
  fn.store('i64', at, event.returnIp);
  fn.store('i64', at, selectorOf(r, layout.CS).extendU(), 8);
  fn.store('i64', at, event.flags.extendU(), 16);
  fn.store('i64', at, oldSp, 24);
  fn.store('i64', at, selectorOf(r, layout.SS).extendU(), 32);
  fn.callAll(r.core.commit, cpu);
  r.setState64(RSP, bottom.get());
  fn.if(inner, () => r.setSegment(layout.SS, level, 0, 0, level.shl(5)));
  r.setState64(layout.rip, target.get());
}

const dataSegments = [layout.GS, layout.FS, layout.DS, layout.ES];

/**
 * Pushes the frame of an event in legacy protected mode and sets ESP, SS and EIP.
 * @param wide not 0 with a 32-bit gate
 * @param fromVirtual not 0 when virtual-8086 mode is left
 * @param codeLimit limit of the handler's code segment
 */
export function legacyFrame(
  r: Routine,
  event: Event,
  wide: Value,
  fromVirtual: Value,
  codeLimit: Value,
): void {
  const { fn } = r;
  const { gate, inner, level, external } = event;
  const size = fn.local('i32', fn.select(wide, fn.i32(4), fn.i32(2)));
  const high = fn.select(
    wide,
    gate
      .shrU(32)
      .wrap()
      .and(0xffff_0000 | 0),
    fn.i32(0),
  );
  const target = fn.local('i32', gate.wrap().and(0xffff).or(high));
  const error = fn.local('i32', external);
  const put = (value: Value) => push(r, value, size.get(), error.get());
  const putFrame = () => {
    put(event.flags);
    put(selectorOf(r, layout.CS));
    put(event.returnIp);
    fn.if(event.pushesCode, () => put(event.code));
  };
  const checkTarget = () => r.raiseIf(target.get().gtU(codeLimit), exceptions.GP, external);
  fn.if(
    inner,
    () => {
      const found = useInnerStack(r, level, external);
      error.set(selectorError(found.selector).or(external));
      checkTarget();
      fn.if(fromVirtual, () => {
        for (const number of dataSegments) put(selectorOf(r, number));
      });
      put(selectorOf(r, layout.SS));
      put(r.state64(RSP));
      putFrame();
      loadInnerStack(r, level, found);
      fn.if(fromVirtual, () => {
        for (const number of dataSegments) r.setSegment(number, 0, 0, 0, 0);
      });
    },
    () => {
      usePresentStack(r, 0);
      checkTarget();
      putFrame();
      movePresentStack(r);
    },
  );
  r.setState64(layout.rip, target.get().extendU());
}
