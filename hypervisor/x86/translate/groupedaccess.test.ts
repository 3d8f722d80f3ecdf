/** What regions leave in the TLB of a machine that executes them: groups of accesses, among them those that lie in two pages, and jumps. */
import test from 'ava';
import * as exits from '../exits.ts';
import { codeAt, dataAt, FlatMachine } from '../isa/flatmachine.ts';
import * as layout from '../layout.ts';
import * as tlb from '../tlb.ts';
import { usualTranslation } from './options.ts';

const options = { ...usualTranslation, hotAfter: 5, cold: 1, busyAfter: 100, patience: 0 };
const bytes = (hex: string) => hex.split(' ').map((each) => Number.parseInt(each, 16));
const int32 = (value: number) => [0, 8, 16, 24].map((shift) => (value >> shift) & 255);

/** A machine with a loop of 64-bit code that goes on for ever: MOV EBX, n; MOV EDI, n; L: the code; JMP L. */
function looping(translate: typeof options | false, rbx: number, rdi: number, code: string): FlatMachine {
  const machine = new FlatMachine(translate);
  machine.reset(true);
  const body = bytes(code);
  machine.write(codeAt, [0xbb, ...int32(rbx), 0xbf, ...int32(rdi), ...body, 0xeb, -body.length - 2]);
  machine.vcpu.set64(layout.rip, BigInt(codeAt));
  return machine;
}

function run({ vcpu }: FlatMachine, budget: number): void {
  const exit = vcpu.run(0, budget);
  if (exit !== exits.budget) throw new Error(`stopped with exit ${exit}`);
}

/** Tags of all entries. */
function tags({ vcpu, engine }: FlatMachine): Buffer {
  const start = (vcpu.base + layout.stateSize) / 8;
  const all = engine.memory.u64.slice(start, start + tlb.size / 8).filter((_, i) => i % 4 !== 3);
  return Buffer.from(all.buffer);
}

test('the TLB is filled as by the accesses one by one, where another page takes the entry of a group', (t) => {
  const otherAt = dataAt + (tlb.entries << 12);
  // MOV EAX, [RBX]; MOV ECX, [RDI]; MOV EDX, [RBX + 4]
  const code = '8b 03 8b 0f 8b 53 04';
  const machines = [looping(options, dataAt, otherAt, code), looping(false, dataAt, otherAt, code)] as const;
  for (let turn = 0; turn < 200; turn++) {
    for (const machine of machines) run(machine, 1 + (turn % 7));
    t.true(tags(machines[0]).equals(tags(machines[1])), `turn ${turn}`);
  }
  t.true(machines[0].vcpu.translatedInstructions > 100);
});

test('a jump within a page does not look for the page, though another has taken its entry', (t) => {
  const otherAt = codeAt + (tlb.entries << 12);
  // MOV EAX, [RDI]; INC ECX, four times
  const code = '8b 07 ff c1 ff c1 ff c1 ff c1';
  const small = { ...options, largestRegion: 2 };
  const machines = [looping(small, 0, otherAt, code), looping(false, 0, otherAt, code)] as const;
  for (let turn = 0; turn < 200; turn++) {
    for (const machine of machines) run(machine, 1 + (turn % 11));
    t.true(tags(machines[0]).equals(tags(machines[1])), `turn ${turn}`);
  }
  t.true(machines[0].vcpu.translatedInstructions > 100);
});

test('nothing is filled to write when there is a fault before the write', (t) => {
  // MOV EAX, [RBX]; DEC RDI; MOV ECX, [RDI * 8]; MOV [RBX + 4], EAX; ADD EBX, 1000H
  const code = '8b 03 48 ff cf 8b 0c fd 00 00 00 00 89 43 04 81 c3 00 10 00 00';
  const machines = [looping(options, dataAt, 300, code), looping(false, dataAt, 300, code)] as const;
  for (const { vcpu } of machines) {
    while (vcpu.run(0, 100) === exits.budget);
    t.is(vcpu.gpr(7), 2n ** 64n - 1n);
  }
  t.true(machines[0].engine.counters.translator.regions > 0);
  t.true(tags(machines[0]).equals(tags(machines[1])));
});

test('a group that lies in two pages for long is taken apart', (t) => {
  // ADD EAX, [RBX]; INC DWORD PTR [RBX + 8]
  const code = '03 03 ff 43 08';
  const at = dataAt + 0xffc;
  const [machine, other] = [looping(options, at, 0, code), looping(false, at, 0, code)];
  const turns = () => {
    for (let turn = 0; turn < 100; turn++) for (const each of [machine, other]) run(each, 100);
  };
  turns();
  const { translator } = machine.engine.counters;
  const { givenUp } = translator;
  t.true(givenUp > 0);
  const translated = machine.vcpu.translatedInstructions;
  turns();
  t.is(machine.engine.counters.translator.givenUp, givenUp);
  t.true(machine.vcpu.translatedInstructions - translated > 9000);
  t.deepEqual(machine.read(dataAt, 0x2000), other.read(dataAt, 0x2000));
  t.is(machine.vcpu.gpr(0), other.vcpu.gpr(0));
});
