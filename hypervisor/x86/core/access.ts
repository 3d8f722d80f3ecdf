/** The slow path of memory accesses: TLB refill, accesses across pages, device registers. */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import { codeEndShift, codeModeOffset } from '../codepage.ts';
import * as exceptions from '../exceptions.ts';
import * as exits from '../exits.ts';
import { AC } from '../flags.ts';
import * as layout from '../layout.ts';
import { reads, stack, supervisor, system, writes } from '../memoryaccess.ts';
import { CR4, codeSizeMask, longMode } from '../mode.ts';
import * as tlb from '../tlb.ts';
import type { CorePart, Host } from './core.ts';
import { anyBreakpoint, breakpointTypes, trapBehind } from './debug.ts';
import { walkFetch, walkGlobal, walkOpen, walkUser } from './paging.ts';

const csBase = layout.segmentOffset(layout.CS);

/** Host address of the TLB set with the given number. */
export function setAddress(cpu: Value, set: number): Value {
  return cpu.add(tlb.setOffset(set, layout.stateSize));
}

/** Address of the entry for a linear address in a set. */
function entryOf(set: Value, linear: Value): Value {
  return set.add(
    linear
      .shrU(12 - tlb.entryShift)
      .wrap()
      .and(tlb.entryMask),
  );
}

/** Makes an entry stand for `page`, dropping what it held of another. */
function claimEntry(fn: FunctionBuilder, cpu: Value, entry: Value, page: Value): void {
  const none = fn.i64(-1);
  const old = (offset: number) => fn.load('i64', entry, offset);
  // A tag is the page or -1; if none of the three is the page, the entry held another.
  const same = old(tlb.readTag).eq(page).or(old(tlb.writeTag).eq(page)).or(old(tlb.executeTag).eq(page));
  fn.if(same.eqz(), () => {
    fn.store('i64', entry, none, tlb.readTag);
    fn.store('i64', entry, none, tlb.writeTag);
    fn.store('i64', entry, none, tlb.executeTag);
    fn.if(fn.load('i32', entry, tlb.code).and(tlb.listed).eqz(), () => {
      const count = fn.local('i32', fn.load('i32', cpu, layout.tlbUsed));
      fn.store('i32', listPlace(cpu, count.get()), entry);
      fn.store('i32', cpu, count.get().add(1), layout.tlbUsed);
    });
    fn.store('i32', entry, tlb.listed, tlb.code);
  });
}

/** Where the list of entries in use has its item number `index`. */
function listPlace(cpu: Value, index: Value): Value {
  return cpu.add(index.shl(2)).add(layout.stateSize + tlb.size);
}

function emptyEntry(fn: FunctionBuilder, entry: Value): void {
  for (const tag of [tlb.readTag, tlb.writeTag, tlb.executeTag]) fn.store('i64', entry, -1, tag);
}

/** Marks an entry global when the walk found it so and CR4.PGE is set. */
function markGlobal(fn: FunctionBuilder, cpu: Value, entry: Value, attributes: Value): void {
  const enabled = fn.load('i32', cpu, layout.cr4).and(CR4.PGE).ne(0);
  const global = attributes.wrap().and(walkGlobal).and(enabled);
  fn.store('i32', entry, fn.load('i32', entry, tlb.code).and(~tlb.global).or(global), tlb.code);
}

/** The TLB set for explicit accesses below privilege level 3: user pages are open with RFLAGS.AC, or without SMAP. */
export function supervisorSetOf(fn: FunctionBuilder, cpu: Value): Value {
  const ac = fn.load('i32', cpu, layout.systemFlags).and(AC).ne(0);
  const open = ac.or(fn.load('i32', cpu, layout.cr4).and(CR4.SMAP).eqz());
  return fn.select(open, setAddress(cpu, tlb.supervisorOpenSet), setAddress(cpu, tlb.supervisorSet));
}

/** The TLB set for an access of the given kind: that of the present privilege level, unless the kind says otherwise. */
function setFor(fn: FunctionBuilder, cpu: Value, kind: Value): Value {
  const set = fn.local('i32', fn.load('i32', cpu, layout.tlb));
  fn.if(kind.and(system | supervisor), () => {
    fn.if(
      kind.and(system),
      () => set.set(setAddress(cpu, tlb.supervisorSet)),
      () => set.set(supervisorSetOf(fn, cpu)),
    );
  });
  return set.get();
}

export const access: CorePart = (define, core, host) => {
  define('page', (fn) => {
    const cpu = fn.parameter(0).get();
    const linear = fn.parameter(1).get();
    const kind = fn.parameter(2).get();
    const set = fn.local('i32', setFor(fn, cpu, kind));
    const isSupervisor = set.get().eq(setAddress(cpu, tlb.supervisorSet));
    const isOpen = set.get().eq(setAddress(cpu, tlb.supervisorOpenSet));
    const privilege = fn.select(
      isSupervisor,
      fn.i32(0),
      fn.select(isOpen, fn.i32(walkOpen), fn.i32(walkUser)),
    );
    const write = kind.and(writes).ne(0);
    const found = fn.call(core.walk, cpu, linear, privilege.or(write));
    fn.if(found.eq(-1), () => fn.return(0));
    const physical = found.and(-4096);
    const at = fn.call(core.physical, cpu, physical, write);
    fn.if(at.eqz(), () => fn.return(0));
    fn.if(at.eq(-1), () => {
      fn.store('i64', cpu, physical.or(linear.and(0xfff)), layout.result0);
      fn.return(1);
    });
    const page = linear.and(-4096);
    const fills = fn.local('i32', set.get().ne(setAddress(cpu, tlb.alignmentCheckSet)));
    // A page with a data breakpoint stays out, so that `access` sees all that happens there.
    fn.if(anyBreakpoint(fn), () => {
      fn.if(fn.call(core.breakpoints, cpu, page, 4096, breakpointTypes.data), () => fills.set(0));
    });
    // The set that checks alignment stays empty.
    fn.if(fills.get(), () => {
      const entry = entryOf(set.get(), linear);
      claimEntry(fn, cpu, entry, page);
      fn.store('i64', entry, page, tlb.readTag);
      fn.if(write, () => fn.store('i64', entry, page, tlb.writeTag));
      fn.store('i32', entry, at.sub(page.wrap()), tlb.addend);
      markGlobal(fn, cpu, entry, found);
    });
    fn.return(at.or(linear.wrap().and(0xfff)));
  });

  define('access', (fn) => {
    const cpu = fn.parameter(0).get();
    const linear = fn.parameter(1).get();
    const kind = fn.parameter(2).get();
    const size = kind.and(0xff);
    const refuse = (vector: number | Value, code: number) => {
      fn.store('i32', cpu, vector, layout.faultVector);
      fn.store('i32', cpu, code, layout.faultCode);
      fn.return(0);
    };
    const last = linear.add(size.sub(1).extendU());
    // Routines of the core come here without having looked into the TLB.
    const entry = entryOf(setFor(fn, cpu, kind), linear);
    const tag = entry.add(fn.select(kind.and(writes), fn.i32(tlb.writeTag), fn.i32(tlb.readTag)));
    fn.if(fn.load('i64', tag).eq(last.and(-4096)), () => {
      fn.store('i32', cpu, 0, layout.pendingSize);
      fn.return(fn.load('i32', entry, tlb.addend).add(linear.wrap()));
    });
    fn.if(fn.load('i32', cpu, layout.mode).and(longMode), () => {
      // Canonical: bits 63 … 47 are equal.
      const canonical = (value: Value) => value.shl(16).shrS(16).eq(value);
      fn.if(canonical(linear).and(canonical(last)).eqz(), () => {
        const vector = fn.select(kind.and(stack), fn.i32(exceptions.SS), fn.i32(exceptions.GP));
        refuse(vector, 0);
      });
    });
    fn.if(
      fn
        .load('i32', cpu, layout.tlb)
        .eq(setAddress(cpu, tlb.alignmentCheckSet))
        .and(kind.and(system | supervisor).eqz()),
      () => {
        // 16-byte accesses that must be aligned raise #GP by themselves; others are checked for 8 (SDM vol. 3, table 6-7).
        const alignment = fn.select(size.gtU(8), fn.i32(8), size);
        fn.if(linear.wrap().and(alignment.sub(1)), () => refuse(exceptions.AC, 0));
      },
    );
    const first = fn.call(core.page, cpu, linear, kind);
    fn.if(first.eqz(), () => fn.return(0));
    const scratch = cpu.add(layout.scratch);
    const firstGpa = fn.load('i64', cpu, layout.result0);
    const inFirst = fn.i32(4096).sub(linear.wrap().and(0xfff));
    fn.store('i32', cpu, size, layout.pendingSize);
    fn.store('i32', cpu, fn.select(first.eq(1), fn.i32(0), first), layout.pendingFirst);
    fn.store('i64', cpu, firstGpa, layout.pendingGpa);
    const needsOld = kind.and(writes | reads).ne(writes);
    const watched = fn.local('i32', 0);
    fn.if(anyBreakpoint(fn).ne(0).and(kind.and(system).eqz()), () => {
      watched.set(fn.call(core.breakpoints, cpu, linear.and(-4096), 4096, breakpointTypes.data));
    });
    fn.if(
      inFirst.geU(size),
      () => {
        fn.if(first.ne(1).and(watched.get().eqz()), () => {
          fn.store('i32', cpu, 0, layout.pendingSize);
          fn.return(first);
        });
        fn.if(needsOld, () => {
          fn.if(
            first.ne(1),
            () => fn.copy(scratch, first, size),
            () => deviceCopy(fn, host, scratch, firstGpa, size, 'in'),
          );
        });
      },
      () => {
        const nextPage = linear.and(-4096).add(4096);
        const code64 = fn.load('i32', cpu, layout.mode).and(2);
        const second = fn.call(core.page, cpu, fn.select(code64, nextPage, nextPage.and(0xffff_ffff)), kind);
        fn.if(second.eqz(), () => {
          fn.store('i32', cpu, 0, layout.pendingSize);
          fn.return(0);
        });
        const secondGpa = fn.load('i64', cpu, layout.result0);
        fn.store('i32', cpu, fn.select(second.eq(1), fn.i32(0), second), layout.pendingSecond);
        fn.store('i64', cpu, secondGpa, layout.pendingGpaSecond);
        fn.if(needsOld, () => {
          const rest = size.sub(inFirst);
          fn.if(
            first.ne(1),
            () => fn.copy(scratch, first, inFirst),
            () => deviceCopy(fn, host, scratch, firstGpa, inFirst, 'in'),
          );
          fn.if(
            second.ne(1),
            () => fn.copy(scratch.add(inFirst), second, rest),
            () => deviceCopy(fn, host, scratch.add(inFirst), secondGpa, rest, 'in'),
          );
        });
      },
    );
    fn.store('i64', cpu, linear, layout.pendingAddress);
    // Implicit accesses of the system meet no breakpoints.
    fn.if(anyBreakpoint(fn).ne(0).and(kind.and(system).eqz()), () => {
      const { read, write } = breakpointTypes;
      const types = fn.select(kind.and(writes), fn.i32(write), fn.i32(read));
      trapBehind(fn, fn.call(core.breakpoints, cpu, linear, size, types));
    });
    fn.return(scratch);
  });

  define('commit', (fn) => {
    const cpu = fn.parameter(0).get();
    const size = fn.load('i32', cpu, layout.pendingSize);
    // Nothing is pending when the slow path found plain memory.
    fn.if(size.eqz(), () => fn.return());
    fn.store('i32', cpu, 0, layout.pendingSize);
    const scratch = cpu.add(layout.scratch);
    const inFirst = fn.i32(4096).sub(fn.load('i32', cpu, layout.pendingAddress).and(0xfff));
    const firstPart = fn.select(inFirst.geU(size), size, inFirst);
    const first = fn.load('i32', cpu, layout.pendingFirst);
    fn.if(
      first,
      () => fn.copy(first, scratch, firstPart),
      () => deviceCopy(fn, host, scratch, fn.load('i64', cpu, layout.pendingGpa), firstPart, 'out'),
    );
    fn.if(inFirst.ltU(size), () => {
      const second = fn.load('i32', cpu, layout.pendingSecond);
      const rest = size.sub(inFirst);
      fn.if(
        second,
        () => fn.copy(second, scratch.add(inFirst), rest),
        () =>
          deviceCopy(
            fn,
            host,
            scratch.add(inFirst),
            fn.load('i64', cpu, layout.pendingGpaSecond),
            rest,
            'out',
          ),
      );
    });
  });

  define('fetch', (fn) => {
    const cpu = fn.parameter(0).get();
    const linear = fn.parameter(1).get();
    const mode = fn.load('i32', cpu, layout.mode);
    fn.if(mode.and(longMode), () => {
      fn.if(linear.shl(16).shrS(16).ne(linear), () => {
        fn.store('i32', cpu, exceptions.GP, layout.faultVector);
        fn.store('i32', cpu, 0, layout.faultCode);
        fn.return(0);
      });
    });
    const user = fn.select(fn.load('i32', cpu, layout.cpl).eq(3), fn.i32(walkUser), fn.i32(0));
    const found = fn.call(core.walk, cpu, linear, user.or(walkFetch));
    fn.if(found.eq(-1), () => fn.return(0));
    const physical = found.and(-4096);
    const at = fn.call(core.physical, cpu, physical, 0);
    fn.if(at.eqz(), () => fn.return(0));
    fn.if(at.eq(-1), () => {
      fn.store('i32', cpu, exits.noMemory, layout.exit);
      fn.store('i64', cpu, physical, layout.exitInfo);
      fn.store('i32', cpu, -1, layout.faultVector);
      fn.return(0);
    });
    const page = linear.and(-4096);
    const wanted = fn.local('i32', mode.and(codeSizeMask));
    const cut = fn.local('i32', 0);
    fn.if(mode.and(2).eqz(), () => {
      // Where the code segment ends: beyond it #GP; in this page, the page is decoded up to there.
      const limit = fn.load('i64_32u', cpu, csBase + layout.segmentLimit);
      const base = fn.load('i64', cpu, csBase);
      const left = limit.add(1).sub(linear.sub(base).and(0xffff_ffff));
      fn.if(left.leS(0), () => {
        fn.store('i32', cpu, exceptions.GP, layout.faultVector);
        fn.store('i32', cpu, 0, layout.faultCode);
        fn.return(0);
      });
      const end = left.add(linear.and(0xfff));
      fn.if(end.ltS(4096), () => {
        wanted.set(wanted.get().or(end.wrap().shl(codeEndShift)));
        cut.set(1);
      });
    });
    const number = physical.shrU(12).wrap();
    const map = fn.load('i32', cpu, layout.codeMap).add(number.shl(2));
    const code = fn.local('i32', fn.load('i32', map));
    const known = fn.local('i32', 0);
    fn.if(code.get(), () => known.set(fn.load('i32', code.get(), codeModeOffset).eq(wanted.get())));
    fn.if(known.get().eqz(), () => {
      // A kernel's text mapping: its page in 2 MiB, by which copies of other guests are found.
      const inText = mode.and(2).ne(0).and(page.geU(-0x8000_0000));
      const place = fn.select(inText, linear.shrU(12).wrap().and(0x1ff), fn.i32(-1));
      const cpuNumber = fn.load('i32', cpu, layout.number);
      code.set(fn.call(host.codePageFor, cpuNumber, number, wanted.get(), place));
      fn.if(code.get().eqz(), () => {
        fn.store('i32', cpu, exits.codeFull, layout.exit);
        fn.store('i32', cpu, -1, layout.faultVector);
        fn.return(0);
      });
    });
    // The segment may change without the TLB: what depends on it is looked up anew each time.
    fn.if(cut.get(), () => fn.return(code.get()));
    // A page with a breakpoint on an instruction is looked up each time, too: see `stopsAt`.
    fn.if(anyBreakpoint(fn), () => {
      const { execute } = breakpointTypes;
      fn.if(fn.call(core.breakpoints, cpu, page, 4096, execute), () => fn.return(code.get()));
    });
    const entry = entryOf(fn.load('i32', cpu, layout.tlb), linear);
    claimEntry(fn, cpu, entry, page);
    // A page that holds decoded code is not written without asking.
    fn.store('i64', entry, -1, tlb.writeTag);
    fn.store('i64', entry, page, tlb.executeTag);
    fn.store('i32', entry, code.get().or(tlb.listed), tlb.code);
    markGlobal(fn, cpu, entry, found);
    fn.return(code.get());
  });

  define('flushTlb', (fn) => {
    const cpu = fn.parameter(0).get();
    const keepGlobal = fn.parameter(1).get();
    const left = fn.local('i32', fn.load('i32', cpu, layout.tlbUsed));
    const from = fn.local('i32', 0);
    const kept = fn.local('i32', 0);
    fn.block((end) => {
      fn.loop((again) => {
        end.brIf(from.get().eq(left.get()));
        const entry = fn.local('i32', fn.load('i32', listPlace(cpu, from.get())));
        from.set(from.get().add(1));
        fn.if(
          fn.load('i32', entry.get(), tlb.code).and(tlb.global).and(keepGlobal),
          () => {
            fn.store('i32', listPlace(cpu, kept.get()), entry.get());
            kept.set(kept.get().add(1));
          },
          () => {
            emptyEntry(fn, entry.get());
            fn.store('i32', entry.get(), 0, tlb.code);
          },
        );
        again.br();
      });
    });
    fn.store('i32', cpu, kept.get(), layout.tlbUsed);
  });

  define('forgetFrame', (fn) => {
    const frame = fn.parameter(1).get();
    forUsedEntries(fn, (entry) => {
      // Whatever may be written may be read, so a page's entry has a tag to read or to execute; the latter leads to no frame.
      fn.if(leadsTo(fn, entry, tlb.readTag, frame), () => {
        fn.store('i64', entry, fn.i64(-1), tlb.readTag);
        fn.store('i64', entry, fn.i64(-1), tlb.writeTag);
      });
    });
  });

  define('forgetWrites', (fn) => {
    const frame = fn.parameter(1).get();
    forUsedEntries(fn, (entry) => {
      fn.if(leadsTo(fn, entry, tlb.writeTag, frame), () => fn.store('i64', entry, fn.i64(-1), tlb.writeTag));
    });
  });

  define('flushPage', (fn) => {
    const cpu = fn.parameter(0).get();
    const page = fn.parameter(1).get().and(-4096);
    for (let set = 0; set < tlb.setCount; set++) {
      const entry = fn.local('i32', entryOf(setAddress(cpu, set), page));
      emptyEntry(fn, entry.get());
      fn.store('i32', entry.get(), fn.load('i32', entry.get(), tlb.code).and(tlb.listed), tlb.code);
    }
  });
};

/** Does something with each entry of a vCPU's TLB that has been filled since the last flush. */
function forUsedEntries(fn: FunctionBuilder, visit: (entry: Value) => void): void {
  const cpu = fn.parameter(0).get();
  const left = fn.local('i32', fn.load('i32', cpu, layout.tlbUsed));
  fn.block((end) => {
    fn.loop((again) => {
      end.brIf(left.get().eqz());
      left.set(left.get().sub(1));
      visit(fn.local('i32', fn.load('i32', listPlace(cpu, left.get()))).get());
      again.br();
    });
  });
}

/** Whether an entry leads to a frame, by its tag for a kind of access. */
function leadsTo(fn: FunctionBuilder, entry: Value, tag: number, frame: Value): Value {
  const page = fn.load('i64', entry, tag);
  const host = page.wrap().add(fn.load('i32', entry, tlb.addend));
  return host.eq(frame).and(page.ne(-1));
}

/**
 * Copies between the scratch area and device registers, in accesses of 4 bytes, or of 1 and 2 where the length
 * says so.
 */
function deviceCopy(
  fn: FunctionBuilder,
  host: Host,
  scratch: Value,
  gpa: Value,
  length: Value,
  way: 'in' | 'out',
): void {
  const number = fn.load('i32', fn.parameter(0).get(), layout.number);
  const base = gpa.wrap();
  const done = fn.local('i32', 0);
  const part = (size: 1 | 2 | 4) => {
    const at = scratch.add(done.get());
    const address = base.add(done.get());
    const store = size === 1 ? 'i32_8' : size === 2 ? 'i32_16' : 'i32';
    const load = size === 1 ? 'i32_8u' : size === 2 ? 'i32_16u' : 'i32';
    if (way === 'in') fn.store(store, at, fn.call(host.mmioRead, number, address, size));
    else fn.callAll(host.mmioWrite, number, address, size, fn.load(load, at));
    done.set(done.get().add(size));
  };
  fn.block((end) => {
    fn.loop((again) => {
      const left = length.sub(done.get());
      end.brIf(left.eqz());
      // A register of 2 bytes is accessed whole only when it is aligned, as on the bus.
      fn.if(
        left.geU(4).and(base.add(done.get()).and(3).eqz()),
        () => part(4),
        () =>
          fn.if(
            left.geU(2).and(base.add(done.get()).and(1).eqz()),
            () => part(2),
            () => part(1),
          ),
      );
      again.br();
    });
  });
}
