import test from 'ava';
import { checkVector, codeLinear } from './compare.ts';
import type { Vector } from './format.ts';
import { fxOffset } from './image.ts';
import { cpuState, type LayoutName, locate, physicalLayout } from './layout.ts';
import { loadVectors, recordedFamilies } from './load.ts';
import type { VectorMachine, VectorOutcome } from './machine.ts';

/** A machine that gives the recorded outcome, after `tamper` has changed it. */
function replay(
  vector: Vector,
  layout: LayoutName,
  tamper: (outcome: VectorOutcome, memory: Uint8Array) => void = () => {},
): VectorMachine {
  const { pages } = physicalLayout(layout);
  const memory = new Uint8Array(pages.at(-1)!.address + 4096);
  return {
    run({ patches }) {
      for (const { address, bytes } of [...pages, ...patches]) memory.set(bytes, address);
      for (const { at, bytes } of vector.changes) memory.set(bytes, locate(layout, at).physical);
      const { exception } = vector;
      const outcome: VectorOutcome = {
        cpu: cpuState(vector.after),
        exception:
          exception === undefined
            ? { vector: 13, errorCode: 0, cr2: 0n }
            : { ...exception, cr2: BigInt(exception.cr2) },
      };
      tamper(outcome, memory);
      return outcome;
    },
    memory: (address, length) => memory.subarray(address, address + length),
  };
}

function first(family: string, which: (vector: Vector) => boolean): [Vector, LayoutName] {
  const { header, vectors } = loadVectors(family);
  return [vectors.find(which)!, header.layout];
}

test('a machine that does as recorded passes every 97th vector of every family', (t) => {
  let checked = 0;
  for (const family of recordedFamilies()) {
    const { header, vectors } = loadVectors(family);
    for (let i = 0; i < vectors.length; i += 97) {
      const vector = vectors[i]!;
      t.is(checkVector(vector, header.layout, replay(vector, header.layout)), undefined);
      checked++;
    }
  }
  t.true(checked > 300);
});

test('a wrong flag is named, with instruction, code and state before', (t) => {
  const [vector, layout] = first(
    'arithmetic-long',
    ({ encoding, exception }) => encoding.startsWith('adc') && exception === undefined,
  );
  const wrong = replay(vector, layout, ({ cpu }) => {
    cpu.rflags ^= 0x800;
  });
  const text = checkVector(vector, layout, wrong);
  t.regex(text!, /after 'adc .*OF expected [01], got [01].*code [0-9a-f ]+ at 0x3c5a.*before: rax=/s);
});

test('an undefined flag may differ, a defined one beside it may not', (t) => {
  const [vector, layout] = first(
    'arithmetic-long',
    ({ encoding, exception }) => encoding.startsWith('and 20') && exception === undefined,
  );
  const flip = (bit: number) =>
    checkVector(
      vector,
      layout,
      replay(vector, layout, ({ cpu }) => {
        cpu.rflags ^= bit;
      }),
    );
  t.is(flip(0x10), undefined);
  t.regex(flip(0x40)!, /ZF expected/);
});

test('wrong registers, memory, x87 and exceptions are named', (t) => {
  const [vector, layout] = first('arithmetic-long', ({ changes }) => changes.length > 0);
  const check = (tamper: (outcome: VectorOutcome, memory: Uint8Array) => void) =>
    checkVector(vector, layout, replay(vector, layout, tamper)) ?? '';
  t.regex(
    check(({ cpu }) => cpu.gpr.set([cpu.gpr[3]! ^ (1n << 63n)], 3)),
    /rbx expected/,
  );
  t.regex(
    check((outcome) => {
      outcome.cpu = { ...outcome.cpu, rip: outcome.cpu.rip + 1n };
    }),
    /rip expected/,
  );
  t.regex(
    check(({ cpu }) => {
      cpu.fxsave[fxOffset.st + 9] = 0x40;
    }),
    /st0 expected/,
  );
  t.regex(
    check(({ cpu }) => {
      cpu.fxsave[fxOffset.mxcsr] = 0;
    }),
    /MXCSR expected/,
  );
  t.is(
    check(({ cpu }) => {
      cpu.fxsave[fxOffset.fop] = 1;
    }),
    '',
  );
  t.regex(
    check((outcome) => {
      outcome.exception = { vector: 14, errorCode: 6, cr2: 0x1000n };
    }),
    /end expected to run on.*got exception 14, error code 0x6, CR2 0x1000/,
  );
  t.regex(
    check((outcome) => {
      outcome.exception = undefined;
    }),
    /no exception within/,
  );
  const changed = locate(layout, vector.changes[0]!.at).physical;
  t.regex(
    check((_, memory) => {
      memory[changed]! ^= 1;
    }),
    /memory at linear 0x/,
  );
});

test('one unit in the last place is allowed for transcendental results and for nothing else', (t) => {
  const done = ({ encoding, exception, after }: Vector) =>
    /^fsin |^fsqrt /.test(encoding) &&
    exception === undefined &&
    cpuState(after).fxsave[fxOffset.st + 9]! < 0x7f;
  const off = (family: string, units: number, which: (vector: Vector) => boolean) => {
    const [vector, layout] = first(family, (each) => done(each) && which(each));
    const nudge = replay(vector, layout, ({ cpu }) => {
      const view = new DataView(cpu.fxsave.buffer, cpu.fxsave.byteOffset);
      view.setBigUint64(fxOffset.st, view.getBigUint64(fxOffset.st, true) + BigInt(units), true);
    });
    return checkVector(vector, layout, nudge);
  };
  const sine = ({ encoding }: Vector) => encoding.startsWith('fsin');
  const root = ({ encoding }: Vector) => encoding.startsWith('fsqrt');
  for (const unit of [1, -1]) {
    t.is(off('x87-transcendental-long', unit, sine), undefined);
    t.regex(off('x87-transcendental-long', 2 * unit, sine)!, /st0 expected/);
    t.regex(off('x87-arithmetic-long', unit, root)!, /st0 expected/);
  }
});

test("compatibility mode's unreachable register halves are not compared", (t) => {
  const [vector, layout] = first('arithmetic-compat32', ({ exception }) => exception === undefined);
  const upper = replay(vector, layout, ({ cpu }) => cpu.gpr.set([cpu.gpr[0]! | (1n << 40n), 5n], 0));
  t.regex(checkVector(vector, layout, upper)!, /rcx expected/);
  const unreachable = replay(vector, layout, ({ cpu }) => {
    cpu.gpr[0]! |= 1n << 40n;
    cpu.gpr[9] = 5n;
  });
  t.is(checkVector(vector, layout, unreachable), undefined);
});

test("a vector's code lies at CS.base + RIP", (t) => {
  const [vector] = first('arithmetic-compat16', () => true);
  const { rip, segments } = cpuState(vector.before);
  t.is(BigInt(codeLinear(vector.before)), rip + 0x40_e000n);
  t.is(segments[1]!.base, 0x40_e000n);
});
