/** Runs recorded vectors on an emulated CPU and says in words where it differs from the processor. */
import type { Run } from './bytes.ts';
import type { Vector } from './format.ts';
import { fxOffset } from './image.ts';
import { cpuState, type LayoutName, locate, physicalLayout } from './layout.ts';
import {
  segmentNames,
  type UserState,
  type VectorMachine,
  type VectorOutcome,
  type VectorState,
} from './machine.ts';

/** Encoding order. */
const registerNames = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');

const flagNames: readonly (readonly [string, number])[] = [
  ['CF', 0],
  ['PF', 2],
  ['AF', 4],
  ['ZF', 6],
  ['SF', 7],
  ['TF', 8],
  ['IF', 9],
  ['DF', 10],
  ['OF', 11],
  ['IOPL', 12],
  ['IOPL', 13],
  ['NT', 14],
  ['VM', 17],
  ['AC', 18],
  ['VIF', 19],
  ['VIP', 20],
  ['ID', 21],
];
// RF (bit 16) is set in the image that a fault pushes and clear in the register (SDM vol. 3, section 18.3.1.1): not compared.
const comparedFlags = flagNames.reduce((mask, [, bit]) => mask | (1 << bit), 0);

// The HLT behind every vector's code raises #GP(0) at CPL 3.
const haltOpcode = 0xf4;
const generalProtection = 13;
const pageFault = 14;

const hex = (value: number | bigint, digits = 1) => `0x${value.toString(16).padStart(digits, '0')}`;
const hexBytes = (bytes: Uint8Array) =>
  [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');

/** The linear address of a vector's code. */
export function codeLinear(before: Uint8Array): number {
  const { rip, segments } = cpuState(before);
  return Number(segments[1]!.base + rip);
}

/** The whole machine state that a vector starts from. */
export function vectorState(
  vector: Pick<Vector, 'before' | 'code' | 'patches'>,
  layout: LayoutName,
): VectorState {
  const physical = ({ at, bytes }: Run) => ({ address: locate(layout, at).physical, bytes });
  return {
    cpu: cpuState(vector.before),
    pages: physicalLayout(layout).pages,
    patches: [{ at: codeLinear(vector.before), bytes: vector.code }, ...vector.patches].map(physical),
  };
}

/** What a value should be and what it is. */
const difference = (name: string, expected: string, got: string) =>
  `${name} expected ${expected}, got ${got}`;

function describeException(exception: { vector: number; errorCode: number; cr2: number | bigint }): string {
  const { vector, errorCode, cr2 } = exception;
  return `exception ${vector}, error code ${hex(errorCode)}${vector === pageFault ? `, CR2 ${hex(cr2)}` : ''}`;
}

function compareException(vector: Vector, outcome: VectorOutcome): string[] {
  const expected = vector.exception ?? { vector: generalProtection, errorCode: 0, cr2: 0 };
  const got = outcome.exception;
  const words =
    vector.exception === undefined ? 'to run on to the HLT behind the code' : describeException(expected);
  if (got === undefined) return [difference('end', words, 'no exception within the instruction limit')];
  const same =
    got.vector === expected.vector &&
    got.errorCode === expected.errorCode &&
    (got.vector !== pageFault || got.cr2 === BigInt(expected.cr2));
  return same ? [] : [difference('end', words, describeException(got))];
}

function compareRegisters(vector: Vector, layout: LayoutName, got: UserState): string[] {
  const found: string[] = [];
  const expected = cpuState(vector.after);
  // In compatibility mode the upper halves and R8 to R15 are out of reach (SDM vol. 1, section 3.4.1.1).
  const [count, width] = layout === 'long' ? [16, 64] : [8, 32];
  const check = (name: string, want: bigint, have: bigint) => {
    if (BigInt.asUintN(width, want ^ have) !== 0n) found.push(difference(name, hex(want), hex(have)));
  };
  for (let i = 0; i < count; i++) {
    check(registerNames[i]!, expected.gpr[i]!, got.gpr[i]!);
  }
  check('rip', expected.rip, got.rip);
  for (const [index, name] of segmentNames.entries()) {
    const want = expected.segments[index]!;
    const have = got.segments[index]!;
    if (want.selector !== have.selector) {
      found.push(difference(name, hex(want.selector), hex(have.selector)));
    } else if (index >= 4) check(`${name} base`, want.base, have.base);
  }
  const wrong = (expected.rflags ^ got.rflags) & comparedFlags & ~(vector.rule.flags ?? 0);
  for (const [name, bit] of flagNames) {
    if (((wrong >>> bit) & 1) !== 0) {
      found.push(difference(name, `${(expected.rflags >>> bit) & 1}`, `${(got.rflags >>> bit) & 1}`));
    }
  }
  return found;
}

const fieldsBeforeSt: readonly (readonly [string, number, number])[] = [
  ['FCW', fxOffset.fcw, 2],
  ['FSW', fxOffset.fsw, 2],
  ['FTW', fxOffset.ftw, 1],
  ['FIP', fxOffset.fip, 8],
  ['MXCSR', fxOffset.mxcsr, 4],
];

function readInteger(bytes: Uint8Array, at: number, length: number): bigint {
  let value = 0n;
  for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i]!);
  return value;
}

// An 80-bit number as an integer that counts units in the last place.
function ordered(value: bigint): bigint {
  const magnitude = BigInt.asUintN(79, value);
  const exponent = magnitude >> 64n;
  const position =
    (exponent === 0n ? 1n : exponent) * (1n << 63n) + BigInt.asUintN(64, magnitude) - (1n << 63n);
  return value >> 79n === 0n ? position : -position;
}

function differByLastPlace(a: bigint, b: bigint): boolean {
  const distance = ordered(a) - ordered(b);
  return distance <= 1n && distance >= -1n;
}

// RCPPS and RSQRTPS: |relative error| ≤ 1.5 · 2^−12 for each, so two right results are at most 3 · 2^−12 apart.
function bothApproximate(want: bigint, have: bigint): boolean {
  const view = new DataView(new ArrayBuffer(8));
  view.setUint32(0, Number(want), true);
  view.setUint32(4, Number(have), true);
  const a = view.getFloat32(0, true);
  const b = view.getFloat32(4, true);
  return want === have || Math.abs(a - b) <= Math.abs(a) * 3 * 2 ** -12;
}

/*
 * Never compared: FOP and FDP, which the recording processors update only on unmasked x87 exceptions, and the selectors FCS and
 * FDS, which they deprecate (SDM vol. 1, sections 8.1.8 and 8.1.9; CPUID leaf 7, EBX bits 6 and 13).
 */
function compareFx(vector: Vector, layout: LayoutName, got: Uint8Array): string[] {
  const want = cpuState(vector.after).fxsave;
  const { rule } = vector;
  const found: string[] = [];
  const check = (
    name: string,
    at: number,
    length: number,
    mask = -1n,
    close?: (a: bigint, b: bigint) => boolean,
  ) => {
    const a = readInteger(want, at, length) & mask;
    const b = readInteger(got, at, length) & mask;
    if (a !== b && close?.(a, b) !== true)
      found.push(difference(name, hex(a, length * 2), hex(b, length * 2)));
  };
  for (const [name, at, length] of fieldsBeforeSt) {
    if (name === 'FSW') check(name, at, length, BigInt(~(rule.statusWord ?? 0) & 0xffff));
    else if (name === 'FIP' && layout !== 'long') check(name, at, 4);
    else check(name, at, length);
  }
  for (let i = 0; i < 8; i++) {
    const close = rule.lastPlace?.includes(i) === true ? differByLastPlace : undefined;
    check(`st${i}`, fxOffset.st + 16 * i, 10, -1n, close);
  }
  for (let i = 0; i < (layout === 'long' ? 16 : 8); i++) {
    const at = fxOffset.xmm + 16 * i;
    if (rule.approximate?.includes(i) === true) {
      for (let lane = 0; lane < 4; lane++) check(`xmm${i}[${lane}]`, at + 4 * lane, 4, -1n, bothApproximate);
    } else check(`xmm${i}`, at, 16);
  }
  return found;
}

const expectedMemory = new Map<number, Uint8Array>();

function compareMemory(vector: Vector, layout: LayoutName, machine: VectorMachine): string[] {
  const found: string[] = [];
  for (const { region, physical } of physicalLayout(layout).regions) {
    const length = region.pages * 4096;
    let expected = expectedMemory.get(length);
    if (expected === undefined) {
      expected = new Uint8Array(length);
      expectedMemory.set(length, expected);
    }
    for (const page of physicalLayout(layout).pages) {
      if (page.address >= physical && page.address < physical + length)
        expected.set(page.bytes, page.address - physical);
    }
    const put = ({ at, bytes }: Run) => {
      if (at >= region.linear && at < region.linear + length) expected.set(bytes, at - region.linear);
    };
    put({ at: codeLinear(vector.before), bytes: vector.code });
    vector.patches.forEach(put);
    vector.changes.forEach(put);
    const got = machine.memory(physical, length);
    if (Buffer.compare(expected, got) === 0) continue;
    const masks = new Map<number, number>();
    for (const { at, bytes } of vector.ignoredMemory) {
      for (const [i, mask] of bytes.entries()) masks.set(at + i, mask);
    }
    for (let i = 0; i < length; i++) {
      const linear = region.linear + i;
      const compared = 0xff & ~(masks.get(linear) ?? 0);
      if (((expected[i]! ^ got[i]!) & compared) === 0) continue;
      const end = Math.min(i + 16, length);
      const name = `memory at linear ${hex(linear)}`;
      found.push(difference(name, hexBytes(expected.subarray(i, end)), hexBytes(got.subarray(i, end))));
      break;
    }
  }
  return found;
}

/** The registers that a vector starts from, for a reader who looks for the cause of a difference. */
function describeBefore(vector: Vector, layout: LayoutName): string {
  const cpu = cpuState(vector.before);
  const registers = [...cpu.gpr.subarray(0, layout === 'long' ? 16 : 8)]
    .map((value, index) => `${registerNames[index]}=${value.toString(16)}`)
    .join(' ');
  const flags = flagNames.filter(([, bit]) => ((cpu.rflags >>> bit) & 1) !== 0).map(([name]) => name);
  const segments = cpu.segments.map(
    ({ selector, base }, i) =>
      `${segmentNames[i]}=${selector.toString(16)}${base === 0n ? '' : `@${base.toString(16)}`}`,
  );
  const memory = vector.patches.map(({ at, bytes }) => `[${hex(at)}]=${hexBytes(bytes)}`);
  return `${registers} rip=${cpu.rip.toString(16)} ${flags.join(' ')} ${segments.join(' ')} ${memory.join(' ')}`;
}

/**
 * Runs one vector and compares all that the manual defines. `undefined` when nothing differs; otherwise a text that names the instruction, each
 * difference, the code bytes and the state before.
 */
export function checkVector(vector: Vector, layout: LayoutName, machine: VectorMachine): string | undefined {
  const outcome = machine.run(vectorState(vector, layout), 100_000);
  const found = [
    ...compareException(vector, outcome),
    ...compareRegisters(vector, layout, outcome.cpu),
    ...compareFx(vector, layout, outcome.cpu.fxsave),
    ...compareMemory(vector, layout, machine),
  ];
  if (found.length === 0) return undefined;
  return [
    `after '${vector.text}' (${vector.encoding}):`,
    ...found.map((each) => `  ${each}`),
    `  code ${hexBytes(vector.code)} at ${hex(codeLinear(vector.before))}, seed ${vector.seed}`,
    `  before: ${describeBefore(vector, layout)}`,
  ].join('\n');
}

/** True when `byte` is the HLT that fills the code pages. */
export function isHalt(byte: number): boolean {
  return byte === haltOpcode;
}
