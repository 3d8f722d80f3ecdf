/**
 * Copies between memory and the image area of the state, where areas too large for one access (FSAVE, FXSAVE, XSAVE, the
 * x87 environment) are put together and taken apart.
 */
import type { Value } from '../../wasm/value.ts';
import * as layout from '../layout.ts';
import { writes } from '../memoryaccess.ts';
import * as tlb from '../tlb.ts';
import type { Core, CorePart, DefineRoutine } from './core.ts';

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
      const at = linear.get();
      const entry = fn.load('i32', cpu, layout.tlb).add(
        at
          .shrU(12 - tlb.entryShift)
          .wrap()
          .and(tlb.entryMask),
      );
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
    const kind = fn.parameter(3).get().or(1);
    const last = linear.add(fn.parameter(2).get().sub(1).extendU());
    // In one page that is known to be open, nothing more is to be found out.
    const entry = fn.load('i32', cpu, layout.tlb).add(
      linear
        .shrU(12 - tlb.entryShift)
        .wrap()
        .and(tlb.entryMask),
    );
    const tag = fn.select(
      kind.and(writes),
      fn.load('i64', entry, tlb.writeTag),
      fn.load('i64', entry, tlb.readTag),
    );
    const page = linear.and(-4096);
    fn.if(tag.eq(page).and(last.and(-4096).eq(page)), () => fn.return(1));
    fn.if(fn.call(core.access, cpu, linear, kind).eqz(), () => fn.return(0));
    fn.return(fn.call(core.access, cpu, last, kind).ne(0));
  });

  defineCopy(define, core, 'imageStore');
  defineCopy(define, core, 'imageLoad');
};
