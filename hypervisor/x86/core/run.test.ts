import test from 'ava';
import { StateReader, StateWriter } from '../../state/state.ts';
import * as exits from '../exits.ts';
import { AC, IF, RF, TF } from '../flags.ts';
import * as layout from '../layout.ts';
import { END, ended, places, selectors, TestMachine } from '../testing/machine.ts';

const NOP = 0x90;
const HLT = 0xf4;
/** PUSHF; OR WORD [RSP], 0x100; POPF: the instruction behind it is the first to be stepped. */
const setTrap = [0x9c, 0x66, 0x81, 0x0c, 0x24, 0x00, 0x01, 0x9d];
const behind = places.code + setTrap.length;
const DR6 = layout.dr + 48;

/**
 * A machine whose debug handler writes the pushed RIP, relative to `behind`, and RFLAGS to ports and returns. `handlers` are
 * bytes for other vectors.
 */
function stepped(mode: 'long' | 'protected' = 'long'): {
  m: TestMachine;
  trapped: number[];
  flags: number[];
} {
  const m = new TestMachine(mode);
  const trapped: number[] = [];
  const flags: number[] = [];
  // XCHG EAX, [ESP + item]; OUT n, EAX; XCHG EAX, [ESP + item]: as 64-bit or as 32-bit code.
  const item = mode === 'long' ? 8 : 4;
  const show = (number: number, port: number) => [
    ...[0x87, 0x44, 0x24, number * item],
    ...[0xe7, port],
    ...[0x87, 0x44, 0x24, number * item],
  ];
  const iret = mode === 'long' ? [0x48, 0xcf] : [0xcf];
  const code = mode === 'long' ? selectors.long0 : selectors.code0;
  m.write(places.data, [...show(0, 1), ...show(2, 2), ...iret]);
  m.gate(1, { selector: code, offset: places.data, type: 14 });
  m.onPortWrite = (port, value) => {
    if (port === 1) trapped.push(value - behind);
    if (port === 2) flags.push(value);
  };
  return { m, trapped, flags };
}

/** Where the debug traps of a program come, as offsets in it, when TF is set before it. */
function traps(...program: number[]): number[] {
  const { m, trapped } = stepped();
  m.program(...setTrap, ...program, ...END);
  m.run();
  return trapped;
}

test('single step: a trap behind each instruction, the first behind the one after POPF', (t) => {
  t.deepEqual(traps(NOP, NOP), [1, 2]);
});

test('single step: DR6.BS is set; the handler runs without TF, the image has it', (t) => {
  const m = new TestMachine('long');
  const { vector, frame } = m.runToHandler(...setTrap, NOP);
  t.is(vector, 1);
  t.is(frame[2], TF | 2);
  t.is(m.vcpu.rflags & TF, 0);
  t.is(m.vcpu.get32(DR6) & 0xe00f, 0x4000);
});

test('single step: jumps, taken and not, calls and returns', (t) => {
  // JMP +1; NOP; JZ +0; CALL next; POP RAX
  t.deepEqual(traps(0xeb, 1, NOP, 0x74, 0, 0xe8, 0, 0, 0, 0, 0x58), [3, 5, 10, 11]);
  // CALL +2; JMP +1; RET
  t.deepEqual(traps(0xe8, 2, 0, 0, 0, 0xeb, 1, 0xc3), [7, 5, 8]);
});

test('single step: POPF that clears TF is the last one', (t) => {
  // PUSH 2; POPF; NOP
  t.deepEqual(traps(0x6a, 2, 0x9d, NOP), [2, 3]);
});

test('single step: a repeated string instruction traps behind each element', (t) => {
  // MOV ECX, 3; LEA RDI, [RSP - 64]; REP STOSB
  const program = [0xb9, 3, 0, 0, 0, 0x48, 0x8d, 0x7c, 0x24, 0xc0, 0xf3, 0xaa];
  t.deepEqual(traps(...program), [5, 10, 10, 10, 12]);
});

test('single step: not behind MOV SS, but behind the instruction after it', (t) => {
  // MOV SS, EBX; NOP; NOP
  const { m, trapped } = stepped();
  m.vcpu.setGpr(3, BigInt(selectors.data0));
  m.program(...setTrap, 0x8e, 0xd3, NOP, NOP, ...END);
  m.run();
  t.deepEqual(trapped, [3, 4]);
});

test('single step: behind STI as well, though interrupts still wait', (t) => {
  t.deepEqual(traps(0xfb, NOP), [1, 2]);
});

test('single step: INT n goes to its handler without a trap', (t) => {
  const { m, trapped } = stepped();
  m.write(places.data + 0x100, [NOP, 0x48, 0xcf]);
  m.gate(0x80, { selector: selectors.long0, offset: places.data + 0x100, type: 14 });
  m.program(...setTrap, 0xcd, 0x80, NOP, NOP, ...END);
  m.run();
  // IRETQ, which sets TF, is followed by one instruction.
  t.deepEqual(trapped, [3, 4]);
});

test('single step: a fault goes to its handler without a trap', (t) => {
  const { m, trapped } = stepped();
  m.program(...setTrap, NOP, 0x0f, 0x0b);
  t.is(m.run(), exits.halt);
  t.deepEqual(trapped, [1]);
  t.is(m.vcpu.get64(layout.rip), BigInt(places.handlers + 96 + 1));
  t.is(m.stack(3)[2], TF | RF | 2);
});

test('single step: the trap comes before an external interrupt', (t) => {
  const { m } = stepped();
  m.touch();
  m.vcpu.rflags = IF;
  m.onPortWrite = () => {
    m.vcpu.set32(layout.interruptPending, 1);
    m.vcpu.stopSoon();
  };
  m.program(...setTrap, 0xe6, 3, NOP);
  t.is(m.vcpu.run(0, 100), exits.budget);
  t.is(m.vcpu.elapsed, 4);
  t.is(m.vcpu.get64(layout.rip), BigInt(places.data));
  t.is(m.stack(1)[0], behind + 2);
});

test('single step: HLT is left by its trap', (t) => {
  const { m, trapped } = stepped();
  m.program(...setTrap, HLT, NOP, HLT);
  t.is(m.run(50), exits.budget);
  t.deepEqual(trapped.slice(0, 3), [1, 2, 3]);
});

test('single step: no time passes by it but the handler’s', (t) => {
  const plain = new TestMachine('long');
  plain.program(...Array.from({ length: 20 }, () => NOP));
  plain.run(10);
  const m = new TestMachine('long');
  m.touch();
  m.gate(1, { selector: selectors.long0, offset: places.data, type: 14 });
  m.write(places.data, [0x48, 0xcf]);
  m.vcpu.rflags = TF;
  m.program(...Array.from({ length: 20 }, () => NOP));
  // Each NOP with the IRET of its trap.
  t.is(m.vcpu.run(0, 20), exits.budget);
  t.is(m.vcpu.elapsed, 20);
  t.is(m.vcpu.retired, 20);
  t.is(m.vcpu.get64(layout.rip), plain.vcpu.get64(layout.rip));
});

test('single step: SYSCALL and SYSRET trap when the flags that they set have TF', (t) => {
  const start = () => {
    const { m, trapped } = stepped();
    const code = m.describe(m.descriptor(selectors.long0), m.descriptor(selectors.data0));
    const user = m.describe(0n, m.descriptor(selectors.data3), m.descriptor(selectors.long3));
    m.vcpu.set64(layout.efer, 0x501n);
    m.vcpu.set64(layout.star, (BigInt(user | 3) << 48n) | (BigInt(code) << 32n));
    m.vcpu.set64(layout.lstar, BigInt(behind + 0x40));
    m.write(behind + 0x40, [NOP, ...END]);
    return { m, trapped };
  };
  for (const mask of [0n, BigInt(TF)]) {
    const { m, trapped } = start();
    m.vcpu.set64(layout.sfmask, mask);
    m.program(...setTrap, 0x0f, 0x05, NOP);
    t.is(m.run(), ended);
    t.deepEqual(trapped, mask === 0n ? [0x40, 0x41] : []);
  }
  const { m, trapped } = start();
  m.vcpu.setGpr(1, BigInt(behind + 0x40));
  m.vcpu.setGpr(11, BigInt(TF | 0x3002));
  m.program(0x48, 0x0f, 0x07);
  t.is(m.run(), ended);
  t.deepEqual(trapped, [0x40, 0x41]);
});

test('protected mode: single step', (t) => {
  const { m, trapped, flags } = stepped('protected');
  m.program(0x9c, 0x66, 0x81, 0x0c, 0x24, 0x00, 0x01, 0x9d, NOP, NOP, ...END);
  t.is(m.run(), ended);
  t.deepEqual(trapped, [1, 2]);
  t.is(flags[0], TF | 2);
});

test('real mode: single step through IVT entry 1', (t) => {
  const m = new TestMachine('real');
  m.vcpu.rflags = TF;
  const { vector, frame } = m.runToHandler(NOP, NOP);
  t.is(vector, 1);
  t.deepEqual(frame.slice(0, 3), [places.code + 1, 0, TF | 2]);
});

test('STI: an interrupt that waits is taken behind the next instruction', (t) => {
  const m = new TestMachine('long');
  m.vcpu.set32(layout.interruptPending, 1);
  m.program(0xfb, NOP, NOP);
  t.is(m.vcpu.run(0, 100), exits.budget);
  t.is(m.vcpu.elapsed, 2);
  t.is(m.vcpu.get32(layout.shadow), 0);
  // With IF set already there is no shadow.
  m.vcpu.set64(layout.rip, BigInt(places.code));
  m.vcpu.set32(layout.interruptPending, 0);
  m.run(1);
  t.is(m.vcpu.get32(layout.shadow), 0);
});

test('STI and MOV SS at the end of a run: the shadow holds for the first instruction of the next', (t) => {
  for (const [program, kind] of [
    [[0xfb], layout.shadows.sti],
    [[0x8e, 0xd3], layout.shadows.stack],
    [[0x53, 0x17], layout.shadows.stack],
  ] as const) {
    const m = new TestMachine(program.length === 2 && program[1] === 0x17 ? 'protected' : 'long');
    m.vcpu.setGpr(3, BigInt(selectors.data0));
    m.program(...program, NOP, NOP);
    m.run(program[1] === 0x17 ? 2 : 1);
    t.is(m.vcpu.get32(layout.shadow), kind);
    m.vcpu.rflags = IF;
    m.vcpu.set32(layout.interruptPending, 1);
    m.vcpu.run(0, 100);
    t.is(m.vcpu.elapsed, 1);
    t.is(m.vcpu.get32(layout.shadow), 0);
  }
});

test('POPF: an interrupt that waits is taken right behind it', (t) => {
  const m = new TestMachine('long');
  m.touch();
  m.vcpu.set32(layout.interruptPending, 1);
  // PUSH 0x202; POPF
  m.program(0x68, 0x02, 0x02, 0, 0, 0x9d, NOP);
  m.vcpu.run(0, 100);
  t.is(m.vcpu.elapsed, 2);
});

test('POPF: RFLAGS.AC takes effect at once', (t) => {
  const m = new TestMachine('long');
  m.vcpu.set64(layout.cr0, 0x8005_0011n);
  m.atLevel(3);
  // PUSH AC; POPF; MOV AX, [RSP - 33]
  const push = [0x68, 0, 0, AC >> 16, 0, 0x9d];
  const { vector, frame } = m.runToHandler(...push, 0x66, 0x8b, 0x44, 0x24, 0xdf);
  t.deepEqual([vector, frame[0], frame[1]], [17, 0, places.code + 6]);
});

test('RF set by IRET is gone behind the next instruction', (t) => {
  const m = new TestMachine('long');
  const top = places.stacks[0] - 40;
  [places.data, selectors.long0, RF | 2, places.stacks[0], selectors.data0].forEach((item, i) => {
    m.put(top + 8 * i, 8, item);
  });
  m.vcpu.setGpr(4, BigInt(top));
  m.program(0x48, 0xcf);
  m.write(places.data, [NOP, NOP]);
  m.run(1);
  t.is(m.vcpu.rflags, RF | 2);
  m.run(1);
  t.is(m.vcpu.rflags, 2);
  // And within one run.
  m.vcpu.set64(layout.rip, BigInt(places.code));
  m.vcpu.setGpr(4, BigInt(top));
  m.run(2);
  t.is(m.vcpu.rflags, 2);
});

test('between the elements of a repeated instruction RF is set', (t) => {
  const m = new TestMachine('protected');
  m.touch();
  m.vcpu.setGpr(1, 5n);
  m.vcpu.setGpr(7, BigInt(places.data));
  m.program(0xf3, 0xaa, HLT);
  m.run(2);
  t.is(m.vcpu.rflags & RF, RF);
  t.is(m.vcpu.gpr(1), 3n);
});

test('a state saved in the middle of a shadow or a pending trap goes on the same', (t) => {
  const make = () => {
    const { m, trapped } = stepped();
    m.vcpu.setGpr(3, BigInt(selectors.data0));
    m.program(...setTrap, 0x8e, 0xd3, NOP, NOP, ...END);
    m.run(4);
    return { m, trapped };
  };
  const [first, second] = [make(), make()];
  t.is(first.m.vcpu.get32(layout.shadow), layout.shadows.stack);
  const writer = new StateWriter();
  first.m.vcpu.saveState(writer);
  const bytes = writer.finish();
  second.m.vcpu.reset();
  second.m.vcpu.loadState(new StateReader(bytes));
  first.m.run();
  second.m.run();
  t.deepEqual(second.trapped, [3, 4]);
  t.deepEqual(first.trapped, second.trapped);
  const ends = [first, second].map(({ m }) => {
    const end = new StateWriter();
    m.vcpu.saveState(end);
    return end.finish();
  });
  t.deepEqual(ends[0], ends[1]);
});
