/** Moves, shuffles and insertions of MMX, SSE, SSE2, SSE3 and SSE4.1 registers, non-temporal stores, fences, MXCSR (SDM vol. 2). */
import type { Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import * as mxcsr from '../mxcsr.ts';
import type { Semantics } from '../semantics.ts';
import { type Meaning, meaning, type Row, row } from './instruction.ts';
import {
  choose,
  doublewordIndices,
  interleave,
  laneOf,
  type Packed,
  shiftBytes,
  withLaneAt,
  wordIndices,
  zeroExtended,
} from './packed.ts';
import { lowHalf, onXmm, widened } from './packedinteger.ts';

const move = meaning('w r', (_, source) => source!);

/** To an XMM register with zeros above. */
const moveExtended = meaning('w r', (c, source) => zeroExtended(c.fn, source!));

/** From memory to an XMM register with zeros above. */
function loadExtended(size: 4 | 8): Meaning {
  const load = size === 4 ? 'v128_32zero' : 'v128_64zero';
  return meaning('w a', (c) => c.load(c.memoryAddress(), size, load));
}

/** MOVD to an MMX register, with zeros above. */
const moveToMmx = meaning('w r', (_, source) => (source!.type === 'i32' ? source!.extendU() : source!));

const upperHalf = meaning('w r', (_, source) => source!.lane('i64x2.extract_lane', 1));

/** MOVHPS, MOVLHPS: replaces the upper half. */
const moveToUpper = meaning('rw r', (_, a, b) => a!.withLane('i64x2.replace_lane', 1, b!));

function rearranged(compute: Packed): Meaning {
  return meaning('w r', (_, source) => compute(source!, source!));
}

const duplicateLow = meaning('w r', (_, source) => source!.apply('i64x2.splat'));

/** Swizzles the source by indices that the immediate gives. */
function shuffled(indices: (selectors: Value) => Value): Meaning {
  return meaning('w r r', (_, source, immediate) => source!.apply('i8x16.swizzle', indices(immediate!)));
}

const shuffleMmxWords = meaning('w r r', (_, source, immediate) =>
  lowHalf(widened(source!).apply('i8x16.swizzle', wordIndices(immediate!, 'low'))),
);

/** SHUFPS: two lanes of the first operand, then two of the second. */
const shuffleSingles = meaning('rw r r', (_, a, b, immediate) => {
  const indices = doublewordIndices(immediate!);
  return choose(8, 0, 3)(a!.apply('i8x16.swizzle', indices), b!.apply('i8x16.swizzle', indices));
});

const shuffleDoubles = meaning('rw r r', (c, a, b, immediate) => {
  const pick = (from: Value, bit: number) =>
    c.fn.select(immediate!.and(bit), from.lane('i64x2.extract_lane', 1), from.lane('i64x2.extract_lane', 0));
  return pick(a!, 1).apply('i64x2.splat').withLane('i64x2.replace_lane', 1, pick(b!, 2));
});

function insert(size: 1 | 2 | 4 | 8): Meaning {
  return meaning('rw r r', (_, a, value, number) => withLaneAt(a!, size, number!, value!));
}

function extract(size: 1 | 2 | 4 | 8): Meaning {
  return meaning('w r r', (_, a, number) => laneOf(a!, size, number!));
}

const insertMmx = meaning('rw r r', (_, a, value, number) =>
  lowHalf(withLaneAt(widened(a!), 2, number!.and(3), value!)),
);
const extractMmx = meaning('w r r', (_, a, number) => laneOf(widened(a!), 2, number!));

function byteShift(way: 'left' | 'right'): Meaning {
  return meaning('rw r', (_, a, count) => shiftBytes(a!, count!, way));
}

/** MOVMSKPS, MOVMSKPD: the lanes' signs. */
function signs(shape: 'i32x4' | 'i64x2'): Meaning {
  return meaning('w r', (_, a) => a!.apply(`${shape}.bitmask`));
}

/**
 * MASKMOVDQU, MASKMOVQ: stores the bytes whose mask byte has its sign set, at DS:rDI or another segment. Whatever the mask, all
 * bytes must be writable (SDM vol. 2 leaves it open; processors look at the upper half of 16 bytes first).
 */
function maskedStore(size: 8 | 16): Meaning {
  return meaning('r r', (c, source, mask) => {
    const address = { offset: c.cut(c.gpr(7, 8)), segment: c.dataSegment(), stack: false };
    const whole = (value: Value) => (size === 8 ? widened(value) : value);
    const chosen = whole(mask!).apply('i8x16.shr_s', c.i32(7));
    if (size === 16) c.probe(c.at(address, 8), 8, 'w');
    const target = c.probe(address, size, 'rw');
    const merged = whole(source!).apply('v128.bitselect', whole(c.loadAt(target, size)), chosen);
    c.storeAt(target, size, size === 8 ? lowHalf(merged) : merged);
  });
}

const emptyMmx = meaning('', (c) => {
  c.requireMmx();
  c.setState32(layout.ftop, 0);
  c.setState32(layout.ftag, 0);
});

const loadControl = meaning('r', (c, value) => {
  c.raiseIf(value!.and(~mxcsr.valid), exceptions.GP);
  c.setState32(layout.mxcsr, value!);
});

const storeControl = meaning('w', (c) => c.state32(layout.mxcsr));

/** LFENCE, MFENCE, SFENCE: memory accesses happen in order anyway. */
const fence = meaning('', () => {});

/** CLFLUSH: caches have no effect here, but the address is checked as that of a byte to read. */
const flushLine = meaning('a', (c: Semantics) => {
  c.probe(c.memoryAddress(), 1, 'r');
});

const unaligned = { unaligned: true } as const;
const sse = { sse: true } as const;

/** Rows of moves between an XMM register and 16 bytes that both directions of one instruction have. */
function wholeMoves(name: string, load: string, store: string, options = {}): Row[] {
  return [...row(load, `${name} Vdq,Wdq`, move, options), ...row(store, `${name} Wdq,Vdq`, move, options)];
}

const wholes: readonly Row[] = [
  ...wholeMoves('MOVUPS', 'NP 0F 10', 'NP 0F 11', unaligned),
  ...wholeMoves('MOVUPD', '66 0F 10', '66 0F 11', unaligned),
  ...wholeMoves('MOVAPS', 'NP 0F 28', 'NP 0F 29'),
  ...wholeMoves('MOVAPD', '66 0F 28', '66 0F 29'),
  ...wholeMoves('MOVDQA', '66 0F 6F', '66 0F 7F'),
  ...wholeMoves('MOVDQU', 'F3 0F 6F', 'F3 0F 7F', unaligned),
  ...row('F2 0F F0', 'LDDQU Vdq,Mdq', move, unaligned),
  ...row('66 0F 38 2A', 'MOVNTDQA Vdq,Mdq', move),
  ...row('NP 0F 2B', 'MOVNTPS Mdq,Vdq', move),
  ...row('66 0F 2B', 'MOVNTPD Mdq,Vdq', move),
  ...row('66 0F E7', 'MOVNTDQ Mdq,Vdq', move),
  ...row('66 0F F7', 'MASKMOVDQU Vdq,Udq', maskedStore(16)),
];

const parts: readonly Row[] = [
  ...row('F3 0F 10 mem', 'MOVSS Vdq,Md', loadExtended(4)),
  ...row('F3 0F 10 reg', 'MOVSS Vss,Wss', move),
  ...row('F3 0F 11', 'MOVSS Wss,Vss', move),
  ...row('F2 0F 10 mem', 'MOVSD Vdq,Mq', loadExtended(8)),
  ...row('F2 0F 10 reg', 'MOVSD Vsd,Wsd', move),
  ...row('F2 0F 11', 'MOVSD Wsd,Vsd', move),
  ...row('NP 0F 12 mem', 'MOVLPS Vq,Mq', move),
  ...row('NP 0F 12 reg', 'MOVHLPS Vq,Udq', upperHalf),
  ...row('66 0F 12', 'MOVLPD Vq,Mq', move),
  ...row('NP 0F 13', 'MOVLPS Mq,Vq', move),
  ...row('66 0F 13', 'MOVLPD Mq,Vq', move),
  ...row('NP 0F 16 mem', 'MOVHPS Vdq,Mq', moveToUpper),
  ...row('NP 0F 16 reg', 'MOVLHPS Vdq,Uq', moveToUpper),
  ...row('66 0F 16', 'MOVHPD Vdq,Mq', moveToUpper),
  ...row('NP 0F 17', 'MOVHPS Mq,Vdq', upperHalf),
  ...row('66 0F 17', 'MOVHPD Mq,Vdq', upperHalf),
  ...row('66 0F 6E', 'MOVD Vdq,Ey', moveExtended),
  ...row('66 0F 7E', 'MOVD Ey,Vy', move),
  ...row('F3 0F 7E mem', 'MOVQ Vdq,Mq', loadExtended(8)),
  ...row('F3 0F 7E reg', 'MOVQ Vdq,Uq', moveExtended),
  ...row('66 0F D6 mem', 'MOVQ Wq,Vq', move),
  ...row('66 0F D6 reg', 'MOVQ Udq,Vq', moveExtended),
  ...row('NP 0F C3', 'MOVNTI My,Gy', move),
  ...row('NP 0F 50', 'MOVMSKPS Gd,Udq', signs('i32x4')),
  ...row('66 0F 50', 'MOVMSKPD Gd,Udq', signs('i64x2')),
];

const mmx: readonly Row[] = [
  ...row('NP 0F 6E', 'MOVD Pq,Ey', moveToMmx),
  ...row('NP 0F 7E', 'MOVD Ey,Py', move),
  ...row('NP 0F 6F', 'MOVQ Pq,Qq', move),
  ...row('NP 0F 7F', 'MOVQ Qq,Pq', move),
  ...row('NP 0F E7', 'MOVNTQ Mq,Pq', move),
  ...row('NP 0F F7', 'MASKMOVQ Pq,Nq', maskedStore(8)),
  ...row('F3 0F D6', 'MOVQ2DQ Vdq,Nq', moveExtended),
  ...row('F2 0F D6', 'MOVDQ2Q Pq,Uq', move),
  ...row('NP 0F 70', 'PSHUFW Pq,Qq,Ib', shuffleMmxWords),
  ...row('NP 0F C4 reg', 'PINSRW Pq,Rd,Ib', insertMmx),
  ...row('NP 0F C4 mem', 'PINSRW Pq,Mw,Ib', insertMmx),
  ...row('NP 0F C5', 'PEXTRW Gd,Nq,Ib', extractMmx),
  ...row('NP 0F 77', 'EMMS', emptyMmx),
];

const arrangements: readonly Row[] = [
  ...row('F3 0F 12', 'MOVSLDUP Vdq,Wdq', rearranged(choose(4, 0, 0, 2, 2))),
  ...row('F3 0F 16', 'MOVSHDUP Vdq,Wdq', rearranged(choose(4, 1, 1, 3, 3))),
  ...row('F2 0F 12', 'MOVDDUP Vdq,Wq', duplicateLow),
  ...row('NP 0F 14', 'UNPCKLPS Vdq,Wdq', onXmm(interleave(4, 'low'))),
  ...row('66 0F 14', 'UNPCKLPD Vdq,Wdq', onXmm(interleave(8, 'low'))),
  ...row('NP 0F 15', 'UNPCKHPS Vdq,Wdq', onXmm(interleave(4, 'high'))),
  ...row('66 0F 15', 'UNPCKHPD Vdq,Wdq', onXmm(interleave(8, 'high'))),
  ...row('NP 0F C6', 'SHUFPS Vdq,Wdq,Ib', shuffleSingles),
  ...row('66 0F C6', 'SHUFPD Vdq,Wdq,Ib', shuffleDoubles),
  ...row('66 0F 70', 'PSHUFD Vdq,Wdq,Ib', shuffled(doublewordIndices)),
  ...row(
    'F2 0F 70',
    'PSHUFLW Vdq,Wdq,Ib',
    shuffled((selectors) => wordIndices(selectors, 'low')),
  ),
  ...row(
    'F3 0F 70',
    'PSHUFHW Vdq,Wdq,Ib',
    shuffled((selectors) => wordIndices(selectors, 'high')),
  ),
  ...row('66 0F 73 /3', 'PSRLDQ Udq,Ib', byteShift('right')),
  ...row('66 0F 73 /7', 'PSLLDQ Udq,Ib', byteShift('left')),
  ...row('66 0F C4 reg', 'PINSRW Vdq,Rd,Ib', insert(2)),
  ...row('66 0F C4 mem', 'PINSRW Vdq,Mw,Ib', insert(2)),
  ...row('66 0F C5', 'PEXTRW Gd,Udq,Ib', extract(2)),
  ...row('66 0F 3A 20 reg', 'PINSRB Vdq,Rd,Ib', insert(1)),
  ...row('66 0F 3A 20 mem', 'PINSRB Vdq,Mb,Ib', insert(1)),
  ...row('66 0F 3A 22', 'PINSRD Vdq,Ed,Ib', insert(4), { w: 0 }),
  ...row('66 0F 3A 22', 'PINSRQ Vdq,Eq,Ib', insert(8), { w: 1 }),
  ...row('66 0F 3A 14 reg', 'PEXTRB Rd,Vdq,Ib', extract(1)),
  ...row('66 0F 3A 14 mem', 'PEXTRB Mb,Vdq,Ib', extract(1)),
  ...row('66 0F 3A 15 reg', 'PEXTRW Rd,Vdq,Ib', extract(2)),
  ...row('66 0F 3A 15 mem', 'PEXTRW Mw,Vdq,Ib', extract(2)),
  ...row('66 0F 3A 16', 'PEXTRD Ed,Vdq,Ib', extract(4), { w: 0 }),
  ...row('66 0F 3A 16', 'PEXTRQ Eq,Vdq,Ib', extract(8), { w: 1 }),
  ...row('66 0F 3A 17', 'EXTRACTPS Ed,Vdq,Ib', extract(4)),
];

/** Opcode rows of this file. */
export const vectorMoves: readonly Row[] = [
  ...wholes,
  ...parts,
  ...mmx,
  ...arrangements,
  ...row('NP 0F AE /2 mem', 'LDMXCSR Md', loadControl, sse),
  ...row('NP 0F AE /3 mem', 'STMXCSR Md', storeControl, sse),
  ...row('NP 0F AE /5 reg', 'LFENCE', fence),
  ...row('NP 0F AE /6 reg', 'MFENCE', fence),
  ...row('NP 0F AE /7 reg', 'SFENCE', fence),
  ...row('NP 0F AE /7 mem', 'CLFLUSH M', flushLine),
];
