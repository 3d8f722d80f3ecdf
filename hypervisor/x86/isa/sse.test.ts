/**
 * SSE instructions as programs of a guest: native arithmetic against the exact routines, and when the registers are
 * available. What each instruction computes is held against recorded silicon in `vectors.test.ts`.
 */
import test from 'ava';
import { HostMemory } from '../../memory/hostmemory.ts';
import { type Operation, operations } from '../core/softarithmetic.ts';
import { Engine } from '../engine.ts';
import * as exceptions from '../exceptions.ts';
import { CR0, CR4 } from '../mode.ts';
import * as mxcsr from '../mxcsr.ts';
import { vectorState } from '../vectors/compare.ts';
import { emulatedMachine } from '../vectors/emulated.ts';
import { fxOffset } from '../vectors/image.ts';
import { layouts, locate } from '../vectors/layout.ts';
import { loadVectors } from '../vectors/load.ts';
import type { CpuState, VectorOutcome } from '../vectors/machine.ts';
import { seededRandom } from '../vectors/random.ts';

const machine = emulatedMachine();
const usual = vectorState(loadVectors('vector-move-long').vectors[0]!, 'long');
const [codeRegion, dataRegion, , stackRegion] = layouts.long;
const physicalData = locate('long', dataRegion.linear).physical;

/** Runs 64-bit code, which ends at the HLT behind it, with RSI at `data`. */
function run(
  code: readonly number[],
  data: Uint8Array,
  change: (cpu: CpuState) => void = () => {},
): VectorOutcome {
  const gpr = new BigUint64Array(16);
  gpr[4] = BigInt(stackRegion.linear + 4096);
  gpr[6] = BigInt(dataRegion.linear);
  const fxsave = usual.cpu.fxsave.slice();
  new DataView(fxsave.buffer).setUint32(fxOffset.mxcsr, mxcsr.initial, true);
  const cpu = { ...usual.cpu, gpr, fxsave, rip: BigInt(codeRegion.linear), rflags: 0x202 };
  change(cpu);
  const patches = [
    { address: locate('long', codeRegion.linear).physical, bytes: Uint8Array.from(code) },
    { address: physicalData, bytes: data },
  ];
  return machine.run({ cpu, pages: usual.pages, patches }, 1_000_000);
}

const engine = new Engine(new HostMemory(1 << 20, 4 << 20), () => 0n, 1 << 20);
type Lane = (operation: number, a: bigint, b: bigint, control: number) => [bigint, number];
const core = engine.core as unknown as { float32: Lane; float64: Lane };

/** Numbers of all sizes, many of which meet the ends of what is normal. */
function numbers(bits: 32 | 64, seed: number): () => bigint {
  const random = seededRandom(seed);
  const [fraction, bias] = bits === 32 ? [23n, 127] : [52n, 1023];
  const word = () => (BigInt(random.u32()) << 32n) | BigInt(random.u32());
  return () => {
    const kind = random.u32() % 8;
    const near = [1, bias, 2 * bias][random.u32() % 3]! + (random.u32() % 5) - 2;
    const anywhere = random.u32() % (2 * bias + 2);
    const exponent = BigInt(kind < 4 ? Math.max(near, 0) : kind < 7 ? anywhere : 0);
    const low = BigInt.asUintN(Number(fraction), word());
    const short = (low >> (fraction - 6n)) << (fraction - 6n);
    const f = [low, short, 0n, (1n << fraction) - 1n][random.u32() % 4]!;
    return (BigInt(random.u32() & 1) << BigInt(bits - 1)) | (exponent << fraction) | f;
  };
}

const records = 96;
const recordSize = 64;

/** A loop over records of MXCSR, first operand, second operand; result and MXCSR are stored behind them. */
function loopOver(instruction: readonly number[]): number[] {
  const body = [
    ...[0x0f, 0xae, 0x16], // ldmxcsr [rsi]
    ...[0x66, 0x0f, 0x6f, 0x4e, 0x10], // movdqa xmm1, [rsi+16]
    ...[...instruction, 0x4e, 0x20], // … xmm1, [rsi+32]
    ...[0x66, 0x0f, 0x7f, 0x4e, 0x30], // movdqa [rsi+48], xmm1
    ...[0x0f, 0xae, 0x5e, 0x04], // stmxcsr [rsi+4]
    ...[0x48, 0x83, 0xc6, recordSize], // add rsi, 64
    ...[0xff, 0xc9], // dec ecx
  ];
  return [0xb9, records, 0, 0, 0, ...body, 0x75, 254 - body.length];
}

const opcodes: [Operation, number][] = [
  ['add', 0x58],
  ['subtract', 0x5c],
  ['multiply', 0x59],
  ['divide', 0x5e],
  ['squareRoot', 0x51],
  ['minimum', 0x5d],
  ['maximum', 0x5f],
];
const shapes = [
  { suffix: 'ps', prefix: [], bits: 32, lanes: 4 },
  { suffix: 'pd', prefix: [0x66], bits: 64, lanes: 2 },
  { suffix: 'ss', prefix: [0xf3], bits: 32, lanes: 1 },
  { suffix: 'sd', prefix: [0xf2], bits: 64, lanes: 1 },
] as const;

for (const [operation, opcode] of opcodes) {
  for (const { suffix, prefix, bits, lanes } of shapes) {
    test(`${operation} of ${suffix}: native arithmetic gives the exact routine's result and exceptions`, (t) => {
      const next = numbers(bits, opcode * 64 + bits + lanes);
      const bytes = bits / 8;
      const read = (view: DataView, at: number) =>
        bits === 32 ? BigInt(view.getUint32(at, true)) : view.getBigUint64(at, true);
      for (let round = 0; round < 4; round++) {
        const data = new Uint8Array(records * recordSize);
        const view = new DataView(data.buffer);
        for (let i = 0; i < records; i++) {
          view.setUint32(i * recordSize, i % 3 === 0 ? mxcsr.initial : mxcsr.native, true);
          for (let at = 16; at < 48; at += bytes) {
            if (bits === 32) view.setUint32(i * recordSize + at, Number(next()), true);
            else view.setBigUint64(i * recordSize + at, next(), true);
          }
        }
        const outcome = run(loopOver([...prefix, 0x0f, opcode]), data);
        t.is(outcome.exception?.vector, exceptions.GP);
        const after = machine.memory(physicalData, data.length);
        const got = new DataView(after.buffer, after.byteOffset, after.byteLength);
        for (let i = 0; i < records; i++) {
          const start = i * recordSize;
          const control = view.getUint32(start, true);
          let flags = control;
          const describe: string[] = [];
          for (let lane = 0; lane < lanes; lane++) {
            const b = read(view, start + 32 + lane * bytes);
            const a = operation === 'squareRoot' ? b : read(view, start + 16 + lane * bytes);
            const routine = bits === 32 ? core.float32 : core.float64;
            const [result, raised] = routine(operations[operation], a, b, control);
            flags |= raised;
            const where = start + 48 + lane * bytes;
            const expected = BigInt.asUintN(bits, result);
            if (read(got, where) !== expected)
              describe.push(
                `${a.toString(16)} ${b.toString(16)}: ${read(got, where).toString(16)}, not ${expected.toString(16)}`,
              );
          }
          t.deepEqual(describe, []);
          t.is(got.getUint32(start + 4, true), flags);
        }
      }
    });
  }
}

test('native arithmetic is not trusted with the smallest normal number, which may hide an underflow', (t) => {
  const data = new Uint8Array(48);
  const view = new DataView(data.buffer);
  view.setUint32(0, mxcsr.native, true);
  view.setFloat64(16, 1 - 2 ** -53, true);
  view.setFloat64(32, 2 ** -1022, true);
  const code = [
    ...[0x0f, 0xae, 0x16], // ldmxcsr [rsi]
    ...[0xf2, 0x0f, 0x10, 0x4e, 0x10], // movsd xmm1, [rsi+16]
    ...[0xf2, 0x0f, 0x59, 0x4e, 0x20], // mulsd xmm1, [rsi+32]
    ...[0x0f, 0xae, 0x1e], // stmxcsr [rsi]
  ];
  run(code, data);
  const after = machine.memory(physicalData, 4);
  t.is(new DataView(after.buffer, after.byteOffset).getUint32(0, true), mxcsr.native | mxcsr.UE);
});

const xmmMove = [0x0f, 0x28, 0xc1]; // movaps xmm0, xmm1
const mmxMove = [0x0f, 0x6f, 0xc1]; // movq mm0, mm1
const mmxAverage = [0x0f, 0xe0, 0xc1]; // pavgb mm0, mm1
const loadControl = [0x0f, 0xae, 0x16]; // ldmxcsr [rsi]
const storeInteger = [0x0f, 0xc3, 0x06]; // movnti [rsi], eax
const memoryFence = [0x0f, 0xae, 0xf0]; // mfence
const usualData = Uint8Array.from([0x80, 0x1f, 0, 0]);

/** The exception of one instruction; undefined when there is none. */
function exceptionOf(code: readonly number[], change: (cpu: CpuState) => void): number | undefined {
  const { exception, cpu } = run(code, usualData, change);
  return cpu.rip === BigInt(codeRegion.linear) ? exception?.vector : undefined;
}

test('CR0.EM and a clear CR4.OSFXSR make XMM instructions undefined, CR0.TS unavailable', (t) => {
  const emulated = (cpu: CpuState) => {
    cpu.cr0 |= CR0.EM;
  };
  const switched = (cpu: CpuState) => {
    cpu.cr0 |= CR0.TS;
  };
  const unsupported = (cpu: CpuState) => {
    cpu.cr4 &= ~CR4.OSFXSR;
  };
  for (const code of [xmmMove, loadControl]) {
    t.is(
      exceptionOf(code, () => {}),
      undefined,
    );
    t.is(exceptionOf(code, emulated), exceptions.UD);
    t.is(exceptionOf(code, switched), exceptions.NM);
    t.is(exceptionOf(code, unsupported), exceptions.UD);
  }
  for (const code of [mmxMove, mmxAverage]) {
    t.is(exceptionOf(code, emulated), exceptions.UD);
    t.is(exceptionOf(code, switched), exceptions.NM);
    t.is(exceptionOf(code, unsupported), undefined);
  }
  for (const code of [storeInteger, memoryFence])
    for (const change of [emulated, switched, unsupported]) t.is(exceptionOf(code, change), undefined);
});

test('an unavailable register comes before a fault of the memory operand', (t) => {
  const fromNowhere = [0x0f, 0x28, 0x00]; // movaps xmm0, [rax], at 0
  t.is(
    exceptionOf(fromNowhere, () => {}),
    exceptions.PF,
  );
  t.is(
    exceptionOf(fromNowhere, (cpu) => {
      cpu.cr0 |= CR0.TS;
    }),
    exceptions.NM,
  );
});

test('a pending x87 exception is reported by MMX instructions, not by SSE ones', (t) => {
  const pending = (cpu: CpuState) => {
    const view = new DataView(cpu.fxsave.buffer);
    view.setUint16(fxOffset.fcw, 0x37e, true);
    view.setUint16(fxOffset.fsw, 0x8081, true);
  };
  t.is(exceptionOf(mmxMove, pending), exceptions.MF);
  t.is(exceptionOf([0x0f, 0x77], pending), exceptions.MF, 'EMMS');
  t.is(exceptionOf([0x0f, 0x2a, 0xc0], pending), exceptions.MF, 'CVTPI2PS from a register');
  t.is(exceptionOf([0x0f, 0x2a, 0x06], pending), undefined, 'CVTPI2PS from memory');
  t.is(exceptionOf(xmmMove, pending), undefined);
});

test('a misaligned operand of 16 bytes is #GP, before a page fault, but for the moves that allow it', (t) => {
  const at = (address: bigint) => (cpu: CpuState) => {
    cpu.gpr[0] = address;
  };
  const mapped = BigInt(dataRegion.linear + 1);
  t.is(exceptionOf([0x0f, 0x28, 0x00], at(mapped)), exceptions.GP, 'MOVAPS');
  t.is(exceptionOf([0x0f, 0x58, 0x00], at(mapped)), exceptions.GP, 'ADDPS');
  t.is(exceptionOf([0x0f, 0x28, 0x00], at(1n)), exceptions.GP, 'MOVAPS from no page');
  t.is(exceptionOf([0x0f, 0x10, 0x00], at(mapped)), undefined, 'MOVUPS');
  t.is(exceptionOf([0x66, 0x0f, 0x3a, 0x63, 0x00, 0x00], at(mapped)), undefined, 'PCMPISTRI');
  t.is(exceptionOf([0xf3, 0x0f, 0x58, 0x00], at(mapped)), undefined, 'ADDSS');
});

test('LDMXCSR takes only bits that exist', (t) => {
  const { exception, cpu } = run(loadControl, Uint8Array.from([0, 0, 1, 0]));
  t.is(exception?.vector, exceptions.GP);
  t.is(cpu.rip, BigInt(codeRegion.linear));
});
