/** Guests that change code: what is executed is what memory holds, in both tiers, after every number of instructions. */
import test, { type ExecutionContext } from 'ava';
import * as exits from './exits.ts';
import { codeAt, FlatMachine } from './isa/flatmachine.ts';
import * as layout from './layout.ts';
import { usualTranslation } from './translate/options.ts';
import type { Vcpu } from './vcpu.ts';
import { seededRandom } from './vectors/random.ts';

const atOnce = { ...usualTranslation, hotAfter: 2, cold: 1, busyAfter: 3, patience: 0, mostBytes: 1 << 20 };
const functionAt = codeAt + 0x1000;
const bufferAt = codeAt + 0x2000;
const otherAt = codeAt + 0x4000;
const stacks = [0xf000, 0xe000];
/** The page-directory entry of the first 2 MiB (`FlatMachine`). */
const directory = 0x3000;

const bytes = (hex: string) => hex.split(' ').map((byte) => Number.parseInt(byte, 16));
const int32 = (value: number) => [0, 8, 16, 24].map((shift) => (value >> shift) & 255);

/** MOV ECX, n. */
const count = (n: number) => [0xb9, ...int32(n)];
/** ADD EAX, the byte that is changed; RET. */
const addAndReturn = bytes('83 c0 00 c3');

/** What a program puts where; each CPU starts at its entry. */
interface Program {
  readonly code: readonly (readonly [address: number, bytes: readonly number[]])[];
  readonly entries: readonly number[];
  /** EAX of the first CPU at the end, when it does not depend on turns. */
  readonly result?: number;
}

function prepare(machine: FlatMachine, { code, entries }: Program): void {
  for (const [index, entry] of entries.entries()) {
    const vcpu = machine.vcpus[index]!;
    machine.reset(true, vcpu);
    vcpu.set64(layout.rip, BigInt(entry));
    vcpu.setGpr(4, BigInt(stacks[index]!));
  }
  // It may have page tables of its own.
  for (const [address, content] of code) machine.write(address, content);
}

const halted = (vcpu: Vcpu) => vcpu.get32(layout.halted) !== 0;

/** Runs a CPU for that long, or to its HLT. */
function step(machine: FlatMachine, vcpu: Vcpu, budget: number): void {
  for (let left = budget; left > 0 && !halted(vcpu); left -= vcpu.elapsed) {
    const exit = vcpu.run(0, left);
    if (exit === exits.codeFull) machine.engine.makeRoom();
    else if (exit !== exits.budget && exit !== exits.halt) throw new Error(`stopped with exit ${exit}`);
  }
}

const registers = (vcpu: Vcpu) => [
  ...Array.from({ length: 16 }, (_, i) => vcpu.gpr(i)),
  vcpu.get64(layout.rip),
  vcpu.rflags,
];

/**
 * Runs a program in both tiers, in the same turns of up to `longest` units, and compares the CPUs behind each.
 * @param meanwhile done to the translating machine between turns
 */
function inStep(
  t: ExecutionContext,
  program: Program,
  longest: number,
  meanwhile: (machine: FlatMachine) => void = () => {},
): void {
  const cpus = program.entries.length;
  const translating = new FlatMachine(atOnce, cpus);
  const interpreting = new FlatMachine(false, cpus);
  for (const machine of [translating, interpreting]) prepare(machine, program);
  const random = seededRandom(6);
  while (!interpreting.vcpus.every(halted)) {
    for (let cpu = 0; cpu < cpus; cpu++) {
      const budget = 1 + random.below(longest);
      for (const machine of [translating, interpreting]) step(machine, machine.vcpus[cpu]!, budget);
      meanwhile(translating);
      t.deepEqual(registers(translating.vcpus[cpu]!), registers(interpreting.vcpus[cpu]!));
    }
  }
  t.deepEqual(translating.read(codeAt, 0x8000), interpreting.read(codeAt, 0x8000));
  if (program.result !== undefined) t.is(Number(interpreting.vcpu.gpr(0)), program.result);
  // Translation happens between turns.
  if (longest <= 100) t.true(translating.vcpus.at(-1)!.translatedInstructions > 0);
}

/** Σ of the low bytes of n … 1, sign-extended as ADD's immediate is. */
function sumOfBytes(n: number): number {
  let sum = 0;
  for (let i = n; i > 0; i--) sum += (i << 24) >> 24;
  return sum >>> 0;
}

/** Runs code that changes the function and calls it, n times, and adds up what that adds: in step, in short and in long turns. */
function changesFunction(
  t: ExecutionContext,
  code: readonly number[],
  n: number,
  ...more: readonly Program['code'][number][]
): void {
  const program: Program = {
    code: [...more, [codeAt, code], [functionAt, addAndReturn]],
    entries: [codeAt],
    result: sumOfBytes(n),
  };
  for (const longest of [3, 40, 10_000]) inStep(t, program, longest);
}

/** MOV ECX, n; XOR EAX, EAX; L: MOV DL, CL; AND DL, 7; MOV [the immediate], DL; ADD EAX, immediate; DEC ECX; JNZ L; HLT */
const changesNext: Program = {
  code: [
    [codeAt, [...count(1000), ...bytes('31 c0 88 ca 80 e2 07 88 15 02 00 00 00 83 c0 00 ff c9 75 ee f4')]],
  ],
  entries: [codeAt],
  result: Array.from({ length: 1000 }, (_, i) => (i + 1) & 7).reduce((a, b) => a + b),
};

/** L: MOV [function + 2], CL; MOV EDX, 20; D: DEC EDX; JNZ D; DEC ECX; JNZ L; HLT, and on the other CPU MOV ECX, n; XOR EAX, EAX; L: CALL function; DEC ECX; JNZ L; HLT */
const changedByOther: Program = {
  code: [
    [codeAt, [...count(300), ...bytes('88 0c 25 02 10 01 00 ba 14 00 00 00 ff ca 75 fc ff c9 75 ec f4')]],
    [functionAt, addAndReturn],
    [otherAt, [...count(3000), ...bytes('31 c0 e8 f4 cf ff ff ff c9 75 f7 f4')]],
  ],
  entries: [codeAt, otherAt],
};

test('an instruction changes the next one', (t) => {
  for (const longest of [3, 40, 10_000]) inStep(t, changesNext, longest);
});

test('code in another page changes between its calls', (t) => {
  // MOV ECX, n; XOR EAX, EAX; L: MOV [function + 2], CL; CALL function; DEC ECX; JNZ L; HLT
  const code = [...count(1000), ...bytes('31 c0 88 0c 25 02 10 01 00 e8 ed 0f 00 00 ff c9 75 f0 f4')];
  changesFunction(t, code, 1000);
});

test('code changes by writes at another address, where its page was written before it was code', (t) => {
  // As above, but MOV [2 MiB + function + 2], CL
  const code = [...count(1000), ...bytes('31 c0 88 0c 25 02 10 21 00 e8 ed 0f 00 00 ff c9 75 f0 f4')];
  // The second 2 MiB are the first once more: present, to write, for all, a page of 2 MiB.
  const aliased = [directory + 8, [...int32(0x87), ...int32(0)]] as const;
  changesFunction(t, code, 1000, aliased);
});

test('a group of accesses changes code, and writes to data beside it', (t) => {
  const code = [
    ...count(1000),
    // MOV EBX, function; XOR EAX, EAX; L: MOV EDX, [RBX + 40H]; ADD [RBX + 44H], ECX; MOV [RBX + 2], CL
    ...bytes('bb 00 10 01 00 31 c0 8b 53 40 01 4b 44 88 4b 02'),
    // CALL function; DEC ECX; JNZ L; HLT
    ...bytes('e8 e6 0f 00 00 ff c9 75 ee f4'),
  ];
  changesFunction(t, code, 1000);
});

test('a write that reaches into a page of code changes it', (t) => {
  // MOV ECX, n; XOR EAX, EAX; L: MOV EDX, ECX; SHL RDX, 48; OR RDX, [function - 4]; …: the quadword at function - 4 gets CL as its byte 6.
  const code = [
    ...count(300),
    ...bytes('31 c0'),
    // L: MOVZX EDX, CL; SHL RDX, 48; MOV RBX, C3 00 C0 83 in the upper half; OR RDX, RBX; MOV [function - 4], RDX
    ...bytes('0f b6 d1 48 c1 e2 30 48 bb 00 00 00 00 83 c0 00 c3 48 09 da 48 89 14 25 fc 0f 01 00'),
    // CALL function; DEC ECX; JNZ L; HLT
    ...bytes('e8 d8 0f 00 00 ff c9 75 db f4'),
  ];
  changesFunction(t, code, 300);
});

test('another CPU changes the code that one executes', (t) => {
  for (const longest of [7, 100, 3000]) inStep(t, changedByOther, longest);
});

/**
 * Writes functions (MOV EAX, n; RET) into a page, one behind the other and over old ones, and calls each; EAX is the sum. As a
 * compiler of a guest's does, but with no function called twice.
 */
function jit(n: number): Program {
  const code = [
    ...count(n),
    // XOR EDX, EDX; MOV R8D, buffer
    ...bytes('31 d2 41 b8 00 20 01 00'),
    // L: MOV RAX, "B8 00 00 00 00 C3 90 90"; MOV EBX, ECX; SHL RBX, 8; OR RAX, RBX; MOV [R8], RAX; CALL R8
    ...bytes('48 b8 b8 00 00 00 00 c3 90 90 89 cb 48 c1 e3 08 48 09 d8 49 89 00 41 ff d0'),
    // ADD EDX, EAX; ADD R8B, 16; DEC ECX; JNZ L; MOV EAX, EDX; HLT
    ...bytes('01 c2 41 80 c0 10 ff c9 75 dd 89 d0 f4'),
  ];
  return {
    code: [
      [codeAt, code],
      [bufferAt, []],
    ],
    entries: [codeAt],
    result: ((n * (n + 1)) / 2) % 2 ** 32,
  };
}

test('a compiler in the guest', (t) => {
  for (const longest of [5, 100, 10_000]) inStep(t, jit(2000), longest);
});

test('a compiler in the guest does not fill the store of decoded code', (t) => {
  // There is room for 1,500 pages in the small one.
  const machine = new FlatMachine(atOnce, 1, 512 << 20);
  const program = jit(20_000);
  prepare(machine, program);
  const { vcpu, engine } = machine;
  while (!halted(vcpu)) step(machine, vcpu, 1000);
  t.is(Number(vcpu.gpr(0)), program.result!);
  const { code, changingCode } = engine.counters;
  t.is(code.resets, 0);
  t.true(code.pages < 200, `${code.pages} pages in the large store`);
  t.true(changingCode.resets > 100);
});

test('the stores are emptied again and again while code changes', (t) => {
  const random = seededRandom(3);
  for (const program of [changesNext, changedByOther, jit(500)]) {
    for (const often of [2, 5]) {
      inStep(t, program, 60, ({ engine }) => {
        if (random.below(often) > 0) return;
        if (random.below(2) === 0) engine.resetCode();
        else engine.makeRoom();
      });
    }
  }
});

/** So many pages with a function each, and a program that calls each of them `turns` times, and changes it before when asked to. */
function manyFunctions(pages: number, turns: number, changes = false): Program {
  const firstAt = 0x10_0000;
  // ADD EAX, i * 256; RET
  const functions = Array.from(
    { length: pages },
    (_, i) => [firstAt + 0x1000 * i, [0x05, ...int32(i << 8), 0xc3]] as const,
  );
  // MOV ECX, turns; XOR EAX, EAX; L: MOV EBX, first; MOV EDX, pages; M: MOV [RBX + 1], CL; CALL RBX; ADD EBX, 1000H; DEC EDX; JNZ M;
  // DEC ECX; JNZ L; HLT
  const code = [
    ...[...count(turns), ...bytes('31 c0 bb'), ...int32(firstAt), 0xba, ...int32(pages)],
    ...bytes(changes ? '88 4b 01' : '0f 1f 00'),
    ...bytes('ff d3 81 c3 00 10 00 00 ff ca 75 f1 ff c9 75 e3 f4'),
  ];
  return {
    code: [[codeAt, code], ...functions],
    entries: [codeAt],
    result: turns * 128 * pages * (pages - 1) + (changes ? (pages * turns * (turns + 1)) / 2 : 0),
  };
}

test('pages that all change stay in their store, and it is not emptied too often', (t) => {
  const machine = new FlatMachine(atOnce, 1, 256 << 20);
  const [pages, turns] = [150, 200];
  const program = manyFunctions(pages, turns, true);
  prepare(machine, program);
  while (!halted(machine.vcpu)) step(machine, machine.vcpu, 1000);
  t.is(Number(machine.vcpu.gpr(0)), program.result!);
  const { code, changingCode } = machine.engine.counters;
  t.true(code.pages < 70 * pages, `${code.pages} pages in the large store`);
  t.true(changingCode.resets > 10 && changingCode.resets < 60, `emptied ${changingCode.resets} times`);
});

test('a store that is full of what is in use', (t) => {
  // There is room for some 360 pages without their records.
  const machine = new FlatMachine(atOnce, 1, 8 << 20);
  for (const pages of [100, 300, 500]) {
    const program = manyFunctions(pages, 5);
    prepare(machine, program);
    while (!halted(machine.vcpu)) {
      step(machine, machine.vcpu, 1000);
      if (pages === 100) machine.engine.resetCode();
    }
    t.is(Number(machine.vcpu.gpr(0)), program.result!);
  }
  t.true(machine.engine.counters.code.resets > 5);
});

test('the guest does not see that a store is emptied', (t) => {
  const machine = new FlatMachine(atOnce);
  const { vcpu, engine } = machine;
  // L: INC EAX; JMP L
  prepare(machine, { code: [[codeAt, bytes('ff c0 eb fc')]], entries: [codeAt] });
  vcpu.setGpr(0, 0n);
  step(machine, vcpu, 100);
  const accessed = 0x20;
  // The TLB has the page, and the processor does not look at its entry again.
  const [low] = machine.read(directory, 1);
  t.is(low! & accessed, accessed);
  machine.write(directory, [low! & ~accessed]);
  const { pages, shared } = engine.counters.code;
  for (let turn = 0; turn < 10; turn++) {
    engine.resetCode();
    step(machine, vcpu, 100);
  }
  t.is(Number(vcpu.gpr(0)), 550);
  t.is(machine.read(directory, 1)[0]! & accessed, 0);
  t.deepEqual([engine.counters.code.pages, engine.counters.code.shared], [pages, shared]);
});

test('a page that a compiler wrote to is kept with lasting code when it has not changed for long', (t) => {
  const machine = new FlatMachine(atOnce);
  const { vcpu, engine } = machine;
  const { code, changingCode } = engine.counters;
  /** Goes through the program at that time; gives the new code pages of both stores. */
  const pagesAt = (time: number, n: number): [lasting: number, changing: number] => {
    const before = [code.pages, changingCode.pages] as const;
    prepare(machine, jit(n));
    while (!halted(vcpu)) {
      const exit = vcpu.run(time, 10_000);
      if (exit === exits.codeFull) engine.makeRoom();
    }
    return [code.pages - before[0], changingCode.pages - before[1]];
  };
  pagesAt(0, 200);
  // Every function that is called is a change.
  const [, soon] = pagesAt(9e9, 20);
  t.true(soon >= 20, `${soon} pages soon after`);
  const [later, none] = pagesAt(50e9, 20);
  t.true(later > 0, `${later} pages later`);
  t.is(none, 0);
});
