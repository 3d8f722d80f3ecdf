/**
 * Tangles: random 64-bit code whose blocks jump to each other without any order, into the middle of loops and now and then
 * of instructions, call and return. No compiler makes such code; a translator must survive it.
 */
import { baseImage, imageOffset } from './image.ts';
import { cpuState, layouts, locate, physicalLayout, userSelectors } from './layout.ts';
import type { MemoryBytes, VectorState } from './machine.ts';
import { type Random, seededRandom } from './random.ts';

const [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi] = [0, 1, 2, 3, 4, 5, 6, 7];
/** Registers that instructions change; RBX, RSP and RDI keep pointers. */
const free = [rax, rcx, rdx, 8, 9, 10, 11, 12, 14];

const region = (name: string) => layouts.long.find((each) => each.name === name)!;
const image = (register: number) => imageOffset.gpr + 8 * register;

/** REX with its W, and the top bits of ModRM.reg and ModRM.rm. */
const rex = (w: number, reg: number, rm: number) => 0x40 | (w << 3) | ((reg >> 3) << 2) | (rm >> 3);
const registers = (reg: number, rm: number) => 0xc0 | ((reg & 7) << 3) | (rm & 7);
const int32 = (value: number) => [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255];

/** An instruction that goes on to the next one. */
function plain(random: Random): number[] {
  const a = random.pick(free);
  const b = random.pick(free);
  const w = random.below(2);
  const prefix = random.oneIn(6) ? [0x66] : [];
  const byte = random.oneIn(4) ? 0 : 1;
  /** Of ADD, OR, ADC, SBB, AND, SUB, XOR and CMP; those that read CF are the most delicate. */
  const operation = random.pick([0, 1, 2, 2, 3, 3, 4, 5, 6, 7]) * 8;
  const memory = [0x40 | ((a & 7) << 3) | rbx, random.below(120)];
  switch (random.below(18)) {
    case 0:
    case 1:
    case 2:
      return [...prefix, rex(w, a, b), operation | byte, registers(a, b)];
    case 3:
      return [...prefix, rex(w, a, 0), operation | byte, ...memory];
    case 4:
      return [...prefix, rex(w, a, 0), operation | 2 | byte, ...memory];
    case 5:
      return [...prefix, rex(w, 0, b), 0xfe | byte, registers(random.below(2), b)];
    case 6:
      return [...prefix, rex(w, 0, b), 0xf6 | byte, registers(random.pick([2, 3]), b)];
    case 7:
      return [...prefix, rex(w, 0, b), 0xc0 | byte, registers(random.below(8), b), random.below(70)];
    case 8:
      return [...prefix, rex(w, 0, b), 0xd2 | byte, registers(random.below(8), b)];
    case 9:
      return [rex(0, 0, b), 0x0f, 0x90 | random.below(16), registers(0, b)];
    case 10:
      return [...prefix, rex(w, a, b), 0x0f, 0x40 | random.below(16), registers(a, b)];
    case 11:
      return [...prefix, rex(w, a, b), 0x0f, random.pick([0xaf, 0xbc, 0xbd, 0xa3]), registers(a, b)];
    case 12:
      // CLC, STC, CMC, LAHF, SAHF.
      return [random.pick([0xf8, 0xf9, 0xf5, 0x9f, 0x9e])];
    case 13:
      // PUSH, POP; PUSHF, POP.
      return random.oneIn(2) ? [rex(0, 0, a), 0x50 | (a & 7), rex(0, 0, b), 0x58 | (b & 7)] : [0x9c, 0x58];
    case 14:
      // LEA RDI of the data, MOV ECX, n; REP STOSB.
      return [0x48, 0x8d, 0x7b, 0, 0xb9, ...int32(random.below(400)), 0xf3, 0xaa];
    case 15:
      return [...prefix, rex(w, a, 0), 0x8a | byte, ...memory];
    case 16:
      return [...prefix, rex(w, a, 0), 0x88 | byte, ...memory];
    default:
      return [rex(w, 0, b), 0x81, registers(random.below(8), b), ...int32(random.u32())];
  }
}

/** ModRM, SIB and displacement of an operand in the frame: at RSP, RBP, RSI or RBX, at times with an index. */
function inFrame(random: Random, reg: number): { readonly x: number; readonly operand: number[] } {
  const base = random.pick([rsp, rsp, rbp, rsi, rbx]);
  const field = (reg & 7) << 3;
  const displacement =
    random.pick([8 * random.below(10), random.below(120), 256 - 8 * random.below(8)]) & 255;
  // R15, scaled.
  if (random.oneIn(6))
    return { x: 2, operand: [0x44 | field, (random.below(4) << 6) | 0x38 | base, displacement] };
  return { x: 0, operand: [0x40 | field | base, ...(base === rsp ? [0x24] : []), displacement] };
}

/** An access in the frame, or a small move of what it is addressed by. */
function framed(random: Random): number[] {
  const a = random.pick(free);
  const w = random.below(2);
  const { x, operand } = inFrame(random, a);
  const opcode = random.pick([0x8b, 0x8b, 0x89, 0x89, 0x8a, 0x88, 0x01, 0x03, 0x31, 0x39, 0x3b, 0x11]);
  switch (random.below(9)) {
    case 0:
      // LEA RSI.
      return [0x48, 0x8d, 0x74, 0x24, random.below(40)];
    case 1:
      return [0x48, 0x83, random.pick([0xc6, 0xee]), random.below(20)];
    case 2:
      // MOVUPS, MOVAPS.
      return [0x40 | ((a >> 3) << 2) | x, 0x0f, random.pick([0x10, 0x11, 0x10, 0x11, 0x28]), ...operand];
    default:
      return [rex(w, a, 0) | x, opcode, ...operand];
  }
}

/** Instructions that work on a frame of the stack, as those of compilers do, and leave RSP as it was. */
function frame(random: Random): number[] {
  const body = Array.from({ length: random.below(8) }, () =>
    random.oneIn(3) ? plain(random) : framed(random),
  ).flat();
  const a = random.pick(free);
  const b = random.pick(free);
  switch (random.below(4)) {
    case 0: {
      // PUSH RBP; MOV RBP, RSP; SUB RSP, n … LEAVE.
      return [0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 8 * random.below(12), ...body, 0xc9];
    }
    case 1:
      return [
        ...[rex(0, 0, a), 0x50 | (a & 7), rex(0, 0, b), 0x50 | (b & 7)],
        ...body,
        ...[rex(0, 0, b), 0x58 | (b & 7), rex(0, 0, a), 0x58 | (a & 7)],
      ];
    case 2: {
      const size = 8 * random.below(10);
      return [0x48, 0x83, 0xec, size, ...body, 0x48, 0x83, 0xc4, size];
    }
    default:
      return body;
  }
}

/** Registers that keep pointers to the data while they are moved about. */
const pointers = [rbx, rbp, rsi, 13];

/** An access by a pointer, or something that sets a pointer to what another is, or was, but for a constant; or to something else. */
function pointed(random: Random): number[] {
  const a = random.pick(free);
  const p = random.pick(pointers);
  const q = random.pick(pointers);
  const w = random.below(2);
  const near = (random.below(48) - 16) & 255;
  switch (random.below(24)) {
    case 0:
    case 1:
      return [rex(1, q, p), 0x89, registers(q, p)];
    case 2:
      return [rex(1, p, q), 0x8b, registers(p, q)];
    case 3:
    case 4:
      // LEA.
      return [rex(1, p, q), 0x8d, 0x40 | ((p & 7) << 3) | (q & 7), near];
    case 5:
      // The same with R15, scaled.
      return [rex(1, p, q) | 2, 0x8d, 0x44 | ((p & 7) << 3), (random.below(4) << 6) | 0x38 | (q & 7), near];
    case 6:
    case 7:
      // ADD, SUB.
      return [rex(1, 0, p), 0x83, registers(random.pick([0, 5]), p), near];
    case 8:
      return [rex(1, 0, p), 0x81, registers(random.pick([0, 5]), p), ...int32(random.below(64))];
    case 9:
      // INC, DEC.
      return [rex(1, 0, p), 0xff, registers(random.below(2), p)];
    case 10:
      return [rex(1, p, q), 0x87, registers(p, q)];
    case 11:
      return [rex(1, p, q), 0x0f, 0x40 | random.below(16), registers(p, q)];
    case 12:
      return [rex(0, 0, p), 0x50 | (p & 7), rex(0, 0, q), 0x58 | (q & 7)];
    case 13:
      // What leads nowhere: MOV of a small constant, a MOV and a LEA that cut to 32 bits.
      if (!random.oneIn(4)) return [rex(w, a, p), 0x8b, 0x40 | ((a & 7) << 3) | (p & 7), near];
      return random.pick([
        [rex(1, 0, p), 0xc7, registers(0, p), ...int32(random.below(64))],
        [rex(0, q, p), 0x89, registers(q, p)],
        [0x67, rex(1, p, q), 0x8d, 0x40 | ((p & 7) << 3) | (q & 7), near],
      ]);
    default: {
      const opcode = random.pick([0x8b, 0x8b, 0x89, 0x89, 0x8a, 0x88, 0x01, 0x03, 0x31, 0x39, 0x3b, 0x11]);
      return [rex(w, a, p), opcode, 0x40 | ((a & 7) << 3) | (p & 7), near];
    }
  }
}

interface Jump {
  /** Where its displacement stands. */
  readonly at: number;
  readonly target: number;
}

/** See {@link tangle}. */
type Places = 'one page' | 'two pages' | 'page end' | 'frames' | 'pointers';

/** What blocks are made of. */
const bodies: Record<Places, (random: Random) => number[]> = {
  'one page': plain,
  'two pages': plain,
  'page end': plain,
  frames: frame,
  pointers: pointed,
};

/** How blocks end: numbers of the cases in {@link code}. */
const anyEnd = Array.from({ length: 12 }, (_, number) => number);
/** More calls and returns, some of which go elsewhere, and no indirect jumps. */
const callingEnds = [0, 1, 1, 1, 2, 2, 2, 4, 5, 5, 12, 13];

/**
 * The code of a seed.
 * @param second where its second half starts, behind the first
 */
function code(random: Random, places: Places, second?: number): Uint8Array {
  const ends = places === 'one page' ? anyEnd : callingEnds;
  const bytes: number[] = [];
  const jumps: Jump[] = [];
  const starts: number[] = [];
  const count = 2 + random.below(14);
  for (let block = 0; block < count; block++) {
    if (second !== undefined && block === count >> 1) {
      bytes.push(0xe9, ...int32(second - bytes.length - 5));
      while (bytes.length < second) bytes.push(0x90);
    }
    starts.push(bytes.length);
    for (let left = random.below(places === 'pointers' ? 12 : 6); left > 0; left--)
      bytes.push(...bodies[places](random));
    const jump = (...opcode: number[]): void => {
      bytes.push(...opcode);
      jumps.push({ at: bytes.length, target: random.below(count) });
      bytes.push(0, 0, 0, 0);
    };
    switch (random.pick(ends)) {
      case 0:
        jump(0xe9);
        break;
      case 1:
        jump(0xe8);
        break;
      case 2:
        if (random.oneIn(2)) bytes.push(0xc3);
        break;
      case 3:
        // LEA RAX, [RIP + target]; JMP RAX.
        jump(0x48, 0x8d, 0x05);
        bytes.push(0xff, 0xe0);
        break;
      case 4:
        break;
      case 12:
        // LEA RAX, [RIP + target]; PUSH RAX; RET.
        jump(0x48, 0x8d, 0x05);
        bytes.push(0x50, 0xc3);
        break;
      case 13:
        // LEA RAX, [RIP + target]; MOV [RSP], RAX; RET: where it goes instead of where it was called from.
        jump(0x48, 0x8d, 0x05);
        bytes.push(0x48, 0x89, 0x04, 0x24, 0xc3);
        break;
      default:
        jump(0x0f, 0x80 | random.below(16));
    }
  }
  for (const { at, target } of jumps) {
    const astray = random.oneIn(40) ? 1 + random.below(2) : 0;
    bytes.splice(at, 4, ...int32(starts[target]! + astray - at - 4));
  }
  return Uint8Array.from(bytes);
}

/**
 * A machine state with random code, as vectors have it.
 * @param places whether the code is in one place, or half of it is in the next page; then it calls and returns more often. `page end` is code
 * in one place through which the end of a page goes. `frames`
 * is code in one place that works on the stack, where its two pages meet, and on pages that may be written to or not. `pointers` is code
 * that moves pointers about.
 */
export function tangle(seed: number, places: Places = 'one page'): VectorState {
  const random = seededRandom(seed);
  const before = baseImage(seed, 'plain');
  const view = new DataView(before.buffer);
  const place = places === 'page end' ? 0xe00 + random.below(0x200) : 0x200 + random.below(0xd00);
  const at = region('code').linear + place;
  const toNextPage = 0x1000 - (at & 0xfff);
  const second = places !== 'two pages' ? undefined : Math.max(toNextPage, 0x300) + random.below(0x80);
  view.setBigUint64(imageOffset.rip, BigInt(at), true);
  view.setBigUint64(image(rbx), BigInt(region('data').linear + 0x100), true);
  view.setBigUint64(image(rsp), BigInt(region('stack').linear + 0x1800), true);
  view.setBigUint64(image(rdi), BigInt(region('data').linear + 0x1000), true);
  view.setUint16(imageOffset.selectors + 2, userSelectors.code64, true);
  view.setUint16(imageOffset.selectors + 4, userSelectors.data, true);
  if (places === 'frames') {
    const linear = (name: string, distance: number) => BigInt(region(name).linear + distance);
    const nearEnd = () => 0xf80 + 8 * random.below(32) - (random.oneIn(4) ? random.below(8) : 0);
    view.setBigUint64(image(rsp), linear('stack', random.oneIn(3) ? 0x1800 : nearEnd()), true);
    view.setBigUint64(image(rbp), linear('stack', 0x1000 + random.below(0x400)), true);
    view.setBigUint64(image(rsi), linear('data', nearEnd()), true);
    const written = random.below(3) > 0;
    view.setBigUint64(image(rbx), written ? linear('data', nearEnd()) : linear('constant', 0x100), true);
    view.setBigUint64(image(15), BigInt(random.below(16)), true);
  }
  if (places === 'pointers') {
    const linear = region('data').linear + random.pick([0x400, 0x400, 0xfe0]);
    for (const pointer of pointers)
      view.setBigUint64(image(pointer), BigInt(linear + 8 * random.below(8)), true);
    view.setBigUint64(image(15), BigInt(random.below(4)), true);
  }
  for (const segment of [0, 3]) view.setUint16(imageOffset.selectors + 2 * segment, 0, true);
  // No single steps, forward string instructions.
  view.setUint32(imageOffset.rflags, view.getUint32(imageOffset.rflags, true) & ~0x500, true);
  const patch: MemoryBytes = { address: locate('long', at).physical, bytes: code(random, places, second) };
  return { cpu: cpuState(before), pages: physicalLayout('long').pages, patches: [patch] };
}
