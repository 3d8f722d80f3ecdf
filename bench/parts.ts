/**
 * Speed of the engine's parts, each in a small guest of its own: part of `npm run bench`. Times differ from
 * machine to machine and from hour to hour; what can be compared is the parts of one run with each other.
 */
import { Bench } from 'tinybench';
import { FlatMachine } from '../hypervisor/x86/isa/flatmachine.ts';
import * as layout from '../hypervisor/x86/layout.ts';
import { END, ended, places, TestMachine } from '../hypervisor/x86/testing/machine.ts';
import * as tlb from '../hypervisor/x86/tlb.ts';
import { usualTranslation } from '../hypervisor/x86/translate/options.ts';
import type { Vcpu } from '../hypervisor/x86/vcpu.ts';

/** How often each part is measured, and what it does at least in each: operations that take some milliseconds. */
const iterations = 20;
const turns = 100_000;
const pageSize = 4096;
const programAt = 0x10_0000;
const budget = 100_000_000;

const bytes = (hex: string) => hex.split(' ').map((byte) => Number.parseInt(byte, 16));
const int32 = (value: number) => [0, 8, 16, 24].map((shift) => (value >> shift) & 255);
const hlt = 0xf4;

const bench = new Bench({ iterations, time: 0, warmup: false });
/** Operations in one measurement, by the part. */
const operations = new Map<string, () => number>();

/**
 * Adds a part.
 * @param count operations that one call does
 * @param prepare is called before each and not measured
 */
function part(name: string, count: number | (() => number), run: () => void, prepare = () => {}): void {
  operations.set(name, typeof count === 'number' ? () => count : count);
  bench.add(name, run, { beforeEach: prepare });
}

/** Lets a vCPU go on from there to its HLT. */
function go(vcpu: Vcpu, from: number): void {
  vcpu.set32(layout.halted, 0);
  vcpu.set64(layout.rip, BigInt(from));
  vcpu.run(0, budget);
  if (vcpu.get32(layout.halted) === 0) throw new Error('the program has not come to its end');
}

/** A machine whose program has been executed until it is translated. */
function translated(program: (machine: FlatMachine) => void): FlatMachine {
  const machine = new FlatMachine({ ...usualTranslation, patience: 0 });
  machine.reset(true);
  program(machine);
  for (let i = 0; i < 3; i++) go(machine.vcpu, programAt);
  return machine;
}

/** Constants that no program had before, so that neither its decoded form nor its translation is known. */
let constant = 0;
const newConstant = () => int32(constant++);

function decode(): void {
  const pages = 16;
  const instructions = 818;
  const machine = new FlatMachine(false);
  machine.reset(true);
  const prepare = () => {
    for (let page = 0; page < pages; page++) {
      const code: number[] = [];
      // MOV EAX, n; …; JMP next page
      for (let i = 0; i < instructions; i++) code.push(0xb8, ...newConstant());
      code.push(...(page + 1 < pages ? [0xe9, ...int32(pageSize - code.length - 5)] : [hlt]));
      machine.write(programAt + page * pageSize, code);
    }
  };
  part('decode an instruction', pages * instructions, () => go(machine.vcpu, programAt), prepare);
}

function translate(): void {
  // As many as are not yet translated by themselves.
  const regions = 15;
  const machine = new FlatMachine({ ...usualTranslation, patience: Number.POSITIVE_INFINITY });
  machine.reset(true);
  const { translator } = machine.engine;
  let before = 0;
  const prepare = () => {
    for (let page = 0; page < regions; page++) {
      // MOV ECX, turns; L: (ADD EAX, n) × 4, TEST EAX, EAX; JZ to the next block; …; DEC ECX; JNZ L
      const code = [0xb9, ...int32(2 * usualTranslation.hotAfter)];
      for (let block = 0; block < 40; block++) {
        for (let i = 0; i < 4; i++) code.push(0x05, ...newConstant());
        code.push(...bytes('85 c0 74 00'));
      }
      code.push(0xff, 0xc9, 0x0f, 0x85, ...int32(5 - (code.length + 8)));
      code.push(...(page + 1 < regions ? [0xe9, ...int32(pageSize - code.length - 5)] : [hlt]));
      machine.write(programAt + page * pageSize, code);
    }
    go(machine.vcpu, programAt);
    before = translator.counters.instructions;
  };
  const count = () => translator.counters.instructions - before;
  part('translate an instruction', count, () => translator.workAll(), prepare);
}

function tlbMiss(): void {
  const { vcpu } = translated((machine) => {
    // MOV ECX, turns; L: MOV EAX, [data]; MOV EAX, [a page of the same TLB entry]; DEC ECX; JNZ L; HLT
    const load = (at: number) => [...bytes('8b 04 25'), ...int32(at)];
    const data = programAt + 0x10_0000;
    const loop = [...load(data), ...load(data + tlb.entries * pageSize), ...bytes('ff c9 75 ee')];
    machine.write(programAt, [0xb9, ...int32(turns), ...loop, hlt]);
  });
  part('TLB miss (pages of 2 MiB)', 2 * turns, () => go(vcpu, programAt));
}

function regionEntry(): void {
  const { vcpu } = translated((machine) => {
    // MOV ECX, turns; L: DEC ECX; JNZ L; HLT
    machine.write(programAt, [0xb9, ...int32(turns), ...bytes('ff c9 75 fc'), hlt]);
  });
  part('region entry from outside', turns, () => {
    // One turn of the loop each.
    vcpu.setGpr(1, BigInt(turns + 2));
    vcpu.set64(layout.rip, BigInt(programAt + 5));
    for (let i = 0; i < turns; i++) vcpu.run(0, 2);
  });
}

function chain(): void {
  const other = programAt + pageSize;
  const { vcpu } = translated((machine) => {
    // MOV ECX, turns; MOV EBX, other; MOV EDX, L; L: DEC ECX; JZ to HLT; JMP RBX; HLT
    const start = [0xb9, ...int32(turns), 0xbb, ...int32(other), 0xba, ...int32(programAt + 15)];
    machine.write(programAt, [...start, ...bytes('ff c9 74 02 ff e3'), hlt]);
    // JMP RDX
    machine.write(other, bytes('ff e2'));
  });
  part('chain: a jump to a region in another page', 2 * turns, () => go(vcpu, programAt));
}

function exception(): void {
  const machine = new TestMachine('long');
  machine.touch();
  // UD2 and its handler: ADD QWORD [RSP], 2; IRETQ
  machine.write(places.handlers + 16 * 6, bytes('48 83 04 24 02 48 cf'));
  machine.program(0xb9, ...int32(turns), ...bytes('0f 0b ff c9 75 fa'), ...END);
  part('exception and IRETQ', turns, () => {
    machine.vcpu.set64(layout.rip, BigInt(places.code));
    if (machine.run(budget) !== ended) throw new Error('the program has not come to its end');
  });
}

for (const add of [decode, translate, tlbMiss, regionEntry, chain, exception]) add();
const rows: { part: string; 'median ns': number; 'lowest ns': number }[] = [];
for (const task of bench.tasks) {
  const { result } = await task.run();
  if ('error' in result) throw result.error;
  if (!('latency' in result)) throw new Error(`${task.name} was not measured`);
  const { latency } = result;
  const each = (ms: number) => Math.round((ms * 1e7) / operations.get(task.name)!()) / 10;
  rows.push({ part: task.name, 'median ns': each(latency.p50), 'lowest ns': each(latency.min) });
}
console.table(rows);
