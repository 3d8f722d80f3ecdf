/** The ends of a region's function, where control comes from all its blocks: writes the state back and goes on elsewhere. */
import { pageSize } from '../../memory/hostmemory.ts';
import { type CodeBuffer, codes } from '../../wasm/codebuffer.ts';
import type { FunctionRef } from '../../wasm/function.ts';
import * as codepage from '../codepage.ts';
import type { Core } from '../core/core.ts';
import * as layout from '../layout.ts';
import * as tlb from '../tlb.ts';
import { exitFields, leave, variableOp } from './exitcode.ts';
import { locals } from './template.ts';

/** Number of the handlers' type in the modules of regions: it is their first. */
export const handlerTypeIndex = 0;

/** See the top of this file. */
export class RegionEnds {
  readonly #out: CodeBuffer;
  readonly #map: Uint8Array;
  readonly #core: Core;

  /** @param map from the numbers of locals that templates use to the region's own */
  constructor(out: CodeBuffer, map: Uint8Array, core: Core) {
    this.#out = out;
    this.#map = map;
    this.#core = core;
  }

  /** A field of the exit code. */
  #field({ shift, mask }: { readonly shift: number; readonly mask: number }): void {
    const out = this.#out;
    out.get(this.#map[locals.exitCode]!);
    if (shift > 0) {
      out.constant32(shift);
      out.op(codes.i32ShrU);
    }
    out.constant32(mask);
    out.op(codes.i32And);
  }

  /** Behind all blocks: writes the state back. */
  writeBack(written: number, flags: boolean, entryBudget: number): void {
    const out = this.#out;
    const map = this.#map;
    for (let number = 0; number < 16; number++) {
      if ((written & (1 << number)) === 0) continue;
      out.get(locals.cpu);
      out.get(map[locals.gpr + number]!);
      out.store64(layout.gprOffset(number));
    }
    if (flags) {
      out.get(locals.cpu);
      out.get(map[locals.ccOp]!);
      this.#field(exitFields.op);
      out.tee(map[locals.ccOp]!);
      out.get(map[locals.ccOp]!);
      out.constant32(variableOp);
      out.op(codes.i32Eq);
      out.op(codes.select);
      out.store32(layout.ccOp);
      for (const [field, local] of [
        [layout.ccDst, locals.ccDst],
        [layout.ccSrc, locals.ccSrc],
      ] as const) {
        out.get(locals.cpu);
        out.get(map[local]!);
        out.store64(field);
      }
    }
    out.get(locals.budget);
    this.#field(exitFields.refund);
    out.op(codes.i32Add);
    out.set(locals.budget);
    out.get(locals.cpu);
    out.get(locals.cpu);
    out.load64(layout.translated);
    out.get(entryBudget);
    out.get(locals.budget);
    out.op(codes.i32Sub);
    out.op(codes.i64ExtendI32S);
    out.op(codes.i64Add);
    out.store64(layout.translated);
  }

  /** Goes on at the linear address in the exit value: at once where the TLB and the decoded page have it, as `core.jump` does. */
  jump(): void {
    const out = this.#out;
    const map = this.#map;
    const target = map[locals.exitValue]!;
    /** Its variable serves for the TLB entry, that of the exit code for the code page and then for the leader. */
    const entry = map[locals.tlb]!;
    const at = map[locals.exitCode]!;
    out.block();
    this.#checkBudget();
    out.get(entry);
    out.get(target);
    out.op(codes.i32WrapI64);
    out.constant32(12 - tlb.entryShift);
    out.op(codes.i32ShrU);
    out.constant32(tlb.entryMask);
    out.op(codes.i32And);
    out.op(codes.i32Add);
    out.tee(entry);
    out.load64(tlb.executeTag);
    out.get(target);
    out.constant64(-4096);
    out.op(codes.i64And);
    out.tee(map[locals.pageBase]!);
    out.op(codes.i64Ne);
    out.expect('unlikely');
    out.brIf(0);
    out.get(locals.cpu);
    out.get(map[locals.pageBase]!);
    out.store64(layout.pageBase);
    out.get(locals.cpu);
    out.get(entry);
    out.load32(tlb.code);
    out.constant32(tlb.codeMask);
    out.op(codes.i32And);
    out.tee(at);
    out.store32(layout.codePage);
    out.get(at);
    out.get(target);
    out.op(codes.i32WrapI64);
    out.constant32(0xfff);
    out.op(codes.i32And);
    this.#enter(at);
    out.end();
    out.get(locals.cpu);
    out.get(target);
    out.get(locals.budget);
    out.returnCall(this.#core.goOn.index);
  }

  /** Leaves the innermost block when the budget is used up. */
  #checkBudget(): void {
    const out = this.#out;
    out.get(locals.budget);
    out.constant32(0);
    out.op(codes.i32LeS);
    out.expect('unlikely');
    out.brIf(0);
  }

  /** Goes on at the leader, if there is one, of the code page and the offset in it that are on the stack. `leader` is a variable for it. */
  #enter(leader: number): void {
    const out = this.#out;
    out.constant32(2);
    out.op(codes.i32Shl);
    out.op(codes.i32Add);
    out.load32(codepage.entriesOffset);
    out.tee(leader);
    out.constant32(0);
    out.op(codes.i32LeS);
    out.expect('unlikely');
    out.brIf(0);
    out.get(locals.cpu);
    out.get(leader);
    out.get(locals.budget);
    out.get(leader);
    out.load32(codepage.handler);
    out.returnCallIndirect(handlerTypeIndex);
  }

  /** Goes on as the exit code says. */
  leave(): void {
    const out = this.#out;
    // By kind: the innermost block first.
    for (let kind = 0; kind < 3; kind++) out.block();
    this.#field(exitFields.kind);
    out.brTable([leave.interpret, leave.within, leave.enter]);
    out.end();
    this.#atOffset(this.#core.interpret);
    out.end();
    this.#within();
    out.end();
    out.get(locals.cpu);
    out.get(locals.budget);
    out.store32(layout.budget);
    out.get(locals.cpu);
    out.returnCall(this.#core.enter.index);
  }

  /** A jump to the exit code's offset of the page: at once where there is a leader, as `core.within` does. */
  #within(): void {
    const out = this.#out;
    const leader = this.#map[locals.tlb]!;
    out.block();
    this.#checkBudget();
    this.#field(exitFields.offset);
    out.tee(leader);
    out.constant32(pageSize);
    out.op(codes.i32GeU);
    out.expect('unlikely');
    out.brIf(0);
    out.get(locals.cpu);
    out.load32(layout.codePage);
    out.get(leader);
    this.#enter(leader);
    out.end();
    this.#atOffset(this.#core.within);
  }

  /** Goes on at the exit code's offset of the page by a routine. */
  #atOffset(routine: FunctionRef): void {
    const out = this.#out;
    out.get(locals.cpu);
    this.#field(exitFields.offset);
    out.get(locals.budget);
    out.returnCall(routine.index);
  }
}
