/** The ends of a region's function, where control comes from all its blocks: writes the state back and goes on elsewhere. */
import { type CodeBuffer, codes } from '../../wasm/codebuffer.ts';
import * as codepage from '../codepage.ts';
import type { Core } from '../core/core.ts';
import * as layout from '../layout.ts';
import { leaderCacheMask, leaderCacheMultiplier, leaderCacheShift } from '../leadercache.ts';
import * as tlb from '../tlb.ts';
import { exitFields, leave, variableOp } from './exitcode.ts';
import { locals } from './template.ts';

/** Number of the handlers' type in the modules of regions: it is their first. */
export const handlerTypeIndex = 0;

/** Stores general registers, a bit each, from a region's locals to the state. `map` is as for {@link RegionEnds}. */
export function storeRegisters(out: CodeBuffer, map: Uint8Array, registers: number): void {
  for (let number = 0; number < 16; number++) {
    if ((registers & (1 << number)) === 0) continue;
    out.get(locals.cpu);
    out.get(map[locals.gpr + number]!);
    out.store64(layout.gprOffset(number));
  }
}

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

  /**
   * Behind all blocks: writes the state back.
   * @param registers the general registers that the state does not have, a bit each
   * @param flags whether the lazy flags may have
   * @param packed whether their operation and the refund are in the exit code; where control comes by a jump the one is in its variable, and
   * there is no other
   */
  writeBack(registers: number, flags: boolean, packed: boolean): void {
    const out = this.#out;
    const map = this.#map;
    storeRegisters(out, map, registers);
    if (flags) {
      out.get(locals.cpu);
      out.get(map[locals.ccOp]!);
      if (packed) {
        this.#field(exitFields.op);
        out.tee(map[locals.ccOp]!);
        out.get(map[locals.ccOp]!);
        out.constant32(variableOp);
        out.op(codes.i32Eq);
        out.op(codes.select);
      }
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
    if (packed) {
      out.get(locals.budget);
      this.#field(exitFields.refund);
      out.op(codes.i32Add);
      out.set(locals.budget);
    }
  }

  /**
   * Goes on at the linear address in the exit value: at once where the TLB and the decoded page have it, as `core.jump` does. Where they have
   * not, a jump within the page stays on the page that is executing.
   * @param slot,at variables (i32) that are used for nothing else any more
   */
  jump(slot: number, at: number): void {
    const out = this.#out;
    const map = this.#map;
    const target = map[locals.exitValue]!;
    // Other variables that have served: that of the TLB is for its entry, and then for the leader.
    const entry = map[locals.tlb]!;
    const leader = entry;
    const code = map[locals.ccOp]!;
    out.block();
    out.get(locals.budget);
    out.constant32(0);
    out.op(codes.i32LeS);
    out.expect('unlikely');
    out.brIf(0);
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
    // Of the two that are compared it is the tag that is used from here on: V8 loads it twice otherwise.
    out.tee(map[locals.pageBase]!);
    out.get(target);
    out.constant64(-4096);
    out.op(codes.i64And);
    out.op(codes.i64Ne);
    out.expect('unlikely');
    out.brIf(0);
    out.get(entry);
    out.load32(tlb.code);
    out.constant32(tlb.codeMask);
    out.op(codes.i32And);
    out.tee(code);
    out.get(target);
    out.op(codes.i32WrapI64);
    out.constant32(0xfff);
    out.op(codes.i32And);
    out.constant32(2);
    out.op(codes.i32Shl);
    out.op(codes.i32Add);
    out.set(at);
    // As `leaderAt` does.
    out.get(target);
    out.op(codes.i32WrapI64);
    out.constant32(leaderCacheMultiplier);
    out.op(codes.i32Mul);
    out.constant32(leaderCacheShift);
    out.op(codes.i32ShrU);
    out.constant32(leaderCacheMask);
    out.op(codes.i32And);
    out.get(locals.cpu);
    out.load32(layout.leaderCache);
    out.op(codes.i32Add);
    out.tee(slot);
    out.load32(0);
    out.tee(leader);
    out.load32(codepage.leaderOf);
    out.get(at);
    // Not a comparison, for which V8 would load it twice: see `TemplateSemantics`.
    out.op(codes.i32Xor);
    out.expect('unlikely');
    out.if();
    out.get(at);
    out.load32(codepage.entriesOffset);
    out.tee(leader);
    out.constant32(0);
    out.op(codes.i32LeS);
    out.brIf(1);
    out.get(slot);
    out.get(leader);
    out.store32(0);
    out.end();
    out.get(locals.cpu);
    out.get(map[locals.pageBase]!);
    out.store64(layout.pageBase);
    out.get(locals.cpu);
    out.get(code);
    out.store32(layout.codePage);
    out.get(locals.cpu);
    out.get(leader);
    out.get(locals.budget);
    out.get(leader);
    out.load32(codepage.handler);
    out.returnCallIndirect(handlerTypeIndex);
    out.end();
    this.#field(exitFields.kind);
    out.constant32(leave.within);
    out.op(codes.i32Eq);
    out.if();
    out.get(locals.cpu);
    out.get(target);
    out.get(locals.cpu);
    out.load64(layout.pageBase);
    out.op(codes.i64Sub);
    out.op(codes.i32WrapI64);
    out.get(locals.budget);
    out.returnCall(this.#core.within.index);
    out.end();
    out.get(locals.cpu);
    out.get(target);
    out.get(locals.budget);
    out.returnCall(this.#core.goOn.index);
  }

  /**
   * Goes on as the exit code says.
   * @param tableEntry the region's
   */
  leave(tableEntry: number): void {
    const out = this.#out;
    // By kind: the innermost block first.
    for (let kind = 0; kind < 3; kind++) out.block();
    this.#field(exitFields.kind);
    out.brTable([leave.interpret, leave.missed, leave.enter]);
    out.end();
    this.#atOffset();
    out.returnCall(this.#core.interpret.index);
    out.end();
    this.#atOffset();
    out.get(this.#map[locals.exitValue]!);
    out.constant32(tableEntry);
    out.returnCall(this.#core.missed.index);
    out.end();
    out.get(locals.cpu);
    out.get(locals.budget);
    out.returnCall(this.#core.reenter.index);
  }

  /** What a routine is told that goes on at the exit code's offset of the page. */
  #atOffset(): void {
    const out = this.#out;
    out.get(locals.cpu);
    this.#field(exitFields.offset);
    out.get(locals.budget);
  }
}
