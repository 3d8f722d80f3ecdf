/** Records made vectors: runs them on the processor and keeps those whose outcome an emulated CPU can be held to. */

import { isHalt } from '../compare.ts';
import type { Rule, Vector } from '../format.ts';
import { imageOffset } from '../image.ts';
import { type LayoutName, layouts, segmentState } from '../layout.ts';
import type { Undefined } from './flow.ts';
import type { MadeVector } from './make.ts';
import type { NativeOutcome, NativeRunner } from './native.ts';

const insideOf = (layout: LayoutName) => (linear: number) =>
  layouts[layout].some((region) => linear >= region.linear && linear < region.linear + region.pages * 4096);

/** Why vectors were not kept, and how many. */
export type Dropped = Map<string, number>;

const resumeFlag = 1 << 16;

/** Puts the registers after into the form of the file: see below for each. */
function normalised(before: Uint8Array, outcome: NativeOutcome, layout: LayoutName): Uint8Array {
  const after = outcome.image.slice();
  const view = new DataView(after.buffer);
  // RF is in the flags that a fault saves, not in the register.
  view.setUint32(imageOffset.rflags, view.getUint32(imageOffset.rflags, true) & ~resumeFlag, true);
  if (layout === 'legacy') {
    // Outside of 64-bit mode the upper halves and R8 to R15 are out of reach.
    for (let i = 0; i < 8; i++) view.setUint32(imageOffset.gpr + 8 * i + 4, 0, true);
    after.set(before.subarray(imageOffset.gpr + 64, imageOffset.gpr + 128), imageOffset.gpr + 64);
    view.setUint32(imageOffset.rip + 4, 0, true);
  }
  return after;
}

const equalBytes = (a: Uint8Array, b: Uint8Array, from: number, to: number) =>
  Buffer.compare(a.subarray(from, to), b.subarray(from, to)) === 0;

// Where Linux's user half ends: one page below the canonical addresses' end.
const userEnd = 0x7fff_ffff_f000n;

/** Why an outcome cannot be used, or `undefined`. `inSteps`: the code may have done a part of its work when it faults. */
function unusable(before: Uint8Array, outcome: NativeOutcome, inSteps: boolean): string | undefined {
  const { status, vector, cr2, changes, image } = outcome;
  if (status !== 'exception') return status;
  // Linux reports every page fault beyond the user half as a protection violation.
  if (vector === 14 && cr2 >= userEnd) return 'page fault in the kernel half';
  // The manual does not say what a faulting instruction leaves behind of its stores and loads (PUSHA, POPA, ENTER, far CALL).
  const sameRip = equalBytes(before, image, imageOffset.rip, imageOffset.rip + 8);
  const sameRegisters = equalBytes(before, image, imageOffset.gpr, imageOffset.gpr + 128);
  if (sameRip && !inSteps && (changes.length > 0 || !sameRegisters))
    return 'traces of a faulting instruction';
  return undefined;
}

/** What is undefined where a sequence ended. */
function sequenceRule(undefinedThere: Undefined | undefined): Rule {
  const { flags, conditions } = undefinedThere ?? { flags: 0, conditions: 0 };
  if (flags === 0 && conditions === 0) return { manual: '' };
  return {
    manual: 'left undefined by instructions of the sequence, see undefined.ts',
    ...(flags === 0 ? {} : { flags }),
    ...(conditions === 0 ? {} : { statusWord: conditions }),
  };
}

/**
 * Records one family's vectors for one layout, without texts. Counts in `dropped` those that are not kept.
 */
export function record(
  runner: NativeRunner,
  layout: LayoutName,
  made: readonly MadeVector[],
  dropped: Dropped,
): Vector[] {
  const inside = insideOf(layout);
  const inputs = made.map(({ draft, code }) => {
    const region = layouts[layout].find((each) => each.name === 'code')!;
    const room = region.linear + region.pages * 4096 - draft.codeLinear;
    const bytes = code.subarray(0, room);
    return {
      image: draft.image,
      code: { at: draft.codeLinear, bytes },
      patches: draft
        .patches(inside)
        .filter(({ at }) => at < region.linear || at >= region.linear + region.pages * 4096),
    };
  });
  const outcomes = runner.run(layout, inputs);
  const vectors: Vector[] = [];
  for (const [index, outcome] of outcomes.entries()) {
    const { draft, encoding, inSteps, undefinedAt } = made[index]!;
    const { code, patches } = inputs[index]!;
    const reason = unusable(draft.image, outcome, inSteps);
    if (reason !== undefined) {
      dropped.set(reason, (dropped.get(reason) ?? 0) + 1);
      continue;
    }
    const after = normalised(draft.image, outcome, layout);
    const view = new DataView(after.buffer);
    const base = layout === 'long' ? 0n : segmentState(view.getUint16(imageOffset.selectors + 2, true)).base;
    const end = Number(
      BigInt.asUintN(layout === 'long' ? 64 : 32, base + view.getBigUint64(imageOffset.rip, true)),
    );
    const offset = end - code.at;
    const opcode = offset >= 0 && offset < code.bytes.length ? code.bytes[offset]! : 0xf4;
    const codeRegion = layouts[layout][0];
    const inCode = end >= codeRegion.linear && end < codeRegion.linear + codeRegion.pages * 4096;
    const halted = outcome.vector === 13 && outcome.errorCode === 0 && inCode && isHalt(opcode);
    vectors.push({
      seed: draft.seed,
      flavour: draft.flavour,
      encoding,
      text: '',
      code: code.bytes,
      before: draft.image,
      patches,
      after,
      changes: outcome.changes.sort((a, b) => a.at - b.at),
      exception: halted
        ? undefined
        : {
            vector: outcome.vector,
            errorCode: outcome.errorCode,
            cr2: outcome.vector === 14 ? Number(outcome.cr2) : 0,
          },
      rule: undefinedAt === undefined ? draft.rule : sequenceRule(undefinedAt.get(end)),
      ignoredMemory: draft.ignored(inside),
    });
  }
  return vectors;
}
