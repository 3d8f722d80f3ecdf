import test from 'ava';
import { costs } from '../clock/costs.ts';
import * as layout from '../x86/layout.ts';
import { places, selectors, TestMachine } from '../x86/testing/machine.ts';
import { Cpu } from './cpu.ts';
import { load, save } from './testing/state.ts';

const NOP = 0x90;
const HLT = 0xf4;
const STI = 0xfb;
const model = costs({ exitLight: 50, interrupt: 700 });

/** A CPU at the start of a program, with a handler of vector 32 that halts. */
function setUp(...program: number[]) {
  const m = new TestMachine('long');
  m.touch();
  m.program(...program);
  m.gate(32, { selector: selectors.long0, offset: places.handlers + 16 * 32, type: 14 });
  const cpu = new Cpu(
    m.vcpu,
    true,
    () => ({ acknowledge: () => 32 }),
    () => 0,
    model,
  );
  const run = (until: number) => cpu.run(() => until, true);
  return { m, cpu, run };
}

test('what a CPU executes and what its exits cost is the time that it uses; sleep is not', (t) => {
  const { cpu, run } = setUp(NOP, NOP, HLT);
  t.is(run(1000), undefined);
  t.is(cpu.executed, 3 + 50);
  t.is(cpu.retired, 3);
  t.is(cpu.time, 1000);
  t.true(cpu.idle);
});

test('an interrupt costs its delivery', (t) => {
  const { cpu, run } = setUp(STI, NOP, HLT);
  cpu.setInterruptPending(true);
  run(10_000);
  // STI, NOP, the delivery, and the handler's HLT.
  t.is(cpu.retired, 4);
  t.is(cpu.executed, 4 + 700 + 50);
});

test('an access is charged only while the CPU executes', (t) => {
  const { m, cpu, run } = setUp(0xe6, 1, HLT);
  m.onPortWrite = () => cpu.charge(300);
  cpu.charge(5000);
  run(10_000);
  t.is(cpu.executed, 2 + 300 + 50);
});

test('without a physical CPU, time in which it could execute is stolen', (t) => {
  const { m, cpu } = setUp(NOP);
  cpu.passBy(500);
  t.deepEqual([cpu.time, cpu.stolen, cpu.executed], [500, 500, 0]);
  cpu.passBy(400);
  t.deepEqual([cpu.time, cpu.stolen], [500, 500], 'time does not go back');
  cpu.blockedUntil = 800;
  cpu.passBy(600);
  t.deepEqual([cpu.time, cpu.stolen], [600, 500], 'it waits for memory');
  cpu.passBy(1000);
  t.deepEqual([cpu.time, cpu.stolen], [1000, 700]);
  m.vcpu.set32(layout.halted, 1);
  cpu.passBy(2000);
  t.deepEqual([cpu.time, cpu.stolen], [2000, 700], 'it sleeps');
  t.is(cpu.vcpu.get64(layout.rip), BigInt(places.code));
});

test('a saved CPU has its times and what was stolen', (t) => {
  const { cpu } = setUp(NOP);
  cpu.passBy(500);
  cpu.hasCpu = false;
  cpu.executed = 77;
  const state = save(cpu);
  const other = setUp(HLT).cpu;
  load(other, state);
  t.deepEqual([other.time, other.stolen, other.executed, other.hasCpu], [500, 500, 77, false]);
  t.deepEqual(save(other), state);
});

test('the host interrupts a CPU that executes, and no other', (t) => {
  const { m, cpu } = setUp(NOP);
  cpu.shootDown();
  t.deepEqual([cpu.time, cpu.executed], [model.shootdown, model.shootdown]);
  cpu.blockedUntil = cpu.time + 1;
  cpu.shootDown();
  cpu.blockedUntil = 0;
  m.vcpu.set32(layout.halted, 1);
  cpu.shootDown();
  t.deepEqual([cpu.time, cpu.executed], [model.shootdown, model.shootdown]);
});
