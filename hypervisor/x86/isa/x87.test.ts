/** What recorded vectors cannot show of the x87: control registers, real mode, the order of responses, state in the middle. */
import test from 'ava';
import fc from 'fast-check';
import { StateReader, StateWriter } from '../../state/state.ts';
import { bias, integerBit } from '../core/float80.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import { CR0 } from '../mode.ts';
import { usualTranslation } from '../translate/options.ts';
import { codeAt, dataAt, deviceAt, FlatMachine, words } from './flatmachine.ts';

const machine = new FlatMachine();
const { vcpu } = machine;
const hex = (bytes: Iterable<number>) =>
  [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
const setCr0 = (bits: number) => vcpu.set64(layout.cr0, BigInt((CR0.PE | CR0.ET | bits) >>> 0));
const address32 = (address: number) => hex(new Uint8Array(Uint32Array.of(address).buffer));

test.beforeEach(() => machine.reset());

test.serial('FLD1, FLDPI, FADDP leave 1 + pi', (t) => {
  t.is(machine.run('d9 e8 d9 eb de c1'), undefined);
  t.deepEqual(machine.st(0), [bias + 2, 0x8487_ed51_10b4_611an]);
  t.is(machine.status, 0x3820);
});

test.serial('CR0.TS and CR0.EM make x87 instructions raise #NM, before a pending #MF', (t) => {
  for (const bit of [CR0.TS, CR0.EM]) {
    for (const code of ['d9 e8', 'db e3', 'd9 3f', 'dd 37', '0f ae 07']) {
      machine.reset();
      setCr0(bit | CR0.NE);
      vcpu.set32(layout.fcw, 0x37e);
      vcpu.set32(layout.fsw, 0x8081);
      t.is(machine.run(code), exceptions.NM, code);
    }
  }
});

test.serial('FWAIT raises #NM only with both CR0.MP and CR0.TS', (t) => {
  const cases: [number, number | undefined][] = [
    [CR0.TS, undefined],
    [CR0.MP, undefined],
    [CR0.MP | CR0.TS, exceptions.NM],
    [CR0.EM, undefined],
  ];
  for (const [bits, expected] of cases) {
    setCr0(bits);
    t.is(machine.run('9b'), expected);
  }
});

test.serial('an unmasked exception is raised by the next waiting instruction, not by others', (t) => {
  // Divide 1 by 0 with ZE unmasked: the operands stay.
  vcpu.set32(layout.fcw, 0x37b);
  t.is(machine.run('d9 ee d9 e8 d8 f1 dd 3f d9 e8'), exceptions.MF);
  t.is(Number(vcpu.get64(layout.rip)), codeAt + 8);
  t.is(machine.status, 0xb084);
  t.deepEqual(machine.st(0), [bias, integerBit]);
  t.is(machine.read(dataAt, 2)[0], 0x84);
  t.is(Number(vcpu.get64(layout.fip)), codeAt + 4);
});

test.serial('without CR0.NE a pending exception stops nothing', (t) => {
  setCr0(0);
  vcpu.set32(layout.fcw, 0x37b);
  t.is(machine.run('d9 ee d9 e8 d8 f1 d9 e8 9b'), undefined);
  t.is(machine.status & 0x80, 0x80);
});

test.serial('FLDCW that unmasks a flagged exception makes it pending, FNCLEX ends that', (t) => {
  machine.write(dataAt, [0x7b, 0x03]);
  t.is(machine.run('d9 ee d9 e8 d8 f1 d9 2f 9b'), exceptions.MF);
  machine.reset();
  machine.write(dataAt, [0x7b, 0x03]);
  t.is(machine.run('d9 ee d9 e8 d8 f1 d9 2f db e2 9b'), undefined);
  t.is(machine.status & 0x80ff, 0);
});

test.serial('unmasked overflow of a store leaves memory, stack and the other flags', (t) => {
  vcpu.set32(layout.fcw, 0x377);
  machine.write(dataAt, words(integerBit, BigInt(bias + 200)));
  machine.write(dataAt + 16, [1, 2, 3, 4]);
  t.is(machine.run('db 2f d9 5f 10'), undefined);
  t.deepEqual([...machine.read(dataAt + 16, 4)], [1, 2, 3, 4]);
  t.is(machine.status, 0xb888);
  t.deepEqual(machine.st(0), [bias + 200, integerBit]);
});

test.serial('nine loads overflow the stack: IE, SF, C1, and the indefinite when masked', (t) => {
  t.is(machine.run(Array(9).fill('d9 e8').join(' ')), undefined);
  t.is(machine.status, 0x3a41);
  t.deepEqual(machine.st(0), [0xffff, 3n << 62n]);
});

test.serial('pointers: FIP, FCS and FOP of any instruction, FDP and FDS of those with an operand', (t) => {
  t.is(machine.run('3e dd 47 08 d9 e8'), undefined);
  t.is(vcpu.get64(layout.fdp), BigInt(dataAt + 8));
  t.is(vcpu.get32(layout.fds), vcpu.segment(layout.DS).selector);
  t.is(vcpu.get64(layout.fip), BigInt(codeAt + 4));
  t.is(vcpu.get32(layout.fcs), vcpu.segment(layout.CS).selector);
  t.is(vcpu.get32(layout.fop), 0x1e8);
});

test.serial('FNSAVE writes the 32-bit protected format and initializes; FRSTOR takes it up', (t) => {
  t.is(machine.run('d9 e8 d9 eb dd 07 dd b7 00 01 00 00'), undefined);
  const area = machine.read(dataAt + 0x100, 108);
  const view = new DataView(area.buffer);
  t.deepEqual(
    [0, 4, 8, 12, 16, 20, 24].map((at) => view.getUint32(at, true)),
    [
      0xffff_037f,
      0xffff_2800,
      // ST(2) is 1, ST(1) pi, ST(0) the zero in memory.
      0xffff_07ff,
      codeAt + 4,
      (0x507 << 16) | vcpu.segment(layout.CS).selector,
      dataAt,
      0xffff_0000 + vcpu.segment(layout.DS).selector,
    ],
  );
  t.is(view.getUint16(28 + 10 + 8, true), bias + 1);
  t.deepEqual([machine.status, vcpu.get32(layout.fcw), vcpu.get32(layout.ftag)], [0, 0x37f, 0]);
  t.is(machine.run('dd a7 00 01 00 00'), undefined);
  t.is(machine.status, 0x2800);
  t.is(vcpu.get32(layout.ftag), 0xe0);
  t.deepEqual(machine.st(2), [bias, integerBit]);
});

test.serial('FNSTENV in real mode has linear addresses and the opcode', (t) => {
  vcpu.set64(layout.cr0, BigInt(CR0.ET | CR0.NE));
  for (const number of [layout.CS, layout.DS]) {
    const selector = number === layout.CS ? 0x1000 : 0x2000;
    const attributes = number === layout.CS ? 0x9b : 0x93;
    vcpu.setSegment(number, { selector, base: BigInt(selector << 4), limit: 0xffff, attributes });
  }
  vcpu.stateChanged();
  const run = (code: string) => {
    machine.write(codeAt, [...code.split(' ').map((byte) => Number.parseInt(byte, 16)), 0xf4]);
    vcpu.set64(layout.rip, 0n);
    vcpu.setGpr(7, 0x34n);
    return machine.goOn();
  };
  // fld qword [di], fnstenv [di+0x20], and the 32-bit format at [di+0x40]
  t.is(run('dd 05 d9 75 20 66 d9 75 40'), undefined);
  const narrow = new DataView(machine.read(dataAt + 0x54, 14).buffer);
  t.deepEqual(
    [6, 8, 10, 12].map((at) => narrow.getUint16(at, true)),
    [codeAt & 0xffff, ((codeAt >> 4) & 0xf000) | 0x505, (dataAt + 0x34) & 0xffff, (dataAt >> 4) & 0xf000],
  );
  const wide = new DataView(machine.read(dataAt + 0x74, 28).buffer);
  t.deepEqual(
    [12, 16, 20, 24].map((at) => wide.getUint32(at, true)),
    [0xffff_0000 + (codeAt & 0xffff), ((codeAt >> 16) << 12) | 0x505, 0xffff_0034, (dataAt >> 16) << 12],
  );
  // FLDENV takes them up again.
  t.is(run('db e3 d9 65 20'), undefined);
  t.is(vcpu.get64(layout.fip), BigInt(codeAt));
  t.is(vcpu.get64(layout.fdp), BigInt(dataAt + 0x34));
  t.is(vcpu.get32(layout.fop), 0x505);
});

test.serial('opcodes that are no instruction raise #UD, the aliases of processors do not', (t) => {
  for (const code of [
    'd9 0f',
    'd9 d1',
    'd9 e2',
    'd9 ef',
    'da e0',
    'da e8',
    'db e5',
    'db f8',
    'db 27',
    'dd f0',
    'de d8',
    'df e1',
    'df f8',
  ])
    t.is(machine.run(code), exceptions.UD, code);
  for (const code of [
    'd9 d8',
    'dc d0',
    'dc d8',
    'dd c8',
    'de d0',
    'df c0',
    'df c8',
    'df d0',
    'df d8',
    'db e0',
    'db e1',
    'db e4',
  ])
    t.is(machine.run(code), undefined, code);
});

test.serial('operands may be device registers', (t) => {
  machine.deviceWrites.length = 0;
  const code = `db 05 ${address32(deviceAt)} db 3d ${address32(deviceAt + 16)}`;
  t.is(machine.run(code), undefined);
  const bytes = new Map(machine.deviceWrites);
  t.is(machine.st(7)[0], bias + 30);
  t.true(bytes.has(deviceAt + 16) && bytes.has(deviceAt + 24));
});

test.serial('a state saved in the middle goes on equally', (t) => {
  // Sums 1/n for 200 n: fldz; mov ecx,200; L: push ecx; fld1; fidiv [esp]; faddp; pop ecx; dec ecx; jnz L
  const code = 'd9 ee b9 c8 00 00 00 51 d9 e8 da 34 24 de c1 59 49 75 f4';
  const saved = (each: FlatMachine) => {
    const writer = new StateWriter();
    each.vcpu.saveState(writer);
    return Buffer.from(writer.finish());
  };
  t.is(machine.run(code, 700), undefined);
  const other = new FlatMachine();
  other.write(codeAt, machine.read(codeAt, 64));
  other.write(0xe000, machine.read(0xe000, 4096));
  other.vcpu.loadState(new StateReader(saved(machine)));
  t.deepEqual(saved(other), saved(machine));
  t.is(machine.goOn(), undefined);
  t.is(other.goOn(), undefined);
  t.deepEqual(saved(other), saved(machine));
  t.is(machine.st(0)[0], bias + 2);
});

test.serial('translated code gives the same state as interpreted code', (t) => {
  const translating = new FlatMachine(usualTranslation);
  // A recurrence with loads, stores, arithmetic, a comparison and a conditional move, often enough to be translated.
  const program = 'd9 e8 b9 20 4e 00 00 dd 07 d8 c9 dc 47 08 d9 fa db f1 db d1 d9 57 10 dd d9 ff c9 75 ea';
  const states = [machine, translating].map((each) => {
    each.reset(true);
    each.write(dataAt, words(0x3ff8_0000_0000_0001n, 0x4009_21fb_5444_2d18n, 0n));
    // Translation happens between runs.
    each.run(program, 5000);
    while (each.vcpu.get32(layout.halted) === 0) each.goOn(5000);
    const registers = hex(each.vcpu.bytes(layout.fpr, 128));
    const pointers = [layout.fip, layout.fdp].map((field) => each.vcpu.get64(field));
    return [each.status, registers, pointers, each.vcpu.gpr(1), hex(each.read(dataAt, 32))];
  });
  t.deepEqual(states[1], states[0]);
  t.is(states[0]![3], 0n);
  t.true(translating.vcpu.engine.translator.counters.regions > 0);
});

test.serial('no x87 instruction, operand or state crashes or hangs', (t) => {
  const opcode = fc.tuple(fc.integer({ min: 0xd8, max: 0xdf }), fc.integer({ min: 0, max: 255 }));
  const program = fc.array(opcode, { minLength: 1, maxLength: 12 });
  const setup = fc.record({
    fcw: fc.integer({ min: 0, max: 0xffff }),
    fsw: fc.integer({ min: 0, max: 0xffff }),
    tags: fc.integer({ min: 0, max: 255 }),
    registers: fc.uint8Array({ minLength: 128, maxLength: 128 }),
    base: fc.constantFrom(dataAt, dataAt + 0xffd, deviceAt - 5, deviceAt, 0xffff_fff8, 0xffff_fff0),
  });
  fc.assert(
    fc.property(program, setup, (bytes, { fcw, fsw, tags, registers, base }) => {
      machine.reset();
      vcpu.set32(layout.fcw, (fcw & 0x1f3f) | 0x40);
      vcpu.set32(layout.fsw, fsw & 0x477f);
      vcpu.set32(layout.ftop, (fsw >> 11) & 7);
      vcpu.set32(layout.ftag, tags);
      vcpu.bytes(layout.fpr, 128).set(registers);
      for (let i = 0; i < 8; i++) if (i !== 4) vcpu.setGpr(i, BigInt(base >>> 0));
      machine.write(codeAt, [...bytes.flat(), ...Array(16).fill(0xf4)]);
      vcpu.set64(layout.rip, BigInt(codeAt));
      // Bytes taken as addresses shift what follows, so other instructions may be met: any end is right.
      vcpu.run(0, 1000);
      return vcpu.get32(layout.ftop) < 8 && (vcpu.get32(layout.ftag) & ~0xff) === 0;
    }),
    { seed: 80387, numRuns: 3000 },
  );
  t.pass();
});
