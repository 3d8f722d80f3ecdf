/** Makes a family's drafts: a state, a place for the code, and one instruction in it. */
import { userSelectors } from '../layout.ts';
import { codeSegment, Draft, extraSegment, type Mode, stackSegment } from './draft.ts';
import type { Family } from './family.ts';
import type { Undefined } from './flow.ts';
import { makeInstruction } from './instruction.ts';
import { preparations } from './prepare.ts';
import { dataSelectors, regionOf } from './targets.ts';

/** A draft with its code. */
export interface MadeVector {
  draft: Draft;
  encoding: string;
  code: Uint8Array;
  /** It may have done a part of its work when it faults: a repeated string instruction, a sequence. */
  inSteps: boolean;
  /** For sequences: what is undefined before the instruction at each linear address. */
  undefinedAt?: ReadonlyMap<number, Undefined>;
}

/** Loads the segment registers of compatibility mode. */
export function pickSegments(draft: Draft): void {
  const { mode, random } = draft;
  if (mode === 'long') {
    for (const segment of [4, 5]) draft.setSegmentBase(segment, BigInt(random.u32()));
    return;
  }
  for (const segment of [extraSegment, 3, 4, 5]) {
    if (random.oneIn(40)) draft.setSelector(segment, 0);
    else if (mode === 'compat32' && random.oneIn(4)) draft.setSelector(segment, userSelectors.data);
    else draft.setLocal(segment, random.pick(dataSelectors[mode]));
  }
  if (mode === 'compat32') {
    const code = random.below(4);
    if (code < 2) draft.setSelector(codeSegment, userSelectors.code32);
    else draft.setLocal(codeSegment, code === 2 ? 'code32' : 'code32based');
    const stack = random.below(10);
    if (stack < 4) draft.setSelector(stackSegment, userSelectors.data);
    else draft.setLocal(stackSegment, stack < 6 ? 'data32' : stack < 9 ? 'stack32based' : 'stack16');
  } else {
    draft.setLocal(codeSegment, 'code16');
    if (random.oneIn(8)) draft.setSelector(stackSegment, userSelectors.data);
    else draft.setLocal(stackSegment, 'stack16');
  }
}

/** A place for the code: in the pages' middle, across their border, or at their end, where fetching faults. */
function pickCodePlace(draft: Draft): number {
  const { mode, random } = draft;
  const { linear } = regionOf(mode, 'code');
  const kind = random.below(50);
  if (kind < 3) return linear + 0x1000 - 1 - random.below(10);
  if (kind < 4) return linear + 0x2000 - 1 - random.below(10);
  if (kind < 5) return linear + 0x1800 - 1 - random.below(10); // the limit of code32based
  return linear + 0x200 + random.below(0x1300);
}

/** Makes the vector of a seed. */
export function makeVector(family: Family, mode: Mode, seed: number, turn: number): MadeVector {
  const rows = family.table.filter(
    ({ only }) => only === undefined || (only === 'long') === (mode === 'long'),
  );
  const encoding = rows[turn % rows.length]!;
  for (let attempt = 0; ; attempt++) {
    const draft = new Draft(mode, seed, family.flavours[turn % family.flavours.length]!);
    for (let i = 0; i < attempt; i++) draft.random.u32();
    pickSegments(draft);
    draft.placeCode(pickCodePlace(draft));
    family.prepare?.(draft);
    const head = family.head?.(draft) ?? new Uint8Array(0);
    const made = makeInstruction(
      encoding,
      draft,
      draft.codeLinear + head.length,
      { manners: 'wild' },
      preparations,
    );
    if (made === undefined) continue;
    family.undefined?.(draft, made.instruction);
    const tail = family.tail?.(draft) ?? new Uint8Array(0);
    return {
      draft,
      encoding: encoding.id,
      inSteps: encoding.repeat,
      code: Uint8Array.from([...head, ...made.bytes, ...tail]),
    };
  }
}
