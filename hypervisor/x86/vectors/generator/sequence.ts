/**
 * Sequences: 5 to 40 instructions with forward branches and small counted loops, as a translator meets them. Some registers keep pointers throughout
 * (so that memory operands stay in mapped memory), the others hold anything.
 */
import type { Flavour } from '../image.ts';
import type { Options } from './addressing.ts';
import { Draft, type Mode, rbp, rbx, rcx, rdi, rsi, rsp } from './draft.ts';
import type { Encoding } from './encoding.ts';
import { readFlags, type Undefined, undefinedBehind } from './flow.ts';
import { type Instruction, makeInstruction, type Preparation } from './instruction.ts';
import { type MadeVector, pickSegments } from './make.ts';
import { preparations } from './prepare.ts';
import { dataSelectors, regionOf } from './targets.ts';

/** What sequences of one kind are made from. */
export interface SequenceFamily {
  name: string;
  /** Tables and how often each is drawn from. */
  tables: readonly { weight: number; table: readonly Encoding[] }[];
  counts: Partial<Record<Mode, number>>;
  flavours: readonly Flavour[];
  prepare?: (draft: Draft) => void;
}

const r13 = 13;

// Preparations that change immediates alone; all others would change a state that earlier instructions have left behind.
const immediatePreparations = ['shiftImmediate', 'packedImmediate', 'predicate', 'roundingImmediate'];
const harmless: Record<string, Preparation> = Object.fromEntries(
  Object.keys(preparations).map((name) => [
    name,
    immediatePreparations.includes(name) ? preparations[name]! : () => {},
  ]),
);

/** Mnemonics whose effect depends on state that a sequence does not keep in hand. */
const unfit = new Set(
  (
    'shld shrd bsf bsr enter leave popa popf ret xlat cmpxchg16b cmpxchg8b maskmovq maskmovdqu bound into ldmxcsr rcpps rcpss rsqrtps rsqrtss ' +
    'jmp call loop loope loopne jcxz fldcw fldenv frstor fnstenv fnsave fninit mfence sfence lfence clflush prefetch pause cvtpi2ps'
  ).split(' '),
);

interface Piece {
  bytes: Uint8Array;
  /** What is undefined before it. */
  before: Undefined;
  /** What a branch at its end jumps to: a piece for backward jumps, a unit for forward ones; and the displacement's length. */
  jump: { piece?: number; unit?: number; length: 1 | 2 | 4 } | undefined;
}

/** Sets up the registers that keep pointers; the rest of the state is random. */
function setUp(draft: Draft): Options {
  const { mode, random } = draft;
  pickSegments(draft);
  if (mode !== 'long') {
    for (const segment of [0, 3, 4, 5]) draft.setLocal(segment, dataSelectors[mode][0]!);
    draft.setLocal(2, mode === 'compat32' ? 'data32' : 'stack16');
  }
  const data = regionOf(mode, 'data').linear;
  const stack = regionOf(mode, 'stack').linear;
  const point = (register: number, segment: number, linear: number) => {
    draft.setGpr(register, BigInt(linear) - draft.segmentBase(segment));
    return { register, linear, bytes: 0 };
  };
  const base = (register: number, segment: number, linear: number, bytes: number) => ({
    ...point(register, segment, linear),
    bytes,
  });
  point(rsp, 2, stack + 0x1800 + 8 * random.below(64));
  point(rsi, 3, data + 0x1000 + random.below(0x400));
  point(rdi, 0, data + 0x1000 + random.below(0x400));
  const knownBases = [
    base(rbx, 3, data + 0x40 + random.below(64), 0x300),
    base(rbp, 2, stack + 0x100 + 8 * random.below(16), 0x200),
  ];
  const reserved = [rbx, rsp, rbp, rsi, rdi];
  if (mode === 'long') {
    knownBases.push(base(r13, 3, regionOf(mode, 'low').linear + random.below(0x1000), 0xf00));
    reserved.push(r13, 15);
  }
  return { manners: 'tame', knownBases, reserved };
}

/** True when the instruction names a register that must keep its value. */
function touchesReserved(
  { encoding, reg, rm, operandSize, hasRex }: Instruction,
  reserved: readonly number[],
): boolean {
  const hit = (register: number, byte: boolean) =>
    reserved.includes(byte && !hasRex && register >= 4 && register < 8 ? register - 4 : register);
  const byte = operandSize === 8;
  if (encoding.mnemonic.endsWith('stri') && hit(rcx, false)) return true; // PCMPESTRI writes ECX
  if ((encoding.modrm === 'r' || encoding.plusRegister) && hit(reg, byte)) return true;
  return rm?.kind === 'register' && hit(rm.register, byte);
}

/** Makes the sequence of a seed. */
export function makeSequence(family: SequenceFamily, mode: Mode, seed: number, turn: number): MadeVector {
  const draft = new Draft(mode, seed, family.flavours[turn % family.flavours.length]!);
  const { random } = draft;
  const options = setUp(draft);
  family.prepare?.(draft);
  const code = regionOf(mode, 'code').linear;
  draft.placeCode(
    random.oneIn(8) ? code + 0x1000 - 1 - random.below(100) : code + 0x200 + random.below(0x1000),
  );

  const pieces: Piece[] = [];
  // Branches lead to the beginnings of units: an instruction, a loop, a counted string instruction. Index of each unit's first piece.
  const units: number[] = [];
  let at = draft.codeLinear;
  let state: Undefined = { flags: 0, conditions: 0 };
  // What is undefined on the branches that lead to units not made yet.
  const arriving = new Map<number, Undefined>();
  const join = (index: number, from: Undefined) => {
    const known = arriving.get(index) ?? { flags: 0, conditions: 0 };
    arriving.set(index, { flags: known.flags | from.flags, conditions: known.conditions | from.conditions });
  };
  const beginUnit = () => {
    const other = arriving.get(units.length);
    units.push(pieces.length);
    if (other !== undefined)
      state = { flags: state.flags | other.flags, conditions: state.conditions | other.conditions };
  };
  const put = (bytes: readonly number[] | Uint8Array, jump?: Piece['jump']) => {
    pieces.push({ bytes: Uint8Array.from(bytes), before: state, jump });
    at += bytes.length;
  };
  const weights = family.tables.flatMap(({ weight, table }) => Array.from({ length: weight }, () => table));
  const instruction = (reserved: readonly number[]): void => {
    for (;;) {
      const encoding = random.pick(random.pick(weights));
      if (encoding.only !== undefined && (encoding.only === 'long') !== (mode === 'long')) continue;
      if (unfit.has(encoding.mnemonic)) continue;
      if ((readFlags(encoding) & state.flags) !== 0) continue;
      if (encoding.mnemonic === 'fnstsw' && state.conditions !== 0) continue;
      if (/^(i?div)$/.test(encoding.mnemonic) && !random.oneIn(10)) continue;
      if (encoding.immediates.some((token) => /^(rel|moffs|ptr)/.test(token))) continue;
      const made = makeInstruction(encoding, draft, at, options, harmless);
      if (made === undefined) continue;
      const { instruction: each } = made;
      if (touchesReserved(each, reserved)) continue;
      // A bit offset in a register reaches anywhere.
      if (encoding.preparations.includes('bitOffset') && each.rm?.kind === 'memory') continue;
      if (each.repeat !== undefined) {
        if (reserved.includes(rcx)) continue;
        put(moveToCount(mode, random.below(9)));
      }
      put(made.bytes);
      state = undefinedBehind(each, state);
      return;
    }
  };

  const wanted = 5 + random.below(36);
  const inner = options.reserved!;
  while (pieces.length < wanted) {
    const kind = random.below(12);
    if (kind < 3 && units.length > 2) {
      beginUnit();
      const allowed = conditionFlags.flatMap((flags, i) => ((flags & state.flags) === 0 ? [i] : []));
      const unit = units.length + random.below(4);
      const always = allowed.length === 0 || random.oneIn(5);
      const condition = always ? 0 : random.pick(allowed);
      join(unit, state);
      if (always) put([0xeb, 0], { unit, length: 1 });
      else if (random.oneIn(2)) put([0x70 | condition, 0], { unit, length: 1 });
      else if (mode === 'compat16') put([0x0f, 0x80 | condition, 0, 0], { unit, length: 2 });
      else put([0x0f, 0x80 | condition, 0, 0, 0, 0], { unit, length: 4 });
      continue;
    }
    beginUnit();
    if (kind === 3 && pieces.length + 8 < wanted) {
      // MOV ECX, n; body; LOOP, or DEC ECX and JNZ. The body starts by defining all flags, whatever the last turn left.
      put(moveToCount(mode, 1 + random.below(5)));
      const head = pieces.length;
      state = { flags: 0x8d5, conditions: 0x4700 };
      put(compareAccumulator(mode, random.u32()));
      state = { ...state, flags: 0 };
      const length = 1 + random.below(5);
      for (let i = 0; i < length; i++) instruction([...inner, rcx]);
      if (random.oneIn(2)) put([0xe2, 0], { piece: head, length: 1 });
      else {
        put(decrementCount(mode));
        state = { ...state, flags: state.flags & 1 };
        put([0x75, 0], { piece: head, length: 1 });
      }
    } else instruction(inner);
  }

  const starts: number[] = [];
  let end = draft.codeLinear;
  for (const { bytes } of pieces) {
    starts.push(end);
    end += bytes.length;
  }
  const undefinedAt = new Map(pieces.map(({ before }, i) => [starts[i]!, before]));
  // Branches past the last unit lead to the HLT behind it.
  for (const [unit, other] of arriving) {
    if (unit >= units.length) {
      state = { flags: state.flags | other.flags, conditions: state.conditions | other.conditions };
    }
  }
  undefinedAt.set(end, state);
  const all: number[] = [];
  for (const { bytes, jump } of pieces) {
    if (jump !== undefined) {
      const next = draft.codeLinear + all.length + bytes.length;
      const piece = jump.piece ?? units[jump.unit!];
      const displacement = (piece === undefined ? end : starts[piece]!) - next;
      const view = new DataView(bytes.buffer);
      const place = bytes.length - jump.length;
      if (jump.length === 1) view.setInt8(place, displacement);
      else if (jump.length === 2) view.setInt16(place, displacement, true);
      else view.setInt32(place, displacement, true);
    }
    all.push(...bytes);
  }
  return { draft, encoding: family.name, inSteps: true, code: Uint8Array.from(all), undefinedAt };
}

const conditionFlags = [
  0x800, 0x800, 0x1, 0x1, 0x40, 0x40, 0x41, 0x41, 0x80, 0x80, 0x4, 0x4, 0x880, 0x880, 0x8c0, 0x8c0,
] as const;

/** MOV ECX, n (CX in 16-bit code). */
const moveToCount = (mode: Mode, n: number) => (mode === 'compat16' ? [0xb9, n, 0] : [0xb9, n, 0, 0, 0]);

/** DEC ECX (CX in 16-bit code). */
const decrementCount = (mode: Mode) => (mode === 'long' ? [0xff, 0xc9] : [0x49]);

/** CMP EAX, value. */
const compareAccumulator = (mode: Mode, value: number) => [
  0x3d,
  ...Array.from({ length: mode === 'compat16' ? 2 : 4 }, (_, i) => (value >>> (8 * i)) & 0xff),
];
