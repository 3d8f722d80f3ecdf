import test from 'ava';
import * as exits from './exits.ts';
import * as layout from './layout.ts';
import { END, ended, places, selectors, TestMachine } from './testing/machine.ts';

const NOP = 0x90;
const OUT = [0xe6, 1];
const RDTSC = [0x0f, 0x31];

/** A machine on which a write to port 1 takes `cost` besides the instruction itself. */
function charging(cost: number): TestMachine {
  const m = new TestMachine('long');
  m.onPortWrite = () => m.vcpu.charge(cost);
  return m;
}

test('what is charged inside an instruction passes before the next one, and is no instruction', (t) => {
  for (const cost of [0, 1, 700]) {
    const m = charging(cost);
    m.touch();
    // RDTSC; MOV ESI, EAX; OUT; RDTSC
    m.program(...RDTSC, 0x89, 0xc6, ...OUT, ...RDTSC, ...END);
    t.is(m.run(10_000), ended);
    t.is(Number(m.vcpu.gpr(0) - m.vcpu.gpr(6)), 3 + cost);
    t.is(m.vcpu.elapsed, 5 + cost);
    t.is(m.vcpu.retired, 5);
  }
});

test('a charge above the budget ends the run behind the instruction, with all of it passed', (t) => {
  for (const [cost, limit, offset] of [
    [1000, 10, 3],
    [7, 10, 4],
    [8, 10, 3],
    [9, 10, 3],
    [100, 2, 3],
  ] as const) {
    const m = charging(cost);
    m.touch();
    m.program(NOP, ...OUT, NOP, NOP, NOP);
    t.is(m.run(limit), exits.budget);
    t.is(Number(m.vcpu.get64(layout.rip)), places.code + offset, `${cost} of ${limit}`);
    t.is(m.vcpu.elapsed, offset - 1 + cost);
    t.is(m.vcpu.retired, offset - 1);
  }
});

test('several charges in one instruction add up', (t) => {
  const m = new TestMachine('long');
  m.onPortWrite = () => {
    for (const cost of [5, 3, 1000, 20]) m.vcpu.charge(cost);
  };
  m.touch();
  m.program(...OUT, NOP, NOP, NOP, NOP, NOP, NOP);
  t.is(m.run(6), exits.budget);
  t.is(m.vcpu.elapsed, 1029);
  t.is(m.vcpu.retired, 1);
});

/** Steps through OUT; NOP; OUT; NOP by TF: addresses that the debug handler saw, and the time that passed. */
function stepThrough(cost: number) {
  const m = new TestMachine('long');
  const seen: number[] = [];
  // The handler: XCHG EAX, [RSP]; OUT 2, EAX; XCHG EAX, [RSP]; IRETQ
  const exchange = [0x87, 0x04, 0x24];
  m.write(places.data, [...exchange, 0xe7, 2, ...exchange, 0x48, 0xcf]);
  m.gate(1, { selector: selectors.long0, offset: places.data, type: 14 });
  m.onPortWrite = (port, value) => {
    if (port === 1) m.vcpu.charge(cost);
    else seen.push(value - places.code);
  };
  m.touch();
  // PUSHF; OR WORD [RSP], 0x100; POPF
  m.program(0x9c, 0x66, 0x81, 0x0c, 0x24, 0x00, 0x01, 0x9d, ...OUT, NOP, ...OUT, NOP, ...END);
  mustEnd(m.run(100_000));
  return { seen, elapsed: m.vcpu.elapsed, retired: m.vcpu.retired };
}

function mustEnd(end: number): void {
  if (end !== ended) throw new Error(`the program stopped for reason ${end}`);
}

test('single steps come where they come without a charge, which passes once', (t) => {
  const plain = stepThrough(0);
  const charged = stepThrough(400);
  t.deepEqual(plain.seen, [10, 11, 13, 14]);
  t.deepEqual(charged.seen, plain.seen);
  t.is(charged.retired, plain.retired);
  t.is(charged.elapsed, plain.elapsed + 800);
});

test('an interrupt waits for the shadow of STI to end, which a charge does not shorten', (t) => {
  for (const cost of [0, 300, 5000]) {
    const m = charging(cost);
    m.touch();
    m.vcpu.set32(layout.interruptPending, 1);
    // STI; OUT; NOP
    m.program(0xfb, ...OUT, NOP, NOP, ...END);
    t.is(m.vcpu.run(0, 1000), exits.budget);
    t.is(Number(m.vcpu.get64(layout.rip)), places.code + 3);
    t.true(m.vcpu.takesEvents);
    t.is(m.vcpu.elapsed, 2 + cost);
  }
});

test('what is charged while the program is stepped shortens the rest of the run', (t) => {
  const m = charging(400);
  // IRETQ
  m.write(places.data, [0x48, 0xcf]);
  m.gate(1, { selector: selectors.long0, offset: places.data, type: 14 });
  m.touch();
  // PUSHF; OR WORD [RSP], 0x100; POPF; OUT; JMP to itself
  m.program(0x9c, 0x66, 0x81, 0x0c, 0x24, 0x00, 0x01, 0x9d, ...OUT, 0xeb, 0xfe);
  t.is(m.vcpu.run(0, 5000), exits.budget);
  t.is(m.vcpu.elapsed, 5000);
  t.is(m.vcpu.retired, 4600);
});

test('the shadow of STI outlives an instruction that was charged for and must be begun anew', (t) => {
  const m = charging(0);
  const device = 0x20_0000;
  m.onMmioRead = () => m.vcpu.charge(300);
  m.mapPage(places.data, BigInt(device + 0x40_0000) | 3n);
  m.touch();
  // The stack is on a page without a frame.
  m.vcpu.setGpr(4, 0x1f_f000n);
  // STI; PUSH QWORD [data]
  m.program(0xfb, 0xff, 0x34, 0x25, places.data & 0xff, places.data >> 8, 0, 0, ...END);
  t.is(m.vcpu.run(0, 1000), exits.hostFault);
  t.is(Number(m.vcpu.get64(layout.rip)), places.code + 1);
  t.false(m.vcpu.takesEvents);
  t.true(m.vcpu.elapsed >= 301);
});

test('a new vCPU knows nothing of any page, nor of the one at address 0, whose number is what memory holds at first', (t) => {
  const read = new TestMachine('real');
  read.touch();
  read.put(0, 2, 0x1234);
  // MOV AX, [0]
  read.program(0xa1, 0, 0, ...END);
  t.is(read.run(10), ended);
  t.is(Number(read.vcpu.gpr(0)), 0x1234);

  const written = new TestMachine('real');
  written.touch();
  // MOV [0], AX
  written.program(0xa3, 0, 0, ...END);
  written.vcpu.setGpr(0, 0x1234n);
  t.is(written.run(10), ended);
  t.is(written.get(0, 2), 0x1234);

  const executed = new TestMachine('real');
  executed.touch();
  executed.write(0, [NOP, ...END]);
  // JMP 0:0
  executed.program(0xea, 0, 0, 0, 0);
  t.is(executed.run(10), ended);
});
