/**
 * Copies between memory and the image area of the state, where areas too large for one access (FSAVE, FXSAVE, XSAVE, the
 * x87 environment) are put together and taken apart.
 */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import * as layout from '../layout.ts';
import { writes } from '../memoryaccess.ts';
import * as tlb from '../tlb.ts';
import type { Core, CorePart, DefineRoutine } from './core.ts';

/** Outside of 64-bit mode linear addresses have 32 bits. */
function wrapped(fn: FunctionBuilder, cpu: Value, linear: Value): Value {
  return fn.select(fn.load('i32', cpu, layout.mode).and(2), linear, linear.and(0xffff_ffff));
}

/** Address of the TLB entry for a linear address. */
function entryOf(fn: FunctionBuilder, cpu: Value, linear: Value): Value {
  return fn.load('i32', cpu, layout.tlb).add(
    linear
      .shrU(12 - tlb.entryShift)
      .wrap()
      .and(tlb.entryMask),
  );
}

function defineCopy(define: DefineRoutine, core: Core, name: 'imageStore' | 'imageLoad'): void {
  const stores = name === 'imageStore';
  define(name, (fn) => {
    const cpu = fn.parameter(0).get();
    const linear = fn.parameter(1);
    const image = fn.local('i32', cpu.add(layout.image).add(fn.parameter(2).get()));
    const left = fn.parameter(3);
    const kind = fn.parameter(4).get();
    const host = fn.local('i32');
    const scratch = cpu.add(layout.scratch);
    fn.loop((again) => {
      const at = wrapped(fn, cpu, linear.get());
      const entry = entryOf(fn, cpu, at);
      const tag = fn.load('i64', entry, stores ? tlb.writeTag : tlb.readTag);
      fn.if(
        tag.eq(at.and(-4096)),
        () => host.set(at.wrap().add(fn.load('i32', entry, tlb.addend))),
        () => host.set(fn.call(core.access, cpu, at, kind.or(1))),
      );
      fn.if(host.get().eqz(), () => fn.return(0));
      const part = fn.local('i32', 1);
      const copy = (length: Value) => {
        if (stores) fn.copy(host.get(), image.get(), length);
        else fn.copy(image.get(), host.get(), length);
      };
      fn.if(
        host.get().eq(scratch),
        () => {
          // A device's register, a byte at a time.
          copy(fn.i32(1));
          if (stores) fn.callAll(core.commit, cpu);
          part.set(1);
        },
        () => {
          const inPage = fn.i32(4096).sub(at.wrap().and(0xfff));
          part.set(fn.select(inPage.ltU(left.get()), inPage, left.get()));
          copy(part.get());
        },
      );
      linear.set(at.add(part.get().extendU()));
      image.set(image.get().add(part.get()));
      left.set(left.get().sub(part.get()));
      again.brIf(left.get());
    });
    fn.return(1);
  });
}

export const image: CorePart = (define, core) => {
  define('imageReach', (fn) => {
    const cpu = fn.parameter(0).get();
    const linear = fn.parameter(1).get();
    const length = fn.parameter(2).get();
    const kind = fn.parameter(3).get().or(1);
    const last = wrapped(fn, cpu, linear.add(length.sub(1).extendU()));
    // In one page that is known to be open, nothing more is to be found out.
    const entry = entryOf(fn, cpu, linear);
    const tag = fn.select(
      kind.and(writes),
      fn.load('i64', entry, tlb.writeTag),
      fn.load('i64', entry, tlb.readTag),
    );
    const page = linear.and(-4096);
    fn.if(tag.eq(page).and(last.and(-4096).eq(page)), () => fn.return(1));
    fn.if(fn.call(core.access, cpu, wrapped(fn, cpu, linear), kind).eqz(), () => fn.return(0));
    fn.return(fn.call(core.access, cpu, last, kind).ne(0));
  });

  define('imageInSegment', (fn) => {
    const cpu = fn.parameter(0).get();
    const segment = fn.parameter(1).get();
    const offset = fn.parameter(2).get();
    const mask = fn.parameter(3).get();
    const kind = fn.parameter(4).get();
    const length = fn.parameter(5).get();
    const fieldSize = fn.parameter(6).get();
    const isWrite = kind.and(writes).ne(0);
    const copy = (linear: Value, from: Value, bytes: Value) => {
      const done = fn.local('i32');
      fn.if(
        isWrite,
        () => done.set(fn.call(core.imageStore, cpu, linear, from, bytes, kind)),
        () => done.set(fn.call(core.imageLoad, cpu, linear, from, bytes, kind)),
      );
      return done.get();
    };
    const last = offset.add(length.sub(1).extendU());
    fn.if(last.leU(mask), () => {
      const linear = fn.call(core.segmentLinear, cpu, segment, offset, length, isWrite);
      fn.if(linear.geS(0), () => {
        fn.if(fn.call(core.imageReach, cpu, linear, length, kind).eqz(), () => fn.return(0));
        fn.return(copy(linear, fn.i32(0), length));
      });
    });
    // Stores look at the end first, as processors do.
    fn.if(isWrite, () => {
      const end = fn.call(core.segmentLinear, cpu, segment, last.and(mask), 1, 1);
      fn.if(end.ltS(0), () => fn.return(0));
    });
    const at = fn.local('i32', 0);
    fn.loop((again) => {
      const bytes = fn.select(at.get().ltU(fieldSize.mul(7)), fieldSize, fn.i32(10));
      const place = offset.add(at.get().extendU()).and(mask);
      const linear = fn.call(core.segmentLinear, cpu, segment, place, bytes, isWrite);
      fn.if(linear.ltS(0), () => fn.return(0));
      fn.if(copy(linear, at.get(), bytes).eqz(), () => fn.return(0));
      at.set(at.get().add(bytes));
      again.brIf(at.get().ltU(length));
    });
    fn.return(1);
  });

  defineCopy(define, core, 'imageStore');
  defineCopy(define, core, 'imageLoad');
};
