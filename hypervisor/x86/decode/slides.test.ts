/** Instructions of kernels at different addresses that reach from one shared page into the next. */
import test from 'ava';
import fc from 'fast-check';
import { HostMemory, pageSize } from '../../memory/hostmemory.ts';
import { hashPage } from '../../memory/pagehash.ts';
import * as codepage from '../codepage.ts';
import { Engine } from '../engine.ts';
import type { Kernel } from './kerneltext.ts';

const unit = 0x20_0000;
const code64 = 2;
const codeBytes = 48 << 20;

const memory = new HostMemory(1 << 20, 64 << 20);
const engine = new Engine(memory, hashPage(memory), codeBytes, false);

/** Instructions with a 32-bit word behind three bytes, and how it moves. */
const instructions = [
  // MOV EAX, [RAX * 8 + word]
  { bytes: [0x8b, 0x04, 0xc5], way: 1, word: -0x7e00_0000 },
  // MOV RAX, word
  { bytes: [0x48, 0xc7, 0xc0], way: 1, word: -0x7d01_2345 },
  // MOV EAX, GS:[RIP + word]
  { bytes: [0x65, 0x8b, 0x05], way: -1, word: 0x7ede_cba9 },
  // MOV ECX, [RCX + RCX + word], which does not move.
  { bytes: [0x8b, 0x8c, 0x09], way: 0, word: -0x7e54_3210 },
] as const;

interface Instruction {
  readonly bytes: readonly number[];
  readonly way: number;
  readonly word: number;
}

/** Two pages of a kernel with that slide; the instruction's word has `inFirst` bytes in the first one. */
function text({ bytes, way, word }: Instruction, inFirst: number, slide: number): Uint8Array {
  const all = new Uint8Array(2 * pageSize).fill(0x90);
  const view = new DataView(all.buffer);
  // In both pages there is an address by which the slide is found: MOV RAX, address.
  for (const page of [0, pageSize]) {
    all.set([0x48, 0xc7, 0xc0], page + 64);
    view.setInt32(page + 67, -0x7f00_0000 + slide, true);
  }
  const at = pageSize - inFirst;
  all.set(bytes, at - bytes.length);
  view.setInt32(at, word + way * slide, true);
  // RET
  all[at + 4] = 0xc3;
  return all;
}

/** A guest that executes these pages. */
class Executer {
  /** The slide of the first one is given: the others' are measured from it. */
  readonly kernel: Kernel = { slide: undefined };
  readonly slide: number;
  readonly #pages = [0, 0];
  readonly #frames: number;

  readonly #isRelative: boolean;

  constructor(number: number, instruction: Instruction, inFirst: number, slide: number) {
    const content = text(instruction, inFirst, slide);
    this.#isRelative = instruction.way < 0;
    this.#frames = memory.framesStart + number * content.length;
    this.slide = slide;
    memory.u8.set(content, this.#frames);
  }

  /** It comes to execute the first page, or the second. */
  visit(which: 0 | 1): void {
    this.#pages[which] = engine.codePageFor(
      this.#frames + which * pageSize,
      code64,
      100 + which,
      this.kernel,
      false,
    );
  }

  /** The record of the instruction that begins at an offset of the first page, as it is executed; 0 when it cannot be decoded. Both pages were visited. */
  record(offset: number): number {
    const [page, next] = this.#pages as [number, number];
    const { i32 } = memory;
    const leader = Math.max(i32[(page >> 2) + offset]!, 0) || engine.code.decode(page, offset);
    if (leader === 0) return 0;
    const crossing = i32[(leader + codepage.link) >> 2]!;
    let record = 0;
    for (
      let head = i32[(crossing + codepage.link) >> 2]!;
      head !== 0;
      head = i32[(head + codepage.link) >> 2]!
    ) {
      if (i32[(head + codepage.alternativePage) >> 2] === next) record = head + codepage.recordSize;
    }
    return record || engine.code.decodeCrossing(crossing, page, next, this.kernel.slide ?? 0);
  }

  /** The word of that instruction. */
  word(offset: number): number {
    const { i32, u8, u64 } = memory;
    const record = this.record(offset);
    if (record === 0) return Number.NaN;
    const { slide = 0 } = this.kernel;
    const { row, slides } = engine.handlers.formOf(i32[record >> 2]!)!;
    if (row.operands[1]?.kind === 'I') {
      const immediate = BigInt.asIntN(64, u64[(record + codepage.immediate) / 8]!);
      return Number(immediate) + slides.immediate * slide;
    }
    const raw = i32[(record + codepage.displacement) >> 2]! + slides.displacement * slide;
    // What is relative to the instruction pointer was made relative to the page.
    return this.#isRelative ? raw - offset - u8[record + codepage.length]! : raw;
  }
}

const slides = fc.array(
  fc.integer({ min: 0, max: 200 }).map((n) => n * unit),
  { minLength: 2, maxLength: 8 },
);

test('every guest executes the word that its own memory holds, whoever executed the pages before', (t) => {
  fc.assert(
    fc.property(
      fc.constantFrom(...instructions),
      fc.constantFrom(1, 2, 3),
      slides,
      fc.infiniteStream(fc.nat({ max: 1000 })),
      (instruction, inFirst, each, chance) => {
        engine.resetCode();
        const guests = each.map((slide, number) => new Executer(number, instruction, inFirst, slide));
        const visits = guests.flatMap((guest) => [0, 1].map((which) => ({ guest, which: which as 0 | 1 })));
        guests[0]!.kernel.slide = guests[0]!.slide;
        visits.sort(() => chance.next().value! - 500);
        const seen = new Map<Executer, number>();
        for (const { guest, which } of visits) {
          guest.visit(which);
          seen.set(guest, (seen.get(guest) ?? 0) + 1);
          for (const [other, count] of seen) {
            if (count < 2) continue;
            const word = other.word(pageSize - inFirst - instruction.bytes.length);
            t.is(word, instruction.word + instruction.way * other.slide);
          }
        }
      },
    ),
    { numRuns: 300 },
  );
});

test('an instruction between pages that were decoded for guests at different places ends no sharing', (t) => {
  for (const instruction of instructions) {
    for (const inFirst of [1, 2, 3]) {
      engine.resetCode();
      const { pages } = engine.counters.code;
      const guests = [0, 3, 8, 0x18, 8].map(
        (n, number) => new Executer(number, instruction, inFirst, n * unit),
      );
      guests[0]!.kernel.slide = 0;
      guests[0]!.visit(1);
      // The first page is the second guest's.
      for (const guest of [guests[1]!, ...guests]) {
        guest.visit(1);
        guest.visit(0);
        const word = guest.word(pageSize - inFirst - instruction.bytes.length);
        t.is(word, instruction.word + instruction.way * guest.slide);
      }
      // A page whose last byte is a moving word's third serves only those that have the byte in common.
      const most = inFirst === 3 && instruction.way !== 0 ? 6 : 2;
      t.true(engine.counters.code.pages - pages <= most, `${engine.counters.code.pages - pages} pages`);
    }
  }
});

test('a page is told to have been decoded wrong when an instruction is that reaches from one page into the next', (t) => {
  const { code, handlers } = engine;
  // MOV DWORD PTR [word], n: it is the number that reaches into the next page.
  const store = { bytes: [0xc7, 0x04, 0x25], way: 0, word: -0x7e54_3210 } as const;
  let wrong = 0;
  for (const instruction of [...instructions, store]) {
    for (const inFirst of instruction === store ? [4] : [1, 2, 3]) {
      engine.resetCode();
      const [first, second] = [0, 3].map((n) => new Executer(n, instruction, inFirst, n * unit));
      first!.kernel.slide = 0;
      for (const which of [0, 1] as const) first!.visit(which);
      const at = pageSize - inFirst - instruction.bytes.length;
      const how = () => handlers.formOf(memory.i32[first!.record(at) >> 2]!)!.slides;
      const before = how();
      const told: number[] = [];
      code.onCorrected = (page) => told.push(page);
      for (const which of [0, 1] as const) second!.visit(which);
      code.onCorrected = () => {};
      const after = how();
      const differs = before.displacement !== after.displacement || before.immediate !== after.immediate;
      t.is(told.length > 0, differs, `${instruction.bytes}, ${inFirst} bytes in the first page`);
      if (differs) wrong++;
      t.true(differs || instruction !== store);
    }
  }
  t.true(wrong > 0);
});
