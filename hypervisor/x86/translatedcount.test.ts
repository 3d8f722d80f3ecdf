/** The count of instructions that are executed in translated code, exact wherever control goes over between the interpreter and regions. */
import test from 'ava';
import * as exits from './exits.ts';
import { codeAt, dataAt, FlatMachine } from './isa/flatmachine.ts';
import * as layout from './layout.ts';
import * as tlb from './tlb.ts';
import { usualTranslation } from './translate/options.ts';
import type { Vcpu } from './vcpu.ts';

const hotAfter = 50;
const options = { ...usualTranslation, hotAfter, cold: hotAfter, busyAfter: 1 << 30, patience: 0 };
/** Turns of a loop while it becomes hot, and while it is counted what is translated of it. */
const atFirst = 2 * hotAfter;
const turns = 20;
const [RCX, RDX, RBX, RSP, RSI, RDI, R8] = [1, 2, 3, 4, 6, 7, 8] as const;

interface Program {
  /** A loop in hexadecimal bytes, with a HLT behind it, and the offset where it starts. */
  readonly code: string;
  readonly at?: number;
  /** Registers by number. ECX has the number of turns, where nothing else is said. */
  readonly registers?: Readonly<Record<number, number>>;
  /** Those that are different while it is counted. */
  readonly counted?: Readonly<Record<number, number>>;
}

/** Has a vCPU run a program as far as it goes. Gives the instructions that were executed, and how many of them in translated code. */
function run(vcpu: Vcpu, budget = 1_000_000): [executed: number, translated: number, exit: number] {
  const before = vcpu.translatedInstructions;
  const exit = vcpu.run(0, budget);
  return [vcpu.retired, vcpu.translatedInstructions - before, exit];
}

function start(vcpu: Vcpu, { at = 0 }: Program, registers: Readonly<Record<number, number>>): void {
  vcpu.rflags = 0;
  vcpu.set64(layout.rip, BigInt(codeAt + at));
  for (const [number, value] of Object.entries(registers)) vcpu.setGpr(Number(number), BigInt(value));
}

/** A machine that is at the start of a loop again, which is hot. */
function hot(translate: typeof options | false, program: Program, cpus = 1): FlatMachine {
  const machine = new FlatMachine(translate, cpus);
  const { registers = {}, counted = {} } = program;
  const usual = { [RSP]: 0xf000, [R8]: 0x202 };
  machine.write(codeAt, [...Buffer.from(program.code.replaceAll(' ', ''), 'hex')]);
  for (const vcpu of machine.vcpus) {
    machine.reset(true, vcpu);
    start(vcpu, program, { ...usual, [RCX]: atFirst, ...registers });
    run(vcpu);
    start(vcpu, program, { [RCX]: turns, ...registers, ...counted });
  }
  return machine;
}

const programs: Record<string, Program & { readonly translated: number }> = {
  'a loop that is translated': {
    // L: INC EAX; DEC ECX; JNZ L; HLT
    code: 'ff c0 ff c9 75 fa f4',
    translated: 3 * turns,
  },
  'regions that lead to each other': {
    // L: INC EAX; JMP RSI; M: DEC ECX; JNZ L; HLT
    code: 'ff c0 ff e6 ff c9 75 f8 f4',
    registers: { [RSI]: codeAt + 4 },
    translated: 4 * turns,
  },
  'a region that gives up in every turn': {
    // L: INC EAX; MOV EAX, [RBX]; MOV EDX, [RDI]; DEC ECX; JNZ L; HLT: the pages take each other's entry of the TLB
    code: 'ff c0 8b 03 8b 17 ff c9 75 f6 f4',
    registers: { [RBX]: dataAt, [RDI]: dataAt + (tlb.entries << 12) },
    translated: turns,
  },
  'a group of accesses that lies in two pages': {
    // L: INC EAX; ADD EAX, [RBX]; INC DWORD PTR [RBX + 8]; DEC ECX; JNZ L; HLT
    code: 'ff c0 03 03 ff 43 08 ff c9 75 f5 f4',
    registers: { [RBX]: dataAt + 0xffc },
    translated: turns,
  },
  'an instruction that is not translated': {
    // L: INC EAX; CPUID; DEC ESI; JNZ L; HLT
    code: 'ff c0 0f a2 ff ce 75 f8 f4',
    registers: { [RSI]: atFirst },
    counted: { [RSI]: turns },
    translated: turns,
  },
  'code that is not hot, and a direct jump from there': {
    // L: TEST EDX, EDX; JZ M; N: DEC ECX; JNZ L; HLT; M: INC EAX; INC EAX; JMP N
    code: '85 d2 74 05 ff c9 75 f8 f4 ff c0 ff c0 eb f5',
    registers: { [RDX]: 1 },
    counted: { [RDX]: 0 },
    translated: 2 * turns,
  },
  'code that is not hot, and an indirect jump from there': {
    // L: TEST EDX, EDX; JZ M; DEC ECX; JNZ L; H: HLT; M: DEC ECX; JZ H; JMP RSI
    code: '85 d2 74 05 ff c9 75 f8 f4 ff c9 74 fb ff e6',
    registers: { [RDX]: 1, [RSI]: codeAt },
    counted: { [RDX]: 0 },
    translated: 2 * turns,
  },
  'code that is not hot, and straight on from there': {
    // M: INC EAX; INC EAX; L: DEC ECX; JZ H; TEST EDX, EDX; JZ M; JMP L; H: HLT
    code: 'ff c0 ff c0 ff c9 74 06 85 d2 74 f4 eb f6 f4',
    at: 4,
    registers: { [RDX]: 1 },
    counted: { [RDX]: 0 },
    translated: 4 * turns - 2,
  },
  'string instructions, which take longer': {
    // L: MOV ECX, 64; REP MOVSB; DEC EDX; JNZ L; HLT
    code: 'b9 40 00 00 00 f3 a4 ff ca 75 f5 f4',
    registers: { [RDX]: atFirst, [RSI]: dataAt, [RDI]: dataAt + 0x4000 },
    counted: { [RDX]: turns },
    translated: 4 * turns,
  },
};

for (const [name, { translated, ...program }] of Object.entries(programs)) {
  test(name, (t) => {
    const [executed] = run(hot(false, program).vcpu);
    const machine = hot(options, program);
    t.is(machine.vcpu.translatedInstructions, 0);
    t.true(machine.engine.counters.translator.regions > 0);
    t.deepEqual(run(machine.vcpu), [executed, translated, exits.halt]);
  });
}

test('without translation nothing is counted', (t) => {
  for (const program of Object.values(programs)) t.is(run(hot(false, program).vcpu)[1], 0);
});

test('where the budget ends within a turn, the rest of it is interpreted; vCPUs count for themselves', (t) => {
  const program = programs['a loop that is translated']!;
  const { vcpus } = hot(options, program, 2);
  for (let budget = 1; budget <= 20; budget++) {
    for (const [cpu, vcpu] of vcpus.entries()) {
      const length = budget + 7 * cpu;
      start(vcpu, program, { [RCX]: turns });
      // A turn is translated when the budget reaches for the HLT as well: the region does not look again on the way there.
      t.deepEqual(run(vcpu, length), [length, length - (length % 3 || 3), exits.budget]);
    }
  }
});

test('an interrupt that POPF lets through ends the run behind it', (t) => {
  // L: CLI; PUSH R8; POPF; DEC ECX; JNZ L; HLT
  const { vcpu } = hot(options, { code: 'fa 41 50 9d ff c9 75 f8 f4' });
  vcpu.set32(layout.interruptPending, 1);
  t.deepEqual(run(vcpu), [3, 3, exits.budget]);
  vcpu.set32(layout.interruptPending, 0);
  const rest = 5 * (turns - 1);
  t.deepEqual(run(vcpu), [2 + rest + 1, rest, exits.halt]);
});

test('an interrupt that STI lets through ends the run behind the next instruction, which is interpreted', (t) => {
  // L: CLI; STI; INC EAX; DEC ECX; JNZ L; HLT
  const { vcpu } = hot(options, { code: 'fa fb ff c0 ff c9 75 f8 f4' });
  vcpu.set32(layout.interruptPending, 1);
  t.deepEqual(run(vcpu), [3, 2, exits.budget]);
  vcpu.set32(layout.interruptPending, 0);
  const rest = 5 * (turns - 1);
  t.deepEqual(run(vcpu), [2 + rest + 1, rest, exits.halt]);
});
