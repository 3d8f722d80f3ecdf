/** The recorded vectors against the manual: computed here by hand, apart from any emulator. */
import test from 'ava';
import { formatVersion } from './format.ts';
import { baseImage, fxOffset, imageOffset } from './image.ts';
import { cpuState } from './layout.ts';
import { loadVectors, recordedFamilies } from './load.ts';

const rax = 0;
const flags = { cf: 1, pf: 4, af: 0x10, zf: 0x40, sf: 0x80, of: 0x800 };
const statusFlags = 0x8d5;

const completed = (family: string) =>
  loadVectors(family).vectors.filter(({ exception }) => exception === undefined);

/** PF, ZF and SF of a result of eight bits. */
function resultFlags8(result: number): number {
  let ones = 0;
  for (let bit = 0; bit < 8; bit++) ones += (result >> bit) & 1;
  return (ones % 2 === 0 ? flags.pf : 0) | (result === 0 ? flags.zf : 0) | (result & 0x80);
}

test('files say what they are, and there are enough vectors', (t) => {
  let count = 0;
  for (const family of recordedFamilies()) {
    const { header, vectors } = loadVectors(family);
    t.is(header.family, family);
    t.is(header.layout, family.endsWith('-long') ? 'long' : 'legacy');
    t.regex(header.processor, /^GenuineIntel /);
    t.is(header.count, vectors.length);
    t.true(vectors.length >= 100, family);
    count += vectors.length;
  }
  t.is(formatVersion, 1);
  t.true(count >= 40_000);
});

test('a vector without exception ends before a HLT', (t) => {
  for (const family of ['arithmetic-long', 'branch-compat16', 'sequence-integer-long']) {
    for (const { before, after, code } of completed(family)) {
      const end = Number(cpuState(after).rip - cpuState(before).rip);
      if (end >= 0 && end < code.length) t.is(code[end], 0xf4);
    }
  }
  t.pass();
});

// SDM vol. 2, ADD, OR, ADC, SBB, AND, SUB, XOR, CMP: opcodes 04, 0c, 14, … 3c on AL and an immediate.
for (const mode of ['long', 'compat32', 'compat16']) {
  test(`AL with an immediate gives the sums and flags of the manual (${mode})`, (t) => {
    let checked = 0;
    for (const { code, before, after } of completed(`arithmetic-${mode}`)) {
      if (code.length !== 2 || (code[0]! & 0xc7) !== 4) continue;
      const operation = code[0]! >> 3;
      const a = Number(cpuState(before).gpr[rax]! & 0xffn);
      const b = code[1]!;
      const carryIn = operation === 2 || operation === 3 ? cpuState(before).rflags & 1 : 0;
      const subtract = operation === 3 || operation === 5 || operation === 7;
      const logical = [a | b, a & b, a ^ b][[1, 4, 6].indexOf(operation)];
      const wide = logical ?? (subtract ? a - b - carryIn : a + b + carryIn);
      const result = wide & 0xff;
      let expected = resultFlags8(result);
      if (logical === undefined) {
        const signs = subtract ? (a ^ b) & (a ^ result) : ~(a ^ b) & (a ^ result);
        expected |=
          (wide < 0 || wide > 255 ? flags.cf : 0) | ((a ^ b ^ result) & flags.af) | ((signs & 0x80) << 4);
      }
      const undefinedFlags = logical === undefined ? 0 : flags.af;
      t.is((cpuState(after).rflags ^ expected) & statusFlags & ~undefinedFlags, 0);
      t.is(Number(cpuState(after).gpr[rax]! & 0xffn), operation === 7 ? a : result);
      checked++;
    }
    t.true(checked >= 8);
  });
}

test('CL counts of SHL of a byte are masked to five bits', (t) => {
  let checked = 0;
  for (const { code, before, after } of completed('shift-long')) {
    if (code.length !== 2 || code[0] !== 0xd2 || (code[1]! & 0xfc) !== 0xe0) continue; // SHL AL, CL, DL or BL
    const { gpr, rflags } = cpuState(before);
    const register = code[1]! & 3;
    const count = gpr[1]! & 31n;
    t.is(cpuState(after).gpr[register]! & 0xffn, ((gpr[register]! & 0xffn) << count) & 0xffn);
    if (count === 0n) t.is(cpuState(after).rflags, rflags);
    checked++;
  }
  t.true(checked > 0);
});

test('MUL and DIV of bytes give the product and the quotient, or #DE', (t) => {
  let products = 0;
  let quotients = 0;
  for (const { vectors } of ['long', 'compat32', 'compat16'].map((mode) => loadVectors(`multiply-${mode}`))) {
    for (const { code, before, after, exception } of vectors) {
      if (code.length !== 2 || code[0] !== 0xf6 || (code[1]! & 0xc7) < 0xc0) continue;
      const { gpr } = cpuState(before);
      const register = code[1]! & 7;
      const operand = Number((gpr[register & 3]! >> (register > 3 ? 8n : 0n)) & 0xffn);
      const ax = Number(gpr[rax]! & 0xffffn);
      const got = Number(cpuState(after).gpr[rax]! & 0xffffn);
      if (code[1]! >> 3 === 0x1c) {
        t.is(got, (ax & 0xff) * operand);
        t.is((cpuState(after).rflags & (flags.cf | flags.of)) !== 0, got > 255);
        products++;
      } else if (code[1]! >> 3 === 0x1e) {
        const fits = operand !== 0 && Math.floor(ax / operand) < 256;
        t.is(exception?.vector, fits ? undefined : 0);
        if (fits) t.is(got, Math.floor(ax / operand) | ((ax % operand) << 8));
        quotients++;
      }
    }
  }
  t.true(products > 5 && quotients > 5);
});

test('AAM divides AL by its immediate, and by zero raises #DE', (t) => {
  for (const { code, before, after, exception } of loadVectors('decimal-compat32').vectors) {
    if (code[0] !== 0xd4) continue;
    const al = Number(cpuState(before).gpr[rax]! & 0xffn);
    const base = code[1]!;
    t.is(exception?.vector, base === 0 ? 0 : undefined);
    if (base !== 0) {
      t.is(Number(cpuState(after).gpr[rax]! & 0xffffn), (Math.floor(al / base) << 8) | (al % base));
    }
  }
});

test('a write to a read-only page is error code 7, to an unmapped one 6, a fetch 0x14 or 0x15', (t) => {
  const seen = new Set<number>();
  for (const family of ['arithmetic-long', 'branch-long']) {
    for (const { exception, before, after } of loadVectors(family).vectors) {
      if (exception?.vector !== 14) continue;
      const { errorCode, cr2 } = exception;
      seen.add(errorCode);
      if (errorCode === 7)
        t.true(
          (cr2 >= 0x3c5a_1002_0000 && cr2 < 0x3c5a_1002_1000) ||
            (cr2 >= 0x3c5a_1000_0000 && cr2 < 0x3c5a_1000_2000),
        );
      // A fetch faults at RIP, or where the instruction goes on in the next page.
      if (errorCode >= 0x14) t.true(Math.abs(cr2 - Number(cpuState(after).rip)) < 15 && before.length > 0);
    }
  }
  t.deepEqual(
    [...seen].sort((a, b) => a - b),
    [4, 6, 7, 0x14, 0x15],
  );
});

const near = 0x6000; // MXCSR rounding control, 0: to nearest
const denormalModes = 0x8040; // FTZ and DAZ
const double = (bytes: Uint8Array, register: number) =>
  new DataView(bytes.buffer, bytes.byteOffset).getFloat64(fxOffset.xmm + 16 * register, true);

test('ADDSD, SUBSD, MULSD, DIVSD and SQRTSD round to nearest as IEEE 754 has it', (t) => {
  const operations: Record<number, (a: number, b: number) => number> = {
    88: (a, b) => a + b,
    92: (a, b) => a - b,
    89: (a, b) => a * b,
    94: (a, b) => a / b,
    81: (_, b) => Math.sqrt(b),
  };
  let checked = 0;
  for (const { code, before, after } of completed('double-compat32')) {
    const operation = operations[code[2]!];
    if (
      code.length !== 4 ||
      code[0] !== 0xf2 ||
      code[1] !== 0x0f ||
      operation === undefined ||
      code[3]! < 0xc0
    )
      continue;
    const { fxsave } = cpuState(before);
    const mxcsr = new DataView(fxsave.buffer).getUint32(fxOffset.mxcsr, true);
    if ((mxcsr & (near | denormalModes)) !== 0) continue;
    const [to, from] = [(code[3]! >> 3) & 7, code[3]! & 7];
    const expected = operation(double(fxsave, to), double(fxsave, from));
    const got = double(cpuState(after).fxsave, to);
    if (Number.isNaN(expected)) t.true(Number.isNaN(got));
    else t.is(got, expected);
    checked++;
  }
  t.true(checked > 5);
});

test('the x87 constants are those of the manual, rounded as the control word says', (t) => {
  // SDM vol. 1, section 8.3.8: internal 66-bit constants. Significands for rounding down; rounding to nearest or up where it differs.
  const constants: Record<number, [exponent: number, down: bigint, nearest: bigint, up: bigint]> = {
    232: [0x3fff, 1n << 63n, 1n << 63n, 1n << 63n],
    233: [0x4000, 0xd49a_784b_cd1b_8afen, 0xd49a_784b_cd1b_8afen, 0xd49a_784b_cd1b_8affn],
    235: [0x4000, 0xc90f_daa2_2168_c234n, 0xc90f_daa2_2168_c235n, 0xc90f_daa2_2168_c235n],
    238: [0, 0n, 0n, 0n],
  };
  let checked = 0;
  for (const { code, before, after } of completed('x87-move-long')) {
    const constant = constants[code[1]!];
    const { fxsave } = cpuState(before);
    const view = new DataView(fxsave.buffer);
    const top = (view.getUint16(fxOffset.fsw, true) >> 11) & 7;
    const full = ((fxsave[fxOffset.ftw]! >> ((top - 1) & 7)) & 1) !== 0; // would overflow the stack
    if (code[0] !== 0xd9 || constant === undefined || full) continue;
    const [exponent, down, nearest, up] = constant;
    const rounding = (view.getUint16(fxOffset.fcw, true) >> 10) & 3;
    const result = new DataView(cpuState(after).fxsave.buffer);
    t.is(result.getBigUint64(fxOffset.st, true), [nearest, down, up, down][rounding]!);
    t.is(result.getUint16(fxOffset.st + 8, true), exponent);
    checked++;
  }
  t.true(checked > 20);
});

// SDM vol. 2, "Flags Affected", by hand and apart from the generator's own table: what each mnemonic may leave undefined.
const { cf, pf, af, zf, sf, of } = flags;
const mayBeUndefined: Record<string, number> = {
  and: af,
  or: af,
  xor: af,
  test: af,
  mul: sf | zf | af | pf,
  imul: sf | zf | af | pf,
  div: cf | of | sf | zf | af | pf,
  idiv: cf | of | sf | zf | af | pf,
  bt: of | sf | af | pf,
  bts: of | sf | af | pf,
  btr: of | sf | af | pf,
  btc: of | sf | af | pf,
  bsf: cf | of | sf | af | pf,
  bsr: cf | of | sf | af | pf,
  aaa: of | sf | zf | pf,
  aas: of | sf | zf | pf,
  aam: of | af | cf,
  aad: of | af | cf,
  daa: of,
  das: of,
  shl: of | af | cf,
  sal: of | af | cf,
  shr: of | af | cf,
  sar: of | af,
  rol: of,
  ror: of,
  rcl: of,
  rcr: of,
  shld: of | af,
  shrd: of | af,
};

test('nothing is left out of the comparison but what the manual leaves undefined', (t) => {
  for (const family of recordedFamilies()) {
    for (const { encoding, rule, ignoredMemory } of loadVectors(family).vectors) {
      if (family.startsWith('sequence-')) continue;
      const mnemonic = encoding.split(' ')[0]!;
      t.is((rule.flags ?? 0) & ~(mayBeUndefined[mnemonic] ?? 0), 0, encoding);
      if (rule.statusWord !== undefined) t.is(rule.statusWord & ~0x4700, 0, encoding);
      if (rule.statusWord !== undefined) t.true(mnemonic.startsWith('f'), encoding);
      if (rule.lastPlace !== undefined)
        t.regex(mnemonic, /^(fsin|fcos|fsincos|fptan|fpatan|f2xm1|fyl2x|fyl2xp1)$/);
      if (rule.approximate !== undefined) t.regex(mnemonic, /^(rcp|rsqrt)[sp]s$/);
      if (ignoredMemory.length > 0) t.regex(mnemonic, /^(fnstenv|fnsave|fxsave|xsave)$/);
      t.is(rule.manual === '', Object.keys(rule).length === 1, encoding);
    }
  }
});

test('shifts by one leave OF defined, shifts by zero all flags', (t) => {
  for (const { encoding, rule } of loadVectors('shift-long').vectors) {
    if (/^(rol|ror|rcl|rcr) d[01]/.test(encoding)) t.is(rule.flags, undefined, encoding);
    if (/^(shl|sal|shr|sar) d[01]/.test(encoding)) t.is(rule.flags, af, encoding);
  }
  const byZero = loadVectors('shift-long').vectors.filter(
    ({ code }) => code[0] === 0xc0 && (code.at(-1)! & 31) === 0,
  );
  t.true(byZero.length > 0);
  for (const { rule } of byZero) t.is(rule.flags, undefined);
});

test('a seed gives the base image that the files were recorded with', (t) => {
  const image = baseImage(12345, 'x87');
  let hash = 0;
  for (const byte of image) hash = (Math.imul(hash, 31) + byte) | 0;
  t.is(hash, 970624248, 'base images have changed: all files must be recorded anew');
  t.is(image.length, imageOffset.fxsave + 512);
});
