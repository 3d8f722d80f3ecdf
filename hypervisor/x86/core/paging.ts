/** From linear to guest-physical to host address: the page walk (SDM vol. 3, chapter 4) and the guest's memory map. */

import * as slots from '../../memory/slots.ts';
import type { FunctionBuilder, Variable } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import * as exits from '../exits.ts';
import * as layout from '../layout.ts';
import { CR0, CR4, EFER, physicalBits } from '../mode.ts';
import type { Core, CorePart } from './core.ts';

/** What a walk is for: bits of its third parameter. */
export const walkWrite = 1;
export const walkUser = 2;
export const walkFetch = 4;
/** Supervisor access to user pages is open (RFLAGS.AC). */
export const walkOpen = 8;

/** Attributes in the low bits of a walk's result. */
export const walkGlobal = 1;

/** Last parameter of `physical` for a write. */
export const physicalWrite = 1;

// Bits of a paging-structure entry (SDM vol. 3, tables 4-14 to 4-19).
const P = 1n;
const RW = 2n;
const US = 4n;
const A = 0x20n;
const D = 0x40n;
const PS = 0x80n;
const G = 0x100n;
const XD = 1n << 63n;
const addressMask = ((1n << BigInt(physicalBits)) - 1n) & ~0xfffn;
/** Bits above the physical address width, up to 51. */
const reservedHigh = ((1n << 52n) - 1n) & ~((1n << BigInt(physicalBits)) - 1n);

export const paging: CorePart = (define, core, host) => {
  define('physical', (fn) => {
    const cpu = fn.parameter(0).get();
    const address = fn.parameter(1).get();
    const write = fn.parameter(2).get();
    const page = address.shrU(12);
    fn.if(page.geU(fn.load('i32', cpu, layout.slotCount).extendU()), () => fn.return(-1));
    const number = page.wrap();
    const slot = fn.load('i32', cpu, layout.slots).add(number.shl(2));
    const entry = fn.local('i32', fn.load('i32', slot));
    const missing = fn.select(
      write,
      fn.i32(slots.present | slots.writable | slots.hasCode),
      fn.i32(slots.present),
    );
    const wanted = fn.select(write, fn.i32(slots.present | slots.writable), fn.i32(slots.present));
    fn.if(entry.get().and(missing).ne(wanted), () => {
      fn.if(entry.get().and(slots.hole), () => fn.return(-1));
      // A write to decoded code: tell the decoder, which clears the mark.
      fn.if(
        entry
          .get()
          .and(slots.present | slots.hasCode)
          .eq(slots.present | slots.hasCode),
        () => {
          fn.callAll(host.codeWritten, fn.load('i32', cpu, layout.number), number);
          entry.set(fn.load('i32', slot));
        },
      );
      fn.if(entry.get().and(missing).ne(wanted), () => {
        fn.store('i32', cpu, exits.hostFault, layout.exit);
        fn.store('i64', cpu, page.or(write.extendU().shl(63)), layout.exitInfo);
        fn.store('i32', cpu, -1, layout.faultVector);
        fn.return(0);
      });
    });
    // What is in a TLB is accessed, and dirty where it may be written: here every entry passes before it is filled.
    const used = fn.select(write, fn.i32(slots.accessed | slots.dirty), fn.i32(slots.accessed));
    fn.if(entry.get().and(used).ne(used), () => fn.store('i32', slot, entry.get().or(used)));
    fn.return(entry.get().and(slots.frameMask).or(address.wrap().and(0xfff)));
  });

  define('walk', (fn) => {
    const cpu = fn.parameter(0).get();
    const linear = fn.parameter(1).get();
    const cr0 = fn.load('i32', cpu, layout.cr0);
    fn.if(cr0.and(CR0.PG | 0).eqz(), () => fn.return(linear.and(0xffff_f000n)));
    const cr4 = fn.load('i32', cpu, layout.cr4);
    fn.if(
      cr4.and(CR4.PAE),
      () => longWalk(fn, core),
      () => shortWalk(fn, core),
    );
    fn.unreachable();
  });
};

/** Records a page fault and leaves the walk. `reasons` are error code bits beyond the kind of access. */
function pageFault(fn: FunctionBuilder, reasons: number): void {
  const cpu = fn.parameter(0).get();
  const access = fn.parameter(2).get();
  const efer = fn.load('i32', cpu, layout.efer);
  const cr4 = fn.load('i32', cpu, layout.cr4);
  // I/D is reported when it can make a difference: with execute-disable or SMEP.
  const reportsFetch = efer.and(EFER.NXE).or(cr4.and(CR4.SMEP)).ne(0);
  const code = access
    .and(walkWrite)
    .shl(1)
    .or(access.and(walkUser).shl(1))
    .or(access.and(walkFetch).ne(0).and(reportsFetch).shl(4))
    .or(reasons);
  fn.store('i32', cpu, exceptions.PF, layout.faultVector);
  fn.store('i32', cpu, code, layout.faultCode);
  fn.store('i64', cpu, fn.parameter(1).get(), layout.faultAddress);
  fn.return(-1);
}

/** The permissions gathered on the way, checked at the end (SDM vol. 3, 4.6). All are i32, non-zero for yes. */
function checkPermissions(fn: FunctionBuilder, user: Value, writable: Value, noExecute: Value): void {
  const cpu = fn.parameter(0).get();
  const access = fn.parameter(2).get();
  const cr0 = fn.load('i32', cpu, layout.cr0);
  const cr4 = fn.load('i32', cpu, layout.cr4);
  const refuse = (condition: Value) => fn.if(condition, () => pageFault(fn, 1));
  fn.if(
    access.and(walkUser),
    () => {
      refuse(user.eqz());
      refuse(access.and(walkWrite).ne(0).and(writable.eqz()));
    },
    () => {
      refuse(access.and(walkWrite).ne(0).and(writable.eqz()).and(cr0.and(CR0.WP).ne(0)));
      const userPage = user.ne(0);
      const fetch = access.and(walkFetch).ne(0);
      refuse(userPage.and(fetch).and(cr4.and(CR4.SMEP).ne(0)));
      const closed = access.and(walkFetch | walkOpen).eqz();
      refuse(userPage.and(closed).and(cr4.and(CR4.SMAP).ne(0)));
    },
  );
  refuse(access.and(walkFetch).ne(0).and(noExecute.ne(0)));
}

/** Reads an entry of `size` bytes into `entry`, leaving the walk when the host must act; memory that is not there reads as not present. */
function readEntry(fn: FunctionBuilder, core: Core, address: Value, entry: Variable, size: 4 | 8): void {
  const cpu = fn.parameter(0).get();
  const at = fn.call(core.physical, cpu, address, 0);
  fn.if(at.eqz(), () => fn.return(-1));
  fn.if(
    at.eq(-1),
    () => entry.set(0),
    () => entry.set(fn.load(size === 8 ? 'i64' : 'i64_32u', at)),
  );
}

/** Sets accessed and dirty bits of an entry that lacks them. */
function mark(fn: FunctionBuilder, core: Core, address: Value, entry: Value, bits: Value, size: 4 | 8): void {
  const cpu = fn.parameter(0).get();
  fn.if(entry.and(bits).ne(bits), () => {
    const at = fn.call(core.physical, cpu, address, physicalWrite);
    fn.if(at.eqz(), () => fn.return(-1));
    fn.if(at.ne(-1), () => fn.store(size === 8 ? 'i64' : 'i64_32', at, entry.or(bits)));
  });
}

/** PAE and 4-level paging: entries of 8 bytes. */
function longWalk(fn: FunctionBuilder, core: Core): void {
  const cpu = fn.parameter(0).get();
  const linear = fn.parameter(1).get();
  const access = fn.parameter(2).get();
  const efer = fn.load('i32', cpu, layout.efer);
  const noExecuteEnabled = efer.and(EFER.NXE);
  const reserved = fn.local(
    'i64',
    fn.select(noExecuteEnabled, fn.i64(reservedHigh), fn.i64(reservedHigh | XD)),
  );
  /** And of the RW and US bits, or of XD, over all levels. */
  const all = fn.local('i64', -1);
  const any = fn.local('i64', 0);
  const table = fn.local('i64');
  const [entry4, entry3, entry2, entry1] = [0, 0, 0, 0].map(() => fn.local('i64'));
  const [at4, at3, at2, at1] = [0, 0, 0, 0].map(() => fn.local('i64'));
  const leafBits = fn.local('i64', fn.select(access.and(walkWrite), fn.i64(A | D), fn.i64(A)));

  const step = (entry: Variable, at: Variable, shift: number, alwaysReserved: bigint): void => {
    at.set(table.get().add(linear.shrU(shift).and(0x1ff).shl(3)));
    readEntry(fn, core, at.get(), entry, 8);
    fn.if(entry.get().and(P).eqz(), () => pageFault(fn, 0));
    fn.if(entry.get().and(reserved.get().or(alwaysReserved)).ne(0), () => pageFault(fn, 9));
    all.set(all.get().and(entry.get()));
    any.set(any.get().or(entry.get()));
    table.set(entry.get().and(addressMask));
  };
  const finish = (levels: [Variable, Variable][], leaf: Variable, at: Variable, pageBits: number): void => {
    const user = all.get().and(US).ne(0);
    const writable = all.get().and(RW).ne(0);
    const noExecute = any.get().and(XD).ne(0);
    checkPermissions(fn, user, writable, noExecute);
    for (const [entry, where] of levels) mark(fn, core, where.get(), entry.get(), fn.i64(A), 8);
    mark(fn, core, at.get(), leaf.get(), leafBits.get(), 8);
    const pageMask = (1n << BigInt(pageBits)) - 1n;
    const base = leaf
      .get()
      .and(addressMask & ~pageMask)
      .or(linear.and(pageMask & ~0xfffn));
    fn.return(base.or(leaf.get().and(G).shrU(8)));
  };

  fn.if(
    efer.and(EFER.LMA),
    () => {
      table.set(fn.load('i64', cpu, layout.cr3).and(addressMask));
      step(entry4!, at4!, 39, PS);
      step(entry3!, at3!, 30, 0n);
      fn.if(entry3!.get().and(PS).ne(0), () => {
        fn.if(entry3!.get().and(0x3fff_e000n).ne(0), () => pageFault(fn, 9));
        finish([[entry4!, at4!]], entry3!, at3!, 30);
      });
    },
    () => {
      // The four PDPTEs were checked and loaded when CR3 was written.
      const pdpte = fn.load('i64', cpu.add(linear.shrU(30).and(3).wrap().shl(3)), layout.pdpte);
      fn.if(pdpte.and(P).eqz(), () => pageFault(fn, 0));
      table.set(pdpte.and(addressMask));
      // They have no permissions, and no accessed bit to set.
      entry4!.set(A);
      entry3!.set(A);
    },
  );
  step(entry2!, at2!, 21, 0n);
  fn.if(entry2!.get().and(PS).ne(0), () => {
    fn.if(entry2!.get().and(0x1f_e000n).ne(0), () => pageFault(fn, 9));
    finish(
      [
        [entry4!, at4!],
        [entry3!, at3!],
      ],
      entry2!,
      at2!,
      21,
    );
  });
  step(entry1!, at1!, 12, 0n);
  finish(
    [
      [entry4!, at4!],
      [entry3!, at3!],
      [entry2!, at2!],
    ],
    entry1!,
    at1!,
    12,
  );
}

/** 32-bit paging: entries of 4 bytes, 4 MiB pages with PSE (including PSE-36). */
function shortWalk(fn: FunctionBuilder, core: Core): void {
  const cpu = fn.parameter(0).get();
  const linear = fn.parameter(1).get();
  const access = fn.parameter(2).get();
  const cr4 = fn.load('i32', cpu, layout.cr4);
  const directory = fn.local('i64');
  const page = fn.local('i64');
  const leafBits = fn.local('i64', fn.select(access.and(walkWrite), fn.i64(A | D), fn.i64(A)));
  const directoryAt = fn.local(
    'i64',
    fn.load('i64', cpu, layout.cr3).and(0xffff_f000n).add(linear.shrU(22).and(0x3ff).shl(2)),
  );
  readEntry(fn, core, directoryAt.get(), directory, 4);
  fn.if(directory.get().and(P).eqz(), () => pageFault(fn, 0));
  const never = fn.i32(0);
  fn.if(directory.get().and(PS).ne(0).and(cr4.and(CR4.PSE).ne(0)), () => {
    fn.if(directory.get().and(0x20_0000n).ne(0), () => pageFault(fn, 9));
    checkPermissions(fn, directory.get().and(US).ne(0), directory.get().and(RW).ne(0), never);
    mark(fn, core, directoryAt.get(), directory.get(), leafBits.get(), 4);
    const high = directory.get().shrU(13).and(0xff).shl(32);
    const base = directory.get().and(0xffc0_0000n).or(high).or(linear.and(0x3f_f000n));
    fn.return(base.or(directory.get().and(G).shrU(8)));
  });
  const pageAt = fn.local('i64', directory.get().and(0xffff_f000n).add(linear.shrU(12).and(0x3ff).shl(2)));
  readEntry(fn, core, pageAt.get(), page, 4);
  fn.if(page.get().and(P).eqz(), () => pageFault(fn, 0));
  const both = directory.get().and(page.get());
  checkPermissions(fn, both.and(US).ne(0), both.and(RW).ne(0), never);
  mark(fn, core, directoryAt.get(), directory.get(), fn.i64(A), 4);
  mark(fn, core, pageAt.get(), page.get(), leafBits.get(), 4);
  fn.return(page.get().and(0xffff_f000n).or(page.get().and(G).shrU(8)));
}
