/** Regions that span pages, in a machine that executes them. */
import test from 'ava';
import type { VcpuHost } from '../engine.ts';
import * as exits from '../exits.ts';
import { codeAt, dataAt, FlatMachine } from '../isa/flatmachine.ts';
import * as layout from '../layout.ts';
import { usualTranslation } from './options.ts';

const none = { most: 0, largestCalled: 0, deepestCall: 0 };
const options = {
  ...usualTranslation,
  hotAfter: 5,
  cold: 1,
  busyAfter: 10,
  patience: 0,
  firstCopies: none,
  largeCopies: { most: 200, largestCalled: 100, deepestCall: 3 },
};
const never = 1 << 30;
const functionAt = codeAt + 0x1000;
const calls = 5000;

const bytes = (hex: string) => hex.split(' ').map((each) => Number.parseInt(each, 16));

/** A loop that goes to the next page by an instruction whose opcode is `goes`, and what it finds there: executed as far as it goes in 150 turns. */
function loop(translate: typeof options | false, goes: number, next: readonly number[]): FlatMachine {
  const machine = new FlatMachine(translate);
  machine.reset(true);
  // MOV ECX, n; L: CALL or JMP; DEC ECX; JNZ L; HLT
  const turn = [goes, ...bytes('f6 0f 00 00 ff c9 75 f7')];
  machine.write(codeAt, [0xb9, calls & 255, calls >> 8, 0, 0, ...turn, 0xf4]);
  machine.write(functionAt, next);
  const { vcpu } = machine;
  vcpu.setGpr(0, 0n);
  vcpu.set64(layout.rip, BigInt(codeAt));
  for (let turn = 0; turn < 150; turn++) {
    const exit = vcpu.run(0, 100);
    if (exit !== exits.budget) throw new Error(`stopped with exit ${exit}`);
  }
  return machine;
}

/** A loop that calls a function in the next page, which adds 3 to EAX so many times. */
function called(translate: typeof options | false, times = 1): FlatMachine {
  return loop(translate, 0xe8, [...Array.from({ length: times }, () => bytes('83 c0 03')).flat(), 0xc3]);
}

test('a function in another page is copied to where it is called, and control stays in the region', (t) => {
  const machine = called(options);
  const { translator } = machine.engine.counters;
  t.true(translator.inlined > 0);
  const interpreted = called(false);
  t.is(machine.vcpu.gpr(0), interpreted.vcpu.gpr(0));
  t.is(machine.vcpu.get64(layout.rip), interpreted.vcpu.get64(layout.rip));
  t.true(machine.vcpu.translatedInstructions > 10_000);
});

test('a function that takes longer than what is left of the time is not begun', (t) => {
  // Beyond so many instructions a region looks again whether its budget reaches; here, as it goes over to the other page.
  const anyLength = { ...options, largeCopies: { ...options.largeCopies, largestCalled: 400 } };
  for (const times of [20, 90, 126, 127, 128, 200]) {
    const machine = called(anyLength, times);
    t.true(machine.engine.counters.translator.inlined > 0);
    const interpreted = called(false, times);
    t.is(machine.vcpu.gpr(0), interpreted.vcpu.gpr(0));
    t.is(machine.vcpu.get64(layout.rip), interpreted.vcpu.get64(layout.rip));
  }
});

test('a first region copies small functions, and stays a first one', (t) => {
  const first = { ...options, busyAfter: never, firstCopies: { most: 10, largestCalled: 2, deepestCall: 1 } };
  // ADD and RET; with another ADD it is too large.
  const small = called(first);
  t.true(small.engine.counters.translator.inlined > 0);
  t.is(small.vcpu.gpr(0), called(false).vcpu.gpr(0));
  t.is(called(first, 2).engine.counters.translator.inlined, 0);
  t.is(called({ ...options, busyAfter: never }).engine.counters.translator.inlined, 0);
  const both = called({ ...first, busyAfter: options.busyAfter });
  t.true(both.engine.counters.translator.inlined > small.engine.counters.translator.inlined);
});

test('a first region goes on where jumps to other pages lead', (t) => {
  // ADD EAX, 3; JMP back
  const jumps = (translate: typeof options | false) =>
    loop(translate, 0xe9, bytes('83 c0 03 e9 02 f0 ff ff'));
  const machine = jumps({ ...options, busyAfter: never });
  const interpreted = jumps(false);
  t.is(machine.vcpu.gpr(0), interpreted.vcpu.gpr(0));
  t.is(machine.vcpu.get64(layout.rip), interpreted.vcpu.get64(layout.rip));
  const { engine } = machine;
  const other = machine.codePage(functionAt);
  t.true(engine.translator.isTranslated(other, 0));
  engine.code.onCorrected(machine.codePage(codeAt));
  t.false(engine.translator.isTranslated(other, 0));
});

/**
 * Loops with an instruction that reaches into the next page: M: ADD EAX, 3, of which the 3 is there. Control comes to it from the
 * instruction before alone, by a jump to the middle of the loop as well, or by one from elsewhere, as RSI says.
 */
const loops = {
  // B: MOV ECX, 3; NOP; NOP; L: INC EDX; M; DEC ECX; JNZ L; JMP B
  straight: 'b9 03 00 00 00 90 90 ff c2 83 c0 03 ff c9 75 f7 eb ee',
  // The same with JMP M instead of NOPs
  jump: 'b9 03 00 00 00 eb 02 ff c2 83 c0 03 ff c9 75 f7 eb ee',
  // B: INC ECX; TEST CL, 1; JZ M; INC EDX; M; JMP RSI
  elsewhere: 'ff c1 f6 c1 01 74 02 ff c2 83 c0 03 ff e6',
};

/** Executes such a loop. Before some turns of 1 to 99 instructions the byte in the next page changes: it is a page with other content. */
function crossing(
  translate: typeof options | false,
  kind: keyof typeof loops,
  changes: Readonly<Record<number, number>> = {},
): FlatMachine {
  const machine = new FlatMachine(translate);
  machine.reset(true);
  const { vcpu } = machine;
  const start = functionAt - 11;
  machine.write(start, bytes(loops[kind]));
  for (const register of [0, 1, 2]) vcpu.setGpr(register, 0n);
  vcpu.set64(layout.rip, BigInt(start));
  for (let turn = 0; turn < 150; turn++) {
    vcpu.setGpr(6, BigInt(turn > 50 && turn % 2 === 0 ? functionAt - 2 : start));
    const changed = changes[turn];
    if (changed !== undefined) machine.write(functionAt, [changed]);
    const exit = vcpu.run(0, 1 + (turn % 99));
    if (exit !== exits.budget) throw new Error(`stopped with exit ${exit}`);
  }
  return machine;
}

/** What the loop has done. */
function done({ vcpu }: FlatMachine) {
  return [vcpu.gpr(0), vcpu.gpr(1), vcpu.gpr(2), vcpu.get64(layout.rip), vcpu.retired];
}

const firstOnly = { ...options, busyAfter: never };

test('an instruction that reaches into the next page is translated, and control goes on there', (t) => {
  const machine = crossing(firstOnly, 'straight');
  t.deepEqual(done(machine), done(crossing(false, 'straight')));
  const { engine } = machine;
  // The interpreter executes what is left of each budget.
  t.true(machine.vcpu.translatedInstructions > 0.9 * Number(machine.vcpu.retired));
  // Its region has code of the next page, with that instruction's constants.
  const page = machine.codePage(codeAt);
  t.true(engine.translator.isTranslated(page, 0xffc));
  engine.code.onCorrected(machine.codePage(functionAt));
  t.false(engine.translator.isTranslated(page, 0xffc));
});

test('where another page follows, what reaches into it is another instruction', (t) => {
  for (const kind of ['straight', 'jump', 'elsewhere'] as const) {
    for (const changed of [5, 0x83]) {
      const changes = { 100: changed };
      t.deepEqual(done(crossing(firstOnly, kind, changes)), done(crossing(false, kind, changes)));
    }
  }
});

test('of the pages that have followed, it is the present one whose instruction is translated', (t) => {
  const changes = { 6: 5, 9: 3 };
  const machine = crossing({ ...firstOnly, hotAfter: 50 }, 'straight', changes);
  t.deepEqual(done(machine), done(crossing(false, 'straight', changes)));
  t.true(machine.vcpu.translatedInstructions > 1000);
});

test('an access of an instruction that reaches into the next page is in no group', (t) => {
  const machine = new FlatMachine(firstOnly);
  machine.reset(true);
  // L: MOV EAX, [RBX + 0]; MOV EDX, [RBX + 8]; JMP L: the two lie in two pages
  machine.write(functionAt - 2, bytes('8b 43 00 8b 53 08 eb f8'));
  machine.vcpu.setGpr(3, BigInt(dataAt + 0xffc));
  machine.vcpu.set64(layout.rip, BigInt(functionAt - 2));
  for (let turn = 0; turn < 150; turn++) t.is(machine.vcpu.run(0, 100), exits.budget);
  t.is(machine.engine.counters.translator.givenUp, 0);
  t.true(machine.vcpu.translatedInstructions > 10_000);
});

test('a first region leaves code that others have to them, however much it may copy', (t) => {
  const machine = new FlatMachine({
    ...options,
    cold: 3,
    busyAfter: never,
    firstCopies: options.largeCopies,
  });
  machine.reset(true);
  // B: MOV ECX, 50; L: DEC ECX; JNZ L; DEC EDX; JNZ B; HLT
  machine.write(codeAt, bytes('b9 32 00 00 00 ff c9 75 fc ff ca 75 f3 f4'));
  const { vcpu, engine } = machine;
  const { translator } = engine;
  vcpu.setGpr(2, 100n);
  vcpu.set64(layout.rip, BigInt(codeAt));
  vcpu.run(0, 20);
  const page = machine.codePage(codeAt);
  t.deepEqual([translator.isTranslated(page, 5), translator.isTranslated(page, 0)], [true, false]);
  const { translated } = translator.counters.ends;
  while (!translator.isTranslated(page, 0)) t.is(vcpu.run(0, 100), exits.budget);
  t.is(translator.counters.ends.translated, translated + 1);
});

test('functions that are larger than allowed are not copied', (t) => {
  for (const less of [{ largestCalled: 1 }, { deepestCall: 0 }]) {
    const machine = called({ ...options, largeCopies: { ...options.largeCopies, ...less } });
    t.is(machine.engine.counters.translator.inlined, 0);
  }
});

test('code that became hot on a vCPU that is no more is translated without the pages around it', (t) => {
  const first = { ...options, patience: 1000, firstCopies: { most: 10, largestCalled: 2, deepestCall: 1 } };
  const inlined = (prepare: (machine: FlatMachine) => void) => {
    const machine = called(first);
    const { translator } = machine.engine;
    t.is(translator.counters.regions, 0);
    prepare(machine);
    translator.workAll();
    t.true(translator.counters.regions > 0);
    return translator.counters.inlined;
  };
  t.true(inlined(() => {}) > 0);
  t.is(
    inlined(({ engine }) => engine.unregister(engine.register({} as VcpuHost))),
    0,
  );
});

test('when a page is decoded anew with other constants, regions that have code of it are given up', (t) => {
  const machine = called(options);
  const { translator, code } = machine.engine;
  const caller = machine.codePage(codeAt);
  t.true(translator.isTranslated(caller, 5));
  code.onCorrected(caller);
  t.true(translator.isTranslated(caller, 5));
  code.onCorrected(machine.codePage(functionAt));
  t.false(translator.isTranslated(caller, 5));
});
